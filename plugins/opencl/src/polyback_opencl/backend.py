"""What is there to open: the devices of all OpenCL platforms, platform by platform."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, final

from polyback.config import Config
from polyback.device import Available, Backend, DeviceInfo, Unavailable
from polyback.errors import BackendUnavailable, InvalidArgument

if TYPE_CHECKING:
    from polyback_opencl.device import OpenclDevice

INSTALL = (
    "pip install 'polyback-opencl[pocl]' runs on the CPU; for a GPU install its vendor's driver"
)
POCL_FIX = (
    "PoCL needs a folder to write to: set POCL_CACHE_DIR to one; "
    "POCL_DEVICES, where it is set, must name a device of PoCL's"
)


@final
class OpenclBackend(Backend):
    """Every OpenCL device of the machine. Which numbers they get is the ICD loader's order."""

    def probe(self) -> Available | Unavailable:
        if importlib.util.find_spec("pyopencl") is None:
            return Unavailable("NOT_INSTALLED", "pyopencl is not installed", "pip install pyopencl")
        try:
            from polyback_opencl import driver
        except Exception as error:
            return Unavailable(
                "IMPORT_ERROR", f"pyopencl does not load: {error}",
                "reinstall pyopencl, or install an OpenCL loader (libOpenCL.so.1)",
            )  # fmt: skip
        try:
            platforms = driver.platforms()
            found = driver.devices() if platforms else []
        except Exception as error:
            return Unavailable("PROBE_FAILED", f"the OpenCL loader failed: {error}", INSTALL)
        if not platforms:
            return Unavailable("NO_DRIVER", "no OpenCL platform (ICD) is installed", INSTALL)
        if not found:
            names = [p.name.strip() for p in platforms]
            fix = POCL_FIX if driver.POCL in names else INSTALL
            return Unavailable("NO_DEVICE", f"{', '.join(names)}: no device", fix)
        return Available(", ".join(p.name.strip() for p in platforms))

    def devices(self) -> Sequence[DeviceInfo]:
        if not isinstance(self.probe(), Available):
            return ()
        from polyback_opencl import driver

        return tuple(driver.describe(k, d) for k, d in enumerate(driver.devices()))

    def open(self, index: int, config: Config) -> OpenclDevice:
        """Honours ``config.memory_limit``."""
        answer = self.probe()
        if isinstance(answer, Unavailable):
            raise BackendUnavailable(
                f"[opencl] {answer.reason}; {answer.fix}",
                code=answer.code, reason=answer.reason, fix=answer.fix,
            )  # fmt: skip
        from polyback_opencl import driver
        from polyback_opencl.device import OpenclDevice

        found: list[Any] = driver.devices()
        if not 0 <= index < len(found):
            raise InvalidArgument(f"[opencl] no device {index}; there are {len(found)}")
        return OpenclDevice(driver.OpenclDriver(found[index], config.memory_limit))
