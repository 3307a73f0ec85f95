"""A Device made of the kit: checks, then one launcher per family of kernels.

A plugin derives from :class:`SimtDevice` and passes its claims, dialect, machine and driver.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

from polyback.device import Caps, Device, Operand
from polyback.dtype import DType, int64
from polyback.errors import DeviceClosed, InvalidArgument, UnsupportedOp
from polyback.features import MemoryStats
from polyback.operand_check import check_elementwise, check_matmul, check_reduce
from polyback.program import Number, Program, copy_program
from polyback.scalar import Reduction
from polyback.simt.dialect import Dialect
from polyback.simt.driver import Driver
from polyback.simt.geometry import Machine
from polyback.simt.launcher import Launcher
from polyback.simt.reducer import Reducer

FEATURES: Final = frozenset({"memory_stats"})


class SimtDevice(Device):
    """All of the protocol for a device that compiles C-like kernels."""

    def __init__(
        self, name: str, caps: Caps, dialect: Dialect, machine: Machine, driver: Driver
    ) -> None:
        self._name, self._caps, self._driver = name, caps, driver
        self._launcher = Launcher(dialect, machine, driver)
        self._reducer = Reducer(self._launcher)
        self._closed = False

    @property
    def caps(self) -> Caps:
        return self._caps

    # --- memory --------------------------------------------------------------------------------

    def allocate(self, nbytes: int) -> Any:
        return self._driver.allocate(nbytes)

    def free(self, buffer: Any) -> None:
        self._driver.free(buffer)

    def upload(self, buffer: Any, offset: int, source: memoryview) -> None:
        self._driver.upload(buffer, offset, source)

    def download(self, buffer: Any, offset: int, target: memoryview) -> None:
        self._driver.download(buffer, offset, target)

    def synchronize(self) -> None:
        self._driver.synchronize()

    def close(self) -> None:
        self._closed = True
        self._driver.close()
        self._launcher.forget()
        self._reducer.forget()

    def memory_stats(self) -> MemoryStats:
        """Feature."""
        return self._driver.memory_stats()

    def trim(self) -> None:
        """Feature ``memory_stats``."""
        self._driver.trim()

    # --- the required families -----------------------------------------------------------------

    def elementwise(
        self, program: Program, outs: Sequence[Operand], ins: Sequence[Operand | Number]
    ) -> None:
        self._check_open()
        check_elementwise(self._caps, program, outs, ins)
        self._launcher.elementwise(program, outs, ins)

    def reduce(self, op: Reduction, out: Operand, x: Operand, axes: tuple[int, ...]) -> None:
        self._check_open()
        check_reduce(self._caps, op, out, x, axes)
        self._reducer.reduce(op, out, copy_program(x.dtype, x.dtype), [x], axes)

    def matmul(self, out: Operand, a: Operand, b: Operand) -> None:
        self._check_open()
        raise UnsupportedOp("")

    def _check_open(self) -> None:
        if self._closed:
            raise DeviceClosed(f"[{self._name}] the device is closed; open it again")
