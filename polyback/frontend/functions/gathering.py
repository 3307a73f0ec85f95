"""Reading and writing where index tensors point: gather, scatter, and their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from polyback import array, lookup
from polyback.array import Array
from polyback.dtype import DEFAULT_FLOAT, bool_, dtype_of, int64
from polyback.errors import DTypeError, IndexOutOfBounds, InvalidArgument, ShapeError
from polyback.frontend.autograd import OUTPUT
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions.activation import where
from polyback.frontend.functions.creation import (
    asarray,
    holds_tensor,
    host_dtype,
    host_values,
    zeros,
)
from polyback.frontend.functions.elementwise import cast
from polyback.frontend.functions.grids import arange
from polyback.frontend.functions.shape import broadcast_to, expand_dims, reshape
from polyback.frontend.op import Op, run
from polyback.frontend.tensor import Tensor
from polyback.lookup import Along, Picked, Places
from polyback.structured import Mode
from polyback.view import Shape, broadcast_shapes, check_shape, normalize_axis


@final
class Gather(Op):
    """y = x at the places that the index tensors choose"""

    def __init__(self, places: Places, shape: Shape) -> None:
        self.places, self.shape = places, shape  # shape: of x

    def forward(self, x: Array, *indices: Array) -> Array:
        return lookup.read(x, self.places, indices)

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        return run(Scatter(self.places, self.shape, "add"), None, g, *operands[1:])

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        return run(self, tangents[0], *operands[1:])

    def saves(self, operand: int) -> frozenset[int]:
        return frozenset(range(1, 1 + self.places.count))


@final
class Scatter(Op):
    """y = x (None: zeros), then y = value, or y += value, at the places chosen.

    Of several values for one element the last one stays, and only it has a gradient; ``distinct``
    says that there is never more than one.
    """

    def __init__(self, places: Places, shape: Shape, mode: Mode, distinct: bool = False) -> None:
        self.places, self.shape, self.mode, self.distinct = places, shape, mode, distinct

    def forward(self, x: Array | None, value: Array, *indices: Array) -> Array:
        result = _start(x, value, self.shape)
        lookup.write(result, self.places, indices, value, self.mode)
        return result

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        indices = operands[2:]
        if operand == 0:
            return g if self.mode == "add" else run(self, g, _zero(g), *indices)
        part = run(Gather(self.places, self.shape), g, *indices)
        if self.mode == "add" or self.distinct:
            return part
        writers = reshape(arange(part.size, device=g.device), part.shape)
        last = run(self, None, writers, *indices)
        return where(run(Gather(self.places, self.shape), last, *indices) == writers, part, 0)

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        x, value = tangents[:2]
        if value is None:
            assert x is not None
            value = _zero(x)
        return run(self, x, value, *operands[2:])

    def saves(self, operand: int) -> frozenset[int]:
        return frozenset(range(2, 2 + self.places.count))


@final
class ScatterExtreme(Op):
    """y = x, then y = max(y, value), or min, at the places chosen; equal extremes share the
    gradient."""

    def __init__(self, places: Places, shape: Shape, mode: Mode) -> None:
        self.places, self.shape, self.mode = places, shape, mode

    @property
    def name(self) -> str:
        return f"scatter {self.mode}"

    def forward(self, x: Array, value: Array, *indices: Array) -> Array:
        result = x.copy()
        lookup.write(result, self.places, indices, value, self.mode)
        return result

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        kept, won, count = self._shares(y, *operands)
        share = g / count
        if operand == 0:
            return share * kept
        return run(Gather(self.places, self.shape), share, *operands[2:]) * won

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        x, value = tangents[:2]
        kept, won, count = self._shares(y, *operands)
        value = _zero(count) if value is None else value * won
        x = None if x is None else x * kept
        total: Tensor = self._add(x, value, operands[2:])
        return total / count

    def saves(self, operand: int) -> frozenset[int]:
        return frozenset({0, 1, OUTPUT, *range(2, 2 + self.places.count)})

    def _shares(self, y: Tensor, x: Tensor, value: Tensor, *indices: Tensor) -> tuple[Tensor, ...]:
        """1 where x, and where value, is the extreme; and how many there are for each element."""
        kept = cast(x == y, y.dtype)
        won = cast(run(Gather(self.places, self.shape), y, *indices) == value, y.dtype)
        return kept, won, self._add(kept, won, indices)

    def _add(self, x: Tensor | None, value: Tensor, indices: Sequence[Tensor]) -> Tensor:
        return run(Scatter(self.places, self.shape, "add"), x, value, *indices)


def _start(x: Array | None, value: Array, shape: Shape) -> Array:
    if x is not None:
        return x.copy()
    result = array.empty(value.device, shape, value.dtype)
    result.assign(0)
    return result


def _zero(like: Tensor) -> Tensor:
    return zeros((), dtype=like.dtype, device=like.device)


def checked(index: Tensor, n: int, op: str, axis: int) -> Tensor:
    """``index`` as int64 in [0, n), negative ones counted from the end. Something is read back.

    Raises DTypeError for other types than integers, IndexOutOfBounds naming the axis.
    """
    if not index.dtype.is_integer:
        raise DTypeError(f"[{op}] the index is {index.dtype}; want an integer type")
    if not index.size:
        return cast(index, int64)
    low, high = lookup.extremes(index.array)
    if low < -n or high >= n:
        bad = high if high >= n else low
        raise IndexOutOfBounds(f"[{op}] index {bad} is outside axis {axis} of size {n}")
    index = cast(index, int64)
    return where(index < 0, index + n, index) if low < 0 else index


def written(x: Tensor, value: Any, op: str) -> Tensor:
    """``value`` as a tensor to be written into ``x``: of its type, but for a higher kind.

    Python numbers take the type of ``x``. Raises DTypeError for a higher kind (float into int), and
    for Python integers that do not fit.
    """
    if holds_tensor(value):
        value = asarray(value, device=x.device)
    elif not isinstance(value, Tensor):
        values = host_values(value)
        fits = host_dtype(value, values).rank <= x.dtype.rank
        wanted = x.dtype if fits and not hasattr(value, "dtype") else None
        value = asarray(value, dtype=wanted, device=x.device)
    if value.dtype.rank > x.dtype.rank:
        raise DTypeError(f"[{op}] cannot write {value.dtype} into {x.dtype}; use astype()")
    return cast(value, x.dtype)


def take_rows(x: Tensor, index: Tensor) -> Tensor:
    """``x`` at ``index`` along its first axis; the index is int64 and known to be in range."""
    return run(Gather(Picked(((0, 1),), 0), x.shape), x, index)


def take(x: Tensor, indices: Tensor, /, *, axis: int | None = None) -> Tensor:
    """Slices of ``x`` at ``indices`` (of any shape) along ``axis``.

    Negative indices count from the end. ``axis`` may be left out for a vector. Raises
    IndexOutOfBounds, DTypeError.

    >>> import polyback as pb
    >>> pb.take(pb.asarray([10, 20, 30]), pb.asarray([2, 0])).tolist()
    [30, 10]
    """
    check_tensors("take", x, indices)
    if axis is None:
        if x.ndim != 1:
            raise InvalidArgument(f"[take] got shape {x.shape}; want axis=")
        axis = 0
    spot = normalize_axis(axis, x.ndim, "take")
    array.same_device("take", x.array, indices.array)
    index = checked(indices, x.shape[spot], "take", spot)
    check_shape((1,) * (x.ndim - 1 + index.ndim), "take")
    return run(Gather(Picked(((spot, 1),), spot), x.shape), x, index)


def _along(op: str, x: Tensor, indices: Tensor, axis: int) -> tuple[Along, Tensor]:
    """The places and the index of an operation along one axis, checked."""
    if x.ndim != indices.ndim:
        raise ShapeError(f"[{op}] {x.shape} and {indices.shape} differ in axes")
    spot = normalize_axis(axis, x.ndim, op)
    array.same_device(op, x.array, indices.array)
    return Along(spot), checked(indices, x.shape[spot], op, spot)


def take_along_axis(x: Tensor, indices: Tensor, /, *, axis: int = -1) -> Tensor:
    """``y[i, j] = x[i, indices[i, j]]`` for the last of two axes, and so on; other axes broadcast.

    Raises IndexOutOfBounds, DTypeError, ShapeError.

    >>> import polyback as pb
    >>> pb.take_along_axis(pb.asarray([[1, 2], [3, 4]]), pb.asarray([[1], [0]])).tolist()
    [[2], [3]]
    """
    check_tensors("take_along_axis", x, indices)
    places, index = _along("take_along_axis", x, indices, axis)
    spot = places.axis
    others = [(*t.shape[:spot], 1, *t.shape[spot + 1 :]) for t in (x, index)]
    shape = list(broadcast_shapes(*others, op="take_along_axis"))
    shape[spot] = index.shape[spot]
    index = broadcast_to(index, shape)
    shape[spot] = x.shape[spot]
    return run(Gather(places, tuple(shape)), broadcast_to(x, shape), index)


def scatter(
    x: Tensor, indices: Tensor, values: Any, /, *, axis: int = -1, mode: Mode = "set"
) -> Tensor:
    """A copy of ``x`` in which ``y[i, indices[i, j]]`` is set to ``values[i, j]``, or combined with
    it, for the last of two axes, and so on: :func:`take_along_axis` the other way round.

    ``mode`` is "set", "add", "min" or "max". Several values for one element are taken in row-major
    order: the last one set stays, and sums have one order on every device. ``indices`` broadcasts
    to ``x`` on the other axes, ``values`` (a tensor or a number, cast to the type of ``x`` unless
    its kind is higher) to ``indices``. Bool can only be set, complex numbers not be compared. The
    gradient of "set" goes to the values that stayed; equal extremes share it.

    Raises IndexOutOfBounds, DTypeError, ShapeError, InvalidArgument.

    >>> import polyback as pb
    >>> pb.scatter(pb.zeros(3), pb.asarray([0, 2, 0]), pb.ones(3), mode="add").tolist()
    [2.0, 0.0, 1.0]
    """
    check_tensors("scatter", x, indices)
    if mode not in ("set", "add", "min", "max"):
        raise InvalidArgument(f"[scatter] mode={mode!r}; want 'set', 'add', 'min' or 'max'")
    if mode != "set" and (x.dtype is bool_ or (mode != "add" and x.dtype.kind == "complex")):
        raise DTypeError(f"[scatter] {mode} does not take {x.dtype}; want a real type")
    values = written(x, values, "scatter")
    places, index = _along("scatter", x, indices, axis)
    spot = places.axis
    array.same_device("scatter", x.array, values.array)
    index = broadcast_to(index, (*x.shape[:spot], index.shape[spot], *x.shape[spot + 1 :]))
    wide = broadcast_to(values, index.shape)
    if mode in ("min", "max"):
        return run(ScatterExtreme(places, x.shape, mode), x, wide, index)
    return run(Scatter(places, x.shape, mode), x, wide, index)


def one_hot(indices: Tensor, num_classes: int, /, *, dtype: Any = DEFAULT_FLOAT) -> Tensor:
    """``y[..., c] = 1 where indices[...] == c, else 0``. Raises IndexOutOfBounds, DTypeError.

    >>> import polyback as pb
    >>> pb.one_hot(pb.asarray([1, 0]), 2).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    check_tensors("one_hot", indices)
    (num_classes,) = check_shape((num_classes,), "one_hot")
    index = checked(indices, num_classes, "one_hot", indices.ndim)
    spots = arange(num_classes, device=indices.device)
    return cast(expand_dims(index, -1) == spots, dtype_of(dtype))
