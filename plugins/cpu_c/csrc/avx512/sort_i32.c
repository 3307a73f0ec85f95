/* Sorting of 32-bit keys, AVX-512: 16 lanes, networks of up to 16 rows in 16 of the 32 registers, which
 * sort 256 keys with 2 instructions for a comparison of 16 pairs.  A vector is split by packing either side
 * in a register and storing it; compressing to memory would take hundreds of cycles on AMD cores. */
#include "../isa.h"

#include <immintrin.h>

#define KEY int32_t
#define UNSIGNED uint32_t
#define KEY_MIN INT32_MIN
#define LANES 16
#define MOST_ROWS 16
#define TABLE pb_sort_i32_avx512
#define VECTOR __m512i
#define SAME(key) _mm512_set1_epi32(key)
#define MIN(a, b) _mm512_min_epi32(a, b)
#define MAX(a, b) _mm512_max_epi32(a, b)
#define PERMUTE(v, ...) (VECTOR)__builtin_shufflevector((__v16si)(v), (__v16si)(v), __VA_ARGS__)
#define CHOOSE(upper, a, b) _mm512_mask_mov_epi32(a, (__mmask16)(upper), b)
#define FIRST(count) (__mmask16)((count) >= 16 ? 0xffff : (count) <= 0 ? 0 : (1 << (count)) - 1)
#define LOAD_FIRST(p, count) _mm512_mask_loadu_epi32(SAME(INT32_MAX), FIRST(count), p)
#define STORE_FIRST(p, count, v) _mm512_mask_storeu_epi32(p, FIRST(count), v)

static inline void split_vector(const int32_t *from, VECTOR pivot, int32_t **low, int32_t **high)
{
    VECTOR v = _mm512_loadu_si512(from);
    unsigned above = _mm512_cmpgt_epi32_mask(v, pivot);
    int count = __builtin_popcount(above);
    _mm512_storeu_si512(*low, _mm512_maskz_compress_epi32((__mmask16)~above, v));
    *high -= count;
    *low += 16 - count;
    _mm512_mask_storeu_epi32(*high, (__mmask16)((1u << count) - 1),
                             _mm512_maskz_compress_epi32((__mmask16)above, v));
}

#include "../sort_kernel.inc"
