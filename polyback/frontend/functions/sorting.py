"""Sorting and ranking along an axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from polyback import structured
from polyback.array import Array
from polyback.errors import DTypeError
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions.creation import zeros_like
from polyback.frontend.functions.gathering import scatter, take_along_axis
from polyback.frontend.op import Op, run
from polyback.frontend.tensor import Tensor
from polyback.view import normalize_axis


@final
class ArgSort(Op):
    """The indexes that sort x; constant for gradients."""

    differentiable = False

    def __init__(self, axis: int, descending: bool) -> None:
        self.axis, self.descending = axis, descending

    def forward(self, x: Array) -> Array:
        return structured.argsort(x, self.axis, self.descending)

    def gradient(self, operand: int, g: Tensor, y: object, *operands: object) -> Tensor:
        raise AssertionError("argsort is not differentiable")


@final
class Sort(Op):
    """y = x in order; only a gradient asks for the places its elements came from"""

    def __init__(self, axis: int, descending: bool) -> None:
        self.axis, self.descending = axis, descending

    def forward(self, x: Array) -> Array:
        return structured.sort(x, self.axis, self.descending)

    def gradient(self, operand: int, g: Tensor, y: object, *operands: Any) -> Tensor:
        return scatter(zeros_like(g), self._order(operands[0]), g, axis=self.axis)

    def tangent(self, tangents: Sequence[Tensor | None], y: object, *operands: Any) -> Tensor:
        (direction,) = tangents
        assert direction is not None
        return take_along_axis(direction, self._order(operands[0]), axis=self.axis)

    def saves(self, operand: int) -> frozenset[int]:
        return frozenset({0})

    def _order(self, x: Tensor) -> Tensor:
        return run(ArgSort(self.axis, self.descending), x)


def argsort(
    x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True
) -> Tensor:
    """The indexes (int64) that sort ``x`` along ``axis``; always stable, NaN last. Real types.

    >>> import polyback as pb
    >>> pb.argsort(pb.asarray([3, 1, 2])).tolist()
    [1, 2, 0]
    """
    return run(ArgSort(_axis("argsort", x, axis), bool(descending)), x)


def sort(x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """``x`` in order along ``axis``; NaN last. Real types; differentiable.

    >>> import polyback as pb
    >>> pb.sort(pb.asarray([3, 1, 2]), descending=True).tolist()
    [3, 2, 1]
    """
    return run(Sort(_axis("sort", x, axis), bool(descending)), x)


def _axis(op: str, x: Tensor, axis: int) -> int:
    check_tensors(op, x)
    if x.dtype.kind == "complex":
        raise DTypeError(f"[{op}] complex numbers have no order; want abs(x) or real(x)")
    return normalize_axis(axis, x.ndim, op)
