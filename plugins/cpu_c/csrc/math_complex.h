/* Complex math, for both complex types from one source (math_complex.inc).
 *
 * Sums, products and quotients are computed as NumPy does, part by part, and vectorise: the
 * operators * and / of C repair NaNs by calling a function (C99 annex G).  The elementary functions
 * are those of libm, whose special values are annex G's, and cost 50-100 ns; complex64 goes through
 * double. */
#ifndef PB_MATH_COMPLEX_H
#define PB_MATH_COMPLEX_H

#include <complex.h>

#include "math_f32.h"
#include "math_f64.h"

static inline float _Complex pb_join_c64(float re, float im)
{
    float _Complex z;
    __real__ z = re;
    __imag__ z = im;
    return z;
}

static inline double _Complex pb_join_c128(double re, double im)
{
    double _Complex z;
    __real__ z = re;
    __imag__ z = im;
    return z;
}

static inline float pb_modulus_f32(float x, float y)
{
    return pb_hypot_f32(x, y);
}

/* hypot without libm: it vectorises, and is wrong by less than 2 units in the last place. */
static inline double pb_modulus_f64(double x, double y)
{
    double a = fabs(x), b = fabs(y), most = a > b ? a : b;
    double down = most > 0x1p500 ? 0x1p-600 : most < 0x1p-400 ? 0x1p600 : 1.0;
    double up = most > 0x1p500 ? 0x1p600 : most < 0x1p-400 ? 0x1p-600 : 1.0;
    double u = a * down, v = b * down, size = __builtin_sqrt(u * u + v * v) * up;
    size = a == PB_INF_F64 ? a : size;
    return b == PB_INF_F64 ? b : size;
}

#define PB_FN(name) pb_##name##_c64
#define PB_PART(name) pb_##name##_f32
#define PB_T float
#define PB_SIGN_T PB_SIGN_F32
#include "math_complex.inc"
#undef PB_FN
#undef PB_PART
#undef PB_T
#undef PB_SIGN_T

#define PB_FN(name) pb_##name##_c128
#define PB_PART(name) pb_##name##_f64
#define PB_T double
#define PB_SIGN_T PB_SIGN_F64
#include "math_complex.inc"
#undef PB_FN
#undef PB_PART
#undef PB_T
#undef PB_SIGN_T

/* e^z - 1 without cancellation near 0: its real part is expm1(x) cos y - 2 sin^2(y / 2), where 0 is
 * +0 by the standard. */
static inline double _Complex pb_expm1_c128(double _Complex z)
{
    double x = __real__ z, y = __imag__ z;
    if (!(fabs(x) < 1.0 && fabs(y) < 1e300)) { /* far from 0, and all special values */
        double _Complex e = cexp(z);
        return pb_join_c128(__real__ e - 1.0, __imag__ e);
    }
    double s = sin(0.5 * y);
    return pb_join_c128(expm1(x) * cos(y) - 2.0 * s * s + 0.0, exp(x) * sin(y));
}

/* log u for u = 1 + z rounded, and what rounding took from z: log(u + c) = log u + c / u + ... */
static inline double _Complex pb_log1p_c128(double _Complex z)
{
    double x = __real__ z, y = __imag__ z, u = 1.0 + x;
    double _Complex w = clog(pb_join_c128(u, y));
    double lost = x - (u - 1.0), size = u * u + y * y;
    if (!(size > 0.0 && size < 0x1p200))
        return w;
    if (y == 0.0) /* keeps the sign of a zero */
        return pb_join_c128(__real__ w + lost * u / size, __imag__ w);
    return pb_join_c128(__real__ w + lost * u / size, __imag__ w - lost * y / size);
}

static inline double _Complex pb_scaled_log_c128(double _Complex z, double unit)
{
    double _Complex w = clog(z);
    return pb_join_c128(__real__ w * unit, __imag__ w * unit);
}

static inline double _Complex pb_log2_c128(double _Complex z)
{
    return pb_scaled_log_c128(z, 1.4426950408889634);
}

static inline double _Complex pb_log10_c128(double _Complex z)
{
    return pb_scaled_log_c128(z, 0.4342944819032518);
}

