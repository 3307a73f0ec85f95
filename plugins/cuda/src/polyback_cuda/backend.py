"""What is there to open: the GPUs that NVIDIA's driver shows."""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, final

from polyback.config import Config
from polyback.device import Available, Backend, DeviceInfo, Unavailable
from polyback.errors import BackendUnavailable, InvalidArgument

if TYPE_CHECKING:
    from polyback_cuda.device import CudaDevice

LIBRARY: Final = "libcuda.so.1"
INSTALL: Final = "install the CUDA toolkit, set CUDA_ROOT to its folder, then pip install pycuda"
DRIVER: Final = "install NVIDIA's driver, version 525 or newer; in a container, start it with GPUs"
CHECK: Final = "nvidia-smi lists what the driver sees; check CUDA_VISIBLE_DEVICES"


@final
class CudaBackend(Backend):
    """Every NVIDIA GPU of the machine, in the driver's order."""

    def __init__(self, library: str = LIBRARY) -> None:
        self._library = library

    def probe(self) -> Available | Unavailable:
        """Asks the driver itself through ctypes: importing pycuda takes longer than 50 ms. Driver
        and GPU come first, since nobody should build pycuda to learn that they are missing."""
        try:
            answer = self._ask()
            if isinstance(answer, Available) and importlib.util.find_spec("pycuda") is None:
                return Unavailable("NOT_INSTALLED", "pycuda is not installed", INSTALL)
            return answer
        except Exception as error:
            return Unavailable("PROBE_FAILED", f"NVIDIA's driver failed: {error}", CHECK)

    def _ask(self) -> Available | Unavailable:
        try:
            library = ctypes.CDLL(self._library)
        except OSError as error:
            return Unavailable("NO_DRIVER", f"{self._library} does not load: {error}", DRIVER)
        status = library.cuInit(0)
        count = ctypes.c_int(0)
        if status == 0:
            status = library.cuDeviceGetCount(ctypes.byref(count))
        if status in _NO_DRIVER:
            return Unavailable("NO_DRIVER", f"cuInit says {_NO_DRIVER[status]} ({status})", DRIVER)
        if status != 0 or count.value == 0:
            return Unavailable("NO_DEVICE", f"no NVIDIA GPU is visible ({status})", CHECK)
        return Available(f"{count.value} GPU" + "s" * (count.value > 1))

    def devices(self) -> Sequence[DeviceInfo]:
        if not isinstance(self.probe(), Available):
            return ()
        from polyback_cuda import driver

        cuda = driver.load()
        return tuple(driver.describe(cuda, k) for k in range(cuda.Device.count()))

    def open(self, index: int, config: Config) -> CudaDevice:
        """Honours ``config.memory_limit``, ``config.vendor_matmul`` and ``config.tf32``."""
        answer = self.probe()
        if isinstance(answer, Unavailable):
            raise BackendUnavailable(
                f"[cuda] {answer.reason}; {answer.fix}",
                code=answer.code, reason=answer.reason, fix=answer.fix,
            )  # fmt: skip
        from polyback_cuda import driver
        from polyback_cuda.cublas import find_cublas
        from polyback_cuda.device import CudaDevice
        from polyback_cuda.nvrtc import best_compiler

        cuda = driver.load()
        count = cuda.Device.count()
        if not 0 <= index < count:
            raise InvalidArgument(f"[cuda] no device {index}; there are {count}")
        blas = find_cublas() if config.vendor_matmul else None
        opened = driver.CudaDriver(cuda, index, best_compiler, config.memory_limit)
        return CudaDevice(opened, blas, config.tf32)


_NO_DRIVER: Final = {  # codes of cuda.h
    34: "that a stub library was loaded",
    35: "that the driver is too old",
    803: "that driver and library do not match",
    804: "that this driver does not support the card",
}
