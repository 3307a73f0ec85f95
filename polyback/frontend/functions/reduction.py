"""Reductions and statistics along axes."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from math import prod as product
from typing import Any, final

from polyback import array, structured
from polyback.array import Array
from polyback.dtype import DEFAULT_FLOAT, DType, bool_, dtype_of, int64, uint64
from polyback.errors import DTypeError, InvalidArgument
from polyback.frontend.autocast import widened
from polyback.frontend.autograd import OUTPUT
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions.activation import where
from polyback.frontend.functions.arithmetic import sqrt, square
from polyback.frontend.functions.creation import ones_like
from polyback.frontend.functions.elementwise import cast, copied
from polyback.frontend.functions.exponential import exp, log
from polyback.frontend.functions.joining import concat
from polyback.frontend.functions.rounding import conj, isfinite, real
from polyback.frontend.functions.shape import (
    broadcast_to,
    flip,
    permute_dims,
    reshape,
)
from polyback.frontend.op import Op, run
from polyback.frontend.tensor import Tensor
from polyback.scalar import ALL_OF, ANY, MAX, MIN, PROD, SUM, Reduction
from polyback.view import Shape, normalize_axes, normalize_axis

Axis = int | Sequence[int] | None


@final
class Reduce(Op):
    """``y = op over axes of x``, which keep size 1 or vanish."""

    def __init__(self, op: Reduction, axes: tuple[int, ...], shape: Shape, keeps: bool) -> None:
        self.op, self.axes, self.shape, self.keeps = op, axes, shape, keeps
        self.differentiable = op not in (ANY, ALL_OF)

    @property
    def name(self) -> str:
        return self.op.name

    def forward(self, x: Array) -> Array:
        return array.reduce(self.op, x, self.axes, self.keeps)

    def _kept(self, x: Any) -> Any:
        """A value of the result's shape with the reduced axes in place."""
        if self.keeps or x is None:
            return x
        return reshape(x, tuple([1 if a in self.axes else n for a, n in enumerate(self.shape)]))

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        spread = broadcast_to(self._kept(g), self.shape)
        if self.op is SUM:
            return spread
        slope = _slope(self.op, self.axes, self._kept(y), *operands)
        return spread * (conj(slope) if self.op is PROD else slope)

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        (t,) = tangents
        assert t is not None
        if self.op is not SUM:
            t = t * _slope(self.op, self.axes, self._kept(y), *operands)
        return run(Reduce(SUM, self.axes, self.shape, self.keeps), t)

    def saves(self, operand: int) -> frozenset[int]:
        if self.op is SUM:
            return frozenset()
        return frozenset({0}) if self.op is PROD else frozenset({0, OUTPUT})


def _slope(op: Reduction, axes: tuple[int, ...], y: Any, x: Any) -> Any:
    """dy/dx, elementwise."""
    if op in (MAX, MIN):  # equal extremes share the gradient
        wins = cast(x == y, x.dtype)
        return wins / sum(wins, axis=axes, keepdims=True)
    order = [a for a in range(x.ndim) if a not in axes] + list(axes)
    rows = tuple(x.shape[a] for a in order)
    flat = (*rows[: len(rows) - len(axes)], product(x.shape[a] for a in axes))
    others = reshape(products_of_others(reshape(permute_dims(x, order), flat)), rows)
    return permute_dims(others, sorted(range(x.ndim), key=order.__getitem__))


