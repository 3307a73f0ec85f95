"""Convolution as a product of matrices, pooling as a reduction, both over a view of windows.

The image is first placed on a canvas that is as large as the windows reach, filled with what
absence counts as. On it the windows are a view with an axis for the windows and one for the places
in them, in each direction; elements under several windows appear several times, without a copy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from polyback import array, scalar
from polyback.array import Array
from polyback.dtype import bool_, int64
from polyback.features import Window
from polyback.program import Number
from polyback.scalar import MAX, MIN, Reduction
from polyback.view import View

Pair = tuple[int, int]


def _reach(kernel: Pair, size: Pair, window: Window) -> Pair:
    """Rows and columns from the start of the first window to the end of the last."""
    rows, columns = (
        (size[a] - 1) * window.stride[a] + (kernel[a] - 1) * window.dilation[a] + 1 for a in (0, 1)
    )
    return rows, columns


def _placed(x: Array, size: Pair, start: Sequence[int], step: Pair, blank: Number) -> Array:
    """A canvas of ``size`` with row k of ``x`` at ``start + k * step``, likewise for columns;
    ``x`` itself where it covers all of it."""
    whole, part = View.contiguous((*x.shape[:2], *size)), x.view
    for a in (0, 1):
        first = max(0, -(start[a] // step[a]))  # the first row of x that is not before the canvas
        last = min(x.shape[2 + a] - 1, (size[a] - 1 - start[a]) // step[a])
        count = max(0, last - first + 1)
        part = part.slice(2 + a, first if count else 0, count)
        whole = whole.slice(2 + a, start[a] + first * step[a] if count else 0, count, step[a])
    if part.shape[2:] == size:
        return x.with_view(part)
    canvas = array.full(x.device, (*x.shape[:2], *size), blank, x.dtype).copy()
    if part.size:
        canvas.with_view(whole).assign(x.with_view(part))
    return canvas


def _under(canvas: Array, kernel: Pair, size: Pair, window: Window) -> Array:
    """(N, C, I, J, P, Q): the element at (p, q) of window (i, j)."""
    view = canvas.view
    rows, columns = view.strides[2:]
    strides = (
        *view.strides[:2], rows * window.stride[0], columns * window.stride[1],
        rows * window.dilation[0], columns * window.dilation[1],
    )  # fmt: skip
    return canvas.with_view(View((*view.shape[:2], *size, *kernel), strides, view.offset))


def _windows(x: Array, kernel: Pair, size: Pair, window: Window, blank: Number) -> Array:
    """What lies under each window, with ``blank`` outside of ``x``."""
    canvas = _placed(x, _reach(kernel, size, window), window.padding, (1, 1), blank)
    return _under(canvas, kernel, size, window)


def _moved(x: Array, order: Sequence[int]) -> Array:
    return x.with_view(x.view.permute(order))


def _times(windows: Array, w: Array, groups: int) -> Array:
    """Windows (N, C, I, J, P, Q) times weights (O, C / groups, P, Q), to (N, O, I, J)."""
    n, channels, rows, columns, *kernel = windows.shape
    terms = channels // groups * math.prod(kernel)
    outs = w.shape[0] // groups
    right = _moved(windows, (0, 1, 4, 5, 2, 3)).reshape((n, groups, terms, rows * columns))
    left = w.reshape((1, groups, outs, terms))
    return array.matmul(left, right).reshape((n, groups * outs, rows, columns))


def conv2d(x: Array, w: Array, window: Window, groups: int, size: Pair) -> Array:
    """Rows of weights times columns of windows."""
    kernel = w.shape[2], w.shape[3]
    return _times(_windows(x, kernel, size, window, 0.0), w, groups)


def conv2d_input(g: Array, w: Array, window: Window, groups: int, size: Pair) -> Array:
    """The convolution, with step 1, of slopes set ``stride`` apart with the weights turned round
    and their channels and results exchanged."""
    kernel = w.shape[2], w.shape[3]
    step = Window((1, 1), (0, 0), window.dilation)
    start = [(kernel[a] - 1) * window.dilation[a] - window.padding[a] for a in (0, 1)]
    canvas = _placed(g, _reach(kernel, size, step), start, window.stride, 0.0)
    channels, outs = w.shape[1], w.shape[0] // groups
    turned = w.with_view(w.view.flip((2, 3))).reshape((groups, outs, channels, *kernel))
    turned = _moved(turned, (0, 2, 1, 3, 4)).reshape((groups * channels, outs, *kernel))
    return _times(_under(canvas, kernel, size, step), turned, groups)


def conv2d_weight(x: Array, g: Array, window: Window, groups: int, size: Pair) -> Array:
    """Rows of slopes times rows of windows, over all images and windows at once."""
    n, channels, outs = x.shape[0], x.shape[1] // groups, g.shape[1] // groups
    rows, columns = g.shape[2:]
    count = n * rows * columns
    windows = _windows(x, size, (rows, columns), window, 0.0)
    right = _moved(windows, (0, 2, 3, 1, 4, 5)).reshape((count, groups, channels * math.prod(size)))
    left = _moved(g, (1, 0, 2, 3)).reshape((groups, outs, count))
    product = array.matmul(left, _moved(right, (1, 0, 2)))
    return product.reshape((groups * outs, channels, *size))


def pool2d(
    op: Reduction, x: Array, kernel: Pair, window: Window, size: Pair, places: bool
) -> tuple[Array, Array | None]:
    """The reduction of what is under each window; the place of a maximum is the least of those
    where it is found."""
    blank = -math.inf if op is MAX else 0.0
    under = _windows(x, kernel, size, window, blank)
    shape, axes = (*x.shape[:2], *size), (4, 5)
    value = array.reduce(op, under, axes)
    if not places:
        return value.reshape(shape), None
    nan = array.apply(scalar.ISNAN, (under,), x.dtype)
    hit = array.apply(scalar.LOGICAL_OR, (array.equal(under, value), nan), bool_)
    n = x.shape[2] * x.shape[3]
    spots = array.iota(x.device, n).reshape((1, 1, *x.shape[2:]))
    spots = _windows(spots, kernel, size, window, n)  # what is outside comes last
    first = array.reduce(MIN, array.where(hit, spots, n, int64), axes)
    return value.reshape(shape), first.reshape(shape)
