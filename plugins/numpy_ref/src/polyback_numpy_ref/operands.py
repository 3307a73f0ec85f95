"""Operands as ndarrays, and the wider types that sums are made in."""

from __future__ import annotations

from typing import Any

import numpy as np

from polyback.device import Operand


def array(operand: Operand) -> Any:
    """The operand as an ndarray over the same bytes."""
    view, dtype = operand.view, operand.dtype.numpy
    if view.size == 0:
        return np.empty(view.shape, dtype)
    size = dtype.itemsize
    return np.ndarray(
        view.shape,
        dtype,
        operand.buffer.bytes,
        view.offset * size,
        tuple(s * size for s in view.strides),
    )


def widened(x: Any) -> Any:
    """float32 as float64 and complex64 as complex128; everything else as it is."""
    wide = {"float32": np.float64, "complex64": np.complex128}.get(x.dtype.name)
    return x if wide is None else x.astype(wide)
