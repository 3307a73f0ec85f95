/* Sorting of 64-bit keys, AVX2: as sort_i32.c with 4 lanes, 32 keys in a network.  There is no minimum of
 * 64-bit integers: a comparison and two choices. */
#include "../isa.h"

#include <immintrin.h>

#define KEY int64_t
#define UNSIGNED uint64_t
#define KEY_MIN INT64_MIN
#define LANES 4
#define MOST_ROWS 8
#define TABLE pb_sort_i64_avx2
#define VECTOR __m256i
#define SAME(key) _mm256_set1_epi64x(key)
#define MIN(a, b) _mm256_blendv_epi8(a, b, _mm256_cmpgt_epi64(a, b))
#define MAX(a, b) _mm256_blendv_epi8(b, a, _mm256_cmpgt_epi64(a, b))
#define PERMUTE(v, ...) (VECTOR)__builtin_shufflevector((__v4di)(v), (__v4di)(v), __VA_ARGS__)
#define CHOOSE(upper, a, b) _mm256_blend_epi32(a, b, (upper) & 2 ? (upper) & 4 ? 0xfc : 0xcc : 0xf0)
#define LOAD_FIRST(p, count) load_first(p, count)
#define STORE_FIRST(p, count, v) store_first(p, count, v)

static inline VECTOR first(int64_t count)
{
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(count), _mm256_setr_epi64x(0, 1, 2, 3));
}

static inline VECTOR load_first(const int64_t *p, int64_t count)
{
    VECTOR mask = first(count);
    return _mm256_blendv_epi8(SAME(INT64_MAX), _mm256_maskload_epi64((const long long *)p, mask), mask);
}

static inline void store_first(int64_t *p, int64_t count, VECTOR v)
{
    if (count >= LANES)
        _mm256_storeu_si256((VECTOR *)p, v);
    else if (count > 0)
        _mm256_maskstore_epi64((long long *)p, first(count), v);
}

/* Lanes of 32 bits in the order that puts keys above the pivot last, for each of the 16 outcomes. */
#define BELOW(m, lane) (unsigned)__builtin_popcount((m) & ((1 << (lane)) - 1))
#define RANK(m, lane) \
    ((m) >> (lane) & 1 ? 4 - (unsigned)__builtin_popcount(m) + BELOW(m, lane) : (lane) - BELOW(m, lane))
#define PLACE(m, lane) ((uint64_t)(0x0100 + 0x0202 * (lane)) << 16 * RANK(m, lane))
#define ORDER_1(m) (PLACE(m, 0) | PLACE(m, 1) | PLACE(m, 2) | PLACE(m, 3))
#define ORDER_4(m) ORDER_1(m), ORDER_1((m) + 1), ORDER_1((m) + 2), ORDER_1((m) + 3)
static const uint64_t orders[16] = { ORDER_4(0), ORDER_4(4), ORDER_4(8), ORDER_4(12) };

static inline void split_vector(const int64_t *from, VECTOR pivot, int64_t **low, int64_t **high)
{
    VECTOR v = _mm256_loadu_si256((const VECTOR *)from);
    unsigned above = (unsigned)_mm256_movemask_pd((__m256d)_mm256_cmpgt_epi64(v, pivot));
    int count = __builtin_popcount(above);
    v = _mm256_permutevar8x32_epi32(v, _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((int64_t)orders[above])));
    _mm256_storeu_si256((VECTOR *)*low, v);
    _mm256_storeu_si256((VECTOR *)(*high - LANES), v);
    *low += LANES - count;
    *high -= count;
}

#include "../sort_kernel.inc"
