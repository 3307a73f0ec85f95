"""A program made ready for operands of certain types, shapes and strides (feature ``prepare``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from operator import mod
from typing import Any, final

from polyback.device import Operand
from polyback.dtype import DType
from polyback.errors import InvalidArgument
from polyback.program import Number, Program
from polyback.simt.driver import GIVEN, Driver
from polyback.simt.lifting import lift, number_arguments
from polyback.simt.plans import Planner

Inputs = tuple[tuple[DType, bool], ...]  # types, and which are numbers


@final
class Code:
    """What all launches of a program share. ``constants``: the arguments that its constants became;
    ``launches``: by shape and strides."""

    __slots__ = ("constants", "inputs", "launches", "outputs", "program")

    def __init__(self, given: Program) -> None:
        self.program, constants = lift(given)
        self.inputs: Inputs = tuple((x.dtype, x.scalar) for x in given.inputs)
        self.outputs = [given.dtypes[number] for number in given.outputs]
        lifted = self.program.inputs[len(given.inputs) :]
        self.constants: list[Any] = []
        for value, x in zip(constants, lifted, strict=True):
            self.constants += number_arguments(value, x.dtype)
        self.launches: dict[tuple[Any, ...], Launch] = {}


@final
@dataclass(frozen=True)
class Kind:
    """What a launch depends on besides types and layouts. ``at_zero``: every operand starts where
    its buffer does; ``aliases``: of each output the input that is the same memory, or -1."""

    at_zero: bool
    aligned: bool
    aliases: tuple[int, ...]


@final
@dataclass(frozen=True)
class Variant:
    """A prepared launch. ``picks``: whose buffers it takes, None for all; ``words``: which of the
    offsets, followed by the numbers, it takes, None for the numbers alone."""

    prepared: Any
    picks: Sequence[int] | None
    words: Sequence[int] | None

    @classmethod
    def of(
        cls, code: Code, kind: Kind, tail: Sequence[Any], prepare: Callable[[list[Any]], Any]
    ) -> Variant:
        """Prepared by ``prepare(arguments)``; ``tail`` are the last arguments, of every launch."""
        offset = 0 if kind.at_zero else GIVEN
        arguments, picks, words = list[Any](), list[int](), list[int]()
        count = sum(not is_number for _, is_number in code.inputs)
        place, number = 0, count + len(code.outputs)
        for dtype, is_number in code.inputs:
            if is_number:
                parts = 1 + (dtype.kind == "complex")
                arguments += [GIVEN] * parts
                words += range(number, number + parts)
                number += parts
            else:
                arguments += (GIVEN, offset)
                picks.append(place)
                words.append(place)
                place += 1
        arguments += code.constants
        stored = [count + k for k, alias in enumerate(kind.aliases) if alias < 0]
        arguments += (GIVEN, offset) * len(stored)
        takes_all = len(stored) == len(code.outputs)
        return cls(
            prepare([*arguments, *tail]),
            None if takes_all else [*picks, *stored],
            None if kind.at_zero else [*words, *stored],
        )


@final
class Launch:
    """``run`` is the launch; where operands start, and which outputs are inputs, selects among
    variants. The plain one is of operands that start at zero and share no buffer."""

    __slots__ = ("_align", "_driver", "_layouts", "_make", "_plain", "_read", "_variants", "_zeros")

    def __init__(
        self, driver: Driver, code: Code, layouts: Sequence[Any], align: Sequence[int],
        make: Callable[[Kind], Variant] | None,
    ) -> None:  # fmt: skip
        """``layouts``: strides of inputs, None for numbers, and outputs; ``align``: of each array
        the elements whose multiples, as offsets, count as aligned; ``make``: None where there is
        nothing to do."""
        self._driver, self._make, self._align, self._layouts = driver, make, align, layouts
        self._read = _reader(code.inputs, len(code.outputs))
        self._zeros = (0,) * len(align)
        self._plain: Variant | None = None
        self._variants: dict[Kind, Variant] = {}

    def run(
        self, outs: Sequence[Operand], ins: Sequence[Operand | Number],
        planner: Planner | None = None,
    ) -> None:  # fmt: skip
        """Launch, or have it noted down as a part of the call that ``planner`` plans. Every
        operation pays for this."""
        try:
            buffers, offsets, numbers = self._read(outs, ins)
        except (AttributeError, TypeError, IndexError):
            raise InvalidArgument("[elementwise] not the operands it was prepared for") from None
        found = self._plain
        if found is None or offsets != self._zeros or len({*buffers}) != len(buffers):
            if self._make is None:
                return
            found = self._variant(self._make, outs, ins, offsets)
        if found.words is not None:
            given = (*offsets, *numbers)
            numbers = [given[k] for k in found.words]
        if found.picks is not None:
            buffers = [buffers[k] for k in found.picks]
        (planner or self._driver).start(found.prepared, buffers, numbers)

    def _variant(
        self, make: Callable[[Kind], Variant], outs: Sequence[Operand],
        ins: Sequence[Operand | Number], offsets: Sequence[int],
    ) -> Variant:  # fmt: skip
        aligned = not any(map(mod, offsets, self._align))
        kind = Kind(not any(offsets), aligned, self._aliases(outs, ins))
        found = self._variants.get(kind)
        if found is None:
            found = self._variants[kind] = make(kind)
            if kind.at_zero and max(kind.aliases) < 0:
                self._plain = found
        return found

    def _aliases(self, outs: Sequence[Operand], ins: Sequence[Operand | Number]) -> tuple[int, ...]:
        layouts = self._layouts

        def first(out: Operand, own: Any) -> int:
            same = (
                k
                for k, x in enumerate(ins)
                if isinstance(x, Operand) and x.buffer is out.buffer
                if layouts[k] == own and x.view.offset == out.view.offset
            )
            return next(same, -1)

        return tuple(map(first, outs, layouts[len(ins) :]))


@cache
def _reader(inputs: Inputs, outputs: int) -> Callable[..., tuple[Any, Any, Any]]:
    """``(outs, ins) -> (buffers, offsets, numbers)``: of arrays among the inputs and of outputs.
    Written out as Python for each signature it takes a third of a loop's time."""
    arrays = [f"ins[{k}]" for k, (_, is_number) in enumerate(inputs) if not is_number]
    arrays += [f"outs[{k}]" for k in range(outputs)]
    numbers = [f"*numbers(ins[{k}], types[{k}])" for k, (_, number) in enumerate(inputs) if number]
    parts = [[f"{x}.buffer" for x in arrays], [f"{x}.view.offset" for x in arrays], numbers]
    text = ", ".join(f"({''.join(x + ', ' for x in part)})" for part in parts)
    names = {"numbers": number_arguments, "types": [dtype for dtype, _ in inputs]}
    reader: Callable[..., tuple[Any, Any, Any]] = eval(f"lambda outs, ins: ({text})", names)
    return reader
