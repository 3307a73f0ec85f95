"""What a program, a reduction and a product mean: the rows' NumPy functions, nothing optimised."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from polyback import scalar
from polyback.dtype import DType
from polyback.program import Program
from polyback.scalar import Reduction, Scalar
from polyback_conformance.compare import Array, widen


def convert(value: Any, dtype: DType) -> Array:
    """The meaning of CAST: a complex number gives its real part, except to bool."""
    array = np.asarray(value)
    with np.errstate(all="ignore"):
        if array.dtype.kind == "c" and dtype.kind not in ("complex", "bool"):
            array = array.real
        return array.astype(dtype.numpy)


def evaluate(
    program: Program, ins: Sequence[Any], shape: tuple[int, ...]
) -> tuple[list[Array], list[Array]]:
    """(outputs, all values) of ``program``, every instruction rounded to its own type."""
    values = [np.asarray(x, i.dtype.numpy) for x, i in zip(ins, program.inputs, strict=True)]
    with np.errstate(all="ignore"):
        for instr in program.instrs:
            if instr.row is scalar.CONST:
                value: Any = np.asarray(instr.value)
            elif instr.row is scalar.IOTA:
                value = np.arange(math.prod(shape), dtype=np.int64).reshape(shape)
            else:
                value = instr.row.numpy(*(values[a] for a in instr.args))
            values.append(convert(value, instr.dtype))
    values = [np.broadcast_to(v, shape) for v in values]
    return [values[o] for o in program.outputs], values


def wide_row(row: Scalar, operands: Sequence[Any], dtype: DType) -> Array:
    """``row`` of the same operands computed in a wider type."""
    with np.errstate(all="ignore"):
        return np.asarray(row.numpy(*(widen(x, dtype) for x in operands)))


def exact_row(row: Scalar, operands: Sequence[Any], dtype: DType) -> Array:
    """``row`` computed in ``dtype`` itself, for rows that must be bit exact."""
    with np.errstate(all="ignore"):
        return convert(row.numpy(*operands), row.result_dtype(dtype))


def reduce_exact(op: Reduction, x: Array, axes: tuple[int, ...]) -> Array:
    """Integers (wrapping), bool, min and max."""
    with np.errstate(all="ignore"):
        return np.asarray(op.numpy(x, axis=axes, dtype=x.dtype, keepdims=True))


def reduce_wide(
    op: Reduction, x: Array, axes: tuple[int, ...], dtype: DType
) -> tuple[Array, Array]:
    """(result, the same of the magnitudes) in a wider type."""
    wide = widen(x, dtype)
    with np.errstate(all="ignore"):
        result = op.numpy(wide, axis=axes, keepdims=True)
        return np.asarray(result), np.asarray(op.numpy(np.abs(wide), axis=axes, keepdims=True))


def matmul_wide(a: Array, b: Array, dtype: DType) -> tuple[Array, Array]:
    """(product, product of the magnitudes); float64 as a sum of long doubles."""
    wide_a, wide_b = widen(a, dtype), widen(b, dtype)
    with np.errstate(all="ignore"):
        return np.matmul(wide_a, wide_b), np.matmul(np.abs(wide_a), np.abs(wide_b))
