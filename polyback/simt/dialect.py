"""The words in which one C-like language differs from another.

Kernels are written once, in the part of C that all such languages share; a Dialect supplies the
rest: how a kernel begins, how memory is qualified, how a work-item finds its place, what types and
functions are called. The names here say what a word does, so that two dialects read side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, final

from polyback.dtype import DTYPES, DType

UNSIGNED: Final = {1: "u8", 2: "u16", 4: "u32", 8: "u64"}  # by size in bytes
# Functions of scalar.py by C's names, for a language that overloads them for float and double.
_AS_IN_C: Final = (
    "sqrt", "hypot", "exp", "expm1", "log", "log1p", "log2", "log10", "erf", "sin", "cos", "tan",
    "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "floor",
    "ceil", "trunc", "copysign", "nextafter", "isnan", "isinf", "isfinite", "signbit", "pow",
    "fma",
)  # fmt: skip
C_MATH: Final = {name: name for name in _AS_IN_C} | {"abs": "fabs", "round": "rint"}
PARTS: Final = {"c64": "f32", "c128": "f64"}  # of a complex number: real and imaginary


@final
@dataclass(frozen=True)
class Wide:
    """Words for vector types as first-class values, where a work-item is a whole core.

    ``{type}`` is the element type, ``{n}`` the number of lanes. Operators work on vectors, a
    comparison gives a mask of integers (all bits set where true), and ``?:`` selects by such a
    mask.
    """

    type: str  # "{type}{n}"
    declare: str  # a helper that load and store need; {size} bytes per element
    load: str  # from address {p} in {memory}: aligned as an element is
    store: str  # {x} to address {p} in {memory}
    stream: str  # {x} to the aligned address {p}, past the caches
    convert: str  # {x}, lane by lane
    reinterpret: str  # the bits of {x}
    lanes: Mapping[str, int]  # by dtype code; a program whose types are not all here stays scalar
    helpers: Mapping[tuple[str, str], str] = field(default_factory=dict)  # as Dialect.helpers


@final
@dataclass(frozen=True)
class Dialect:
    """One language. Every field is text that goes into a source, or a format of it."""

    header: str  # first lines of every source
    kernel: str  # before the name of a kernel
    function: str  # before the result type of a helper
    outlined: str  # the same, for a helper that must stay a call
    memory: str  # qualifies a pointer into device memory
    shared: str  # qualifies an array that a group shares
    restrict: str
    group_id: tuple[str, str, str]
    group_count: tuple[str, str, str]
    local_id: str  # along axis 0: groups are one-dimensional
    # before a kernel: its group is {n} work-items, and {groups} groups should fit at a time
    group_shape: str
    barrier: str
    aligned: str  # after struct: {n} bytes
    unroll: str  # before a loop of a small fixed count
    types: Mapping[str, str]  # dtype code -> type in memory; complex: two parts called x and y
    suffixes: Mapping[str, str]  # dtype code -> suffix of its literals
    reinterpret: Mapping[str, str]  # dtype code -> function to it from the other kind of that size
    builtins: Mapping[str, Mapping[str, str]]  # dtype code -> {function of scalar.py: its name}
    multiply_add: str  # {a} {b} {c}: one rounding where the machine has it; matrix products only
    contract: str = ""  # line that lets the compiler join a * b + c, before matrix products
    shuffle: str | None = None  # {x} of the work-item at place {n}, modulo ``warp``, of the warp
    warp: int = 1  # work-items that run in step
    wide: Wide | None = None
    overrides: Mapping[tuple[str, str], str] = field(default_factory=dict)  # (row, code) -> C text
    helpers: Mapping[tuple[str, str], str] = field(default_factory=dict)  # (function, code) -> as
    # in functions.py, where a built-in is missing or wrong

    def words(self) -> dict[str, str]:
        """What templates of kernels have holes for."""
        return {
            "header": self.header, "kernel": self.kernel, "outlined": self.outlined,
            "memory": self.memory, "shared": self.shared, "restrict": self.restrict,
            "long": self.long, "table": f"{self.memory}const {self.long} *{self.restrict} table",
            "group": self.group_id[0], "group_y": self.group_id[1], "group_z": self.group_id[2],
            "local_id": self.local_id, "barrier": self.barrier, "unroll": self.unroll,
        }  # fmt: skip

    def type(self, dtype: DType, lanes: int = 1) -> str:
        """The type of a value in a register; bool in vectors is a mask."""
        if lanes > 1:
            assert self.wide is not None
            return self.wide.type.format(type=self.types[dtype.code], n=lanes)
        return "bool" if dtype.kind == "bool" else self.types[dtype.code]

    def pointer(self, dtype: DType, name: str, *, const: bool, restrict: bool = True) -> str:
        """The declaration of a kernel's argument that points to elements of ``dtype``."""
        words = [self.memory, "const " if const else "", self.types[dtype.code], " *"]
        return "".join(words) + (f"{self.restrict} " if restrict else "") + name

    def own(self, name: str, dtype: DType, lanes: int = 1) -> str | None:
        """The text of this language's own helper, if it has one."""
        if lanes > 1:
            assert self.wide is not None
            return self.wide.helpers.get((name, dtype.code))
        return self.helpers.get((name, dtype.code))

    @property
    def long(self) -> str:
        """The 64-bit signed integer."""
        return self.types["i64"]


BY_CODE: Final = {d.code: d for d in DTYPES}


def part(dtype: DType) -> DType:
    """The type of the real and the imaginary part; of a real type itself."""
    return BY_CODE[PARTS.get(dtype.code, dtype.code)]


def carrier(itemsize: int) -> DType:
    """A type of this many bytes that moves any bits unchanged."""
    return BY_CODE[UNSIGNED.get(itemsize, "c128")]
