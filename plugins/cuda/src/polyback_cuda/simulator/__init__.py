"""A simulated GPU: the driver layer and the very kernels of ``cuda``, run by the host's CPU.

For tests and for conformance on machines without a GPU. It is never found by ``pb.devices()``; it
is asked for by name::

    polyback conformance --device-factory polyback_cuda.simulator:SimulatedBackend

What passes here has not run on a GPU, and no result of it is a GPU result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from polyback.config import Config
from polyback.device import Available, Backend, DeviceInfo
from polyback.errors import InvalidArgument
from polyback_cuda.device import CudaDevice
from polyback_cuda.driver import CudaDriver
from polyback_cuda.simulator.api import SimulatedCuda
from polyback_cuda.simulator.compiler import HostCompiler

DESCRIPTION = "simulated on the host CPU, not a GPU"


def simulated_driver(cuda: SimulatedCuda | None = None, memory_limit: int = 0) -> CudaDriver:
    """The real driver layer over a simulated pycuda."""
    return CudaDriver(cuda or SimulatedCuda(), 0, lambda _: HostCompiler(), memory_limit)


@final
class SimulatedBackend(Backend):
    """One simulated device."""

    def probe(self) -> Available:
        return Available(DESCRIPTION)

    def devices(self) -> Sequence[DeviceInfo]:
        return (DeviceInfo(0, "gpu", DESCRIPTION),)

    def open(self, index: int, config: Config) -> CudaDevice:
        if index != 0:
            raise InvalidArgument(f"[cuda, simulated] no device {index}; there is only index 0")
        driver = simulated_driver(memory_limit=config.memory_limit)
        return CudaDevice(driver, tf32=config.tf32)
