"""Ways to lay an array out in a flat buffer: the product that every kernel is run over.

A :class:`Layout` turns a shape into a :class:`~polyback.view.View` whose lowest touched element has
index ``offset``. Layouts with ``broadcast`` have axes of stride 0 and are for inputs only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from polyback.device import Caps
from polyback.view import Shape, View

# Strides that no valid walk would use: an axis of size 1 is never stepped along.
ODD_STRIDES: Final = (977, -13, 0, 1 << 40)


@dataclass(frozen=True)
class Layout:
    """One way to place the elements of an array."""

    name: str
    # Which axis runs fastest; "channels": axis 1, then the others row-major.
    order: Literal["row", "column", "swapped", "rotated", "channels"] = "row"
    step: int = 1  # elements from one neighbour to the next on the fastest axis
    gap: int = 0  # unused elements after each run of the fastest axis
    flip: Literal["", "first", "last", "all"] = ""  # axes with a negative stride
    # Axes with stride 0; "lead": all but the last.
    broadcast: Literal["", "first", "last", "odd", "lead", "all"] = ""
    offset: int = 0  # elements before the first one: breaks the alignment of the start
    odd_ones: bool = False  # axes of size 1 get strides that must never matter

    def __str__(self) -> str:
        return self.name

    def view(self, shape: Shape) -> View:
        """The view of ``shape``; no touched element has an index below ``self.offset``."""
        strides = self._magnitudes(shape)
        offset = self.offset
        for axis in self._chosen(self.flip, len(shape)):
            if shape[axis] > 0:
                offset += (shape[axis] - 1) * strides[axis]
                strides[axis] = -strides[axis]
        if self.odd_ones:
            for axis, n in enumerate(shape):
                if n == 1:
                    strides[axis] = ODD_STRIDES[axis % len(ODD_STRIDES)]
        return View(shape, tuple(strides), offset)

    def _magnitudes(self, shape: Shape) -> list[int]:
        strides = [0] * len(shape)
        still = self._chosen(self.broadcast, len(shape))
        run, first = self.step, True
        for axis in self._fastest_first(len(shape)):
            if axis in still:
                continue
            strides[axis] = run
            run *= max(shape[axis], 1)
            if first:
                run, first = run + self.gap, False
        return strides

    def _fastest_first(self, ndim: int) -> list[int]:
        axes = list(range(ndim))
        if self.order == "column":
            return axes
        axes.reverse()
        if self.order == "swapped" and ndim > 1:
            axes[0], axes[1] = axes[1], axes[0]
        elif self.order == "rotated" and ndim > 1:
            axes.insert(0, axes.pop())
        elif self.order == "channels" and ndim > 1:
            axes.insert(0, axes.pop(-2))
        return axes

    @staticmethod
    def _chosen(which: str, ndim: int) -> set[int]:
        if which == "all":
            return set(range(ndim))
        if which == "first":
            return {0} if ndim else set()
        if which == "last":
            return {ndim - 1} if ndim else set()
        if which == "lead":
            return set(range(ndim - 1))
        return {a for a in range(ndim) if a % 2} if which == "odd" else set()


CONTIGUOUS: Final = Layout("contiguous")
OFFSET: Final = Layout("offset", offset=3)
TRANSPOSED: Final = Layout("transposed", order="column")
STEPPED: Final = Layout("stepped", step=2, offset=1)
REVERSED: Final = Layout("reversed", flip="last")
BROADCAST: Final = Layout("broadcast_all", broadcast="all")
ONE_ROW: Final = Layout("one_row", broadcast="lead", offset=1)  # weights of a norm
CHANNELS_LAST: Final = Layout("channels_last", order="channels", offset=1)  # images as (N, H, W, C)

OUTPUT_LAYOUTS: Final = (
    CONTIGUOUS,
    OFFSET,
    TRANSPOSED,
    Layout("swapped", order="swapped"),
    Layout("rotated", order="rotated", offset=2),
    STEPPED,
    Layout("padded", gap=5, offset=1),
    REVERSED,
    Layout("flipped_all", flip="all", offset=4),
    Layout("flipped_first", flip="first"),
    Layout("odd_ones", odd_ones=True),
    Layout("mixed", order="column", step=3, gap=2, flip="all", offset=5),
)
LAYOUTS: Final = (
    *OUTPUT_LAYOUTS,
    Layout("broadcast_first", broadcast="first", offset=2),
    Layout("broadcast_last", broadcast="last"),
    Layout("broadcast_odd", broadcast="odd", order="column"),
    BROADCAST,
    Layout("broadcast_flipped", broadcast="first", flip="last", step=2),
)
DENSE_LAYOUTS: Final = (CONTIGUOUS, OFFSET)

SHAPES: Final[tuple[Shape, ...]] = (
    (), (1,), (7,), (33,), (4, 5), (1, 6), (6, 1), (17, 31), (3, 4, 5), (2, 1, 3), (3, 64, 2),
    (2, 3, 1, 4), (2, 2, 3, 2, 3), (2, 1, 2, 3, 2, 2), (2, 1, 2, 1, 2, 1, 2, 3),
)  # fmt: skip
EMPTY_SHAPES: Final[tuple[Shape, ...]] = ((0,), (3, 0), (0, 4, 2), (2, 0, 3, 0))
SMALL_SHAPES: Final[tuple[Shape, ...]] = (
    (4, 5), (2, 3, 4), (19,), (), (3, 1, 5), (5, 9), (1,), (2, 2, 2, 3), (2, 1, 2, 1, 3, 2),
)  # fmt: skip
TAILS: Final[tuple[Shape, ...]] = tuple((n,) for n in range(1, 34))


def inputs_for(caps: Caps) -> tuple[Layout, ...]:
    """The layouts that a device is given inputs in."""
    return LAYOUTS if caps.layouts == "strided" else DENSE_LAYOUTS


def outputs_for(caps: Caps) -> tuple[Layout, ...]:
    """The layouts that a device is given outputs in."""
    return OUTPUT_LAYOUTS if caps.layouts == "strided" else DENSE_LAYOUTS


def shapes_for(caps: Caps, shapes: tuple[Shape, ...] = SHAPES) -> tuple[Shape, ...]:
    """``shapes`` that keep the device's limit of axes, and one with as many axes as it allows."""
    most = min(caps.limits.max_ndim, 32)
    widest = tuple(2 if k % 4 == 0 else 1 for k in range(most))
    kept = tuple(s for s in shapes if len(s) <= most)
    return (*kept, widest) if shapes is SHAPES else kept
