/* f32 trigonometry, evaluated in double and rounded once; full range, branch-free, vectorised.
 *
 * Reduction of any finite x: x = M * 2^(e-23) with a 24-bit M, and those bits of 2/pi that
 * contribute multiples of 4 quadrants to x * 2/pi may be dropped.  PB_TWO_OVER_PI holds, for
 * each e from 23, the next 29 bits and 53 bits after them: x * head is exact (24 + 29 bits),
 * so is its distance to the nearest integer, and x * tail adds the rest with an error below
 * 2^-56; no f32 lies nearer than 2^-29 to a multiple of pi/2.  Below 2^24 all use row 0.
 */
#ifndef PB_MATH_TRIG_F32_H
#define PB_MATH_TRIG_F32_H

static const double PB_TWO_OVER_PI[2 * 106] = {
    0x1.45f306d000000p-1, 0x1.9391054a7f09dp-30,
    0x1.45f306d000000p-1, 0x1.9391054a7f09dp-30,
    0x1.45f306d000000p-1, 0x1.9391054a7f09dp-30,
    0x1.17cc1b6000000p-3, 0x1.27220a94fe13bp-31,
    0x1.17cc1b7000000p-3, 0x1.391054a7f09d6p-34,
    0x1.7cc1b70000000p-7, 0x1.391054a7f09d6p-34,
    0x1.7cc1b70000000p-7, 0x1.391054a7f09d6p-34,
    0x1.7cc1b72000000p-7, 0x1.c882a53f84eb0p-37,
    0x1.7cc1b72000000p-7, 0x1.c882a53f84eb0p-37,
    0x1.f306dc8000000p-9, 0x1.c882a53f84eb0p-37,
    0x1.f306dc9000000p-9, 0x1.91054a7f09d5fp-38,
    0x1.e60db93000000p-10, 0x1.220a94fe13abfp-39,
    0x1.cc1b727000000p-11, 0x1.1054a7f09d5f4p-42,
    0x1.9836e4e000000p-12, 0x1.1054a7f09d5f4p-42,
    0x1.306dc9c000000p-13, 0x1.1054a7f09d5f4p-42,
    0x1.836e4e4000000p-16, 0x1.054a7f09d5f48p-46,
    0x1.836e4e4000000p-16, 0x1.054a7f09d5f48p-46,
    0x1.836e4e4000000p-16, 0x1.054a7f09d5f48p-46,
    0x1.06dc9c8000000p-17, 0x1.054a7f09d5f48p-46,
    0x1.b727220000000p-23, 0x1.529fc2757d1f5p-52,
    0x1.b727220000000p-23, 0x1.529fc2757d1f5p-52,
    0x1.b727220000000p-23, 0x1.529fc2757d1f5p-52,
    0x1.b727220000000p-23, 0x1.529fc2757d1f5p-52,
    0x1.b727220000000p-23, 0x1.529fc2757d1f5p-52,
    0x1.b727220000000p-23, 0x1.529fc2757d1f5p-52,
    0x1.6e4e441000000p-24, 0x1.4a7f09d5f47d5p-54,
    0x1.b939104000000p-26, 0x1.4a7f09d5f47d5p-54,
    0x1.b939105000000p-26, 0x1.29fc2757d1f53p-56,
    0x1.727220a000000p-27, 0x1.29fc2757d1f53p-56,
    0x1.c9c882a000000p-29, 0x1.4fe13abe8fa9ap-59,
    0x1.c9c882a000000p-29, 0x1.4fe13abe8fa9ap-59,
    0x1.9391054000000p-30, 0x1.4fe13abe8fa9ap-59,
    0x1.27220a9000000p-31, 0x1.3f84eafa3ea6ap-61,
    0x1.3910548000000p-34, 0x1.3f84eafa3ea6ap-61,
    0x1.391054a000000p-34, 0x1.fc2757d1f534ep-64,
    0x1.391054a000000p-34, 0x1.fc2757d1f534ep-64,
    0x1.c882a50000000p-37, 0x1.fc2757d1f534ep-64,
    0x1.c882a52000000p-37, 0x1.f84eafa3ea69cp-65,
    0x1.c882a53000000p-37, 0x1.f09d5f47d4d37p-66,
    0x1.91054a7000000p-38, 0x1.e13abe8fa9a6fp-67,
    0x1.220a94f000000p-39, 0x1.c2757d1f534dep-68,
    0x1.1054a7c000000p-42, 0x1.84eafa3ea69bcp-69,
    0x1.1054a7e000000p-42, 0x1.09d5f47d4d377p-70,
    0x1.1054a7f000000p-42, 0x1.3abe8fa9a6ee0p-75,
    0x1.054a7f0000000p-46, 0x1.3abe8fa9a6ee0p-75,
    0x1.054a7f0000000p-46, 0x1.3abe8fa9a6ee0p-75,
    0x1.054a7f0000000p-46, 0x1.3abe8fa9a6ee0p-75,
    0x1.054a7f0000000p-46, 0x1.3abe8fa9a6ee0p-75,
    0x1.529fc20000000p-52, 0x1.d5f47d4d37703p-78,
    0x1.529fc20000000p-52, 0x1.d5f47d4d37703p-78,
    0x1.529fc20000000p-52, 0x1.d5f47d4d37703p-78,
    0x1.529fc24000000p-52, 0x1.abe8fa9a6ee07p-79,
    0x1.529fc26000000p-52, 0x1.57d1f534ddc0ep-80,
    0x1.529fc27000000p-52, 0x1.5f47d4d377037p-82,
    0x1.4a7f09c000000p-54, 0x1.5f47d4d377037p-82,
    0x1.4a7f09d000000p-54, 0x1.7d1f534ddc0dbp-84,
    0x1.29fc274000000p-56, 0x1.7d1f534ddc0dbp-84,
    0x1.29fc275000000p-56, 0x1.f47d4d377036ep-86,
    0x1.4fe13a8000000p-59, 0x1.f47d4d377036ep-86,
    0x1.4fe13aa000000p-59, 0x1.e8fa9a6ee06dbp-87,
    0x1.4fe13ab000000p-59, 0x1.d1f534ddc0db6p-88,
    0x1.3f84eae000000p-61, 0x1.a3ea69bb81b6cp-89,
    0x1.3f84eaf000000p-61, 0x1.47d4d377036d9p-90,
    0x1.fc2757c000000p-64, 0x1.1f534ddc0db63p-92,
    0x1.fc2757c000000p-64, 0x1.1f534ddc0db63p-92,
    0x1.fc2757d000000p-64, 0x1.f534ddc0db629p-96,
    0x1.f84eafa000000p-65, 0x1.f534ddc0db629p-96,
    0x1.f09d5f4000000p-66, 0x1.f534ddc0db629p-96,
    0x1.e13abe8000000p-67, 0x1.f534ddc0db629p-96,
    0x1.c2757d1000000p-68, 0x1.ea69bb81b6c53p-97,
    0x1.84eafa3000000p-69, 0x1.d4d377036d8a5p-98,
    0x1.09d5f47000000p-70, 0x1.a9a6ee06db14bp-99,
    0x1.3abe8f0000000p-75, 0x1.534ddc0db6296p-100,
    0x1.3abe8f8000000p-75, 0x1.4d377036d8a56p-102,
    0x1.3abe8f8000000p-75, 0x1.4d377036d8a56p-102,
    0x1.3abe8fa000000p-75, 0x1.34ddc0db6295ap-104,
    0x1.3abe8fa000000p-75, 0x1.34ddc0db6295ap-104,
    0x1.d5f47d4000000p-78, 0x1.a6ee06db14acdp-107,
    0x1.d5f47d4000000p-78, 0x1.a6ee06db14acdp-107,
    0x1.d5f47d4000000p-78, 0x1.a6ee06db14acdp-107,
    0x1.abe8fa9000000p-79, 0x1.4ddc0db629599p-108,
    0x1.57d1f53000000p-80, 0x1.377036d8a5665p-110,
    0x1.5f47d4c000000p-82, 0x1.377036d8a5665p-110,
    0x1.5f47d4d000000p-82, 0x1.bb81b6c52b328p-113,
    0x1.7d1f534000000p-84, 0x1.bb81b6c52b328p-113,
    0x1.7d1f534000000p-84, 0x1.bb81b6c52b328p-113,
    0x1.f47d4d2000000p-86, 0x1.77036d8a5664fp-114,
    0x1.f47d4d3000000p-86, 0x1.dc0db6295993cp-116,
    0x1.e8fa9a6000000p-87, 0x1.dc0db6295993cp-116,
    0x1.d1f534d000000p-88, 0x1.b81b6c52b3279p-117,
    0x1.a3ea69b000000p-89, 0x1.7036d8a5664f1p-118,
    0x1.47d4d37000000p-90, 0x1.c0db6295993c4p-120,
    0x1.1f534dc000000p-92, 0x1.c0db6295993c4p-120,
    0x1.1f534dd000000p-92, 0x1.81b6c52b32788p-121,
    0x1.f534dd8000000p-96, 0x1.036d8a5664f11p-122,
    0x1.f534ddc000000p-96, 0x1.b6c52b3278872p-129,
    0x1.f534ddc000000p-96, 0x1.b6c52b3278872p-129,
    0x1.f534ddc000000p-96, 0x1.b6c52b3278872p-129,
    0x1.ea69bb8000000p-97, 0x1.b6c52b3278872p-129,
    0x1.d4d3770000000p-98, 0x1.b6c52b3278872p-129,
    0x1.a9a6ee0000000p-99, 0x1.b6c52b3278872p-129,
    0x1.534ddc0000000p-100, 0x1.b6c52b3278872p-129,
    0x1.4d37702000000p-102, 0x1.6d8a5664f10e4p-130,
    0x1.4d37703000000p-102, 0x1.b6295993c4390p-132,
    0x1.34ddc0c000000p-104, 0x1.b6295993c4390p-132,
    0x1.34ddc0c000000p-104, 0x1.b6295993c4390p-132,
};

