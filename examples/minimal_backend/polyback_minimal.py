"""A complete polyback backend: device ``minimal``, NumPy standing in for your library.
Stepwise asks for one method per kind of instruction; with layouts="contiguous" the core rearranges
operands, so that every one is a dense array at an offset of a flat buffer."""

# ruff: noqa: D102, I001 - each method's contract is in polyback.device or polyback.adapters
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from polyback.adapters import Stepwise
from polyback.config import Config
from polyback.device import (
    Available, Backend, BackendDescriptor, Caps, DeviceInfo, Limits, MINIMUM_STORAGE, Operand,
    required_claims,
)  # fmt: skip
from polyback.errors import DeviceClosed, InvalidArgument, OutOfMemory
from polyback.hooks import hookimpl
from polyback.operand_check import check_matmul, check_reduce
from polyback.program import Number
from polyback.scalar import Reduction, Scalar


@hookimpl
def polyback_backend() -> BackendDescriptor:
    """Who we are; nothing is opened here."""
    tested, factory = ((1, 0), (1, 0)), "polyback_minimal:MinimalBackend"  # protocol 1.0 to 1.0
    return BackendDescriptor("minimal", factory, "cpu", tested, priority=-10)


class MinimalBackend(Backend):
    """Finds and opens our one device."""

    def probe(self) -> Available:
        return Available("NumPy")  # or Unavailable(code, reason, fix): no driver, say

    def devices(self) -> Sequence[DeviceInfo]:
        return [DeviceInfo(0, "cpu", "minimal example on the host")]

    def open(self, index: int, config: Config) -> MinimalDevice:
        if index != 0:
            raise InvalidArgument(f"[minimal] no device {index}; want 0")
        return MinimalDevice()  # import and start heavy things here, not at the top


class MinimalDevice(Stepwise):
    """Memory is a NumPy array of bytes; `row.numpy` stands for your kernel of that name."""

    def __init__(self) -> None:
        least = required_claims(MINIMUM_STORAGE)  # what conformance insists on
        self._caps = replace(least, layouts="contiguous", limits=Limits(alignment=16))
        self._closed = False

    @property
    def caps(self) -> Caps:
        return self._caps

    def allocate(self, nbytes: int) -> Any:
        self.synchronize()
        try:
            return np.empty(nbytes, np.uint8)
        except MemoryError:
            raise OutOfMemory(f"[minimal] no {nbytes} bytes left", requested=nbytes) from None

    def free(self, buffer: Any) -> None:
        pass  # NumPy's memory goes with its last reference

    def upload(self, buffer: Any, offset: int, source: memoryview) -> None:
        self.synchronize()
        buffer[offset : offset + source.nbytes] = np.frombuffer(source, np.uint8)

    def download(self, buffer: Any, offset: int, target: memoryview) -> None:
        self.synchronize()
        np.frombuffer(target, np.uint8)[...] = buffer[offset : offset + target.nbytes]

    def synchronize(self) -> None:
        if self._closed:
            raise DeviceClosed("[minimal] the device is closed; open it again")

    def close(self) -> None:
        self._closed = True

    def unary(self, row: Scalar, out: Operand, x: Operand) -> None:
        self._store(out, row.numpy, x)

    def binary(self, row: Scalar, out: Operand, x: Operand, y: Operand) -> None:
        self._store(out, row.numpy, x, y)

    def where(self, out: Operand, c: Operand, x: Operand, y: Operand) -> None:
        self._store(out, np.where, c, x, y)

    def cast(self, out: Operand, x: Operand) -> None:
        self._store(out, lambda a: a.astype(out.dtype.numpy), x)

    def copy(self, out: Operand, x: Operand) -> None:
        self._store(out, lambda a: a, x)

    def fill(self, out: Operand, number: Number) -> None:
        self._store(out, lambda: number)

    def reduce(self, op: Reduction, out: Operand, x: Operand, axes: tuple[int, ...]) -> None:
        check_reduce(self.caps, op, out, x, axes)
        wide = np.float64 if x.dtype.kind == "float" else x.dtype.numpy
        self._store(out, lambda a: op.numpy(a, axis=axes, dtype=wide, keepdims=True), x)

    def matmul(self, out: Operand, a: Operand, b: Operand) -> None:
        check_matmul(self.caps, out, a, b)
        self._store(out, np.matmul, a, b)

    def _store(self, out: Operand, kernel: Any, *operands: Operand) -> None:
        self.synchronize()
        with np.errstate(all="ignore"):
            _array(out)[...] = kernel(*map(_array, operands))


def _array(x: Operand) -> Any:
    start = x.view.offset * x.dtype.itemsize  # operands are dense: see layouts above
    return np.ndarray(x.view.shape, x.dtype.numpy, x.buffer, start)
