"""The device: what it claims; everything else is the kernel kit's."""

from __future__ import annotations

from typing import final

from polyback.device import Caps, Limits, Numerics, required_claims
from polyback.dtype import DTYPES
from polyback.simt.device import FEATURES, SimtDevice
from polyback_opencl.dialect import dialect
from polyback_opencl.driver import OpenclDriver, Traits


def claims(traits: Traits) -> Caps:
    """Every real dtype; float64 where the device has it. Half types are stored as bits, so they
    need nothing of the device."""
    lacking = set() if traits.double else {"float64"}
    storage = frozenset(d.name for d in DTYPES if d.kind != "complex" and d.name not in lacking)
    least = required_claims(storage)
    return Caps(
        storage=storage,
        scalars=least.scalars,
        reductions=least.reductions,
        matmul=least.matmul,
        features=FEATURES,
        numerics=Numerics(denormals=traits.denormals),
        limits=Limits(alignment=traits.alignment, max_allocation=traits.max_allocation),
        protocol=(1, 1),
    )


@final
class OpenclDevice(SimtDevice):
    """One OpenCL device."""

    def __init__(self, driver: OpenclDriver) -> None:
        traits = driver.traits
        words = dialect(double=traits.double, is_cpu=traits.machine.is_cpu, is_pocl=traits.is_pocl)
        super().__init__("opencl", claims(traits), words, traits.machine, driver)
