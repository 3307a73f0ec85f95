"""Running sums and products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from polyback import structured
from polyback.array import Array
from polyback.errors import DTypeError, InvalidArgument
from polyback.frontend.autograd import OUTPUT
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions.creation import full, ones_like, zeros_like
from polyback.frontend.functions.elementwise import cast
from polyback.frontend.functions.joining import concat
from polyback.frontend.functions.reduction import accumulator
from polyback.frontend.functions.rounding import conj
from polyback.frontend.functions.shape import flip, moveaxis
from polyback.frontend.op import Op, run
from polyback.frontend.tensor import Tensor
from polyback.scalar import PROD, SUM, Reduction
from polyback.view import normalize_axis


@final
class CumulativeSum(Op):
    """y[i] = x[0] + ... + x[i]; dx is the running sum of g from the other end"""

    name = "cumulative_sum"

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Array:
        return structured.scan(SUM, x, self.axis)

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        back = run(CumulativeSum(self.axis), flip(g, axis=self.axis))
        return flip(back, axis=self.axis)


@final
class CumulativeProd(Op):
    """y[i] = x[0] ... x[i]; no derivative divides, so zeros are like other numbers

    ``dx[i] = y[i-1] z[i]`` with ``z[i] = g[i] + x[i+1] z[i+1]``, and the tangent is
    ``dy[i] = x[i] dy[i-1] + y[i-1] t[i]``: linear recurrences.
    """

    name = "cumulative_prod"

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Array:
        return structured.scan(PROD, x, self.axis)

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        slope, given, result = (moveaxis(a, self.axis, -1) for a in (g, *operands, y))
        after = _shifted(flip(conj(given), axis=-1), 0.0)
        total = flip(_recurrence(after, flip(slope, axis=-1)), axis=-1)
        return moveaxis(conj(_shifted(result, 1.0)) * total, -1, self.axis)

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        (t,) = tangents
        assert t is not None
        step, given, result = (moveaxis(a, self.axis, -1) for a in (t, *operands, y))
        return moveaxis(_recurrence(given, _shifted(result, 1.0) * step), -1, self.axis)

    def saves(self, operand: int) -> frozenset[int]:
        return frozenset({0, OUTPUT})


def _shifted(x: Tensor, first: float) -> Tensor:
    """One place on along the last axis, with ``first`` at the start."""
    start = (ones_like if first else zeros_like)(x[..., :1])
    return concat([start, x[..., :-1]], axis=-1)


def _recurrence(a: Tensor, b: Tensor) -> Tensor:
    """``z[i] = b[i] + a[i] z[i-1]`` along the last axis, by doubling: after step k each (a, b)
    stands for the 2**k maps that end there (Blelloch, 1990)."""
    step = 1
    while step < a.shape[-1]:
        rest = b[..., step:] + a[..., step:] * b[..., :-step]
        b = concat([b[..., :step], rest], axis=-1)
        a = concat([a[..., :step], a[..., step:] * a[..., :-step]], axis=-1)
        step *= 2
    return b


def _cumulative(
    op: Reduction, x: Tensor, axis: int | None, dtype: Any, include_initial: bool
) -> Tensor:
    name = f"cumulative_{op.name}"
    check_tensors(name, x)
    if axis is None and x.ndim != 1:
        raise InvalidArgument(f"[{name}] got shape {x.shape}; want axis= unless there is one axis")
    spot = normalize_axis(0 if axis is None else axis, x.ndim, name)
    kind = accumulator(x, dtype)
    if kind.compute not in op.takes:
        raise DTypeError(f"[{name}] does not take {kind}; want a numeric type")
    y = run((CumulativeSum if op is SUM else CumulativeProd)(spot), cast(x, kind))
    if not include_initial:
        return y
    shape = (*x.shape[:spot], 1, *x.shape[spot + 1 :])
    start = full(shape, 0 if op is SUM else 1, dtype=kind, device=x.device)
    return concat([start, y], axis=spot)


def cumulative_sum(
    x: Tensor,
    /,
    *,
    axis: int | None = None,
    dtype: Any = None,
    include_initial: bool = False,
) -> Tensor:
    """``y[i] = x[0] + ... + x[i]`` along ``axis``, which may be left out for a vector.

    Integers and bool add up in 64 bits unless ``dtype`` says otherwise; ``include_initial`` puts a
    0 in front. Error: as :func:`sum` of i + 1 terms. Raises InvalidArgument without an axis to go
    along, DTypeError for bool as ``dtype``.

    >>> import polyback as pb
    >>> pb.cumulative_sum(pb.asarray([1, 2, 3])).tolist()
    [1, 3, 6]
    """
    return _cumulative(SUM, x, axis, dtype, include_initial)


def cumulative_prod(
    x: Tensor,
    /,
    *,
    axis: int | None = None,
    dtype: Any = None,
    include_initial: bool = False,
) -> Tensor:
    """``y[i] = x[0] * ... * x[i]`` along ``axis``, which may be left out for a vector.

    Integers and bool multiply in 64 bits unless ``dtype`` says otherwise; ``include_initial`` puts
    a 1 in front. The gradient is right where factors are 0 too. Raises InvalidArgument without an
    axis to go along, DTypeError for bool as ``dtype``.

    >>> import polyback as pb
    >>> pb.cumulative_prod(pb.asarray([1, 2, 3]), include_initial=True).tolist()
    [1, 1, 2, 6]
    """
    return _cumulative(PROD, x, axis, dtype, include_initial)
