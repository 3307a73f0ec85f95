"""CUDA C++: its words for the kernel kit."""

from __future__ import annotations

from typing import Final

from polyback.simt.dialect import Dialect

# Contraction is off for the whole source (-fmad=false in driver.py): a * b + c rounds twice, as the host's
# arithmetic does, so that random numbers have the same bits everywhere. Matrix products ask for fma.
HEADER: Final = """\
#define PB_NAN __int_as_float(0x7fc00000)
#define PB_INFINITY __int_as_float(0x7f800000)
#undef NAN
#undef INFINITY
#define NAN PB_NAN
#define INFINITY PB_INFINITY"""

TYPES: Final = {
    "b8": "unsigned char", "i8": "signed char", "i16": "short", "i32": "int", "i64": "long long",
    "u8": "unsigned char", "u16": "unsigned short", "u32": "unsigned int",
    "u64": "unsigned long long",
    "f16": "unsigned short", "bf16": "unsigned short", "f32": "float", "f64": "double",
}  # fmt: skip