def products_of_others(x: Tensor) -> Tensor:
    """For every element the product of the others along the last axis, by a tree of products: no
    division, so right with any number of zeros, and in its own derivatives."""
    n = x.shape[-1]
    if n < 2 or 0 in x.shape:
        return ones_like(x)
    if n % 2:
        return products_of_others(concat([x, ones_like(x[..., :1])], axis=-1))[..., :n]
    pairs = reshape(x, (*x.shape[:-1], n // 2, 2))
    outside = products_of_others(pairs[..., 0] * pairs[..., 1])
    return reshape(outside[..., None] * flip(pairs, axis=-1), x.shape)


def _reduce(op: Reduction, x: Tensor, axis: Axis, keepdims: bool) -> Tensor:
    axes = normalize_axes(axis, x.ndim, op.name)
    if x.dtype.compute not in op.takes:
        wants = ", ".join(sorted(d.name for d in op.takes))
        raise DTypeError(f"[{op.name}] does not take {x.dtype}; want one of {wants}")
    if op.identity is None and 0 in (x.shape[a] for a in axes):
        raise InvalidArgument(f"[{op.name}] shape {x.shape} has nothing to reduce along {axes}")
    return run(Reduce(op, axes, x.shape, keepdims), x) if axes else copied(x)


def _without(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    return reshape(x, tuple(n for a, n in enumerate(x.shape) if a not in axes))


def accumulator(x: Tensor, dtype: Any) -> DType:
    """Sums of integers widen to 64 bits, of half types inside autocast to float32."""
    if dtype is not None:
        return dtype_of(dtype)
    x = widened(x)
    if x.dtype.kind in ("bool", "int"):
        return int64
    return uint64 if x.dtype.kind == "uint" else x.dtype


def sum(x: Tensor, /, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """The sum along ``axis`` (None: all). Integers and bool add up in 64 bits.

    Error: at most ``K(n) u sum|terms|``, K(n) = min(n + 2, 8 + 2 sqrt n), for n floating terms.

    >>> import polyback as pb
    >>> pb.sum(pb.asarray([[1, 2], [3, 4]]), axis=0).tolist()
    [4, 6]
    """
    check_tensors("sum", x)
    return _reduce(SUM, cast(x, accumulator(x, dtype)), axis, keepdims)


def prod(x: Tensor, /, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """The product along ``axis`` (None: all). Integers and bool multiply in 64 bits.

    >>> import polyback as pb
    >>> int(pb.prod(pb.asarray([2, 3, 4])))
    24
    """
    check_tensors("prod", x)
    return _reduce(PROD, cast(x, accumulator(x, dtype)), axis, keepdims)


def max(x: Tensor, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest element along ``axis``; NaN if there is one. Real types.

    Equal extremes share the gradient. Raises InvalidArgument where there is nothing to compare.

    >>> import polyback as pb
    >>> pb.max(pb.asarray([[1, 5], [3, 4]]), axis=1).tolist()
    [5, 4]
    """
    check_tensors("max", x)
    return _reduce(MAX, x, axis, keepdims)


def min(x: Tensor, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest element along ``axis``; NaN if there is one. Real types.

    Equal extremes share the gradient. Raises InvalidArgument where there is nothing to compare.

    >>> import polyback as pb
    >>> pb.min(pb.asarray([[1, 5], [3, 4]]), axis=1).tolist()
    [1, 3]
    """
    check_tensors("min", x)
    return _reduce(MIN, x, axis, keepdims)


def any(x: Tensor, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Is any element along ``axis`` true (not zero)?

    >>> import polyback as pb
    >>> pb.any(pb.asarray([[0, 1], [0, 0]]), axis=1).tolist()
    [True, False]
    """
    check_tensors("any", x)
    return _reduce(ANY, cast(x, bool_), axis, keepdims)


def all(x: Tensor, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Are all elements along ``axis`` true (not zero)?

    >>> import polyback as pb
    >>> pb.all(pb.asarray([[1, 1], [0, 1]]), axis=1).tolist()
    [True, False]
    """
    check_tensors("all", x)
    return _reduce(ALL_OF, cast(x, bool_), axis, keepdims)


def floating(x: Tensor) -> tuple[Tensor, DType]:
    """``x`` in the type to compute in (half types: float32), and the type of the result."""
    x = widened(x)
    result = x.dtype if x.dtype.kind in ("float", "complex") else DEFAULT_FLOAT
    return cast(x, result.compute), result


def square_magnitude(x: Tensor) -> Tensor:
    """``|x|**2``, smooth at 0 too."""
    return real(x * conj(x)) if x.dtype.kind == "complex" else square(x)


def _count(x: Tensor, axis: Axis) -> int:
    return product(x.shape[a] for a in normalize_axes(axis, x.ndim, "mean"))


def mean(x: Tensor, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The arithmetic mean along ``axis`` (None: all); NaN of nothing.

    >>> import polyback as pb
    >>> float(pb.mean(pb.asarray([1.0, 2.0, 6.0])))
    3.0
    """
    check_tensors("mean", x)
    n = _count(x, axis)
    wide, dtype = floating(x)
    total = sum(wide, axis=axis, keepdims=keepdims)
    return cast(total * (1.0 / n) if n and n & (n - 1) == 0 else total / float(n), dtype)


def var(
    x: Tensor, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False
) -> Tensor:
    """The variance along ``axis``: ``sum(|x - mean|**2) / (n - correction)``, NaN where that is
    not above 0. Numeric types.

    >>> import polyback as pb
    >>> float(pb.var(pb.asarray([1.0, 3.0])))
    1.0
    """
    check_tensors("var", x)
    result, dtype = _variance(x, axis, correction, keepdims)
    return cast(result, dtype)


def _variance(x: Tensor, axis: Axis, correction: float, keepdims: bool) -> tuple[Tensor, DType]:
    """The variance in the type to compute in, and the type of the result."""
    wide, dtype = floating(x)
    centred = wide - mean(wide, axis=axis, keepdims=True)
    squares = square_magnitude(centred)
    freedom = _count(x, axis) - correction
    result: Tensor = sum(squares, axis=axis, keepdims=keepdims) / float(
        freedom if freedom > 0 else nan
    )
    return result, result.dtype if dtype.kind == "complex" else dtype


def std(
    x: Tensor, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False
) -> Tensor:
    """The standard deviation along ``axis``: the square root of :func:`var`; where it is 0, so is
    its gradient, as PyTorch has it.

    >>> import polyback as pb
    >>> float(pb.std(pb.asarray([1.0, 3.0])))
    1.0
    """
    check_tensors("std", x)
    result, dtype = _variance(x, axis, correction, keepdims)
    varies = result != 0.0
    root: Tensor = where(varies, sqrt(where(varies, result, 1.0)), result)
    return cast(root, dtype)


def count_nonzero(x: Tensor, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """How many elements along ``axis`` are not zero, as int64.

    >>> import polyback as pb
    >>> int(pb.count_nonzero(pb.asarray([0, 3, 0, 1])))
    2
    """
    check_tensors("count_nonzero", x)
    return sum(cast(x, bool_), axis=axis, keepdims=keepdims)


def logsumexp(x: Tensor, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """``log(sum(exp(x)))`` along ``axis`` without overflow.

    >>> import polyback as pb
    >>> float(pb.logsumexp(pb.asarray([1000.0, -1000.0])))
    1000.0
    """
    check_tensors("logsumexp", x)
    axes = normalize_axes(axis, x.ndim, "logsumexp")
    wide, dtype = floating(x)
    top = max(wide.detach(), axis=axes, keepdims=True)
    top = where(isfinite(top), top, 0.0)  # all -inf, or an inf: no inf - inf
    result = cast(log(sum(exp(wide - top), axis=axes, keepdims=True)) + top, dtype)
    return result if keepdims else _without(result, axes)


def _arg(op: Reduction, x: Tensor, axis: int | None, keepdims: bool) -> Tensor:
    """The first position of the extreme, or of NaN."""
    name = f"arg{op.name}"
    source = reshape(x.detach(), x.size) if axis is None else x.detach()
    spot = normalize_axis(0 if axis is None else axis, source.ndim, name)
    if x.dtype.compute not in op.takes:
        raise DTypeError(f"[{name}] does not take {x.dtype}; want a real type")
    if source.shape[spot] == 0:
        raise InvalidArgument(f"[{name}] shape {x.shape} has nothing to compare")
    found = Tensor(structured.argreduce(op, source.array, spot))
    if axis is None:
        return reshape(found, (1,) * x.ndim if keepdims else ())
    return found if keepdims else _without(found, (spot,))


def argmax(x: Tensor, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The first index of the largest element along ``axis`` (None: of all, flattened), int64.

    NaN counts as largest. Raises InvalidArgument where there is nothing to compare.

    >>> import polyback as pb
    >>> int(pb.argmax(pb.asarray([1, 5, 5])))
    1
    """
    check_tensors("argmax", x)
    return _arg(MAX, x, axis, keepdims)


def argmin(x: Tensor, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The first index of the smallest element along ``axis`` (None: of all, flattened), int64.

    NaN counts as smallest. Raises InvalidArgument where there is nothing to compare.

    >>> import polyback as pb
    >>> int(pb.argmin(pb.asarray([4, 2, 2])))
    1
    """
    check_tensors("argmin", x)
    return _arg(MIN, x, axis, keepdims)
