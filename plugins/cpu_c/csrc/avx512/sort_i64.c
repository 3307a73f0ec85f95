/* Sorting of 64-bit keys, AVX-512: as sort_i32.c with 8 lanes, 128 keys in a network. */
#include "../isa.h"

#include <immintrin.h>

#define KEY int64_t
#define UNSIGNED uint64_t
#define KEY_MIN INT64_MIN
#define LANES 8
#define MOST_ROWS 16
#define TABLE pb_sort_i64_avx512
#define VECTOR __m512i
#define SAME(key) _mm512_set1_epi64(key)
#define MIN(a, b) _mm512_min_epi64(a, b)
#define MAX(a, b) _mm512_max_epi64(a, b)
#define PERMUTE(v, ...) (VECTOR)__builtin_shufflevector((__v8di)(v), (__v8di)(v), __VA_ARGS__)
#define CHOOSE(upper, a, b) _mm512_mask_mov_epi64(a, (__mmask8)(upper), b)
#define FIRST(count) (__mmask8)((count) >= 8 ? 0xff : (count) <= 0 ? 0 : (1 << (count)) - 1)
#define LOAD_FIRST(p, count) _mm512_mask_loadu_epi64(SAME(INT64_MAX), FIRST(count), p)
#define STORE_FIRST(p, count, v) _mm512_mask_storeu_epi64(p, FIRST(count), v)

static inline void split_vector(const int64_t *from, VECTOR pivot, int64_t **low, int64_t **high)
{
    VECTOR v = _mm512_loadu_si512(from);
    unsigned above = _mm512_cmpgt_epi64_mask(v, pivot);
    int count = __builtin_popcount(above);
    _mm512_storeu_si512(*low, _mm512_maskz_compress_epi64((__mmask8)~above, v));
    *high -= count;
    *low += 8 - count;
    _mm512_mask_storeu_epi64(*high, (__mmask8)((1u << count) - 1),
                             _mm512_maskz_compress_epi64((__mmask8)above, v));
}

#include "../sort_kernel.inc"
