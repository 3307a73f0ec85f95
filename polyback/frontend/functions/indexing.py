"""Reading by index: slices are views, index tensors gather, masks select.

A key is taken apart into a :class:`Region` (integers, slices, new axes), which is a view, and the
index tensors and masks on axes of that view. They follow NumPy: index tensors broadcast together;
their shape comes where the first of them stands, or first of all if something else (a slice, a new
axis, an ellipsis) stands between them; an integer beside an index tensor counts as one of them.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, final

import numpy as np

from polyback import array
from polyback.array import Array
from polyback.dtype import bool_
from polyback.errors import DTypeError, IndexOutOfBounds, InvalidArgument
from polyback.frontend.functions.creation import asarray, zeros
from polyback.frontend.functions.gathering import Gather, checked
from polyback.frontend.functions.searching import flat_nonzero
from polyback.frontend.op import Op, run
from polyback.frontend.tensor import Tensor
from polyback.lookup import Picked
from polyback.view import Shape, View, broadcast_shapes, check_shape

Item = int | slice | None
WHOLE = slice(None)


@final
class Region:
    """The basic part of a key: which part of a view it selects."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = items

    @property
    def is_whole(self) -> bool:
        """Does it select everything as it is?"""
        return all(item is WHOLE for item in self.items)

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


@final
class Index(Op):
    """y = x[region]"""

    def __init__(self, region: Region, shape: Shape) -> None:
        self.region, self.shape = region, shape

    def forward(self, x: Array) -> Array:
        return x.with_view(self.region.select(x.view))

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        return run(Replace(self.region, self.shape), None, g)


@final
class Replace(Op):
    """y = x (None: zeros) with y[region] = value"""

    def __init__(self, region: Region, shape: Shape) -> None:
        self.region, self.shape = region, shape

    def forward(self, x: Array | None, value: Array) -> Array:
        if x is None:
            result = array.empty(value.device, self.shape, value.dtype)
            result.assign(0)
        else:
            result = x.copy()
        result.with_view(self.region.select(result.view)).assign(value)
        return result

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        if operand == 1:
            return run(Index(self.region, self.shape), g)
        return run(self, g, zeros((), dtype=g.dtype, device=g.device))

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        x, value = tangents
        if value is None:
            assert x is not None
            value = zeros((), dtype=x.dtype, device=x.device)
        return run(self, x, value)


@final
class Key:
    """``x[key]``, taken apart and checked for a tensor like ``x``: a region, then index tensors and
    masks, each with the first axis of the region it stands for and the number of its axes."""

    def __init__(self, key: Any, x: Tensor) -> None:
        parts = [_plain(p, x) for p in (key if isinstance(key, tuple) else (key,))]
        used = sum(_axes(p) for p in parts)
        if used > x.ndim or sum(p is Ellipsis for p in parts) > 1:
            raise IndexOutOfBounds(f"[index] {_spell(parts)} does not fit {x.ndim} axes")
        if not any(p is Ellipsis for p in parts):
            parts.append(Ellipsis)
        items: list[Item] = []
        self.tensors: list[Tensor] = []
        self.groups: list[tuple[int, int]] = []
        advanced: list[tuple[int, int]] = []  # (place in the key, axis of the region)
        axis = kept = 0  # axis of x; of the region
        for place, part in enumerate(parts):
            if part is None:
                items.append(None)
                kept += 1
                continue
            if part is Ellipsis:
                many = x.ndim - used
                items += [WHOLE] * many
            elif isinstance(part, Tensor):
                many = _axes(part)
                self._add(part, x, axis, kept, many)
                advanced.append((place, kept))
                items += [WHOLE] * many
            elif isinstance(part, slice):
                many = 1
                items.append(_slice(part, x.shape[axis]))
            else:
                items.append(_position(part, axis, x.shape))
                advanced.append((place, kept))
                axis += 1
                continue
            axis, kept = axis + many, kept + many
        check_shape((1,) * kept, "index")
        self.region = Region(items)
        first, last = (advanced[0], advanced[-1]) if advanced else ((0, 0), (0, 0))
        together = last[0] - first[0] == len(advanced) - 1
        self.spot = first[1] if together else 0

    def _add(self, part: Tensor, x: Tensor, axis: int, kept: int, many: int) -> None:
        array.same_device("index", x.array, part.array)
        if part.dtype is bool_ and part.ndim:
            sizes = x.shape[axis : axis + many]
            if any(m not in (n, 0) for m, n in zip(part.shape, sizes, strict=True)):
                raise IndexOutOfBounds(
                    f"[index] the mask is {part.shape}; its axes of the tensor are {sizes}; want "
                    f"equal sizes (or 0, to choose nothing)"
                )
        elif part.dtype is not bool_:
            part = checked(part, x.shape[axis], "index", axis)
        self.tensors.append(part)
        self.groups.append((kept, many))

    @property
    def mask(self) -> Tensor | None:
        """The mask, if it is all there is beside the region, and not empty."""
        only = len(self.tensors) == 1 and self.tensors[0].dtype is bool_ and self.tensors[0].size
        return self.tensors[0] if only else None

    @property
    def is_distinct(self) -> bool:
        """Can no element be chosen twice?"""
        return self.mask is not None

    def resolve(self, shape: Shape) -> tuple[Picked, list[Tensor]]:
        """The places in the region, of this shape, and the index tensors. Masks become the
        positions of their true elements, whose number is read back."""
        indices = [flat_nonzero(t) if t.dtype is bool_ else t for t in self.tensors]
        common = broadcast_shapes(*(i.shape for i in indices), op="index")
        axes = len(shape) - sum(many for _, many in self.groups)
        check_shape((1,) * (axes + len(common)), "index")
        return Picked(tuple(self.groups), self.spot), indices


