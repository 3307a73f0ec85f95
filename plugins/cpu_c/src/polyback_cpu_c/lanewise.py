"""The device's methods that work lane by lane along one axis (``csrc/rows.h``)."""

from __future__ import annotations

from polyback.device import Operand
from polyback.dtype import int64
from polyback.errors import UnsupportedOp
from polyback.feature_check import (
    check_argreduce,
    check_layer_norm,
    check_scan,
    check_softmax,
    check_sort,
)
from polyback.scalar import Reduction
from polyback_cpu_c import driver
from polyback_cpu_c.indexing import DTYPE_NUMBERS
from polyback_cpu_c.lanes import lanes_of
from polyback_cpu_c.memory import Opened
from polyback_cpu_c.operands import mismatch


class Lanewise(Opened):
    """A part of the device."""

    def argsort(self, out: Operand, x: Operand, axis: int, descending: bool) -> None:
        """Feature."""
        self.check_open()
        if x.dtype.kind == "complex":
            raise UnsupportedOp(f"[argsort] cpu_c does not sort {x.dtype}")
        if out.dtype is not int64 or out.view.shape != x.view.shape:
            raise mismatch("argsort", out, int64, x.view.shape)
        number = DTYPE_NUMBERS[x.dtype.code]
        status = driver.argsort(number, descending, *lanes_of(axis, x, out))
        driver.check(status, "argsort")

    def sort(self, out: Operand, x: Operand, axis: int, descending: bool) -> None:
        """Feature."""
        self.check_open()
        check_sort(self._caps, out, x, axis)
        number = DTYPE_NUMBERS[x.dtype.code]
        status = driver.sort(self._isa, number, descending, *lanes_of(axis, x, out))
        driver.check(status, "sort")

    def scan(self, op: Reduction, out: Operand, x: Operand, axis: int) -> None:
        """Feature."""
        self.check_open()
        check_scan(self._caps, op, out, x, axis)
        number, size = driver.REDUCES[f"{op.name}_{x.dtype.code}"], x.dtype.itemsize
        driver.check(driver.scan(self._isa, number, size, *lanes_of(axis, x, out)), "scan")

    def argreduce(self, op: Reduction, out: Operand, x: Operand, axis: int) -> None:
        """Feature."""
        self.check_open()
        check_argreduce(self._caps, op, out, x, axis)
        number, size = driver.REDUCES[f"{op.name}_{x.dtype.code}"], x.dtype.itemsize
        driver.check(driver.place(self._isa, number, size, *lanes_of(axis, x, out)), "argreduce")

    def softmax(self, out: Operand, x: Operand, axis: int, log: bool) -> None:
        """Feature."""
        self.check_open()
        check_softmax(self._caps, out, x, axis)
        number = DTYPE_NUMBERS[x.dtype.code]
        status = driver.softmax(self._isa, number, *lanes_of(axis, x, out), log)
        driver.check(status, "softmax")

    def layer_norm(
        self, out: Operand, mean: Operand, scale: Operand, x: Operand,
        weight: Operand | None, bias: Operand | None, eps: float,
    ) -> None:  # fmt: skip
        """Feature."""
        self.check_open()
        check_layer_norm(self._caps, out, mean, scale, x, weight, bias)
        number = DTYPE_NUMBERS[x.dtype.code]
        lanes = lanes_of(x.view.ndim - 1, x, out, mean, scale, weight, bias)
        driver.check(driver.layer_norm(self._isa, number, *lanes, eps), "layer_norm")
