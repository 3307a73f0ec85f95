"""Operations along one axis: where lanes lie, and how they are shared out.

A *lane* is all positions along the axis with the other indexes fixed. Lanes are independent, so the
other axes are merged, and put in the order in which they lie in memory: neighbouring lanes are
neighbours there too. Long lanes are cut into *chunks*, by the shapes alone, so that results have
the same bits on any number of cores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, final

from polyback.device import Operand
from polyback.simt.geometry import Machine, Strides, Walk, blocks, merge
from polyback.view import Shape, View

COLUMNS: Final = 64  # lanes that a work-item of a CPU takes side by side
CPU_TASKS: Final = 16  # pieces that a CPU's work is cut into if they do not get too short
CPU_CHUNK: Final = 1 << 14  # elements of a work-item, at least
CPU_SPAN: Final = 1 << 16  # elements of a work-item that takes several short lanes
GPU_ITEMS: Final = 1 << 18  # work-items that keep a GPU busy
MANY_LANES: Final = 1 << 13  # from so many on a GPU's work-item takes one alone
LONG_CHUNK: Final = 512  # chunks are multiples of it


@final
@dataclass(frozen=True)
class Lanes:
    """``walk`` goes over the lanes; ``steps`` of each operand along a lane."""

    walk: Walk
    length: int
    steps: tuple[int, ...]
    across: bool  # the first operand's neighbours in memory belong to different lanes

    @property
    def count(self) -> int:
        """The number of lanes."""
        return self.walk.size

    def is_packed(self, operands: Sequence[Operand], size: int, first: int = 0) -> bool:
        """Are these, the operands from number ``first`` on, dense along lanes, and do all packs of
        ``size`` elements start at multiples of it?"""
        stop = first + len(operands)
        starts = [x.view.offset for x in operands]
        starts += [s for strides in self.walk.strides[first:stop] for s in strides]
        return set(self.steps[first:stop]) == {1} and all(s % size == 0 for s in starts)

    def share(self, machine: Machine, each: int) -> Share:
        """Who makes what; a GPU's work-item gets ``each`` elements before another one helps."""
        if not machine.is_cpu:
            return self._on_gpu(machine, each)
        if self.across:
            last = self.walk.shape[-1]
            groups = self.count // last * blocks(last, COLUMNS)
            return Share(groups, 0, self._chunk(blocks(CPU_TASKS, groups), CPU_CHUNK // COLUMNS))
        span = max(1, min(CPU_SPAN // max(1, self.length), blocks(self.count, CPU_TASKS)))
        chunk = self._chunk(blocks(CPU_TASKS, self.count), CPU_CHUNK)
        return Share(blocks(self.count, span), span, chunk)

    def _on_gpu(self, machine: Machine, each: int) -> Share:
        """A team of a power of two work-items takes a lane; one alone where neighbouring work-items
        then read neighbouring memory."""
        team = min(machine.group, 1 << (blocks(self.length, each) - 1).bit_length())
        if self.across and self.count >= MANY_LANES:
            team = 1
        groups = blocks(self.count, machine.group // team)
        return Share(groups, team, self._chunk(blocks(GPU_ITEMS, self.count * team), 32 * team))

    def _chunk(self, wanted: int, least: int) -> int:
        splits = min(wanted, self.length // max(least, LONG_CHUNK), 65535)
        return blocks(blocks(self.length, splits), LONG_CHUNK) * LONG_CHUNK if splits > 1 else 0


@final
@dataclass(frozen=True)
class Share:
    """``groups`` along the first axis of a grid. ``span``: the lanes of a CPU's work-item one after
    another, 0 where it takes COLUMNS at once; the work-items of a lane on a GPU. ``chunk``: the
    elements of a lane that are taken in one go, 0 if that is all."""

    groups: int
    span: int
    chunk: int


def lanes(operands: Sequence[Operand], axis: int) -> Lanes:
    """Of operands that agree on all axes but ``axis``; the first one decides the order."""
    views = [x.view for x in operands]
    return _lanes(views[0].shape, tuple(v.strides for v in views), axis)


@lru_cache(maxsize=4096)
def _lanes(shape: Shape, strides: tuple[Strides, ...], axis: int) -> Lanes:
    others = [s[:axis] + s[axis + 1 :] for s in strides]
    walk = merge(shape[:axis] + shape[axis + 1 :], others, 0)
    inner = abs(walk.strides[0][-1]) if walk.shape else 0
    across = 0 < inner < abs(strides[0][axis])
    return Lanes(walk, shape[axis], tuple(s[axis] for s in strides), across)


def resized(shape: Shape, axis: int, size: int) -> Shape:
    """``shape`` with another size at ``axis``."""
    return (*shape[:axis], size, *shape[axis + 1 :])


def lane_last(buffer: Any, like: Operand, shape: Shape, axis: int) -> Operand:
    """``shape`` in a buffer of its own, in which the elements of a lane are neighbours."""
    last = len(shape) - 1
    stored = View.contiguous((*shape[:axis], *shape[axis + 1 :], shape[axis]))
    view = stored.permute([*range(axis), last, *range(axis, last)])
    return Operand(buffer, like.dtype, view)
