/* f32 scalar math: basic operations and the hot functions exp, expm1, log, log1p, tanh, sigmoid
 * in native f32 (a full vector of lanes, no divisions where avoidable).  Everything vectorises
 * under SSE2, AVX2+FMA and AVX-512 except remainder and floor_divide, and nothing here needs
 * patching.  math_cold_f32.h and math_trig_f32.h hold the rest: one double evaluation, rounded
 * once, hence about 0.5 ULP, at a third to a half of the speed.
 *
 * Polynomials marked "minimax" are our own Remez fits, with the largest error relative to the
 * whole function before the coefficients were rounded to f32.
 */
#ifndef PB_MATH_F32_H
#define PB_MATH_F32_H

#include "math_base.h"
#include "math_f64.h"

/* Exact remainder of truncated division.  24-bit operands and a quotient below 2^28 make
 * trunc(a/b)*b fit 53 bits, and a/b in double never rounds up to an integer it did not reach
 * (it would have to be closer than 2^-24).  Larger quotients, NaN and b = 0 go to libm. */
static inline float pb_fmod_f32(float a, float b)
{
    double x = a, y = b, q = x / y;
    if (q < 0x1p28 && q > -0x1p28) {
        double t = (double)(int32_t)q;
        return pb_with_sign_f32((float)(b - b == 0.0f ? x - t * y : x), a);
    }
    return fmodf(a, b);
}

#define PB_FN(name) pb_##name##_f32
#define PB_T float
#define PB_U uint32_t
#define PB_C(x) ((float)(x))
#define PB_LIBM(name) name##f
#define PB_SIGN_T PB_SIGN_F32
#define PB_INF_T PB_INF_F32
#define PB_MIN_SUB 1u
#include "math_basic.inc"
#undef PB_FN
#undef PB_T
#undef PB_U
#undef PB_C
#undef PB_LIBM
#undef PB_SIGN_T
#undef PB_INF_T
#undef PB_MIN_SUB

#define PB_LOG2E_F32 0x1.715476p+0f
/* 15 bits, so n * hi is exact for |n| < 2^9; hi + lo = ln 2 to 2^-45. */
#define PB_LN2_HI_F32 0x1.62e4p-1f
#define PB_LN2_LO_F32 0x1.7f7d1cp-20f

/* (e^r - 1 - r) / r^2 on |r| <= 0.348; minimax degree 5, 2^-31.9 of e^r - 1. */
static inline float pb_exp_poly_f32(float r)
{
    float q = 0x1.a032f6p-13f;
    q = PB_FMA_F32(q, r, 0x1.6d755cp-10f);
    q = PB_FMA_F32(q, r, 0x1.11118cp-7f);
    q = PB_FMA_F32(q, r, 0x1.5554aep-5f);
    q = PB_FMA_F32(q, r, 0x1.555554p-3f);
    return PB_FMA_F32(q, r, 0.5f);
}

/* p * 2^n for -252 <= n <= 254, n in the low bits of the magic sum kd: two factors, so that
 * subnormal results round once and 2^128 is reachable. */
static inline float pb_scale_f32(float p, float kd)
{
    int32_t k = (int32_t)(pb_bits_f32(kd) - PB_MAGIC_BITS_F32), half = k >> 1;
    float s1 = pb_from_bits_f32((uint32_t)(half + 127) << 23);
    float s2 = pb_from_bits_f32((uint32_t)(k - half + 127) << 23);
    return p * s1 * s2;
}

/* e^c = 2^n (1 + t): returns t, |t| < 0.42, and the magic sum of n in *kd. */
static inline float pb_exp_core_f32(float c, float *kd)
{
    *kd = PB_FMA_F32(c, PB_LOG2E_F32, PB_MAGIC_F32);
    float n = *kd - PB_MAGIC_F32;
    float r = PB_FMA_F32(n, -PB_LN2_HI_F32, c);
    r = PB_FMA_F32(n, -PB_LN2_LO_F32, r);
    return PB_FMA_F32(r * r, pb_exp_poly_f32(r), r);
}

/* Functions with a _fast half are cheaper where no result is subnormal or overflows; loops look
 * whether any element needs the other half (generate.py).  Both give the same bits where both hold. */
#define PB_EXP_LIMIT_F32 87.0f   /* e^-87 > 2^-126, e^87 < 2^128 */
static inline uint8_t pb_exp_f32_needs_patch(float x)
{
    return (uint8_t)((pb_bits_f32(PB_EXP_LIMIT_F32) - (pb_bits_f32(x) & ~PB_SIGN_F32)) >> 31);
}

