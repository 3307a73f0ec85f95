"""Tools to seed one fault into the NumPy reference."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from polyback.device import Caps, Device, Operand
from polyback.program import Program
from polyback.scalar import Scalar
from polyback_numpy_ref.backend import physical_memory
from polyback_numpy_ref.device import NumpyDevice
from polyback_numpy_ref.operands import array

__all__ = ["FAULTS", "Fault", "Reference", "array", "fault", "with_rows"]


class Reference(NumpyDevice):  # final, but subclassed here to break it
    """The sound backend; every fault is a subclass that changes one thing."""

    def __init__(self) -> None:
        super().__init__(physical_memory())

    def change(self, **changes: Any) -> None:
        """Change what the device claims."""
        self._caps: Caps = dataclasses.replace(self._caps, **changes)

    def without(self, row: str, dtype: str) -> None:
        """Take one claim back."""
        scalars = dict(self._caps.scalars)
        scalars[row] = scalars[row] - {dtype}
        self.change(scalars=scalars)


@dataclass(frozen=True)
class Fault:
    """A wrong backend, and the module of the suite that is run first to find it."""

    name: str
    make: Callable[[], Device]
    first: str
    story: str


FAULTS: dict[str, Fault] = {}


def fault(first: str) -> Callable[[type[Reference]], type[Reference]]:
    """Register a wrong backend. The whole suite is run on it, ``first`` before the rest."""

    def register(kind: type[Reference]) -> type[Reference]:
        name = "".join("_" + c.lower() if c.isupper() else c for c in kind.__name__).strip("_")
        FAULTS[name] = Fault(name, kind, first, (kind.__doc__ or "").strip().splitlines()[0])
        return kind

    return register


def with_rows(program: Program, **functions: Callable[..., Any]) -> Program:
    """``program`` with other NumPy functions behind the rows of these names."""
    if not any(i.row.name in functions for i in program.instrs):
        return program
    rows: dict[str, Scalar] = {}
    instrs = []
    for instr in program.instrs:
        name = instr.row.name
        if name in functions:
            rows.setdefault(name, replace(instr.row, numpy=functions[name]))
            instr = replace(instr, row=rows[name])
        instrs.append(instr)
    return Program(program.inputs, tuple(instrs), program.outputs)


def changed(operands: Sequence[Any], how: Callable[[Operand], Operand]) -> list[Any]:
    """The operands with ``how`` applied to those that are arrays."""
    return [how(x) if isinstance(x, Operand) else x for x in operands]


def flat(operand: Operand) -> np.ndarray[Any, Any]:
    """The elements of a whole buffer that is a multiple of the element in size."""
    size = operand.dtype.itemsize
    data = operand.buffer.bytes
    return data[: len(data) // size * size].view(operand.dtype.numpy)
