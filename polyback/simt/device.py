"""A Device made of the kit: checks, then one launcher per family of kernels.

A call of the protocol runs its plan (:mod:`polyback.simt.plans`); the method of the same name with
an underscore is what is planned: the check, and the family that launches. A plugin derives from
:class:`SimtDevice` and passes its claims, dialect, machine and driver.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from polyback.device import Caps, Device, Operand
from polyback.dtype import DType, int64
from polyback.errors import DeviceClosed, InvalidArgument, UnsupportedOp
from polyback.feature_check import (
    check_argreduce,
    check_conv2d,
    check_layer_norm,
    check_pool2d,
    check_scan,
    check_softmax,
    check_sort,
)
from polyback.features import FEATURES as TABLE
from polyback.features import MemoryStats, Window
from polyback.operand_check import (
    check_matmul,
    check_matmul_fused,
    check_operands,
    check_reduce,
)
from polyback.program import Number, Program, copy_program
from polyback.scalar import Reduction
from polyback.simt.convolver import Convolver
from polyback.simt.dialect import Dialect
from polyback.simt.driver import Driver
from polyback.simt.geometry import Machine
from polyback.simt.indexer import Indexer
from polyback.simt.indexing import MODES
from polyback.simt.launcher import Launcher
from polyback.simt.locator import Locator
from polyback.simt.multiplier import Multiplier
from polyback.simt.normalizer import Normalizer
from polyback.simt.plans import Plans
from polyback.simt.pooler import Pooler
from polyback.simt.reducer import Reducer
from polyback.simt.scanner import Scanner
from polyback.simt.sorter import Sorter
from polyback.view import View

# All of the table but what needs the host's memory; a GPU sorts values by their places.
FEATURES: Final = frozenset(f.name for f in TABLE) - {"sort", "host_view", "adopt"}


class SimtDevice(Device):
    """All of the protocol for a device that compiles C-like kernels."""

    def __init__(
        self, name: str, caps: Caps, dialect: Dialect, machine: Machine, driver: Driver
    ) -> None:
        # a plugin that is older than the kit claims what its protocol has
        known = frozenset(f.name for f in TABLE if f.since <= caps.protocol)
        self._name, self._driver = name, driver
        self._caps = caps = replace(caps, features=caps.features & known)
        self._launcher = Launcher(caps, dialect, machine, driver)
        self._plans = Plans(self._launcher.driver, self._check_open)
        self._reducer = Reducer(self._launcher)
        self._multiplier = Multiplier(self._launcher, self._reducer)
        self._sorter = Sorter(self._launcher)
        self._indexer = Indexer(self._launcher, self._sorter)
        self._locator = Locator(self._launcher)
        self._scanner = Scanner(self._launcher, self._reducer)
        self._normalizer = Normalizer(self._launcher)
        self._convolver = Convolver(self._launcher, self._reducer)
        self._pooler = Pooler(self._launcher)
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
        self._plans.forget()
        self._launcher.forget()
        self._reducer.forget()
        self._convolver.forget()

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
        self.prepare(program, outs, ins)(outs, ins)

    def reduce(self, op: Reduction, out: Operand, x: Operand, axes: tuple[int, ...]) -> None:
        self._plans.run(self._reduce, (out, x), op, axes)

    def _reduce(self, out: Operand, x: Operand, op: Reduction, axes: tuple[int, ...]) -> None:
        check_reduce(self._caps, op, out, x, axes)
        self._reducer.reduce(op, out, copy_program(x.dtype, x.dtype), [x], axes)

    def matmul(self, out: Operand, a: Operand, b: Operand) -> None:
        self._plans.run(self._matmul, (out, a, b))

    def _matmul(self, out: Operand, a: Operand, b: Operand) -> None:
        check_matmul(self._caps, out, a, b)
        self._multiplier.matmul(out, a, b)

    # --- optional features ---------------------------------------------------------------------

    def prepare(
        self, program: Program, outs: Sequence[Operand], ins: Sequence[Operand | Number]
    ) -> Callable[[Sequence[Operand], Sequence[Operand | Number]], None]:
        """Feature."""
        if self._closed:
            self._check_open()
        return self._launcher.launch(program, outs, ins).run

    def reduce_fused(
        self, op: Reduction, out: Operand, program: Program, ins: Sequence[Operand | Number],
        axes: tuple[int, ...],
    ) -> None:  # fmt: skip
        """Feature."""
        self._plans.run_fused(self._reduce_fused, (out,), program, ins, op, axes)

    def _reduce_fused(
        self, out: Operand, program: Program, ins: Sequence[Operand | Number], op: Reduction,
        axes: tuple[int, ...],
    ) -> None:  # fmt: skip
        dtype = program.dtypes[program.outputs[0]]
        shape = next(x.view.shape for x in ins if isinstance(x, Operand))
        result = Operand(None, dtype, View.contiguous(shape))
        self._launcher.check(program)
        check_operands(program, [result], ins)
        check_reduce(self._caps, op, out, result, axes)
        self._reducer.reduce(op, out, program, ins, axes)

    def matmul_fused(
        self, out: Operand, a: Operand, b: Operand, program: Program,
        ins: Sequence[Operand | Number | None],
    ) -> None:  # fmt: skip
        """Feature ``gemm_epilogue``."""
        self._plans.run_fused(self._matmul_fused, (out, a, b), program, ins)

    def _matmul_fused(
        self, out: Operand, a: Operand, b: Operand, program: Program,
        ins: Sequence[Operand | Number | None],
    ) -> None:  # fmt: skip
        check_matmul_fused(self._caps, out, a, b, program, ins)
        self._multiplier.fused(out, a, b, program, ins)

    def gather(self, out: Operand, x: Operand, index: Operand, axis: int) -> None:
        """Feature."""
        self._plans.run(self._gather, (out, x, index), axis)

    def _gather(self, out: Operand, x: Operand, index: Operand, axis: int) -> None:
        self._check_indexed("gather", out, x, index, axis)
        self._indexer.gather(out, x, index, axis)

    def scatter(self, out: Operand, index: Operand, x: Operand, axis: int, mode: str) -> None:
        """Features ``scatter`` and ``scatter_minmax``. Combining needs a type that the device
        computes in."""
        self._plans.run(self._scatter, (out, index, x), axis, mode)

    def _scatter(self, out: Operand, index: Operand, x: Operand, axis: int, mode: str) -> None:
        self._check_indexed("scatter", x, out, index, axis)
        if mode not in MODES:
            raise InvalidArgument(f"[scatter] got mode {mode!r}, want one of {sorted(MODES)}")
        row = MODES[mode]
        if row and x.dtype.name not in self._caps.scalars[row.name]:
            raise UnsupportedOp(f"[scatter] {self._name} has no {row} of {x.dtype}")
        self._indexer.scatter(out, index, x, axis, mode)

    def argsort(self, out: Operand, x: Operand, axis: int, descending: bool) -> None:
        """Feature."""
        self._plans.run(self._argsort, (out, x), axis, descending)

    def _argsort(self, out: Operand, x: Operand, axis: int, descending: bool) -> None:
        self._check_stored("argsort", x.dtype)
        if x.dtype.kind == "complex":
            raise UnsupportedOp(f"[argsort] {self._name} does not sort {x.dtype}")
        if out.dtype is not int64 or out.view.shape != x.view.shape:
            raise InvalidArgument(
                f"[argsort] got {out.dtype} {out.view.shape}, want int64 {x.view.shape}"
            )
        self._sorter.argsort(out, x, axis, descending)

    def sort(self, out: Operand, x: Operand, axis: int, descending: bool) -> None:
        """Feature, on CPUs."""
        self._plans.run(self._sort, (out, x), axis, descending)

    def _sort(self, out: Operand, x: Operand, axis: int, descending: bool) -> None:
        if "sort" not in self._caps.features:
            raise UnsupportedOp(f"[sort] {self._name} sorts by argsort and gather")
        check_sort(self._caps, out, x, axis)
        self._sorter.sort(out, x, axis, descending)

    def argreduce(self, op: Reduction, out: Operand, x: Operand, axis: int) -> None:
        """Feature."""
        self._plans.run(self._argreduce, (out, x), op, axis)

    def _argreduce(self, out: Operand, x: Operand, op: Reduction, axis: int) -> None:
        check_argreduce(self._caps, op, out, x, axis)
        self._locator.argreduce(op, out, x, axis)

    def scan(self, op: Reduction, out: Operand, x: Operand, axis: int) -> None:
        """Feature."""
        self._plans.run(self._scan, (out, x), op, axis)

    def _scan(self, out: Operand, x: Operand, op: Reduction, axis: int) -> None:
        check_scan(self._caps, op, out, x, axis)
        self._scanner.scan(op, out, x, axis)

    def softmax(self, out: Operand, x: Operand, axis: int, log: bool) -> None:
        """Feature."""
        self._plans.run(self._softmax, (out, x), axis, log)

    def _softmax(self, out: Operand, x: Operand, axis: int, log: bool) -> None:
        check_softmax(self._caps, out, x, axis)
        self._normalizer.softmax(out, x, axis, log)

    def layer_norm(
        self, out: Operand, mean: Operand, scale: Operand, x: Operand, weight: Operand | None,
        bias: Operand | None, eps: float,
    ) -> None:  # fmt: skip
        """Feature."""
        self._plans.run(self._layer_norm, (out, mean, scale, x, weight, bias), eps)

    def _layer_norm(
        self, out: Operand, mean: Operand, scale: Operand, x: Operand, weight: Operand | None,
        bias: Operand | None, eps: float,
    ) -> None:  # fmt: skip
        check_layer_norm(self._caps, out, mean, scale, x, weight, bias)
        self._normalizer.layer_norm(out, mean, scale, x, weight, bias, eps)

    def conv2d(self, out: Operand, x: Operand, w: Operand, window: Window, groups: int) -> None:
        """Feature."""
        self._plans.run(self._conv2d, (out, x, w), window, groups)

    def _conv2d(self, out: Operand, x: Operand, w: Operand, window: Window, groups: int) -> None:
        check_conv2d(self._caps, out, x, w, window, groups)
        self._convolver.conv2d(out, x, w, window, groups)

    def conv2d_input(
        self, out: Operand, g: Operand, w: Operand, window: Window, groups: int
    ) -> None:
        """Feature ``conv2d``."""
        self._plans.run(self._conv2d_input, (out, g, w), window, groups)

    def _conv2d_input(
        self, out: Operand, g: Operand, w: Operand, window: Window, groups: int
    ) -> None:
        check_conv2d(self._caps, g, out, w, window, groups, "conv2d_input")
        self._convolver.conv2d_input(out, g, w, window, groups)

    def conv2d_weight(
        self, out: Operand, x: Operand, g: Operand, window: Window, groups: int
    ) -> None:
        """Feature ``conv2d``."""
        self._plans.run(self._conv2d_weight, (out, x, g), window, groups)

    def _conv2d_weight(
        self, out: Operand, x: Operand, g: Operand, window: Window, groups: int
    ) -> None:
        check_conv2d(self._caps, g, x, out, window, groups, "conv2d_weight")
        self._convolver.conv2d_weight(out, x, g, window, groups)

    def pool2d(
        self, op: Reduction, out: Operand, index: Operand | None, x: Operand,
        kernel: tuple[int, int], window: Window,
    ) -> None:  # fmt: skip
        """Feature."""
        self._plans.run(self._pool2d, (out, index, x), op, kernel, window)

    def _pool2d(
        self, out: Operand, index: Operand | None, x: Operand, op: Reduction,
        kernel: tuple[int, int], window: Window,
    ) -> None:  # fmt: skip
        check_pool2d(self._caps, op, out, index, x, kernel, window)
        self._pooler.pool2d(op, out, index, x, kernel, window)

    # --- checks --------------------------------------------------------------------------------

    def _check_indexed(
        self, op: str, dense: Operand, table: Operand, index: Operand, axis: int
    ) -> None:
        self._check_stored(op, dense.dtype)
        shape = dense.view.shape
        other = table.view.shape
        if index.dtype is not int64 or index.view.shape != shape:
            raise InvalidArgument(
                f"[{op}] got index {index.dtype} {index.view.shape}, want int64 {shape}"
            )
        if table.dtype is not dense.dtype or (
            other[:axis] + other[axis + 1 :] != shape[:axis] + shape[axis + 1 :]
        ):
            raise InvalidArgument(f"[{op}] got {table.dtype} {other}, want {dense.dtype} {shape}")

    def _check_stored(self, op: str, dtype: DType) -> None:
        if dtype.name not in self._caps.storage:
            raise UnsupportedOp(f"[{op}] {self._name} does not store {dtype}")

    def _check_open(self) -> None:
        if self._closed:
            raise DeviceClosed(f"[{self._name}] the device is closed; open it again")
