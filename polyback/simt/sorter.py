"""Launches of argsort and sort."""

from __future__ import annotations

from functools import partial
from typing import Any, Final, final

from polyback.device import Operand
from polyback.dtype import int64
from polyback.program import copy_program
from polyback.simt import sorting, sorting_cpu
from polyback.simt.dialect import BY_CODE
from polyback.simt.geometry import blocks, merge, spans, table
from polyback.simt.launcher import Launcher
from polyback.view import View

CPU_CHUNK: Final = 1 << 14  # least elements of a part of a lane


@final
class Sorter:
    """Sorting on one device."""

    def __init__(self, launcher: Launcher) -> None:
        self.launcher, self.machine = launcher, launcher.machine

    def argsort(self, out: Operand, x: Operand, axis: int, descending: bool) -> None:
        """A checked argsort: lanes side by side, then passes between two buffers or pairs."""
        if x.view.size == 0:
            return
        target = _axis_last(out.view, axis)
        dense = View.contiguous(target.shape)
        held: list[Any] = []
        try:
            if self.machine.is_cpu:
                code = sorting_cpu.place_code(x.dtype, x.view.shape[axis])
                entries = self._entries(x, axis, descending, code, held)
                strides = tuple(2 * s for s in dense.strides)
                source = Operand(entries, BY_CODE[code], View(dense.shape, strides, 1))
            else:
                source = Operand(self.sorted(x, axis, descending, held)[1], int64, dense)
            self._copy(Operand(out.buffer, int64, target), source)
        finally:
            for buffer in held:
                self.launcher.driver.free(buffer)

    def sort(self, out: Operand, x: Operand, axis: int, descending: bool) -> None:
        """A checked sort of values, on a CPU."""
        if x.view.size == 0:
            return
        target = _axis_last(out.view, axis)
        held: list[Any] = []
        try:
            values = self._entries(x, axis, descending, None, held)
            source = Operand(values, x.dtype, View.contiguous(target.shape))
            self._copy(Operand(out.buffer, x.dtype, target), source)
        finally:
            for buffer in held:
                self.launcher.driver.free(buffer)

    def _copy(self, out: Operand, source: Operand) -> None:
        self.launcher.elementwise(copy_program(source.dtype, out.dtype), [out], [source])

    # --- CPU -----------------------------------------------------------------------------------

    def _entries(
        self, x: Operand, axis: int, descending: bool, code: str | None, held: list[Any]
    ) -> Any:
        """Entries of every lane in order, values or, given a ``code``, keys and places in words of
        that type; all buffers are entered in ``held``."""
        launcher, dialect = self.launcher, self.launcher.dialect
        n, length, lanes = x.view.size, x.view.shape[axis], x.view.drop(axis)
        size = 2 * BY_CODE[code].itemsize if code else x.dtype.itemsize
        for _ in range(2):
            held.append(launcher.driver.allocate(n * size))
        here, there = held
        wanted = blocks(2 * self.machine.units, n // length)
        parts = max(1, min(wanted, length // CPU_CHUNK))
        chunk = blocks(length, parts)
        per = blocks(length, chunk)
        groups, span = spans(n // length * per, self.machine, max(1, CPU_CHUNK // chunk), 1)
        render = partial(sorting_cpu.chunks_kernel, x.dtype, code, dialect)
        compiled = launcher.compiled(("chunks", x.dtype, code), render)
        walk = merge(lanes.shape, [lanes.strides])
        words = (x.buffer, x.view.offset, here, there, n // length * per, span, length, chunk, per,
                 x.view.strides[axis], int(descending), launcher.table(table(walk)))  # fmt: skip
        launcher.driver.launch(compiled, (groups, 1, 1), words)
        groups, span = spans(n, self.machine, CPU_CHUNK, 1)
        run = chunk
        while run < length:
            render = partial(sorting_cpu.merge_kernel, x.dtype, code, dialect)
            compiled = launcher.compiled(("merge", code or x.dtype), render)
            given = (here, there, n, span, length, run, int(descending))
            launcher.driver.launch(compiled, (groups, 1, 1), given)
            here, there, run = there, here, 2 * run
        return here

    # --- GPU -----------------------------------------------------------------------------------

    def sorted(self, x: Operand, axis: int, descending: bool, held: list[Any]) -> tuple[Any, Any]:
        """Keys and places of every lane, in order, on a GPU; all buffers are entered in
        ``held``."""
        n, length, code = x.view.size, x.view.shape[axis], sorting.key_type(x.dtype)
        for size in (n * (8 if code == "u64" else 4), n * 8) * 2:
            held.append(self.launcher.driver.allocate(size))
        here, there = held[:2], held[2:]
        self._keys(x, axis, descending, here)
        launcher, group = self.launcher, self.machine.group
        run = 1
        while run < length:
            render = partial(sorting.merge_kernel, code, launcher.dialect, group)
            compiled = launcher.compiled(("merge", code), render)
            words = (*here, *there, n, length, run)
            launcher.driver.launch(compiled, (blocks(n, group), 1, 1), words)
            here, there, run = there, here, 2 * run
        return here[0], here[1]

    def _keys(self, x: Operand, axis: int, descending: bool, to: list[Any]) -> None:
        launcher, lanes, group = self.launcher, x.view.drop(axis), self.machine.group
        compiled = launcher.compiled(
            ("keys", x.dtype), lambda: sorting.keys_kernel(x.dtype, launcher.dialect, group)
        )
        walk = merge(lanes.shape, [lanes.strides])
        words = (x.buffer, x.view.offset, *to, x.view.size, x.view.shape[axis],
                 x.view.strides[axis], int(descending), launcher.table(table(walk)))  # fmt: skip
        launcher.driver.launch(compiled, (blocks(x.view.size, group), 1, 1), words)


def _axis_last(view: View, axis: int) -> View:
    return view.permute([a for a in range(view.ndim) if a != axis] + [axis])
