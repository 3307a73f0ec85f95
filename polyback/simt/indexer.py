"""Launches of gather, scatter and argsort."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, final

from polyback.device import Operand
from polyback.dtype import int64
from polyback.program import copy_program
from polyback.simt.driver import Triple
from polyback.simt.geometry import blocks, merge, spans, table
from polyback.simt.indexing import MODES, gather_kernel, runs_kernel, scatter_kernel
from polyback.simt.launcher import Launcher
from polyback.simt.sorting import key_type, keys_kernel, merge_kernel
from polyback.view import View

CPU_SPAN: Final = 1024  # least elements of a work-item on a CPU
# Where a GPU sorts the index before a scatter: lanes of at least this length, so few of them that
# they would leave it idle, and few that have an index of their own to be sorted.
LONG: Final = 512
MOST_LANES: Final = 1 << 16
MOST_SORTED: Final = 256


@final
class Indexer:
    """Indexed movement and sorting on one device."""

    def __init__(self, launcher: Launcher) -> None:
        self.launcher, self.machine = launcher, launcher.machine
        self.group = 1 if self.machine.is_cpu else self.machine.group

    def gather(self, out: Operand, x: Operand, index: Operand, axis: int) -> None:
        """A checked gather."""
        n = out.view.size
        if n == 0:
            return
        launcher, size = self.launcher, out.dtype.itemsize
        moved = list(x.view.strides)
        step, moved[axis] = moved[axis], 0
        walk = merge(out.view.shape, [index.view.strides, out.view.strides, tuple(moved)])
        compiled = launcher.compiled(
            ("gather", size), lambda: gather_kernel(size, launcher.dialect, self.group)
        )
        groups, span = self._grid(n)
        words = (out.buffer, out.view.offset, x.buffer, x.view.offset, index.buffer,
                 index.view.offset, n, span, step, launcher.table(table(walk)))  # fmt: skip
        launcher.driver.launch(compiled, groups, words)

    def scatter(self, out: Operand, index: Operand, x: Operand, axis: int, mode: str) -> None:
        """A checked scatter: one work-item per lane, or, on a GPU that few lanes leave idle, per
        run of equal numbers in the sorted index."""
        if x.view.size == 0:
            return
        launcher, dtype = self.launcher, x.dtype
        length, shared = x.view.shape[axis], _shared(index, axis)
        count, different = x.view.size // length, shared.view.size // length
        few = count <= MOST_LANES and different <= MOST_SORTED
        if not self.machine.is_cpu and length >= LONG and few:
            self._scatter_runs(out, index, shared, x, axis, mode)
            return
        compiled = launcher.compiled(
            ("scatter", mode, dtype if MODES[mode] else dtype.itemsize),
            lambda: scatter_kernel(mode, dtype, launcher.dialect, self.group),
        )
        views = [index.view, x.view, out.view]
        lanes = [v.drop(axis) for v in views]
        shape = lanes[0].shape
        walk = merge(shape, [v.strides for v in lanes])
        steps = [v.strides[axis] for v in views]
        words = (out.buffer, out.view.offset, x.buffer, x.view.offset, index.buffer,
                 index.view.offset, walk.size, x.view.shape[axis], *steps,
                 launcher.table(table(walk)))  # fmt: skip
        launcher.driver.launch(compiled, (blocks(walk.size, self.group), 1, 1), words)

    def argsort(self, out: Operand, x: Operand, axis: int, descending: bool) -> None:
        """A checked argsort: lanes side by side, then passes between two pairs of buffers."""
        if x.view.size == 0:
            return
        held: list[Any] = []
        try:
            _, places = self._sort(x, axis, descending, held)
            order = [a for a in range(x.view.ndim) if a != axis] + [axis]
            target = out.view.permute(order)
            source = Operand(places, int64, View.contiguous(target.shape))
            copy = copy_program(int64, int64)
            self.launcher.elementwise(copy, [Operand(out.buffer, int64, target)], [source])
        finally:
            for buffer in held:
                self.launcher.driver.free(buffer)

    def _sort(self, x: Operand, axis: int, descending: bool, held: list[Any]) -> tuple[Any, Any]:
        """Keys and places of every lane, in order; all buffers are entered in ``held``."""
        n, length, code = x.view.size, x.view.shape[axis], key_type(x.dtype)
        for size in (n * (8 if code == "u64" else 4), n * 8) * 2:
            held.append(self.launcher.driver.allocate(size))
        self._keys(x, axis, descending, held[:2])
        here, there = held[:2], held[2:]
        run = 1
        while run < length:
            self._merge(code, n, length, run, here, there)
            here, there, run = there, here, 2 * run
        return here[0], here[1]

    def _scatter_runs(
        self, out: Operand, index: Operand, shared: Operand, x: Operand, axis: int, mode: str
    ) -> None:
        launcher, dtype = self.launcher, x.dtype
        compiled = launcher.compiled(
            ("runs", mode, dtype if MODES[mode] else dtype.itemsize),
            lambda: runs_kernel(mode, dtype, launcher.dialect, self.group),
        )
        views = [index.view, x.view, out.view]
        length = x.view.shape[axis]
        sizes = shared.view.drop(axis).shape
        dense = View.contiguous((*sizes, length)).drop(len(sizes)).expand(x.view.drop(axis).shape)
        walk = merge(dense.shape, [*(v.drop(axis).strides for v in views), dense.strides])
        steps = [v.strides[axis] for v in views]
        held: list[Any] = []
        try:
            keys, places = self._sort(shared, axis, False, held)
            words = (out.buffer, out.view.offset, x.buffer, x.view.offset, index.buffer,
                     index.view.offset, keys, places, x.view.size, walk.size, length, *steps,
                     launcher.table(table(walk)))  # fmt: skip
            launcher.driver.launch(compiled, (blocks(x.view.size, self.group), 1, 1), words)
        finally:
            for buffer in held:
                launcher.driver.free(buffer)

    def _keys(self, x: Operand, axis: int, descending: bool, to: Sequence[Any]) -> None:
        launcher, lanes = self.launcher, x.view.drop(axis)
        compiled = launcher.compiled(
            ("keys", x.dtype), lambda: keys_kernel(x.dtype, launcher.dialect, self.group)
        )
        groups, span = self._grid(x.view.size)
        walk = merge(lanes.shape, [lanes.strides])
        words = (x.buffer, x.view.offset, *to, x.view.size, span, x.view.shape[axis],
                 x.view.strides[axis], int(descending), launcher.table(table(walk)))  # fmt: skip
        launcher.driver.launch(compiled, groups, words)

    def _merge(
        self, code: str, n: int, length: int, run: int, here: Sequence[Any], there: Sequence[Any]
    ) -> None:
        launcher = self.launcher
        compiled = launcher.compiled(
            ("merge", code), lambda: merge_kernel(code, launcher.dialect, self.group)
        )
        groups, span = self._grid(n)
        launcher.driver.launch(compiled, groups, (*here, *there, n, span, length, run))

    def _grid(self, n: int) -> tuple[Triple, int]:
        """(groups, elements of each)"""
        if self.machine.is_cpu:
            count, span = spans(n, self.machine, CPU_SPAN, 1)
        else:
            count, span = blocks(n, self.group), self.group
        return (count, 1, 1), span


def _shared(index: Operand, axis: int) -> Operand:
    """``index`` with size 1 along axes where it repeats itself."""
    view = index.view
    shape = tuple(
        1 if stride == 0 and a != axis else n
        for a, (n, stride) in enumerate(zip(view.shape, view.strides, strict=True))
    )
    return Operand(index.buffer, index.dtype, View(shape, view.strides, view.offset))
