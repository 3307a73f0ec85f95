"""Adapters that make a first backend small.

:class:`Stepwise` is a base class: it runs a Program one instruction at a time with the methods of a
typical array library (``unary``, ``binary``, ``where``, ``cast``, ``copy``, ``fill``), keeping
intermediate values in temporaries. :class:`ContiguousOnly` wraps a device whose kernels read dense
row-major memory only; the registry applies it to every device that says so in ``caps.layouts``.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, final

import numpy as np

from polyback import scalar
from polyback.device import Caps, Device, Operand
from polyback.dtype import DType
from polyback.features import FEATURES, Window
from polyback.operand_check import check_elementwise
from polyback.program import Instr, Number, Program
from polyback.scalar import Reduction, Scalar
from polyback.view import Shape, View, row_major


def adapt(device: Device) -> Device:
    """``device`` itself, or wrapped so that it takes operands of any layout."""
    return ContiguousOnly(device) if device.caps.layouts == "contiguous" else device


def nbytes(shape: Shape, dtype: DType) -> int:
    """Bytes of a dense array."""
    return View.contiguous(shape).size * dtype.itemsize


# --- Stepwise -------------------------------------------------------------------------------------


class Stepwise(Device):
    """A Device whose author writes one method per kind of instruction, not ``elementwise``.

    In every method all operands have the shape of ``out``; ``out`` shares no element with another
    operand and is written completely. Numbers arrive as operands with stride 0 (as dense ones where
    ``caps.layouts`` is "contiguous"). Combinations outside ``caps`` never arrive.
    """

    @abstractmethod
    def unary(self, row: Scalar, out: Operand, x: Operand) -> None:
        """``out = row(x)`` for a row with one operand; ``out.dtype`` is the row's result type."""

    @abstractmethod
    def binary(self, row: Scalar, out: Operand, x: Operand, y: Operand) -> None:
        """``out = row(x, y)``; ``x`` and ``y`` have one type."""

    @abstractmethod
    def where(self, out: Operand, c: Operand, x: Operand, y: Operand) -> None:
        """``out = x where c else y``; ``c`` is bool, the others have one type."""

    @abstractmethod
    def cast(self, out: Operand, x: Operand) -> None:
        """``out = x`` as ``out.dtype``: to bool is ``x != 0``, float to integer truncates."""

    @abstractmethod
    def copy(self, out: Operand, x: Operand) -> None:
        """``out = x``, of the same type."""

    @abstractmethod
    def fill(self, out: Operand, number: Number) -> None:
        """``out = number`` everywhere."""

    def iota(self, out: Operand) -> None:
        """``out`` = 0, 1, 2, ... in row-major order, int64. This default counts on the host."""
        shape, count = out.view.shape, np.arange(out.view.size, dtype=np.int64)
        buffer = self.allocate(count.nbytes)
        try:
            self.upload(buffer, 0, count.view(np.uint8).data)
            self.copy(out, Operand(buffer, out.dtype, View.contiguous(shape)))
        finally:
            self.free(buffer)

    @final
    def elementwise(
        self, program: Program, outs: Sequence[Operand], ins: Sequence[Operand | Number]
    ) -> None:
        """Runs the instructions one after the other."""
        check_elementwise(self.caps, program, outs, ins)
        if outs[0].view.size:
            _Run(self, program, outs).run(ins)


