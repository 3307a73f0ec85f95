"""Hypothesis strategies: random programs, shapes and layouts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from hypothesis import strategies as st

from polyback import scalar
from polyback.device import Caps
from polyback.dtype import DType, bool_, dtype_of
from polyback.program import Builder, Input, Program, Value
from polyback.scalar import TABLE, Scalar
from polyback.view import Shape
from polyback_conformance.cases import BUILDING_BLOCKS
from polyback_conformance.layouts import Layout, inputs_for, outputs_for

# Left out of exact random programs: results that depend on the sign of a NaN that was computed, and
# operands that need a restricted range.
_UNFIT: Final = frozenset({
    "signbit", "copysign", "nextafter", "bitwise_left_shift", "bitwise_right_shift", "pow",
})  # fmt: skip
TYPES: Final = ("bool", "int8", "uint8", "int32", "uint32", "int64", "float32", "float64")


@dataclass(frozen=True)
class Drawn:
    """A program with the shape and layouts to run it on."""

    program: Program
    shape: Shape
    ins: tuple[Layout, ...]
    outs: tuple[Layout, ...]
    seed: int

    def __repr__(self) -> str:
        ins = ", ".join(map(str, self.ins))
        outs = ", ".join(map(str, self.outs))
        return f"shape {self.shape}; in: {ins}; out: {outs}; seed {self.seed}\n{self.program}\n"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))  # Hypothesis would spell every row and type out


def exact_rows(caps: Caps, dtype: DType, *, rounding: bool) -> list[Scalar]:
    """Rows that ``dtype`` can be given to; with ``rounding`` those with a ULP limit too."""
    return [
        row
        for row in TABLE
        if row not in BUILDING_BLOCKS
        and row.name not in _UNFIT
        and dtype in row.takes
        and dtype.name in caps.scalars.get(row.name, ())
        and (rounding or not row.ulp or not dtype.is_floating)
        and row.ulp_of == "result"
    ]


def shapes() -> st.SearchStrategy[Shape]:
    """Mostly small, up to 5 axes, sizes 0 and 1 included, and some long vectors."""
    small = st.lists(st.integers(0, 7), max_size=5).map(tuple)
    return st.one_of(small, st.integers(1, 300).map(lambda n: (n,)))


@st.composite
def programs(draw: st.DrawFn, caps: Caps, rounding: bool = False) -> Drawn:
    """A program of up to 8 instructions on values of several types."""
    stored = [dtype_of(n) for n in TYPES if n in caps.storage]
    if rounding:
        stored = [d for d in stored if d.is_floating]
    often = [d for d in stored if d.name == "float32"] * 4 + stored  # where rounding shows
    given = draw(st.lists(st.sampled_from(often), min_size=1, max_size=4))
    scalars = draw(st.lists(st.booleans(), min_size=len(given), max_size=len(given)))
    scalars[0] = False  # at least one array
    builder = Builder([Input(d, s) for d, s in zip(given, scalars, strict=True)])
    known = [builder.value(k) for k in range(len(given))]
    for _ in range(draw(st.integers(1, 8))):
        known.append(_instruction(draw, builder, known, caps, rounding))
    outputs = [known[-1]]
    if rounding:  # every step is an output, so that each can be judged on its own operands
        outputs = known[len(given) :]
        outputs = list({v.number: v for v in outputs if v.number >= len(given)}.values())
    elif draw(st.booleans()):
        outputs.append(draw(st.sampled_from(known)))
    program = builder.finish(*(outputs or [known[0]]))
    ins = [draw(st.sampled_from(inputs_for(caps))) for _ in given]
    outs = [draw(st.sampled_from(outputs_for(caps))) for _ in program.outputs]
    return Drawn(program, draw(shapes()), tuple(ins), tuple(outs), draw(st.integers(0, 2**16)))


def _instruction(
    draw: st.DrawFn, builder: Builder, known: list[Value], caps: Caps, rounding: bool
) -> Value:
    """One more value: a row on earlier ones, a cast, a constant or iota."""
    kind = draw(st.integers(0, 9))
    some = draw(st.sampled_from(known))
    if kind == 0 and not rounding:
        return builder.iota()
    if kind == 1:
        numbers: dict[str, Any] = {"bool": [True, False], "float": [0.0, -0.0, 1.5, -2.0]}
        return builder.constant(
            draw(st.sampled_from(numbers.get(some.dtype.kind, [0, 1, 3]))), some.dtype
        )
    if kind == 2:
        target = _widening(draw, some.dtype, caps)
        if target is not None:
            return some.cast(target)
    rows = exact_rows(caps, some.dtype, rounding=rounding)
    row = draw(st.sampled_from(rows))
    alike = [v for v in known if v.dtype is some.dtype]
    args = [some, *(draw(st.sampled_from(alike)) for _ in range(row.arity - 1))]
    if row is scalar.WHERE:
        conditions = [v for v in known if v.dtype is bool_]
        if not conditions:
            return some
        args[0] = draw(st.sampled_from(conditions))
        args[1:] = [some, draw(st.sampled_from(alike))]
    result: Value = some.apply(row, tuple(args))
    return result


def _widening(draw: st.DrawFn, source: DType, caps: Caps) -> DType | None:
    """A type that every value of ``source`` has a defined conversion to."""
    claimed = caps.scalars.get("cast", frozenset())
    names = [n for n in TYPES if n in claimed and n != source.name]
    if source.is_floating:
        names = [n for n in names if dtype_of(n).is_floating or n == "bool"]
    return dtype_of(draw(st.sampled_from(names))) if names else None
