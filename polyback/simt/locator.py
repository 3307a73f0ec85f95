"""Launches of argreduce: chunks of long lanes, and the second pass that they need."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any, Final, final

from polyback import scalar
from polyback.device import Operand
from polyback.scalar import Reduction
from polyback.simt.argreduce import argreduce_kernel, turn
from polyback.simt.geometry import blocks, table
from polyback.simt.lanes import Lanes, Share, lane_last, lanes, resized
from polyback.simt.launcher import Launcher

EACH: Final = 8  # elements of a GPU's work-item before another one helps


@final
class Locator:
    """Finds the places of extremes on one device."""

    def __init__(self, launcher: Launcher) -> None:
        self.launcher, self.machine = launcher, launcher.machine

    def argreduce(self, op: Reduction, out: Operand, x: Operand, axis: int) -> None:
        """A checked argreduce."""
        if out.view.size == 0:
            return
        found, flip = lanes([x, out], axis), turn(x.dtype, op is scalar.MIN)
        share = found.share(self.machine, EACH)
        if not share.chunk:
            self._launch(found, share, out, x, flip)
            return
        driver, held = self.launcher.driver, list[Any]()
        shape = resized(x.view.shape, axis, blocks(found.length, share.chunk))
        try:
            for size in (x.dtype.itemsize, out.dtype.itemsize):
                held.append(driver.allocate(prod(shape) * size))
            keys, places = lane_last(held[0], x, shape, axis), lane_last(held[1], out, shape, axis)
            self._launch(lanes([x, places], axis), share, places, x, flip, keep=keys)
            last = lanes([keys, out], axis)
            once = replace(last.share(self.machine, EACH), chunk=0)
            self._launch(last, once, out, keys, turn(x.dtype, False), places=places)
        finally:
            for buffer in held:
                driver.free(buffer)

    def _launch(
        self, found: Lanes, share: Share, out: Operand, x: Operand, flip: int | float,
        keep: Operand | None = None, places: Operand | None = None,
    ) -> None:  # fmt: skip
        launcher, dialect = self.launcher, self.launcher.dialect
        group = 1 if self.machine.is_cpu else self.machine.group
        compiled = launcher.compiled(
            ("argreduce", x.dtype), lambda: argreduce_kernel(x.dtype, dialect, group)
        )
        chunk = share.chunk or found.length
        words: list[Any] = [x.buffer, x.view.offset, out.buffer, out.view.offset]
        words += [(keep or x).buffer, (places or out).buffer, flip, int(keep is not None),
                  int(places is not None), found.count, share.span, found.length, chunk,
                  found.steps[0], launcher.table(table(found.walk))]  # fmt: skip
        groups = (share.groups, blocks(found.length, chunk), 1)
        launcher.driver.launch(compiled, groups, words)