@final
class _Run:
    """One execution of a Program: where each value lies, and which of those are temporaries."""

    def __init__(self, device: Stepwise, program: Program, outs: Sequence[Operand]) -> None:
        self.device, self.program, self.outs = device, program, outs
        self.shape = outs[0].view.shape
        self.dense = device.caps.layouts == "contiguous"
        self.values: list[Operand] = []
        self.temporaries: dict[int, Any] = {}  # value number -> buffer

    def run(self, ins: Sequence[Operand | Number]) -> None:
        given = {id(x.buffer) for x in ins if isinstance(x, Operand)}
        in_place = any(id(out.buffer) in given for out in self.outs)
        direct = {} if in_place else dict(zip(self.program.outputs, self.outs, strict=True))
        try:
            for number, x in enumerate(ins):
                self.values.append(x if isinstance(x, Operand) else self.constant(number, x))
            if in_place:
                self.save_returned_inputs()
            for position, instr in enumerate(self.program.instrs):
                number = len(self.values)
                if instr.row is scalar.CONST and number not in direct:
                    assert instr.value is not None
                    self.values.append(self.constant(number, instr.value))
                else:
                    self.values.append(direct.get(number) or self.temporary(number))
                    self.step(instr, self.values[number])
                self.release(position, {number, *instr.args})
            for number, out in zip(self.program.outputs, self.outs, strict=True):
                if self.values[number] is not out:
                    self.device.copy(out, self.values[number])
        finally:
            for buffer in self.temporaries.values():
                self.device.free(buffer)

    def step(self, instr: Instr, out: Operand) -> None:
        device, args = self.device, [self.values[a] for a in instr.args]
        if instr.row is scalar.CONST:
            assert instr.value is not None
            device.fill(out, instr.value)
        elif instr.row is scalar.IOTA:
            device.iota(out)
        elif instr.row is scalar.CAST:
            (device.copy if args[0].dtype is out.dtype else device.cast)(out, *args)
        elif instr.row is scalar.WHERE:
            device.where(out, *args)
        elif instr.row.arity == 1:
            device.unary(instr.row, out, *args)
        else:
            device.binary(instr.row, out, *args)

    def temporary(self, number: int, shape: Shape | None = None) -> Operand:
        """Fresh memory for value ``number``."""
        dtype, shape = self.program.dtypes[number], self.shape if shape is None else shape
        buffer = self.temporaries[number] = self.device.allocate(nbytes(shape, dtype))
        return Operand(buffer, dtype, View.contiguous(shape))

    def constant(self, number: int, value: Number) -> Operand:
        """A number as an operand: one element that every index reads."""
        operand = self.temporary(number, self.shape if self.dense else ())
        self.device.fill(operand, value)
        return Operand(operand.buffer, operand.dtype, operand.view.expand(self.shape))

    def release(self, position: int, numbers: set[int]) -> None:
        """Free those of ``numbers`` that are temporaries and that no later instruction reads."""
        for number in numbers:
            if self.program.last_use[number] <= position and number in self.temporaries:
                self.device.free(self.temporaries.pop(number))

    def save_returned_inputs(self) -> None:
        """Copy inputs that are also outputs: another output may overwrite them first."""
        for number in set(self.program.outputs):
            if number < len(self.program.inputs) and number not in self.temporaries:
                saved = self.temporary(number)
                self.device.copy(saved, self.values[number])
                self.values[number] = saved


# --- ContiguousOnly -------------------------------------------------------------------------------

_WRAPPED: Final = frozenset(feature.name for feature in FEATURES) - {"prepare"}  # nothing to keep
_PASSED: Final = frozenset({"memory_stats", "trim", "host_view", "adopt"})


