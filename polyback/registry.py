"""The devices of this process: from a name that people type to one opened Device.

Entry points are listed at the first request for a device; a plugin is loaded when its own device,
an alias (``"cpu"``, ``"gpu"``) or the whole list is asked for. Whatever goes wrong in a plugin is
kept in its :class:`~polyback.discovery.PluginRecord` and shown by ``polyback doctor`` and in the
error of whoever asks for that device.
"""

from __future__ import annotations

import difflib
import os
import re
import threading
from dataclasses import replace
from typing import Final

from polyback.config import config
from polyback.device import BackendDescriptor, Device, DeviceInfo
from polyback.discovery import (
    ALIASES,
    Fault,
    Found,
    PluginRecord,
    check_descriptor,
    descriptor_problem,
    find,
)
from polyback.errors import BackendUnavailable, InvalidArgument
from polyback.plugin import DISABLED, Plugin, allowed, unavailable

_SPEC: Final = re.compile(r"([A-Za-z][A-Za-z0-9_]*)(?::([0-9]{1,4}))?")
_DESCRIBED: Final = re.compile(r"([A-Za-z][A-Za-z0-9_]*):(.*[A-Za-z].*)")  # text, no index


# --- the table of plugins -------------------------------------------------------------------------

_LOCK: threading.RLock = threading.RLock()  # of the table; each plugin has its own
_TABLE: dict[str, list[Plugin]] = {}  # by device name; the first of a list is in force
_LISTED: list[bool] = []  # filled when entry points have been listed


def _list(again: bool = False) -> None:
    """Fill the table from the entry points, once; ``again`` adds what was installed since."""
    if _LISTED and not again:
        return
    with _LOCK:
        if _LISTED and not again:
            return
        if not _LISTED and hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_after_fork)
        for found in find():
            plugin = Plugin(found)
            same = _TABLE.setdefault(plugin.name, [])
            if all(p.found.key != found.key for p in same):
                same.append(plugin)
        for same in _TABLE.values():
            same.sort(key=lambda p: not p.registered)  # stable: find() is in distribution order
        _LISTED.append(True)


def _after_fork() -> None:
    global _LOCK
    _LOCK = threading.RLock()
    for plugin in _all():
        plugin.after_fork()


def _snapshot() -> list[list[Plugin]]:
    with _LOCK:
        return [list(same) for _, same in sorted(_TABLE.items()) if same]


def _all() -> list[Plugin]:
    return [p for same in _snapshot() for p in same]


def _in_force() -> list[Plugin]:
    """The plugins that may be used, best first: by priority, then by name."""
    ready = [
        (-d.priority, p.name, p)
        for p in (same[0] for same in _snapshot())
        if allowed(p.name) and isinstance(d := p.descriptor(), BackendDescriptor)
    ]
    return [p for _, _, p in sorted(ready, key=lambda r: r[:2])]


def _plugin(name: str) -> Plugin:
    _list()
    same = _TABLE.get(name)
    if not same:
        _list(again=True)
        same = _TABLE.get(name)
    if not same:
        raise _unknown(name)
    if not allowed(name):
        raise unavailable(same[0], DISABLED)
    return same[0]


# --- errors ---------------------------------------------------------------------------------------


def _situation() -> str:
    """What is installed, and why some of it cannot be used."""
    records = list_plugins()
    usable = [r.name for r in records if r.status == "available"]
    lines = ["available: " + (", ".join(usable) or "none")]
    for r in records:
        if r.status != "available":
            lines.append(f"  {r.name} ({r.distribution}) is {r.status}: {r.reason}; fix: {r.fix}")
    return "\n".join(lines)


def _unknown(name: str) -> BackendUnavailable:
    near = difflib.get_close_matches(name, list(_TABLE), n=1, cutoff=0.75)
    fix = f"pip install polyback-{name.replace('_', '-')}"
    hint = f"did you mean {near[0]!r}? else: {fix}" if near else fix
    reason = f"no installed plugin provides a device named {name!r}"
    return BackendUnavailable(
        f"[device] got {name!r}, want an installed backend; {_situation()}\nhint: {hint}",
        code="NOT_INSTALLED", reason=reason, fix=hint,
    )  # fmt: skip


def _no_alias(kind: str) -> BackendUnavailable:
    reason = f"no installed backend has an available {kind} device"
    fix = "pip install a polyback backend for it, and see: polyback doctor"
    return BackendUnavailable(
        f"[device] got {kind!r}, but {reason}; {_situation()}\nhint: {fix}",
        code="NO_DEVICE", reason=reason, fix=fix,
    )  # fmt: skip


# --- for everyone ---------------------------------------------------------------------------------


def parse_name(spec: str) -> tuple[str, int]:
    """``"name"`` or ``"name:index"`` as (name, index), in lower case.

    >>> parse_name("MyDev:1")
    ('mydev', 1)

    Raises InvalidArgument for anything else.
    """
    match = _SPEC.fullmatch(spec) if isinstance(spec, str) else None
    if match is None:
        raise InvalidArgument(
            f"[device] got {spec!r}, want 'name', 'name:index' or "
            "'name:text' of its description, for example 'cpu' or 'gpu:1'"
        )
    return match[1].lower(), int(match[2] or 0)


