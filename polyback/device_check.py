"""What the core checks of a device when it is opened: that its claims can be read and kept.

The conformance suite proves claims; this only makes sure that a device which contradicts itself is
refused with a sentence, before the first array is on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from polyback.device import (
    NAMES,
    PROTOCOL,
    BackendDescriptor,
    Caps,
    Device,
    Limits,
    Numerics,
)
from polyback.features import FEATURES, Feature
from polyback.scalar import REDUCTIONS, TABLE

_ROWS: Final = frozenset(row.name for row in TABLE)
_REDUCTIONS: Final = frozenset(r.name for r in REDUCTIONS)
_FEATURES: Final = {f.name: f for f in FEATURES}


def feature_methods(feature: Feature) -> tuple[str, ...]:
    """The methods that a device with ``feature`` has."""
    members = vars(feature.protocol).items()
    return tuple(n for n, value in members if callable(value) and not n.startswith("_"))


def device_problem(device: Any, descriptor: BackendDescriptor) -> str:
    """What is wrong with an opened device; empty if nothing is.

    Names that this core does not know are accepted (and never used) only if the plugin also speaks
    a newer protocol than the core; a feature newer than the plugin's highest version is refused, so
    that every feature the core finds in ``caps.features`` may be called.
    """
    if not isinstance(device, Device):
        return f"open() gave {type(device).__name__}, want a polyback Device"
    caps = device.caps
    if not isinstance(caps, Caps):
        return f"caps is {type(caps).__name__}, want Caps"
    if device.caps is not caps:
        return "caps gives a new object every time, want the same one"
    problem = _shape_problem(caps)
    if problem:
        return problem
    newer = descriptor.protocol[1] > PROTOCOL
    return (
        ("" if newer else _unknown_names(caps))
        or _feature_problem(device, caps, descriptor, newer)
        or _limits_problem(caps)
    )


def _shape_problem(caps: Caps) -> str:
    def is_names(value: Any) -> bool:
        return isinstance(value, frozenset) and all(isinstance(n, str) for n in value)

    def is_claims(value: Any) -> bool:
        return isinstance(value, Mapping) and all(
            isinstance(k, str) and is_names(v) for k, v in value.items()
        )

    for name in ("storage", "matmul", "features"):
        if not is_names(getattr(caps, name)):
            return f"caps.{name} is {getattr(caps, name)!r:.80}, want a frozenset of names"
    for name in ("scalars", "reductions"):
        if not is_claims(getattr(caps, name)):
            return f"caps.{name} must map names to frozensets of dtype names"
    if caps.layouts not in ("strided", "contiguous"):
        return f"caps.layouts is {caps.layouts!r}, want 'strided' or 'contiguous'"
    return "" if caps.storage else "caps.storage is empty: the device can hold no dtype"


def _unknown_names(caps: Caps) -> str:
    claims = {**caps.scalars, **caps.reductions, "storage": caps.storage, "matmul": caps.matmul}
    for where, dtypes in claims.items():
        if dtypes - NAMES:
            return f"caps claims {where} for unknown dtypes {sorted(dtypes - NAMES)}"
        if dtypes - caps.storage:
            return f"caps claims {where} for {sorted(dtypes - caps.storage)}, not in caps.storage"
    for kind, given, known in (
        ("scalar rows", set(caps.scalars), _ROWS),
        ("reductions", set(caps.reductions), _REDUCTIONS),
    ):
        if given - known:
            return f"caps claims unknown {kind} {sorted(given - known)}"
    return ""


def _feature_problem(device: Device, caps: Caps, descriptor: BackendDescriptor, newer: bool) -> str:
    for name in sorted(caps.features):
        feature = _FEATURES.get(name)
        if feature is None:
            if not newer:
                return f"caps claims an unknown feature {name!r}; there are {sorted(_FEATURES)}"
            continue
        if feature.since > descriptor.protocol[1]:
            return (
                f"feature {name!r} came with protocol {feature.since}, but the descriptor says "
                f"tested up to {descriptor.protocol[1]}: raise that, or do not claim the feature"
            )
        for method in feature_methods(feature):
            if not callable(getattr(device, method, None)):
                return f"caps claims feature {name!r}, but there is no method {method}()"
    return ""


def _limits_problem(caps: Caps) -> str:
    limits = caps.limits
    if not isinstance(limits, Limits) or not isinstance(caps.numerics, Numerics):
        return "caps.limits must be Limits and caps.numerics Numerics"
    if type(limits.max_ndim) is not int or limits.max_ndim < 1:
        return f"caps.limits.max_ndim is {limits.max_ndim!r}, want 1 or more"
    alignment = limits.alignment
    if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
        return f"caps.limits.alignment is {alignment!r}, want a power of two"
    most = limits.max_allocation
    if most is not None and (type(most) is not int or most < 1):
        return f"caps.limits.max_allocation is {most!r}, want bytes or None"
    return ""
