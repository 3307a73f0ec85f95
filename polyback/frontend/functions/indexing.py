"""Indexing: slices are views, integer tensors gather, assignment is in place or in the graph."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, final

import numpy as np

from polyback import array
from polyback.array import Array
from polyback.dtype import DEFAULT_FLOAT, DType, bool_, dtype_of, int64
from polyback.errors import DTypeError, GradientError, IndexOutOfBounds, InvalidArgument, ShapeError
from polyback.frontend.autograd import is_grad_enabled
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions.activation import where
from polyback.frontend.functions.creation import (
    asarray,
    host_dtype,
    host_values,
    zeros,
)
from polyback.frontend.functions.elementwise import cast
from polyback.frontend.functions.grids import arange
from polyback.frontend.functions.reduction import max, min
from polyback.frontend.functions.shape import broadcast_to, expand_dims, reshape
from polyback.frontend.op import Op, run
from polyback.frontend.tensor import Tensor
from polyback.view import Shape, View, broadcast_shapes, check_shape, normalize_axis

Item = int | slice | None


@final
class Region:
    """A basic index: which part of a view it selects."""

    def __init__(self, key: Any, shape: Shape) -> None:
        self.items = _items(key, shape)

    def select(self, view: View) -> View:
        """The part of ``view``."""
        axis = 0
        for item in self.items:
            if item is None:
                view, axis = view.insert(axis), axis + 1
            elif isinstance(item, int):
                view = view.slice(axis, item, 1).drop(axis)
            else:
                start, stop, step = item.indices(view.shape[axis])
                view = view.slice(axis, start, len(range(start, stop, step)), step)
                axis += 1
        return view


def _items(key: Any, shape: Shape) -> list[Item]:
    """One item per axis (and None for new axes), integers checked and made positive."""
    parts = list(key) if isinstance(key, tuple) else [key]
    used = len([p for p in parts if p is not None and p is not Ellipsis])
    if used > len(shape) or sum(p is Ellipsis for p in parts) > 1:
        raise IndexOutOfBounds(f"[index] {_spell(parts)} does not fit {len(shape)} axes")
    if not any(p is Ellipsis for p in parts):
        parts.append(Ellipsis)
    spot = next(k for k, p in enumerate(parts) if p is Ellipsis)
    parts[spot : spot + 1] = [slice(None)] * (len(shape) - used)
    check_shape([1] * (len(parts) - used), "index")
    items: list[Item] = []
    axis = 0
    for part in parts:
        if part is None:
            items.append(None)
            continue
        whole = _slice(part, shape[axis]) if isinstance(part, slice) else None
        items.append(whole or _position(part, axis, shape))
        axis += 1
    return items


def _slice(part: slice, n: int) -> slice:
    try:
        part.indices(n)
    except TypeError:
        raise DTypeError(f"[index] got {part}; want integers or None in a slice") from None
    except ValueError as error:
        raise InvalidArgument(f"[index] got {part}: {error}") from None
    return part


def _position(part: Any, axis: int, shape: Shape) -> int:
    if isinstance(part, Tensor) and part.ndim:
        raise DTypeError(
            f"[index] got a tensor of shape {part.shape} among other indexes; "
            f"want it alone, or take()"
        )
    if isinstance(part, (bool, np.bool_)):
        raise DTypeError("[index] got a bool; want integers, slices, None, ... or a tensor")
    try:
        k = operator.index(part)
    except TypeError:
        raise DTypeError(
            f"[index] got {type(part).__name__}; want integers, slices, None, ... or one tensor"
        ) from None
    if not -shape[axis] <= k < shape[axis]:
        raise IndexOutOfBounds(f"[index] {k} is outside axis {axis} of {shape}")
    return k % shape[axis]


def _spell(parts: list[Any]) -> str:
    return "[" + ", ".join("..." if p is Ellipsis else str(p) for p in parts) + "]"


@final
class Index(Op):
    """y = x[region]"""

    def __init__(self, region: Region, shape: Shape) -> None:
        self.region, self.shape = region, shape

    def forward(self, x: Array) -> Array:
        return x.with_view(self.region.select(x.view))

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        blank = zeros(self.shape, dtype=g.dtype, device=g.device)
        return run(Replace(self.region), blank, g)


@final
class Replace(Op):
    """y = x with y[region] = value"""

    def __init__(self, region: Region) -> None:
        self.region = region

    def forward(self, x: Array, value: Array) -> Array:
        result = x.copy()
        result.with_view(self.region.select(result.view)).assign(value)
        return result

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        part = run(Index(self.region, g.shape), g)
        if operand == 1:
            return part
        nothing = zeros(part.shape, dtype=g.dtype, device=g.device)
        return run(Replace(self.region), g, nothing)

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        whole, part = tangents
        if whole is None:
            assert part is not None
            whole = zeros(y.shape, dtype=part.dtype, device=part.device)
        if part is None:
            shape = self.region.select(View.contiguous(whole.shape)).shape
            part = zeros(shape, dtype=whole.dtype, device=whole.device)
        return run(self, whole, part)

    def saves(self, operand: int) -> frozenset[int]:
        return frozenset({-1})


@final
class Gather(Op):
    """y[i] = x[i with index[i] at axis]"""

    def __init__(self, axis: int, shape: Shape) -> None:
        self.axis, self.shape = axis, shape

    def forward(self, x: Array, index: Array) -> Array:
        return array.gather(x, index, self.axis)

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        blank = zeros(self.shape, dtype=g.dtype, device=g.device)
        return run(ScatterAdd(self.axis), blank, operands[1], g)

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        return run(self, tangents[0], operands[1])

    def saves(self, operand: int) -> frozenset[int]:
        return frozenset({1})


@final
class ScatterAdd(Op):
    """y = x; y[i with index[i] at axis] += value[i]"""

    name = "scatter_add"

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, x: Array, index: Array, value: Array) -> Array:
        result = x.copy()
        array.scatter(result, index, value, self.axis, "add")
        return result

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        return g if operand == 0 else run(Gather(self.axis, g.shape), g, operands[1])

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        x, _, value = tangents
        if value is None:
            assert x is not None
            return x
        blank = x if x is not None else zeros(y.shape, dtype=value.dtype, device=value.device)
        return run(self, blank, operands[1], value)

    def saves(self, operand: int) -> frozenset[int]:
        return frozenset({1, -1})


def getitem(x: Tensor, key: Any) -> Tensor:
    """``x[key]``: basic indexing gives a view; one integer tensor gathers along axis 0; one bool
    tensor of the shape of ``x`` selects elements (their number is read back to the host).

    Raises IndexOutOfBounds, DTypeError.
    """
    if isinstance(key, Tensor) and key.ndim:
        return _masked(x, key) if key.dtype is bool_ else take(x, key, axis=0)
    return run(Index(Region(key, x.shape), x.shape), x)


def _masked(x: Tensor, mask: Tensor) -> Tensor:
    if mask.shape != x.shape:
        raise ShapeError(f"[index] the mask is {mask.shape}; the tensor is {x.shape}")
    chosen = np.flatnonzero(mask.numpy())
    return take(reshape(x, x.size), asarray(chosen, device=x.device), axis=0)


def setitem(x: Tensor, key: Any, value: Any) -> None:
    """``x[key] = value`` for basic keys, or for one bool tensor of the shape of ``x``.

    ``value`` is broadcast to a basic key; with a bool key it is one number or has the shape of
    ``x``. It is cast to the type of ``x`` unless its kind is higher.

    A tensor outside the graph is written in place. Inside the graph ``x`` becomes the result of an
    operation, so gradients flow to ``value`` and to what is left of the old ``x``.
    """
    if not isinstance(value, Tensor):
        value = _assigned(x, value)
    if value.dtype is not x.dtype:
        if dtype_rank(value.dtype) > dtype_rank(x.dtype):
            raise DTypeError(f"[index] cannot write {value.dtype} into {x.dtype}; use astype()")
        value = cast(value, x.dtype)
    recorded = is_grad_enabled() and (x.requires_grad or value.requires_grad)
    if x.array.view.has_overlap and not recorded:
        raise InvalidArgument("[index] cannot write to a broadcast array; copy it first")
    if recorded and x.requires_grad_:
        raise GradientError(
            "[index] a leaf that requires a gradient cannot be changed while recording; "
            "want `with pb.no_grad():` around the assignment"
        )
    if isinstance(key, Tensor) and key.dtype is bool_ and key.ndim:
        if key.shape != x.shape or (value.ndim and value.shape != x.shape):
            raise ShapeError(
                f"[index] the mask is {key.shape}, the value {value.shape}, the tensor {x.shape}; "
                f"want the tensor's shape (the value may be one number)"
            )
        result = where(key, value, x)
    else:
        region = Region(key, x.shape)
        view = region.select(x.array.view)
        value = broadcast_to(value, view.shape)
        array.same_device("index", x.array, value.array)
        if not recorded:
            x.array.with_view(view).assign(value.array)
            return
        result = run(Replace(region), x, value)
    if recorded:
        x.array, x.node = result.array, result.node
    else:
        x.array.assign(result.array)


def _assigned(x: Tensor, value: Any) -> Tensor:
    """Host data to be written into ``x``: Python numbers take its type, unless of a higher kind."""
    values = host_values(value)
    fits = dtype_rank(host_dtype(value, values)) <= dtype_rank(x.dtype)
    wanted = x.dtype if fits and not hasattr(value, "dtype") else None
    return asarray(value, dtype=wanted, device=x.device)


def dtype_rank(dtype: DType) -> int:
    """Kinds in the order in which they may be written into each other."""
    return {"bool": 0, "uint": 1, "int": 1, "float": 2, "complex": 3}[dtype.kind]


def _checked(index: Tensor, n: int, op: str) -> Tensor:
    """``index`` as int64 in [0, n), negative ones counted from the end."""
    if not index.dtype.is_integer:
        raise DTypeError(f"[{op}] the index is {index.dtype}; want an integer type")
    if index.size:
        low, high = int(min(index)), int(max(index))
        if low < -n or high >= n:
            bad = high if high >= n else low
            raise IndexOutOfBounds(f"[{op}] index {bad} is outside [{-n}, {n})")
        index = cast(index, int64)
        return where(index < 0, index + n, index) if low < 0 else index
    return cast(index, int64)


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
    index = _checked(indices, x.shape[spot], "take")
    before, after = x.shape[:spot], x.shape[spot + 1 :]
    flat = reshape(index, (*(1,) * len(before), index.size, *(1,) * len(after)))
    wide = broadcast_to(flat, (*before, index.size, *after))
    result = run(Gather(spot, x.shape), x, wide)
    return reshape(result, (*before, *indices.shape, *after))


def take_along_axis(x: Tensor, indices: Tensor, /, *, axis: int = -1) -> Tensor:
    """``y[i, j] = x[i, indices[i, j]]`` for the last of two axes, and so on; other axes broadcast.

    Raises IndexOutOfBounds, DTypeError, ShapeError.

    >>> import polyback as pb
    >>> pb.take_along_axis(pb.asarray([[1, 2], [3, 4]]), pb.asarray([[1], [0]])).tolist()
    [[2], [3]]
    """
    check_tensors("take_along_axis", x, indices)
    if x.ndim != indices.ndim:
        raise ShapeError(f"[take_along_axis] {x.shape} and {indices.shape} differ in axes")
    spot = normalize_axis(axis, x.ndim, "take_along_axis")
    array.same_device("take_along_axis", x.array, indices.array)
    index = _checked(indices, x.shape[spot], "take_along_axis")
    others = [(*t.shape[:spot], 1, *t.shape[spot + 1 :]) for t in (x, index)]
    shape = list(broadcast_shapes(*others, op="take_along_axis"))
    shape[spot] = index.shape[spot]
    index = broadcast_to(index, shape)
    shape[spot] = x.shape[spot]
    return run(Gather(spot, tuple(shape)), broadcast_to(x, shape), index)


def one_hot(indices: Tensor, num_classes: int, /, *, dtype: Any = DEFAULT_FLOAT) -> Tensor:
    """``y[..., c] = 1 where indices[...] == c, else 0``. Raises IndexOutOfBounds, DTypeError.

    >>> import polyback as pb
    >>> pb.one_hot(pb.asarray([1, 0]), 2).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    check_tensors("one_hot", indices)
    (num_classes,) = check_shape((num_classes,), "one_hot")
    index = _checked(indices, num_classes, "one_hot")
    spots = arange(num_classes, device=indices.device)
    return cast(expand_dims(index, -1) == spots, dtype_of(dtype))
