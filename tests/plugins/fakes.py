"""Backends registered directly, and a registry that holds nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from polyback import registry
from polyback.config import Config
from polyback.device import (
    PROTOCOL,
    Available,
    Backend,
    BackendDescriptor,
    Device,
    DeviceInfo,
    Unavailable,
)
from polyback_numpy_ref.device import NumpyDevice


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty table that has listed nothing, and nothing installed but what a test installs."""
    saved = dict(registry._TABLE), list(registry._LISTED)
    registry._TABLE.clear()
    registry._LISTED[:] = [True]
    monkeypatch.setattr(registry, "find", list)
    yield
    registry.close_all()
    registry._TABLE.clear()
    registry._TABLE.update(saved[0])
    registry._LISTED[:] = saved[1]


class Fake(Backend):
    """Says what the class attributes of its subclasses say."""

    answer: Any = Available("here")
    infos: Any = (DeviceInfo(0, "cpu", "fake 0"), DeviceInfo(1, "cpu", "fake 1"))
    opened: list[int]

    def __init_subclass__(cls) -> None:
        cls.opened = []

    def probe(self) -> Any:
        return self.answer

    def devices(self) -> Any:
        return self.infos

    def open(self, index: int, config: Config) -> Device:
        self.opened.append(index)
        time.sleep(0.01)
        return NumpyDevice(0)


def fake(name: str, kind: Any = "cpu", priority: int = 0, reference: bool = False,
         **attributes: Any) -> type[Fake]:  # fmt: skip
    """Register a backend; its class is a global of this module, as a factory must be."""
    made = type(f"Fake_{name}", (Fake,), {**attributes, "__module__": __name__})
    globals()[made.__name__] = made
    factory = f"{__name__}:{made.__name__}"
    registry.register(
        BackendDescriptor(
            name, factory, kind, (PROTOCOL, PROTOCOL), priority=priority, reference=reference
        )
    )
    return made


GPUS = (DeviceInfo(0, "gpu", "card 0"), DeviceInfo(1, "gpu", "card 1"))
ABSENT = Unavailable("NO_DRIVER", "the driver is not loaded", "load it")
