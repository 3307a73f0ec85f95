"""Launches of matrix products, and of the row kernels that thin ones become."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import prod
from typing import Any, Final, final

from polyback import scalar
from polyback.device import Operand
from polyback.dtype import DType
from polyback.program import Number, Program, copy_program, fill_program, program
from polyback.simt.dialect import part
from polyback.simt.elementwise import has_index
from polyback.simt.epilogue import Epilogue, ended
from polyback.simt.geometry import Strides, Walk, blocks, merge, table
from polyback.simt.launcher import Launcher
from polyback.simt.matmul import TILE, cpu_kernel, element, gpu_kernel, pack_kernel
from polyback.simt.reducer import Reducer
from polyback.simt.registers import UNROLLED, tile
from polyback.view import Shape, View

MOST_STEPS: Final = 12  # of an epilogue
MOST_INPUTS: Final = 6


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

    def fused(
        self, out: Operand, a: Operand, b: Operand, program: Program,
        ins: Sequence[Operand | Number | None],
    ) -> None:  # fmt: skip
        """A checked program on a product: in one launch where the kernel makes tiles of a GPU."""
        if out.view.size == 0:
            return
        if self.launcher.machine.is_cpu or 1 in out.view.shape[-2:] or not joins(a, program):
            self.separately(self.matmul, out, a, b, program, ins)
        else:
            self._tiled(out, a, b, *ended(program, ins))

    def separately(
        self, multiply: Callable[[Operand, Operand, Operand], None], out: Operand, a: Operand,
        b: Operand, program: Program, ins: Sequence[Operand | Number | None],
    ) -> None:  # fmt: skip
        """The product is stored, in ``out`` if that has its type, before the program runs on it."""
        product, held = out, None
        if out.dtype is not a.dtype:
            held = self.launcher.driver.allocate(out.view.size * a.dtype.itemsize)
            product = Operand(held, a.dtype, View.contiguous(out.view.shape))
        try:
            multiply(product, a, b)
            given = [product if x is None else x for x in ins]
            self.launcher.elementwise(program, [out], given)
        finally:
            if held is not None:
                self.launcher.driver.free(held)

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
        """Complex matrices as real ones with two columns for each."""
        launcher, dtype, pair = self.launcher, element(part(a.dtype)), 1
        m, k, n = *a.view.shape[-2:], b.view.shape[-1]
        held: list[Any] = []
        view = out.view
        try:
            made = out
            if a.dtype.kind == "complex":
                pair, made = 2, self._dense_rows(out, held)
                view = _as_parts(made.view)
            shape, dialect = tile(dtype, launcher.machine), launcher.dialect
            rows, columns = shape.rows, shape.width
            padded = blocks(pair * k, UNROLLED) * UNROLLED
            left = blocks(m, rows) * rows * padded
            right = blocks(pair * n, columns) * columns * padded
            packed_a, a_batches = self._pack(a, False, rows, padded, held)
            packed_b, b_batches = self._pack(b, True, columns, padded, held)
            compiled = launcher.compiled(
                ("product", dtype), lambda: cpu_kernel(dtype, shape, dialect)
            )
            walk = batches([view])
            words = (packed_a, packed_b, made.buffer, view.offset, m, pair * n, padded,
                     *view.strides[-2:], left if a_batches > 1 else 0,
                     right if b_batches > 1 else 0, launcher.table(table(walk)))  # fmt: skip
            groups = (blocks(m, rows), blocks(pair * n, columns), walk.size)
            launcher.driver.launch(compiled, groups, words)
            if made is not out:
                launcher.elementwise(copy_program(out.dtype, out.dtype), [out], [made])
        finally:
            for buffer in held:
                launcher.driver.free(buffer)

    def _dense_rows(self, out: Operand, held: list[Any]) -> Operand:
        """``out`` itself if elements of its rows are neighbours, else memory for the same."""
        view, dtype = out.view, out.dtype
        if view.strides[-1] == 1:
            return out
        held.append(self.launcher.driver.allocate(view.size * dtype.itemsize))
        return Operand(held[-1], dtype, View.contiguous(view.shape))

    def _pack(
        self, x: Operand, columns: bool, size: int, padded: int, held: list[Any]
    ) -> tuple[Any, int]:
        """(buffer of panels of ``size`` rows, or columns, how many matrices it holds: one where all
        are the same)"""
        launcher, view, dtype = self.launcher, x.view, x.dtype
        if all(s == 0 or n == 1 for s, n in zip(view.strides[:-2], view.shape[:-2], strict=True)):
            view = View(view.shape[-2:], view.strides[-2:], view.offset)
        (lines, depth), steps = view.shape[-2:], view.strides[-2:]
        if columns:
            lines, depth, steps = depth, lines, steps[::-1]
        each = 2 if columns and dtype.kind == "complex" else 1  # real columns of one
        walk, panels = batches([view]), blocks(each * lines, size)
        buffer = launcher.driver.allocate(walk.size * panels * size * padded * part(dtype).itemsize)
        held.append(buffer)
        dialect, is_complex = launcher.dialect, dtype.kind == "complex"
        compiled = launcher.compiled(
            ("pack", dtype if is_complex else dtype.itemsize), lambda: pack_kernel(dtype, dialect)
        )
        words = (x.buffer, view.offset, buffer, lines, depth, size, *steps, panels, padded,
                 launcher.table(table(walk)), *([each] if is_complex else []))  # fmt: skip
        launcher.driver.launch(compiled, (walk.size * panels, 1, 1), words)
        return buffer, walk.size

    # --- GPU -----------------------------------------------------------------------------------

    def _tiled(
        self, out: Operand, a: Operand, b: Operand, epilogue: Epilogue | None = None,
        arrays: Sequence[Operand] = (), more: Sequence[Any] = (),
    ) -> None:  # fmt: skip
        launcher, dtype = self.launcher, element(a.dtype)
        m, k, n = *a.view.shape[-2:], b.view.shape[-1]
        walk = batches([x.view for x in (a, b, out, *arrays)])
        dialect = launcher.dialect
        compiled = launcher.compiled(
            ("product", dtype, epilogue), lambda: gpu_kernel(dtype, dialect, epilogue)
        )
        words = (a.buffer, a.view.offset, b.buffer, b.view.offset, out.buffer, out.view.offset,
                 m, n, k, *a.view.strides[-2:], *b.view.strides[-2:], *out.view.strides[-2:],
                 launcher.table(table(walk)), *more)  # fmt: skip
        groups = blocks(m, TILE) * blocks(n, TILE) * walk.size
        launcher.driver.launch(compiled, (groups, 1, 1), words)


def _as_parts(view: View) -> View:
    """Of complex matrices, whose rows are dense, as real ones."""
    *outer, n = view.shape
    strides = (*(2 * s for s in view.strides[:-1]), 1)
    return View((*outer, 2 * n), strides, 2 * view.offset)


def joins(a: Operand, program: Program) -> bool:
    """Is the program worth joining to the end of a product of something? Each one is a kernel of
    its own, which takes longer to compile than to do without."""
    few = len(program.instrs) <= MOST_STEPS and len(program.inputs) <= MOST_INPUTS
    return few and a.view.shape[-1] > 0 and not has_index(program)


def batches(views: Sequence[View]) -> Walk:
    """The leading axes."""
    return _batches(views[0].shape[:-2], tuple(v.strides[:-2] for v in views))


@lru_cache(maxsize=4096)
def _batches(lead: Shape, strides: tuple[Strides, ...]) -> Walk:
    walk = merge(lead, strides)
    assert walk.size == prod(lead)
    return walk