static inline float pb_exp_f32_fast(float x)
{
    float kd, t = pb_exp_core_f32(x, &kd);
    float s = pb_from_bits_f32((pb_bits_f32(kd) << 23) + 0x3f800000u);
    return PB_FMA_F32(s, t, s);   /* NaN stays: simd/rows.inc relies on it */
}

static inline float pb_exp_f32(float x)
{
    float c = x < -104.0f ? -104.0f : x;   /* e^-104 < 2^-150: rounds to 0; NaN passes */
    c = c > 89.0f ? 89.0f : c;             /* e^89 overflows */
    float kd, t = pb_exp_core_f32(c, &kd);
    return pb_scale_f32(1.0f + t, kd);
}

static inline float pb_exp_f32_patch(float x)
{
    return pb_exp_f32(x);
}

/* As pb_expm1_f64: units of 2^(n-1), the leading sum made exact by Fast2Sum. */
static inline float pb_expm1_f32(float x)
{
    float c = x < -20.0f ? -20.0f : x;
    c = c > 89.0f ? 89.0f : c;
    float kd = PB_FMA_F32(c, PB_LOG2E_F32, PB_MAGIC_F32);
    float n = kd - PB_MAGIC_F32;
    float hi = PB_FMA_F32(n, -PB_LN2_HI_F32, c), w = n * PB_LN2_LO_F32;
    float r = hi - w, rl = (hi - r) - w;
    float t = PB_FMA_F32(r * r, pb_exp_poly_f32(r), rl);
    float h = pb_from_bits_f32((pb_bits_f32(kd) << 23) + 0x3f000000u);
    float a = h - 0.5f, b = h * r, s = a + b, e = (a - s) + b;
    float y = 2.0f * (s + PB_FMA_F32(h, t, e));
    return pb_abs_f32(x) < 0x1p-25f ? x : y;
}

/* log(m 2^k) + c from f = m - 1, sqrt(1/2) <= m < sqrt(2):
 * log(1+f) = f - f^2/2 + f^3 P(f); minimax degree 8, 2^-30.3 of log(1+f). */
static inline float pb_log_core_f32(float f, float k, float c)
{
    float z = f * f, p = 0x1.145adcp-4f;
    p = PB_FMA_F32(p, f, -0x1.de3dc6p-4f);
    p = PB_FMA_F32(p, f, 0x1.e6efd8p-4f);
    p = PB_FMA_F32(p, f, -0x1.fc21b0p-4f);
    p = PB_FMA_F32(p, f, 0x1.23376cp-3f);
    p = PB_FMA_F32(p, f, -0x1.555c50p-3f);
    p = PB_FMA_F32(p, f, 0x1.99a4b6p-3f);
    p = PB_FMA_F32(p, f, -0x1.000006p-2f);
    p = PB_FMA_F32(p, f, 0x1.555548p-2f);
    float t = PB_FMA_F32(p, f * z, PB_FMA_F32(k, PB_LN2_LO_F32, c));
    t = PB_FMA_F32(-0.5f, z, t);
    return PB_FMA_F32(k, PB_LN2_HI_F32, f + t);
}

#define PB_LOG_OFFSET_F32 0x004afb0du   /* bits(1.0f) - bits(~sqrt(1/2)) */
static inline float pb_exponent_f32(uint32_t u)
{
    return (float)((int32_t)(u >> 23) - 127);
}

static inline float pb_mantissa_f32(uint32_t u)
{
    return pb_from_bits_f32((u & 0x007fffffu) + (0x3f800000u - PB_LOG_OFFSET_F32));
}

static inline float pb_log_f32(float x)
{
    float scaled = x < 0x1p-126f ? x * 0x1p25f : x;
    uint32_t u = pb_bits_f32(scaled) + PB_LOG_OFFSET_F32;
    float k = pb_exponent_f32(u) - (x < 0x1p-126f ? 25.0f : 0.0f);
    float y = pb_log_core_f32(pb_mantissa_f32(u) - 1.0f, k, 0.0f);
    y = x < PB_INF_F32 ? y : x;           /* +inf and NaN */
    y = x < 0.0f ? PB_NAN_F32 : y;
    return x == 0.0f ? -PB_INF_F32 : y;
}

