"""What gather, scatter and argsort tell C about their operands (``csrc/index.h``)."""

from __future__ import annotations

import struct
from functools import lru_cache

from polyback.view import Shape, View

Steps = tuple[int, ...]


@lru_cache(maxsize=4096)
def index_spec(
    shape: Shape, axis: int, table: Steps, index: Steps, dense: Steps, size: int
) -> bytes:
    """pb_index: the axes of ``shape`` (the index's), merged where all three steps allow it."""
    axes: list[list[int]] = []
    for a, n in enumerate(shape):
        if n == 1 and a != axis:
            continue
        along = 0 if a == axis else table[a] * size
        entry = [n, along, index[a] * 8, dense[a] * size, int(a == axis)]
        if axes and _merges(axes[-1], entry):
            entry[0] *= axes.pop()[0]
        axes.append(entry)
    return struct.pack(f"={2 + 5 * len(axes)}q", len(axes), table[axis] * size, *sum(axes, []))


def _merges(outer: list[int], inner: list[int]) -> bool:
    if outer[4] or inner[4]:
        return False
    return all(outer[k] == inner[0] * inner[k] for k in (1, 2, 3))


@lru_cache(maxsize=4096)
def lanes_spec(shape: Shape, axis: int, x: Steps, out: Steps, size: int) -> bytes:
    """pb_lanes: one lane for every index of the axes but ``axis``."""
    axes = [(n, x[a] * size, out[a] * 8) for a, n in enumerate(shape) if a != axis and n != 1]
    head = (len(axes), shape[axis], x[axis] * size, out[axis] * 8)
    return struct.pack(f"={4 + 3 * len(axes)}q", *head, *sum(axes, ()))


def differs_only_along(axis: int, a: View, b: View) -> bool:
    """Do the shapes agree but for ``axis``?"""
    return a.shape[:axis] + a.shape[axis + 1 :] == b.shape[:axis] + b.shape[axis + 1 :]
