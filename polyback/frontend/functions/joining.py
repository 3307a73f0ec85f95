"""Joining, repeating and moving along an axis: what makes new tensors out of old elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from polyback import array, lookup
from polyback.array import Array
from polyback.dtype import int64
from polyback.errors import DTypeError, InvalidArgument, ShapeError
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions.creation import full, zeros
from polyback.frontend.functions.elementwise import apart, cast, copied, result_type
from polyback.frontend.functions.gathering import Scatter, take
from polyback.frontend.functions.searching import running_sum
from polyback.frontend.functions.shape import broadcast_to, expand_dims, moveaxis, reshape
from polyback.frontend.op import Op, run
from polyback.frontend.tensor import Tensor
from polyback.lookup import Picked
from polyback.view import check_shape, normalize_axis


@final
class Concat(Op):
    """Tensors one after the other along an axis; the gradient is cut up again."""

    def __init__(self, axis: int, lengths: tuple[int, ...]) -> None:
        self.axis, self.lengths = axis, lengths

    def forward(self, *parts: Array) -> Array:
        first = parts[0]
        shape = (*first.shape[: self.axis], sum(self.lengths), *first.shape[self.axis + 1 :])
        result = array.empty(array.same_device("concat", *parts), shape, first.dtype)
        start = 0
        for part, n in zip(parts, self.lengths, strict=True):
            result.with_view(result.view.slice(self.axis, start, n)).assign(part)
            start += n
        return result

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        start = sum(self.lengths[:operand])
        spot = (slice(None),) * self.axis + (slice(start, start + self.lengths[operand]),)
        part: Tensor = g[spot]
        return part

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        known = next(t for t in tangents if t is not None)
        parts = []
        for t, n in zip(tangents, self.lengths, strict=True):
            shape = (*known.shape[: self.axis], n, *known.shape[self.axis + 1 :])
            parts.append(zeros(shape, dtype=known.dtype, device=known.device) if t is None else t)
        return run(self, *parts)


def _listed(op: str, tensors: Sequence[Tensor]) -> list[Tensor]:
    """The tensors of a sequence that is not empty."""
    try:
        parts = list(tensors)
    except TypeError:
        raise DTypeError(f"[{op}] got {type(tensors).__name__}; want a list of tensors") from None
    if not parts:
        raise InvalidArgument(f"[{op}] got no tensors; want at least one")
    check_tensors(op, *parts)
    return parts


def concat(tensors: Sequence[Tensor], /, *, axis: int | None = 0) -> Tensor:
    """The tensors one after the other along ``axis`` (None: flattened first).

    Raises ShapeError if their other axes differ, InvalidArgument for an empty sequence.

    >>> import polyback as pb
    >>> pb.concat([pb.zeros((2, 3)), pb.ones((1, 3))]).shape
    (3, 3)
    """
    parts = _listed("concat", tensors)
    if axis is None:
        parts, axis = [reshape(t, -1) if t.size else reshape(t, 0) for t in parts], 0
    spot = normalize_axis(axis, parts[0].ndim, "concat")
    others = {(*t.shape[:spot], *t.shape[spot + 1 :]) if t.ndim else None for t in parts}
    if len(others) != 1 or len({t.ndim for t in parts}) != 1:
        listed = ", ".join(str(t.shape) for t in parts)
        raise ShapeError(f"[concat] shapes {listed} differ outside axis {spot}")
    dtype = result_type(*parts)
    lengths = tuple(t.shape[spot] for t in parts)
    return run(Concat(spot, lengths), *(cast(t, dtype) for t in parts))


def stack(tensors: Sequence[Tensor], /, *, axis: int = 0) -> Tensor:
    """Tensors of one shape along a new axis.

    >>> import polyback as pb
    >>> pb.stack([pb.zeros(3), pb.ones(3)]).shape
    (2, 3)
    """
    parts = _listed("stack", tensors)
    if len({t.shape for t in parts}) > 1:
        listed = ", ".join(str(t.shape) for t in parts)
        raise ShapeError(f"[stack] shapes {listed} differ; want one shape")
    return concat([expand_dims(t, axis) for t in parts], axis=axis)


def unstack(x: Tensor, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices of ``x`` along ``axis``, without it.

    >>> import polyback as pb
    >>> [int(t) for t in pb.unstack(pb.arange(3))]
    [0, 1, 2]
    """
    check_tensors("unstack", x)
    return tuple(moveaxis(x, axis, 0))