/* x * 2/pi = n + f: f in [-1/2, 1/2] returned, n mod 4 in the low bits of *kd. */
static inline double pb_quadrant_f32(float x, double *kd)
{
    int32_t above = (int32_t)((pb_bits_f32(x) >> 23) & 255) - (127 + 23);
    int64_t row = above > 0 ? above : 0;   /* 64-bit: GCC 12 takes no 32-bit index into doubles */
    double head = (double)x * PB_TWO_OVER_PI[2 * row];
    double tail = (double)x * PB_TWO_OVER_PI[2 * row + 1];   /* up to 1/8: decides n too */
    double k = (head + tail) + PB_MAGIC_F64;
    *kd = k;
    return (head - (k - PB_MAGIC_F64)) + tail;
}

/* sin and cos of f * pi/2 on |f| <= 0.501, in z = f^2: minimax, 2^-37.6 and 2^-34.3. */
static inline double pb_sin_quadrant_f32(double f, double z)
{
    double s = 0x1.4bbd831b558dbp-13;
    s = PB_FMA_F64(s, z, -0x1.32ca74440b00dp-8);
    s = PB_FMA_F64(s, z, 0x1.466bba670d925p-4);
    s = PB_FMA_F64(s, z, -0x1.4abbce561ad43p-1);
    return PB_FMA_F64(s, z, 0x1.921fb5443acd0p+0) * f;
}

