"""Launches of gather, scatter and argsort."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, final

from polyback.device import Operand
from polyback.dtype import int64
from polyback.program import copy_program
from polyback.simt.driver import Triple
from polyback.simt.geometry import blocks, merge, spans, table
from polyback.simt.indexing import MODES, gather_kernel, scatter_kernel
from polyback.simt.launcher import Launcher
from polyback.simt.sorting import key_type, keys_kernel, merge_kernel
from polyback.view import View

CPU_SPAN: Final = 1024  # least elements of a work-item on a CPU


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
        """A checked scatter: one work-item per lane."""
        if x.view.size == 0:
            return
        launcher, dtype = self.launcher, x.dtype
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
        n = x.view.size
        if n == 0:
            return
        driver, length, code = self.launcher.driver, x.view.shape[axis], key_type(x.dtype)
        sizes = [n * (8 if code == "u64" else 4), n * 8] * 2
        held: list[Any] = []
        try:
            for size in sizes:
                held.append(driver.allocate(size))
            self._keys(x, axis, descending, held[:2])
            here, there = held[:2], held[2:]
            run = 1
            while run < length:
                self._merge(code, n, length, run, here, there)
                here, there, run = there, here, 2 * run
            order = [a for a in range(x.view.ndim) if a != axis] + [axis]
            target = out.view.permute(order)
            source = Operand(here[1], int64, View.contiguous(target.shape))
            copy = copy_program(int64, int64)
            self.launcher.elementwise(copy, [Operand(out.buffer, int64, target)], [source])
        finally:
            for buffer in held:
                driver.free(buffer)

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
