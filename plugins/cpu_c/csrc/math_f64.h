/* f64 scalar math: basic operations, exponentials, logarithms, tanh, sigmoid, erf.
 *
 * Vectorised by GCC: everything here except the functions at the end that call libm (cold, and
 * within 2 ULP there).  The f32 headers also use these kernels, for functions whose f32 form
 * is simplest as one double evaluation and a final rounding.
 *
 * Polynomials marked "minimax" are our own Remez fits (60-80 digits, relative weight of the
 * whole function) with the largest error before coefficient rounding; splits of constants leave
 * trailing zeros so that n * hi is exact.
 */
#ifndef PB_MATH_F64_H
#define PB_MATH_F64_H

#include "math_base.h"

/* Exact remainder of truncated division.  With FMA and a quotient below 2^52, a - trunc(a/b)*b
 * is a multiple of ulp(b) no larger than b, hence exact; q may be one too far when a/b rounded
 * up to an integer, which shows as a negative remainder.  The rest (and NaN) goes to libm. */
static inline double pb_fmod_f64(double a, double b)
{
    double x = __builtin_fabs(a), y = __builtin_fabs(b);
    if (x < y)
        return a;
#ifdef PB_HAS_FMA
    double q = x / y;
    if (q < 0x1p52) {
        double r = __builtin_fma(-__builtin_trunc(q), y, x);
        return pb_with_sign_f64(r < 0.0 ? r + y : r, a);
    }
#endif
    return fmod(a, b);
}

#define PB_FN(name) pb_##name##_f64
#define PB_T double
#define PB_U uint64_t
#define PB_C(x) (x)
#define PB_LIBM(name) name
#define PB_SIGN_T PB_SIGN_F64
#define PB_INF_T PB_INF_F64
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

#define PB_LOG2E_F64 0x1.71547652b82fep+0
/* 33 bits, so n * hi is exact for |n| < 2^20; hi + lo = ln 2 to 2^-88. */
#define PB_LN2_HI_F64 0x1.62e42fefp-1
#define PB_LN2_LO_F64 0x1.473de6af278edp-34

/* 2^n for the integer in the low bits of the magic sum kd, -1022 <= n <= 1023. */
static inline double pb_pow2_f64(double kd)
{
    return pb_from_bits_f64((pb_bits_f64(kd) << 52) + 0x3ff0000000000000u);
}

/* p * 2^n for -1100 < n < 1100 in two exact-or-final steps, so that subnormal results round
 * once; the bias keeps the halving a logical shift. */
static inline double pb_scale_f64(double p, double kd)
{
    uint64_t k = pb_bits_f64(kd) - PB_MAGIC_BITS_F64 + 2200;
    uint64_t half = k >> 1, rest = k - half;
    double s1 = pb_from_bits_f64((half - (1100 - 1023)) << 52);
    double s2 = pb_from_bits_f64((rest - (1100 - 1023)) << 52);
    return p * s1 * s2;
}

/* (e^r - 1 - r) / r^2 on |r| <= 0.348; minimax degree 9, 2^-57.8 of e^r. */
static inline double pb_exp_poly_f64(double r)
{
    double q = 0x1.ad7d487ccd34ap-26;
    q = PB_FMA_F64(q, r, 0x1.28af6ba7edbc3p-22);
    q = PB_FMA_F64(q, r, 0x1.71df2a19010f5p-19);
    q = PB_FMA_F64(q, r, 0x1.a019980174b8cp-16);
    q = PB_FMA_F64(q, r, 0x1.a01a0126a8b11p-13);
    q = PB_FMA_F64(q, r, 0x1.6c16c184e0952p-10);
    q = PB_FMA_F64(q, r, 0x1.1111111128b5dp-7);
    q = PB_FMA_F64(q, r, 0x1.5555555550576p-5);
    q = PB_FMA_F64(q, r, 0x1.55555555554f5p-3);
    return PB_FMA_F64(q, r, 0x1.000000000000ap-1);
}

