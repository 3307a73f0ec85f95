"""Launches of argreduce: how lanes are shared out, chunks of long ones, the second pass."""

from __future__ import annotations

from math import prod
from typing import Any, Final, final

from polyback import scalar
from polyback.device import Operand
from polyback.dtype import int64
from polyback.scalar import Reduction
from polyback.simt.argreduce import COLUMNS, argreduce_kernel, turn
from polyback.simt.geometry import blocks, table
from polyback.simt.lanes import Lanes, lane_last, lanes
from polyback.simt.launcher import Launcher

CHUNK: Final = 1 << 14  # elements of a lane, at least
CPU_TASKS: Final = 16  # pieces that a CPU's work is cut into
CPU_SPAN: Final = 1 << 16  # elements of a work-item that takes several short lanes
GPU_GROUPS: Final = 1024
EACH: Final = 8  # elements of a GPU's work-item before another one helps


@final
class Locator:
    """Finds extremes on one device."""

    def __init__(self, launcher: Launcher) -> None:
        self.launcher, self.machine = launcher, launcher.machine

    def argreduce(self, op: Reduction, out: Operand, x: Operand, axis: int) -> None:
        """A checked argreduce. Where there are too few lanes to keep the device busy, they are cut
        into chunks, by the shape alone."""
        if out.view.size == 0:
            return
        launcher, length = self.launcher, x.view.shape[axis]
        tasks = CPU_TASKS if self.machine.is_cpu else GPU_GROUPS
        splits = max(1, min(blocks(tasks, out.view.size), length // CHUNK))
        flip = turn(x.dtype, op is scalar.MIN)
        if splits == 1:
            self._launch(lanes([x, out], axis), length, out, x, flip)
            return
        chunk = blocks(length, splits)
        shape = (*x.view.shape[:axis], blocks(length, chunk), *x.view.shape[axis + 1 :])
        driver, held = launcher.driver, []
        try:
            for size in (x.dtype.itemsize, int64.itemsize):
                held.append(driver.allocate(prod(shape) * size))
            view = lane_last(shape, axis)
            keys, places = Operand(held[0], x.dtype, view), Operand(held[1], int64, view)
            self._launch(lanes([x, places], axis), chunk, places, x, flip, keep=keys)
            self._launch(lanes([keys, out], axis), shape[axis], out, keys, turn(x.dtype, False),
                         places=places)  # fmt: skip
        finally:
            for buffer in held:
                driver.free(buffer)

    def _launch(
        self, found: Lanes, chunk: int, out: Operand, x: Operand, flip: int | float,
        keep: Operand | None = None, places: Operand | None = None,
    ) -> None:  # fmt: skip
        launcher, dialect = self.launcher, self.launcher.dialect
        across, group = self.machine.is_cpu and found.across, 1
        if across:
            last = found.walk.shape[-1]
            groups, span = found.count // last * blocks(last, COLUMNS), 0
        elif self.machine.is_cpu:
            span = max(1, min(CPU_SPAN // found.length, blocks(found.count, CPU_TASKS)))
            groups = blocks(found.count, span)
        else:
            group = self.machine.group
            span = found.team(self.machine, EACH)
            groups = blocks(found.count, group // span)
        compiled = launcher.compiled(
            ("argreduce", x.dtype, across),
            lambda: argreduce_kernel(x.dtype, across, dialect, group),
        )
        words: list[Any] = [x.buffer, x.view.offset, out.buffer, out.view.offset]
        words += [(keep or x).buffer, (places or out).buffer, flip, int(keep is not None),
                  int(places is not None), found.count, span, found.length, chunk, found.steps[0],
                  launcher.table(table(found.walk))]  # fmt: skip
        launcher.driver.launch(compiled, (groups, blocks(found.length, chunk), 1), words)
