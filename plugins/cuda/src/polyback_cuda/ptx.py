"""Instructions of compute capability 8.0 that CUDA C++ has no words for: asynchronous copies into
shared memory, and products of small matrices by a warp's tensor cores.

Each is a small device function over inline PTX. The simulator has functions of the same names
(``simulator/ptx_on_cpu.h``), so a kernel that uses them runs there unchanged.

Source: NVIDIA, PTX ISA 8.x, "cp.async", "ldmatrix", "mma" and the figures of their fragments.
"""

from __future__ import annotations

from typing import Final

LEAST: Final = 80  # the architecture from which there are all of them: sm_80

PTX: Final = """\
#ifndef PB_CUDA_ON_CPU
__device__ inline unsigned pb_shared(const void *p)
{
    return (unsigned)__cvta_generic_to_shared(p);
}
// Copy the first ``given`` bytes of SIZE, put zeros in place of the others; later.
template <int SIZE> __device__ inline void pb_copy(void *to, const void *from, int given)
{
    if constexpr (SIZE == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                     :: "r"(pb_shared(to)), "l"(from), "r"(given));
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %3, %2;"
                     :: "r"(pb_shared(to)), "l"(from), "r"(given), "n"(SIZE));
}
// The copies since the last call are one group.
__device__ inline void pb_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Wait until only the last COUNT groups of this thread may be under way.
template <int COUNT> __device__ inline void pb_wait_for()
{
    asm volatile("cp.async.wait_group %0;" :: "n"(COUNT) : "memory");
}
__device__ inline float4 pb_quad(const void *p) { return *(const float4 *)p; }
__device__ inline unsigned pb_word(const void *p) { return *(const unsigned *)p; }
__device__ inline double pb_double(const void *p) { return *(const double *)p; }
// Four matrices of eight rows of 16 bytes; lane l gives the address of row l % 8 of matrix l / 8
// and gets two halves (one word) of each: word l % 4 of row l / 4; TURNED: of its transpose.
template <bool TURNED> __device__ inline void pb_matrices(unsigned *to, const void *row)
{
    if constexpr (TURNED)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                     : "r"(pb_shared(row)) : "memory");
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                     : "r"(pb_shared(row)) : "memory");
}
#define PB_MMA(name, words) \\
    __device__ inline void name(float *c, const unsigned *a, const unsigned *b) \\
    { \\
        asm volatile("mma.sync.aligned." words " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, " \\
                     "{%0, %1, %2, %3};" \\
                     : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) \\
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1])); \\
    }
// 16 x 8 results of 32 bytes of each row of a and column of b, added to c.
PB_MMA(pb_mma_f16, "m16n8k16.row.col.f32.f16.f16.f32")
PB_MMA(pb_mma_bf16, "m16n8k16.row.col.f32.bf16.bf16.f32")
PB_MMA(pb_mma_tf32, "m16n8k8.row.col.f32.tf32.tf32.f32")
#undef PB_MMA
// 8 x 8 results of four terms of each row of a and column of b, added to c.
__device__ inline void pb_mma_f64(double *c, double a, double b)
{
    asm volatile("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0, %1}, {%2}, {%3}, {%0, %1};"
                 : "+d"(c[0]), "+d"(c[1]) : "d"(a), "d"(b));
}
// To the nearest number of ten fraction bits, ties away from zero.
__device__ inline unsigned pb_tf32(unsigned x)
{
    unsigned y;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(__uint_as_float(x)));
    return y;
}
// Two halves in a word, rounded to nearest, ties to even.
__device__ inline unsigned pb_two_f16(float low, float high)
{
    unsigned y;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
    return y;
}
__device__ inline unsigned pb_two_bf16(float low, float high)
{
    unsigned y;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
    return y;
}
#endif
"""
