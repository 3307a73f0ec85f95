"""Launches of sums and maxima under windows."""

from __future__ import annotations

from math import isqrt
from typing import Final, final

from polyback.device import Operand
from polyback.features import Window
from polyback.scalar import Reduction
from polyback.simt.geometry import blocks, spans
from polyback.simt.launcher import Launcher
from polyback.simt.pooling import COLUMNS, pool_kernel

CPU_SPAN: Final = 64  # least units of a work-item on a CPU


@final
class Pooler:
    """Pooling on one device."""

    def __init__(self, launcher: Launcher) -> None:
        self.launcher, self.machine = launcher, launcher.machine

    def pool2d(
        self, op: Reduction, out: Operand, index: Operand | None, x: Operand,
        kernel: tuple[int, int], window: Window,
    ) -> None:  # fmt: skip
        """A checked pooling."""
        if out.view.size == 0:
            return
        launcher, machine = self.launcher, self.machine
        group = 1 if machine.is_cpu else machine.group
        compiled = launcher.compiled(
            ("pool", op, x.dtype), lambda: pool_kernel(op, x.dtype, launcher.dialect, group)
        )
        images, channels, rows, columns = out.view.shape
        units, span = images * channels * rows * columns, 0
        groups = blocks(units, group)
        if machine.is_cpu:
            units = images * channels * rows * blocks(columns, COLUMNS)
            groups, span = spans(units, machine, CPU_SPAN, 1)
        places = index or out
        words = [units, span, channels, rows, columns, *x.view.strides, *out.view.strides]
        words += places.view.strides
        for axis in (0, 1):
            words += [kernel[axis], window.stride[axis], window.padding[axis],
                      window.dilation[axis], x.view.shape[2 + axis]]  # fmt: skip
        words += [max(16, isqrt(kernel[0] * kernel[1])), int(index is not None)]
        arguments = (x.buffer, x.view.offset, out.buffer, out.view.offset, places.buffer,
                     places.view.offset, launcher.table(words))  # fmt: skip
        launcher.driver.launch(compiled, (groups, 1, 1), arguments)
