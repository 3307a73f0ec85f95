"""Where elements lie and how work is cut up: axes merged, index widths, launch sizes.

A kernel that walks strided operands gets a *table*, a small array of 64-bit integers in device
memory: the sizes of the merged axes, then for every operand its strides. It is uploaded once per
combination of shapes and strides, so a launch passes pointers and offsets only, and one compiled
kernel serves every number of axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Final, final

from polyback.view import Shape

Strides = tuple[int, ...]
SMALL_INDEX: Final = 2**30  # below it sums of two positions fit 32 bits
TILES: Final = (32, 16)  # sides of square tiles, in elements: one or two cache lines of float32
DENSE, SPLAT, STRIDED = "dense", "splat", "strided"  # how an operand moves along the last axis


@final
@dataclass(frozen=True)
class Machine:
    """What launches depend on. ``is_cpu``: a work-item is a core with vectors, not a lane."""

    is_cpu: bool
    units: int  # cores, or multiprocessors
    group: int = 256  # work-items of a group
    vector_bytes: int = 64  # of a CPU's registers


@final
@dataclass(frozen=True)
class Walk:
    """A shared shape after merging: ``shape`` without axes of size 1, and the strides of every
    operand along it."""

    shape: Shape
    strides: tuple[Strides, ...]

    @property
    def size(self) -> int:
        """The number of elements."""
        return prod(self.shape)

    @property
    def modes(self) -> tuple[str, ...]:
        """How each operand moves along the last axis."""
        return tuple(mode(s[-1]) if s else DENSE for s in self.strides)

    @property
    def is_flat(self) -> bool:
        """At most one axis, so that no index has to be taken apart."""
        return len(self.shape) <= 1

    def reach(self) -> int:
        """The largest distance from an operand's first element, in elements."""
        spans = [
            sum(abs(s) * (n - 1) for s, n in zip(strides, self.shape, strict=True))
            for strides in self.strides
        ]
        return max([self.size, *spans])


def mode(stride: int) -> str:
    """DENSE, SPLAT or STRIDED."""
    return {1: DENSE, 0: SPLAT}.get(stride, STRIDED)


def merge(shape: Shape, strides: Sequence[Strides], leader: int | None = None) -> Walk:
    """Drop axes of size 1 and join neighbours that every operand walks with one stride. With
    ``leader`` the axes are first put in the order of that operand's strides: the order in which
    elements are made is free unless a program asks for its index."""
    axes = [a for a, n in enumerate(shape) if n != 1]
    if leader is not None:
        axes.sort(key=lambda a: -abs(strides[leader][a]))
    sizes: list[int] = []
    steps: list[list[int]] = []  # of each merged axis, one stride per operand
    for a in axes:
        step = [s[a] for s in strides]
        if steps and all(old == shape[a] * new for old, new in zip(steps[-1], step, strict=True)):
            sizes[-1] *= shape[a]
            steps[-1] = step
        else:
            sizes.append(shape[a])
            steps.append(step)
    return Walk(tuple(sizes), tuple(tuple(s[k] for s in steps) for k in range(len(strides))))


def tiled(walk: Walk) -> Walk:
    """The same elements in square tiles where an operand's fastest axis is not the last one: a row
    of a transposed operand touches a cache line per element, a tile uses what it fetched. For a
    CPU, where a work-item visits elements in order; the walk itself where sizes do not divide."""
    last = len(walk.shape) - 1
    for strides in walk.strides if last > 0 else ():
        moving = [a for a in range(last + 1) if strides[a]]
        fast = min(moving, key=lambda a: abs(strides[a]), default=last)
        sizes = walk.shape[fast], walk.shape[last]
        side = next((t for t in TILES if all(n % t == 0 for n in sizes)), 0)
        if fast == last or not strides[last] or not side:
            continue
        others = [a for a in range(last) if a != fast]
        shape = tuple(walk.shape[a] for a in others)
        shape += (walk.shape[fast] // side, walk.shape[last] // side, side, side)
        turned = tuple(
            (*(s[a] for a in others), s[fast] * side, s[last] * side, s[fast], s[last])
            for s in walk.strides
        )
        return Walk(shape, turned)
    return walk


def table(walk: Walk) -> list[int]:
    """``[axes before the last, size of the last, their sizes..., per operand: last stride, the
    others...]``, as the text of :func:`decode` reads it."""
    shape = walk.shape or (1,)
    words = [len(shape) - 1, shape[-1], *shape[:-1]]
    for strides in walk.strides:
        steps = strides or (0,)
        words += [steps[-1], *steps[:-1]]
    return words


def blocks(n: int, size: int) -> int:
    """How many pieces of ``size`` cover ``n``."""
    return -(-n // size)


def spans(n: int, machine: Machine, least: int, multiple: int) -> tuple[int, int]:
    """(pieces, length of a piece) for ``n`` elements on the cores of a CPU: a few pieces per core
    so that a late core does not hold up the rest, none shorter than ``least``."""
    pieces = max(1, min(4 * machine.units, n // max(least, 1)))
    length = blocks(blocks(n, pieces), multiple) * multiple
    return blocks(n, length), length


def decode(words: str, position: str, offsets: Sequence[str], index: str, key: str) -> list[str]:
    """Lines of C that take the row-major ``position`` apart by the table ``words`` and declare for
    each operand how far its element is from its first. ``key`` keeps their names apart from
    others."""
    lines = [
        f"int outer{key} = (int){words}[0]; {index} length{key} = ({index}){words}[1];",
        f"{index} row{key} = ({position}) / length{key}, column{key} = ({position}) % length{key};",
    ]
    for n, name in enumerate(offsets):
        lines.append(f"{index} {name} = column{key} * {last_step(words, n, index, key)};")
    lines.append(f"for (int a = outer{key} - 1; a >= 0; a--) {{")
    lines.append(f"    {index} size = ({index}){words}[2 + a], at = row{key} % size;")
    lines.append(f"    row{key} /= size;")
    for n, name in enumerate(offsets):
        lines.append(
            f"    {name} += at * ({index}){words}[3 + outer{key} + {n} * (outer{key} + 1) + a];"
        )
    lines.append("}")
    return lines


def last_step(words: str, n: int, index: str, key: str) -> str:
    """C for the stride of operand ``n`` along the last axis."""
    return f"({index}){words}[2 + outer{key} + {n} * (outer{key} + 1)]"
