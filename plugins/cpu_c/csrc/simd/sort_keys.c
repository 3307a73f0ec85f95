/* Keys of every dtype, whose order as signed integers is the order wanted, and back (sort_kernel.h).
 *
 * Floating-point bits are ordered by flipping all but the sign of negative numbers, which undoes
 * itself.  -0 then comes before +0, as -1 before 0, and there is nothing in between. */
#include "kernels.h"
#include "../sort_kernel.h"

#define MIRRORED(bits, signed_type, unsigned_type) \
    ((bits) ^ (unsigned_type)((unsigned_type)((signed_type)(bits) >> (8 * sizeof(bits) - 1)) >> 1))

/* TO and FROM: a value's bits to its key and back.  n < 2^31. */
#define DEFINE_KEYS(TYPE, KEY, TO, FROM, IS_NAN, IS_MINUS_ZERO, name)                               \
    INLINE pb_sort_found keys_of_##name(int64_t n, const char *x, int64_t step, KEY flip, KEY *keys) \
    {                                                                                               \
        KEY nans = 0, zeros = 0; /* as wide as what they count: no lanes to widen */                \
        for (int64_t i = 0; i < n; i++) {                                                           \
            const TYPE u = *(const TYPE *)(x + i * step);                                           \
            keys[i] = (KEY)(TO(u)) ^ flip;                                                          \
            nans += IS_NAN(u);                                                                      \
            zeros += IS_MINUS_ZERO(u);                                                              \
        }                                                                                           \
        return (pb_sort_found){ nans, zeros };                                                      \
    }                                                                                               \
    static pb_sort_found keys_##name(int64_t n, const char *x, int64_t step, int64_t flip, void *keys) \
    {                                                                                               \
        if (step == sizeof(TYPE))                                                                   \
            return keys_of_##name(n, x, sizeof(TYPE), (KEY)flip, keys);                             \
        return keys_of_##name(n, x, step, (KEY)flip, keys);                                         \
    }                                                                                               \
    INLINE void values_of_##name(int64_t n, const KEY *keys, KEY flip, char *out, int64_t step)     \
    {                                                                                               \
        EACH_ALONE                                                                                  \
        for (int64_t i = 0; i < n; i++) {                                                           \
            const KEY k = keys[i] ^ flip;                                                           \
            *(TYPE *)(out + i * step) = (TYPE)(FROM(k));                                            \
        }                                                                                           \
    }                                                                                               \
    static void values_##name(int64_t n, const void *keys, int64_t flip, char *out, int64_t step)   \
    {                                                                                               \
        if (step == sizeof(TYPE))                                                                   \
            values_of_##name(n, keys, (KEY)flip, out, sizeof(TYPE));                                \
        else                                                                                        \
            values_of_##name(n, keys, (KEY)flip, out, step);                                        \
    }

#define DEFINE_FLOAT(TYPE, KEY, TO, IS_NAN, name)                                                   \
    static void numbers_##name(int64_t n, const char *x, int64_t step, int64_t flip, void *keys,    \
                               char *nans, int64_t nan_step)                                        \
    {                                                                                               \
        KEY *key = keys;                                                                            \
        for (int64_t i = 0; i < n; i++) {                                                           \
            const TYPE u = *(const TYPE *)(x + i * step);                                           \
            if (IS_NAN(u)) {                                                                        \
                *(TYPE *)nans = u;                                                                  \
                nans += nan_step;                                                                   \
            } else {                                                                                \
                *key++ = (KEY)(TO(u)) ^ (KEY)flip;                                                  \
            }                                                                                       \
        }                                                                                           \
    }                                                                                               \
    static void zeros_##name(int64_t n, const char *x, int64_t step, char *out, int64_t out_step)   \
    {                                                                                               \
        for (int64_t i = 0; i < n; i++) {                                                           \
            const TYPE u = *(const TYPE *)(x + i * step);                                           \
            if ((TYPE)(u << 1) == 0) {                                                              \
                *(TYPE *)out = u;                                                                   \
                out += out_step;                                                                    \
            }                                                                                       \
        }                                                                                           \
    }

