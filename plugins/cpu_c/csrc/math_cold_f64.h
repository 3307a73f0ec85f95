/* f64 functions outside the hot set: libm, one call per element, except where a form on the
 * kernels of math_f64.h is as accurate. Included by math_f64.h. */
#ifndef PB_MATH_COLD_F64_H
#define PB_MATH_COLD_F64_H

static inline double pb_log2_f64(double x) { return log2(x); }
static inline double pb_log10_f64(double x) { return log10(x); }
static inline double pb_tan_f64(double x) { return tan(x); }
static inline double pb_asin_f64(double x) { return asin(x); }
static inline double pb_acos_f64(double x) { return acos(x); }
static inline double pb_atan_f64(double x) { return atan(x); }
static inline double pb_sinh_f64(double x) { return sinh(x); }
static inline double pb_cosh_f64(double x) { return cosh(x); }
static inline double pb_asinh_f64(double x) { return asinh(x); }
static inline double pb_acosh_f64(double x) { return acosh(x); }
static inline double pb_atanh_f64(double x) { return atanh(x); }
static inline double pb_pow_f64(double x, double y) { return pow(x, y); }
static inline double pb_atan2_f64(double y, double x) { return atan2(y, x); }
static inline double pb_hypot_f64(double x, double y) { return hypot(x, y); }

/* max + log1p(e^d), d = min - max; equal arguments, infinities included, give a + ln 2.  What d and
 * e^d drop is carried along: with max near 0 their errors, up to |d|/2 ULP, would all show.
 * Within 2 ULP unless the two terms cancel (e^a + e^b near 1), and then of the larger term. */
static inline double pb_logaddexp_f64(double a, double b)
{
    double m = a > b ? a : b, l = a > b ? b : a;
    double d = l - m, z = d - l, dl = (l - (d - z)) - (m + z);   /* TwoSum */
    dl = d < -746.0 ? 0.0 : dl;                                  /* also infinite d */
    double kd, t = pb_exp_core_f64(d < -746.0 ? -746.0 : d, &kd), p = 1.0 + t;
    double e = pb_scale_f64(p, kd), el = pb_scale_f64((1.0 - p) + PB_FMA_F64(p, dl, t), kd);
    double y = m + (e < 0x1p-54 ? e + el : pb_log1p_core_f64(e, el));
    return a == b ? a + 0x1.62e42fefa39efp-1 : y;
}

#endif
