"""Lets the frontend reach a device that came from a factory, as ``under_test``, ``under_test_2``...

Each gets a name of its own, because the runtime keeps opened devices by name.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from polyback import registry
from polyback.config import Config
from polyback.device import PROTOCOL, Available, Backend, BackendDescriptor, Device, DeviceInfo
from polyback_conformance.resolve import Target

_TARGET: list[Target] = []
_COUNT = itertools.count(1)


class Adopted(Backend):
    """The backend of the device that is being tested."""

    def probe(self) -> Available:
        return Available("from --device-factory")

    def devices(self) -> Sequence[DeviceInfo]:
        return (DeviceInfo(0, "cpu", "the device under test"),)

    def open(self, index: int, config: Config) -> Device:
        return _TARGET[0].open()


def descriptor_under_test(target: Target) -> BackendDescriptor:
    """The plugin's own; for a device from a factory one of this core's protocol."""
    return target.descriptor or _descriptor("under_test")


def _descriptor(name: str) -> BackendDescriptor:
    factory = "polyback_conformance.adopt:Adopted"
    return BackendDescriptor(name, factory, "cpu", (PROTOCOL, PROTOCOL))


@contextmanager
def named(target: Target) -> Iterator[str]:
    """The name that the frontend knows ``target`` by."""
    if target.descriptor is not None:
        yield target.name
        return
    _TARGET[:] = [target]
    number = next(_COUNT)
    name = "under_test" if number == 1 else f"under_test_{number}"
    registry.register(_descriptor(name))
    try:
        yield name
    finally:
        registry.unregister(name)
