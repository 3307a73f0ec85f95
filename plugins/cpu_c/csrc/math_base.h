/* Ground floor of the scalar math: bit casts, the FMA macro, limits, and small bit tricks.
 *
 * Every function in the math_*.h headers is straight-line scalar C that GCC if-converts and
 * vectorises inside `for (i < n) out[i] = f(a[i]);`, from one source for SSE2, AVX2+FMA and
 * AVX-512.  That asks for three habits, kept throughout:
 *   - no float -> int conversion (SSE2/AVX2 have none for 64 bits, and NaN is undefined
 *     behaviour): add 1.5*2^(p-1), and the low mantissa bits are the rounded integer in two's
 *     complement;
 *   - 64-bit integers see only + - & | ^ and logical shifts (SSE2 has no 64-bit compare and no
 *     arithmetic shift), comparisons are made on the doubles;
 *   - special values are selected at the end by ternaries on the input, never by early return.
 * The rounding tricks need round-to-nearest and strict IEEE evaluation: no -ffast-math.
 */
#ifndef PB_MATH_BASE_H
#define PB_MATH_BASE_H

#include <math.h>
#include <stdint.h>

/* One rounding where the target has FMA, two elsewhere; no algorithm here relies on the single
 * rounding for correctness, only for its last tenths of an ULP.  (libm's software fma would be
 * a call, and stop vectorisation.) */
#if defined(__FMA__) || defined(__AVX512F__)   /* -mavx512f has FMA without saying __FMA__ */
#define PB_HAS_FMA 1
#endif
#ifdef PB_HAS_FMA
#define PB_FMA_F32(a, b, c) __builtin_fmaf((a), (b), (c))
#define PB_FMA_F64(a, b, c) __builtin_fma((a), (b), (c))
#else
#define PB_FMA_F32(a, b, c) ((a) * (b) + (c))
#define PB_FMA_F64(a, b, c) ((a) * (b) + (c))
#endif

#define PB_INF_F32 __builtin_inff()
#define PB_NAN_F32 __builtin_nanf("")
#define PB_INF_F64 __builtin_inf()
#define PB_NAN_F64 __builtin_nan("")

#define PB_SIGN_F32 0x80000000u
#define PB_SIGN_F64 0x8000000000000000u

/* 1.5*2^23 and 1.5*2^52: adding one rounds |x| < 2^22 (2^51) to an integer held in the low
 * mantissa bits; subtracting it again gives that integer as a float. */
#define PB_MAGIC_F32 0x1.8p23f
#define PB_MAGIC_BITS_F32 0x4b400000u
#define PB_MAGIC_F64 0x1.8p52
#define PB_MAGIC_BITS_F64 0x4338000000000000u

static inline uint32_t pb_bits_f32(float x)
{
    uint32_t u;
    __builtin_memcpy(&u, &x, sizeof u);
    return u;
}

static inline float pb_from_bits_f32(uint32_t u)
{
    float x;
    __builtin_memcpy(&x, &u, sizeof x);
    return x;
}

static inline uint64_t pb_bits_f64(double x)
{
    uint64_t u;
    __builtin_memcpy(&u, &x, sizeof u);
    return u;
}

static inline double pb_from_bits_f64(uint64_t u)
{
    double x;
    __builtin_memcpy(&x, &u, sizeof x);
    return x;
}

/* |x| with the sign bit of s: for odd functions, whose core sees only |x| (keeps -0.0). */
static inline float pb_with_sign_f32(float x, float s)
{
    return pb_from_bits_f32((pb_bits_f32(x) & ~PB_SIGN_F32) | (pb_bits_f32(s) & PB_SIGN_F32));
}

static inline double pb_with_sign_f64(double x, double s)
{
    return pb_from_bits_f64((pb_bits_f64(x) & ~PB_SIGN_F64) | (pb_bits_f64(s) & PB_SIGN_F64));
}

/* Round half to even, any magnitude.  Without SSE4.1 there is no rounding instruction: use the
 * magic number below 2^(p-1), beyond which every value is already an integer. */
static inline float pb_rint_f32(float x)
{
#ifdef __SSE4_1__
    return __builtin_rintf(x);
#else
    float a = pb_from_bits_f32(pb_bits_f32(x) & ~PB_SIGN_F32);
    float r = (a + 0x1p23f) - 0x1p23f;
    return a < 0x1p23f ? pb_with_sign_f32(r, x) : x;
#endif
}

static inline double pb_rint_f64(double x)
{
#ifdef __SSE4_1__
    return __builtin_rint(x);
#else
    double a = pb_from_bits_f64(pb_bits_f64(x) & ~PB_SIGN_F64);
    double r = (a + 0x1p52) - 0x1p52;
    return a < 0x1p52 ? pb_with_sign_f64(r, x) : x;
#endif
}

#endif
