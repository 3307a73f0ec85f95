"""Composite: several rows as one. A Program with one output stands where a row of the table stands,
so that writing a formula down costs one step, not one for each of its operations; the instructions
are put in when the whole expression becomes a Program (:mod:`polyback.fusion`).
"""

from __future__ import annotations

from typing import ClassVar, final

from polyback.dtype import DType
from polyback.program import Program
from polyback.scalar import Gives


@final
class Composite:
    """``program`` as a row. Its inputs have the types that are computed in: no half types."""

    __slots__ = ("arity", "name", "nodes", "program", "ulp")
    gives: ClassVar[Gives] = "own"

    def __init__(self, name: str, program: Program) -> None:
        (_,) = program.outputs
        self.name, self.program, self.arity = name, program, len(program.inputs)
        self.nodes = sum(i.row.arity > 0 for i in program.instrs)
        self.ulp = max((i.row.ulp for i in program.instrs), default=0.0)

    def result_dtype(self, dtype: DType) -> DType:
        """The type of the result, whatever ``dtype``."""
        return self.program.dtypes[self.program.outputs[0]]
