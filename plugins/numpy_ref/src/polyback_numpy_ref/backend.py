"""What is there to open: always one device, the host."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from typing import final

from polyback.config import Config
from polyback.device import Available, Backend, DeviceInfo
from polyback.errors import InvalidArgument
from polyback_numpy_ref.device import NumpyDevice


def physical_memory() -> int:
    """Bytes of main memory; 0 where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 0


@final
class NumpyBackend(Backend):
    """NumPy on the host."""

    def probe(self) -> Available:
        return Available("NumPy on the host")

    def devices(self) -> Sequence[DeviceInfo]:
        return (DeviceInfo(0, "cpu", f"NumPy on {platform.machine()}", physical_memory()),)

    def open(self, index: int, config: Config) -> NumpyDevice:
        if index != 0:
            raise InvalidArgument(f"[numpy_ref] no device {index}; there is only index 0")
        return NumpyDevice(config.memory_limit or physical_memory())
