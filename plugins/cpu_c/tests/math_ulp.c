/* Measures the scalar math of ../csrc against libm, in units in the last place.
 *
 *   math_ulp fast            every 4099th f32, a million f64 samples per function
 *   math_ulp full [name..]   all 2^32 f32 (unary f32 functions only), two processes
 *
 * One line per function: "<name> <max ulp> <worst argument(s)>"; test_math_ulp.py holds the
 * limits.  Functions run in blocks through a plain loop, so that the vectorised code is what is
 * measured.  The oracle for f32 is double libm (error 2^-29 f32 ULP), for f64 long double libm.
 * Infinity instead of a number (or the reverse) is measured against 2^128 (2^1024), so rounding
 * to the largest finite value counts as 1; a NaN or a zero's sign that should be otherwise
 * counts as infinitely wrong.
 *
 * With -DPB_SHARED it exports block functions for NumPy-based checks instead of main.
 */
#define _GNU_SOURCE
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "convert.h"
#include "math_f32.h"
#include "math_int.h"

#include "math_ulp_blocks.inc"

#ifndef PB_SHARED

enum { BLOCK = 4096 };

typedef struct {
    double ulp;
    long double x, y;
} worst_t;

static void note(worst_t *w, double ulp, long double x, long double y)
{
    if (ulp > w->ulp || ulp != ulp)
        *w = (worst_t){ulp, x, y};
}

/* |got - ref| over the spacing of T at ref; one body for both types. */
#define DEFINE_ULP(NAME, T, R, DIG, EMIN, EMAX, FABS, ILOGB, LDEXP)                              \
    static double NAME(T got, R ref)                                                             \
    {                                                                                            \
        if (got != got || ref != ref)                                                            \
            return (got != got) == (ref != ref) ? 0.0 : HUGE_VAL;                                \
        if (ref == 0)                                                                            \
            return got == 0 && !signbit(got) == !signbit(ref) ? 0.0 : HUGE_VAL;                  \
        if (got == 0 && !signbit(got) != !signbit(ref))                                          \
            return HUGE_VAL;                                                                     \
        R top = LDEXP((R)1, EMAX), g = got;                                                      \
        g = g > top ? top : g < -top ? -top : g;                                                 \
        ref = ref > top ? top : ref < -top ? -top : ref;                                         \
        int e = ILOGB(ref);                                                                      \
        e = e < EMIN ? EMIN : e > EMAX - 1 ? EMAX - 1 : e;                                       \
        return (double)(FABS(g - ref) * LDEXP((R)1, DIG - 1 - e));                               \
    }
static inline double pow2i(double one, int e)
{
    return one * pb_from_bits_f64((uint64_t)(e + 1023) << 52);
}
static inline int fast_ilogb(double x)
{
    return (int)((pb_bits_f64(x) >> 52) & 2047) - 1023;
}
DEFINE_ULP(ulp_f32, float, double, 24, -126, 128, fabs, fast_ilogb, pow2i)
DEFINE_ULP(ulp_f64, double, long double, 53, -1022, 1024, fabsl, ilogbl, ldexpl)

/* Oracles that libm has not. */
static double sigmoid_d(double x) { return 1.0 / (1.0 + exp(-x)); }
static long double sigmoid_l(long double x) { return 1.0L / (1.0L + expl(-x)); }
static double rsqrt_d(double x) { return 1.0 / sqrt(x); }
static long double rsqrt_l(long double x) { return 1.0L / sqrtl(x); }
static double reciprocal_d(double x) { return 1.0 / x; }
static long double reciprocal_l(long double x) { return 1.0L / x; }
static double round_d(double x) { return rint(x); }
static long double round_l(long double x) { return rintl(x); }
static double abs_d(double x) { return fabs(x); }
static long double abs_l(long double x) { return fabsl(x); }
static double sign_d(double x) { return x > 0 ? 1 : x < 0 ? -1 : x != x ? x : 0; }
static long double sign_l(long double x) { return x > 0 ? 1 : x < 0 ? -1 : x != x ? x : 0; }
static long double logaddexp_l(long double a, long double b)
{
    if (a == b || a != a || b != b)
        return a == b ? a + logl(2) : a + b;
    return fmaxl(a, b) + log1pl(expl(-fabsl(a - b)));
}
static double logaddexp_d(double a, double b) { return (double)logaddexp_l(a, b); }
static long double maximum_l(long double a, long double b)
{
    return a != a || b != b ? a + b : a == b ? (signbit(a) ? b : a) : a > b ? a : b;
}
static long double minimum_l(long double a, long double b)
{
    return a != a || b != b ? a + b : a == b ? (signbit(a) ? a : b) : a < b ? a : b;
}
static double maximum_d(double a, double b) { return (double)maximum_l(a, b); }
static double minimum_d(double a, double b) { return (double)minimum_l(a, b); }
static double next_d(double a, double b) { return nextafterf((float)a, (float)b); }
static long double next_l(long double a, long double b)
{
    return nextafter((double)a, (double)b);
}

