/* f64 matrix tile, 4 rows x 4 columns, any platform.
 *
 * Layout and register budget of gemm_f32_4x8.c with half the lanes: 8 accumulators + 2 B vectors +
 * 1 broadcast in 16 registers of 16 bytes; products are rounded before they are added.
 * An A panel of 4 x 256 doubles is 8 KB of L1; a B block of 256 x 128 is 262 KB of L2.
 * Column tails: the driver pads B and sends C through a small buffer. */
#include "../isa.h"

typedef double vector __attribute__((vector_size(16)));
typedef double unaligned __attribute__((vector_size(16), aligned(8), may_alias));

#define SCALAR double
#define VECTOR vector
#define LANES 2
#define MR 4
#define NR 4
#define KC 256
#define NB 128
#define MASKED 0
#define TABLE pb_gemm_f64_portable
#define ZERO() ((vector){ 0 })
#define LOAD(p) ((vector)*(const unaligned *)(p))
#define STORE(p, v) (*(unaligned *)(p) = (v))
#define BROADCAST(p) (*(p) - (vector){ 0 })
#define MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
#define SCALAR_MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
#define ADD(a, b) ((a) + (b))
#define TAIL int
#define TAIL_MASK(count) (count)
#define LOAD_TAIL(p, mask) ((void)(mask), LOAD(p))
#define STORE_TAIL(p, mask, v) ((void)(mask), STORE(p, v))
#define UNROLL _Pragma("GCC unroll 16")
#include "../gemm_kernel.inc"
