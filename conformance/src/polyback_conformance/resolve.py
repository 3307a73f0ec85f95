"""From a device name, or a factory, to something that opens fresh devices.

The suite opens devices of its own, never the runtime's shared one: it has to close them.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pluggy

from polyback import hooks
from polyback.config import config
from polyback.device import Backend, BackendDescriptor, Device, DeviceInfo, Unavailable


@dataclass(frozen=True)
class Target:
    """A device to test."""

    name: str
    open: Callable[[], Device]
    description: str
    module: str = ""  # the plugin's module; empty when it comes from a factory
    descriptor: BackendDescriptor | None = None
    backend: Backend | None = None

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class NotRun:
    """A device that was asked for and cannot be tested here."""

    name: str
    reason: str


def load(spec: str) -> Any:
    """The object that ``"module:attribute"`` names."""
    module, _, path = spec.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split(".") if path else ():
        found = getattr(found, part)
    return found


def from_factory(spec: str) -> Target:
    """A target whose devices ``spec`` ("module:callable") makes; the callable returns a Device, or
    a Backend to open device 0 of."""
    make = load(spec)
    name = spec.rpartition(":")[2] or spec
    made = make()
    if isinstance(made, Backend):
        backend = made
        return Target(name, lambda: backend.open(0, config()), spec, backend=backend)
    first = [made]  # the probe's own device is used once, so that making one is not wasted
    return Target(name, lambda: first.pop() if first else make(), spec)


def from_name(name: str) -> Target | NotRun:
    """The target that an installed plugin offers as ``name``, ``name:index`` or ``name:text``, a
    part of its description."""
    name = name.lower()
    base, _, which = name.partition(":")
    found = tuple(importlib.metadata.entry_points(group=hooks.GROUP, name=base))
    if not found:
        installed = sorted(e.name for e in importlib.metadata.entry_points(group=hooks.GROUP))
        return NotRun(name, f"no plugin of this name is installed; there are: {installed}")
    try:
        descriptor = descriptor_of(found[0].load())
        backend: Backend = load(descriptor.factory)()
        probe = backend.probe()
        if isinstance(probe, Unavailable):
            return NotRun(name, f"{probe.code}: {probe.reason}; fix: {probe.fix}")
        present = backend.devices()
        infos = [i for i in present if is_meant(i, which)]
    except Exception as error:
        return NotRun(name, f"{type(error).__name__}: {error}")
    if not infos:
        listed = "; ".join(f"{i.index} {i.description}" for i in present)
        return NotRun(name, f"there is no device {which}; there are: {listed}")
    return Target(
        name, lambda: backend.open(infos[0].index, config()), describe(infos[0]),
        found[0].module, descriptor, backend,
    )  # fmt: skip


def is_meant(info: DeviceInfo, which: str) -> bool:
    """Does the text behind a device's name mean this device? No text means the first."""
    if not which or which.isdecimal():
        return info.index == int(which or 0)
    return which in info.description.lower()


def descriptor_of(module: types.ModuleType) -> BackendDescriptor:
    """What the hook of a plugin's module returns."""
    manager = pluggy.PluginManager("polyback")
    manager.add_hookspecs(hooks.Hooks)
    manager.register(module)
    results = manager.hook.polyback_backend()
    if len(results) != 1:
        raise TypeError(f"{module.__name__} has {len(results)} polyback_backend hooks, want 1")
    return results[0]


def describe(info: DeviceInfo) -> str:
    """One line for the certificate."""
    return f"{info.kind} {info.description}; {platform.platform()}"