/* e^c = 2^n (1 + t): returns t, |t| < 0.42, and the magic sum of n in *kd. */
static inline double pb_exp_core_f64(double c, double *kd)
{
    *kd = PB_FMA_F64(c, PB_LOG2E_F64, PB_MAGIC_F64);
    double n = *kd - PB_MAGIC_F64;
    double r = PB_FMA_F64(n, -PB_LN2_HI_F64, c);
    r = PB_FMA_F64(n, -PB_LN2_LO_F64, r);
    return PB_FMA_F64(r * r, pb_exp_poly_f64(r), r);
}

static inline double pb_exp_f64(double x)
{
    double c = x < -746.0 ? -746.0 : x;   /* e^-746 < 2^-1075: rounds to 0; NaN passes */
    c = c > 710.0 ? 710.0 : c;            /* e^710 overflows */
    double kd, t = pb_exp_core_f64(c, &kd);
    return pb_scale_f64(1.0 + t, kd);
}

/* 2^n (1 + r + t) - 1 with t = r^2 q(r) plus the rounding error of r.  In units of 2^(n-1), so
 * that n = 1024 is reachable: (h - 1/2) and h*r are exact, their sum is made exact by
 * Fast2Sum (|h - 1/2| >= |h r| or h = 1/2), and everything inexact enters below it: the result
 * is twice the returned value plus *low. */
static inline double pb_expm1_core_f64(double c, double *low)
{
    double kd = PB_FMA_F64(c, PB_LOG2E_F64, PB_MAGIC_F64);
    double n = kd - PB_MAGIC_F64;
    double hi = PB_FMA_F64(n, -PB_LN2_HI_F64, c), w = n * PB_LN2_LO_F64;
    double r = hi - w, rl = (hi - r) - w;
    /* (e^r - 1 - r) / r^2, |r| <= 0.348; minimax degree 10, 2^-61.6 of e^r - 1 */
    double q = 0x1.1ef431dd4fa27p-29;
    q = PB_FMA_F64(q, r, 0x1.af612e5fd7eb3p-26);
    q = PB_FMA_F64(q, r, 0x1.27e52f54372a7p-22);
    q = PB_FMA_F64(q, r, 0x1.71ddf70927da9p-19);
    q = PB_FMA_F64(q, r, 0x1.a01a017eb3764p-16);
    q = PB_FMA_F64(q, r, 0x1.a01a01b05cae9p-13);
    q = PB_FMA_F64(q, r, 0x1.6c16c16c1e774p-10);
    q = PB_FMA_F64(q, r, 0x1.111111110f5a1p-7);
    q = PB_FMA_F64(q, r, 0x1.5555555555540p-5);
    q = PB_FMA_F64(q, r, 0x1.5555555555559p-3);
    q = PB_FMA_F64(q, r, 0.5);
    double t = PB_FMA_F64(r * r, q, rl);
    double h = pb_from_bits_f64((pb_bits_f64(kd) << 52) + 0x3fe0000000000000u);
    double a = h - 0.5, b = h * r, s = a + b, e = (a - s) + b;
    *low = PB_FMA_F64(h, t, e);
    return s;
}

static inline double pb_expm1_f64(double x)
{
    double c = x < -40.0 ? -40.0 : x;
    c = c > 710.0 ? 710.0 : c;
    double low, high = pb_expm1_core_f64(c, &low);
    return pb_abs_f64(x) < 0x1p-54 ? x : 2.0 * (high + low);
}

/* log(m 2^k) + c from f = m - 1, sqrt(1/2) <= m < sqrt(2): with s = f/(2+f),
 * log(1+f) = f - f^2/2 + s (f^2/2 + s^2 P(s^2)).  P: minimax degree 6, 2^-59.5 of log(1+f). */
