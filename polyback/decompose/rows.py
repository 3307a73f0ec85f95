"""Softmax and layer normalization as reductions and elementwise programs."""

from __future__ import annotations

from polyback import array
from polyback.array import Array
from polyback.scalar import (
    ADD,
    DIVIDE,
    EXP,
    LOG,
    MAX,
    MULTIPLY,
    RECIPROCAL,
    SQRT,
    SQUARE,
    SUBTRACT,
    SUM,
)


def softmax(x: Array, axis: int, log: bool) -> Array:
    """``exp(x - max) / sum(exp(x - max))``: no exponential overflows."""
    top = array.reduce(MAX, x, (axis,))
    shifted = array.apply(SUBTRACT, (x, top), x.dtype)
    weights = array.apply(EXP, (shifted,), x.dtype)
    total = array.reduce(SUM, weights, (axis,))
    if log:
        return array.apply(SUBTRACT, (shifted, array.apply(LOG, (total,), x.dtype)), x.dtype)
    return array.apply(DIVIDE, (weights, total), x.dtype)


def layer_norm(
    x: Array, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """(result, mean, scale); the squares are those of the numbers less their mean."""
    dtype, axes, n = x.dtype, (x.view.ndim - 1,), float(x.shape[-1])
    mean = array.apply(DIVIDE, (array.reduce(SUM, x, axes), n), dtype)
    centred = array.apply(SUBTRACT, (x, mean), dtype)
    squares = array.reduce(SUM, array.apply(SQUARE, (centred,), dtype), axes)
    variance = array.apply(ADD, (array.apply(DIVIDE, (squares, n), dtype), eps), dtype)
    scale = array.apply(RECIPROCAL, (array.apply(SQRT, (variance,), dtype),), dtype)
    y = array.apply(MULTIPLY, (centred, scale), dtype)
    y = y if weight is None else array.apply(MULTIPLY, (y, weight), dtype)
    return (y if bias is None else array.apply(ADD, (y, bias), dtype)), mean, scale
