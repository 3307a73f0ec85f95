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
from polyback_cuda.tiles import ARGUMENTS, source

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
// Two neighbours of a row, the second if it exists; ``paired``: as one word.
__device__ inline void pb_put(float *to, float x, float y, long long step, bool second, bool paired)
{
    if (paired && second) *(float2 *)to = {x, y};
    else {
        to[0] = x;
        if (second) to[step] = y;
    }
}
__device__ inline void pb_put(unsigned short *to, float x, float y, long long step, bool second,
    bool paired)
{
    unsigned both = %(two)s(x, y);
    if (paired && second) *(unsigned *)to = both;
    else {
        to[0] = (unsigned short)both;
        if (second) to[step] = (unsigned short)(both >> 16);
    }
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
    __device__ inline void store(C *c, int rows, int columns, long long c_row, long long c_column)
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
                    if (down < rows && right < columns)
                        pb_put(c + down * c_row + right * c_column, sum[i][j][2 * half],
                               sum[i][j][2 * half + 1], c_column, right + 1 < columns, paired);
                }
    }
};
"""


@final
@dataclass(frozen=True)
class Narrow:
    """The kernels of one type: what they are called, how large their tiles may be."""

    name: str
    type: str  # of elements in memory
    mma: str
    two: str  # makes a word of two results
    spread: int  # how chunks of lines that lie across are permuted, so that no two lanes collide

    def kernel(self, a_mode: str, b_mode: str, side: int, whole: bool = True) -> Kernel:
        """Tiles of ``side`` x ``side``, 128 or 64. Without ``whole`` results stay in float32."""
        words = {"warp": side // 2, "mma": self.mma, "two": self.two}
        text = source(
            CORE % words, a_mode, b_mode, T=self.type, C=self.type if whole else "float",
            threads=128, m=side, n=side, blocks=2, spread=self.spread,
        )  # fmt: skip
        return Kernel("product", text, ARGUMENTS, 128)


FLOAT16: Final = Narrow("float16", "unsigned short", "pb_mma_f16", "pb_two_f16", 1)
BFLOAT16: Final = Narrow("bfloat16", "unsigned short", "pb_mma_bf16", "pb_two_bf16", 1)
TF32: Final = Narrow("tf32", "float", "pb_mma_tf32", "pb_two_f16", 2)
