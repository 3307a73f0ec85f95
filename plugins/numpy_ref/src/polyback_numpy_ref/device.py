"""The executable definition of the protocol: what NumPy does to strided arrays.

If another backend and this one disagree, this one is right, or it has a bug that must be fixed here
first. Clarity comes before speed everywhere: an operand becomes an ndarray over the same bytes, and
each method is the NumPy expression of its contract, in a file for each family. Sums of float32 are
accumulated in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, final

import numpy as np

from polyback import scalar
from polyback.device import NAMES, Caps, Device, Operand, full_claims
from polyback.errors import DeviceClosed, InvalidArgument, OutOfMemory, UnsupportedOp
from polyback.feature_check import (
    check_argreduce,
    check_conv2d,
    check_layer_norm,
    check_pool2d,
    check_scan,
    check_softmax,
    check_sort,
)
from polyback.features import FEATURES, MemoryStats, Window
from polyback.operand_check import check_matmul_fused
from polyback.program import Number, Program
from polyback.scalar import Reduction
from polyback.view import View
from polyback_numpy_ref import indexing, reduction, rows, windows
from polyback_numpy_ref.operands import array

ALIGNMENT = 64


PROTOCOL: Final = (1, 2)  # what this version was written for


def _claims() -> Caps:
    """Everything in the tables, complex included. A newer core may list features that came after
    this version: they are not ours."""
    known = frozenset(f.name for f in FEATURES if f.since <= PROTOCOL)
    return replace(full_claims(NAMES), features=known)


@final
class HostBuffer:
    """Bytes in main memory."""

    adopted = False  # the memory is somebody else's

    def __init__(self, nbytes: int) -> None:
        raw = np.empty(nbytes + ALIGNMENT, np.uint8)
        start = -raw.ctypes.data % ALIGNMENT
        self.bytes = raw[start : start + nbytes]
        self.nbytes = nbytes


@final
class NumpyDevice(Device):
    """The host, through NumPy."""

    def __init__(self, limit: int) -> None:
        self._caps = _claims()
        self._limit, self._live, self._peak, self._count = limit, 0, 0, 0
        self._closed = False

    @property
    def caps(self) -> Caps:
        return self._caps

    def allocate(self, nbytes: int) -> HostBuffer:
        self._check_open()
        if self._limit and self._live + nbytes > self._limit:
            raise self._out_of_memory(nbytes)
        try:
            buffer = HostBuffer(nbytes)
        except (MemoryError, ValueError):
            raise self._out_of_memory(nbytes) from None
        self._live, self._count = self._live + nbytes, self._count + 1
        self._peak = max(self._peak, self._live)
        return buffer

    def free(self, buffer: HostBuffer) -> None:
        self._live -= 0 if buffer.adopted else buffer.nbytes
        buffer.bytes = np.empty(0, np.uint8)

    def upload(self, buffer: HostBuffer, offset: int, source: memoryview) -> None:
        self._check_open()
        data = np.frombuffer(source, np.uint8)
        buffer.bytes[offset : offset + data.size] = data

    def download(self, buffer: HostBuffer, offset: int, target: memoryview) -> None:
        self._check_open()
        data = np.frombuffer(target, np.uint8)
        data[...] = buffer.bytes[offset : offset + data.size]

    def synchronize(self) -> None:
        self._check_open()

    def close(self) -> None:
        self._closed = True

    def elementwise(
        self, program: Program, outs: Sequence[Operand], ins: Sequence[Operand | Number]
    ) -> None:
        self._check_open()
        self._check_claimed(program)
        values = self._run(program, ins, outs[0].view.shape)
        if len(outs) > 1:  # an output may be an input that another output overwrites
            values = [np.copy(value) for value in values]
        for out, value in zip(outs, values, strict=True):
            array(out)[...] = value

    def prepare(
        self, program: Program, outs: Sequence[Operand], ins: Sequence[Operand | Number]
    ) -> Callable[[Sequence[Operand], Sequence[Operand | Number]], None]:
        """Feature: the definition keeps nothing."""
        self._check_open()
        self._check_claimed(program)
        return partial(self.elementwise, program)

    def reduce(self, op: Reduction, out: Operand, x: Operand, axes: tuple[int, ...]) -> None:
        self._check_open()
        if x.dtype.name not in self._caps.reductions[op.name]:
            raise UnsupportedOp(f"[{op.name}] numpy_ref does not reduce {x.dtype}")
        if out.dtype is not x.dtype:
            raise InvalidArgument(f"[{op.name}] types differ: {x.dtype} to {out.dtype}")
        array(out)[...] = reduction.reduce(op, array(x), axes)

    def matmul(self, out: Operand, a: Operand, b: Operand) -> None:
        self._check_open()
        if a.dtype.name not in self._caps.matmul:
            raise UnsupportedOp(f"[matmul] numpy_ref does not multiply {a.dtype}")
        if not a.dtype is b.dtype is out.dtype:
            raise InvalidArgument(f"[matmul] types differ: {a.dtype}, {b.dtype} to {out.dtype}")
        with np.errstate(all="ignore"):
            array(out)[...] = np.matmul(array(a), array(b))

    # --- optional features ---------------------------------------------------------------------

    def reduce_fused(
        self,
        op: Reduction,
        out: Operand,
        program: Program,
        ins: Sequence[Operand | Number],
        axes: tuple[int, ...],
    ) -> None:
        """Feature: run the program, reduce its output."""
        self._check_open()
        self._check_claimed(program)
        shape = next(x.view.shape for x in ins if isinstance(x, Operand))
        (value,) = self._run(program, ins, shape)
        array(out)[...] = reduction.reduce(op, np.broadcast_to(value, shape), axes)

    def matmul_fused(
        self,
        out: Operand,
        a: Operand,
        b: Operand,
        program: Program,
        ins: Sequence[Operand | Number | None],
    ) -> None:
        """Feature ``gemm_epilogue``: multiply, then run the program on what was multiplied."""
        self._check_open()
        check_matmul_fused(self._caps, out, a, b, program, ins)
        shape = out.view.shape
        buffer = self.allocate(View.contiguous(shape).size * a.dtype.itemsize)
        product = Operand(buffer, a.dtype, View.contiguous(shape))
        self.matmul(product, a, b)
        self.elementwise(program, [out], [product if x is None else x for x in ins])
        self.free(buffer)

    def gather(self, out: Operand, x: Operand, index: Operand, axis: int) -> None:
        """Feature."""
        self._check_open()
        array(out)[...] = np.take_along_axis(array(x), array(index), axis)

    def scatter(self, out: Operand, index: Operand, x: Operand, axis: int, mode: str) -> None:
        """Features ``scatter`` and ``scatter_minmax``."""
        self._check_open()
        indexing.scatter(array(out), array(index), array(x), axis, mode)

    def argsort(self, out: Operand, x: Operand, axis: int, descending: bool) -> None:
        """Feature."""
        self._check_open()
        array(out)[...] = self._order(x, axis, descending)

    def sort(self, out: Operand, x: Operand, axis: int, descending: bool) -> None:
        """Feature."""
        self._check_open()
        check_sort(self._caps, out, x, axis)
        order = self._order(x, axis, descending)
        array(out)[...] = np.take_along_axis(array(x), order, axis)

    @staticmethod
    def _order(x: Operand, axis: int, descending: bool) -> Any:
        values = array(x)
        if x.dtype.compute is not x.dtype:
            values = values.astype(x.dtype.compute.numpy)  # bfloat16 does not order its NaN
        return indexing.argsort(values, axis, descending)

    def scan(self, op: Reduction, out: Operand, x: Operand, axis: int) -> None:
        """Feature."""
        self._check_open()
        check_scan(self._caps, op, out, x, axis)
        array(out)[...] = reduction.scan(op, array(x), axis)

    def argreduce(self, op: Reduction, out: Operand, x: Operand, axis: int) -> None:
        """Feature."""
        self._check_open()
        check_argreduce(self._caps, op, out, x, axis)
        array(out)[...] = reduction.argreduce(op, array(x), axis)

    def softmax(self, out: Operand, x: Operand, axis: int, log: bool) -> None:
        """Feature."""
        self._check_open()
        check_softmax(self._caps, out, x, axis)
        _store(out, rows.softmax(array(x), axis, log))

    def layer_norm(
        self, out: Operand, mean: Operand, scale: Operand, x: Operand,
        weight: Operand | None, bias: Operand | None, eps: float,
    ) -> None:  # fmt: skip
        """Feature."""
        self._check_open()
        check_layer_norm(self._caps, out, mean, scale, x, weight, bias)
        factor, shift = (None if a is None else array(a) for a in (weight, bias))
        found = rows.layer_norm(array(x), factor, shift, eps)
        for operand, values in zip((out, mean, scale), found, strict=True):
            _store(operand, values)

    def conv2d(self, out: Operand, x: Operand, w: Operand, window: Window, groups: int) -> None:
        """Feature."""
        self._check_open()
        check_conv2d(self._caps, out, x, w, window, groups)
        _store(out, windows.conv2d(array(x), array(w), _size(out), window, groups))

    def conv2d_input(
        self, out: Operand, g: Operand, w: Operand, window: Window, groups: int
    ) -> None:
        """Feature ``conv2d``."""
        self._check_open()
        check_conv2d(self._caps, g, out, w, window, groups, "conv2d_input")
        _store(out, windows.conv2d_input(array(g), array(w), _size(out), window, groups))

    def conv2d_weight(
        self, out: Operand, x: Operand, g: Operand, window: Window, groups: int
    ) -> None:
        """Feature ``conv2d``."""
        self._check_open()
        check_conv2d(self._caps, g, x, out, window, groups, "conv2d_weight")
        _store(out, windows.conv2d_weight(array(x), array(g), _size(out), window, groups))

    def pool2d(
        self, op: Reduction, out: Operand, index: Operand | None, x: Operand,
        kernel: tuple[int, int], window: Window,
    ) -> None:  # fmt: skip
        """Feature."""
        self._check_open()
        check_pool2d(self._caps, op, out, index, x, kernel, window)
        values, places = windows.pool2d(op, array(x), kernel, _size(out), window)
        _store(out, values)
        if index is not None:
            array(index)[...] = places

    def memory_stats(self) -> MemoryStats:
        """Feature."""
        return MemoryStats(self._live, 0, self._peak, self._limit, self._count)

    def trim(self) -> None:
        """Feature ``memory_stats``: nothing is cached."""

    def adopt(self, memory: memoryview) -> HostBuffer:
        """Feature."""
        self._check_open()
        buffer = HostBuffer(0)
        buffer.bytes, buffer.adopted = np.frombuffer(memory, np.uint8), True
        buffer.nbytes = memory.nbytes
        return buffer

    def host_view(self, buffer: HostBuffer) -> memoryview:
        """Feature."""
        return buffer.bytes.data

    # --- helpers -------------------------------------------------------------------------------

    def _run(
        self, program: Program, ins: Sequence[Operand | Number], shape: tuple[int, ...]
    ) -> list[Any]:
        """Interpret the program: the meaning of every instruction is its row's NumPy function."""
        with np.errstate(all="ignore"):
            values: list[Any] = [
                array(x) if isinstance(x, Operand) else np.asarray(x, i.dtype.numpy)
                for x, i in zip(ins, program.inputs, strict=True)
            ]
            for instr in program.instrs:
                args = [values[a] for a in instr.args]
                if instr.row is scalar.CONST:
                    value = np.asarray(instr.value)
                elif instr.row is scalar.IOTA:
                    value = np.arange(int(np.prod(shape, dtype=np.int64))).reshape(shape)
                else:
                    value = instr.row.numpy(*args)
                values.append(_as_type(value, instr.dtype.numpy))
        return [values[o] for o in program.outputs]

    def _check_claimed(self, program: Program) -> None:
        missing = self._caps.missing(program)
        if missing:
            raise UnsupportedOp(f"[elementwise] numpy_ref lacks {', '.join(missing)}")

    def _check_open(self) -> None:
        if self._closed:
            raise DeviceClosed("[numpy_ref] the device is closed; open it again")

    def _out_of_memory(self, nbytes: int) -> OutOfMemory:
        return OutOfMemory(
            f"[numpy_ref] out of memory: {nbytes} bytes requested, {self._live} live, "
            f"limit {self._limit}",
            requested=nbytes, live=self._live, cached=0, limit=self._limit,
        )  # fmt: skip


def _store(out: Operand, values: Any) -> None:
    with np.errstate(all="ignore"):  # too large, or too small, for a narrower type
        array(out)[...] = values


def _size(x: Operand) -> tuple[int, int]:
    """Height and width."""
    height, width = x.view.shape[2:]
    return height, width


def _as_type(value: Any, dtype: Any) -> Any:
    if np.iscomplexobj(value) and dtype.kind not in "cb":
        value = value.real
    return np.asarray(value).astype(dtype, copy=False)
