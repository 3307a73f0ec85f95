"""Matrix products on tensor cores: float16 and bfloat16, and float32 cut to TF32 where a user asks
for that, all summed in float32 and fed by asynchronous copies (:mod:`polyback_cuda.tiles`).

Products of halves are exact in float32; only the sums are rounded, or cut off, as the hardware
does, and once more at the end the result to its own type. TF32 keeps ten of float32's 23 fraction
bits, so it is an opt-in (``config.tf32``).

A warp makes WARP_M x WARP_N results out of products of 16 x 32 bytes by 32 bytes x 8 (mma.sync). It
reads their operands by ldmatrix, which turns halves that lie across; words that do are read one by
one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from polyback.simt.driver import Kernel
from polyback.simt.epilogue import Epilogue
from polyback_cuda.tiles import tile_kernel
from polyback_cuda.tiling import Size, Work

# ``step``: 32 bytes of every line of a slice. Fragments are as the PTX ISA draws them.
CORE: Final = """
constexpr int WARP_M = %(warp)d, WARP_N = %(warp)d, TERMS = 32 / (int)sizeof(T);

// Sixteen rows of A: the operand of one product.
__device__ inline void pb_left(unsigned *to, const unsigned char *slice, int first, int step)
{
    int lane = (int)threadIdx.x %% 32;
    if constexpr (A_MODE != ACROSS)
        pb_matrices<false>(to, slice + pb_along(first + lane %% 16, step * 2 + lane / 16));
    else if constexpr (sizeof(T) == 2) {
        int k = step * TERMS + lane / 16 * 8 + lane %% 8;
        pb_matrices<true>(to, slice + pb_across<M>(k, first / 8 + lane / 8 %% 2));
    } else
        #pragma unroll
        for (int e = 0; e < 4; e++) {
            int k = step * TERMS + e / 2 * 4 + lane %% 4, line = first + e %% 2 * 8 + lane / 4;
            to[e] = pb_word(slice + pb_across<M>(k, line / 4) + line %% 4 * 4);
        }
}
// Sixteen columns of B: the operands of two products.
__device__ inline void pb_right(unsigned *to, const unsigned char *slice, int first, int step)
{
    int lane = (int)threadIdx.x %% 32;
    if constexpr (B_MODE != ACROSS) {
        int line = first + lane / 16 * 8 + lane %% 8;
        pb_matrices<false>(to, slice + pb_along(line, step * 2 + lane / 8 %% 2));
    } else if constexpr (sizeof(T) == 2) {
        int k = step * TERMS + lane %% 16;
        pb_matrices<true>(to, slice + pb_across<N>(k, first / 8 + lane / 16));
    } else
        #pragma unroll
        for (int e = 0; e < 4; e++) {
            int k = step * TERMS + e %% 2 * 4 + lane %% 4, line = first + e / 2 * 8 + lane / 4;
            to[e] = pb_word(slice + pb_across<N>(k, line / 4) + line %% 4 * 4);
        }
}
template <int COUNT> __device__ inline void pb_narrow(unsigned *words)
{
    if constexpr (sizeof(T) == 4)
        #pragma unroll
        for (int e = 0; e < COUNT; e++) words[e] = pb_tf32(words[e]);
}
struct __align__(2 * sizeof(C)) pb_pair { C v[2]; };

// Two results, each rounded once where its type is narrow.
__device__ inline void pb_round(float x, float y, float *to) { to[0] = x, to[1] = y; }
__device__ inline void pb_round(float x, float y, unsigned short *to)
{
    unsigned both = %(two)s(x, y);
    to[0] = (unsigned short)both, to[1] = (unsigned short)(both >> 16);
}
struct Core {
    float sum[WARP_M / 16][WARP_N / 8][4];
    int row, column;  // of the warp's first result

