"""Constants become arguments, so that programs that differ only in their numbers share a kernel.

Compiling one takes a CPU driver a tenth of a second and a GPU's longer, while an argument costs a
launch some nanoseconds; a schedule of learning rates would otherwise be a kernel per step.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from polyback import scalar
from polyback.dtype import DType
from polyback.errors import InvalidArgument
from polyback.program import Input, Instr, Number, Program
from polyback.simt.places import NumberPlace


@lru_cache(maxsize=4096)
def lift(program: Program) -> tuple[Program, tuple[Number, ...]]:
    """The program with every CONST an input after the others, and their numbers."""
    constants = [k for k, i in enumerate(program.instrs) if i.row is scalar.CONST]
    if not constants:
        return program, ()
    first = len(program.inputs)
    place = {k: k for k in range(first)}  # old number of a value -> new one
    place |= {first + k: first + n for n, k in enumerate(constants)}
    instrs: list[Instr] = []
    inputs, values = list(program.inputs), []
    for k, instr in enumerate(program.instrs, first):
        if instr.row is scalar.CONST:
            assert instr.value is not None
            inputs.append(Input(instr.dtype, scalar=True))
            values.append(number(instr.value, instr.dtype))
            continue
        place[k] = first + len(constants) + len(instrs)
        instrs.append(Instr(instr.row, tuple(place[a] for a in instr.args), instr.dtype))
    outputs = tuple(place[o] for o in program.outputs)
    return Program(tuple(inputs), tuple(instrs), outputs), tuple(values)


def number(value: Number | NumberPlace, dtype: DType) -> Any:
    """A launch's number in its type; out of range as NumPy casts it. A place stays one."""
    if dtype.kind == "float" and type(value) is float and -1e38 < value < 1e38:
        return value  # by far the usual case
    if type(value) is int and 0 <= value < 128 and dtype.kind in ("int", "uint", "float"):
        return float(value) if dtype.kind == "float" else value
    if type(value) is NumberPlace:
        return value
    try:
        with np.errstate(all="ignore"):
            result = np.asarray(value).astype(dtype.numpy)
    except (TypeError, ValueError, OverflowError):
        raise InvalidArgument(f"[elementwise] {value!r} is no {dtype}") from None
    return int(result) if dtype.kind == "bool" else result.item()


def number_arguments(value: Number | NumberPlace, dtype: DType) -> tuple[Any, ...]:
    """What passes it to a kernel: a complex number's parts."""
    found = number(value, dtype)
    return (found.real, found.imag) if dtype.kind == "complex" else (found,)
