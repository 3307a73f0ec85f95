/* float16 and bfloat16 (stored as uint16_t) to and from f32: round to nearest even, gradual
 * underflow, overflow to infinity, NaN to quiet NaN of the same sign.  Integer selects only, so
 * that the conversion loops vectorise on SSE2 (F16C is not assumed).
 */
#ifndef PB_CONVERT_H
#define PB_CONVERT_H

#include "math_base.h"

/* Normal numbers move the exponent bias from 15 to 127.  A subnormal mantissa m is put under
 * the exponent of 2^-14 and that 2^-14 subtracted: exact, and never a denormal operand, which
 * would cost an assist on most cores.  The exponent 31 becomes 255. */
static inline float pb_f16_to_f32(uint16_t h)
{
    uint32_t u = (uint32_t)(h & 0x7fff) << 13;
    uint32_t normal = u + ((127u - 15u) << 23);
    uint32_t small = pb_bits_f32(pb_from_bits_f32(u + (113u << 23)) - 0x1p-14f);
    uint32_t quiet = u > (31u << 23) ? 1u << 22 : 0;
    uint32_t special = (u + ((255u - 31u) << 23)) | quiet;
    uint32_t r = u < (1u << 23) ? small : normal;
    r = u >= (31u << 23) ? special : r;
    return pb_from_bits_f32(r | (uint32_t)(h & 0x8000) << 16);
}

/* Normal results add half of the dropped 13 bits less one, plus the kept low bit (ties to even);
 * a carry runs into the exponent and, at 65520, into infinity.  Below 2^-14 adding 1/2 lines the
 * bits up at 2^-24, the FPU doing the rounding. */
static inline uint16_t pb_f32_to_f16(float x)
{
    uint32_t u = pb_bits_f32(x), a = u & 0x7fffffffu;
    uint32_t normal = (a - ((127u - 15u) << 23) + 0xfffu + ((a >> 13) & 1)) >> 13;
    float magnitude = pb_from_bits_f32(a < (113u << 23) ? a : 0);
    uint32_t small = pb_bits_f32(magnitude + 0.5f) - 0x3f000000u;
    uint32_t r = a < (113u << 23) ? small : normal;
    r = a >= 0x47800000u ? 0x7c00u : r;                                  /* >= 65536, inf */
    r = a > 0x7f800000u ? 0x7e00u | ((a >> 13) & 0x3ffu) : r;            /* NaN */
    return (uint16_t)(r | ((u >> 16) & 0x8000u));
}

static inline float pb_bf16_to_f32(uint16_t b)
{
    uint32_t u = (uint32_t)b << 16;
    uint32_t quiet = (u & 0x7fffffffu) > 0x7f800000u ? 1u << 22 : 0;
    return pb_from_bits_f32(u | quiet);
}

static inline uint16_t pb_f32_to_bf16(float x)
{
    uint32_t u = pb_bits_f32(x);
    uint32_t r = (u + 0x7fffu + ((u >> 16) & 1)) >> 16;
    r = (u & 0x7fffffffu) > 0x7f800000u ? (u >> 16) | 0x40u : r;
    return (uint16_t)r;
}

#endif