static inline double pb_log_core_f64(double f, double k, double c)
{
    double s = f / (2.0 + f), z = s * s, hf = 0.5 * f * f;
    double p = 0x1.2f08ef2f0b6bdp-3;
    p = PB_FMA_F64(p, z, 0x1.39a164de65a0cp-3);
    p = PB_FMA_F64(p, z, 0x1.7466421082f9fp-3);
    p = PB_FMA_F64(p, z, 0x1.c71c51fad8b2bp-3);
    p = PB_FMA_F64(p, z, 0x1.2492494201e1ep-2);
    p = PB_FMA_F64(p, z, 0x1.999999997fc9fp-2);
    p = PB_FMA_F64(p, z, 0x1.5555555555593p-1);
    double t = PB_FMA_F64(s, PB_FMA_F64(z, p, hf), PB_FMA_F64(k, PB_LN2_LO_F64, c));
    return PB_FMA_F64(k, PB_LN2_HI_F64, f - (hf - t));
}

/* Exponent field as a double: OR it under 2^52 and subtract. */
#define PB_LOG_OFFSET_F64 0x00095f6200000000u   /* bits(1.0) - bits(~sqrt(1/2)) */
static inline double pb_exponent_f64(uint64_t u)
{
    return pb_from_bits_f64((u >> 52) | 0x4330000000000000u) - (0x1p52 + 1023.0);
}

static inline double pb_mantissa_f64(uint64_t u)
{
    return pb_from_bits_f64((u & 0x000fffffffffffffu) +
                            (0x3ff0000000000000u - PB_LOG_OFFSET_F64));
}

static inline double pb_log_f64(double x)
{
    double scaled = x < 0x1p-1022 ? x * 0x1p54 : x;
    uint64_t u = pb_bits_f64(scaled) + PB_LOG_OFFSET_F64;
    double k = pb_exponent_f64(u) - (x < 0x1p-1022 ? 54.0 : 0.0);
    double y = pb_log_core_f64(pb_mantissa_f64(u) - 1.0, k, 0.0);
    y = x < PB_INF_F64 ? y : x;          /* +inf and NaN */
    y = x < 0.0 ? PB_NAN_F64 : y;
    return x == 0.0 ? -PB_INF_F64 : y;
}

/* log(1 + x + low), low small against x: log(u) + (x - (u - 1) + low) / u with u = fl(1 + x);
 * where u needs no exponent, f is x itself. */
static inline double pb_log1p_core_f64(double x, double low)
{
    double v = 1.0 + x;
    uint64_t u = pb_bits_f64(v) + PB_LOG_OFFSET_F64;
    double k = pb_exponent_f64(u);
    double lost = v >= 2.0 ? 1.0 - (v - x) : x - (v - 1.0);
    double f = k == 0.0 ? x : pb_mantissa_f64(u) - 1.0;
    return pb_log_core_f64(f, k, ((k == 0.0 ? 0.0 : lost) + low) / v);
}

static inline double pb_log1p_f64(double x)
{
    double y = pb_abs_f64(x) < 0x1p-54 ? x : pb_log1p_core_f64(x, 0.0);
    y = x < PB_INF_F64 ? y : x;
    y = x < -1.0 ? PB_NAN_F64 : y;
    return x == -1.0 ? -PB_INF_F64 : y;
}

/* t / (t + 2) from t = e^(2|x|) - 1.  Three roundings would cost 2.4 ULP, so the quotient q gets
 * a correction for what t and the sum dropped; 1 / (t + 2) = (1 - q) / 2 saves a division. */
static inline double pb_tanh_f64(double x)
{
    double a = pb_abs_f64(x);
    double c = a > 22.0 ? 22.0 : a;      /* 1 - tanh(22) < 2^-62 */
    double low, high = pb_expm1_core_f64(2.0 * c, &low);
    double h = high + low, hl = (high - h) + low;             /* t = 2 (h + hl) */
    double d = h + 1.0, big = h > 1.0 ? h : 1.0, small = h > 1.0 ? 1.0 : h;
    double dl = ((big - d) + small) + hl;
    double q = h / d;
    q += (hl - q * dl) * (1.0 - q);
    return a < 0x1p-28 ? x : pb_with_sign_f64(q, x);
}

/* e^-|x| never overflows; below zero it is also the numerator, so no digits are lost.  The
 * quotient is corrected for what e and 1 + e dropped (2.2 ULP without). */
