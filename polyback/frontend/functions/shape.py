"""Shapes: views wherever possible."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, final

from polyback.array import Array
from polyback.errors import InvalidArgument, ShapeError
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions.creation import asarray
from polyback.frontend.op import Op, run
from polyback.frontend.tensor import Tensor
from polyback.view import (
    Shape,
    check_shape,
    integers,
    normalize_axes,
    normalize_axis,
)
from polyback.view import broadcast_shapes as common_shape


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


def _axes(given: int | Sequence[int], ndim: int, op: str) -> tuple[int, ...]:
    """Axes in the order given, counted from the front."""
    try:
        return tuple(normalize_axis(a, ndim, op) for a in integers(given))
    except TypeError:
        raise InvalidArgument(f"[{op}] got axes {given!r}; want integers") from None


def permute_dims(x: Tensor, /, axes: Sequence[int]) -> Tensor:
    """Axis ``k`` of the result is axis ``axes[k]`` of ``x``.

    >>> import polyback as pb
    >>> pb.permute_dims(pb.zeros((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    check_tensors("permute_dims", x)
    order = _axes(axes, x.ndim, "permute_dims")
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
    return run(Permute((1, 0)), x)


def moveaxis(x: Tensor, source: int | Sequence[int], destination: int | Sequence[int], /) -> Tensor:
    """Move axes to new places; the others keep their order.

    >>> import polyback as pb
    >>> pb.moveaxis(pb.zeros((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    check_tensors("moveaxis", x)
    old, new = (_axes(axes, x.ndim, "moveaxis") for axes in (source, destination))
    if len(old) != len(new) or len(set(old)) != len(old) or len(set(new)) != len(new):
        raise InvalidArgument(f"[moveaxis] {source} cannot move to {destination}")
    order = [a for a in range(x.ndim) if a not in old]
    for a, b in sorted(zip(new, old, strict=True)):
        order.insert(a, b)
    return run(Permute(tuple(order)), x)


def expand_dims(x: Tensor, /, axis: int | Sequence[int]) -> Tensor:
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


def broadcast_shapes(*shapes: Sequence[int]) -> Shape:
    """The shape that arrays of these ``shapes`` broadcast to; () for none. Raises ShapeError.

    >>> import polyback as pb
    >>> pb.broadcast_shapes((2, 1), (3,))
    (2, 3)
    """
    op = "broadcast_shapes"
    return common_shape(*(check_shape(shape, op) for shape in shapes), op=op)


def broadcast_arrays(*tensors: Tensor) -> tuple[Tensor, ...]:
    """All ``tensors`` broadcast to their common shape.

    >>> import polyback as pb
    >>> [t.shape for t in pb.broadcast_arrays(pb.zeros((2, 1)), pb.zeros(3))]
    [(2, 3), (2, 3)]
    """
    check_tensors("broadcast_arrays", *tensors)
    shape = common_shape(*(t.shape for t in tensors), op="broadcast_arrays")
    return tuple(broadcast_to(t, shape) for t in tensors)


def flip(x: Tensor, /, *, axis: int | Sequence[int] | None = None) -> Tensor:
    """``x`` with the order along ``axis`` (None: all axes) reversed.

    >>> import polyback as pb
    >>> pb.flip(pb.arange(3)).tolist()
    [2, 1, 0]
    """
    check_tensors("flip", x)
    return run(Flip(normalize_axes(axis, x.ndim, "flip")), x)
