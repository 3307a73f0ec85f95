"""Launches of gather and scatter."""

from __future__ import annotations

from functools import partial
from typing import Any, Final, final

from polyback.device import Operand
from polyback.simt import indexing, indexing_cpu
from polyback.simt.geometry import blocks, merge, spans, table
from polyback.simt.indexing import MODES
from polyback.simt.launcher import Launcher
from polyback.simt.sorter import Sorter
from polyback.view import View

CPU_SPAN: Final = 1024  # least elements of a work-item on a CPU
# Lanes of a CPU's work-item in a scatter, at least and at a time: of a few columns of rows it would
# use a part of every cache line and page.
CPU_LANES: Final = 64
# Where a GPU sorts the index before a scatter: lanes of at least this length, so few of them that
# they would leave it idle, and few that have an index of their own to be sorted.
LONG: Final = 512
MOST_LANES: Final = 1 << 16
MOST_SORTED: Final = 256


@final
class Indexer:
    """Indexed movement on one device."""

    def __init__(self, launcher: Launcher, sorter: Sorter) -> None:
        self.launcher, self.sorter, self.machine = launcher, sorter, launcher.machine

    def gather(self, out: Operand, x: Operand, index: Operand, axis: int) -> None:
        """A checked gather."""
        n = out.view.size
        if n == 0:
            return
        launcher, size = self.launcher, out.dtype.itemsize
        moved = list(x.view.strides)
        step, moved[axis] = moved[axis], 0
        walk = merge(out.view.shape, [index.view.strides, out.view.strides, tuple(moved)])
        words = [out.buffer, out.view.offset, x.buffer, x.view.offset, index.buffer,
                 index.view.offset, n]  # fmt: skip
        dialect, group = launcher.dialect, self.machine.group
        if self.machine.is_cpu:
            render = partial(indexing_cpu.gather_kernel, size, dialect)
            groups, span = spans(n, self.machine, CPU_SPAN, 1)
            words.append(span)
        else:
            render = partial(indexing.gather_kernel, size, dialect, group)
            groups = blocks(n, group)
        compiled = launcher.compiled(("gather", size), render)
        words += (step, launcher.table(table(walk)))
        launcher.driver.launch(compiled, (groups, 1, 1), words)

    def scatter(self, out: Operand, index: Operand, x: Operand, axis: int, mode: str) -> None:
        """A checked scatter: one work-item per lane, or, on a GPU that few lanes leave idle, per
        run of equal numbers in the sorted index."""
        if x.view.size == 0:
            return
        launcher, dtype, is_cpu = self.launcher, x.dtype, self.machine.is_cpu
        length, shared = x.view.shape[axis], _shared(index, axis)
        count, different = x.view.size // length, shared.view.size // length
        few = count <= MOST_LANES and different <= MOST_SORTED
        if not is_cpu and length >= LONG and few:
            self._scatter_runs(out, index, shared, x, axis, mode)
            return
        views = [index.view, x.view, out.view]
        lanes = [v.drop(axis) for v in views]
        walk = merge(lanes[0].shape, [v.strides for v in lanes])
        steps = [v.strides[axis] for v in views]
        words = [out.buffer, out.view.offset, x.buffer, x.view.offset, index.buffer,
                 index.view.offset, count]  # fmt: skip
        dialect, group = launcher.dialect, self.machine.group
        if is_cpu:
            render = partial(indexing_cpu.scatter_kernel, mode, dtype, dialect)
            across = bool(walk.shape) and abs(walk.strides[1][-1]) < abs(steps[1])
            groups, span = spans(count, self.machine, CPU_LANES if across else 1, 1)
            words += (span, span if across else 1)
        else:
            render = partial(indexing.scatter_kernel, mode, dtype, dialect, group)
            groups = blocks(count, group)
        key = ("scatter", mode, dtype if MODES[mode] else dtype.itemsize)
        compiled = launcher.compiled(key, render)
        words += (length, *steps, launcher.table(table(walk)))
        launcher.driver.launch(compiled, (groups, 1, 1), words)

    def _scatter_runs(
        self, out: Operand, index: Operand, shared: Operand, x: Operand, axis: int, mode: str
    ) -> None:
        launcher, dtype, group = self.launcher, x.dtype, self.machine.group
        compiled = launcher.compiled(
            ("runs", mode, dtype if MODES[mode] else dtype.itemsize),
            lambda: indexing.runs_kernel(mode, dtype, launcher.dialect, group),
        )
        views = [index.view, x.view, out.view]
        length = x.view.shape[axis]
        sizes = shared.view.drop(axis).shape
        dense = View.contiguous((*sizes, length)).drop(len(sizes)).expand(x.view.drop(axis).shape)
        walk = merge(dense.shape, [*(v.drop(axis).strides for v in views), dense.strides])
        steps = [v.strides[axis] for v in views]
        held: list[Any] = []
        try:
            keys, places = self.sorter.sorted(shared, axis, False, held)
            words = (out.buffer, out.view.offset, x.buffer, x.view.offset, index.buffer,
                     index.view.offset, keys, places, x.view.size, walk.size, length, *steps,
                     launcher.table(table(walk)))  # fmt: skip
            launcher.driver.launch(compiled, (blocks(x.view.size, group), 1, 1), words)
        finally:
            for buffer in held:
                launcher.driver.free(buffer)


def _shared(index: Operand, axis: int) -> Operand:
    """``index`` with size 1 along axes where it repeats itself."""
    view = index.view
    shape = tuple(
        1 if stride == 0 and a != axis else n
        for a, (n, stride) in enumerate(zip(view.shape, view.strides, strict=True))
    )
    return Operand(index.buffer, index.dtype, View(shape, view.strides, view.offset))