static inline double pb_sigmoid_f64(double x)
{
    double a = pb_abs_f64(x);
    double kd, t = pb_exp_core_f64(a > 746.0 ? -746.0 : -a, &kd), p = 1.0 + t;
    double e = pb_scale_f64(p, kd), el = pb_scale_f64((1.0 - p) + t, kd);
    double d = 1.0 + e, dl = ((1.0 - d) + e) + el;
    double q = (x < 0.0 ? e : 1.0) / d, inverse = x < 0.0 ? 1.0 - q : q;
    return q + ((x < 0.0 ? el : 0.0) - q * dl) * inverse;
}

/* erf: x + x P(x^2) below 1 (minimax degree 11, 2^-56.9), beyond it
 * 1 - exp(L(|x| - 3) - x^2) with L = log(erfc(x) e^(x^2)) on [1, 6] (minimax degree 18, error in
 * erf 2^-59.5; L varies little, so that its rounding does not show); erf(6) rounds to 1. */
static inline double pb_erf_f64(double x)
{
    double a = pb_abs_f64(x), z = x * x;
    double p = -0x1.abae56d3ac75ap-31;
    p = PB_FMA_F64(p, z, 0x1.d71b13f618877p-27);
    p = PB_FMA_F64(p, z, -0x1.5c0727adf2117p-23);
    p = PB_FMA_F64(p, z, 0x1.b97fd3fa427f2p-20);
    p = PB_FMA_F64(p, z, -0x1.f4ca4d72c02f7p-17);
    p = PB_FMA_F64(p, z, 0x1.f9a2baa93d4b2p-14);
    p = PB_FMA_F64(p, z, -0x1.c02db03dd9f46p-11);
    p = PB_FMA_F64(p, z, 0x1.565bccf92b44fp-8);
    p = PB_FMA_F64(p, z, -0x1.b82ce311fa94ap-6);
    p = PB_FMA_F64(p, z, 0x1.ce2f21a040d16p-4);
    p = PB_FMA_F64(p, z, -0x1.812746b0379bdp-2);
    p = PB_FMA_F64(p, z, 0x1.06eba8214db68p-3);
    double c = a > 6.0 ? 6.0 : a, t = c - 3.0;
    double l = 0x1.247a5b74675bbp-40;
    l = PB_FMA_F64(l, t, 0x1.2e4dc0ab2ed9ep-37);
    l = PB_FMA_F64(l, t, 0x1.ae1a72494ad3ap-36);
    l = PB_FMA_F64(l, t, 0x1.e372549cba003p-36);
    l = PB_FMA_F64(l, t, -0x1.2476f4f418513p-33);
    l = PB_FMA_F64(l, t, -0x1.15c5cacb1e41fp-34);
    l = PB_FMA_F64(l, t, -0x1.aefe090e1ce46p-31);
    l = PB_FMA_F64(l, t, 0x1.f8e2c2ec3a0f5p-31);
    l = PB_FMA_F64(l, t, 0x1.9eed00b99bd15p-27);
    l = PB_FMA_F64(l, t, -0x1.23d03d0fdaadcp-23);
    l = PB_FMA_F64(l, t, 0x1.1efba73834cf8p-20);
    l = PB_FMA_F64(l, t, -0x1.dd89be9a69a5dp-18);
    l = PB_FMA_F64(l, t, 0x1.6965338154a02p-15);
    l = PB_FMA_F64(l, t, -0x1.01a075903c83ep-12);
    l = PB_FMA_F64(l, t, 0x1.62c3214375313p-10);
    l = PB_FMA_F64(l, t, -0x1.e5bee8d50d3cdp-8);
    l = PB_FMA_F64(l, t, 0x1.5d06cc9b6dc3fp-5);
    l = PB_FMA_F64(l, t, -0x1.370b35013eb95p-2);
    l = PB_FMA_F64(l, t, -0x1.b869b65a8e581p+0);
    double tail = 1.0 - pb_exp_f64(l - c * c);
    double near = PB_FMA_F64(x, p, x);
    return a < 1.0 ? near : pb_with_sign_f64(tail, x);
}

#include "math_cold_f64.h"
#include "math_trig_f64.h"

#endif
