// CUDA C++ on a host compiler: enough of the language for the kernels of polyback, unchanged.
//
// The blocks of a grid run one after another. The threads of a block run in turn: in a plain loop where the
// kernel never waits, else as fibres, each with a stack of its own, that hand over at every barrier and
// shuffle. So there is one host thread, and __shared__ is static memory. It shows wrong arithmetic, wrong
// indices, missing arguments and barriers that not all threads reach; it shows no speed. A missing barrier
// shows where it matters who comes first: POLYBACK_CUDA_SIMULATED_ORDER in the environment, "reverse" or
// "shuffled", lets threads and blocks take turns in another order than that of their numbers.
#ifndef PB_CUDA_ON_CPU
#define PB_CUDA_ON_CPU
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <ucontext.h>

using std::acos; using std::acosh; using std::asin; using std::asinh; using std::atan; using std::atan2;
using std::atanh; using std::ceil; using std::copysign; using std::cos; using std::cosh; using std::erf;
using std::exp; using std::expm1; using std::fabs; using std::floor; using std::fma; using std::fmod;
using std::hypot; using std::isfinite; using std::isinf; using std::isnan; using std::log;
using std::log10; using std::log1p; using std::log2; using std::nextafter; using std::pow; using std::rint;
using std::signbit; using std::sin; using std::sinh; using std::sqrt; using std::tan; using std::tanh;
using std::trunc; using std::exp2; using std::fmin; using std::fmax;

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __shared__ static
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x, y, z; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) double2 { double x, y; };
static uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;

// --- threads ------------------------------------------------------------------------------------

enum { PB_WARP = 32, PB_MOST = 1024, PB_STACK = 1 << 16 };
enum pb_state { PB_READY, PB_AT_BARRIER, PB_AT_SHUFFLE, PB_DONE };

struct pb_fibre {
    void *stack_pointer;
    char *stack;
    ucontext_t context;
    pb_state state;
    unsigned long long cell;  // what this thread offers to a shuffle
};

static pb_fibre pb_fibres[PB_MOST];
static void *pb_main_pointer;
static ucontext_t pb_main_context;
static unsigned pb_now;
static const char *pb_fault;
static void (*pb_body)(void *);
static void *pb_given;

#if defined(__x86_64__)
// Saves what the System V convention lets a callee keep, changes stacks: 2 ns, against 500 for swapcontext,
// which also asks the kernel for the signal mask.
extern "C" void pb_switch(void **save, void *to);
asm(".text\n.type pb_switch,@function\n.hidden pb_switch\npb_switch:\n"
    "push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15\n"
    "mov %rsp, (%rdi)\nmov %rsi, %rsp\n"
    "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp\nret\n");
static void pb_to_main() { pb_switch(&pb_fibres[pb_now].stack_pointer, pb_main_pointer); }
static void pb_to_fibre() { pb_switch(&pb_main_pointer, pb_fibres[pb_now].stack_pointer); }
#else
static void pb_to_main() { swapcontext(&pb_fibres[pb_now].context, &pb_main_context); }
static void pb_to_fibre() { swapcontext(&pb_main_context, &pb_fibres[pb_now].context); }
#endif

static void pb_enter()
{
    for (;;) {
        pb_body(pb_given);
        pb_fibres[pb_now].state = PB_DONE;
        pb_to_main();
    }
}

static void pb_prepare(unsigned t)
{
    pb_fibre &f = pb_fibres[t];
    if (!f.stack) f.stack = (char *)aligned_alloc(64, PB_STACK);
#if defined(__x86_64__)
    void **top = (void **)(f.stack + PB_STACK) - 2;  // the entry sees a stack as after a call
    *top = (void *)pb_enter;
    f.stack_pointer = top - 6;
    memset(f.stack_pointer, 0, 6 * sizeof(void *));
#else
    getcontext(&f.context);
    f.context.uc_stack.ss_sp = f.stack;
    f.context.uc_stack.ss_size = PB_STACK;
    makecontext(&f.context, pb_enter, 0);
#endif
    f.state = PB_READY;
}

// --- whose turn it is ------------------------------------------------------------------------------

static char pb_order;          // f: as they are numbered, r: the other way, s: shuffled, always anew
static unsigned pb_shuffles;   // how often turns were given

static void pb_choose_order()
{
    const char *order = getenv("POLYBACK_CUDA_SIMULATED_ORDER");
    pb_order = order && *order ? *order : 'f';
    pb_shuffles = 0;
}

// Who is number ``turn`` of ``count``. 7919 is a prime: its multiples come to everybody.
static unsigned pb_turn(unsigned turn, unsigned count, unsigned shuffle)
{
    if (pb_order == 'r') return count - 1 - turn;
    if (pb_order != 's' || count % 7919 == 0) return turn;
    return (unsigned)(((unsigned long long)turn * 7919 + shuffle * 40503ull) % count);
}

static void pb_wait(pb_state state)
{
    unsigned t = pb_now;
    pb_fibres[t].state = state;
    pb_to_main();
    threadIdx.x = t;
}

static inline void __syncthreads() { pb_wait(PB_AT_BARRIER); }
static inline void __syncwarp(unsigned = 0xffffffffu) { pb_wait(PB_AT_SHUFFLE); }
static inline void __threadfence() {}

// Let threads [from, to) that stand at ``state`` go on; false if others of them stand elsewhere.
static bool pb_release(unsigned from, unsigned to, pb_state state)
{
    bool some = false, all = true;
    for (unsigned t = from; t < to; t++) {
        some |= pb_fibres[t].state == state;
        all &= pb_fibres[t].state == state || pb_fibres[t].state == PB_DONE;
    }
    if (some && all)
        for (unsigned t = from; t < to; t++)
            if (pb_fibres[t].state == state) pb_fibres[t].state = PB_READY;
    return !some || all;
}