#define LIBM(f) {#f, block_##f##_f32, block_##f##_f64, f, f##l}
#define block_next_f32 block_nextafter_f32
#define block_next_f64 block_nextafter_f64
#define OURS(f) {#f, block_##f##_f32, block_##f##_f64, f##_d, f##_l}

static const struct unary {
    const char *name;
    void (*f32)(size_t, const float *, float *);
    void (*f64)(size_t, const double *, double *);
    double (*d)(double);
    long double (*l)(long double);
} UNARY[] = {
    LIBM(sqrt), LIBM(exp), LIBM(expm1), LIBM(log), LIBM(log1p), LIBM(log2), LIBM(log10),
    LIBM(sin), LIBM(cos), LIBM(tan), LIBM(asin), LIBM(acos), LIBM(atan), LIBM(sinh), LIBM(cosh),
    LIBM(tanh), LIBM(asinh), LIBM(acosh), LIBM(atanh), LIBM(floor), LIBM(ceil), LIBM(trunc),
    LIBM(erf), OURS(sigmoid), OURS(reciprocal), OURS(rsqrt), OURS(round), OURS(abs), OURS(sign),
};

static const struct binary {
    const char *name;
    void (*f32)(size_t, const float *, const float *, float *);
    void (*f64)(size_t, const double *, const double *, double *);
    double (*d)(double, double);
    long double (*l)(long double, long double);
} BINARY[] = {
    LIBM(pow), LIBM(atan2), LIBM(hypot), LIBM(copysign), OURS(logaddexp), OURS(maximum),
    OURS(minimum), OURS(next),
};

