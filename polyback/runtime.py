"""Runtime: opened devices, their memory, and the one place that launches work.

Every launch goes through :func:`launch`: natively where the device claims the work, otherwise on
the host reference under the fallback policy. A decomposition, where one exists, is chosen by the
caller before that (see :mod:`polyback.array`).
"""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from threading import RLock
from typing import TYPE_CHECKING, Any, Final, final

from polyback import registry
from polyback.config import CHANGED, config
from polyback.device import Caps, Operand
from polyback.errors import InvalidArgument, OutOfMemory, UnsupportedOp
from polyback.fallback import run_on_host
from polyback.features import MemoryStats
from polyback.program import Number, Program

if TYPE_CHECKING:
    from polyback.device import Device as ProtocolDevice

Run = Callable[["ProtocolDevice", Sequence[Operand], Sequence[Any]], None]
MOST_LAUNCHES: Final = 4096  # prepared ones that a device keeps


@final
@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A program made ready for operands of certain types, shapes and strides."""

    program: Program
    run: Callable[[Sequence[Operand], Sequence[Any]], None]  # (outs, ins)


@final
class Device:
    """An opened device, as ``x.device`` gives it. Equal to its name: ``x.device == "mydev"``.
    Closed, it stays so: the numbers of all tensors on it are gone."""

    def __init__(self, name: str, index: int) -> None:
        self.name, self.index = name, index
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)
        self.lock = RLock()  # held while expressions run and while a buffer is written in place
        # By id, far faster than comparing programs; kept alive, so that no id comes twice.
        self._missing: dict[int, tuple[list[str], Program]] = {}
        self.prepared: dict[tuple[Any, ...], Prepared] = {}  # by all that a launch depends on

    def _after_fork(self) -> None:
        """In a forked child: another thread may have held the lock, and the registry knows whether
        the device is still to be used."""
        self.lock = RLock()
        self.prepared = {}
        self.__dict__.pop("protocol", None)

    @cached_property
    def protocol(self) -> ProtocolDevice:
        """The plugin's Device. Raises BackendUnavailable."""
        return registry.open_device(f"{self.name}:{self.index}")

    @property
    def caps(self) -> Caps:
        """What the device claims."""
        return self.protocol.caps

    @property
    def kind(self) -> str:
        """``"cpu"`` or ``"gpu"``, as its backend says."""
        return registry.device_info(self.name, self.index).kind

    def has(self, feature: str) -> bool:
        """Does the device offer this optional feature?"""
        return feature in self.protocol.caps.features

    def missing(self, program: Program) -> list[str]:
        """What ``program`` needs and this device lacks."""
        known = self._missing.get(id(program))
        if known is None:
            if len(self._missing) >= 4096:
                self._missing.clear()
            known = self._missing[id(program)] = (self.caps.missing(program), program)
        return known[0]

    def prepare(
        self,
        key: tuple[Any, ...],
        program: Program,
        outs: Sequence[Operand],
        ins: Sequence[Operand | Number],
    ) -> Prepared:
        """Make ``program`` ready for operands such as these, and keep it as ``prepared[key]``."""
        missing, protocol = self.missing(program), self.protocol
        if missing:
            what = f"elementwise {', '.join(missing)}"
            found = Prepared(program, partial(_run_on_reference, self, what, _elementwise(program)))
        elif self.has("prepare"):
            feature: Any = protocol
            found = Prepared(program, feature.prepare(program, outs, ins))
        else:
            found = Prepared(program, partial(protocol.elementwise, program))
        if len(self.prepared) >= MOST_LAUNCHES:
            self.prepared.clear()
        self.prepared[key] = found
        return found

    def synchronize(self) -> None:
        """Wait until all queued work is done; raises its first error."""
        self.protocol.synchronize()

    def memory_stats(self) -> MemoryStats | None:
        """Live, cached and peak bytes; None where the device does not tell."""
        feature: Any = self.protocol
        return feature.memory_stats() if self.has("memory_stats") else None

    def trim(self) -> None:
        """Give cached memory back to the system, where the device keeps any."""
        feature: Any = self.protocol
        if self.has("memory_stats"):
            feature.trim()

    def __str__(self) -> str:
        return self.name if self.index == 0 else f"{self.name}:{self.index}"

    def __repr__(self) -> str:
        return f"device({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Device):
            return self is other
        return isinstance(other, str) and str(self) == other.removesuffix(":0")

    def __hash__(self) -> int:
        return hash(str(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return (device, (str(self),))


_OPENED: dict[tuple[str, int], Device] = {}


def _device(name: str, index: int) -> Device:
    """The Device of this name; a new one where the registry has opened it anew since: no buffer of
    a closed device may reach another. Raises BackendUnavailable."""
    protocol = registry.open_device(f"{name}:{index}")
    found = _OPENED.get((name, index))
    if found is None or found.protocol is not protocol:
        found = _OPENED[name, index] = Device(name, index)
    return found


def device(spec: str | Device | None = None) -> Device:
    """The device that ``spec`` names: ``"mydev"``, ``"mydev:1"``, ``"cpu"``, ``"gpu"``, a Device,
    or None for the default. Raises BackendUnavailable, listing what exists and why others do not.
    """
    if isinstance(spec, Device):
        return spec
    if spec is not None and not isinstance(spec, str):
        raise InvalidArgument(f"[device] got {spec!r}; want a device name such as 'cpu'")
    return _device(*registry.resolve(spec))


@final
class Storage:
    """One buffer of one device, given back when nothing refers to it.

    ``version`` counts writes in place; ``readers`` are lazy expressions that still have to read the
    current contents (see :mod:`polyback.fusion`). ``weight`` is how many leaves of an expression it
    counts as: one, or more than fit into one where others may write, so that no reading waits.
    """

    __slots__ = ("__weakref__", "buffer", "device", "protocol", "readers", "version", "weight")

    def __init__(self, device: Device, nbytes: int, memory: memoryview | None = None) -> None:
        self.device = device
        self.protocol = protocol = device.protocol  # the one that made the buffer gets it back
        self.buffer: Any = None
        self.version = 0
        self.readers: list[weakref.ref[Any]] = []
        self.weight = 1
        if memory is not None:  # of others, by the feature adopt
            feature: Any = protocol
            self.buffer = feature.adopt(memory)
            return
        try:
            self.buffer = protocol.allocate(nbytes)
        except OutOfMemory:
            gc.collect()  # cycles that hold tensors
            device.trim()
            self.buffer = protocol.allocate(nbytes)

    def __del__(self) -> None:
        if self.buffer is not None:
            self.protocol.free(self.buffer)


def launch(
    device: Device,
    what: str,
    supported: bool,
    run: Run,
    outs: Sequence[Operand],
    ins: Sequence[Operand | Number],
) -> None:
    """Run ``run(protocol, outs, ins)`` on the device, or on the reference where it is unsupported.

    Raises UnsupportedOp under ``fallback="forbid"``.
    """
    if "debug" in CHANGED:
        report(device, what, outs, ins)
    if supported:
        run(device.protocol, outs, ins)
    else:
        _run_on_reference(device, what, run, outs, ins)


def launch_program(
    device: Device, program: Program, outs: Sequence[Operand], ins: Sequence[Operand | Number]
) -> None:
    """Launch an elementwise program."""
    layouts = [x.view.strides if isinstance(x, Operand) else None for x in (*outs, *ins)]
    key = (id(program), outs[0].view.shape, *layouts)  # kept with the program: no id comes twice
    found = device.prepared.get(key) or device.prepare(key, program, outs, ins)
    if "debug" in CHANGED:
        report(device, "elementwise", outs, ins, program)
    found.run(outs, ins)


def _elementwise(program: Program) -> Run:
    return lambda protocol, outs, ins: protocol.elementwise(program, outs, ins)


def report(
    device: Device,
    what: str,
    outs: Sequence[Any],
    ins: Sequence[Any],
    program: Program | None = None,
) -> None:
    """Print a launch where the option ``debug`` asks for it."""
    debug = config().debug
    if debug >= 2 and program is not None:
        print(program)
    if debug:
        shapes = [x.view.shape if isinstance(x, Operand) else x for x in (*outs, *ins)]
        print(f"polyback {device}: {what} {shapes}")


def _run_on_reference(
    device: Device, what: str, run: Run, outs: Sequence[Operand], ins: Sequence[Operand | Number]
) -> None:
    reference = registry.reference_device()
    if reference is None or _device(*reference) == device:
        raise UnsupportedOp(
            f"[{what}] {device} does not offer it and no reference backend is installed to run it "
            f"on the host; install one (see polyback doctor)"
        )
    run_on_host(device, _device(*reference), what, run, outs, ins)
