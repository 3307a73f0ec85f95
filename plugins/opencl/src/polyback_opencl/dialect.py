"""OpenCL C 1.2: its words for the kernel kit."""

from __future__ import annotations

from typing import Final

from polyback.simt.dialect import C_MATH, Dialect, Wide
from polyback_opencl import repairs
from polyback_opencl.faster import faster

# Contraction is off: a * b + c rounds twice, as the host's arithmetic does, so that random numbers
# have the same bits everywhere.
HEADER: Final = """\
#pragma OPENCL FP_CONTRACT OFF"""
DOUBLE: Final = "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n"

TYPES: Final = {
    "b8": "uchar", "i8": "char", "i16": "short", "i32": "int", "i64": "long",
    "u8": "uchar", "u16": "ushort", "u32": "uint", "u64": "ulong",
    "f16": "ushort", "bf16": "ushort", "f32": "float", "f64": "double",
    "c64": "float2", "c128": "double2",
}  # fmt: skip


def dialect(*, double: bool, is_cpu: bool, is_pocl: bool = True, sub_group: int = 1) -> Dialect:
    """The words for one device; ``sub_group`` of its work-items read one another's registers."""
    size = f"__attribute__((intel_reqd_sub_group_size({sub_group}))) " if sub_group > 1 else ""
    place = f"(uint)(({{n}}) & {sub_group - 1})"
    wide = Wide(
        type="{type}{n}",
        # vload16 would be a call inside outlined functions; calls spill every vector register
        declare="typedef {type}{n} {type}{n}_any __attribute__((aligned({size})));",
        load="*({memory}const {type}{n}_any *)({p})",
        store="*({memory}{type}{n}_any *)({p}) = {x}",
        stream="__builtin_nontemporal_store({x}, ({memory}{type}{n} *)({p}))",
        convert="convert_{type}{n}({x})", reinterpret="as_{type}{n}({x})",
        lanes={"f32": 16, "f64": 8} if double else {"f32": 16},
        helpers=repairs.VECTOR | faster(16, double=double) if is_pocl else {},
    )  # fmt: skip
    return Dialect(
        header=(DOUBLE if double else "") + HEADER,
        kernel=f"kernel {size}void",
        function="",
        outlined="__attribute__((noinline)) ",
        memory="global ",
        shared="local ",
        restrict="restrict",
        group_id=("get_group_id(0)", "get_group_id(1)", "get_group_id(2)"),
        group_count=("get_num_groups(0)", "get_num_groups(1)", "get_num_groups(2)"),
        local_id="(int)get_local_id(0)",
        group_shape="__attribute__((reqd_work_group_size({n}, 1, 1))) ",
        barrier="barrier(CLK_LOCAL_MEM_FENCE);",
        aligned="__attribute__((aligned({n})))",
        unroll="#pragma unroll",
        types=TYPES,
        suffixes={"f32": "f", "i64": "L", "u32": "u", "u64": "UL"},
        reinterpret={"f32": "as_float", "u32": "as_uint", "f64": "as_double", "u64": "as_ulong"},
        builtins={"f32": C_MATH, "f64": C_MATH},
        helpers=repairs.SCALAR | faster(1, double=double) if is_pocl else {},
        multiply_add="({a} * {b} + {c})" if is_cpu else "fma({a}, {b}, {c})",
        contract="#pragma OPENCL FP_CONTRACT ON" if is_cpu else "",
        shuffle=f"sub_group_shuffle({{x}}, {place})" if sub_group > 1 else None,
        warp=sub_group,
        wide=wide if is_cpu else None,
    )
