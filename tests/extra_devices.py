"""Devices made for a test: the reference under another name, some of its claims taken away."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

import polyback as pb
from polyback import registry
from polyback.config import Config
from polyback.device import (
    PROTOCOL,
    Available,
    Backend,
    BackendDescriptor,
    Caps,
    Device,
    DeviceInfo,
    Operand,
)
from polyback_numpy_ref.device import NumpyDevice
from polyback_numpy_ref.operands import array

_NUMBERS = itertools.count()


def caps(
    without: Sequence[str] = (), features: Sequence[str] = (), storage: Sequence[str] | None = None
) -> Caps:
    """The claims of the reference, less the rows, reductions (``"sum()"``) and matmul named."""
    full = NumpyDevice(0).caps
    kept = full.storage if storage is None else frozenset(storage)
    rows = {n: t & kept for n, t in full.scalars.items() if n not in without}
    sums = {n: t & kept for n, t in full.reductions.items() if f"{n}()" not in without}
    matmul = frozenset() if "matmul" in without else full.matmul & kept
    return Caps(kept, rows, sums, matmul, frozenset(features))


class Reduced(Device):
    """Forwards to the reference what it claims, and holds the core to its side of the contract."""

    def __init__(self, claims: Caps) -> None:
        self._caps, self._inner = claims, NumpyDevice(0)
        self._inner._caps = claims  # it checks programs against them

    @property
    def caps(self) -> Caps:
        return self._caps

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def allocate(self, nbytes: int) -> Any:
        return self._inner.allocate(nbytes)

    def free(self, buffer: Any) -> None:
        self._inner.free(buffer)

    def upload(self, buffer: Any, offset: int, source: memoryview) -> None:
        self._inner.upload(buffer, offset, source)

    def download(self, buffer: Any, offset: int, target: memoryview) -> None:
        self._inner.download(buffer, offset, target)

    def synchronize(self) -> None:
        self._inner.synchronize()

    def close(self) -> None:
        self._inner.close()

    def elementwise(self, program: Any, outs: Any, ins: Any) -> None:
        for out in outs:
            for x in (x for x in ins if isinstance(x, Operand) and x.buffer is out.buffer):
                same = (x.dtype, x.view) == (out.dtype, out.view)
                assert same or not np.shares_memory(array(x), array(out)), "an overlap"
        self._inner.elementwise(program, outs, ins)

    def reduce(self, op: Any, out: Any, x: Any, axes: Any) -> None:
        assert x.dtype.name in self._caps.reductions[op.name]
        self._inner.reduce(op, out, x, axes)

    def matmul(self, out: Any, a: Any, b: Any) -> None:
        assert a.dtype.name in self._caps.matmul
        self._inner.matmul(out, a, b)


@contextmanager
def extra_device(claims: Caps | None = None) -> Iterator[str]:
    """Register a device with these claims (None: all of the reference's) under a fresh name."""
    name = f"extra{next(_NUMBERS)}"
    given = claims if claims is not None else caps()

    class Made(Backend):
        def probe(self) -> Available:
            return Available("made for a test")

        def devices(self) -> Sequence[DeviceInfo]:
            return (DeviceInfo(0, "cpu", "the reference under another name"),)

        def open(self, index: int, config: Config) -> Device:
            return Reduced(given)

    globals()[f"Made_{name}"] = Made
    known = pb.config.config().backends
    registry.register(
        BackendDescriptor(name, f"{__name__}:Made_{name}", "cpu", (PROTOCOL, PROTOCOL), priority=-1)
    )
    try:
        with pb.configure(backends=f"{known},{name}" if known else ""):
            yield name
    finally:
        registry.unregister(name)
        del globals()[f"Made_{name}"]
