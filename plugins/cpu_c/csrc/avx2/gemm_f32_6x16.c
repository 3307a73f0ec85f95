/* f32 matrix tile, 6 rows x 16 columns, AVX2 + FMA.
 *
 * The vector dimension is the column of C: each step loads 16 consecutive values of a row of B
 * (two registers) and broadcasts 6 values of A: 12 accumulators + 2 B registers + 1 broadcast use
 * 15 of the 16 registers.  12 multiply-adds take 6 cycles on two FMA ports against 8 loads on two
 * load ports (4 cycles); 12 chains cover a latency of 4-5 on two ports.
 * An A panel of 6 x 384 floats is 9 KB of L1; a B panel of 384 x 16 is 24 KB, a block of 384 x 256
 * is 393 KB of L2 (256 KB-class L2 still holds the panels in use).
 * Column tails: the driver pads B and sends C through a small buffer, because masked stores cost
 * tens of cycles on AMD cores. */
#include "../isa.h"

#include <immintrin.h>

#define SCALAR float
#define VECTOR __m256
#define LANES 8
#define MR 6
#define NR 16
#define KC 384
#define NB 256
#define MASKED 0
#define TABLE pb_gemm_f32_avx2
#define ZERO() _mm256_setzero_ps()
#define LOAD(p) _mm256_loadu_ps(p)
#define STORE(p, v) _mm256_storeu_ps(p, v)
#define BROADCAST(p) _mm256_set1_ps(*(p))
#define MULTIPLY_ADD(a, b, c) _mm256_fmadd_ps(a, b, c)
#define SCALAR_MULTIPLY_ADD(a, b, c) __builtin_fmaf(a, b, c)
#define ADD(a, b) _mm256_add_ps(a, b)
#define TAIL int
#define TAIL_MASK(count) (count)
#define LOAD_TAIL(p, mask) ((void)(mask), LOAD(p))
#define STORE_TAIL(p, mask, v) ((void)(mask), STORE(p, v))
#define UNROLL _Pragma("GCC unroll 16")
#include "../gemm_kernel.inc"