/* log(u) + (x - (u - 1)) / u with u = fl(1 + x); where u needs no exponent, f is x itself. */
static inline float pb_log1p_f32(float x)
{
    float v = 1.0f + x;
    uint32_t u = pb_bits_f32(v) + PB_LOG_OFFSET_F32;
    float k = pb_exponent_f32(u);
    float lost = v >= 2.0f ? 1.0f - (v - x) : x - (v - 1.0f);
    float f = k == 0.0f ? x : pb_mantissa_f32(u) - 1.0f;
    float y = pb_log_core_f32(f, k, k == 0.0f ? 0.0f : lost / v);
    y = pb_abs_f32(x) < 0x1p-25f ? x : y;
    y = x < PB_INF_F32 ? y : x;
    y = x < -1.0f ? PB_NAN_F32 : y;
    return x == -1.0f ? -PB_INF_F32 : y;
}

/* x + x^3 P(x^2) below 0.625 (minimax degree 5, 2^-32.6), else 1 - 2 / (e^(2|x|) + 1), where e^c may
 * be coarser than pb_exp_core_f32's: an error of d takes the result off by 2 d / e^(2|x|) at most.  So
 * ln 2 is one float (n roundings of it come with e^-c = 2^-n) and e^r - 1 minimax degree 6, 2^-28.2. */
static inline float pb_tanh_f32(float x)
{
    float a = pb_abs_f32(x), z = x * x;
    float p = 0x1.197b76p-9f;
    p = PB_FMA_F32(p, z, -0x1.0c2144p-7f);
    p = PB_FMA_F32(p, z, 0x1.6394d8p-6f);
    p = PB_FMA_F32(p, z, -0x1.b9ef7cp-5f);
    p = PB_FMA_F32(p, z, 0x1.11106cp-3f);
    p = PB_FMA_F32(p, z, -0x1.555554p-2f);
    float near = PB_FMA_F32(a * z, p, a);
    float c = a > 10.0f ? 20.0f : a + a;   /* 1 - tanh(10) < 2^-27 */
    float kd = PB_FMA_F32(c, PB_LOG2E_F32, PB_MAGIC_F32);
    float r = PB_FMA_F32(kd - PB_MAGIC_F32, -0x1.62e430p-1f, c), q = 0x1.6a2040p-10f;
    q = PB_FMA_F32(q, r, 0x1.123c44p-7f);
    q = PB_FMA_F32(q, r, 0x1.555900p-5f);
    q = PB_FMA_F32(q, r, 0x1.55548ep-3f);
    q = PB_FMA_F32(q, r, 0x1.fffffcp-2f);
    float s = pb_from_bits_f32((pb_bits_f32(kd) << 23) + 0x3f800000u);
    float e = PB_FMA_F32(s, PB_FMA_F32(r * r, q, r), s);
    float far = 1.0f - 2.0f / (e + 1.0f);
    return pb_with_sign_f32(a < 0.625f ? near : far, x);
}

/* From 2^n (1 + t) = e^-|x|, which never overflows: e, and el for what e dropped.  Below zero e is
 * also the numerator, so no digits are lost.  The quotient is corrected for what e and 1 + e dropped
 * (2.01 ULP without). */
static inline float pb_sigmoid_of_f32(float x, float e, float el)
{
    float d = 1.0f + e, dl = ((1.0f - d) + e) + el;
    float q = (x < 0.0f ? e : 1.0f) / d, inverse = x < 0.0f ? 1.0f - q : q;
    return q + ((x < 0.0f ? el : 0.0f) - q * dl) * inverse;
}

static inline uint8_t pb_sigmoid_f32_needs_patch(float x)
{
    return pb_exp_f32_needs_patch(x);
}

static inline float pb_sigmoid_f32_fast(float x)
{
    float kd, t = pb_exp_core_f32(-pb_abs_f32(x), &kd), p = 1.0f + t;
    float s = pb_from_bits_f32((pb_bits_f32(kd) << 23) + 0x3f800000u);
    return pb_sigmoid_of_f32(x, p * s, ((1.0f - p) + t) * s);
}

static inline float pb_sigmoid_f32(float x)
{
    float a = pb_abs_f32(x);
    float kd, t = pb_exp_core_f32(a > 104.0f ? -104.0f : -a, &kd), p = 1.0f + t;
    return pb_sigmoid_of_f32(x, pb_scale_f32(p, kd), pb_scale_f32((1.0f - p) + t, kd));
}

static inline float pb_sigmoid_f32_patch(float x)
{
    return pb_sigmoid_f32(x);
}

#include "math_cold_f32.h"
#include "math_trig_f32.h"

#endif
