"""The device's methods that slide windows over images (``csrc/conv.h``, ``csrc/window.h``)."""

from __future__ import annotations

import struct
from typing import Final

from polyback.device import Operand
from polyback.feature_check import check_conv2d, check_pool2d
from polyback.features import Window
from polyback.scalar import MAX, Reduction
from polyback_cpu_c import driver
from polyback_cpu_c.indexing import DTYPE_NUMBERS
from polyback_cpu_c.memory import Opened
from polyback_cpu_c.operands import address

_CONV: Final = struct.Struct("=28q")
_POOL: Final = struct.Struct("=26q")
_POINTERS: Final = struct.Struct("=3Q")
_RESULT, _INPUT, _WEIGHT = range(3)  # enum pb_conv_kind


class Windowed(Opened):
    """A part of the device."""

    def conv2d(self, out: Operand, x: Operand, w: Operand, window: Window, groups: int) -> None:
        """Feature."""
        self._conv(_RESULT, "conv2d", x, w, out, window, groups)

    def conv2d_input(
        self, out: Operand, g: Operand, w: Operand, window: Window, groups: int
    ) -> None:
        """Feature ``conv2d``."""
        self._conv(_INPUT, "conv2d_input", out, w, g, window, groups)

    def conv2d_weight(
        self, out: Operand, x: Operand, g: Operand, window: Window, groups: int
    ) -> None:
        """Feature ``conv2d``."""
        self._conv(_WEIGHT, "conv2d_weight", x, out, g, window, groups)

    def _conv(
        self, kind: int, op: str, x: Operand, w: Operand, y: Operand, window: Window, groups: int
    ) -> None:
        self.check_open()
        check_conv2d(self._caps, y, x, w, window, groups, op)
        images, channels, *size = x.view.shape
        outs, _, *taps = w.view.shape
        spec = _CONV.pack(
            images, groups, channels // groups, outs // groups, *size, *y.view.shape[2:], *taps,
            *window.stride, *window.padding, *window.dilation,
            *x.view.strides, *w.view.strides, *y.view.strides,
        )  # fmt: skip
        size_of = x.dtype.itemsize
        pointers = _POINTERS.pack(*(address(operand, size_of) for operand in (x, w, y)))
        number = DTYPE_NUMBERS[x.dtype.code]
        driver.check(driver.conv2d(self._isa, number, kind, spec, pointers), op)

    def pool2d(
        self, op: Reduction, out: Operand, index: Operand | None, x: Operand,
        kernel: tuple[int, int], window: Window,
    ) -> None:  # fmt: skip
        """Feature."""
        self.check_open()
        check_pool2d(self._caps, op, out, index, x, kernel, window)
        images, channels, *size = x.view.shape
        spec = _POOL.pack(
            images, channels, *size, *out.view.shape[2:], *kernel,
            *window.stride, *window.padding, *window.dilation,
            *x.view.strides, *out.view.strides, *(index.view.strides if index else (0,) * 4),
        )  # fmt: skip
        size_of = x.dtype.itemsize
        places = address(index, 8) if index else 0
        pointers = _POINTERS.pack(address(x, size_of), address(out, size_of), places)
        number = DTYPE_NUMBERS[x.dtype.code]
        driver.check(driver.pool2d(self._isa, number, op is MAX, spec, pointers), "pool2d")
