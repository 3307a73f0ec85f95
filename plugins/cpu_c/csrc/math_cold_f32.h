/* f32 functions evaluated in double and rounded once: about 0.5 ULP, gradual underflow and
 * overflow from the final conversion, and all of them vectorise.  Included by math_f32.h. */
#ifndef PB_MATH_COLD_F32_H
#define PB_MATH_COLD_F32_H

static inline float pb_log2_f32(float x)
{
    return (float)(pb_log_f64(x) * 0x1.71547652b82fep+0);
}

static inline float pb_log10_f32(float x)
{
    return (float)(pb_log_f64(x) * 0x1.bcb7b1526e50ep-2);
}

/* |x| is held below 100, where f32 has long overflowed, so that e/(e+1) and 1/e stay finite. */
static inline float pb_sinh_f32(float x)
{
    double a = pb_abs_f32(x);
    a = a > 100.0 ? 100.0 : a;
    double e = pb_expm1_f64(a);
    return pb_with_sign_f32((float)(0.5 * (e + e / (e + 1.0))), x);
}

static inline float pb_cosh_f32(float x)
{
    double a = pb_abs_f32(x);
    double e = pb_exp_f64(a > 100.0 ? 100.0 : a);
    return (float)(0.5 * (e + 1.0 / e));
}

static inline float pb_asinh_f32(float x)
{
    double a = pb_abs_f32(x), z = a * a;
    float y = (float)pb_log1p_f64(a + z / (1.0 + __builtin_sqrt(z + 1.0)));
    return pb_abs_f32(x) < PB_INF_F32 ? pb_with_sign_f32(y, x) : x;
}

static inline float pb_acosh_f32(float x)
{
    double t = (double)x - 1.0;
    float y = (float)pb_log1p_f64(t + __builtin_sqrt(t * (t + 2.0)));
    return x < 1.0f ? PB_NAN_F32 : y;
}

static inline float pb_atanh_f32(float x)
{
    double a = pb_abs_f32(x);
    return pb_with_sign_f32((float)(0.5 * pb_log1p_f64((a + a) / (1.0 - a))), x);
}

/* erf = -expm1(L), L(a) = log erfc(a) = a Q(a): one formula with full relative accuracy down to
 * 0.  Q on [0, 4]: minimax degree 9 with the weight of L in erf, 2^-31.2; erf(4) rounds to 1.
 * e^r - 1: minimax degree 5 above r, 2^-31.9. */
static inline float pb_erf_f32(float x)
{
    double a = pb_abs_f32(x);
    a = a > 4.0 ? 4.0 : a;
    double l = -0x1.40525cf56835bp-20;
    l = PB_FMA_F64(l, a, 0x1.6644f74a94167p-16);
    l = PB_FMA_F64(l, a, -0x1.5f3b7d7d9b446p-13);
    l = PB_FMA_F64(l, a, 0x1.845516d243cd4p-11);
    l = PB_FMA_F64(l, a, -0x1.d7b0894a1556dp-10);
    l = PB_FMA_F64(l, a, 0x1.095a648fc4445p-12);
    l = PB_FMA_F64(l, a, 0x1.39396cd599f76p-6);
    l = PB_FMA_F64(l, a, -0x1.a4f37ea9446c1p-4);
    l = PB_FMA_F64(l, a, -0x1.45f308f2f2352p-1);
    l = PB_FMA_F64(l, a, -0x1.20dd7502278e5p+0) * a;
    double kd = PB_FMA_F64(l, PB_LOG2E_F64, PB_MAGIC_F64);
    double r = PB_FMA_F64(kd - PB_MAGIC_F64, -0x1.62e42fefa39efp-1, l);
    double q = 0x1.a032f54d1f8b8p-13;
    q = PB_FMA_F64(q, r, 0x1.6d755ce09447ep-10);
    q = PB_FMA_F64(q, r, 0x1.11118bcb49bb6p-7);
    q = PB_FMA_F64(q, r, 0x1.5554adf7048c8p-5);
    q = PB_FMA_F64(q, r, 0x1.555554ec86b39p-3);
    q = PB_FMA_F64(q, r, 0x1.000000270d3fap-1);
    double s = pb_pow2_f64(kd), t = PB_FMA_F64(r * r, q, r);
    return pb_with_sign_f32((float)((1.0 - s) - s * t), x);
}

/* e^(y log|x|) in double, then the C99 table, one condition per select (mixing comparisons of
 * several widths in one mask stops GCC 12).  Integers are recognised below 2^30: larger floats
 * are even integers, and infinity counts as one. */
static inline float pb_pow_f32(float x, float y)
{
    double u = x, w = y, a = pb_abs_f64(u), b = pb_abs_f64(w);
    double v = pb_exp_f64(w * pb_log_f64(a));
    v = a == 1.0 ? 1.0 : v;                             /* also |y| = inf */
    b = b < 0x1p30 ? b : 0x1p30;
    double h = 0.5 * b, whole = (b + 0x1p52) - 0x1p52, even = (h + 0x1p52) - 0x1p52;
    double negative = u < 0.0 ? PB_NAN_F64 : v;         /* y not an integer */
    negative = a == PB_INF_F64 ? v : negative;
    double odd = even == h ? v : pb_with_sign_f64(v, u);
    v = whole == b ? odd : negative;
    v = u != u ? u : v;
    v = w != w ? w : v;
    v = u == 1.0 ? 1.0 : v;
    return (float)(w == 0.0 ? 1.0 : v);
}

static inline float pb_hypot_f32(float x, float y)
{
    double a = pb_abs_f32(x), b = pb_abs_f32(y);
    float v = (float)__builtin_sqrt(a * a + b * b);
    return (a == PB_INF_F64) | (b == PB_INF_F64) ? PB_INF_F32 : v;
}

static inline float pb_logaddexp_f32(float a, float b)
{
    return (float)pb_logaddexp_f64(a, b);
}

#endif
