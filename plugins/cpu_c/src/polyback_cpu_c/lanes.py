"""Lanes along one axis of several operands, as C reads them (``csrc/lanes.h``)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache

from polyback.device import Operand
from polyback.view import Shape
from polyback_cpu_c.operands import address

Steps = tuple[int, ...]


def lanes_of(axis: int, x: Operand, *others: Operand | None) -> tuple[bytes, bytes]:
    """pb_lanes and the addresses of operands whose shapes differ from that of ``x`` at most along
    ``axis``; None is address 0."""
    sizes, steps, pointers = [], [], []
    for operand in (x, *others):
        size = operand.dtype.itemsize if operand else 0
        sizes.append(size)
        steps.append(operand.view.strides if operand else (0,) * x.view.ndim)
        pointers.append(address(operand, size) if operand else 0)
    spec = lanes_spec(x.view.shape, axis, tuple(steps), tuple(sizes))
    return spec, struct.pack(f"={len(pointers)}Q", *pointers)


@lru_cache(maxsize=4096)
def lanes_spec(shape: Shape, axis: int, steps: tuple[Steps, ...], sizes: tuple[int, ...]) -> bytes:
    """The axes but ``axis``, merged where one step of every operand serves. Last the one with the
    nearest lanes: nearest in the first operand, or where its lanes are dense, in the second."""
    deciding = steps[0]
    others = [a for a, n in enumerate(shape) if a != axis and n != 1]
    if all(abs(deciding[axis]) <= abs(deciding[a]) for a in others) and len(steps) > 1:
        deciding = steps[1]
    others.sort(key=lambda a: -abs(deciding[a]))
    along = [s[axis] * size for s, size in zip(steps, sizes, strict=True)]
    axes: list[tuple[int, list[int]]] = []
    for a in others:
        here = [s[a] * size for s, size in zip(steps, sizes, strict=True)]
        if axes and all(o == shape[a] * h for o, h in zip(axes[-1][1], here, strict=True)):
            axes[-1] = (axes[-1][0] * shape[a], here)
        else:
            axes.append((shape[a], here))
    words = [len(axes), shape[axis], len(steps), *along, *_flat(axes)]
    return struct.pack(f"={len(words)}q", *words)


def _flat(axes: Sequence[tuple[int, list[int]]]) -> list[int]:
    return [word for size, steps in axes for word in (size, *steps)]
