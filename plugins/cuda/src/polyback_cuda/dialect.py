"""CUDA C++: its words for the kernel kit."""

from __future__ import annotations

from typing import Final

from polyback.simt.dialect import C_MATH, Dialect

# Contraction is off (-fmad=false in compiler.py): a * b + c rounds twice, as the host's arithmetic
# does, so that random numbers have the same bits everywhere. Matrix products ask for fma by name.
# The two macros are for compilers that read no <math.h>.
HEADER: Final = """\
#ifndef NAN
#define NAN __int_as_float(0x7fffffff)
#endif
#ifndef INFINITY
#define INFINITY __int_as_float(0x7f800000)
#endif"""

TYPES: Final = {
    "b8": "unsigned char", "i8": "signed char", "i16": "short", "i32": "int", "i64": "long long",
    "u8": "unsigned char", "u16": "unsigned short", "u32": "unsigned", "u64": "unsigned long long",
    "f16": "unsigned short", "bf16": "unsigned short", "f32": "float", "f64": "double",
    "c64": "float2", "c128": "double2",
}  # fmt: skip


def dialect() -> Dialect:
    """The words; every device has float64 and the same functions."""
    return Dialect(
        header=HEADER,
        kernel='extern "C" __global__ void',
        function="__device__ inline ",
        outlined="__device__ __noinline__ ",
        memory="",
        shared="__shared__ ",
        restrict="__restrict__",
        group_id=("blockIdx.x", "blockIdx.y", "blockIdx.z"),
        group_count=("gridDim.x", "gridDim.y", "gridDim.z"),
        local_id="(int)threadIdx.x",
        group_shape="__launch_bounds__({n}, {groups}) ",
        barrier="__syncthreads();",
        aligned="__align__({n})",
        unroll="#pragma unroll",
        types=TYPES,
        suffixes={"f32": "f", "i64": "LL", "u32": "u", "u64": "ULL"},
        reinterpret={
            "f32": "__uint_as_float", "u32": "__float_as_uint",
            "f64": "__longlong_as_double", "u64": "(unsigned long long)__double_as_longlong",
        },
        # Largest errors by NVIDIA's table, in ULP of float32: tan and acosh 4, atan2, hypot, sinh,
        # asinh, atanh 3, pow 4, the rest at most 2.
        builtins={"f32": C_MATH, "f64": C_MATH},
        multiply_add="fma({a}, {b}, {c})",
        shuffle="__shfl_sync(0xffffffffu, {x}, {n})",
        warp=32,
    )  # fmt: skip
