"""Along axes: reductions, running ones, and the places of extremes."""

from __future__ import annotations

from typing import Any

import numpy as np

from polyback import scalar
from polyback.scalar import Reduction
from polyback_numpy_ref.operands import widened


def reduce(op: Reduction, x: Any, axes: tuple[int, ...]) -> Any:
    """``op`` over ``axes``, which keep size 1."""
    with np.errstate(all="ignore"):
        if op is scalar.SUM and x.dtype.kind in "fc":
            return sum_of(x, axes)
        return op.numpy(x, axis=axes, dtype=x.dtype, keepdims=True).astype(x.dtype)


def sum_of(x: Any, axes: tuple[int, ...]) -> Any:
    """NumPy adds pairwise only along a contiguous last axis; elsewhere one by one, with an error
    that grows like n. So the axes to sum are moved there first. float32 gives float64."""
    kept = [a for a in range(x.ndim) if a not in axes]
    n = int(np.prod([x.shape[a] for a in axes]))
    rows = np.ascontiguousarray(widened(x).transpose(*kept, *axes))
    total = np.add.reduce(rows.reshape(*(x.shape[a] for a in kept), n), -1)
    return total.reshape([1 if a in axes else size for a, size in enumerate(x.shape)])


def scan(op: Reduction, x: Any, axis: int) -> Any:
    """Element i is ``op`` of elements 0 to i along ``axis``."""
    combine = {"sum": np.add, "prod": np.multiply, "min": np.minimum, "max": np.maximum}[op.name]
    with np.errstate(all="ignore"):
        if op is scalar.SUM and x.dtype.name in ("float64", "complex128"):
            return _doubled(x, axis)
        wide = widened(x)
        return combine.accumulate(wide, axis, dtype=wide.dtype).astype(x.dtype)


def _doubled(x: Any, axis: int) -> Any:
    """Sums of 1, 2, 4, ... neighbours: each result is rounded log n times, not n times."""
    total, step = np.moveaxis(x.copy(), axis, -1), 1
    while step < total.shape[-1]:
        total[..., step:] = total[..., step:] + total[..., :-step]
        step *= 2
    return np.moveaxis(total, -1, axis)


def argreduce(op: Reduction, x: Any, axis: int) -> Any:
    """The first place of the extreme along ``axis``; NumPy takes NaN for it."""
    return (np.argmin if op is scalar.MIN else np.argmax)(x, axis, keepdims=True)