/* a^n by squaring, for small whole n >= 1. */
static inline double _Complex pb_whole_pow_c128(double _Complex a, int n)
{
    double _Complex power = n & 1 ? a : 1.0;
    while (n >>= 1) {
        a = pb_multiply_c128(a, a);
        if (n & 1)
            power = pb_multiply_c128(power, a);
    }
    return power;
}

/* As NumPy has it: x^0 = 1, 0^b = 0 or NaN, small whole powers by squaring.  The rest is
 * exp(b log a), the exponent w in long double: in double its error would be the result's, multiplied
 * by |w|.  exp(w + c) = exp(w) + c exp(w) for what rounding w to double leaves. */
static inline double _Complex pb_pow_c128(double _Complex a, double _Complex b)
{
    double x = __real__ b;
    if (b == 0.0)
        return 1.0;
    if (a == 0.0)
        return x > 0.0 ? pb_join_c128(0.0, 0.0) : pb_join_c128(PB_NAN_F64, PB_NAN_F64);
    if (__imag__ b == 0.0 && fabs(x) <= 16.0 && x == (int)x) {
        double _Complex power = pb_whole_pow_c128(a, (int)fabs(x));
        return x < 0.0 ? pb_reciprocal_c128(power) : power;
    }
    long double _Complex w = b * clogl(a);
    double _Complex near = (double _Complex)w, power = cexp(near);
    double _Complex more = pb_multiply_c128(power, (double _Complex)(w - near));
    return isfinite(__real__ more) && isfinite(__imag__ more) ? power + more : power;
}

/* complex64: in double cpow's error is far below half a unit. */
static inline float _Complex pb_pow_c64(float _Complex a, float _Complex b)
{
    float x = __real__ b;
    if (a == 0.0f || b == 0.0f || (__imag__ b == 0.0f && fabsf(x) <= 16.0f && x == (int)x))
        return (float _Complex)pb_pow_c128(a, b);
    return (float _Complex)cpow(a, b);
}

/* At an infinity the standard gives the zero the sign of the other part; C that of sin 2y. */
static inline double _Complex pb_tanh_c128(double _Complex z)
{
    double x = __real__ z, y = __imag__ z;
    return isinf(x) ? pb_join_c128(copysign(1.0, x), copysign(0.0, y)) : ctanh(z);
}

static inline double _Complex pb_tan_c128(double _Complex z)
{
    double x = __real__ z, y = __imag__ z;
    return isinf(y) ? pb_join_c128(copysign(0.0, x), copysign(1.0, y)) : ctan(z);
}

#define PB_LIBM(name, function) \
    static inline double _Complex pb_##name##_c128(double _Complex z) { return function(z); }
#define PB_NARROW(name) \
    static inline float _Complex pb_##name##_c64(float _Complex z) \
    { \
        return (float _Complex)pb_##name##_c128(z); \
    }
PB_LIBM(sqrt, csqrt)
PB_LIBM(exp, cexp)
PB_LIBM(log, clog)
PB_LIBM(sin, csin)
PB_LIBM(cos, ccos)
PB_LIBM(asin, casin)
PB_LIBM(acos, cacos)
PB_LIBM(atan, catan)
PB_LIBM(sinh, csinh)
PB_LIBM(cosh, ccosh)
PB_LIBM(asinh, casinh)
PB_LIBM(acosh, cacosh)
PB_LIBM(atanh, catanh)

PB_NARROW(sqrt)
PB_NARROW(exp)
PB_NARROW(expm1)
PB_NARROW(log)
PB_NARROW(log1p)
PB_NARROW(log2)
PB_NARROW(log10)
PB_NARROW(sin)
PB_NARROW(cos)
PB_NARROW(tan)
PB_NARROW(asin)
PB_NARROW(acos)
PB_NARROW(atan)
PB_NARROW(sinh)
PB_NARROW(cosh)
PB_NARROW(tanh)
PB_NARROW(asinh)
PB_NARROW(acosh)
PB_NARROW(atanh)
#undef PB_LIBM
#undef PB_NARROW

#endif
