"""Windows over images: convolution, its gradients, and pooling.

All go over the taps of the window: for place (p, q) in it, the part of the image that it reads and
the part of the result that reads it are two slices of one shape. What lies outside the image is in
no slice. Groups are an axis of their own, so that the work at a tap is one product of matrices.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from polyback import scalar
from polyback.features import Window
from polyback.scalar import Reduction
from polyback_numpy_ref.operands import widened

Pair = tuple[int, int]


def taps(image: Pair, kernel: Pair, result: Pair, window: Window) -> Iterator[Any]:
    """((p, q), the slices of the image, the slices of the result), p and q in row-major order."""
    ways = [list(_taps(image[a], kernel[a], result[a], window, a)) for a in (0, 1)]
    for p, rows, upper in ways[0]:
        for q, columns, lower in ways[1]:
            yield (p, q), (..., rows, columns), (..., upper, lower)


def _taps(n: int, length: int, count: int, window: Window, axis: int) -> Iterator[Any]:
    step = window.stride[axis]
    for p in range(length):
        start = p * window.dilation[axis] - window.padding[axis]
        first = max(0, -(start // step))  # the first window that is inside here
        last = min(count - 1, (n - 1 - start) // step)
        if first <= last:
            low, high = start + first * step, start + last * step
            yield p, slice(low, high + 1, step), slice(first, last + 1)


def _grouped(x: Any, axis: int, groups: int) -> Any:
    """``x`` with ``axis`` split into (groups, the rest)."""
    shape = (*x.shape[:axis], groups, x.shape[axis] // groups, *x.shape[axis + 1 :])
    return widened(x).reshape(shape)


def _rows(x: Any) -> Any:
    """The last two axes as one."""
    return x.reshape(*x.shape[:-2], x.shape[-2] * x.shape[-1])


def conv2d(x: Any, w: Any, result: Pair, window: Window, groups: int) -> Any:
    """(N, C, H, W) and (O, C / groups, P, Q) to (N, O, *result)."""
    images, weights = _grouped(x, 1, groups), _grouped(w, 0, groups)
    y = np.zeros((len(x), groups, len(w) // groups, *result), images.dtype)
    with np.errstate(all="ignore"):
        for (p, q), inside, seen in taps(x.shape[2:], w.shape[2:], result, window):
            part = images[inside]
            y[seen] += (weights[..., p, q] @ _rows(part)).reshape(y[seen].shape)
    return y.reshape(len(x), len(w), *result)


def conv2d_input(g: Any, w: Any, image: Pair, window: Window, groups: int) -> Any:
    """The gradient (N, C, *image) for the images, when that of the result is ``g``."""
    slopes, weights = _grouped(g, 1, groups), _grouped(w, 0, groups)
    x = np.zeros((len(g), groups, w.shape[1], *image), slopes.dtype)
    with np.errstate(all="ignore"):
        for (p, q), inside, seen in taps(image, w.shape[2:], g.shape[2:], window):
            part = weights[..., p, q].swapaxes(-1, -2) @ _rows(slopes[seen])
            x[inside] += part.reshape(x[inside].shape)
    return x.reshape(len(g), groups * w.shape[1], *image)


def conv2d_weight(x: Any, g: Any, kernel: Pair, window: Window, groups: int) -> Any:
    """The gradient (O, C / groups, *kernel) for the weights, when that of the result is ``g``."""
    images, slopes = _grouped(x, 1, groups), _grouped(g, 1, groups)
    each = slopes.shape[2], images.shape[2]
    w = np.zeros((groups, *each, *kernel), images.dtype)
    with np.errstate(all="ignore"):
        for (p, q), inside, seen in taps(x.shape[2:], kernel, g.shape[2:], window):
            left, right = (np.moveaxis(_rows(a), 0, 2) for a in (slopes[seen], images[inside]))
            w[..., p, q] = _rows(left) @ _rows(right).swapaxes(-1, -2)
    return w.reshape(groups * each[0], each[1], *kernel)


def pool2d(op: Reduction, x: Any, kernel: Pair, result: Pair, window: Window) -> tuple[Any, Any]:
    """The sum or maximum under each window, and for a maximum its place, row * W + column."""
    shape = (*x.shape[:2], *result)
    total, place = np.zeros(shape, widened(x[:0]).dtype), np.full(shape, -1, np.int64)
    spots = np.arange(x.shape[2] * x.shape[3]).reshape(x.shape[2:])
    with np.errstate(all="ignore"):
        for _, inside, seen in taps(x.shape[2:], kernel, result, window):
            part, best, at = x[inside], total[seen], place[seen]
            if op is scalar.SUM:
                best += part
                continue
            wins = (at < 0) | (part > best) | (np.isnan(part) & ~np.isnan(best))
            best[...] = np.where(wins, part, best)
            at[...] = np.where(wins, spots[inside], at)
    return total, place
