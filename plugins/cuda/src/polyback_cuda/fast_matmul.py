"""Launches of the tile kernels: which operands they take, and what follows a product.

The kit's portable kernel stays for all other types, and for GPUs before compute capability 8.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, Final, Protocol, final

from polyback.device import Operand
from polyback.program import Number, Program, copy_program
from polyback.simt.driver import Kernel
from polyback.simt.epilogue import Epilogue, ended, of_shares, plain
from polyback.simt.geometry import blocks, table
from polyback.simt.launcher import Launcher
from polyback.simt.multiplier import batches
from polyback.view import View
from polyback_cuda.async_matmul import Float32
from polyback_cuda.double_matmul import Float64
from polyback_cuda.tensor_cores import BFLOAT16, FLOAT16, TF32
from polyback_cuda.tiles import ACROSS, ALONG, ANY
from polyback_cuda.tiling import Product, Size, Work, cut

MOST_BLOCKS: Final = 2**31 - 1
HALVES: Final = frozenset({"float16", "bfloat16"})


class Kind(Protocol):
    """The kernels of one type."""

    @property
    def name(self) -> str:
        """Key of what is compiled."""
        ...

    @property
    def work(self) -> Work:
        """How fast they are."""
        ...

    @property
    def sizes(self) -> tuple[Size, ...]:
        """Of tiles, largest first."""
        ...

    def kernel(self, a_mode: str, b_mode: str, side: int, epilogue: Epilogue) -> Kernel:
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


@final
class TileMultiplier:
    """Products of one device by tile kernels."""

    def __init__(self, launcher: Launcher, tf32: bool) -> None:
        self.launcher = launcher
        self._kinds: dict[str, Kind] = {
            "float32": TF32 if tf32 else Float32(), "float64": Float64(),
            "float16": FLOAT16, "bfloat16": BFLOAT16,
        }  # fmt: skip

    def matmul(self, out: Operand, a: Operand, b: Operand) -> bool:
        """Queue a checked product; False where the kit should make it."""
        return self.fused(out, a, b, copy_program(out.dtype, out.dtype), [None])

    def fused(
        self, out: Operand, a: Operand, b: Operand, program: Program,
        ins: Sequence[Operand | Number | None],
    ) -> bool:  # fmt: skip
        """Queue a checked program on a product; False where the kit should make it: other types,
        nothing to add up, and a vector that is no halves', whose product reads every element
        once."""
        kind = self._kinds.get(a.dtype.name)
        m, k, n = *a.view.shape[-2:], b.view.shape[-1]
        thin = min(m, n) == 1 and a.dtype.name not in HALVES
        if kind is None or out.view.size == 0 or k == 0 or thin:
            return False
        wanted = Product(m, n, k, prod(out.view.shape[:-2]), a.dtype.itemsize)
        side, share = cut(wanted, kind.work, kind.sizes, self.launcher.machine.units)
        if wanted.tiles(side) > MOST_BLOCKS:
            return False
        if share == k:
            self._launch(kind, out, a, b, side, k, 0, *ended(program, ins))
        else:
            self._shared(kind, out, a, b, side, share, program, ins)
        return True

    def _launch(
        self, kind: Kind, out: Operand, a: Operand, b: Operand, side: int, share: int, apart: int,
        epilogue: Epilogue, arrays: Sequence[Operand] = (), more: Sequence[Any] = (),
    ) -> None:  # fmt: skip
        """``apart``: elements from one share's results to the next one's."""
        launcher = self.launcher
        m, k, n = *a.view.shape[-2:], b.view.shape[-1]
        ndim = a.view.ndim
        modes = mode(a, ndim - 2, ndim - 1), mode(b, ndim - 1, ndim - 2)
        compiled = launcher.compiled(
            ("tiles", kind.name, *modes, side, epilogue),
            lambda: kind.kernel(*modes, side, epilogue),
        )
        walk = batches([x.view for x in (a, b, out, *arrays)])
        words = (a.buffer, a.view.offset, b.buffer, b.view.offset, out.buffer, out.view.offset,
                 m, n, k, share, *a.view.strides[-2:], *b.view.strides[-2:],
                 *out.view.strides[-2:], apart, launcher.table(table(walk)), *more)  # fmt: skip
        groups = blocks(m, side) * blocks(n, side) * walk.size, blocks(k, share), 1
        launcher.driver.launch(compiled, groups, words)

    def _shared(
        self, kind: Kind, out: Operand, a: Operand, b: Operand, side: int, share: int,
        program: Program, ins: Sequence[Operand | Number | None],
    ) -> None:  # fmt: skip
        """Every share's results side by side, halves' in float32, then the program on their sum,
        which is always added up in one order."""
        launcher, shape, size = self.launcher, out.view.shape, out.view.size
        shares, dtype = blocks(a.view.shape[-1], share), a.dtype.compute
        held = launcher.driver.allocate(shares * size * dtype.itemsize)
        try:
            view = View.contiguous(shape)
            parts = [
                Operand(held, dtype, View(shape, view.strides, s * size)) for s in range(shares)
            ]
            self._launch(kind, parts[0], a, b, side, share, size, plain(dtype))
            at = next(k for k, x in enumerate(ins) if x is None)
            last = of_shares(program, at, shares)
            launcher.elementwise(last, [out], [*parts, *(x for x in ins if x is not None)])
        finally:
            launcher.driver.free(held)