@final
class ContiguousOnly(Device):
    """Gives a device with ``caps.layouts == "contiguous"`` operands of every layout.

    What is not dense and row-major is rearranged on the host into a temporary (download, reorder,
    upload), and results go back the same way, so the wrapped device needs no strided kernel at all.
    It sees views ``View(shape, row_major(shape), offset)`` only. One call runs at a time, because
    writing a strided result rewrites the bytes between its elements.
    """

    def __init__(self, device: Device) -> None:
        self._device: Any = device  # Any: optional features are called when claimed
        self._lock = threading.RLock()
        features = device.caps.features & _WRAPPED
        self._caps = replace(device.caps, layouts="strided", features=features)

    @property
    def caps(self) -> Caps:
        """The wrapped device's claims, for every layout."""
        return self._caps

    def allocate(self, nbytes: int) -> Any:
        """As the wrapped device does."""
        return self._device.allocate(nbytes)

    def free(self, buffer: Any) -> None:
        """As the wrapped device does."""
        self._device.free(buffer)

    def upload(self, buffer: Any, offset: int, source: memoryview) -> None:
        """As the wrapped device does."""
        with self._lock:
            self._device.upload(buffer, offset, source)

    def download(self, buffer: Any, offset: int, target: memoryview) -> None:
        """As the wrapped device does."""
        with self._lock:
            self._device.download(buffer, offset, target)

    def synchronize(self) -> None:
        """As the wrapped device does."""
        self._device.synchronize()

    def close(self) -> None:
        """As the wrapped device does."""
        self._device.close()

    def elementwise(
        self, program: Program, outs: Sequence[Operand], ins: Sequence[Operand | Number]
    ) -> None:
        """``elementwise`` on dense copies."""
        call = self._device.elementwise
        self._packed(lambda o, i: call(program, o, i), outs, ins)

    def reduce(self, op: Reduction, out: Operand, x: Operand, axes: tuple[int, ...]) -> None:
        """``reduce`` on dense copies."""
        self._packed(lambda o, i: self._device.reduce(op, *o, *i, axes), [out], [x])

    def matmul(self, out: Operand, a: Operand, b: Operand) -> None:
        """``matmul`` on dense copies."""
        self._packed(lambda o, i: self._device.matmul(*o, *i), [out], [a, b])

    def reduce_fused(
        self,
        op: Reduction,
        out: Operand,
        program: Program,
        ins: Sequence[Operand | Number],
        axes: tuple[int, ...],
    ) -> None:
        """Feature ``reduce_fused`` on dense copies."""
        call = self._device.reduce_fused
        self._packed(lambda o, i: call(op, *o, program, i, axes), [out], ins)

    def matmul_fused(
        self,
        out: Operand,
        a: Operand,
        b: Operand,
        program: Program,
        ins: Sequence[Operand | Number | None],
    ) -> None:
        """Feature ``gemm_epilogue`` on dense copies."""
        call = self._device.matmul_fused
        self._packed(lambda o, i: call(*o, *i[:2], program, i[2:]), [out], [a, b, *ins])

    def gather(self, out: Operand, x: Operand, index: Operand, axis: int) -> None:
        """Feature ``gather`` on dense copies."""
        self._packed(lambda o, i: self._device.gather(*o, *i, axis), [out], [x, index])

    def scatter(self, out: Operand, index: Operand, x: Operand, axis: int, mode: str) -> None:
        """Features ``scatter`` and ``scatter_minmax`` on dense copies; ``out`` is read first."""
        call = self._device.scatter
        self._packed(lambda o, i: call(*o, *i, axis, mode), [out], [index, x], read_outs=True)

    def argsort(self, out: Operand, x: Operand, axis: int, descending: bool) -> None:
        """Feature ``argsort`` on dense copies."""
        self._packed(lambda o, i: self._device.argsort(*o, *i, axis, descending), [out], [x])

    def sort(self, out: Operand, x: Operand, axis: int, descending: bool) -> None:
        """Feature ``sort`` on dense copies."""
        self._packed(lambda o, i: self._device.sort(*o, *i, axis, descending), [out], [x])

    def scan(self, op: Reduction, out: Operand, x: Operand, axis: int) -> None:
        """Feature ``scan`` on dense copies."""
        self._packed(lambda o, i: self._device.scan(op, *o, *i, axis), [out], [x])

    def argreduce(self, op: Reduction, out: Operand, x: Operand, axis: int) -> None:
        """Feature ``argreduce`` on dense copies."""
        self._packed(lambda o, i: self._device.argreduce(op, *o, *i, axis), [out], [x])

    def softmax(self, out: Operand, x: Operand, axis: int, log: bool) -> None:
        """Feature ``softmax`` on dense copies."""
        self._packed(lambda o, i: self._device.softmax(*o, *i, axis, log), [out], [x])

    def layer_norm(
        self, out: Operand, mean: Operand, scale: Operand, x: Operand,
        weight: Operand | None, bias: Operand | None, eps: float,
    ) -> None:  # fmt: skip
        """Feature ``layer_norm`` on dense copies."""
        call, outs = self._device.layer_norm, [out, mean, scale]
        self._packed(lambda o, i: call(*o, *i, eps), outs, [x, weight, bias])

    def conv2d(self, out: Operand, x: Operand, w: Operand, window: Window, groups: int) -> None:
        """Feature ``conv2d`` on dense copies."""
        self._packed(lambda o, i: self._device.conv2d(*o, *i, window, groups), [out], [x, w])

    def conv2d_input(
        self, out: Operand, g: Operand, w: Operand, window: Window, groups: int
    ) -> None:
        """Feature ``conv2d`` on dense copies."""
        self._packed(lambda o, i: self._device.conv2d_input(*o, *i, window, groups), [out], [g, w])

    def conv2d_weight(
        self, out: Operand, x: Operand, g: Operand, window: Window, groups: int
    ) -> None:
        """Feature ``conv2d`` on dense copies."""
        self._packed(lambda o, i: self._device.conv2d_weight(*o, *i, window, groups), [out], [x, g])

    def pool2d(
        self, op: Reduction, out: Operand, index: Operand | None, x: Operand,
        kernel: tuple[int, int], window: Window,
    ) -> None:  # fmt: skip
        """Feature ``pool2d`` on dense copies."""

        def call(o: list[Operand], i: list[Any]) -> None:
            place = o[1] if len(o) > 1 else None
            self._device.pool2d(op, o[0], place, *i, kernel, window)

        self._packed(call, [out] if index is None else [out, index], [x])

    def __getattr__(self, name: str) -> Any:
        """Features without operands are the wrapped device's own."""
        if name in _PASSED:
            return getattr(self._device, name)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    # --- rearranging ---------------------------------------------------------------------------

    def _packed(
        self,
        call: Callable[[list[Operand], list[Any]], None],
        outs: Sequence[Operand],
        ins: Sequence[Operand | Number | None],
        read_outs: bool = False,
    ) -> None:
        temporaries: list[Any] = []
        with self._lock:
            try:
                dense_ins = [
                    self._dense(x, temporaries, True) if isinstance(x, Operand) else x for x in ins
                ]
                dense_outs = [self._dense(out, temporaries, read_outs) for out in outs]
                call(dense_outs, dense_ins)
                for dense, out in zip(dense_outs, outs, strict=True):
                    if dense.buffer is not out.buffer:
                        self._write(out, self._read(dense))
            finally:
                for buffer in temporaries:
                    self._device.free(buffer)

    def _dense(self, x: Operand, temporaries: list[Any], read: bool) -> Operand:
        """``x`` if it is dense, else a dense temporary, with its elements if ``read``."""
        shape = x.view.shape
        if x.view.is_contiguous:
            start = x.view.offset if x.view.size else 0
            return Operand(x.buffer, x.dtype, View(shape, row_major(shape), start))
        buffer = self._device.allocate(nbytes(shape, x.dtype))
        temporaries.append(buffer)
        dense = Operand(buffer, x.dtype, View.contiguous(shape))
        if read:
            self._write(dense, self._read(x))
        return dense

    def _span(self, x: Operand) -> tuple[int, Any]:
        """The bytes between the first and the last element: where they start, and a host copy."""
        low, high = x.view.bounds
        size = x.dtype.itemsize
        data = np.empty((high - low) * size, np.uint8)
        self._device.download(x.buffer, low * size, data.data)
        return low * size, data

    def _read(self, x: Operand) -> Any:
        """The elements of ``x`` on the host."""
        start, data = self._span(x)
        return _elements(x, data, start).copy()

    def _write(self, out: Operand, elements: Any) -> None:
        if out.view.size == 0:
            return
        if out.view.is_contiguous:
            start, data = out.view.offset * out.dtype.itemsize, np.ascontiguousarray(elements)
        else:
            start, data = self._span(out)
            _elements(out, data, start)[...] = elements
        self._device.upload(out.buffer, start, data.reshape(-1).view(np.uint8).data)


def _elements(x: Operand, data: Any, start: int) -> Any:
    """The elements of ``x`` inside ``data``, the bytes of its buffer from byte ``start``."""
    size = x.dtype.itemsize
    if x.view.size == 0:
        return np.empty(x.view.shape, x.dtype.numpy)
    strides = tuple(s * size for s in x.view.strides)
    offset = x.view.offset * size - start
    return np.ndarray(x.view.shape, x.dtype.numpy, data, offset, strides)
