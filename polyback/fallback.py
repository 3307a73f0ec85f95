"""Host fallback: run what a device does not offer on the reference backend, never silently.

The policy is ``config().fallback``: ``forbid`` raises UnsupportedOp, ``warn`` (the default) warns once
per operation, ``allow`` is quiet. Every fallback is entered in a ledger with the bytes that moved.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

from polyback.config import config
from polyback.device import Operand
from polyback.errors import FallbackWarning, UnsupportedOp
from polyback.program import Number, copy_program
from polyback.view import View

if TYPE_CHECKING:
    from polyback.runtime import Device


@final
@dataclass
class LedgerEntry:
    """How often an operation of a device ran on the host, and the bytes moved for it."""

    device: str
    op: str
    count: int = 0
    nbytes: int = 0


_LEDGER: Final[dict[tuple[str, str], LedgerEntry]] = {}
_LOCK: Final = threading.Lock()


def fallback_ledger() -> list[LedgerEntry]:
    """All fallbacks of this process so far, the most bytes first."""
    with _LOCK:
        return sorted(_LEDGER.values(), key=lambda entry: -entry.nbytes)


def clear_ledger() -> None:
    """Forget all entries; each operation will warn once again."""
    with _LOCK:
        _LEDGER.clear()


def run_on_host(
    device: Device,
    host: Device,
    what: str,
    run: Callable[..., None],
    outs: Sequence[Operand],
    ins: Sequence[Operand | Number],
) -> None:
    """Copy the inputs to ``host``, run there, copy the outputs back."""
    if config().fallback == "forbid":
        raise UnsupportedOp(
            f"[{what}] {device} does not offer it and fallback is 'forbid'; want another device or "
            f"pb.configure(fallback='warn')"
        )
    moved = 0
    buffers: list[Any] = []

    def on_host(operand: Operand, copy: bool) -> Operand:
        nonlocal moved
        size = operand.view.size * operand.dtype.itemsize
        buffer = host.protocol.allocate(size)
        buffers.append(buffer)
        if copy:
            data = bytearray(size)
            _download(device, operand, memoryview(data))
            host.protocol.upload(buffer, 0, memoryview(data))
        moved += size
        return Operand(buffer, operand.dtype, View.contiguous(operand.view.shape))

    try:
        # Outputs are copied too: scatter reads its target.
        host_outs = [on_host(o, copy=True) for o in outs]
        host_ins = [on_host(x, copy=True) if isinstance(x, Operand) else x for x in ins]
        run(host.protocol, host_outs, host_ins)
        for out, result in zip(outs, host_outs, strict=True):
            data = bytearray(out.view.size * out.dtype.itemsize)
            host.protocol.download(result.buffer, 0, memoryview(data))
            _upload(device, out, memoryview(data))
    finally:
        for buffer in buffers:
            host.protocol.free(buffer)
    _enter(str(device), what, moved)


def _download(device: Device, operand: Operand, target: memoryview) -> None:
    if operand.view.is_contiguous:
        device.protocol.download(
            operand.buffer, operand.view.offset * operand.dtype.itemsize, target
        )
        return
    buffer = device.protocol.allocate(len(target))
    dense = Operand(buffer, operand.dtype, View.contiguous(operand.view.shape))
    device.protocol.elementwise(copy_program(dense.dtype, dense.dtype), [dense], [operand])
    device.protocol.download(buffer, 0, target)
    device.protocol.free(buffer)


def _upload(device: Device, operand: Operand, source: memoryview) -> None:
    if operand.view.is_contiguous:
        device.protocol.upload(operand.buffer, operand.view.offset * operand.dtype.itemsize, source)
        return
    buffer = device.protocol.allocate(len(source))
    dense = Operand(buffer, operand.dtype, View.contiguous(operand.view.shape))
    device.protocol.upload(buffer, 0, source)
    device.protocol.elementwise(copy_program(dense.dtype, dense.dtype), [operand], [dense])
    device.protocol.free(buffer)


def _enter(device: str, op: str, nbytes: int) -> None:
    with _LOCK:
        entry = _LEDGER.setdefault((device, op), LedgerEntry(device, op))
        entry.count += 1
        entry.nbytes += nbytes
        first = entry.count == 1
    if first and config().fallback == "warn":
        warnings.warn(
            f"[{op}] {device} does not offer it; it runs on the host reference "
            f"({nbytes} bytes moved; further uses are counted in pb.fallback_ledger())",
            FallbackWarning,
            stacklevel=6,
        )
