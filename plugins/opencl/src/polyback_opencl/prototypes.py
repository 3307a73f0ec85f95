"""Prototypes of the built-ins that kernels use, for PoCL.

PoCL parses a header of 18,500 lines (all overloads of all built-ins) for every program: 70 of the
84 ms that building a small kernel takes. Its include guard, defined in advance, leaves it out, and
a program then starts with the handful of prototypes below: 14 ms. The driver builds the ordinary
way if that fails.
"""

from __future__ import annotations

from typing import Final

_FLOATS: Final = {"float": "int", "float16": "int16", "double": "int", "double8": "long8"}
_ONE: Final = (
    *("sqrt", "exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "erf", "fabs"),
    *("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh"),
    *("asinh", "acosh", "atanh"),
    *("floor", "ceil", "trunc", "rint"),
)
_TWO: Final = ("pow", "hypot", "atan2", "fmod", "copysign", "nextafter")
_TEST: Final = ("isnan", "isinf", "isfinite", "signbit")
_CONVERT: Final = (
    "int16 uchar16", "uchar16 int16", "float16 int16", "long8 uchar8", "uchar8 long8",
    "double8 long8",
)  # fmt: skip


def _lines() -> list[str]:
    lines = ["size_t PB get_group_id(uint);", "size_t PB get_local_id(uint);"]
    lines.append("void __attribute__((overloadable, convergent)) barrier(uint);")
    for kind in ("int", "long"):
        lines += [f"{kind} PB {name}({kind}, {kind});" for name in ("min", "max")]
    lines += [f"int PB any({kind});" for kind in ("int16", "long8")]
    for conversion in _CONVERT:
        target, source = conversion.split()
        lines.append(f"{target} PB convert_{target}({source});")
    for kind, test in _FLOATS.items():
        lines += [f"{kind} PB {name}({kind});" for name in _ONE]
        lines += [f"{kind} PB {name}({kind}, {kind});" for name in _TWO]
        lines += [f"{test} PB {name}({kind});" for name in _TEST]
        lines.append(f"{kind} PB fma({kind}, {kind}, {kind});")
    return lines


OPTIONS: Final = ("-D_OPENCL_H_", "-DPB_PROTOTYPES")
TEXT: Final = "\n".join(
    ["#ifdef PB_PROTOTYPES", "#define PB __attribute__((overloadable, const))", *_lines(), "#endif"]
)
