"""The cffi module ``polyback_cpu_c._native``: ``csrc/native.h`` is both C header and cdef."""

import re
from pathlib import Path

from cffi import FFI

CSRC = Path(__file__).resolve().parent / "csrc"
FLAGS = [
    "-O3", "-std=gnu11", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-fwrapv",
    "-fvisibility=hidden",
]  # fmt: skip

ffi = FFI()
ffi.cdef(re.sub(r"/\*.*?\*/", "", (CSRC / "native.h").read_text(), flags=re.DOTALL))
ffi.set_source(
    "polyback_cpu_c._native",
    '#include "native.h"',
    include_dirs=["csrc"],
    extra_compile_args=FLAGS,
    libraries=["m", "pthread"],
)
