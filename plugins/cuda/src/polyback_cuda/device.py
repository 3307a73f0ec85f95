"""The device: what it claims; everything else is the kernel kit's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, final

from polyback.device import Caps, Limits, Numerics, Operand, full_claims
from polyback.dtype import DTYPES
from polyback.operand_check import check_matmul, check_matmul_fused
from polyback.program import Number, Program
from polyback.simt.device import FEATURES, SimtDevice
from polyback.simt.multiplier import joins
from polyback_cuda.dialect import dialect
from polyback_cuda.driver import CudaDriver, Traits
from polyback_cuda.fast_matmul import HALVES, TileMultiplier


def claims(traits: Traits, tf32: bool = False) -> Caps:
    """Every dtype. Half types are stored as bits, so they need nothing of the device; their
    products are tensor cores' work."""
    full = full_claims(frozenset(d.name for d in DTYPES))
    return replace(
        full,
        matmul=full.matmul | (HALVES if traits.has_tiles else frozenset()),
        features=FEATURES,
        numerics=Numerics(float32_matmul="tf32" if tf32 and traits.has_tiles else "ieee"),
        limits=Limits(alignment=traits.alignment, max_allocation=traits.max_allocation),
        protocol=(1, 2),
    )


@final
class CudaDevice(SimtDevice):
    """One NVIDIA GPU. ``cublas``: the library that multiplies what it can, or None; ``tf32``: may
    products of float32 keep ten fraction bits of their factors?"""

    def __init__(self, driver: CudaDriver, cublas: Any = None, tf32: bool = False) -> None:
        traits = driver.traits
        super().__init__("cuda", claims(traits, tf32), dialect(), traits.machine, driver)
        self._cuda_driver = driver
        self._tiles = TileMultiplier(self._launcher, tf32)
        if cublas is not None:
            driver.open_blas(cublas)

    @property
    def driver(self) -> CudaDriver:
        """For :mod:`polyback_cuda.graphs`."""
        return self._cuda_driver

    def _matmul(self, out: Operand, a: Operand, b: Operand) -> None:
        check_matmul(self.caps, out, a, b)
        self._multiply(out, a, b)

    def _matmul_fused(
        self, out: Operand, a: Operand, b: Operand, program: Program,
        ins: Sequence[Operand | Number | None],
    ) -> None:  # fmt: skip
        check_matmul_fused(self.caps, out, a, b, program, ins)
        driver = self._cuda_driver
        ours = not driver.has_blas and joins(a, program)
        if ours and driver.traits.has_tiles and self._tiles.fused(out, a, b, program, ins):
            return
        if ours and a.dtype.name not in HALVES:
            self._multiplier.fused(out, a, b, program, ins)
        elif out.view.size:
            self._multiplier.separately(self._multiply, out, a, b, program, ins)

    def _multiply(self, out: Operand, a: Operand, b: Operand) -> None:
        driver = self._cuda_driver
        theirs = driver.gemm(out, a, b) if out.view.size and driver.has_blas else None
        if theirs is not None:
            self._launcher.driver.launch(theirs, (1, 1, 1), (a.buffer, b.buffer, out.buffer))
            return
        if driver.traits.has_tiles and self._tiles.matmul(out, a, b):
            return
        self._multiplier.matmul(out, a, b)