#define SAME(u) (u)
#define NEVER(u) 0
#define HALF(u) (int16_t)MIRRORED(u, int16_t, uint16_t)
#define OF_HALF(k) MIRRORED((uint16_t)(k), int16_t, uint16_t)
#define SINGLE(u) MIRRORED(u, int32_t, uint32_t)
#define OF_SINGLE(k) MIRRORED((uint32_t)(k), int32_t, uint32_t)
#define DOUBLE(u) MIRRORED(u, int64_t, uint64_t)
#define OF_DOUBLE(k) MIRRORED((uint64_t)(k), int64_t, uint64_t)
#define MOVED_32(u) ((uint32_t)(u) ^ PB_SIGN_F32)
#define MOVED_64(u) ((uint64_t)(u) ^ PB_SIGN_F64)
#define NAN_F16(u) (((u) & 0x7fff) > 0x7c00)
#define NAN_BF16(u) (((u) & 0x7fff) > 0x7f80)
#define NAN_F32(u) (((u) & ~PB_SIGN_F32) > 0x7f800000u)
#define NAN_F64(u) (((u) & ~PB_SIGN_F64) > 0x7ff0000000000000u)
#define MINUS_16(u) ((u) == 0x8000)
#define MINUS_32(u) ((u) == PB_SIGN_F32)
#define MINUS_64(u) ((u) == PB_SIGN_F64)

DEFINE_KEYS(int8_t, int32_t, SAME, SAME, NEVER, NEVER, i8)
DEFINE_KEYS(uint8_t, int32_t, SAME, SAME, NEVER, NEVER, u8)
DEFINE_KEYS(int16_t, int32_t, SAME, SAME, NEVER, NEVER, i16)
DEFINE_KEYS(uint16_t, int32_t, SAME, SAME, NEVER, NEVER, u16)
DEFINE_KEYS(int32_t, int32_t, SAME, SAME, NEVER, NEVER, i32)
DEFINE_KEYS(uint32_t, int32_t, MOVED_32, MOVED_32, NEVER, NEVER, u32)
DEFINE_KEYS(int64_t, int64_t, SAME, SAME, NEVER, NEVER, i64)
DEFINE_KEYS(uint64_t, int64_t, MOVED_64, MOVED_64, NEVER, NEVER, u64)
DEFINE_KEYS(uint16_t, int32_t, HALF, OF_HALF, NAN_F16, MINUS_16, f16)
DEFINE_KEYS(uint16_t, int32_t, HALF, OF_HALF, NAN_BF16, MINUS_16, bf16)
DEFINE_KEYS(uint32_t, int32_t, SINGLE, OF_SINGLE, NAN_F32, MINUS_32, f32)
DEFINE_KEYS(uint64_t, int64_t, DOUBLE, OF_DOUBLE, NAN_F64, MINUS_64, f64)
DEFINE_FLOAT(uint16_t, int32_t, HALF, NAN_F16, f16)
DEFINE_FLOAT(uint16_t, int32_t, HALF, NAN_BF16, bf16)
DEFINE_FLOAT(uint32_t, int32_t, SINGLE, NAN_F32, f32)
DEFINE_FLOAT(uint64_t, int64_t, DOUBLE, NAN_F64, f64)

#define INTEGER(name, size) { size, keys_##name, values_##name, NULL, NULL }
#define FLOATING(name, size) { size, keys_##name, values_##name, numbers_##name, zeros_##name }

extern const pb_sort_type OP(sort_types)[PB_DTYPES];
const pb_sort_type OP(sort_types)[PB_DTYPES] = {
    [PB_BOOL] = INTEGER(u8, 4), [PB_I8] = INTEGER(i8, 4), [PB_I16] = INTEGER(i16, 4),
    [PB_I32] = INTEGER(i32, 4), [PB_I64] = INTEGER(i64, 8), [PB_U8] = INTEGER(u8, 4),
    [PB_U16] = INTEGER(u16, 4), [PB_U32] = INTEGER(u32, 4), [PB_U64] = INTEGER(u64, 8),
    [PB_F16] = FLOATING(f16, 4), [PB_BF16] = FLOATING(bf16, 4), [PB_F32] = FLOATING(f32, 4),
    [PB_F64] = FLOATING(f64, 8),
};
