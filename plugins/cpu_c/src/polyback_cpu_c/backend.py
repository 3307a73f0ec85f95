"""What is there to open: always one device, all cores of this machine."""

from __future__ import annotations

import importlib.util
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, final

from polyback.config import Config
from polyback.device import Available, Backend, DeviceInfo, Unavailable
from polyback.errors import InvalidArgument

if TYPE_CHECKING:
    from polyback_cpu_c.device import CpuDevice


def physical_memory() -> int:
    """Bytes of main memory; 0 where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 0


def processor() -> str:
    """The CPU's name as its maker gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


@final
class CpuBackend(Backend):
    """SIMD kernels in C on the host."""

    def probe(self) -> Available | Unavailable:
        if importlib.util.find_spec("polyback_cpu_c._native") is None:
            return Unavailable(
                "NOT_INSTALLED",
                "the C library polyback_cpu_c._native was not built",
                "pip install --force-reinstall polyback-cpu-c",
            )
        return Available(f"{os.cpu_count()} cores")

    def devices(self) -> Sequence[DeviceInfo]:
        return (DeviceInfo(0, "cpu", processor(), physical_memory()),)

    def open(self, index: int, config: Config) -> CpuDevice:
        """Honours ``config.threads``, ``config.isa`` and ``config.memory_limit``. The last is
        InvalidArgument if this CPU cannot run the set, or there is none of that name."""
        if index != 0:
            raise InvalidArgument(f"[cpu_c] no device {index}; there is only index 0")
        from polyback_cpu_c.device import CpuDevice

        return CpuDevice(config)
