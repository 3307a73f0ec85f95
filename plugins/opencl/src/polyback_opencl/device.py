"""The device: what it claims; everything else is the kernel kit's."""

from __future__ import annotations

from dataclasses import replace
from typing import final

from polyback.device import Caps, Limits, Numerics, full_claims
from polyback.dtype import DTYPES
from polyback.simt.device import FEATURES, SimtDevice
from polyback.simt.pool import Buffer
from polyback_opencl.dialect import dialect
from polyback_opencl.driver import OpenclDriver, Traits


def claims(traits: Traits, *, shared: bool = False) -> Caps:
    """Every dtype; float64 and complex128 where the device has float64. Half types are stored as
    bits, so they need nothing of the device. ``shared``: it computes in the host's memory."""
    lacking = set() if traits.double else {"float64", "complex128"}
    own = {"host_view"} if shared else set()
    if traits.machine.is_cpu:
        own.add("sort")
    return replace(
        full_claims(frozenset(d.name for d in DTYPES) - lacking),
        features=FEATURES | own,
        numerics=Numerics(denormals=traits.denormals),
        limits=Limits(alignment=traits.alignment, max_allocation=traits.max_allocation),
        protocol=(1, 2),
    )


@final
class OpenclDevice(SimtDevice):
    """One OpenCL device."""

    def __init__(self, driver: OpenclDriver) -> None:
        traits = driver.traits
        is_cpu = traits.machine.is_cpu
        words = dialect(
            double=traits.double, is_cpu=is_cpu, is_pocl=traits.is_pocl,
            sub_group=1 if is_cpu else driver.sub_group(),
        )  # fmt: skip
        caps = claims(traits, shared=driver.computes_in_host_memory())
        super().__init__("opencl", caps, words, traits.machine, driver)
        self._opencl = driver

    def host_view(self, buffer: Buffer) -> memoryview:
        """Feature, on CPUs."""
        return self._opencl.host_view(buffer)
