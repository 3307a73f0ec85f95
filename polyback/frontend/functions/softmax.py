"""Softmax and its logarithm: rows of probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from polyback import structured
from polyback.array import Array
from polyback.dtype import DEFAULT_FLOAT
from polyback.errors import DTypeError
from polyback.frontend.autocast import widened
from polyback.frontend.autograd import OUTPUT
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions.elementwise import cast
from polyback.frontend.functions.exponential import exp
from polyback.frontend.functions.reduction import sum
from polyback.frontend.op import Op, run
from polyback.frontend.tensor import Tensor
from polyback.view import normalize_axis


@final
class Softmax(Op):
    """y = exp(x) / sum(exp(x)); dx = y * (g - sum(g * y))"""

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Array:
        return structured.softmax(x, self.axis, False)

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
        return structured.softmax(x, self.axis, True)

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        return g - exp(y) * sum(g, axis=self.axis, keepdims=True)

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        (t,) = tangents
        assert t is not None
        return t - sum(exp(y) * t, axis=self.axis, keepdims=True)

    def saves(self, operand: int) -> frozenset[int]:
        return frozenset({OUTPUT})


def _floating(x: Tensor, op: str) -> Tensor:
    if x.dtype.kind == "complex":
        raise DTypeError(f"[{op}] does not take {x.dtype}; want a real type")
    return widened(x) if x.dtype.is_floating else cast(x, DEFAULT_FLOAT)


def softmax(x: Tensor, /, *, axis: int = -1) -> Tensor:
    """``exp(x) / sum(exp(x))`` along ``axis``: weights that add up to 1. Real floating types.

    >>> import polyback as pb
    >>> pb.softmax(pb.asarray([0.0, 0.0])).tolist()
    [0.5, 0.5]
    """
    check_tensors("softmax", x)
    return run(Softmax(normalize_axis(axis, x.ndim, "softmax")), _floating(x, "softmax"))


def log_softmax(x: Tensor, /, *, axis: int = -1) -> Tensor:
    """``x - log(sum(exp(x)))`` along ``axis``, without overflow. Real floating types.

    >>> import polyback as pb
    >>> pb.log_softmax(pb.asarray([0.0])).tolist()
    [0.0]
    """
    check_tensors("log_softmax", x)
    spot = normalize_axis(axis, x.ndim, "log_softmax")
    return run(LogSoftmax(spot), _floating(x, "log_softmax"))
