"""What is done with an element of a product before it is stored: text for kernels that multiply.

The product's value is a variable of the program; other arrays are read at the element's row and
column, where they move along it at all, so that a bias is read once for a work-item's rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, final

from polyback.device import Operand
from polyback.dtype import DType
from polyback.program import Builder, Input, Instr, Number, Program, copy_program
from polyback.simt.dialect import Dialect
from polyback.simt.elementwise import comment
from polyback.simt.expression import Writer, argument_codes, parameters
from polyback.simt.lifting import lift, number_arguments


@final
@dataclass(frozen=True)
class Epilogue:
    """``at``: the input of the program that is the product; ``moves``: do the arrays among the
    others move along rows, along columns?"""

    program: Program
    at: int
    moves: tuple[tuple[bool, bool], ...] = ()

    @property
    def dtype(self) -> DType:
        """Of the result."""
        return self.program.dtypes[self.program.outputs[0]]

    @property
    def value(self) -> str:
        """The variable that is the product."""
        return f"t{self.at}"

    @property
    def result(self) -> str:
        """The variable that is stored."""
        return f"t{self.program.outputs[0]}"

    @property
    def arrays(self) -> list[int]:
        """The inputs that are read from memory."""
        given = enumerate(self.program.inputs)
        return [k for k, x in given if k != self.at and not x.scalar]

    @property
    def offsets(self) -> list[str]:
        """Variables for where each array's matrix of the stack begins, to be declared before."""
        return [f"e{k}f" for k in self.arrays]

    def comment(self) -> str:
        """The program, above a kernel that does more than multiply."""
        return comment(self.program) if self.program.instrs else ""

    def parameters(self, dialect: Dialect) -> str:
        """Of the kernel, behind all others."""
        long, texts = dialect.long, []
        for k, given in enumerate(self.program.inputs):
            if k == self.at:
                continue
            if given.scalar:
                texts.append(parameters(f"e{k}", given.dtype, dialect))
            else:
                pointer = dialect.pointer(given.dtype, f"e{k}", const=True)
                texts.append(f"{pointer}, {long} e{k}o, {long} e{k}r, {long} e{k}c")
        return "".join(f", {text}" for text in texts)

    def codes(self) -> tuple[str, ...]:
        """Of these parameters, as :class:`~polyback.simt.driver.Kernel` has them."""
        found: list[str] = []
        for k, given in enumerate(self.program.inputs):
            if k != self.at:
                found += argument_codes(given.dtype) if given.scalar else ("*", *["i64"] * 3)
        return tuple(found)

    def lines(self, writer: Writer, row: str, column: str) -> list[str]:
        """Statements between ``value`` and ``result``, for the element at ``row`` and ``column``
        of its matrix."""
        lines = []
        moves = dict(zip(self.arrays, self.moves, strict=True))
        for k, given in enumerate(self.program.inputs):
            if k == self.at:
                continue
            if given.scalar:
                text = writer.number(f"e{k}", given.dtype)
            else:
                along_rows, along_columns = moves[k]
                text = f"e{k}[e{k}o + e{k}f"
                text += f" + {row} * e{k}r" if along_rows else ""
                text += f" + {column} * e{k}c]" if along_columns else "]"
            lines.append(f"{writer.register(given.dtype)} t{k} = {text};")
        return lines + writer.statements(self.program, "0")


def plain(dtype: DType) -> Epilogue:
    """The product itself is stored."""
    return Epilogue(copy_program(dtype, dtype), 0)


@lru_cache(maxsize=1024)
def of_shares(program: Program, at: int, shares: int) -> Program:
    """``program`` on the sum of so many parts of what was its input ``at``, from the first to the
    last, in the type that this is computed in; they are the first inputs."""
    others = [k for k in range(len(program.inputs)) if k != at]
    given = [Input(program.inputs[at].dtype.compute)] * shares + [program.inputs[k] for k in others]
    builder = Builder(given)
    total = builder.value(0)
    for k in range(1, shares):
        total = total + builder.value(k)
    place = {k: shares + n for n, k in enumerate(others)}  # old number of a value -> new one
    place[at] = total.cast(program.inputs[at].dtype).number
    for k, instr in enumerate(program.instrs, len(program.inputs)):
        args = tuple(place[a] for a in instr.args)
        place[k] = builder.emit(Instr(instr.row, args, instr.dtype, instr.value))
    return builder.finish(*(builder.value(place[o]) for o in program.outputs))


def ended(
    program: Program, ins: Sequence[Operand | Number | None]
) -> tuple[Epilogue, list[Operand], list[Any]]:
    """(the epilogue, the arrays that it reads, the kernel's arguments for it)"""
    program, constants = lift(program)
    values = (*ins, *constants)
    arrays = [x for x in values if isinstance(x, Operand)]
    moves = tuple((x.view.strides[-2] != 0, x.view.strides[-1] != 0) for x in arrays)
    words: list[Any] = []
    for x, given in zip(values, program.inputs, strict=True):
        if isinstance(x, Operand):
            words += (x.buffer, x.view.offset, *x.view.strides[-2:])
        elif x is not None:
            words += number_arguments(x, given.dtype)
    at = next(k for k, x in enumerate(values) if x is None)
    return Epilogue(program, at, moves), arrays, words
