"""Windows over images, as the contract writes them: every row and column by its number."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from polyback.features import Window
from polyback.view import Shape
from polyback_conformance.compare import Array

Pair = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """Sizes of a convolution, or of pooling (where ``outs`` is ``channels`` and groups do not
    matter). ``result`` None: as many windows as begin inside with the padding at both ends."""

    images: int
    channels: int
    size: Pair
    outs: int
    kernel: Pair
    window: Window = field(default_factory=Window)
    groups: int = 1
    result: Pair | None = None

    @property
    def count(self) -> Pair:
        """Height and width of the result."""
        if self.result is not None:
            return self.result
        w = self.window
        rows, columns = (
            (self.size[a] + 2 * w.padding[a] - w.dilation[a] * (self.kernel[a] - 1) - 1)
            // w.stride[a] + 1
            for a in (0, 1)
        )  # fmt: skip
        return rows, columns

    @property
    def shapes(self) -> tuple[Shape, Shape, Shape]:
        """Of the images, the weights and the result."""
        return (
            (self.images, self.channels, *self.size),
            (self.outs, self.channels // self.groups, *self.kernel),
            (self.images, self.outs, *self.count),
        )

    @property
    def each(self) -> tuple[int, int]:
        """Channels, and results, of one group."""
        return self.channels // self.groups, self.outs // self.groups

    def places(self, axis: int) -> Array:
        """[window, place in it] -> the row (axis 0) or column (axis 1) of the image."""
        w = self.window
        starts = np.arange(self.count[axis]) * w.stride[axis] - w.padding[axis]
        return np.asarray(starts[:, None] + np.arange(self.kernel[axis]) * w.dilation[axis])

    def inside(self, axis: int) -> Array:
        """Which places are in the image."""
        spots = self.places(axis)
        return np.asarray((spots >= 0) & (spots < self.size[axis]))

    def under(self, x: Array, absent: Any) -> Array:
        """(N, C, I, J, P, Q): what lies under each window; ``absent`` outside the image."""
        rows, columns = (np.clip(self.places(a), 0, max(self.size[a] - 1, 0)) for a in (0, 1))
        seen = x[:, :, rows[:, None, :, None], columns[None, :, None, :]]
        here = self.inside(0)[:, None, :, None] & self.inside(1)[None, :, None, :]
        return np.where(here, seen, absent)


def conv2d(geometry: Geometry, x: Array, w: Array) -> Array:
    """The sum over channels of the group and places in the window."""
    y = np.einsum("ngcijpq,gocpq->ngoij", _seen(geometry, x), _weights(geometry, w))
    return y.reshape(geometry.shapes[2])


def conv2d_input(geometry: Geometry, slope: Array, w: Array) -> Array:
    """Each product of a slope and a weight goes to where its window read."""
    terms = np.einsum("ngoij,gocpq->ngcijpq", _slopes(geometry, slope), _weights(geometry, w))
    shape = geometry.shapes[0]
    terms = terms.reshape(*shape[:2], *geometry.count, *geometry.kernel)
    here = geometry.inside(0)[:, None, :, None] & geometry.inside(1)[None, :, None, :]
    i, j, p, q = np.nonzero(here)
    x = np.zeros(shape, terms.dtype)
    every = slice(None)
    spots: Any = (every, every, geometry.places(0)[i, p], geometry.places(1)[j, q])
    np.add.at(x, spots, terms[:, :, i, j, p, q])
    return x


def conv2d_weight(geometry: Geometry, x: Array, slope: Array) -> Array:
    """The sum over images and windows."""
    w = np.einsum("ngcijpq,ngoij->gocpq", _seen(geometry, x), _slopes(geometry, slope))
    return w.reshape(geometry.shapes[1])


def _seen(geometry: Geometry, x: Array) -> Array:
    """What lies under each window, by groups."""
    under = geometry.under(x, x.dtype.type(0))
    return under.reshape(len(x), geometry.groups, geometry.each[0], *under.shape[2:])


def _weights(geometry: Geometry, w: Array) -> Array:
    return w.reshape(geometry.groups, *geometry.each[::-1], *geometry.kernel)


def _slopes(geometry: Geometry, slope: Array) -> Array:
    return slope.reshape(len(slope), geometry.groups, geometry.each[1], *geometry.count)


def random_geometry(rng: np.random.Generator, pooling: bool = False) -> Geometry:
    """Small sizes with every parameter at play; the result's shape pads the end at will."""

    def pair(low: int, high: int) -> Pair:
        first, second = (int(v) for v in rng.integers(low, high + 1, 2))
        return first, second

    groups = int(rng.choice([1, 1, 2, 3]))
    channels, outs = (groups * int(v) for v in rng.integers(1, 4, 2))
    kernel, stride, dilation = pair(1, 4), pair(1, 3), pair(1, 3)
    window = Window(stride, pair(0, 4), dilation)
    found = Geometry(int(rng.integers(1, 3)), channels, pair(3, 9), outs, kernel, window, groups)
    count = tuple(max(1, int(n + rng.integers(-1, 3))) for n in found.count)
    found = replace(found, result=(count[0], count[1]))
    return held(found) if pooling else found


def held(geometry: Geometry) -> Geometry:
    """The same with padding and result cut down until each window holds an element."""
    result, padding = list(geometry.count), list(geometry.window.padding)
    for a in (0, 1):
        padding[a] = min(padding[a], (geometry.kernel[a] - 1) * geometry.window.dilation[a])
        while True:
            window = replace(geometry.window, padding=(padding[0], padding[1]))
            now = replace(geometry, window=window, result=(result[0], result[1]))
            full = np.asarray(now.inside(a).any(1))
            if full.all():
                break
            if full[0] and result[a] > 1:
                result[a] -= 1
            else:
                padding[a] -= 1
    return replace(now, outs=geometry.channels, groups=1)