    __device__ inline void start()
    {
        int warp = (int)threadIdx.x / 32;
        row = warp / (N / WARP_N) * WARP_M;
        column = warp %% (N / WARP_N) * WARP_N;
        #pragma unroll
        for (int i = 0; i < WARP_M / 16; i++)
            #pragma unroll
            for (int j = 0; j < WARP_N / 8; j++)
                #pragma unroll
                for (int e = 0; e < 4; e++) sum[i][j][e] = 0;
    }
    __device__ inline void add(const unsigned char *a, const unsigned char *b)
    {
        #pragma unroll
        for (int step = 0; step < SLICE / 32; step++) {
            unsigned left[WARP_M / 16][4], right[WARP_N / 16][4];
            #pragma unroll
            for (int i = 0; i < WARP_M / 16; i++) {
                pb_left(left[i], a, row + i * 16, step);
                pb_narrow<4>(left[i]);
            }
            #pragma unroll
            for (int j = 0; j < WARP_N / 16; j++) {
                pb_right(right[j], b, column + j * 16, step);
                pb_narrow<4>(right[j]);
            }
            #pragma unroll
            for (int i = 0; i < WARP_M / 16; i++)
                #pragma unroll
                for (int j = 0; j < WARP_N / 8; j++)
                    %(mma)s(sum[i][j], left[i], right[j / 2] + j %% 2 * 2);
        }
    }
    __device__ inline void join(float *) {}
    template <class END> __device__ inline void store(C *c, int rows, int columns,
        long long c_row, long long c_column, END end)
    {
        int lane = (int)threadIdx.x %% 32;
        bool paired = c_column == 1 && c_row %% 2 == 0
                      && (unsigned long long)c %% (2 * sizeof(C)) == 0;
        #pragma unroll
        for (int i = 0; i < WARP_M / 16; i++)
            #pragma unroll
            for (int j = 0; j < WARP_N / 8; j++)
                #pragma unroll
                for (int half = 0; half < 2; half++) {
                    int down = row + i * 16 + half * 8 + lane / 4;
                    int right = column + j * 8 + lane %% 4 * 2;
                    int line = min(down, rows - 1), last = columns - 1;
                    P value[2];
                    pb_round(sum[i][j][2 * half], sum[i][j][2 * half + 1], value);
                    pb_pair both = {{end(value[0], line, min(right, last)),
                                     end(value[1], line, min(right + 1, last))}};
                    if (down >= rows || right >= columns) continue;
                    C *to = c + down * c_row + right * c_column;
                    if (paired && right < last) *(pb_pair *)to = both;
                    else {
                        to[0] = both.v[0];
                        if (right < last) to[c_column] = both.v[1];
                    }
                }
    }
};
"""


@final
@dataclass(frozen=True)
class Narrow:
    """The kernels of one type: what they are called, how large their tiles may be."""

    name: str
    work: Work
    type: str  # of elements in memory
    mma: str
    two: str  # makes a word of two results
    spread: int  # how chunks of lines that lie across are permuted, so that no two lanes collide

    # 222 and 100 registers a thread.
    sizes = (Size(128, warps=4, resident=2), Size(64, warps=4, resident=5))

    def kernel(self, a_mode: str, b_mode: str, side: int, epilogue: Epilogue) -> Kernel:
        """Tiles of ``side`` x ``side``. The epilogue's product is of the operands' type,
        or float32: then results are not rounded."""
        words = {"warp": side // 2, "mma": self.mma, "two": self.two}
        return tile_kernel(
            CORE % words, a_mode, b_mode, 128, epilogue, T=self.type, m=side, n=side, blocks=2,
            spread=self.spread,
        )  # fmt: skip


# On Hopper mma.sync reaches some 60% of what wgmma does: 2048 multiply-adds of halves in a clock.
HALVES_WORK: Final = Work(per_clock=1200, warps=8)
FLOAT16: Final = Narrow("float16", HALVES_WORK, "unsigned short", "pb_mma_f16", "pb_two_f16", 1)
BFLOAT16: Final = Narrow("bfloat16", HALVES_WORK, "unsigned short", "pb_mma_bf16", "pb_two_bf16", 1)
TF32: Final = Narrow("tf32", Work(per_clock=600, warps=8), "float", "pb_mma_tf32", "pb_two_f16", 2)
