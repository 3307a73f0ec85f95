"""Launches of scans: chunks of long lanes, and what is before each of them."""

from __future__ import annotations

from math import prod
from typing import final

from polyback.device import Operand
from polyback.program import copy_program
from polyback.scalar import Reduction
from polyback.simt.elementwise import PACK_BYTES
from polyback.simt.geometry import blocks, table
from polyback.simt.lanes import lane_last, lanes, resized
from polyback.simt.launcher import Launcher
from polyback.simt.reducer import Reducer
from polyback.simt.scan import each, scan_kernel
from polyback.view import View


@final
class Scanner:
    """Running reductions of one device."""

    def __init__(self, launcher: Launcher, reducer: Reducer) -> None:
        self.launcher, self.reducer, self.machine = launcher, reducer, launcher.machine

    def scan(self, op: Reduction, out: Operand, x: Operand, axis: int) -> None:
        """A checked scan."""
        if out.view.size == 0:
            return
        share = lanes([x, out], axis).share(self.machine, each(x.dtype))
        if not share.chunk:
            self._launch(op, out, x, x, axis)
            return
        count = blocks(x.view.shape[axis], share.chunk) - 1  # the last one's total is not needed
        shape = resized(x.view.shape, axis, count)
        totals = self.launcher.driver.allocate(prod(shape) * x.dtype.itemsize)
        try:
            carry = lane_last(totals, x, shape, axis)
            chunks = Operand(x.buffer, x.dtype, _cut(x.view, axis, count, share.chunk))
            target = Operand(totals, x.dtype, carry.view.insert(axis + 1))
            program = copy_program(x.dtype, x.dtype)
            self.reducer.reduce(op, target, program, [chunks], (axis + 1,))
            self._launch(op, carry, carry, carry, axis)  # in place: read before it is written
            self._launch(op, out, x, carry, axis, share.chunk)
        finally:
            self.launcher.driver.free(totals)

    def _launch(
        self, op: Reduction, out: Operand, x: Operand, carry: Operand, axis: int, chunk: int = 0
    ) -> None:
        launcher, dialect, machine = self.launcher, self.launcher.dialect, self.machine
        found = lanes([x, out, carry], axis)
        share = found.share(machine, each(x.dtype))
        group = 1 if machine.is_cpu else machine.group
        compiled = launcher.compiled(
            ("scan", op, x.dtype),
            lambda: scan_kernel(op, x.dtype, dialect, group),
        )
        chunk = chunk or found.length
        packed = int(found.is_packed((x, out), PACK_BYTES // x.dtype.itemsize))
        words = (x.buffer, x.view.offset, out.buffer, out.view.offset, carry.buffer, found.count,
                 share.span, found.length, chunk, *found.steps[:2], packed,
                 launcher.table(table(found.walk)))  # fmt: skip
        groups = (share.groups, blocks(found.length, chunk), 1)
        launcher.driver.launch(compiled, groups, words)


def _cut(view: View, axis: int, count: int, size: int) -> View:
    """``axis`` as two, the first ``count * size`` elements of it."""
    step, shape, strides = view.strides[axis], view.shape, view.strides
    return View(
        (*shape[:axis], count, size, *shape[axis + 1 :]),
        (*strides[:axis], step * size, step, *strides[axis + 1 :]),
        view.offset,
    )
