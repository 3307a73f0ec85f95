"""Matrix products of float64 on tensor cores: IEEE multiply-adds, one after the other, and twice as
many in a clock as other units make (:mod:`polyback_cuda.tiles`).

A warp makes WARP_M x WARP_N results out of products of 8 x 4 by 4 x 8 (mma.sync). A lane has one
element of each factor: line l / 4, term l % 4. Of operands that lie along k, lines are dealt out in
the order 0 1 4 5 2 3 6 7: half a warp, which reads together, then meets in no bank.
"""

from __future__ import annotations

from typing import Final, final

from polyback.simt.driver import Kernel
from polyback.simt.epilogue import Epilogue
from polyback_cuda.tiles import tile_kernel
from polyback_cuda.tiling import Size, Work

CORE: Final = """
constexpr int WARP_M = %(m)d, WARP_N = %(n)d;

struct __align__(2 * sizeof(C)) pb_pair { C v[2]; };

// Which of eight lines is number g.
template <Mode MODE> __device__ inline int pb_turn(int g)
{
    return MODE == ACROSS ? g : (g & 1) | (g & 4) >> 1 | (g & 2) << 1;
}
template <Mode MODE, int LINES> __device__ inline double pb_term(const unsigned char *slice,
    int line, int k)
{
    if constexpr (MODE == ACROSS)
        return pb_double(slice + pb_across<LINES>(k, line / 2) + line %% 2 * 8);
    else return pb_double(slice + pb_along(line, k / 2) + k %% 2 * 8);
}
struct Core {
    double sum[WARP_M / 8][WARP_N / 8][2];
    int row, column;  // of the warp's first result

    __device__ inline void start()
    {
        int warp = (int)threadIdx.x / 32;
        row = warp / (N / WARP_N) * WARP_M;
        column = warp %% (N / WARP_N) * WARP_N;
        #pragma unroll
        for (int i = 0; i < WARP_M / 8; i++)
            #pragma unroll
            for (int j = 0; j < WARP_N / 8; j++) sum[i][j][0] = sum[i][j][1] = 0;
    }
    __device__ inline void add(const unsigned char *a, const unsigned char *b)
    {
        int lane = (int)threadIdx.x %% 32;
        int down = row + pb_turn<A_MODE>(lane / 4), right = column + pb_turn<B_MODE>(lane / 4);
        #pragma unroll
        for (int step = 0; step < DEPTH; step += 4) {
            double left[WARP_M / 8], other[WARP_N / 8];
            #pragma unroll
            for (int i = 0; i < WARP_M / 8; i++)
                left[i] = pb_term<A_MODE, M>(a, down + i * 8, step + lane %% 4);
            #pragma unroll
            for (int j = 0; j < WARP_N / 8; j++)
                other[j] = pb_term<B_MODE, N>(b, right + j * 8, step + lane %% 4);
            #pragma unroll
            for (int i = 0; i < WARP_M / 8; i++)
                #pragma unroll
                for (int j = 0; j < WARP_N / 8; j++) pb_mma_f64(sum[i][j], left[i], other[j]);
        }
    }
    __device__ inline void join(float *) {}
    template <class END> __device__ inline void store(C *c, int rows, int columns,
        long long c_row, long long c_column, END end)
    {
        int lane = (int)threadIdx.x %% 32, last = columns - 1;
        bool paired = c_column == 1 && c_row %% 2 == 0
                      && (unsigned long long)c %% (2 * sizeof(C)) == 0;
        #pragma unroll
        for (int i = 0; i < WARP_M / 8; i++)
            #pragma unroll
            for (int j = 0; j < WARP_N / 8; j++) {
                int down = row + i * 8 + pb_turn<A_MODE>(lane / 4), line = min(down, rows - 1);
                int right = column + j * 8 + pb_turn<B_MODE>(lane %% 4 * 2);
                pb_pair both = {{end(sum[i][j][0], line, min(right, last)),
                                 end(sum[i][j][1], line, min(right + 1, last))}};
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
class Float64:
    """The kernels of one type: what they are called, how large their tiles may be."""

    name = "float64"
    work = Work(per_clock=128, warps=8)
    sizes = (Size(128, warps=8, resident=1), Size(64, warps=4, resident=4))

    def kernel(self, a_mode: str, b_mode: str, side: int, epilogue: Epilogue) -> Kernel:
        """Tiles of ``side`` x ``side``."""
        size = next(s for s in self.sizes if s.side == side)
        core = CORE % {"m": side // 2, "n": 32}
        return tile_kernel(
            core, a_mode, b_mode, 32 * size.warps, epilogue, T="double", m=side, n=side,
            blocks=size.resident, spread=2,
        )  # fmt: skip
