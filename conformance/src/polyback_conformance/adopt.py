"""Lets the frontend reach a device that came from a factory, under the name ``under_test``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from polyback import registry
from polyback.config import Config
from polyback.device import Available, Backend, BackendDescriptor, Device, DeviceInfo
from polyback_conformance.resolve import Target

NAME = "under_test"
_TARGET: list[Target] = []


class Adopted(Backend):
    """The backend of the device that is being tested."""

    def probe(self) -> Available:
        return Available("from --device-factory")

    def devices(self) -> Sequence[DeviceInfo]:
        return (DeviceInfo(0, "cpu", "the device under test"),)

    def open(self, index: int, config: Config) -> Device:
        return _TARGET[0].open()


@contextmanager
def named(target: Target) -> Iterator[str]:
    """The name that the frontend knows ``target`` by."""
    if target.descriptor is not None:
        yield target.name
        return
    _TARGET[:] = [target]
    registry.register(BackendDescriptor(NAME, "polyback_conformance.adopt:Adopted", "cpu"))
    try:
        yield NAME
    finally:
        registry.unregister(NAME)