static inline double pb_cos_quadrant_f32(double z)
{
    double c = 0x1.d9bb0faa7f6dap-11;
    c = PB_FMA_F64(c, z, -0x1.55c55dced64a7p-6);
    c = PB_FMA_F64(c, z, 0x1.03c1dbdcf6d1ap-2);
    c = PB_FMA_F64(c, z, -0x1.3bd3cc727bc8dp+0);
    return PB_FMA_F64(c, z, 0x1.ffffffff95ab8p-1);
}

static inline float pb_sincos_f32(float x, uint64_t quadrant)
{
    double kd, f = pb_quadrant_f32(x, &kd), z = f * f;
    uint64_t q = pb_bits_f64(kd) + quadrant, odd = 0 - (q & 1);
    uint64_t bits = (pb_bits_f64(pb_cos_quadrant_f32(z)) & odd) |
                    (pb_bits_f64(pb_sin_quadrant_f32(f, z)) & ~odd);
    return (float)pb_from_bits_f64(bits ^ ((q & 2) << 62));
}

/* Below 2^24 the table's first row serves, and half turns do instead of quadrants:
 * sin(x) = (-1)^n sin(pi f) with x / pi = n + f.  sin(pi f) is minimax on |f| <= 0.5045, 2^-35.3. */
static inline double pb_sin_half_turn_f32(double f, double kd)
{
    double z = f * f, s = -0x1.cbcaff8ea21e5p-8;
    s = PB_FMA_F64(s, z, 0x1.500c234788aa4p-4);
    s = PB_FMA_F64(s, z, -0x1.32d0f934a0d3bp-1);
    s = PB_FMA_F64(s, z, 0x1.466bbf402bda9p+1);
    s = PB_FMA_F64(s, z, -0x1.4abbce4d3fd93p+2);
    s = PB_FMA_F64(s, z, 0x1.921fb54419ff9p+1) * f;
    return pb_from_bits_f64(pb_bits_f64(s) ^ (pb_bits_f64(kd) << 63));
}

