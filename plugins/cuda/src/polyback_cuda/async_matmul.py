"""Matrix products of float32 in CUDA's arithmetic units: IEEE multiply-add, fed by asynchronous
copies (:mod:`polyback_cuda.tiles`).

A warp makes 32 x 64 results, a lane 8 x 8 of them in registers. For four terms a lane reads 16
vectors of 16 bytes and makes 256 multiply-adds. Lanes are laid out so that neighbours read the same
address: then such a read takes two turns of shared memory and not four. Chains of additions are cut
every 256 terms and the pieces added up, so that the bound K(n) holds for the worst terms too.

A multiprocessor needs eight such warps to be busy, which the tile of 128 x 128 has. That of 64 x 64
has room for two, so there are four groups of two: each takes another quarter of every slice, and at
the end their sums are added up, always in one order.
"""

from __future__ import annotations

from typing import Final, final

from polyback.simt.driver import Kernel
from polyback.simt.epilogue import Epilogue
from polyback_cuda.tiles import tile_kernel
from polyback_cuda.tiling import Size, Work

CHAIN: Final = 256  # terms

CORE: Final = """
constexpr int WARPS = M / 32 * (N / 64), GROUPS = THREADS / 32 / WARPS;
constexpr int CHAIN = TERMS / DEPTH * GROUPS;  // slices, of which a warp has its part

// The lines that a lane computes with: near ones where vectors lie across them.
template <Mode MODE, int LANES> __device__ inline int pb_line(int lane, int i)
{
    return MODE == ACROSS ? i / 4 * LANES * 4 + lane * 4 + i % 4 : lane + i * LANES;
}
// Where a lane's lines are: of each chunk that a line may have at a place, or of the first. Group g
// finds chunk c ^ g where the first group finds c.
template <Mode MODE, int LINES> __device__ inline void pb_places(int (&at)[4], int line, int group)
{
    #pragma unroll
    for (int c = 0; c < 4; c++)
        at[c] = MODE == ACROSS ? (group * 4 * LINES + line) * 4 : pb_along(line, c ^ group);
}
// Four terms, those of chunk c, of four of a lane's eight lines.
template <Mode MODE, int LINES, int LANES> __device__ inline void pb_read(float (*to)[4],
    const unsigned char *slice, const int (&at)[4], int half, int c)
{
    #pragma unroll
    for (int e = 0; e < 4; e++) {
        if constexpr (MODE == ACROSS) {
            float4 v = pb_quad(slice + at[0] + ((c * 4 + e) * LINES + half * LANES * 4) * 4);
            to[0][e] = v.x;
            to[1][e] = v.y;
            to[2][e] = v.z;
            to[3][e] = v.w;
        } else {  // places repeat after eight lines, and after four but for one bit
            int line = (half * 4 + e) * LANES;
            float4 v = pb_quad(slice + at[c ^ line >> 1 & 3] + line * SLICE);
            to[e][0] = v.x;
            to[e][1] = v.y;
            to[e][2] = v.z;
            to[e][3] = v.w;
        }
    }
}
struct Core {
    float total[8][8], sum[8][8];
    int group, row, column, slices, a_at[4], b_at[4];  // of the lane's first result

    __device__ inline void start()
    {
        int warp = (int)threadIdx.x / 32 % WARPS, lane = (int)threadIdx.x % 32;
        group = (int)threadIdx.x / (32 * WARPS);
        row = warp / (N / 64) * 32 + pb_line<A_MODE, 4>((lane & 1) | (lane >> 4) << 1, 0);
        column = warp % (N / 64) * 64 + pb_line<B_MODE, 8>(lane >> 1 & 7, 0);
        slices = 0;
        pb_places<A_MODE, M>(a_at, row, group);
        pb_places<B_MODE, N>(b_at, column, group);
        #pragma unroll
        for (int i = 0; i < 8; i++)
            #pragma unroll
            for (int j = 0; j < 8; j++) total[i][j] = sum[i][j] = 0;
    }
    __device__ inline void add(const unsigned char *a, const unsigned char *b)
    {
        #pragma unroll
        for (int c = 0; c < 4 / GROUPS; c++) {
            float left[4][4], right[8][4];
            pb_read<B_MODE, N, 8>(right, b, b_at, 0, c);
            pb_read<B_MODE, N, 8>(right + 4, b, b_at, 1, c);
            #pragma unroll
            for (int half = 0; half < 2; half++) {
                pb_read<A_MODE, M, 4>(left, a, a_at, half, c);
                #pragma unroll
                for (int k = 0; k < 4; k++)
                    #pragma unroll
                    for (int i = 0; i < 4; i++)
                        #pragma unroll
                        for (int j = 0; j < 8; j++) {
                            float &to = sum[half * 4 + i][j];
                            to = fma(left[i][k], right[j][k], to);
                        }
            }
        }
        if (++slices % CHAIN) return;
        #pragma unroll
        for (int i = 0; i < 8; i++)
            #pragma unroll
            for (int j = 0; j < 8; j++) {
                total[i][j] += sum[i][j];
                sum[i][j] = 0;
            }
    }
    __device__ inline void join(float *cells)
    {
        int threads = 32 * WARPS, place = (int)threadIdx.x % threads;
        #pragma unroll
        for (int g = 0; g < GROUPS; g++) {
            if (g > 0) __syncthreads();
            #pragma unroll
            for (int i = 0; i < 8; i++)
                #pragma unroll
                for (int j = 0; j < 8; j++) {
                    float &cell = cells[(i * 8 + j) * threads + place];
                    if (g == 0) total[i][j] += sum[i][j];
                    else if (group == g) cell = total[i][j];
                }
            if (g == 0) continue;
            __syncthreads();
            if (group == 0)
                #pragma unroll
                for (int i = 0; i < 8; i++)
                    #pragma unroll
                    for (int j = 0; j < 8; j++)
                        total[i][j] += cells[(i * 8 + j) * threads + place];
        }
    }
    template <class END> __device__ inline void store(C *c, int rows, int columns,
        long long c_row, long long c_column, END end)
    {
        if (group > 0) return;
        #pragma unroll
        for (int i = 0; i < 8; i++) {
            int down = row + pb_line<A_MODE, 4>(0, i), line = min(down, rows - 1);
            #pragma unroll
            for (int j = 0; j < 8; j++) {
                int right = column + pb_line<B_MODE, 8>(0, j);
                C result = end(total[i][j], line, min(right, columns - 1));
                if (down < rows && right < columns) c[down * c_row + right * c_column] = result;
            }
        }
    }
};
"""


@final
class Float32:
    """The kernels of one type: what they are called, how large their tiles may be."""

    name = "float32"
    # Two warps for each scheduler find something to do at every clock. 254 registers a thread.
    work = Work(per_clock=128, warps=8)
    sizes = (Size(128, warps=8, resident=1), Size(64, warps=8, resident=1))

    def kernel(self, a_mode: str, b_mode: str, side: int, epilogue: Epilogue) -> Kernel:
        """Tiles of ``side`` x ``side``."""
        core = f"constexpr int TERMS = {CHAIN};{CORE}"
        return tile_kernel(
            core, a_mode, b_mode, 256, epilogue, T="float", m=side, n=side, blocks=1, spread=0
        )
