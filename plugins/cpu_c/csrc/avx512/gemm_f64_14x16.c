/* f64 matrix tile, 14 rows x 16 columns, AVX-512.
 *
 * Layout and register budget of gemm_f32_14x32.c with half the lanes: two registers of B, 14
 * broadcasts of A, 28 accumulators, 31 of 32 registers in use, 28 multiply-adds in 14 cycles
 * against 16 loads.
 * An A panel of 14 x 256 doubles is 28 KB and stays in L1 (32-48 KB); a B block of 256 x 256 is
 * 524 KB and streams from L2.
 * Column tails use masks on B and C: nothing is padded, nothing out of range is touched. */
#include "../isa.h"

#include <immintrin.h>

#define SCALAR double
#define VECTOR __m512d
#define LANES 8
#define MR 14
#define NR 16
#define KC 256
#define NB 256
#define MASKED 1
#define TABLE pb_gemm_f64_avx512
#define ZERO() _mm512_setzero_pd()
#define LOAD(p) _mm512_loadu_pd(p)
#define STORE(p, v) _mm512_storeu_pd(p, v)
#define BROADCAST(p) _mm512_set1_pd(*(p))
#define MULTIPLY_ADD(a, b, c) _mm512_fmadd_pd(a, b, c)
#define SCALAR_MULTIPLY_ADD(a, b, c) __builtin_fma(a, b, c)
#define ADD(a, b) _mm512_add_pd(a, b)
#define TAIL __mmask8
#define TAIL_MASK(count) (__mmask8)((1u << (count)) - 1)
#define LOAD_TAIL(p, mask) _mm512_maskz_loadu_pd(mask, p)
#define STORE_TAIL(p, mask, v) _mm512_mask_storeu_pd(p, mask, v)
#define UNROLL _Pragma("GCC unroll 16")
#include "../gemm_kernel.inc"