#define PB_ONE_OVER_PI_HEAD 0x1.45f306d000000p-2   /* 29 bits: times a float it is exact */
#define PB_ONE_OVER_PI_TAIL 0x1.9391054a7f09dp-31

static inline uint8_t pb_sin_f32_needs_patch(float x)
{
    return (uint8_t)((0x4b7fffffu - (pb_bits_f32(x) & ~PB_SIGN_F32)) >> 31);
}

static inline uint8_t pb_cos_f32_needs_patch(float x)
{
    return pb_sin_f32_needs_patch(x);
}

static inline float pb_sin_f32_fast(float x)
{
    double u = x, kd = PB_FMA_F64(u, PB_ONE_OVER_PI_HEAD, PB_MAGIC_F64), n = kd - PB_MAGIC_F64;
    double f = PB_FMA_F64(u, PB_ONE_OVER_PI_HEAD, -n) + u * PB_ONE_OVER_PI_TAIL;
    return (float)pb_sin_half_turn_f32(f, kd);
}

/* cos(x) = sin(x + pi/2) */
static inline float pb_cos_f32_fast(float x)
{
    double u = x, kd = PB_FMA_F64(u, PB_ONE_OVER_PI_HEAD, 0.5) + PB_MAGIC_F64;
    double n = (kd - PB_MAGIC_F64) - 0.5;
    double f = PB_FMA_F64(u, PB_ONE_OVER_PI_HEAD, -n) + u * PB_ONE_OVER_PI_TAIL;
    return (float)pb_sin_half_turn_f32(f, kd);
}

static inline float pb_sin_f32_patch(float x)
{
    return pb_sincos_f32(x, 0);
}

static inline float pb_cos_f32_patch(float x)
{
    return pb_sincos_f32(x, 1);
}

static inline float pb_sin_f32(float x)
{
    return pb_sin_f32_needs_patch(x) ? pb_sin_f32_patch(x) : pb_sin_f32_fast(x);
}

static inline float pb_cos_f32(float x)
{
    return pb_cos_f32_needs_patch(x) ? pb_cos_f32_patch(x) : pb_cos_f32_fast(x);
}

/* tan = s/c in even quadrants, -c/s in odd ones. */
static inline float pb_tan_f32(float x)
{
    double kd, f = pb_quadrant_f32(x, &kd), z = f * f;
    uint64_t s = pb_bits_f64(pb_sin_quadrant_f32(f, z)), c = pb_bits_f64(pb_cos_quadrant_f32(z));
    uint64_t odd = 0 - (pb_bits_f64(kd) & 1), swap = (s ^ c) & odd;
    double num = pb_from_bits_f64(s ^ swap), den = pb_from_bits_f64(c ^ swap ^ (odd << 63));
    float y = (float)(num / den);
    return x == 0.0f ? x : y;
}

