/* Sorting of 32-bit keys, AVX2: 8 lanes, networks of up to 8 rows in 8 of the 16 registers, 64 keys.  A
 * vector is split by one permutation from a table of 256: keys up to the pivot first, so that the same
 * vector is stored at both ends of the gap. */
#include "../isa.h"

#include <immintrin.h>

#define KEY int32_t
#define UNSIGNED uint32_t
#define KEY_MIN INT32_MIN
#define LANES 8
#define MOST_ROWS 8
#define TABLE pb_sort_i32_avx2
#define VECTOR __m256i
#define SAME(key) _mm256_set1_epi32(key)
#define MIN(a, b) _mm256_min_epi32(a, b)
#define MAX(a, b) _mm256_max_epi32(a, b)
#define PERMUTE(v, ...) (VECTOR)__builtin_shufflevector((__v8si)(v), (__v8si)(v), __VA_ARGS__)
#define CHOOSE(upper, a, b) _mm256_blend_epi32(a, b, (upper) & 255)
#define LOAD_FIRST(p, count) load_first(p, count)
#define STORE_FIRST(p, count, v) store_first(p, count, v)

static inline VECTOR first(int64_t count)
{
    int32_t n = count > LANES ? LANES : (int32_t)count;
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline VECTOR load_first(const int32_t *p, int64_t count)
{
    VECTOR mask = first(count);
    return _mm256_blendv_epi8(SAME(INT32_MAX), _mm256_maskload_epi32(p, mask), mask);
}

static inline void store_first(int32_t *p, int64_t count, VECTOR v)
{
    if (count >= LANES)
        _mm256_storeu_si256((VECTOR *)p, v);
    else if (count > 0)
        _mm256_maskstore_epi32(p, first(count), v);
}

/* Byte k of an entry: which lane comes k-th where the set bits of m are lanes above the pivot. */
#define BELOW(m, lane) (unsigned)__builtin_popcount((m) & ((1 << (lane)) - 1))
#define RANK(m, lane) \
    ((m) >> (lane) & 1 ? 8 - (unsigned)__builtin_popcount(m) + BELOW(m, lane) : (lane) - BELOW(m, lane))
#define PLACE(m, lane) ((uint64_t)(lane) << 8 * RANK(m, lane))
#define ORDER_1(m) (PLACE(m, 1) | PLACE(m, 2) | PLACE(m, 3) | PLACE(m, 4) | PLACE(m, 5) | \
                    PLACE(m, 6) | PLACE(m, 7))
#define ORDER_4(m) ORDER_1(m), ORDER_1((m) + 1), ORDER_1((m) + 2), ORDER_1((m) + 3)
#define ORDER_16(m) ORDER_4(m), ORDER_4((m) + 4), ORDER_4((m) + 8), ORDER_4((m) + 12)
#define ORDER_64(m) ORDER_16(m), ORDER_16((m) + 16), ORDER_16((m) + 32), ORDER_16((m) + 48)
static const uint64_t orders[256] = { ORDER_64(0), ORDER_64(64), ORDER_64(128), ORDER_64(192) };

static inline void split_vector(const int32_t *from, VECTOR pivot, int32_t **low, int32_t **high)
{
    VECTOR v = _mm256_loadu_si256((const VECTOR *)from);
    unsigned above = (unsigned)_mm256_movemask_ps((__m256)_mm256_cmpgt_epi32(v, pivot));
    int count = __builtin_popcount(above);
    v = _mm256_permutevar8x32_epi32(v, _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((int64_t)orders[above])));
    _mm256_storeu_si256((VECTOR *)*low, v);
    _mm256_storeu_si256((VECTOR *)(*high - LANES), v);
    *low += LANES - count;
    *high -= count;
}

#include "../sort_kernel.inc"
