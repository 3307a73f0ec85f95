"""The device: what it claims; everything else is the kernel kit's."""

from __future__ import annotations

from dataclasses import replace
from typing import final

from polyback.device import Caps, Limits, Numerics, full_claims
from polyback.dtype import DTYPES
from polyback.simt.device import FEATURES, SimtDevice
from polyback_cuda.dialect import dialect
from polyback_cuda.driver import CudaDriver, Traits


def claims(traits: Traits) -> Caps:
    """Every dtype. Half types are stored as bits, so they need nothing of the device."""
    return replace(
        full_claims(frozenset(d.name for d in DTYPES)),
        features=FEATURES,
        numerics=Numerics(),
        limits=Limits(alignment=traits.alignment, max_allocation=traits.max_allocation),
        protocol=(1, 1),
    )


@final
class CudaDevice(SimtDevice):
    """One NVIDIA GPU."""

    def __init__(self, driver: CudaDriver) -> None:
        traits = driver.traits
        super().__init__("cuda", claims(traits), dialect(), traits.machine, driver)