def _plain(part: Any, x: Tensor) -> Any:
    """``part`` with tensors in place of NumPy arrays, Python integers in place of others, and 0-d
    tensors in place of bools (which are masks without axes)."""
    if part is None or part is Ellipsis or isinstance(part, slice):
        return part
    if isinstance(part, (bool, np.bool_)):
        return asarray(bool(part), device=x.device)
    if isinstance(part, np.ndarray) and part.ndim and part.dtype.kind in "iub":
        part = asarray(part, device=x.device)
    if isinstance(part, Tensor) and (part.ndim or part.dtype is bool_):
        if part.dtype is not bool_ and not part.dtype.is_integer:
            raise DTypeError(f"[index] the index is {part.dtype}; want an integer type or bool")
        return part
    if isinstance(part, np.ndarray) and part.dtype == bool:
        return asarray(part, device=x.device)
    try:
        return operator.index(part)
    except TypeError:
        hint = ": use asarray(..., device=)" if isinstance(part, (list, tuple, np.ndarray)) else ""
        raise DTypeError(
            f"[index] got {type(part).__name__}; want integers, slices, None, ... or tensors of "
            f"integers or bool{hint}"
        ) from None


def _axes(part: Any) -> int:
    """How many axes of the tensor ``part`` stands for."""
    if part is None or part is Ellipsis:
        return 0
    return part.ndim if isinstance(part, Tensor) and part.dtype is bool_ else 1


def _slice(part: slice, n: int) -> slice:
    try:
        part.indices(n)
    except TypeError:
        raise DTypeError(f"[index] got {part}; want integers or None in a slice") from None
    except ValueError as error:
        raise InvalidArgument(f"[index] got {part}: {error}") from None
    return WHOLE if part == WHOLE else part


def _position(k: int, axis: int, shape: Shape) -> int:
    if not -shape[axis] <= k < shape[axis]:
        raise IndexOutOfBounds(f"[index] {k} is outside axis {axis} of size {shape[axis]}")
    return k % shape[axis]


def _spell(parts: list[Any]) -> str:
    def one(p: Any) -> str:
        return "..." if p is Ellipsis else f"tensor {p.shape}" if isinstance(p, Tensor) else str(p)

    return "[" + ", ".join(one(p) for p in parts) + "]"


def getitem(x: Tensor, key: Any) -> Tensor:
    """``x[key]``: integers, slices, None and ``...`` give a view; tensors of integers or bool give
    a copy of what they choose, as in NumPy, whose arrays are welcome too. A tensor of bool stands
    for as many axes as it has and chooses where it is true.

    Indexes are checked, and true elements counted, on the device; one number is read back.
    Raises IndexOutOfBounds, DTypeError, ShapeError.
    """
    parts = Key(key, x)
    if not parts.region.is_whole or not parts.tensors:
        x = run(Index(parts.region, x.shape), x)
    if not parts.tensors:
        return x
    places, indices = parts.resolve(x.shape)
    return run(Gather(places, x.shape), x, *indices)
