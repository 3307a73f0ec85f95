"""Convolution and its two gradients as one kind of sum.

All three are products of matrices, for each group

    c[m, n] = sum_k a[m, k] b[k, n]

whose columns n and terms k are triples of indexes, and whose b is not stored: b[k, n] is an element
of an image, or 0 where its row or column lies outside. Addresses, rows and columns are linear in
all indexes, so what differs between the three, with any strides, paddings, dilations and layouts,
is numbers.

===============  ======  =================================  =================================
way              m       n                                  k
===============  ======  =================================  =================================
conv2d           o       image, row, column of the result   channel, row, column of the window
conv2d_input     c       image, row, column of x            o, row, column of the window
conv2d_weight    o       channel, row, column of w          image, row, column of the result
===============  ======  =================================  =================================

The window's stride spreads the rows of x that one row of the window sees: in ``conv2d_input`` the
rows of x that are equal modulo the stride, and the rows of the window that reach them, are a sum of
their own, in which nothing is spread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import gcd, prod
from typing import final

from polyback.features import Window
from polyback.view import View

Triple = tuple[int, int, int]


@final
@dataclass(frozen=True)
class Line:
    """Row (or column) ``first + k * of_k + n * of_n`` of an image that has ``size`` of them, for
    index k of the terms and n of the columns."""

    first: int
    of_k: int
    of_n: int
    size: int

    def turned(self) -> Line:
        """With k for n."""
        return Line(self.first, self.of_n, self.of_k, self.size)

    def ends(self, count: int) -> tuple[int, int]:
        """The least and the most that indexes k below ``count`` add."""
        first, last = sorted((0, self.of_k * (count - 1)))
        return first, last

    def inside(self, n: int, count: int) -> tuple[int, int]:
        """(the first, the number) of the indexes k below ``count`` whose rows are inside."""
        start = self.first + self.of_n * n
        low = max(0, -(start // self.of_k))
        return low, max(0, min(count, (self.size - 1 - start) // self.of_k + 1) - low)


@final
@dataclass(frozen=True)
class Factor:
    """Where elements of a (or c) lie: strides of the group and of the line m, and along the three
    indexes of k (or n)."""

    group: int
    line: int
    steps: Triple
    offset: int = 0

    @property
    def first(self) -> tuple[int, int]:
        """The first two."""
        return self.group, self.line


@final
@dataclass(frozen=True)
class Image:
    """Where elements of b lie: strides of the group, of the first index of k and of n, and of the
    rows and columns."""

    group: int
    of_k: int
    of_n: int
    row: int
    column: int
    rows: Line
    columns: Line

    @property
    def offset(self) -> int:
        """Of the first row and column."""
        return self.rows.first * self.row + self.columns.first * self.column

    @property
    def along_k(self) -> Triple:
        """Strides along the three indexes of k."""
        return self.of_k, self.rows.of_k * self.row, self.columns.of_k * self.column

    @property
    def along_n(self) -> Triple:
        """Strides along the three indexes of n."""
        return self.of_n, self.rows.of_n * self.row, self.columns.of_n * self.column


@final
@dataclass(frozen=True)
class Sums:
    """One such product."""

    groups: int
    m: int
    n: Triple
    k: Triple
    a: Factor
    b: Image
    c: Factor

    @property
    def terms(self) -> int:
        """Terms of a sum."""
        return prod(self.k)

    @property
    def width(self) -> int:
        """Columns of the result."""
        return prod(self.n)


# Ways from the views of the result, of b and of a to the sums that make it.


@lru_cache(maxsize=1024)
def forward(out: View, x: View, w: View, window: Window, groups: int) -> tuple[Sums, ...]:
    """``conv2d``."""
    lines, channels, *sizes = w.shape[0] // groups, *w.shape[1:]
    wo, wc, wp, wq = w.strides
    xn, xc, xh, xw = x.strides
    on, oo, oi, oj = out.strides
    a = Factor(lines * wo, wo, (wc, wp, wq))
    b = Image(channels * xc, xc, xn, xh, xw, _seen(window, 0, x), _seen(window, 1, x))
    c = Factor(lines * oo, oo, (on, oi, oj))
    n, k = (out.shape[0], *out.shape[2:]), (channels, *sizes)
    return (Sums(groups, lines, _triple(n), _triple(k), a, b, c),)


@lru_cache(maxsize=1024)
def to_weight(out: View, x: View, g: View, window: Window, groups: int) -> tuple[Sums, ...]:
    """``conv2d_weight``."""
    lines, channels = out.shape[0] // groups, out.shape[1]
    wo, wc, wp, wq = out.strides
    xn, xc, xh, xw = x.strides
    gn, go, gi, gj = g.strides
    a = Factor(lines * go, go, (gn, gi, gj))
    height, width = (_seen(window, axis, x).turned() for axis in (0, 1))
    b = Image(channels * xc, xn, xc, xh, xw, height, width)
    c = Factor(lines * wo, wo, (wc, wp, wq))
    n, k = out.shape[1:], (g.shape[0], *g.shape[2:])
    return (Sums(groups, lines, _triple(n), _triple(k), a, b, c),)


@lru_cache(maxsize=1024)
def to_input(out: View, g: View, w: View, window: Window, groups: int) -> tuple[Sums, ...]:
    """``conv2d_input``: sums for all rows and columns modulo the stride."""
    found = []
    for u in range(min(window.stride[0], out.shape[2])):
        for v in range(min(window.stride[1], out.shape[3])):
            height, width = (_reached(window, a, s, out, w, g) for a, s in ((0, u), (1, v)))
            found.append(_one_input(out, g, w, window, groups, (u, v), height, width))
    return tuple(found)


def _one_input(
    out: View, g: View, w: View, window: Window, groups: int, start: tuple[int, int],
    height: Reached, width: Reached,
) -> Sums:  # fmt: skip
    lines, channels = w.shape[0] // groups, w.shape[1]
    wo, wc, wp, wq = w.strides
    xn, xc, xh, xw = out.strides
    gn, go, gi, gj = g.strides
    a = Factor(lines * wo, wc, (wo, height.step * wp, width.step * wq),
               height.tap * wp + width.tap * wq)  # fmt: skip
    b = Image(lines * go, go, gn, gi, gj, height.line, width.line)
    c = Factor(channels * xc, xc, (xn, window.stride[0] * xh, window.stride[1] * xw),
               start[0] * xh + start[1] * xw)  # fmt: skip
    n, k = (out.shape[0], height.count, width.count), (lines, height.taps, width.taps)
    return Sums(groups, channels, n, k, a, b, c)


@final
@dataclass(frozen=True)
class Reached:
    """Along one axis: ``count`` rows of x, and the ``taps`` rows of the window, from ``tap`` on and
    ``step`` apart, that reach them."""

    count: int
    tap: int
    step: int
    taps: int
    line: Line


def _reached(window: Window, a: int, start: int, x: View, w: View, g: View) -> Reached:
    """For rows ``start``, ``start + stride``, ... of x: row i of the result reaches row ``start +
    stride * n`` through row p of the window where ``i * stride = start + stride * n + padding - p *
    dilation``, for which p must be right modulo the stride."""
    stride, padding, dilation = window.stride[a], window.padding[a], window.dilation[a]
    size, length = x.shape[2 + a], w.shape[2 + a]
    step = stride // gcd(stride, dilation)
    taps = [p for p in range(min(step, length)) if (start + padding - p * dilation) % stride == 0]
    tap = taps[0] if taps else 0
    first = (start + padding - tap * dilation) // stride
    line = Line(first, -(step * dilation // stride), 1, g.shape[2 + a])
    count = len(range(tap, length, step)) if taps else 0
    return Reached(len(range(start, size, stride)), tap, step, count, line)


def _seen(window: Window, axis: int, x: View) -> Line:
    """Rows of x that the rows of the window see from each row of the result."""
    return Line(
        -window.padding[axis], window.dilation[axis], window.stride[axis], x.shape[2 + axis]
    )


def _triple(numbers: Sequence[int]) -> Triple:
    a, b, c = numbers
    return a, b, c


Way = Callable[[View, View, View, Window, int], tuple[Sums, ...]]  # of the result, of b and of a


def bare(view: View) -> View:
    """Without its offset, so that what is made of views is made once."""
    return View(view.shape, view.strides, 0)
