/* Integer scalar math: math_int.inc once per type.  Everything is total: no trap, no undefined
 * behaviour (arithmetic that may wrap is done on unsigned images), results equal to NumPy's.
 *
 * PB_W is the unsigned type arithmetic happens in: at least 32 bits, since C would otherwise
 * promote 16-bit operands to int, whose product can overflow.
 *
 * x86 has no vector integer division: for up to 32 bits the quotient is taken in floating point,
 * PB_D.  trunc(fl(a/b)) is the exact quotient there, because a/b misses the next integer by at
 * least 1/|b|, relative to a/b at least 1/|a|: 2^-8 and 2^-16 against 2^-24 (float), 2^-32
 * against 2^-53 (double).  64 bits divide one by one.
 */
#ifndef PB_MATH_INT_H
#define PB_MATH_INT_H

#include <stdint.h>

#define PB_SIGNED 1

#define PB_I(name) pb_##name##_i8
#define PB_T int8_t
#define PB_U uint8_t
#define PB_W uint32_t
#define PB_D float
#include "math_int.inc"

#define PB_I(name) pb_##name##_i16
#define PB_T int16_t
#define PB_U uint16_t
#define PB_W uint32_t
#define PB_D float
#include "math_int.inc"

#define PB_I(name) pb_##name##_i32
#define PB_T int32_t
#define PB_U uint32_t
#define PB_W uint32_t
#define PB_D double
#include "math_int.inc"

#define PB_I(name) pb_##name##_i64
#define PB_T int64_t
#define PB_U uint64_t
#define PB_W uint64_t
#include "math_int.inc"

#undef PB_SIGNED
#define PB_SIGNED 0

#define PB_I(name) pb_##name##_u8
#define PB_T uint8_t
#define PB_U uint8_t
#define PB_W uint32_t
#define PB_D float
#include "math_int.inc"

#define PB_I(name) pb_##name##_u16
#define PB_T uint16_t
#define PB_U uint16_t
#define PB_W uint32_t
#define PB_D float
#include "math_int.inc"

#define PB_I(name) pb_##name##_u32
#define PB_T uint32_t
#define PB_U uint32_t
#define PB_W uint32_t
#include "math_int.inc"

#define PB_I(name) pb_##name##_u64
#define PB_T uint64_t
#define PB_U uint64_t
#define PB_W uint64_t
#include "math_int.inc"

#undef PB_SIGNED

static inline uint8_t pb_invert_b8(uint8_t x)
{
    return !x;
}

static inline uint32_t pb_multiply_high_u32(uint32_t a, uint32_t b)
{
    return (uint32_t)(((uint64_t)a * b) >> 32);
}

#endif
