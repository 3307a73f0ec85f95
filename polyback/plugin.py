"""One plugin and how far it has been loaded: descriptor, backend, devices, opened devices."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from contextvars import copy_context
from functools import lru_cache
from typing import Any, Final, TypeVar, cast, final

from polyback.adapters import adapt
from polyback.config import config
from polyback.device import Available, Backend, BackendDescriptor, Device, DeviceInfo, Unavailable
from polyback.device_check import device_problem
from polyback.discovery import (
    ALIASES,
    Fault,
    Found,
    PluginRecord,
    Status,
    explain,
    guarded,
)
from polyback.errors import BackendUnavailable, InvalidArgument, PolybackError

T = TypeVar("T")
PROBE_SECONDS: Final = 3.0  # the contract says 50 ms; this only keeps a hung driver from hanging us
DISABLED: Final = Fault(
    "config", "DISABLED", "option 'backends' does not name it",
    "add it to POLYBACK_BACKENDS or configure(backends=...), or leave that empty", "disabled",
)  # fmt: skip
LOST: Final = Fault(
    "open", "FORKED", "its driver was loaded before os.fork and cannot be used in the child",
    "start processes with the 'spawn' method, or ask for devices in the child only", "unavailable",
)  # fmt: skip


def allowed(name: str) -> bool:
    """Whether option ``backends`` lets the backend ``name`` be used."""
    text = config().backends
    return not text or name in _names(text)


@lru_cache(maxsize=32)
def _names(text: str) -> frozenset[str]:
    return frozenset(part.strip().lower() for part in text.split(","))


@final
class Plugin:
    """One plugin, loaded step by step: descriptor, backend, devices, opened devices.

    Every step runs once and its outcome, a Fault included, is kept; only ``open`` is tried again.
    """

    def __init__(self, found: Found, registered: bool = False) -> None:
        self.found, self.registered = found, registered
        self.name = found.name.lower()
        self.opened: dict[int, Device] = {}
        self.detail = ""  # what the probe said
        self.lost = False  # its driver was loaded before a fork: unusable in this process
        self._open_fault: Fault | None = None
        self._abandoned: list[dict[int, Device]] = []
        self._done: dict[str, Any] = {}
        self._lock = threading.RLock()

    def _once(self, step: str, make: Callable[[], T]) -> T:
        with self._lock:
            if step not in self._done:
                self._done[step] = make()
            result: T = self._done[step]
            return result

    def descriptor(self) -> BackendDescriptor | Fault:
        """Imports the plugin's module (cheap) and calls its hook."""
        return self._once("descriptor", self.found.load)

    def backend(self) -> Backend | Fault:
        """Imports and constructs the Backend class."""
        return self._once("backend", self._make_backend)

    def devices(self) -> tuple[DeviceInfo, ...] | Fault:
        """Probes; a Fault unless there is at least one device."""
        return self._once("devices", self._probe)

    def _make_backend(self) -> Backend | Fault:
        descriptor = self.descriptor()
        if isinstance(descriptor, Fault):
            return descriptor
        fix = f"reinstall {self.found.distribution}, or report this to it"

        def make() -> Any:
            module, _, path = descriptor.factory.partition(":")
            factory: Any = importlib.import_module(module)
            for attribute in path.split("."):
                factory = getattr(factory, attribute)
            return factory()

        made = guarded("factory", "IMPORT_ERROR", fix, make)
        if isinstance(made, (Backend, Fault)):
            return made
        reason = f"{descriptor.factory} makes a {type(made).__name__}, want a polyback Backend"
        return Fault("factory", "INVALID_PLUGIN", reason, fix)

    def _probe(self) -> tuple[DeviceInfo, ...] | Fault:
        backend = self.backend()
        if isinstance(backend, Fault):
            return backend
        report = f"report this to {self.found.distribution}"
        answer = _time_limited("probe", report, backend.probe)
        if isinstance(answer, Fault):
            return answer
        if isinstance(answer, Unavailable):
            code = answer.code or "PROBE_FAILED"
            return Fault("probe", code, answer.reason, answer.fix, "unavailable")
        if not isinstance(answer, Available):
            reason = f"probe() gave {type(answer).__name__}, want Available or Unavailable"
            return Fault("probe", "PROBE_FAILED", reason, report)
        self.detail = answer.detail
        devices = _time_limited("devices", report, lambda: tuple(backend.devices()))
        return devices if isinstance(devices, Fault) else _checked_devices(devices, report)

    def indexes(self, kind: str) -> list[int]:
        """The devices of ``kind``; empty unless the backend serves that alias and is available."""
        descriptor = self.descriptor()
        if isinstance(descriptor, Fault) or descriptor.kind != kind:
            return []
        devices = self.devices()
        return [] if isinstance(devices, Fault) else [d.index for d in devices if d.kind == kind]

    def open(self, index: int) -> Device:
        """The opened device; one per index."""
        device = self.opened.get(index)
        if device is not None:
            return device
        with self._lock:
            if index not in self.opened:
                self.opened[index] = self._open(index)
            return self.opened[index]

    def _open(self, index: int) -> Device:
        devices, backend = self.devices(), self.backend()
        if isinstance(devices, Fault):
            raise unavailable(self, devices)
        assert isinstance(backend, Backend)
        if self.lost:
            raise unavailable(self, LOST)
        if index not in {d.index for d in devices}:
            there = ", ".join(f"{self.name}:{d.index}" for d in devices)
            raise InvalidArgument(f"[device] got '{self.name}:{index}', want one of {there}")
        report, options = f"report this to {self.found.distribution}", config()
        opened = guarded("open", "OPEN_FAILED", report, lambda: backend.open(index, options))
        fault = opened if isinstance(opened, Fault) else self._check(opened)
        if fault is None:
            self._open_fault = None
            return adapt(cast(Device, opened))
        if isinstance(fault.cause, InvalidArgument):
            raise fault.cause  # an option that the user gave
        if isinstance(fault.cause, BackendUnavailable):
            e = fault.cause
            fault = Fault("open", e.code, e.reason or str(e), e.fix, "unavailable", e)
        self._open_fault = fault
        if isinstance(fault.cause, PolybackError):
            raise fault.cause
        raise unavailable(self, fault) from fault.cause

    def _check(self, device: Any) -> Fault | None:
        descriptor = self.descriptor()
        assert isinstance(descriptor, BackendDescriptor)
        report = f"report this to {self.found.distribution}"
        problem = guarded(
            "open", "INVALID_PLUGIN", report, lambda: device_problem(device, descriptor)
        )
        if isinstance(problem, Fault):
            return problem
        return Fault("open", "INVALID_PLUGIN", problem, report) if problem else None

    def close(self) -> None:
        """Closes every opened device; raises the first error after all were tried."""
        with self._lock:
            devices, self.opened = list(self.opened.values()), {}
            _close(devices)

    def after_fork(self) -> None:
        """In a forked child: locks are new, host devices stay. Others are lost once probed: the
        threads of a driver are not there any more, and who waits for them waits for ever."""
        self._lock = threading.RLock()
        descriptor = self._done.get("descriptor")
        probed = isinstance(self._done.get("devices"), tuple)
        if probed and isinstance(descriptor, BackendDescriptor) and descriptor.kind != "cpu":
            self.lost = True
            self._abandoned.append(self.opened)  # kept alive: nothing may be released
            self.opened = {}

    def record(self, probe: bool, winner: Plugin | None = None) -> PluginRecord:
        """What is known; ``winner`` is the plugin that shadows this one."""
        if winner is not None:
            by = f"{winner.found.distribution} provides {self.name!r} too and comes first"
            both = f"uninstall {winner.found.distribution} or {self.found.distribution}"
            return self._record("shadowed", Fault("metadata", "SHADOWED", by, both))
        if not allowed(self.name):
            return self._record("disabled", DISABLED)
        descriptor = self.descriptor()
        if isinstance(descriptor, Fault):
            return self._record(descriptor.status, descriptor)
        if not probe:
            return self._record("not probed", None)
        devices = self.devices()
        if isinstance(devices, Fault):
            return self._record(devices.status, devices)
        if self._open_fault is not None:
            return self._record(self._open_fault.status, self._open_fault, devices)
        return self._record("available", None, devices)

    def _record(
        self, status: Status, fault: Fault | None, devices: tuple[DeviceInfo, ...] = ()
    ) -> PluginRecord:
        known = self._done.get("descriptor")
        found = self.found
        return PluginRecord(
            found.name, found.distribution, found.version, status,
            known if isinstance(known, BackendDescriptor) else None, devices,
            fault.code if fault else "", fault.reason if fault else self.detail,
            fault.fix if fault else "", fault.phase if fault else "",
        )  # fmt: skip