/* asin(a) for 0 <= a <= 0.5: a P(a^2), minimax degree 6, 2^-31.9. */
static inline double pb_asin_poly_f32(double a, double z)
{
    double p = 0x1.3677923e1ae83p-5;
    p = PB_FMA_F64(p, z, 0x1.cf06157bde44fp-7);
    p = PB_FMA_F64(p, z, 0x1.0559bfed2e403p-5);
    p = PB_FMA_F64(p, z, 0x1.6c9129304863bp-5);
    p = PB_FMA_F64(p, z, 0x1.33398cade710ap-4);
    p = PB_FMA_F64(p, z, 0x1.5555483f9b80fp-3);
    return PB_FMA_F64(p, z, 0x1.0000000118d5bp+0) * a;
}

/* Above 1/2: asin a = pi/2 - 2 asin sqrt((1-a)/2), whose sqrt is NaN beyond 1. */
static inline float pb_asin_f32(float x)
{
    double a = pb_abs_f32(x), z = a > 0.5 ? 0.5 - 0.5 * a : a * a;
    double p = pb_asin_poly_f32(a > 0.5 ? __builtin_sqrt(z) : a, z);
    return pb_with_sign_f32((float)(a > 0.5 ? 0x1.921fb54442d18p+0 - 2.0 * p : p), x);
}

static inline float pb_acos_f32(float x)
{
    double a = pb_abs_f32(x), z = a > 0.5 ? 0.5 - 0.5 * a : a * a;
    double p = pb_asin_poly_f32(a > 0.5 ? __builtin_sqrt(z) : a, z);
    double far = x < 0.0f ? 0x1.921fb54442d18p+1 - 2.0 * p : 2.0 * p;
    double near = 0x1.921fb54442d18p+0 - (x < 0.0f ? -p : p);
    return (float)(a > 0.5 ? far : near);
}

/* atan(a) for 0 <= a <= 1: a P(a^2), minimax degree 11, 2^-34.0. */
static inline double pb_atan_poly_f32(double a)
{
    double z = a * a, p = -0x1.67070dcec125fp-11;
    p = PB_FMA_F64(p, z, 0x1.3de908e9e8f8bp-8);
    p = PB_FMA_F64(p, z, -0x1.07f93c0502209p-6);
    p = PB_FMA_F64(p, z, 0x1.183ebb80dbecfp-5);
    p = PB_FMA_F64(p, z, -0x1.bca78b39501e3p-5);
    p = PB_FMA_F64(p, z, 0x1.28c8deda3a368p-4);
    p = PB_FMA_F64(p, z, -0x1.6fd4a30cd9170p-4);
    p = PB_FMA_F64(p, z, 0x1.c6611132e25e4p-4);
    p = PB_FMA_F64(p, z, -0x1.2489327bd2addp-3);
    p = PB_FMA_F64(p, z, 0x1.9999238fa5375p-3);
    p = PB_FMA_F64(p, z, -0x1.555554269ea70p-2);
    return PB_FMA_F64(p, z, 0x1.ffffffff7ec9cp-1) * a;
}

static inline float pb_atan_f32(float x)
{
    double a = pb_abs_f32(x), p = pb_atan_poly_f32(a > 1.0 ? 1.0 / a : a);
    return pb_with_sign_f32((float)(a > 1.0 ? 0x1.921fb54442d18p+0 - p : p), x);
}

/* Octant by octant from min/max; 0/0 counts as 0, inf/inf as 1, and the sign bit of x, not its
 * comparison with 0, turns the result into the left half plane (atan2(+0, -0) = pi). */
static inline float pb_atan2_f32(float y, float x)
{
    double a = pb_abs_f32(y), b = pb_abs_f32(x);
    double low = a < b ? a : b, high = a < b ? b : a;
    double t = low == high ? (high == 0.0 ? 0.0 : 1.0) : low / high;
    double p = pb_atan_poly_f32(t);
    p = a > b ? 0x1.921fb54442d18p+0 - p : p;
    p = pb_signbit_f32(x) ? 0x1.921fb54442d18p+1 - p : p;
    float v = pb_with_sign_f32((float)p, y);
    return (x != x) | (y != y) ? x + y : v;
}

#endif
