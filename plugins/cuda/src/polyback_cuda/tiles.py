"""Matrix products in tiles, fed by asynchronous copies: what their kernels have in common.

A block makes M x N results from slices of both operands. A slice is 64 bytes of every line (rows of
A, columns of B), and three of them are in shared memory: while a block computes with one, two are
under way (cp.async), past the registers. Shared memory is cut into chunks of 16 bytes whose places
are permuted so that lanes which read together meet in no bank. An operand is

ALONG   dense along k, lines aligned to 16 bytes: copied by chunks, kept line by line,
ACROSS  dense along the lines and aligned likewise: copied by chunks, kept k by k,
ANY     anything else: copied by elements, kept line by line.

Blocks that run together take tiles that lie together, eight rows of tiles at a time, so that they
find each other's operands in the L2 cache. Along k the work may be shared out: then every share
stores a matrix of its own, and their sum is another kernel's. Results go through a program on their
way to memory (:mod:`polyback.simt.epilogue`).

Sources: NVIDIA, CUTLASS, "Efficient GEMM in CUDA"; S. Boehm, "How to Optimize a CUDA Matmul
Kernel".
"""

from __future__ import annotations

from string import Template
from typing import Final

from polyback.simt.driver import Kernel
from polyback.simt.epilogue import Epilogue
from polyback.simt.expression import Writer
from polyback.simt.geometry import decode
from polyback_cuda.dialect import dialect
from polyback_cuda.ptx import PTX

ALONG, ACROSS, ANY = "ALONG", "ACROSS", "ANY"
SLICE: Final = 64  # bytes of a line
STAGES: Final = 3  # 3 x (128 + 128) x 64 bytes fill the 48 KiB that every kernel may have
ARGUMENTS: Final = ("*", "i64") * 3 + ("i64",) * 11 + ("*",)