def roll(
    x: Tensor, /, shift: int | Sequence[int], *, axis: int | Sequence[int] | None = None
) -> Tensor:
    """Elements moved ``shift`` places along ``axis`` (None: of the flattened tensor), wrapping.

    >>> import polyback as pb
    >>> pb.roll(pb.arange(4), 1).tolist()
    [3, 0, 1, 2]
    """
    check_tensors("roll", x)
    if axis is None:
        return reshape(roll(reshape(x, -1), shift, axis=0), x.shape) if x.size else copied(x)
    shifts = list(shift) if isinstance(shift, Sequence) else [shift]
    axes = list(axis) if isinstance(axis, Sequence) else [axis] * len(shifts)
    shifts = shifts * len(axes) if len(shifts) == 1 else shifts
    if len(shifts) != len(axes):
        raise InvalidArgument(f"[roll] {len(shifts)} shifts for {len(axes)} axes; want one each")
    y = x
    for s, a in zip(shifts, axes, strict=True):
        spot = normalize_axis(a, x.ndim, "roll")
        n = x.shape[spot]
        cut = -s % n if n else 0
        if cut:
            before = (slice(None),) * spot
            y = concat([y[(*before, slice(cut, None))], y[(*before, slice(0, cut))]], axis=spot)
    return apart(y, x)


def tile(x: Tensor, repetitions: Sequence[int], /) -> Tensor:
    """``x`` repeated whole, ``repetitions[k]`` times along axis k.

    >>> import polyback as pb
    >>> pb.tile(pb.arange(2), (2,)).tolist()
    [0, 1, 0, 1]
    """
    check_tensors("tile", x)
    times = check_shape(repetitions, "tile")
    ndim = max(x.ndim, len(times))
    times = (1,) * (ndim - len(times)) + times
    sizes = (1,) * (ndim - x.ndim) + x.shape
    spread = tuple(n for pair in zip(times, sizes, strict=True) for n in pair)
    halves = tuple(n for size in sizes for n in (1, size))
    result = broadcast_to(reshape(x, halves), spread)
    return apart(reshape(result, tuple(a * b for a, b in zip(times, sizes, strict=True))), x)


def repeat(x: Tensor, repeats: int | Tensor, /, *, axis: int | None = None) -> Tensor:
    """Every element ``repeats`` times in a row along ``axis`` (None: of the flattened tensor).

    ``repeats`` may be a vector of integers, one for each element along the axis (or one for all);
    they are read back, which waits for the device. Raises ShapeError, DTypeError, InvalidArgument.

    >>> import polyback as pb
    >>> pb.repeat(pb.arange(2), 2).tolist()
    [0, 0, 1, 1]
    >>> pb.repeat(pb.arange(3), pb.asarray([2, 0, 1])).tolist()
    [0, 0, 2]
    """
    check_tensors("repeat", x)
    if axis is None:
        x, axis = reshape(x, x.size), 0
    spot = normalize_axis(axis, x.ndim, "repeat")
    if isinstance(repeats, Tensor):
        n = x.shape[spot]
        if repeats.ndim and repeats.shape not in ((1,), (n,)):
            raise ShapeError(f"[repeat] the counts are {repeats.shape}; want ({n},) or (1,)")
        if not repeats.dtype.is_integer:
            raise DTypeError(f"[repeat] the counts are {repeats.dtype}; want an integer type")
        if repeats.size != 1:
            return take(x, _sources(repeats), axis=spot)
        repeats = int(repeats)
    sizes = (*x.shape[: spot + 1], repeats, *x.shape[spot + 1 :])
    wide = broadcast_to(expand_dims(x, spot + 1), check_shape(sizes, "repeat"))
    shape = (*x.shape[:spot], x.shape[spot] * repeats, *x.shape[spot + 1 :])
    return apart(reshape(wide, shape), x)


def _sources(counts: Tensor) -> Tensor:
    """0 as often as the first count says, then 1, and so on: a running sum of marks where each
    begins."""
    if not counts.size:
        return cast(counts, int64)
    if lookup.extremes(counts.array)[0] < 0:
        raise InvalidArgument("[repeat] counts must not be negative")
    ends = running_sum(cast(counts, int64))
    (total,) = check_shape((int(ends[-1]),), "repeat")
    one = full((), 1, dtype=int64, device=counts.device)
    count_from = Scatter(Picked(((0, 1),), 0), (total + 1,), "add")
    marks = run(count_from, None, one, ends - counts)  # an empty last run begins at the end
    return running_sum(marks[:total]) - 1
