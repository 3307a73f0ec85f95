/* f32 matrix tile, 14 rows x 32 columns, AVX-512.
 *
 * The vector dimension is the column of C: each step loads 32 consecutive values of a row of B
 * (two registers) and broadcasts 14 values of A, so 28 accumulators + 2 B registers + 1 broadcast
 * use 31 of the 32 registers.  28 multiply-adds take 14 cycles on two 512-bit FMA ports against 16
 * loads: the FMA ports are the limit, and 28 independent chains are more than the 8 that a latency
 * of 4 on two ports needs.
 * An A panel of 14 x 384 floats is 21 KB and stays in L1 (32-48 KB); a B block of 384 x 256 is
 * 393 KB and streams from L2 at 9 bytes per cycle.
 * Column tails use masks on B and C: nothing is padded, nothing out of range is touched. */
#include "../isa.h"

#include <immintrin.h>

#define SCALAR float
#define VECTOR __m512
#define LANES 16
#define MR 14
#define NR 32
#define KC 384
#define NB 256
#define MASKED 1
#define TABLE pb_gemm_f32_avx512
#define ZERO() _mm512_setzero_ps()
#define LOAD(p) _mm512_loadu_ps(p)
#define STORE(p, v) _mm512_storeu_ps(p, v)
#define BROADCAST(p) _mm512_set1_ps(*(p))
#define MULTIPLY_ADD(a, b, c) _mm512_fmadd_ps(a, b, c)
#define SCALAR_MULTIPLY_ADD(a, b, c) __builtin_fmaf(a, b, c)
#define ADD(a, b) _mm512_add_ps(a, b)
#define TAIL __mmask16
#define TAIL_MASK(count) (__mmask16)((1u << (count)) - 1)
#define LOAD_TAIL(p, mask) _mm512_maskz_loadu_ps(mask, p)
#define STORE_TAIL(p, mask, v) _mm512_mask_storeu_ps(p, mask, v)
#define UNROLL _Pragma("GCC unroll 16")
#include "../gemm_kernel.inc"