static void pb_block_with_fibres(unsigned size)
{
    for (unsigned t = 0; t < size; t++) pb_prepare(t);
    for (;;) {
        bool moved = false, done = true;
        unsigned shuffle = pb_shuffles++;
        for (unsigned k = 0, t; k < size; k++)
            if (pb_fibres[t = pb_turn(k, size, shuffle)].state == PB_READY) {
                pb_now = t;
                threadIdx = {t, 0, 0};
                pb_to_fibre();
                moved = true;
            }
        for (unsigned w = 0; w < size; w += PB_WARP)
            pb_release(w, w + PB_WARP < size ? w + PB_WARP : size, PB_AT_SHUFFLE);
        pb_release(0, size, PB_AT_BARRIER);
        for (unsigned t = 0; t < size; t++) done &= pb_fibres[t].state == PB_DONE;
        if (done) return;
        if (!moved) {
            pb_fault = "threads of one block wait at different places";
            return;
        }
    }
}

// --- shuffles: write a cell, wait for the warp, read a neighbour's, wait until all have read ---------

template <class T> static T pb_exchange(T x, unsigned from)
{
    static_assert(sizeof(T) <= 8, "at most 64 bits");
    unsigned long long cell = 0;
    memcpy(&cell, &x, sizeof x);
    pb_fibres[pb_now].cell = cell;
    pb_wait(PB_AT_SHUFFLE);
    bool inside = from / PB_WARP == pb_now / PB_WARP && from < blockDim.x;
    cell = pb_fibres[inside ? from : pb_now].cell;
    pb_wait(PB_AT_SHUFFLE);
    T result;
    memcpy(&result, &cell, sizeof result);
    return result;
}
template <class T> static T __shfl_down_sync(unsigned, T x, unsigned n)
{
    return pb_exchange(x, pb_now + n);
}
template <class T> static T __shfl_xor_sync(unsigned, T x, unsigned mask)
{
    return pb_exchange(x, pb_now ^ mask);
}
template <class T> static T __shfl_sync(unsigned, T x, unsigned lane)
{
    return pb_exchange(x, pb_now / PB_WARP * PB_WARP + lane % PB_WARP);
}

// --- functions ------------------------------------------------------------------------------------

template <class A, class B> static inline typename std::common_type<A, B>::type min(A a, B b)
{
    return a < b ? a : b;
}
template <class A, class B> static inline typename std::common_type<A, B>::type max(A a, B b)
{
    return a > b ? a : b;
}
template <class To, class From> static inline To pb_bits(From x)
{
    To y;
    static_assert(sizeof x == sizeof y, "same size");
    memcpy(&y, &x, sizeof y);
    return y;
}
static inline float __uint_as_float(unsigned x) { return pb_bits<float>(x); }
static inline float __int_as_float(int x) { return pb_bits<float>(x); }
static inline unsigned __float_as_uint(float x) { return pb_bits<unsigned>(x); }
static inline int __float_as_int(float x) { return pb_bits<int>(x); }
static inline double __longlong_as_double(long long x) { return pb_bits<double>(x); }
static inline long long __double_as_longlong(double x) { return pb_bits<long long>(x); }
static inline unsigned __umulhi(unsigned a, unsigned b)
{
    return (unsigned)((unsigned long long)a * b >> 32);
}
template <class T> static inline T atomicAdd(T *p, T x) { T old = *p; *p = old + x; return old; }
template <class T> static inline T atomicMax(T *p, T x) { T old = *p; *p = max(old, x); return old; }
template <class T> static inline T atomicMin(T *p, T x) { T old = *p; *p = min(old, x); return old; }
template <class T> static inline T atomicCAS(T *p, T want, T x)
{
    T old = *p;
    if (old == want) *p = x;
    return old;
}

// --- launches: arguments lie in memory as the driver lays them out, each at a multiple of its size ------

template <class T> static T pb_take(const char *given, size_t &at)
{
    at = (at + alignof(T) - 1) / alignof(T) * alignof(T);
    T x;
    memcpy(&x, given + at, sizeof x);
    at += sizeof x;
    return x;
}

template <class... P>
static const char *pb_launch(void (*kernel)(P...), const unsigned *grid, unsigned threads, bool waits,
    const char *given, size_t size)
{
    size_t at = 0;
    std::tuple<P...> arguments{pb_take<P>(given, at)...};
    if (at != size) return "the arguments have another size than the parameters";
    struct Call {
        void (*kernel)(P...);
        std::tuple<P...> *arguments;
    } call{kernel, &arguments};
    pb_body = [](void *p) {
        Call *c = (Call *)p;
        std::apply(c->kernel, *c->arguments);
    };
    pb_given = &call;
    pb_fault = nullptr;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {threads, 1, 1};
    pb_choose_order();
    unsigned blocks = grid[0] * grid[1] * grid[2];
    for (unsigned k = 0; k < blocks && !pb_fault; k++) {
        unsigned block = pb_turn(k, blocks, 1), shuffle = pb_shuffles;
        blockIdx = {block % grid[0], block / grid[0] % grid[1], block / grid[0] / grid[1]};
        if (waits) pb_block_with_fibres(threads);
        else
            for (unsigned t = 0; t < threads; t++) {
                threadIdx = {pb_turn(t, threads, shuffle), 0, 0};
                std::apply(kernel, arguments);
            }
    }
    return pb_fault;
}
#endif
