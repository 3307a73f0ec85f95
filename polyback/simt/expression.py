"""Program -> statements. Every value keeps its name: ``t2 = exp t0 : f32`` becomes
``float t2 = exp(t0);``, so that a kernel can be read beside ``print(program)``.

With ``lanes > 1`` the same statements work on vectors; a bool value is then a mask of integers.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Final, final

import numpy as np

from polyback import scalar
from polyback.dtype import DType
from polyback.program import Instr, Number, Program
from polyback.scalar import Scalar
from polyback.simt.complex_helpers import TEXTS, complex_helper, spelled
from polyback.simt.dialect import BY_CODE, UNSIGNED, Dialect, part
from polyback.simt.functions import cast_helper, helper

_CALL: Final = re.compile(r"\$(\w+)\(")
# Signed overflow is undefined in C and shorter types are promoted to int: integers add, subtract
# and multiply as unsigned numbers of at least 32 bits.
_WRAPPING: Final = {
    "add": "({W}){0} + ({W}){1}", "subtract": "({W}){0} - ({W}){1}",
    "multiply": "({W}){0} * ({W}){1}", "negative": "0 - ({W}){0}", "square": "({W}){0} * ({W}){0}",
}  # fmt: skip
_VECTOR_HELPERS: Final = frozenset({"sign", "maximum", "minimum", "sigmoid", "logaddexp"})
_LOGIC: Final = frozenset({"logical_and", "logical_or", "logical_xor", "logical_not"})


@final
@dataclass
class Writer:
    """Renders the values of one program. ``helpers`` collects the functions that they call."""

    dialect: Dialect
    lanes: int = 1
    helpers: dict[str, str] = field(default_factory=dict)

    def register(self, dtype: DType, other: DType | None = None) -> str:
        """The type of a value; ``other`` is the type that masks go with."""
        if self.lanes > 1 and dtype.kind == "bool":
            assert other is not None
            return self.dialect.type(BY_CODE[f"i{8 * other.itemsize}"], self.lanes)
        return self.dialect.type(dtype, self.lanes)

    def statements(self, program: Program, index: str) -> list[str]:
        """One line for every instruction. The inputs are variables t0, t1, ... already."""
        main = wide_type(program)
        lines = []
        for number, instr in enumerate(program.instrs, len(program.inputs)):
            kind = self.register(instr.dtype, main)
            lines.append(f"{kind} t{number} = {self.text(program, instr, index)};")
        return lines

    def text(self, program: Program, instr: Instr, index: str) -> str:
        """The expression of one instruction."""
        row, args = instr.row, [f"t{a}" for a in instr.args]
        if row is scalar.CONST:
            assert instr.value is not None
            return self.literal(instr.value, instr.dtype)
        if row is scalar.IOTA:
            return index
        if row is scalar.CAST:
            return self.cast(program.dtypes[instr.args[0]], instr.dtype, args[0])
        return self.apply(row, program.operand_dtype(instr), *args)

    def apply(self, row: Scalar, dtype: DType, *args: str) -> str:
        """``row`` on operands of type ``dtype``."""
        override = self.dialect.overrides.get((row.name, dtype.code))
        if override:
            return override.format(*args)
        if dtype.is_integer and row.name in _WRAPPING:
            wide = self.dialect.types[UNSIGNED[max(4, dtype.itemsize)]]
            plain = _WRAPPING[row.name].format(*args, W=wide)
            return f"({self.dialect.types[dtype.code]})({plain})"
        if row is scalar.BITWISE_INVERT and dtype.kind == "bool":
            return f"!{args[0]}"
        if dtype.kind == "complex" and row.name in TEXTS:  # C's operators know no vectors of two
            return f"{self.function(row.name, dtype)}({', '.join(args)})"
        return self.expand(row.c, dtype).format(*args)

    def expand(self, text: str, dtype: DType) -> str:
        """``$name(`` as this language spells it for ``dtype``."""
        return _CALL.sub(lambda found: self.function(found[1], dtype) + "(", text)

    def function(self, name: str, dtype: DType) -> str:
        """The built-in, or a helper that is added to the source."""
        if dtype.kind == "complex":
            own = spelled(name, dtype)
            if own not in self.helpers:
                text = complex_helper(name, dtype, self.dialect, self.function)
                self.helpers[own] = text  # behind those that it calls
            return own
        builtin = self.dialect.builtins.get(dtype.code, {}).get(name)
        if builtin and not self.dialect.own(name, dtype, self.lanes):
            return builtin
        found = helper(name, dtype, self.dialect, self.lanes)
        if found is None:
            raise KeyError(f"no C text for {name} on {dtype}")
        self.helpers[found[0]] = found[1]
        return found[0]

    def cast(self, source: DType, target: DType, x: str) -> str:
        """A conversion; a complex number gives its real part, except to bool."""
        if source is target:
            return x
        if source.kind == "complex":
            if target.kind == "complex":
                parts = (self.cast(part(source), part(target), f"{x}.{p}") for p in "xy")
                return f"{self.function('join', target)}({', '.join(parts)})"
            if target.kind != "bool":
                return self.cast(part(source), target, f"{x}.x")
            return f"({x}.x != 0 || {x}.y != 0)"
        if target.kind == "complex":
            return f"{self.function('join', target)}({self.cast(source, part(target), x)}, 0)"
        if target.kind == "bool":
            return f"({x} != 0)"
        if self.lanes > 1:  # only a mask becomes a number: -1 is 1
            assert self.dialect.wide is not None
            kind = self.dialect.types[target.code]
            return self.dialect.wide.convert.format(type=kind, n=self.lanes, x=f"{x} & 1")
        found = cast_helper(source, target, self.dialect)
        if found:
            self.helpers[found[0]] = found[1]
            return f"{found[0]}({x})"
        return f"({self.dialect.types[target.code]}){x}"

    def literal(self, value: Number, dtype: DType) -> str:
        """A number as text that reads back as exactly itself in ``dtype``."""
        if dtype.kind != "complex":
            return literal(value, dtype, self.dialect)
        number, real = complex(value), part(dtype)
        parts = (literal(x, real, self.dialect) for x in (number.real, number.imag))
        return f"{self.function('join', dtype)}({', '.join(parts)})"

    def number(self, name: str, dtype: DType) -> str:
        """The value of the arguments that :func:`argument_names` lists."""
        names = ", ".join(argument_names(name, dtype))
        return f"{self.function('join', dtype)}({names})" if dtype.kind == "complex" else names


def argument_names(name: str, dtype: DType) -> tuple[str, ...]:
    """The arguments of a kernel that pass one number: a complex one goes as its two parts, because
    languages differ in how they align vectors."""
    return (f"{name}x", f"{name}y") if dtype.kind == "complex" else (name,)


def argument_codes(dtype: DType) -> tuple[str, ...]:
    """The dtype codes of these arguments."""
    return (part(dtype).code,) * len(argument_names("", dtype))


def parameters(name: str, dtype: DType, dialect: Dialect) -> str:
    """Their declarations."""
    kind = dialect.types[part(dtype).code]
    return ", ".join(f"{kind} {each}" for each in argument_names(name, dtype))


def wide_type(program: Program) -> DType | None:
    """The one type besides bool that the program computes with, if there is just one."""
    types = {d for d in program.dtypes if d.kind != "bool"}
    return next(iter(types)) if len(types) == 1 else None


def wide_lanes(program: Program, dialect: Dialect) -> int:
    """Lanes of the vectors that ``program`` can be computed in; 1: it stays scalar.

    That takes one floating type, rows that are operators or functions known for vectors, and no
    bool that is a number or a constant.
    """
    dtype = wide_type(program)
    if dialect.wide is None or dtype is None or dtype.code not in dialect.wide.lanes:
        return 1
    if any(i.scalar and i.dtype is not dtype for i in program.inputs):
        return 1
    if not all(_is_wide(program, instr, dialect) for instr in program.instrs):
        return 1
    return dialect.wide.lanes[dtype.code]


def _is_wide(program: Program, instr: Instr, dialect: Dialect) -> bool:
    dtype = program.operand_dtype(instr)
    if instr.row is scalar.CAST:
        return dtype.kind == "bool" or instr.dtype.kind == "bool"
    if dtype.kind == "bool":
        return instr.row.name in _LOGIC
    if instr.row is scalar.IOTA:
        return False
    calls = _CALL.findall(instr.row.c)
    return all(_has_vectors(name, dtype, dialect) for name in calls)


def _has_vectors(name: str, dtype: DType, dialect: Dialect) -> bool:
    assert dialect.wide is not None
    if (name, dtype.code) in dialect.wide.helpers or name in _VECTOR_HELPERS:
        return True
    repaired = (name, dtype.code) in dialect.helpers  # the built-in is not to be trusted
    return name in dialect.builtins.get(dtype.code, {}) and not repaired


def literal(value: Number, dtype: DType, dialect: Dialect) -> str:
    """As :meth:`Writer.literal`, for real types."""
    suffix = dialect.suffixes.get(dtype.code, "")
    if dtype.kind == "bool":
        return "true" if value else "false"
    if dtype.is_integer:
        number = int(np.asarray(value).astype(dtype.numpy).item())
        if number == np.iinfo(dtype.numpy).min and number < 0:  # C has no negative literals
            return f"({number + 1}{suffix} - 1)"
        return f"({number}{suffix})" if number < 0 else f"{number}{suffix}"
    with np.errstate(all="ignore"):
        real = float(np.asarray(value).astype(dtype.numpy))
    if math.isnan(real):
        return "NAN"
    if math.isinf(real):
        return "(-INFINITY)" if real < 0 else "INFINITY"
    return f"({real!r}{suffix})" if math.copysign(1, real) < 0 else f"{real!r}{suffix}"
