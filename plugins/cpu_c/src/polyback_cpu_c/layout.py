"""How the operands of a launch walk through memory (``csrc/vm.h``: pb_walk), made once per
combination of shapes and strides.

Axes of size 1 vanish; axes are put in the order of the output's strides and its negative strides
are turned round, because the order in which elements are made is free; and each operand on its own
merges axes that one stride serves.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Final, final

Strides = tuple[int, ...]
DIRECT, SPLAT, PERIODIC, STRIDED, STREAMED = range(5)  # enum pb_kind
LARGEST_PERIOD: Final = 4096  # elements: a register of 16-32 KB
LARGE: Final = 16 << 20  # bytes of an output worth storing around the cache
TILED_FROM: Final = 1 << 15  # elements
LONG_RUN: Final = 256  # elements worth a memcpy of their own


@final
@dataclass(frozen=True)
class Layout:
    """``walks`` for C, the number of elements, and what turned axes add to each address."""

    walks: bytes
    size: int
    shifts: tuple[int, ...] | None  # bytes, per array operand; None: all 0
    large: bool  # an output that can be streamed if it is not also an input
    copy: bytes | None = None  # pb_copy, where a copy program has a faster way than walks


def merge(shape: Sequence[int], steps: Sequence[int]) -> list[tuple[int, int]]:
    """(size, step) of maximal groups of axes that one step walks, outermost first."""
    axes: list[tuple[int, int]] = []
    for n, step in zip(shape, steps, strict=True):
        if n == 1:
            continue
        if axes and axes[-1][1] == n * step:
            axes[-1] = (axes[-1][0] * n, step)
        else:
            axes.append((n, step))
    return axes


def walk(shape: Sequence[int], steps: Sequence[int], size: int, reads: bool) -> list[int]:
    """One operand's pb_walk; ``size`` is its item size, ``steps`` count bytes."""
    axes = merge(shape, steps)
    if not axes or axes == [(axes[0][0], size)]:
        return [DIRECT, 1, 0]
    if reads and all(step == 0 for _, step in axes):
        return [SPLAT, 1, 1, 1, 0]
    kind, period = STRIDED, prod(n for n, _ in axes[1:])
    if reads and axes[0][1] == 0 and period <= LARGEST_PERIOD:
        kind, axes = PERIODIC, axes[1:]
    return [kind, period, len(axes), *(number for axis in axes for number in axis)]


def pack(size: int, walks: Sequence[Sequence[int]]) -> bytes:
    """The layout as C reads it: size, where each walk starts, the walks."""
    words = [size]
    start = 1 + len(walks)
    for one in walks:
        words.append(start)
        start += len(one)
    words += [number for one in walks for number in one]
    return struct.pack(f"={len(words)}q", *words)


NUMBER: Final = [SPLAT, 1, 0]  # the word of the launch is the value


def order_by(strides: Strides) -> list[int]:
    """Axes from the largest stride to the smallest; equal ones keep their order."""
    return sorted(range(len(strides)), key=lambda a: -abs(strides[a]))


def row_major_steps(shape: Sequence[int]) -> list[int]:
    """Strides of a dense array, in elements."""
    steps = [1] * len(shape)
    for a in range(len(shape) - 2, -1, -1):
        steps[a] = steps[a + 1] * max(shape[a + 1], 1)
    return steps


@final
@dataclass(frozen=True)
class Request:
    """What a layout is made for. ``ins`` holds None for numbers; ``stored``: outputs to be written
    after the whole block has been read; ``streamed``: outputs to be stored around the cache;
    ``order``: of the axes, where it is not free; ``copies``: the program only copies."""

    shape: tuple[int, ...]
    ins: Sequence[Strides | None]
    outs: Sequence[Strides]
    sizes: Sequence[int]  # item sizes of inputs, the index (if any) and outputs
    has_index: bool
    stored: frozenset[int] = frozenset()
    streamed: frozenset[int] = frozenset()
    order: Sequence[int] | None = None
    copies: bool = False

    def axes(self) -> list[int]:
        """The axes in the order in which elements are made."""
        if self.order is not None:
            return list(self.order)
        if self.has_index:
            return list(range(len(self.shape)))
        return [a for a in order_by(self.outs[0]) if self.shape[a] != 1]


