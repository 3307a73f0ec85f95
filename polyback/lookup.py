"""Where index arrays point: their elements along one axis of a view, as gather and scatter walk it.

:class:`Along` is one index array with an axis for every axis of the array; :class:`Picked` is any
number of index arrays that stand for some of the axes together. Both turn into (view, index, axis):
the array seen through ``view`` and walked along ``axis`` holds what the index arrays choose.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Final, final

from polyback import array, structured
from polyback.array import Array
from polyback.dtype import int64
from polyback.scalar import ADD, FLOOR_DIVIDE, MAX, MIN, MULTIPLY, REMAINDER
from polyback.structured import Mode
from polyback.view import Shape, View, broadcast_shapes

Spots = tuple[View, Array, int]
FEW: Final = 4096


@final
@dataclass(frozen=True)
class Along:
    """Element i stands for element i with ``index[i]`` in the place of its entry at ``axis``."""

    axis: int
    count = 1  # of index arrays

    def shape(self, source: Shape, indices: Sequence[Array]) -> Shape:
        """The shape of what is chosen."""
        return indices[0].shape

    def find(self, x: Array, indices: Sequence[Array]) -> Spots:
        """Where it lies in ``x``."""
        return x.view, indices[0], self.axis


@final
@dataclass(frozen=True)
class Picked:
    """Index arrays that broadcast together. Number k holds row-major positions in the axes
    ``first, first + 1, ...`` of ``groups[k] = (first, how many)``; their common shape comes after
    the first ``spot`` of the axes that are left."""

    groups: tuple[tuple[int, int], ...]
    spot: int

    @property
    def count(self) -> int:
        """The number of index arrays."""
        return len(self.groups)

    def shape(self, source: Shape, indices: Sequence[Array]) -> Shape:
        """The shape of what is chosen."""
        rest = [source[a] for a in self._others(len(source))]
        common = broadcast_shapes(*(i.shape for i in indices), op="index")
        return (*rest[: self.spot], *common, *rest[self.spot :])

    def find(self, x: Array, indices: Sequence[Array]) -> Spots:
        """Where it lies in ``x``: along one axis where one stride walks all that are indexed, with
        one position for all elements of the others; else somewhere in a stretch of memory."""
        axes, others, spot = self._axes(), self._others(x.view.ndim), self.spot
        view = x.view.permute(others[:spot] + axes + others[spot:])
        merged = view.merge(spot, spot + len(axes))
        if merged is None:
            return self._scattered(x, indices)
        common = broadcast_shapes(*(i.shape for i in indices), op="index")
        position = _wide(indices[0], 0, common)
        for index, (first, many) in zip(indices[1:], self.groups[1:], strict=True):
            scale = prod(x.shape[first : first + many])
            position = _add(_scaled(position, scale), _wide(index, 0, common))
        n = prod(common)
        shape = (*merged.shape[:spot], n, *merged.shape[spot + 1 :])
        return merged, _wide(position.reshape((n,)), merged.ndim - spot - 1, shape), spot

    def _axes(self) -> list[int]:
        return [a for first, many in self.groups for a in range(first, first + many)]

    def _others(self, ndim: int) -> list[int]:
        axes = self._axes()
        return [a for a in range(ndim) if a not in axes]

    def _scattered(self, x: Array, indices: Sequence[Array]) -> Spots:
        """Every element by its place in the stretch of memory that ``x`` touches."""
        view, shape = x.view, self.shape(x.shape, indices)
        others = self._others(view.ndim)
        after = len(others) - self.spot
        low, high = view.bounds
        place = array.full(x.device, shape, view.offset - low, int64)
        for index, group in zip(indices, self.groups, strict=True):
            for part in _steps(_wide(index, after, shape), view, *group):
                place = _add(place, part)
        for k, a in enumerate(others):
            line = array.iota(x.device, view.shape[a])
            behind = len(others) - 1 - k + (len(shape) - len(others) if k < self.spot else 0)
            place = _add(place, _scaled(_wide(line, behind, shape), view.strides[a]))
        return View((high - low,), (1,), low), place.reshape((place.view.size,)), 0


Places = Along | Picked


def _steps(index: Array, view: View, first: int, many: int) -> Iterator[Array]:
    """How far row-major positions in ``many`` axes from ``first`` on lie into the buffer, as parts
    of a sum: one where one stride walks these axes, else one for each axis."""
    merged = view.merge(first, first + many)
    if merged is not None:
        yield _scaled(index, merged.strides[first])
        return
    for a in range(first + many - 1, first - 1, -1):
        n = view.shape[a]
        yield _scaled(array.apply(REMAINDER, (index, n), int64), view.strides[a])
        index = array.apply(FLOOR_DIVIDE, (index, n), int64)


def _wide(x: Array, behind: int, shape: Shape) -> Array:
    """``x`` with ``behind`` axes more at its end, broadcast to ``shape``: all operands of one shape
    make one program."""
    if x.shape == shape:
        return x
    return x.with_view(x.view.append(behind).expand(shape))


def _scaled(x: Array, factor: int) -> Array:
    return x if factor == 1 else array.apply(MULTIPLY, (x, factor), int64)


def _add(a: Array, b: Array) -> Array:
    return array.apply(ADD, (a, b), int64)


def extremes(index: Array) -> tuple[int, int]:
    """The smallest and the largest number of an array of integers, which is not empty. Reading a
    few thousand back costs no more than reading two, and spares two reductions."""
    if index.view.size <= FEW:
        values = index.numpy()
        return int(values.min()), int(values.max())
    axes = tuple(range(index.view.ndim))
    low, high = (array.reduce(op, index, axes).numpy().item() for op in (MIN, MAX))
    return low, high


def read(x: Array, places: Places, indices: Sequence[Array]) -> Array:
    """A copy of what ``indices`` choose."""
    view, index, axis = places.find(x, indices)
    shape = places.shape(x.shape, indices)
    return structured.gather(x.with_view(view), index, axis).reshape(shape)


def write(x: Array, places: Places, indices: Sequence[Array], values: Array, mode: Mode) -> None:
    """Write ``values`` (broadcast) to what ``indices`` choose, in place and in row-major order."""
    shape = places.shape(x.shape, indices)
    view, index, axis = places.find(x, indices)
    wide = _wide(values, 0, shape).reshape(index.shape)
    structured.scatter(x.with_view(view), index, wide, axis, mode)
