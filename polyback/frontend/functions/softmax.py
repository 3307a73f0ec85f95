"""Softmax and its logarithm: rows of probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from polyback import array
from polyback.array import Array
from polyback.dtype import DEFAULT_FLOAT
from polyback.frontend.autograd import OUTPUT
from polyback.frontend.functions.elementwise import cast
from polyback.frontend.functions.exponential import exp
from polyback.frontend.functions.reduction import sum
from polyback.frontend.op import Op, run
from polyback.frontend.tensor import Tensor
from polyback.scalar import DIVIDE, EXP, LOG, MAX, SUBTRACT, SUM
from polyback.view import normalize_axis


def _shifted(x: Array, axis: int) -> tuple[Array, Array]:
    """``x - max`` (no exponential overflows) and ``sum(exp(x - max))``."""
    shifted = array.apply(SUBTRACT, (x, array.reduce(MAX, x, (axis,))), x.dtype)
    return shifted, array.reduce(SUM, array.apply(EXP, (shifted,), x.dtype), (axis,))


@final
class Softmax(Op):
    """y = exp(x) / sum(exp(x)); dx = y * (g - sum(g * y))"""

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Array:
        shifted = array.apply(SUBTRACT, (x, array.reduce(MAX, x, (self.axis,))), x.dtype)
        weights = array.apply(EXP, (shifted,), x.dtype)
        total = array.reduce(SUM, weights, (self.axis,))
        return array.apply(DIVIDE, (weights, total), x.dtype)

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        result: Tensor = y * (g - sum(g * y, axis=self.axis, keepdims=True))
        return result

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        (t,) = tangents
        assert t is not None
        return self.gradient(0, t, y)  # the Jacobian is symmetric

    def saves(self, operand: int) -> frozenset[int]:
        return frozenset({OUTPUT})


@final
class LogSoftmax(Op):
    """y = x - log(sum(exp(x))); dx = g - exp(y) * sum(g)"""

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Array:
        shifted, total = _shifted(x, self.axis)
        return array.apply(SUBTRACT, (shifted, array.apply(LOG, (total,), x.dtype)), x.dtype)

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        return g - exp(y) * sum(g, axis=self.axis, keepdims=True)

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        (t,) = tangents
        assert t is not None
        return t - sum(exp(y) * t, axis=self.axis, keepdims=True)

    def saves(self, operand: int) -> frozenset[int]:
        return frozenset({OUTPUT})


def _floating(x: Tensor) -> Tensor:
    return x if x.dtype.is_floating else cast(x, DEFAULT_FLOAT)


def softmax(x: Tensor, /, *, axis: int = -1) -> Tensor:
    """``exp(x) / sum(exp(x))`` along ``axis``: weights that add up to 1. Real floating types.

    >>> import polyback as pb
    >>> pb.softmax(pb.asarray([0.0, 0.0])).tolist()
    [0.5, 0.5]
    """
    return run(Softmax(normalize_axis(axis, x.ndim, "softmax")), _floating(x))


def log_softmax(x: Tensor, /, *, axis: int = -1) -> Tensor:
    """``x - log(sum(exp(x)))`` along ``axis``, without overflow. Real floating types.

    >>> import polyback as pb
    >>> pb.log_softmax(pb.asarray([0.0])).tolist()
    [0.0]
    """
    return run(LogSoftmax(normalize_axis(axis, x.ndim, "log_softmax")), _floating(x))
