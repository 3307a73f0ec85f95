"""Leading axes of a matrix product: one batch for C, a loop over what one stride cannot walk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np


def collapse(
    lead: tuple[int, ...], strides: Sequence[tuple[int, ...]]
) -> tuple[int, list[int], list[tuple[int, list[int]]]]:
    """The longest run of trailing leading axes that one stride per operand walks: its size and
    strides, and (size, strides) of the axes before it."""
    if not lead:
        return 1, [0, 0, 0], []
    axes: list[tuple[int, list[int]]] = []
    for a, n in enumerate(lead):
        if n == 1:
            continue
        step = [s[a] for s in strides]
        if axes and all(old == n * new for old, new in zip(axes[-1][1], step, strict=True)):
            axes[-1] = (axes[-1][0] * n, step)
        else:
            axes.append((n, step))
    if not axes:
        return 1, [0, 0, 0], []
    return axes[-1][0], axes[-1][1], axes[:-1]


def starts(
    pointers: list[int], axes: list[tuple[int, list[int]]], size: int
) -> Iterator[list[int]]:
    """The addresses of every batch along ``axes``: (size, strides)."""
    for index in np.ndindex(*(n for n, _ in axes)):
        yield [
            p + size * sum(i * steps[which] for i, (_, steps) in zip(index, axes, strict=True))
            for which, p in enumerate(pointers)
        ]
