"""Host fallback: run what a device does not offer on the reference backend, never silently.

The policy is ``config().fallback``: ``forbid`` raises UnsupportedOp, ``warn`` (the default) warns
once per operation, ``allow`` is quiet. Every fallback is entered in a ledger with the bytes that
moved, both ways. (What runs on the host by design is in the ledger too: :mod:`polyback.host`.)

What moves are plain ranges of bytes, one per buffer, from the first element that any operand
touches to the last, so that the device is asked for nothing but download and upload: it need not
even have kernels for the type. Views mean the same over the copy as over the buffer.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

from polyback.config import config
from polyback.device import Operand
from polyback.errors import FallbackWarning, UnsupportedOp
from polyback.program import Number
from polyback.view import View

if TYPE_CHECKING:
    from polyback.runtime import Device


@final
@dataclass
class LedgerEntry:
    """How often an operation of a device ran on the host, and the bytes moved for it.

    ``by_design``: it does so for every device (see :mod:`polyback.host`); nothing is missing.
    """

    device: str
    op: str
    count: int = 0
    nbytes: int = 0
    by_design: bool = False


_LEDGER: Final[dict[tuple[str, str], LedgerEntry]] = {}
_WARNED: Final[set[tuple[str, str]]] = set()
_LOCK: Final = threading.Lock()


def fallback_ledger() -> list[LedgerEntry]:
    """All work that ran on the host for a device so far, in this process, the most bytes first."""
    with _LOCK:
        return sorted(_LEDGER.values(), key=lambda entry: -entry.nbytes)


def clear_ledger() -> None:
    """Forget all entries; each operation will warn once again."""
    with _LOCK:
        _LEDGER.clear()
        _WARNED.clear()


def run_on_host(
    device: Device,
    host: Device,
    what: str,
    run: Callable[..., None],
    outs: Sequence[Operand],
    ins: Sequence[Operand | Number],
) -> None:
    """Copy the operands to ``host``, run there, copy the outputs back. Raises UnsupportedOp under
    ``forbid``, before anything is written."""
    if config().fallback == "forbid":
        raise UnsupportedOp(
            f"[{what}] {device} does not offer it and fallback is 'forbid'; want another device or "
            f"pb.configure(fallback='warn')"
        )
    copies: dict[int, _HostCopy] = {}
    try:
        for operand in (*outs, *(x for x in ins if isinstance(x, Operand))):
            copy = copies.setdefault(id(operand.buffer), _HostCopy(device, host, operand.buffer))
            copy.include(operand)
        for copy in copies.values():
            copy.fetch()
        here = [copies[id(x.buffer)].operand(x) if isinstance(x, Operand) else x for x in ins]
        run(host.protocol, [copies[id(o.buffer)].operand(o) for o in outs], here)
        written = {id(o.buffer) for o in outs}
        for key in written:
            copies[key].give_back()
        moved = sum(c.size * (2 if key in written else 1) for key, c in copies.items())
    finally:
        for copy in copies.values():
            copy.free()
    if enter(str(device), what, moved):
        warnings.warn(
            f"[{what}] {device} does not offer it; it runs on the host reference "
            f"({moved} bytes moved; further uses are counted in pb.fallback_ledger())",
            FallbackWarning,
            stacklevel=_user_level(),
        )


@final
class _HostCopy:
    """The bytes of one device buffer that operands touch, in a buffer of the host."""

    def __init__(self, device: Device, host: Device, buffer: Any) -> None:
        self.device, self.host, self.buffer = device, host, buffer
        self.start, self.stop = sys.maxsize, 0
        self.copy: Any = None

    @property
    def size(self) -> int:
        """The number of bytes."""
        return max(0, self.stop - self.start)

    def include(self, operand: Operand) -> None:
        """Cover the elements of ``operand`` too."""
        if operand.view.size == 0:
            return
        low, high = operand.view.bounds
        size = operand.dtype.itemsize  # one type for each buffer, so that offsets stay whole
        self.start, self.stop = min(self.start, low * size), max(self.stop, high * size)

    def fetch(self) -> None:
        """Copy from the device. Outputs are fetched too: a view writes only part of its range."""
        data = bytearray(self.size)
        self.copy = self.host.protocol.allocate(self.size)
        if data:
            self.device.protocol.download(self.buffer, self.start, memoryview(data))
            self.host.protocol.upload(self.copy, 0, memoryview(data))

    def give_back(self) -> None:
        """Copy to the device."""
        data = bytearray(self.size)
        if data:
            self.host.protocol.download(self.copy, 0, memoryview(data))
            self.device.protocol.upload(self.buffer, self.start, memoryview(data))

    def operand(self, operand: Operand) -> Operand:
        """``operand`` over the copy."""
        view = operand.view
        offset = view.offset - self.start // operand.dtype.itemsize if view.size else 0
        return Operand(self.copy, operand.dtype, View(view.shape, view.strides, offset))

    def free(self) -> None:
        """Give the host's memory back."""
        if self.copy is not None:
            self.host.protocol.free(self.copy)


def enter(device: str, op: str, nbytes: int, *, by_design: bool = False) -> bool:
    """Write one use into the ledger. Does it call for a warning?"""
    key = (device, op)
    with _LOCK:
        entry = _LEDGER.setdefault(key, LedgerEntry(device, op, by_design=by_design))
        entry.count += 1
        entry.nbytes += nbytes
        warn = config().fallback == "warn" and key not in _WARNED and not by_design
        if warn:
            _WARNED.add(key)
    return warn


def _user_level() -> int:
    """The stacklevel, seen from the caller, of the first frame outside this package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back and f"{frame.f_globals.get('__name__')}.".startswith("polyback."):
        level, frame = level + 1, frame.f_back
    return level
