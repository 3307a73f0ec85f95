// The functions of ptx.py for a host compiler, beside cuda_on_cpu.h.
//
// An asynchronous copy spoils its target at once and fills it as late as its thread's waiting allows, so a
// missing wait, or a copy into what is still being read, shows. What a warp does together takes every lane's
// words, as shuffles do. Tensor cores cut off what does not fit float32 instead of rounding it.
#ifndef PB_PTX_ON_CPU
#define PB_PTX_ON_CPU
#include <vector>

struct alignas(16) float4 { float x, y, z, w; };

struct pb_copying { void *to; const void *from; int size, given; unsigned group; };
struct pb_copier { std::vector<pb_copying> waiting; unsigned groups; };
static pb_copier pb_copiers[PB_MOST];

template <int SIZE> static void pb_copy(void *to, const void *from, int given)
{
    if ((size_t)to % SIZE || (given && (size_t)from % SIZE)) pb_fault = "a misaligned asynchronous copy";
    if (given < 0 || given > SIZE) pb_fault = "an asynchronous copy of a wrong size";
    pb_copier &mine = pb_copiers[pb_now];
    memset(to, 0xff, SIZE);  // NaN
    mine.waiting.push_back({to, from, SIZE, given, mine.groups});
}
static inline void pb_commit() { pb_copiers[pb_now].groups++; }
template <int COUNT> static void pb_wait_for()
{
    pb_copier &mine = pb_copiers[pb_now];
    std::vector<pb_copying> later;
    for (const pb_copying &c : mine.waiting)
        if (c.group + COUNT < mine.groups) {
            memset(c.to, 0, c.size);
            memcpy(c.to, c.from, c.given);
        } else later.push_back(c);
    mine.waiting.swap(later);
}
template <class T> static T pb_load(const void *p)
{
    T x;
    if ((size_t)p % sizeof x) pb_fault = "a misaligned load";
    memcpy(&x, p, sizeof x);
    return x;
}
static inline float4 pb_quad(const void *p) { return pb_load<float4>(p); }
static inline unsigned pb_word(const void *p) { return pb_load<unsigned>(p); }
static inline double pb_double(const void *p) { return pb_load<double>(p); }

// --- a warp together ------------------------------------------------------------------------------

static unsigned pb_words[PB_MOST][6];  // what each lane brings
static const void *pb_rows[PB_MOST];

template <bool TURNED> static void pb_matrices(unsigned *to, const void *row)
{
    unsigned lane = pb_now % PB_WARP, first = pb_now - lane;
    pb_rows[pb_now] = row;
    if ((size_t)row % 16) pb_fault = "ldmatrix of a misaligned row";
    pb_wait(PB_AT_SHUFFLE);
    for (unsigned i = 0; i < 4; i++)
        for (unsigned h = 0; h < 2; h++) {
            unsigned r = lane / 4, c = lane % 4 * 2 + h;
            if (TURNED) std::swap(r, c);
            memcpy((char *)(to + i) + 2 * h, (const char *)pb_rows[first + 8 * i + r] + 2 * c, 2);
        }
    pb_wait(PB_AT_SHUFFLE);
}

static inline double pb_number_f16(unsigned x)
{
    int exponent = x >> 10 & 31, fraction = x & 1023;
    double y = exponent ? std::ldexp(1024 + fraction, exponent - 25) : std::ldexp(fraction, -24);
    if (exponent == 31) y = fraction ? NAN : INFINITY;
    return x & 0x8000 ? -y : y;
}
static inline double pb_number_bf16(unsigned x) { return __uint_as_float(x << 16); }

static inline float pb_cut(double x)
{
    float y = (float)x;
    return std::isfinite(x) && std::fabs((double)y) > std::fabs(x) ? std::nextafter(y, 0.0f) : y;
}

// Words [0, 4) are of a, [4, 6) of b. NUMBER: element e of a word; HALVES: how many a word has.
template <int HALVES, class NUMBER> static void pb_mma(float *c, const unsigned *a, const unsigned *b,
    NUMBER number)
{
    unsigned lane = pb_now % PB_WARP, first = pb_now - lane;
    memcpy(pb_words[pb_now], a, 16);
    memcpy(pb_words[pb_now] + 4, b, 8);
    pb_wait(PB_AT_SHUFFLE);
    for (unsigned e = 0; e < 4; e++) {
        unsigned row = lane / 4 + e / 2 * 8, column = lane % 4 * 2 + e % 2;
        double sum = c[e];
        for (unsigned w = 0; w < 8; w++)  // the eight words of a row of a, a column of b
            for (int h = 0; h < HALVES; h++) {
                unsigned left = pb_words[first + row % 8 * 4 + w % 4][row / 8 + w / 4 * 2];
                unsigned right = pb_words[first + column * 4 + w % 4][4 + w / 4];
                sum += number(left, h) * number(right, h);
            }
        c[e] = pb_cut(sum);
    }
    pb_wait(PB_AT_SHUFFLE);
}
static inline void pb_mma_f16(float *c, const unsigned *a, const unsigned *b)
{
    pb_mma<2>(c, a, b, [](unsigned x, int h) { return pb_number_f16(x >> 16 * h & 0xffff); });
}
static inline void pb_mma_bf16(float *c, const unsigned *a, const unsigned *b)
{
    pb_mma<2>(c, a, b, [](unsigned x, int h) { return pb_number_bf16(x >> 16 * h & 0xffff); });
}
static inline void pb_mma_tf32(float *c, const unsigned *a, const unsigned *b)
{
    pb_mma<1>(c, a, b, [](unsigned x, int) { return (double)__uint_as_float(x & 0xffffe000u); });
}

static double pb_terms[PB_MOST][2];  // what each lane brings: of a, of b

static inline void pb_mma_f64(double *c, double a, double b)
{
    unsigned lane = pb_now % PB_WARP, first = pb_now - lane;
    pb_terms[pb_now][0] = a;
    pb_terms[pb_now][1] = b;
    pb_wait(PB_AT_SHUFFLE);
    for (unsigned e = 0; e < 2; e++)
        for (unsigned k = 0; k < 4; k++)
            c[e] = fma(pb_terms[first + lane / 4 * 4 + k][0],
                       pb_terms[first + (lane % 4 * 2 + e) * 4 + k][1], c[e]);
    pb_wait(PB_AT_SHUFFLE);
}

// --- narrow numbers -------------------------------------------------------------------------------

static inline unsigned pb_tf32(unsigned x)
{
    bool finite = (x >> 23 & 255) != 255;
    return finite ? (x + 0x1000) & 0xffffe000u : x;
}
static inline unsigned pb_one_bf16(float x)
{
    unsigned bits = __float_as_uint(x);
    if (std::isnan(x)) return 0x7fff;
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
static inline unsigned pb_one_f16(float x)
{
    unsigned sign = __float_as_uint(x) >> 16 & 0x8000;
    double y = std::fabs((double)x);
    if (std::isnan(x)) return 0x7fff;
    if (y >= 65520) return sign | 0x7c00;
    int exponent = y < 0x1p-14 ? -14 : std::ilogb(y);
    unsigned units = (unsigned)std::nearbyint(std::ldexp(y, 10 - exponent));  // ties to even
    return sign | ((unsigned)(exponent + 14) * 1024 + units);
}
static inline unsigned pb_two_f16(float low, float high) { return pb_one_f16(low) | pb_one_f16(high) << 16; }
static inline unsigned pb_two_bf16(float low, float high)
{
    return pb_one_bf16(low) | pb_one_bf16(high) << 16;
}
#endif