def unavailable(plugin: Plugin, fault: Fault) -> BackendUnavailable:
    """The error of somebody who asks for a device that cannot be used."""
    which = f"{plugin.name} ({plugin.found.distribution} {plugin.found.version})"
    message = f"[device] {which}: {fault.code} in {fault.phase}: {fault.reason}"
    return BackendUnavailable(
        f"{message}; fix: {fault.fix}", code=fault.code, reason=fault.reason, fix=fault.fix
    )


def _time_limited(phase: str, fix: str, call: Callable[[], T]) -> T | Fault:
    """``call()`` in a thread of its own, given up after PROBE_SECONDS."""
    outcome: list[T | Fault] = []
    context = copy_context()

    def run() -> None:
        try:
            outcome.append(context.run(call))
        except BaseException as error:  # nothing may end this thread with a traceback
            outcome.append(Fault(phase, "PROBE_FAILED", explain(error), fix, cause=error))

    thread = threading.Thread(target=run, name=f"polyback {phase}", daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    if outcome:
        return outcome[0]
    return Fault(phase, "PROBE_FAILED", f"{phase}() took more than {PROBE_SECONDS:g} s", fix)


def _checked_devices(given: tuple[Any, ...], report: str) -> tuple[DeviceInfo, ...] | Fault:
    problem = ""
    if not all(isinstance(d, DeviceInfo) for d in given):
        problem = f"devices() gave {given!r:.200}, want a sequence of DeviceInfo"
    elif any(type(d.index) is not int or d.index < 0 or d.kind not in ALIASES for d in given):
        problem = f"devices() gave {given!r:.200}, want index >= 0 and kind 'cpu' or 'gpu'"
    elif len({d.index for d in given}) != len(given):
        problem = f"devices() names an index twice: {[d.index for d in given]}"
    if problem:
        return Fault("devices", "INVALID_PLUGIN", problem, report)
    if not given:
        nothing = "the backend can be used, but there is no device"
        return Fault("devices", "NO_DEVICE", nothing, "attach one", "unavailable")
    return given


def _close(devices: list[Device]) -> None:
    errors: list[Exception] = []
    for device in devices:
        try:
            device.close()
        except Exception as error:
            errors.append(error)
    if errors:
        raise errors[0]
