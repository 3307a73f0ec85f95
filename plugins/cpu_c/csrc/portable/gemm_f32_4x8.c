/* f32 matrix tile, 4 rows x 8 columns, any platform.
 *
 * GCC vector extensions with 16-byte vectors: SSE2 on x86-64, NEON on AArch64, VSX or plain scalar
 * code elsewhere.  8 accumulators + 2 B vectors + 1 broadcast fit the 16 registers of SSE2 with
 * room for the products, which are rounded before they are added (no fused multiply-add: baseline
 * x86-64 has none, and this file must give the same bits on every platform).
 * An A panel of 4 x 256 floats is 4 KB of L1; a B block of 256 x 256 is 262 KB of L2.
 * Column tails: the driver pads B and sends C through a small buffer. */
#include "../isa.h"

typedef float vector __attribute__((vector_size(16)));
typedef float unaligned __attribute__((vector_size(16), aligned(4), may_alias));

#define SCALAR float
#define VECTOR vector
#define LANES 4
#define MR 4
#define NR 8
#define KC 256
#define NB 256
#define MASKED 0
#define TABLE pb_gemm_f32_portable
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
