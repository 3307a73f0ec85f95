"""Shapes: views wherever possible, and joining."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, final

from polyback import array
from polyback.array import Array
from polyback.errors import InvalidArgument, ShapeError
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions.creation import asarray
from polyback.frontend.functions.elementwise import cast, result_type
from polyback.frontend.op import Op, run
from polyback.frontend.tensor import Tensor
from polyback.view import (
    Shape,
    broadcast_shapes,
    check_shape,
    integers,
    normalize_axes,
    normalize_axis,
)


@final
class Reshape(Op):
    """The same elements in row-major order with another shape."""

    def __init__(self, source: Shape, shape: Shape) -> None:
        self.source, self.shape = source, shape

    def forward(self, x: Array) -> Array:
        return x.reshape(self.shape)

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        return run(Reshape(self.shape, self.source), g)


@final
class Permute(Op):
    """Axis k of the result is axis ``axes[k]`` of x."""

    def __init__(self, axes: tuple[int, ...]) -> None:
        self.axes = axes

    def forward(self, x: Array) -> Array:
        return x.with_view(x.view.permute(self.axes))

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        back = sorted(range(len(self.axes)), key=self.axes.__getitem__)
        return run(Permute(tuple(back)), g)


@final
class Expand(Op):
    """Broadcast to a shape; the gradient is summed by the engine."""

    name = "broadcast_to"

    def __init__(self, shape: Shape) -> None:
        self.shape = shape

    def forward(self, x: Array) -> Array:
        return x.with_view(x.view.expand(self.shape))

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        return g


@final
class Flip(Op):
    """Reverse axes."""

    def __init__(self, axes: tuple[int, ...]) -> None:
        self.axes = axes

    def forward(self, x: Array) -> Array:
        return x.with_view(x.view.flip(self.axes))

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        return run(Flip(self.axes), g)


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
        from polyback.frontend.functions.creation import zeros

        known = next(t for t in tangents if t is not None)
        parts = []
        for t, n in zip(tangents, self.lengths, strict=True):
            shape = (*known.shape[: self.axis], n, *known.shape[self.axis + 1 :])
            parts.append(zeros(shape, dtype=known.dtype, device=known.device) if t is None else t)
        return run(self, *parts)


def reshape(x: Tensor, /, shape: int | Sequence[int], *, copy: bool | None = None) -> Tensor:
    """``x`` with another shape of the same size; one size may be -1.

    Raises ShapeError if the sizes do not match. ``copy``: None makes a view where possible, True
    never, False raises InvalidArgument where that is impossible.

    >>> import polyback as pb
    >>> pb.reshape(pb.arange(6), (2, -1)).shape
    (2, 3)
    """
    check_tensors("reshape", x)
    wanted = list(_sizes(shape))
    if wanted.count(-1) > 1:
        raise ShapeError(f"[reshape] got {tuple(wanted)}; want at most one -1")
    if -1 in wanted:
        known = prod(n for n in wanted if n != -1)
        if known == 0 or x.size % known:
            raise ShapeError(f"[reshape] {x.shape} does not fit {tuple(wanted)}")
        wanted[wanted.index(-1)] = x.size // known
    sizes = check_shape(wanted, "reshape")
    if prod(sizes) != x.size:
        raise ShapeError(f"[reshape] {x.shape} has {x.size} elements; {sizes} has {prod(sizes)}")
    if copy:
        return run(Reshape(x.shape, sizes), asarray(x, copy=True))
    if copy is False and x.array.view.reshape(sizes) is None:
        raise InvalidArgument(f"[reshape] {x.shape} to {sizes} needs a copy here; want copy=None")
    return x if sizes == x.shape else run(Reshape(x.shape, sizes), x)


def _sizes(shape: Any) -> tuple[int, ...]:
    """Sizes as Python ints; -1 is left to the caller."""
    try:
        return integers(shape)
    except TypeError:
        raise InvalidArgument(f"[reshape] got {shape!r}; want integers") from None


def permute_dims(x: Tensor, /, axes: Sequence[int]) -> Tensor:
    """Axis ``k`` of the result is axis ``axes[k]`` of ``x``.

    >>> import polyback as pb
    >>> pb.permute_dims(pb.zeros((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    check_tensors("permute_dims", x)
    order = tuple(normalize_axis(a, x.ndim, "permute_dims") for a in axes)
    if sorted(order) != list(range(x.ndim)):
        raise InvalidArgument(f"[permute_dims] {tuple(axes)} is no order of {x.ndim} axes")
    return run(Permute(order), x)


def matrix_transpose(x: Tensor, /) -> Tensor:
    """The last two axes swapped.

    >>> import polyback as pb
    >>> pb.matrix_transpose(pb.zeros((5, 2, 3))).shape
    (5, 3, 2)
    """
    check_tensors("matrix_transpose", x)
    if x.ndim < 2:
        raise ShapeError(f"[matrix_transpose] got shape {x.shape}; want at least 2 axes")
    return run(Permute((*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)), x)


def transpose(x: Tensor, /) -> Tensor:
    """The transpose of a matrix. Raises ShapeError unless there are exactly 2 axes.

    >>> import polyback as pb
    >>> pb.transpose(pb.zeros((2, 3))).shape
    (3, 2)
    """
    check_tensors("transpose", x)
    if x.ndim != 2:
        raise ShapeError(f"[T] got shape {x.shape}; want 2 axes, else use mT or permute_dims")
    return matrix_transpose(x)


def moveaxis(x: Tensor, source: int | Sequence[int], destination: int | Sequence[int], /) -> Tensor:
    """Move axes to new places; the others keep their order.

    >>> import polyback as pb
    >>> pb.moveaxis(pb.zeros((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    check_tensors("moveaxis", x)
    given = [list(g) if isinstance(g, Sequence) else [g] for g in (source, destination)]
    old, new = ([normalize_axis(a, x.ndim, "moveaxis") for a in axes] for axes in given)
    if len(old) != len(new) or len(set(old)) != len(old) or len(set(new)) != len(new):
        raise InvalidArgument(f"[moveaxis] {source} cannot move to {destination}")
    order = [a for a in range(x.ndim) if a not in old]
    for a, b in sorted(zip(new, old, strict=True)):
        order.insert(a, b)
    return run(Permute(tuple(order)), x)


def expand_dims(x: Tensor, /, axis: int | Sequence[int] = 0) -> Tensor:
    """New axes of size 1 at the positions ``axis`` of the result.

    >>> import polyback as pb
    >>> pb.expand_dims(pb.zeros((2, 3)), axis=(0, -1)).shape
    (1, 2, 3, 1)
    """
    check_tensors("expand_dims", x)
    count = len(axis) if isinstance(axis, Sequence) else 1
    spots = normalize_axes(axis, x.ndim + count, "expand_dims")
    sizes = iter(x.shape)
    shape = tuple(1 if a in spots else next(sizes) for a in range(x.ndim + count))
    return run(Reshape(x.shape, check_shape(shape, "expand_dims")), x)


def squeeze(x: Tensor, /, axis: int | Sequence[int]) -> Tensor:
    """Without the axes ``axis``, which must have size 1.

    >>> import polyback as pb
    >>> pb.squeeze(pb.zeros((1, 3)), axis=0).shape
    (3,)
    """
    check_tensors("squeeze", x)
    spots = normalize_axes(axis, x.ndim, "squeeze")
    if any(x.shape[a] != 1 for a in spots):
        raise ShapeError(f"[squeeze] axes {spots} of {x.shape} are not all of size 1")
    shape = tuple(n for a, n in enumerate(x.shape) if a not in spots)
    return run(Reshape(x.shape, shape), x)


def broadcast_to(x: Tensor, /, shape: Sequence[int]) -> Tensor:
    """``x`` repeated, without copying, to ``shape``. Raises ShapeError if it does not broadcast.

    >>> import polyback as pb
    >>> pb.broadcast_to(pb.arange(2), (3, 2)).tolist()
    [[0, 1], [0, 1], [0, 1]]
    """
    check_tensors("broadcast_to", x)
    sizes = check_shape(shape, "broadcast_to")
    return x if sizes == x.shape else run(Expand(sizes), x)


def broadcast_arrays(*tensors: Tensor) -> tuple[Tensor, ...]:
    """All ``tensors`` broadcast to their common shape.

    >>> import polyback as pb
    >>> [t.shape for t in pb.broadcast_arrays(pb.zeros((2, 1)), pb.zeros(3))]
    [(2, 3), (2, 3)]
    """
    check_tensors("broadcast_arrays", *tensors)
    shape = broadcast_shapes(*(t.shape for t in tensors), op="broadcast_arrays")
    return tuple(broadcast_to(t, shape) for t in tensors)


def flip(x: Tensor, /, *, axis: int | Sequence[int] | None = None) -> Tensor:
    """``x`` with the order along ``axis`` (None: all axes) reversed.

    >>> import polyback as pb
    >>> pb.flip(pb.arange(3)).tolist()
    [2, 1, 0]
    """
    check_tensors("flip", x)
    return run(Flip(normalize_axes(axis, x.ndim, "flip")), x)


def concat(tensors: Sequence[Tensor], /, *, axis: int | None = 0) -> Tensor:
    """The tensors one after the other along ``axis`` (None: flattened first).

    Raises ShapeError if their other axes differ, InvalidArgument for an empty sequence.

    >>> import polyback as pb
    >>> pb.concat([pb.zeros((2, 3)), pb.ones((1, 3))]).shape
    (3, 3)
    """
    check_tensors("concat", *tensors)
    parts = list(tensors)
    if not parts:
        raise InvalidArgument("[concat] got no tensors; want at least one")
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
    check_tensors("stack", *tensors)
    if len({t.shape for t in tensors}) > 1:
        listed = ", ".join(str(t.shape) for t in tensors)
        raise ShapeError(f"[stack] shapes {listed} differ; want one shape")
    return concat([expand_dims(t, axis) for t in tensors], axis=axis)


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
        return reshape(roll(reshape(x, -1), shift, axis=0), x.shape) if x.size else x
    shifts = list(shift) if isinstance(shift, Sequence) else [shift]
    axes = list(axis) if isinstance(axis, Sequence) else [axis] * len(shifts)
    shifts = shifts * len(axes) if len(shifts) == 1 else shifts
    if len(shifts) != len(axes):
        raise InvalidArgument(f"[roll] {len(shifts)} shifts for {len(axes)} axes; want one each")
    for s, a in zip(shifts, axes, strict=True):
        spot = normalize_axis(a, x.ndim, "roll")
        n = x.shape[spot]
        cut = -s % n if n else 0
        if cut:
            before = (slice(None),) * spot
            x = concat([x[(*before, slice(cut, None))], x[(*before, slice(0, cut))]], axis=spot)
    return x


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
    return reshape(result, tuple(a * b for a, b in zip(times, sizes, strict=True)))


def repeat(x: Tensor, repeats: int, /, *, axis: int | None = None) -> Tensor:
    """Every element ``repeats`` times in a row along ``axis`` (None: of the flattened tensor).

    >>> import polyback as pb
    >>> pb.repeat(pb.arange(2), 2).tolist()
    [0, 0, 1, 1]
    """
    check_tensors("repeat", x)
    if axis is None:
        x, axis = reshape(x, x.size), 0
    spot = normalize_axis(axis, x.ndim, "repeat")
    sizes = (*x.shape[: spot + 1], repeats, *x.shape[spot + 1 :])
    wide = broadcast_to(expand_dims(x, spot + 1), check_shape(sizes, "repeat"))
    return reshape(wide, (*x.shape[:spot], x.shape[spot] * repeats, *x.shape[spot + 1 :]))