def layout(request: Request) -> Layout:
    """The layout of a launch."""
    shape, outs = request.shape, request.outs
    axes, size = request.axes(), prod(shape)
    free = not request.has_index and request.order is None
    turned = {a for a in axes if free and outs[0][a] < 0 and shape[a] > 1}
    arrays = [s for s in request.ins if s is not None] + list(outs)
    items = [n for n, s in zip(request.sizes, request.ins, strict=False) if s is not None]
    items += request.sizes[len(request.sizes) - len(outs) :]
    shifts = tuple(
        n * sum(strides[a] * (shape[a] - 1) for a in turned)
        for n, strides in zip(items, arrays, strict=True)
    )
    extent = [shape[a] for a in axes]
    steps = [
        [strides[a] * n * (-1 if a in turned else 1) for a in axes]
        for n, strides in zip(items, arrays, strict=True)
    ]
    copy = copy_spec(extent, steps[1], steps[0], items[0]) if request.copies else None
    if free and size >= TILED_FROM and not copy:
        extent, steps = tile(extent, steps, items)
    walks = _walks(request, extent, steps, items, axes)
    large = any(
        one[0] == DIRECT and size * n >= LARGE
        for one, n in zip(
            walks[len(walks) - len(outs) :], items[len(items) - len(outs) :], strict=True
        )
    )
    return Layout(pack(size, walks), size, shifts if any(shifts) else None, large, copy)


def _walks(
    request: Request,
    extent: Sequence[int],
    steps: Sequence[Sequence[int]],
    items: Sequence[int],
    axes: Sequence[int],
) -> list[list[int]]:
    """One pb_walk per input, for the index, and per output."""
    moving = iter(zip(steps, items, strict=True))
    walks = []
    for strides in request.ins:
        walks.append(NUMBER if strides is None else walk(extent, *next(moving), True))
    if request.has_index:
        dense = row_major_steps(request.shape)
        found = merge(extent, [dense[a] for a in axes]) or [(1, 0)]
        walks.append([STRIDED, 1, len(found), *(n for axis in found for n in axis)])
    for k, (step, n) in enumerate(moving):
        one = walk(extent, step, n, False)
        if one[0] == DIRECT and k in request.stored:
            one = [STRIDED, 1, 1, prod(extent), n]
        elif one[0] == DIRECT and k in request.streamed:
            one = [STREAMED, 1, 0]
        walks.append(one)
    return walks


def tile(
    extent: Sequence[int], steps: Sequence[Sequence[int]], items: Sequence[int]
) -> tuple[list[int], list[list[int]]]:
    """Where an input runs along another axis p than the output's last one q: both are split, so
    that a block of the interpreter covers tiles of up to 16 x 64 elements and finds the other
    elements of a cache line it touched still in L1."""
    rank = len(extent)
    crossing = (
        a
        for step, n in zip(steps, items, strict=True)
        for a in range(rank - 1)
        if abs(step[a]) == n and abs(step[rank - 1]) > n
    )
    p = next(crossing, None)
    if p is None:
        return list(extent), [list(s) for s in steps]
    rows = _divisor(extent[p], 16)
    columns = _divisor(extent[rank - 1], 64)
    others = [a for a in range(rank - 1) if a != p]

    def split(values: Sequence[int]) -> list[int]:
        q_step, p_step = values[rank - 1], values[p]
        return [*(values[a] for a in others), p_step * rows, q_step * columns, p_step, q_step]

    sizes = [*(extent[a] for a in others), extent[p] // rows, extent[rank - 1] // columns]
    return [*sizes, rows, columns], [split(s) for s in steps]


def _divisor(n: int, most: int) -> int:
    return next(d for d in range(most, 0, -1) if n % d == 0)


def copy_spec(
    extent: Sequence[int], target: Sequence[int], source: Sequence[int], size: int
) -> bytes | None:
    """pb_copy (``csrc/copy.h``) for transposes, and for copies in long runs; None for the rest,
    which the walks serve as well."""
    axes: list[tuple[int, int, int]] = []
    for n, to, start in zip(extent, target, source, strict=True):
        if axes and axes[-1][1] == n * to and axes[-1][2] == n * start:
            axes[-1] = (axes[-1][0] * n, to, start)
        else:
            axes.append((n, to, start))
    if not axes or prod(extent) == 0:
        return None
    inner, to, start = axes[-1]
    crosses = inner >= 4 and any(n >= 4 and 0 < abs(s) < abs(start) for n, _, s in axes)
    if not crosses and (inner < LONG_RUN or (to, start) != (size, size)):
        return None
    return struct.pack(f"={1 + 3 * len(axes)}q", len(axes), *(n for axis in axes for n in axis))
