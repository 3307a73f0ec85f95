/* f64 sin and cos.
 *
 * pb_sin_f64 and pb_cos_f64 are right for every argument.  For loops they come in two halves:
 * pb_<f>_f64_fast vectorises, and is right (to 1 ULP, special values included) wherever
 * pb_<f>_f64_needs_patch is 0; the other elements are computed again by pb_<f>_f64_patch, one
 * at a time (generate.py).  Only finite |x| >= 2^20 needs that, so a block normally has no such
 * element.
 * PB_PATCHED_F64(X) lists the functions with such a triple.
 */
#ifndef PB_MATH_TRIG_F64_H
#define PB_MATH_TRIG_F64_H

#define PB_PATCHED_F64(X) X(sin) X(cos)
#define PB_TRIG_LIMIT_F64 0x1p20

/* sin(x + quadrant * pi/2).  pi/2 = 3 parts of 33 bits + tail (2^-157): n < 2^20 times a part
 * is exact, so the reduced argument r + rl keeps full relative accuracy however near x lies to
 * a multiple of pi/2 (never nearer than 2^-62 in this range).  sin and cos are minimax on
 * |r| <= 0.787, degree 5 in r^2: 2^-58.0 and 2^-64.2. */
static inline double pb_sincos_f64(double x, uint64_t quadrant)
{
    double kd = PB_FMA_F64(x, 0x1.45f306dc9c883p-1, PB_MAGIC_F64);
    double n = kd - PB_MAGIC_F64;
    double r0 = x - n * 0x1.921fb544p+0;                     /* exact */
    double w1 = n * -0x1.0b4611a6p-34;                       /* exact; TwoSum(r0, w1) */
    double r1 = r0 + w1, b1 = r1 - r0;
    double e1 = (r0 - (r1 - b1)) + (w1 - b1);
    double w2 = n * -0x1.3198a2ep-69;                        /* exact; TwoSum(r1, w2) */
    double r2 = r1 + w2, b2 = r2 - r1;
    double e2 = (r1 - (r2 - b2)) + (w2 - b2);
    double lo = (e1 + e2) - n * 0x1.b839a252049c1p-104;
    double r = r2 + lo, rl = (r2 - r) + lo, z = r * r;

    double s = 0x1.5d8f8b3ed259bp-33;
    s = PB_FMA_F64(s, z, -0x1.ae5e5aab64c35p-26);
    s = PB_FMA_F64(s, z, 0x1.71de35697741ep-19);
    s = PB_FMA_F64(s, z, -0x1.a01a019c01d0ep-13);
    s = PB_FMA_F64(s, z, 0x1.111111110f802p-7);
    s = PB_FMA_F64(s, z, -0x1.5555555555549p-3);
    double hz = 0.5 * z;
    double sine = r + PB_FMA_F64(r * z, s, rl * (1.0 - hz));
    double c = -0x1.8faad2be7cf37p-37;
    c = PB_FMA_F64(c, z, 0x1.1ee9e4d66f76ep-29);
    c = PB_FMA_F64(c, z, -0x1.27e4f7ffe9c3fp-22);
    c = PB_FMA_F64(c, z, 0x1.a01a019ca46c1p-16);
    c = PB_FMA_F64(c, z, -0x1.6c16c16c150fbp-10);
    c = PB_FMA_F64(c, z, 0x1.555555555554bp-5);
    double v = 1.0 - hz;
    double cosine = v + (((1.0 - v) - hz) + (z * z * c - r * rl));

    uint64_t q = pb_bits_f64(kd) + quadrant, odd = 0 - (q & 1);
    uint64_t bits = (pb_bits_f64(cosine) & odd) | (pb_bits_f64(sine) & ~odd);
    return pb_from_bits_f64(bits ^ ((q & 2) << 62));
}

static inline double pb_sin_f64_fast(double x)
{
    double y = pb_sincos_f64(x, 0);
    return pb_abs_f64(x) < 0x1p-27 ? x : y;   /* also -0.0 and subnormals */
}

static inline double pb_cos_f64_fast(double x)
{
    return pb_sincos_f64(x, 1);
}

static inline uint8_t pb_sin_f64_needs_patch(double x)
{
    uint64_t a = pb_bits_f64(x) & ~PB_SIGN_F64;   /* limit <= a < inf, as top bits of differences */
    uint64_t large = (pb_bits_f64(PB_TRIG_LIMIT_F64) - 1 - a) >> 63;
    return (uint8_t)(large & ((a - pb_bits_f64(PB_INF_F64)) >> 63));
}

static inline uint8_t pb_cos_f64_needs_patch(double x)
{
    return pb_sin_f64_needs_patch(x);
}

static inline double pb_sin_f64_patch(double x)
{
    return sin(x);
}

static inline double pb_cos_f64_patch(double x)
{
    return cos(x);
}

static inline double pb_sin_f64(double x)
{
    return pb_sin_f64_needs_patch(x) ? pb_sin_f64_patch(x) : pb_sin_f64_fast(x);
}

static inline double pb_cos_f64(double x)
{
    return pb_cos_f64_needs_patch(x) ? pb_cos_f64_patch(x) : pb_cos_f64_fast(x);
}

#endif
