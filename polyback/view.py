"""View: how a flat buffer is read as an array. Pure arithmetic on tuples of Python integers.

``element(i0, i1, ...) = buffer[offset + i0 * strides[0] + i1 * strides[1] + ...]``

Strides and offset count elements, may be negative or zero, and never overflow because they are
Python integers. Reshaping without a copy, transposing, expanding, flipping and slicing only make
another View; no device is asked.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod
from typing import Any, Final, final

from polyback.errors import IndexOutOfBounds, InvalidArgument, ShapeError

Shape = tuple[int, ...]
MAX_NDIM: Final = 32
MAX_ELEMENTS: Final = 2**63 - 1


def check_shape(shape: int | Sequence[int], op: str) -> Shape:
    """``shape`` as a tuple of Python ints; one integer is one axis. Raises ShapeError for a
    negative size, more than 32 axes, or a product of sizes of 2**63 or more."""
    try:
        sizes = integers(shape)
    except TypeError:
        raise InvalidArgument(f"[{op}] got shape {shape!r}; want a sequence of integers") from None
    if any(n < 0 for n in sizes):
        raise ShapeError(f"[{op}] sizes must not be negative; got {sizes}")
    if len(sizes) > MAX_NDIM:
        raise ShapeError(f"[{op}] at most {MAX_NDIM} axes; got {len(sizes)}")
    if prod(n for n in sizes if n) > MAX_ELEMENTS:  # also where another size is 0
        raise ShapeError(f"[{op}] shape {sizes} has 2**63 elements or more")
    return sizes


def integers(given: int | Sequence[int]) -> tuple[int, ...]:
    """One integer or several, of any integer type, as Python ints. Raises TypeError."""
    if isinstance(given, (tuple, list)):  # the usual case first
        return tuple(operator.index(n) for n in given)
    one_or_more: Any = given  # only operator.index can say which
    try:
        return (operator.index(one_or_more),)
    except TypeError:
        return tuple(operator.index(n) for n in one_or_more)


def normalize_axis(axis: int, ndim: int, op: str) -> int:
    """``axis`` counted from the front. Raises IndexOutOfBounds outside [-ndim, ndim)."""
    try:
        axis = operator.index(axis)
    except TypeError:
        raise InvalidArgument(f"[{op}] got axis {axis!r}; want an integer") from None
    if not -ndim <= axis < ndim:
        raise IndexOutOfBounds(f"[{op}] axis {axis} is outside [{-ndim}, {ndim}) of {ndim} axes")
    return axis % ndim


def normalize_axes(axes: int | Sequence[int] | None, ndim: int, op: str) -> tuple[int, ...]:
    """Sorted, distinct axes; None means all. Raises IndexOutOfBounds or InvalidArgument."""
    if axes is None:
        return tuple(range(ndim))
    try:
        given = integers(axes)
    except TypeError:
        raise InvalidArgument(f"[{op}] got axis {axes!r}; want integers") from None
    result = tuple(sorted(normalize_axis(a, ndim, op) for a in given))
    if len(set(result)) != len(result):
        raise InvalidArgument(f"[{op}] an axis is named twice in {given}")
    return result


def broadcast_shapes(*shapes: Shape, op: str = "broadcast") -> Shape:
    """The shape that all ``shapes`` broadcast to. Raises ShapeError naming them if there is none,
    or if it has 2**63 elements or more."""
    return _joint_shape(shapes, op)


@lru_cache(maxsize=4096)
def _joint_shape(shapes: tuple[Shape, ...], op: str) -> Shape:
    result: list[int] = []
    for back in range(max((len(s) for s in shapes), default=0), 0, -1):
        sizes = {s[-back] for s in shapes if len(s) >= back} - {1}
        if len(sizes) > 1:
            listed = " and ".join(str(s) for s in dict.fromkeys(shapes))
            raise ShapeError(
                f"[{op}] shapes {listed} do not broadcast: sizes {sorted(sizes)} meet "
                f"{back} from the end; want equal sizes or 1"
            )
        result.append(sizes.pop() if sizes else 1)
    if prod(result) > MAX_ELEMENTS:
        raise ShapeError(f"[{op}] shape {tuple(result)} has 2**63 elements or more")
    return tuple(result)


def row_major(shape: Shape) -> tuple[int, ...]:
    """Strides of a contiguous array: the last axis is 1 apart."""
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


@final
@dataclass(frozen=True)
class View:
    """Shape, strides and offset, all in elements."""

    shape: Shape
    strides: tuple[int, ...]
    offset: int = 0

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:  # views are keys of caches at every launch
        return hash((self.shape, self.strides, self.offset))

    @staticmethod
    @lru_cache(maxsize=4096)
    def contiguous(shape: Shape) -> View:
        """A row-major view from the buffer's start."""
        return View(shape, row_major(shape))

    @cached_property
    def size(self) -> int:
        """The number of elements."""
        return prod(self.shape)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @cached_property
    def is_contiguous(self) -> bool:
        """Row-major and dense; strides of axes of size 1, and of empty views, do not matter."""
        step = 1
        for n, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if n != 1 and stride != step:
                return self.size == 0
            step *= n
        return True

    @cached_property
    def bounds(self) -> tuple[int, int]:
        """The lowest and one past the highest element touched; (0, 0) if there is none."""
        if self.size == 0:
            return (0, 0)
        reach = [(n - 1) * s for n, s in zip(self.shape, self.strides, strict=True)]
        low = self.offset + sum(r for r in reach if r < 0)
        high = self.offset + sum(r for r in reach if r > 0)
        return (low, high + 1)

    def check_within(self, length: int) -> None:
        """Raises InvalidArgument unless every element lies in a buffer of ``length`` elements."""
        low, high = self.bounds
        if low < 0 or high > length:
            raise InvalidArgument(
                f"[view] {self} touches elements [{low}, {high}) of a buffer of {length}"
            )

    @cached_property
    def has_overlap(self) -> bool:
        """True if two indexes may reach one element (a conservative test: writing needs False)."""
        reach = 0
        axes = ((abs(s), n) for n, s in zip(self.shape, self.strides, strict=True) if n > 1)
        for stride, n in sorted(axes):
            if stride <= reach:
                return self.size > 0
            reach += stride * (n - 1)
        return False

    def permute(self, axes: Sequence[int]) -> View:
        """Axis ``k`` of the result is axis ``axes[k]``."""
        return _permuted(self, tuple(axes))

    def expand(self, shape: Shape) -> View:
        """Broadcast to ``shape``: new axes and axes of size 1 get stride 0."""
        return self if shape == self.shape else _expanded(self, shape)

    def flip(self, axes: Sequence[int]) -> View:
        """Reverse ``axes``."""
        strides, offset = list(self.strides), self.offset
        for a in axes:
            offset += (self.shape[a] - 1) * strides[a] if self.shape[a] else 0
            strides[a] = -strides[a]
        return View(self.shape, tuple(strides), offset)

    def slice(self, axis: int, start: int, length: int, step: int = 1) -> View:
        """``length`` elements of ``axis`` from ``start``, ``step`` apart."""
        shape, strides = list(self.shape), list(self.strides)
        offset = self.offset + (start * strides[axis] if length else 0)
        shape[axis], strides[axis] = length, strides[axis] * step
        return View(tuple(shape), tuple(strides), offset)

    def drop(self, axis: int) -> View:
        """Without ``axis``, at its index 0."""
        keep = [a for a in range(self.ndim) if a != axis]
        return self.permute(keep)

    def insert(self, axis: int) -> View:
        """With a new axis of size 1 before ``axis``."""
        shape = (*self.shape[:axis], 1, *self.shape[axis:])
        return View(shape, (*self.strides[:axis], 0, *self.strides[axis:]), self.offset)

    def append(self, count: int) -> View:
        """With ``count`` new axes of size 1 at the end."""
        return View(self.shape + (1,) * count, self.strides + (0,) * count, self.offset)

    def merge(self, start: int, stop: int) -> View | None:
        """Axes ``start`` to ``stop`` as one, in row-major order; None if one stride cannot walk
        them."""
        inner = View(self.shape[start:stop], self.strides[start:stop])
        one = inner.reshape((inner.size,))
        if one is None:
            return None
        shape, strides = self.shape, self.strides
        return View(
            (*shape[:start], *one.shape, *shape[stop:]),
            (*strides[:start], *one.strides, *strides[stop:]),
            self.offset,
        )

    def diagonal(self, offset: int) -> View:
        """The diagonal of the last two axes that starts at column ``offset`` (below 0: at row
        ``-offset``), as one axis."""
        *batch, rows, columns = self.shape
        *strides, down, right = self.strides
        row, column = max(-offset, 0), max(offset, 0)
        length = max(min(rows - row, columns - column), 0)
        start = self.offset + (row * down + column * right if length else 0)
        return View((*batch, length), (*strides, down + right), start)

    def reshape(self, shape: Shape) -> View | None:
        """The same elements in row-major order with another shape; None if that needs a copy."""
        if self.is_contiguous:
            dense = View.contiguous(shape)
            return View(shape, dense.strides, self.offset) if self.offset else dense
        runs = _runs(self)
        strides: list[int] = []
        for n in reversed(shape):
            if n == 1:
                strides.append(0)
                continue
            while runs and runs[-1][0] == 1:
                runs.pop()
            size, stride = runs[-1]
            if size % n:
                return None
            strides.append(stride)
            runs[-1] = (size // n, stride * n)
        return View(shape, tuple(reversed(strides)), self.offset)


@lru_cache(maxsize=4096)
def _permuted(view: View, axes: tuple[int, ...]) -> View:
    shape, strides = view.shape, view.strides
    return View(tuple(shape[a] for a in axes), tuple(strides[a] for a in axes), view.offset)


@lru_cache(maxsize=4096)  # a layer asks for the same again at every call
def _expanded(view: View, shape: Shape) -> View:
    new = len(shape) - view.ndim
    if new < 0 or any(a != b and a != 1 for a, b in zip(view.shape, shape[new:], strict=True)):
        raise ShapeError(f"[broadcast_to] {view.shape} does not broadcast to {shape}")
    old = zip(view.shape, view.strides, shape[new:], strict=True)
    strides = (0,) * new + tuple(0 if a != b else s for a, s, b in old)
    return View(shape, strides, view.offset)


def _runs(view: View) -> list[tuple[int, int]]:
    """(size, stride) of maximal groups of axes that one stride walks, outermost first."""
    runs: list[tuple[int, int]] = []
    for n, s in zip(view.shape, view.strides, strict=True):
        if n == 1:
            continue
        if runs and runs[-1][1] == n * s:
            runs[-1] = (runs[-1][0] * n, s)
        else:
            runs.append((n, s))
    return runs
