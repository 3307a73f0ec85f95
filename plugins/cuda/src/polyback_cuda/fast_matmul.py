"""Launches of the tile kernels: which operands they take, how large tiles are, who shares what.

The kit's portable kernel stays for all other types, and for GPUs before compute capability 8.0.
"""

from __future__ import annotations

from math import prod
from typing import Final, Protocol, final

from polyback import scalar
from polyback.device import Operand
from polyback.dtype import float32
from polyback.program import copy_program
from polyback.simt.driver import Kernel
from polyback.simt.geometry import blocks, table
from polyback.simt.launcher import Launcher
from polyback.simt.multiplier import batches
from polyback.simt.reducer import Reducer
from polyback.view import View
from polyback_cuda.async_matmul import Float32
from polyback_cuda.tensor_cores import BFLOAT16, FLOAT16, TF32
from polyback_cuda.tiles import ACROSS, ALONG, ANY

SIDES: Final = (128, 64)
MOST_BLOCKS: Final = 2**31 - 1
SHARE: Final = 256  # terms of a share: a multiple of them
HALVES: Final = frozenset({"float16", "bfloat16"})


class Kind(Protocol):
    """The kernels of one type."""

    @property
    def name(self) -> str:
        """Key of what is compiled."""
        ...

    def kernel(self, a_mode: str, b_mode: str, side: int, whole: bool) -> Kernel:
        """For operands that lie so, and tiles of this size."""
        ...


def mode(x: Operand, line: int, k: int) -> str:
    """How an operand lies whose lines are along one axis, their terms along the other."""
    view, each = x.view, 16 // x.dtype.itemsize
    for name, dense in ((ALONG, k), (ACROSS, line)):
        others = [view.strides[a] for a in range(view.ndim) if a != dense and view.shape[a] > 1]
        if view.strides[dense] == 1 and all(s % each == 0 for s in (*others, view.offset)):
            return name
    return ANY


def cut(m: int, n: int, k: int, count: int, units: int) -> tuple[int, int]:
    """(side of a tile, terms of a share): large tiles where there are enough for every
    multiprocessor, and shares where even small ones are too few."""

    def tiles(side: int) -> int:
        return blocks(m, side) * blocks(n, side) * count

    side = next((s for s in SIDES if tiles(s) >= units), SIDES[-1])
    if tiles(side) >= units:
        return side, blocks(k, SHARE) * SHARE
    shares = max(1, min(2 * units // tiles(side), k // SHARE))
    return side, blocks(blocks(k, shares), SHARE) * SHARE


@final
class TileMultiplier:
    """Products of one device by tile kernels."""

    def __init__(self, launcher: Launcher, reducer: Reducer, tf32: bool) -> None:
        self.launcher, self.reducer = launcher, reducer
        self._kinds: dict[str, Kind] = {
            "float32": TF32 if tf32 else Float32(), "float16": FLOAT16, "bfloat16": BFLOAT16,
        }  # fmt: skip

    def matmul(self, out: Operand, a: Operand, b: Operand) -> bool:
        """Queue a checked product; False where the kit should make it: other types, nothing to
        add up, and a vector of float32, whose product reads every element once."""
        kind = self._kinds.get(out.dtype.name)
        m, k, n = *a.view.shape[-2:], b.view.shape[-1]
        thin = min(m, n) == 1 and out.dtype is float32
        if kind is None or out.view.size == 0 or k == 0 or thin:
            return False
        count = prod(out.view.shape[:-2])
        side, share = cut(m, n, k, count, self.launcher.machine.units)
        across = blocks(m, side) * blocks(n, side) * count
        if across > MOST_BLOCKS:
            return False
        if share >= k:
            self._launch(kind, out, a, b, side, share, 0)
        else:
            self._shared(kind, out, a, b, side, share)
        return True

    def _launch(
        self, kind: Kind, out: Operand, a: Operand, b: Operand, side: int, share: int, apart: int
    ) -> None:
        """``apart``: elements from one share's results to the next one's."""
        launcher = self.launcher
        m, k, n = *a.view.shape[-2:], b.view.shape[-1]
        ndim, whole = a.view.ndim, out.dtype is a.dtype
        modes = mode(a, ndim - 2, ndim - 1), mode(b, ndim - 1, ndim - 2)
        compiled = launcher.compiled(
            ("tiles", kind.name, *modes, side, whole), lambda: kind.kernel(*modes, side, whole)
        )
        walk = batches([a.view, b.view, out.view])
        words = (a.buffer, a.view.offset, b.buffer, b.view.offset, out.buffer, out.view.offset,
                 m, n, k, share, *a.view.strides[-2:], *b.view.strides[-2:],
                 *out.view.strides[-2:], apart, launcher.table(table(walk)))  # fmt: skip
        groups = blocks(m, side) * blocks(n, side) * walk.size, blocks(k, share), 1
        launcher.driver.launch(compiled, groups, words)

    def _shared(
        self, kind: Kind, out: Operand, a: Operand, b: Operand, side: int, share: int
    ) -> None:
        """Every share's results side by side in float32, then their sum, always in one order."""
        launcher, driver = self.launcher, self.launcher.driver
        size, shares = out.view.size, blocks(a.view.shape[-1], share)
        held = [driver.allocate(shares * size * float32.itemsize)]
        try:
            parts = Operand(held[0], float32, View.contiguous((shares, *out.view.shape)))
            first = Operand(held[0], float32, View.contiguous(out.view.shape))
            self._launch(kind, first, a, b, side, share, size)
            total = out
            if out.dtype is not float32:
                held.append(driver.allocate(size * float32.itemsize))
                total = Operand(held[1], float32, first.view)
            target = Operand(total.buffer, float32, total.view.insert(0))
            one = copy_program(float32, float32)
            self.reducer.reduce(scalar.SUM, target, one, [parts], (0,))
            if total is not out:
                launcher.elementwise(copy_program(float32, out.dtype), [out], [total])
        finally:
            for buffer in held:
                driver.free(buffer)