# ``core`` has a struct Core: what a thread does with a slice, and with its results at the end. The
# program runs on results that do not exist too, at the place of one that does: so nothing that it
# reads depends on a test, and what repeats, like a bias, is read once.
KERNEL: Final = Template("""\
${header}
${comment}
${ptx}
${helpers}
typedef ${T} T;
typedef ${P} P;  // of a result before the program, and after it
typedef ${C} C;
constexpr int THREADS = ${threads}, M = ${m}, N = ${n}, STAGES = ${stages}, SLICE = ${slice};
constexpr int EACH = 16 / (int)sizeof(T), DEPTH = SLICE / (int)sizeof(T);  // of a chunk, of a slice
enum Mode { ALONG, ACROSS, ANY };
constexpr Mode A_MODE = ${a_mode}, B_MODE = ${b_mode};

// Where a chunk is, in bytes: kept line by line, and k by k.
__device__ inline int pb_along(int line, int chunk)
{
    return line * SLICE + ((chunk ^ (line >> 1 & 3)) << 4);
}
template <int LINES> __device__ inline int pb_across(int k, int chunk)
{
    return k * LINES * (int)sizeof(T) + ((chunk ^ (k * ${spread} & 7)) << 4);
}
__device__ inline int pb_least(long long x, int most) { return x < most ? max((int)x, 0) : most; }

// A thread's part in copying slices of LINES lines, of which ``lines`` exist; others are zeros.
template <Mode MODE, int LINES> struct Loader {
    static constexpr int SIZE = (int)sizeof(T), COUNT = LINES * 4 / THREADS, WIDE = LINES / EACH;
    static constexpr int LANES = MODE == ALONG ? 4 : WIDE, APART = THREADS / LANES;
    const T *from;
    long long line_step, k_step, step;
    int lines, chunk, first, at;

    __device__ inline void start(const T *x, long long of_line, long long of_k, int count)
    {
        int id = (int)threadIdx.x;
        from = x, line_step = of_line, k_step = of_k, lines = count;
        if constexpr (MODE == ANY) return;
        chunk = id % LANES, first = id / LANES;
        from += chunk * EACH + first * (MODE == ALONG ? line_step : k_step);
        step = APART * (MODE == ALONG ? line_step : k_step);
        at = MODE == ALONG ? pb_along(first, chunk) : pb_across<LINES>(first, chunk);
        if constexpr (MODE == ACROSS) lines = pb_least((lines - chunk * EACH) * SIZE, 16);
    }
    // Start copying a slice that has ``depth`` terms, then go to the next one.
    __device__ inline void load(unsigned char *to, int depth)
    {
        if constexpr (MODE == ANY) {
            elements(to, depth);
        } else {
            int given = MODE == ALONG ? pb_least((depth - chunk * EACH) * SIZE, 16) : lines;
            int most = (MODE == ALONG ? lines : depth) - first;
            #pragma unroll
            for (int e = 0; e < COUNT; e++)
                pb_copy<16>(to + at + e * APART * (MODE == ALONG ? SLICE : LINES * SIZE),
                            from + e * step, e * APART < most ? given : 0);
        }
        from += DEPTH * k_step;
    }
    __device__ inline void elements(unsigned char *to, int depth)
    {
        bool dense = k_step == 1;
        #pragma unroll 4
        for (unsigned e = threadIdx.x; e < LINES * DEPTH; e += THREADS) {
            int k = dense ? e % DEPTH : e / LINES, line = dense ? e / DEPTH : e % LINES;
            bool inside = line < lines && k < depth;
            const T *x = from + (inside ? line * line_step + k * k_step : 0);
            unsigned char *place = to + pb_along(line, k / EACH) + k % EACH * SIZE;
            if constexpr (SIZE >= 4) pb_copy<SIZE>(place, x, inside ? SIZE : 0);
            else *(T *)place = inside ? *x : (T)0;
        }
    }
};
${core}
extern "C" __global__ void __launch_bounds__(${threads}, ${blocks}) product(const T *a,
    long long oa, const T *b, long long ob, C *c, long long oc, long long m, long long n,
    long long depth, long long share, long long a_line, long long a_k, long long b_k,
    long long b_line, long long c_row, long long c_column, long long c_share,
    const long long *table${more})
{
    __shared__ __align__(128) unsigned char pool[STAGES][(M + N) * SLICE];
    unsigned down = (unsigned)((m + M - 1) / M), across = (unsigned)((n + N - 1) / N);
    unsigned batch = blockIdx.x / (down * across), tile = blockIdx.x % (down * across);
    unsigned top = tile / (8 * across) * 8, height = min(8u, down - top);
    tile %= 8 * across;
    long long i0 = (long long)(top + tile % height) * M, j0 = (long long)(tile / height) * N;
${decode}
    long long begin = blockIdx.y * share, left = min(share, depth - begin);
    int rows = pb_least(m - i0, M), columns = pb_least(n - j0, N);
    c += oc + f2 + i0 * c_row + j0 * c_column + blockIdx.y * c_share;
    Loader<A_MODE, M> a_loader;
    Loader<B_MODE, N> b_loader;
    a_loader.start(a + oa + f0 + i0 * a_line + begin * a_k, a_line, a_k, rows);
    b_loader.start(b + ob + f1 + j0 * b_line + begin * b_k, b_line, b_k, columns);
    int slices = (int)((left + DEPTH - 1) / DEPTH), loaded = 0;
    auto load = [&](int stage) {
        if (loaded < slices) {
            int terms = loaded + 1 < slices ? DEPTH : (int)(left - (long long)loaded * DEPTH);
            a_loader.load(pool[stage], terms);
            b_loader.load(pool[stage] + M * SLICE, terms);
        }
        loaded++;
        pb_commit();
    };
    #pragma unroll
    for (int stage = 0; stage < STAGES - 1; stage++) load(stage);
    Core core;
    core.start();
    int now = 0, next = STAGES - 1;
    for (int slice = 0; slice < slices; slice++) {
        pb_wait_for<STAGES - 2>();
        __syncthreads();  // this slice is here for all, and nobody reads the one before it any more
        load(next);
        core.add(pool[now], pool[now] + M * SLICE);
        now = now + 1 == STAGES ? 0 : now + 1;
        next = next + 1 == STAGES ? 0 : next + 1;
    }
    core.join((float *)pool);
    core.store(c, rows, columns, c_row, c_column, [&](P ${value}, int down, int right) -> C {
${epilogue}
        return ${result};
    });
}
""")


def tile_kernel(
    core: str, a_mode: str, b_mode: str, threads: int, epilogue: Epilogue, **words: object
) -> Kernel:
    """``core`` and ``words`` fill the template's other holes."""
    language = dialect()
    writer, types = Writer(language), language.types
    offsets = ["f0", "f1", "f2", *epilogue.offsets]
    ending = epilogue.lines(writer, "(i0 + down)", "(j0 + right)")
    text = KERNEL.substitute(
        words, core=core, a_mode=a_mode, b_mode=b_mode, ptx=PTX, stages=STAGES, slice=SLICE,
        threads=threads, header=language.header, comment=epilogue.comment(),
        helpers="\n".join(writer.helpers.values()), more=epilogue.parameters(language),
        P=types[epilogue.program.inputs[epilogue.at].dtype.code], C=types[epilogue.dtype.code],
        value=epilogue.value, result=epilogue.result, epilogue=_lines(ending, 2),
        decode=_lines(decode("table", "batch", offsets, "long long", "t"), 1),
    )  # fmt: skip
    return Kernel("product", text, (*ARGUMENTS, *epilogue.codes()), threads)


def _lines(lines: list[str], depth: int) -> str:
    return "\n".join(" " * 4 * depth + line for line in lines)
