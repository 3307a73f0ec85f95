"""The device: what it claims; everything else is the kernel kit's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, final

from polyback.device import Caps, Limits, Numerics, Operand, full_claims
from polyback.dtype import DTYPES
from polyback.operand_check import check_matmul
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
    """One NVIDIA GPU. ``cublas``: the library that multiplies what it can, or None."""

    def __init__(self, driver: CudaDriver, cublas: Any = None) -> None:
        traits = driver.traits
        super().__init__("cuda", claims(traits), dialect(), traits.machine, driver)
        self._driver_of_blas = driver
        if cublas is not None:
            driver.open_blas(cublas)

    def matmul(self, out: Operand, a: Operand, b: Operand) -> None:
        if self._driver_of_blas.has_blas:
            self._check_open()
            check_matmul(self.caps, out, a, b)
            if out.view.size and self._driver_of_blas.gemm(out, a, b):
                return
        super().matmul(out, a, b)
