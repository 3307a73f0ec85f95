"""Sorting and ranking along an axis."""

from __future__ import annotations

from typing import final

from polyback import structured
from polyback.array import Array
from polyback.errors import DTypeError
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions.gathering import take_along_axis
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


def argsort(
    x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True
) -> Tensor:
    """The indexes (int64) that sort ``x`` along ``axis``; always stable, NaN last. Real types.

    >>> import polyback as pb
    >>> pb.argsort(pb.asarray([3, 1, 2])).tolist()
    [1, 2, 0]
    """
    check_tensors("argsort", x)
    if x.dtype.kind == "complex":
        raise DTypeError("[argsort] complex numbers have no order; want abs(x) or real(x)")
    return run(ArgSort(normalize_axis(axis, x.ndim, "argsort"), bool(descending)), x)


def sort(x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """``x`` in order along ``axis``; NaN last. Real types; differentiable.

    >>> import polyback as pb
    >>> pb.sort(pb.asarray([3, 1, 2]), descending=True).tolist()
    [3, 2, 1]
    """
    check_tensors("sort", x)
    order = argsort(x, axis=axis, descending=descending)
    return take_along_axis(x, order, axis=axis)