static uint64_t state = 0x9e3779b97f4a7c15u;
static uint64_t draw(void)   /* splitmix64 */
{
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static const double SPECIAL[] = {
    0.0, 1.0, 2.0, 3.0, 0.5, 1.5, 2.5, 4.0, 88.7, 89.0, 103.9, 104.0, 709.7, 709.8, 744.4, 745.2,
    0.70710678, 1.41421356, 0x1p-126, 0x1p-149, 0x1.fffffep127, 0x1p-1022, 0x1p-1074,
    0x1.fffffffffffffp1023, 0x1p20, 0x1p24, 0x1p53, 0x1.fffffep-1, 0x1.fffffffffffffp-1,
    HUGE_VAL, 1e-30, 1e30, 0x1.921fb54442d18p+0, 0x1.921fb54442d18p+1, 8388607.0, 8388609.0,
    1048575.9, 0x1.fffffffffffffp51, 16777217.0, 0x1p31, 0x1p30, 1073741823.0,
};
enum { SPECIALS = 2 * sizeof SPECIAL / sizeof *SPECIAL + 1 };

static double special(unsigned i)
{
    i %= SPECIALS;
    return i == SPECIALS - 1 ? NAN : i & 1 ? -SPECIAL[i / 2] : SPECIAL[i / 2];
}

/* A third each: any bit pattern, log-uniform between 2^-30 and 2^10, and close to one of the
 * places where a formula turns over: 0, +-1, +-1/2, small multiples of pi/4, of ln 2 / 2. */
static double sample(uint64_t i)
{
    uint64_t r = draw();
    double u = (double)(int64_t)draw() * 0x1p-63;
    if (i < SPECIALS)
        return special((unsigned)i);
    switch (i % 3) {
    case 0:
        return pb_from_bits_f64(r);
    case 1:
        return (r & 1 ? -1 : 1) * exp2((double)(r >> 40) * (40.0 / 16777216) - 30);
    default: {
        double unit = r & 1 ? 0x1.921fb54442d18p-1 : r & 2 ? 0x1.62e42fefa39efp-2 : 0.5;
        double centre = (double)((r >> 8) & 63) * unit;
        return (r & 4 ? -1 : 1) * (centre + u * exp2(-(double)((r >> 16) & 31)));
    }
    }
}

static void show(const char *name, const char *type, worst_t w)
{
    printf("%s_%s %.4f %La %La\n", name, type, w.ulp, w.x, w.y);
    fflush(stdout);
}

/* f32 bit patterns first, first + step, ... in blocks; `part` of `parts` takes every so manieth
 * block. */
static worst_t scan_f32(const struct unary *f, uint64_t step, unsigned part, unsigned parts)
{
    static float in[BLOCK], out[BLOCK];
    worst_t w = {0, 0, 0};
    for (uint64_t start = part * step * BLOCK; start < 1ull << 32; start += parts * step * BLOCK) {
        for (unsigned i = 0; i < BLOCK; i++)
            in[i] = pb_from_bits_f32((uint32_t)(start + i * step));
        f->f32(BLOCK, in, out);
        for (unsigned i = 0; i < BLOCK; i++) {
            double u = ulp_f32(out[i], f->d(in[i]));
            if (u > w.ulp)
                note(&w, u, in[i], 0);
        }
    }
    if (part == 0) {
        for (unsigned i = 0; i < SPECIALS; i++)
            in[i] = (float)special(i);
        f->f32(SPECIALS, in, out);
        for (unsigned i = 0; i < SPECIALS; i++)
            note(&w, ulp_f32(out[i], f->d(in[i])), in[i], 0);
    }
    return w;
}

static worst_t scan_f64(const struct unary *f, uint64_t n)
{
    static double in[BLOCK], out[BLOCK];
    worst_t w = {0, 0, 0};
    for (uint64_t start = 0; start < n; start += BLOCK) {
        for (unsigned i = 0; i < BLOCK; i++)
            in[i] = sample(start + i);
        f->f64(BLOCK, in, out);
        for (unsigned i = 0; i < BLOCK; i++)
            note(&w, ulp_f64(out[i], f->l(in[i])), in[i], 0);
    }
    return w;
}

/* All pairs of specials, then samples; pow also near x = 1 with large y, where log x matters. */
static void pair(uint64_t i, double *x, double *y)
{
    if (i < (uint64_t)SPECIALS * SPECIALS) {
        *x = special((unsigned)(i / SPECIALS));
        *y = special((unsigned)i);
        return;
    }
    *x = sample(SPECIALS + draw() % 3);
    *y = sample(SPECIALS + draw() % 3);
    if (i % 4 == 0)
        *x = 1.0 + (double)(int64_t)draw() * exp2(-63 - (double)(draw() % 20));
}

/* Where e^a + e^b is near 1 the maximum and its correction cancel, and no ULP bound holds for the
 * f64 result: for a small negative maximum m the error is relative to the larger term. */
static double ulp_binary_f64(const struct binary *f, double x, double y, double got)
{
    long double ref = f->l(x, y);
    double m = maximum_d(x, y);
    if (strcmp(f->name, "logaddexp") || !(m < 0 && m > -1.4))
        return ulp_f64(got, ref);
    long double term = fmaxl(ref - m, -m);
    return (double)(fabsl(got - ref) / fmaxl(term * DBL_EPSILON, DBL_TRUE_MIN));
}

static void scan_binary(const struct binary *f, uint64_t n)
{
    static float a[BLOCK], b[BLOCK], o[BLOCK];
    static double p[BLOCK], q[BLOCK], r[BLOCK];
    worst_t w = {0, 0, 0}, v = {0, 0, 0};
    for (uint64_t start = 0; start < n; start += BLOCK) {
        for (unsigned i = 0; i < BLOCK; i++) {
            pair(start + i, &p[i], &q[i]);
            a[i] = (float)p[i];
            b[i] = (float)q[i];
        }
        f->f32(BLOCK, a, b, o);
        f->f64(BLOCK, p, q, r);
        for (unsigned i = 0; i < BLOCK; i++) {
            note(&w, ulp_f32(o[i], f->d(a[i], b[i])), a[i], b[i]);
            note(&v, ulp_binary_f64(f, p[i], q[i], r[i]), p[i], q[i]);
        }
    }
    show(f->name, "f32", w);
    show(f->name, "f64", v);
}

static void full(const struct unary *f)
{
    worst_t *other = mmap(NULL, sizeof *other, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (other == MAP_FAILED)
        exit(1);
    pid_t child = fork();
    if (child == 0) {
        *other = scan_f32(f, 1, 1, 2);
        _exit(0);
    }
    worst_t w = scan_f32(f, 1, 0, 2);
    int status = 1;
    if (child < 0 || waitpid(child, &status, 0) < 0 || status != 0)
        exit(1);
    note(&w, other->ulp, other->x, other->y);
    munmap(other, sizeof *other);
    show(f->name, "f32", w);
}

int main(int argc, char **argv)
{
    int all = argc > 1 && !strcmp(argv[1], "full");
    uint64_t samples = argc > 2 && !all ? strtoull(argv[2], NULL, 10) : 1 << 19;
    for (size_t i = 0; i < sizeof UNARY / sizeof *UNARY; i++) {
        int wanted = argc <= 2 || !all;
        for (int k = 2; k < argc; k++)
            wanted |= !strcmp(argv[k], UNARY[i].name);
        if (!wanted)
            continue;
        if (all) {
            full(&UNARY[i]);
        } else {
            show(UNARY[i].name, "f32", scan_f32(&UNARY[i], 4099, 0, 1));
            show(UNARY[i].name, "f64", scan_f64(&UNARY[i], samples));
        }
    }
    for (size_t i = 0; !all && i < sizeof BINARY / sizeof *BINARY; i++)
        scan_binary(&BINARY[i], samples);
    return 0;
}

#endif
