/* f64 matrix tile, 6 rows x 8 columns, AVX2 + FMA.
 *
 * Layout and register budget of gemm_f32_6x16.c with half the lanes: 12 accumulators + 2 B
 * registers + 1 broadcast in 16 registers, 12 multiply-adds in 6 cycles against 8 loads.
 * An A panel of 6 x 256 doubles is 12 KB of L1; a B block of 256 x 256 is 524 KB of L2.
 * Column tails: the driver pads B and sends C through a small buffer, because masked stores cost
 * tens of cycles on AMD cores. */
#include "../isa.h"

#include <immintrin.h>

#define SCALAR double
#define VECTOR __m256d
#define LANES 4
#define MR 6
#define NR 8
#define KC 256
#define NB 256
#define MASKED 0
#define TABLE pb_gemm_f64_avx2
#define ZERO() _mm256_setzero_pd()
#define LOAD(p) _mm256_loadu_pd(p)
#define STORE(p, v) _mm256_storeu_pd(p, v)
#define BROADCAST(p) _mm256_set1_pd(*(p))
#define MULTIPLY_ADD(a, b, c) _mm256_fmadd_pd(a, b, c)
#define SCALAR_MULTIPLY_ADD(a, b, c) __builtin_fma(a, b, c)
#define ADD(a, b) _mm256_add_pd(a, b)
#define TAIL int
#define TAIL_MASK(count) (count)
#define LOAD_TAIL(p, mask) ((void)(mask), LOAD(p))
#define STORE_TAIL(p, mask, v) ((void)(mask), STORE(p, v))
#define UNROLL _Pragma("GCC unroll 16")
#include "../gemm_kernel.inc"
