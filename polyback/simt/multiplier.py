"""Launches of matrix products, and of the row kernels that thin ones become."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import Any, Final, final

from polyback import scalar
from polyback.device import Operand
from polyback.dtype import DType
from polyback.program import Program, fill_program, program
from polyback.simt.geometry import Walk, blocks, merge, table
from polyback.simt.launcher import Launcher
from polyback.simt.matmul import (
    TILE,
    UNROLLED,
    cpu_kernel,
    element,
    gpu_kernel,
    pack_kernel,
    tile,
)
from polyback.simt.reducer import Reducer
from polyback.view import View

MOST_GROUPS: Final = 65535  # along the second and third axis of a grid


@lru_cache(maxsize=16)
def _terms(dtype: DType) -> Program:
    return program(lambda a, b: a * b, dtype, dtype)


@final
class Multiplier:
    """Matrix products of one device."""

    def __init__(self, launcher: Launcher, reducer: Reducer) -> None:
        self.launcher, self.reducer = launcher, reducer

    def matmul(self, out: Operand, a: Operand, b: Operand) -> None:
        """A checked product."""
        if out.view.size == 0:
            return
        m, k, n = *a.view.shape[-2:], b.view.shape[-1]
        if k == 0:
            self.launcher.elementwise(fill_program(out.dtype), [out], [0])
        elif m == 1 or n == 1:
            self._thin(out, a, b)
        elif self.launcher.machine.is_cpu:
            self._packed(out, a, b)
        else:
            self._tiled(out, a, b)

    def _thin(self, out: Operand, a: Operand, b: Operand) -> None:
        """A vector times a matrix reads every element once: a reduction of products, so that
        nothing is packed for a single use."""
        *lead, m, k = a.view.shape
        n = b.view.shape[-1]
        axis = len(lead) + 2
        left = a.view.insert(axis - 1).expand((*lead, m, n, k))
        swapped = b.view.permute((*range(len(lead)), axis - 1, axis - 2))
        right = swapped.insert(axis - 2).expand((*lead, m, n, k))
        result = out.view.insert(axis)
        ins = [Operand(a.buffer, a.dtype, left), Operand(b.buffer, b.dtype, right)]
        target = Operand(out.buffer, out.dtype, result)
        self.reducer.reduce(scalar.SUM, target, _terms(a.dtype), ins, (axis,))

    # --- CPU -----------------------------------------------------------------------------------

    def _packed(self, out: Operand, a: Operand, b: Operand) -> None:
        launcher, dtype = self.launcher, element(a.dtype)
        m, k, n = *a.view.shape[-2:], b.view.shape[-1]
        shape, dialect = tile(dtype, launcher.machine), launcher.dialect
        rows, columns = shape.rows, shape.width
        padded = blocks(k, UNROLLED) * UNROLLED
        left, right = blocks(m, rows) * rows * padded, blocks(n, columns) * columns * padded
        held: list[Any] = []
        try:
            av, bv = a.view, b.view
            packed_a, a_batches = self._pack(a, m, k, rows, av.strides[-2], av.strides[-1], held)
            packed_b, b_batches = self._pack(b, n, k, columns, bv.strides[-1], bv.strides[-2], held)
            compiled = launcher.compiled(
                ("product", dtype), lambda: cpu_kernel(dtype, shape, dialect)
            )
            view = out.view
            walk = _batches([view])
            words = (packed_a, packed_b, out.buffer, view.offset, m, n, padded, view.strides[-2],
                     view.strides[-1], left if a_batches > 1 else 0, right if b_batches > 1 else 0,
                     launcher.table(table(walk)))  # fmt: skip
            groups = (blocks(m, rows), blocks(n, columns), walk.size)
            launcher.driver.launch(compiled, groups, words)
        finally:
            for buffer in held:
                launcher.driver.free(buffer)

    def _pack(
        self, x: Operand, lines: int, depth: int, size: int, line_step: int, k_step: int,
        held: list[Any],
    ) -> tuple[Any, int]:  # fmt: skip
        """(buffer of panels, how many matrices it holds: one where all are the same)"""
        launcher, view = self.launcher, x.view
        if all(s == 0 or n == 1 for s, n in zip(view.strides[:-2], view.shape[:-2], strict=True)):
            view = View(view.shape[-2:], view.strides[-2:], view.offset)
        walk, panels = _batches([view]), blocks(lines, size)
        padded = blocks(depth, UNROLLED) * UNROLLED
        buffer = launcher.driver.allocate(walk.size * panels * size * padded * x.dtype.itemsize)
        held.append(buffer)
        dialect = launcher.dialect
        compiled = launcher.compiled(
            ("pack", x.dtype.itemsize), lambda: pack_kernel(x.dtype, dialect)
        )
        words = (x.buffer, view.offset, buffer, lines, depth, size, line_step, k_step, panels,
                 padded, launcher.table(table(walk)))  # fmt: skip
        launcher.driver.launch(compiled, (walk.size * panels, 1, 1), words)
        return buffer, walk.size

    # --- GPU -----------------------------------------------------------------------------------

    def _tiled(self, out: Operand, a: Operand, b: Operand) -> None:
        launcher, dtype = self.launcher, element(a.dtype)
        m, k, n = *a.view.shape[-2:], b.view.shape[-1]
        walk = _batches([a.view, b.view, out.view])
        dialect = launcher.dialect
        compiled = launcher.compiled(("product", dtype), lambda: gpu_kernel(dtype, dialect))
        words = (a.buffer, a.view.offset, b.buffer, b.view.offset, out.buffer, out.view.offset,
                 m, n, k, *a.view.strides[-2:], *b.view.strides[-2:], *out.view.strides[-2:],
                 launcher.table(table(walk)))  # fmt: skip
        launcher.driver.launch(compiled, (blocks(m, TILE), blocks(n, TILE), walk.size), words)


def _batches(views: Sequence[View]) -> Walk:
    """The leading axes."""
    lead = views[0].shape[:-2]
    walk = merge(lead, [v.strides[:-2] for v in views])
    assert walk.size == prod(lead)
    return walk
