"""Finding plugins: which entry points there are, and what each of them says about itself.

Nothing here raises for a bad plugin: every step gives its result or a :class:`Fault`, so that one
broken distribution cannot take ``import polyback`` or another device with it. Listing entry points
reads metadata only; a plugin's module is imported by :meth:`Found.load`, when its device is wanted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any, Final, Literal, TypeVar, final

import pluggy

from polyback.device import PROTOCOL, BackendDescriptor, DeviceInfo
from polyback.hooks import GROUP, Hooks

T = TypeVar("T")
Version = tuple[int, int]
Status = Literal[
    "available",  # probed, and can be opened
    "unavailable",  # the plugin says that it cannot be used here
    "incompatible",  # it speaks another version of the protocol
    "broken",  # it does not keep its contract
    "disabled",  # not in the list of option ``backends``
    "shadowed",  # another distribution provides the same name and sorts first
    "not probed",
]
ALIASES: Final = ("cpu", "gpu")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


@final
@dataclass(frozen=True)
class Fault:
    """Why a plugin cannot be used: the step that failed, a code, the reason and what to do."""

    phase: str  # metadata import hook descriptor protocol factory probe devices open
    code: str
    reason: str
    fix: str
    status: Status = "broken"
    cause: BaseException | None = field(default=None, compare=False, repr=False)


@final
@dataclass(frozen=True)
class PluginRecord:
    """What is known about one plugin. ``phase``, ``code``, ``reason`` and ``fix`` tell what is
    wrong; they are empty for an available one (``reason`` then holds the probe's detail)."""

    name: str
    distribution: str
    version: str
    status: Status
    descriptor: BackendDescriptor | None = None
    devices: tuple[DeviceInfo, ...] = ()
    code: str = ""
    reason: str = ""
    fix: str = ""
    phase: str = ""


@final
@dataclass(frozen=True)
class Found:
    """One entry point, not loaded yet."""

    name: str
    distribution: str
    version: str
    value: str  # "module" of the entry point, tells two of one distribution apart
    load: Callable[[], BackendDescriptor | Fault]

    @property
    def key(self) -> tuple[str, str]:
        """What tells two plugins of one name apart."""
        return (self.distribution, self.value)


def explain(error: BaseException) -> str:
    """``error`` on one line of at most 300 characters, whatever its ``__str__`` does."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = "(its message cannot be printed)"
    text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text if len(text) <= 300 else text[:297] + "..."


def guarded(phase: str, code: str, fix: str, call: Callable[[], T]) -> T | Fault:
    """``call()``, or the Fault that stands for anything it raises (SystemExit too)."""
    try:
        return call()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return Fault(phase, code, explain(error), fix, cause=error)


# --- the version rule ---------------------------------------------------------------------------


def protocol_fault(given: Any, distribution: str, core: Version = PROTOCOL) -> Fault | None:
    """None if a plugin that declares the range ``given`` can be used by a core of version ``core``.

    The rule: the core's major lies in the range, and the core is not older than the lowest version
    (a minor only adds optional things, so a newer core is always fine).
    """
    if not _is_range(given):
        reason = f"protocol is {given!r}; want ((major, minor), (major, minor)), lowest first"
        return Fault("descriptor", "INVALID_PLUGIN", reason, f"report this to {distribution}")
    lowest, highest = given
    if lowest <= core and core[0] <= highest[0]:
        return None
    speaks = f"{_dotted(lowest)} to {_dotted(highest)}"
    late = highest[0] < core[0]
    fix = f"upgrade {distribution}" if late else "upgrade polyback"
    reason = f"the plugin speaks protocol {speaks}; this polyback speaks {_dotted(core)}"
    return Fault("protocol", "VERSION_MISMATCH", reason, fix, "incompatible")


def _is_range(given: Any) -> bool:
    def is_version(v: Any) -> bool:
        return isinstance(v, tuple) and len(v) == 2 and all(type(n) is int and n >= 0 for n in v)

    pair = isinstance(given, tuple) and len(given) == 2 and all(map(is_version, given))
    return pair and given[0] <= given[1]


def _dotted(version: Version) -> str:
    return f"{version[0]}.{version[1]}"


# --- the descriptor -----------------------------------------------------------------------------


def is_device_name(name: object) -> bool:
    """True for a name that a backend may have: lower case, and not an alias."""
    return isinstance(name, str) and bool(_NAME.fullmatch(name)) and name not in ALIASES


def descriptor_problem(given: Any) -> str:
    """What is wrong with a descriptor; empty if nothing is."""
    if not isinstance(given, BackendDescriptor):
        return f"got {type(given).__name__}, want a BackendDescriptor"
    if not is_device_name(given.name):
        return f"name is {given.name!r}; want lower-case letters, digits and _, not {ALIASES}"
    module, colon, attribute = given.factory.partition(":") if _is_str(given.factory) else ("",) * 3
    if not (module and colon and attribute):
        return f"factory is {given.factory!r}; want 'module:Class'"
    if given.kind not in ALIASES:
        return f"kind is {given.kind!r}; want 'cpu' or 'gpu'"
    if type(given.priority) is not int:
        return f"priority is {given.priority!r}; want an int"
    if type(given.reference) is not bool or not _is_str(given.homepage):
        return "reference must be a bool and homepage a str"
    return ""


def _is_str(value: object) -> bool:
    return isinstance(value, str)


def check_descriptor(
    given: Any, name: str, distribution: str, core: Version = PROTOCOL
) -> BackendDescriptor | Fault:
    """The descriptor itself if it is valid, named ``name``, and ``core`` speaks its protocol."""
    report = f"report this to {distribution}"
    problem = descriptor_problem(given)
    if problem:
        return Fault("descriptor", "INVALID_PLUGIN", problem, report)
    if given.name != name:
        reason = f"the entry point is named {name!r}, its descriptor {given.name!r}; want the same"
        return Fault("descriptor", "INVALID_PLUGIN", reason, report)
    fault = protocol_fault(given.protocol, distribution, core)
    return fault if fault is not None else given


# --- entry points -------------------------------------------------------------------------------


def find() -> list[Found]:
    """Every entry point of the group, from metadata alone, in order of distribution and name.

    Unlike ``importlib.metadata.entry_points`` this survives a distribution whose metadata cannot be
    parsed: that one gives an entry whose ``load`` tells the fault.
    """
    found: dict[str, list[Found]] = {}
    for dist in metadata.distributions():
        try:
            text = dist.read_text("entry_points.txt") or ""
        except Exception:
            continue  # unreadable: whether it holds a plugin cannot be known
        if GROUP in text:
            name, version = _identity(dist)
            canonical = re.sub(r"[-_.]+", "-", name).lower()
            if canonical not in found:  # the first on the path is the one that imports
                found[canonical] = list(_entries(dist, name, version))
    return [entry for _, entries in sorted(found.items()) for entry in entries]


def _entries(dist: metadata.Distribution, name: str, version: str) -> Iterator[Found]:
    try:
        points = sorted(p for p in dist.entry_points if p.group == GROUP)
    except Exception as error:
        reason = f"its entry_points.txt cannot be parsed ({explain(error)})"
        fault = Fault("metadata", "INVALID_PLUGIN", reason, f"reinstall {name}", cause=error)
        yield Found("(unreadable)", name, version, "", lambda: fault)
        return
    for point in points:
        yield Found(point.name, name, version, point.value, _loader(point, name))


def _identity(dist: metadata.Distribution) -> tuple[str, str]:
    def text(attribute: str) -> str:
        try:
            return str(dist.metadata[attribute] or "(unknown)")
        except Exception:
            return "(unknown)"

    return text("Name"), text("Version")


def _loader(
    point: metadata.EntryPoint, distribution: str
) -> Callable[[], BackendDescriptor | Fault]:
    return lambda: _load(point, distribution)


def _load(point: metadata.EntryPoint, distribution: str) -> BackendDescriptor | Fault:
    """Import the plugin's module and ask its hook for the descriptor."""
    fix = f"reinstall {distribution}, or report this to it"
    module = guarded("import", "IMPORT_ERROR", fix, point.load)
    if isinstance(module, Fault):
        return module
    results = guarded("hook", "INVALID_PLUGIN", fix, lambda: _call_hook(module))
    if isinstance(results, Fault):
        return results
    if len(results) != 1:
        reason = f"{point.value} has no hook polyback_backend that returns a descriptor"
        return Fault("hook", "INVALID_PLUGIN", reason, f"mark it with @hookimpl; {fix}")
    return check_descriptor(results[0], point.name, distribution)


def _call_hook(plugin: object) -> list[Any]:
    manager = pluggy.PluginManager("polyback")
    manager.add_hookspecs(Hooks)
    manager.register(plugin)  # checks the hook's arguments
    manager.check_pending()  # refuses hooks that nobody calls (misspelt names)
    return list(manager.hook.polyback_backend())