def resolve(spec: str | None = None) -> tuple[str, int]:
    """The device that ``spec`` means, as (backend name, index).

    ``"cpu"`` and ``"gpu"`` are aliases of the available backend of that kind with the highest
    priority, ties going by name; their index counts devices of that kind. None means option
    ``device``, or ``"cpu"`` where that is empty. ``"name:text"`` is the first device of a backend
    with this text in its description, in upper or lower case. Raises InvalidArgument for bad
    syntax or no such device, and BackendUnavailable if there is no such backend.
    """
    spec = spec if spec is not None else config().device or "cpu"
    described = _DESCRIBED.fullmatch(spec) if isinstance(spec, str) else None
    if described is not None and described[1].lower() not in ALIASES:
        return _described(described[1].lower(), described[2])
    name, index = parse_name(spec)
    if name not in ALIASES:
        _plugin(name)
        return name, index
    _list()
    for plugin in _in_force():
        indexes = plugin.indexes(name)
        if index < len(indexes):
            return plugin.name, indexes[index]
        if indexes:
            raise InvalidArgument(
                f"[device] got '{name}:{index}', but {plugin.name} has {len(indexes)} {name} "
                f"device(s), want an index below that; or name a backend"
            )
    raise _no_alias(name)


def _described(name: str, text: str) -> tuple[str, int]:
    plugin = _plugin(name)
    devices = plugin.devices()
    if isinstance(devices, Fault):
        raise unavailable(plugin, devices)
    for device in devices:
        if text.strip().lower() in device.description.lower():
            return name, device.index
    listed = "; ".join(f"{name}:{d.index} {d.description}" for d in devices)
    raise InvalidArgument(f"[device] got '{name}:{text}', want a part of a description: {listed}")


def open_device(spec: str | None = None) -> Device:
    """The opened device that ``spec`` means; the same object for every caller in this process.

    Raises what :func:`resolve` raises, InvalidArgument for an index that is not there, and
    BackendUnavailable (with ``code``, ``reason`` and ``fix``) for a device that cannot be used.
    """
    name, index = resolve(spec)
    return _plugin(name).open(index)


def list_plugins(probe: bool = True) -> list[PluginRecord]:
    """Every plugin found, usable or not, by name; ``probe=False`` only loads descriptors."""
    _list()
    records = []
    for first, *others in _snapshot():
        record = first.record(probe)
        if others:
            also = ", ".join(p.found.distribution for p in others)
            note = f"{record.reason + '; ' if record.reason else ''}{also} provides the name too"
            record = replace(record, reason=note)
        records += [record, *(p.record(probe, first) for p in others)]
    return records


def available_devices() -> list[tuple[str, DeviceInfo]]:
    """(backend name, device) of everything that can be opened, best backend first."""
    _list()
    found = []
    for plugin in _in_force():
        devices = plugin.devices()
        found += [] if isinstance(devices, Fault) else [(plugin.name, d) for d in devices]
    return found


def device_info(name: str, index: int) -> DeviceInfo:
    """What backend ``name`` says of its device ``index``. Raises BackendUnavailable."""
    plugin = _plugin(name)
    devices = plugin.devices()
    if isinstance(devices, Fault):
        raise unavailable(plugin, devices)
    return next(d for d in devices if d.index == index)


def reference_device() -> tuple[str, int] | None:
    """The available device of the backend that calls itself the reference; None without one."""
    _list()
    for plugin in _in_force():
        descriptor, devices = plugin.descriptor(), None
        if isinstance(descriptor, BackendDescriptor) and descriptor.reference:
            devices = plugin.devices()
        if isinstance(devices, tuple):
            return plugin.name, devices[0].index
    return None


def register(descriptor: BackendDescriptor, distribution: str = "(registered)") -> None:
    """Add a backend that is not installed, for tests and while writing one.

    It takes the place of an installed plugin of the same name until :func:`unregister`. Raises
    InvalidArgument for a descriptor that is malformed or registered already; a protocol mismatch
    is recorded, as it is for installed plugins.
    """
    problem = descriptor_problem(descriptor)
    if problem:
        raise InvalidArgument(f"[register] {problem}")
    checked = check_descriptor(descriptor, descriptor.name, distribution)
    found = Found(descriptor.name, distribution, "0", descriptor.factory, lambda: checked)
    with _LOCK:
        same = _TABLE.setdefault(descriptor.name, [])
        if any(p.registered for p in same):
            raise InvalidArgument(f"[register] {descriptor.name!r} is registered; unregister first")
        same.insert(0, Plugin(found, registered=True))


def unregister(name: str) -> None:
    """Take back :func:`register`, closing the backend's devices; unknown names are ignored."""
    with _LOCK:
        same = _TABLE.get(name, [])
        gone = [p for p in same if p.registered]
        same[:] = [p for p in same if not p.registered]
        if not same:
            _TABLE.pop(name, None)
    for plugin in gone:
        plugin.close()


def close_all() -> None:
    """Close every opened device; the next request opens a new one. Raises the first error after
    all were tried."""
    errors: list[Exception] = []
    for plugin in _all():
        try:
            plugin.close()
        except Exception as error:
            errors.append(error)
    if errors:
        raise errors[0]
