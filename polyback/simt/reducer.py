"""Launches of map-reduce: which axes are rows, how long chunks are, the second pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final, final

from polyback.device import Operand
from polyback.errors import InvalidArgument
from polyback.program import Number, Program, copy_program, fill_program
from polyback.scalar import Reduction
from polyback.simt import reduce_cpu, reduce_gpu
from polyback.simt.driver import Kernel, Triple
from polyback.simt.elementwise import has_index
from polyback.simt.geometry import SMALL_INDEX, STRIDED, Walk, blocks, merge, table
from polyback.simt.launcher import MOST_PLANS, Launcher
from polyback.simt.lifting import lift, number_arguments
from polyback.simt.reduce import COLUMNS, Frame, Spec
from polyback.view import Shape, View, row_major

SPECIAL_FROM: Final = 1 << 14  # elements from which dense operands get a kernel of their own
CPU_TASKS: Final = 16  # pieces that a CPU's work is cut into if they do not get too short
CPU_CHUNK: Final = 1 << 14  # elements, at least
CPU_SPAN: Final = 1 << 16  # elements of a work-item that makes several short rows
GPU_CHUNK: Final = 1 << 13
GPU_GROUPS: Final = 1024
SHORT_ROW: Final = 64  # on a GPU a work-item of its own makes a shorter row
TALL_FROM: Final = 32  # rows from which columns are made by several work-items each


@final
@dataclass(frozen=True)
class Plan:
    """What one combination of shapes and strides needs. ``splits`` > 1: a second pass follows."""

    compiled: Any
    groups: Triple
    tail: tuple[Any, ...]  # part, n, span, length, chunk, kept, reduced
    splits: int
    kept: Shape


@final
class Reducer:
    """Reductions of one device."""

    def __init__(self, launcher: Launcher) -> None:
        self.launcher, self.machine = launcher, launcher.machine
        self._plans: dict[Any, Plan] = {}

    def forget(self) -> None:
        """Drop everything, before the device closes."""
        self._plans.clear()

    def reduce(
        self, op: Reduction, out: Operand, program: Program, ins: Sequence[Operand | Number],
        axes: tuple[int, ...],
    ) -> None:  # fmt: skip
        """A checked reduction of the program's only output."""
        arrays = [x for x in ins if isinstance(x, Operand)]
        shape = arrays[0].view.shape
        if out.view.size == 0:
            return
        if 0 in shape:
            self._fill(op, out)
            return
        if has_index(program):
            self._stored(op, out, program, ins, axes)
            return
        program, constants = lift(program)
        ins = (*ins, *constants)
        key = (op, program, shape, axes, out.view.strides, tuple(x.view.strides for x in arrays))
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plan(op, out, program, arrays, axes)
            if len(self._plans) >= MOST_PLANS:
                self._plans.clear()
            self._plans[key] = plan
        if plan.splits == 1:
            self._launch(plan, program, ins, out.buffer, out.view.offset)
            return
        self._two_passes(plan, op, out, program, ins, axes)

    def _launch(
        self, plan: Plan, program: Program, ins: Sequence[Operand | Number], out: Any, offset: int
    ) -> None:
        words: list[Any] = []
        for x, given in zip(ins, program.inputs, strict=True):
            if isinstance(x, Operand):
                words += (x.buffer, x.view.offset)
            else:
                words += number_arguments(x, given.dtype)
        words += (out, offset, *plan.tail)
        self.launcher.driver.launch(plan.compiled, plan.groups, words)

    def _two_passes(
        self, plan: Plan, op: Reduction, out: Operand, program: Program,
        ins: Sequence[Operand | Number], axes: tuple[int, ...],
    ) -> None:  # fmt: skip
        """Partial results of every chunk, side by side, then their reduction."""
        driver, dtype = self.launcher.driver, out.dtype
        shape = (*plan.kept, plan.splits)
        partial = driver.allocate(prod(shape) * dtype.itemsize)
        try:
            self._launch(plan, program, ins, partial, 0)
            view = out.view
            for axis in reversed(axes):
                view = view.drop(axis)
            target = Operand(out.buffer, dtype, view.insert(view.ndim))
            source = Operand(partial, dtype, View.contiguous(shape))
            last = (len(shape) - 1,)
            self.reduce(op, target, copy_program(dtype, dtype), [source], last)
        finally:
            driver.free(partial)

    def _fill(self, op: Reduction, out: Operand) -> None:
        if op.identity is None:
            raise InvalidArgument(f"[{op.name}] nothing to reduce, and there is no identity")
        self.launcher.elementwise(fill_program(out.dtype), [out], [op.identity])

    def _stored(
        self, op: Reduction, out: Operand, program: Program, ins: Sequence[Operand | Number],
        axes: tuple[int, ...],
    ) -> None:  # fmt: skip
        """A program that uses its index: kernels here visit elements in another order."""
        shape = next(x.view.shape for x in ins if isinstance(x, Operand))
        buffer = self.launcher.driver.allocate(prod(shape) * out.dtype.itemsize)
        try:
            stored = Operand(buffer, out.dtype, View.contiguous(shape))
            self.launcher.elementwise(program, [stored], ins)
            self.reduce(op, out, copy_program(out.dtype, out.dtype), [stored], axes)
        finally:
            self.launcher.driver.free(buffer)

    # --- planning ------------------------------------------------------------------------------

    def _plan(
        self, op: Reduction, out: Operand, program: Program, arrays: Sequence[Operand],
        axes: tuple[int, ...],
    ) -> Plan:  # fmt: skip
        shape, strides = arrays[0].view.shape, [x.view.strides for x in arrays]
        main = max(range(len(strides)), key=lambda k: sum(s != 0 for s in strides[k]))
        kept_axes = [a for a in range(len(shape)) if a not in axes]
        kept_shape = tuple(shape[a] for a in kept_axes)
        reduced = merge(
            tuple(shape[a] for a in axes), [tuple(s[a] for a in axes) for s in strides], main
        )
        columns = self._by_columns(shape, strides[main], axes, reduced.size)
        n, length = prod(kept_shape), reduced.size
        source = merge(kept_shape, [tuple(s[a] for a in kept_axes) for s in strides], main)
        dense = columns and self._is_dense(source, reduced)
        wide = self.machine.group
        if dense:
            wide = reduce_gpu.across(program, source.modes, wide)
        chunk = self._chunk(self._across(source, columns, wide), length, columns)
        splits = blocks(length, chunk)
        result = tuple(out.view.strides[a] for a in kept_axes)
        if splits > 1:
            result = tuple(s * splits for s in row_major(kept_shape))
        kept = merge(kept_shape, [*(tuple(s[a] for a in kept_axes) for s in strides), result], main)
        modes = (kept if columns else reduced).modes[: len(arrays)]
        flat = not self.machine.is_cpu and reduced.is_flat and n * length >= SPECIAL_FROM
        if dense and not kept.is_flat:
            dense, wide = False, self.machine.group
        special = self.machine.is_cpu or (flat and (dense or not columns))
        if n * length < SPECIAL_FROM or not special:
            modes = (STRIDED,) * len(arrays)
        spec = Spec(columns, modes, kept.reach() + reduced.reach() >= SMALL_INDEX, flat)
        group = 1 if self.machine.is_cpu else self.machine.group
        compiled = self.launcher.compiled(
            (op, program, spec),
            lambda: _render(Frame(op, program, spec, self.launcher.dialect, group)),
        )
        groups, span = self._grid(kept, n, length, columns, wide)
        tail = (int(splits > 1), n, span, length, chunk,
                self.launcher.table(table(kept)), self.launcher.table(table(reduced)))  # fmt: skip
        return Plan(compiled, (groups, splits, 1), tail, splits, kept_shape)

    def _by_columns(
        self, shape: Shape, strides: tuple[int, ...], axes: tuple[int, ...], length: int
    ) -> bool:
        """Is the axis that walks memory in the smallest steps kept?"""
        moving = [a for a, n in enumerate(shape) if n != 1 and strides[a] != 0]
        if not moving:
            return False
        fastest = min(moving, key=lambda a: abs(strides[a]))
        if not self.machine.is_cpu and length < SHORT_ROW:
            return True
        return fastest not in axes

    def _is_dense(self, kept: Walk, reduced: Walk) -> bool:
        """Do the columns of a GPU lie side by side, and are there rows enough for all of a group's
        work-items?"""
        flat = not self.machine.is_cpu and kept.is_flat and reduced.is_flat
        large = kept.size * reduced.size >= SPECIAL_FROM and reduced.size >= TALL_FROM
        return flat and large and reduce_gpu.is_dense(kept.modes)

    def _across(self, kept: Walk, columns: bool, wide: int) -> int:
        """How many pieces of work there are without cutting rows; ``wide``: columns of a group on a
        GPU."""
        if not columns:
            return kept.size
        if not self.machine.is_cpu:
            return blocks(kept.size, wide)
        last = kept.shape[-1] if kept.shape else 1
        return kept.size // last * blocks(last, COLUMNS)

    def _chunk(self, across: int, length: int, columns: bool) -> int:
        """Elements that one work-item or group reduces; from the shape alone."""
        if self.machine.is_cpu:
            least = CPU_CHUNK // COLUMNS if columns else CPU_CHUNK
            wanted = blocks(CPU_TASKS, across)
        else:
            least = GPU_CHUNK // 64 if columns else GPU_CHUNK
            wanted = blocks(GPU_GROUPS, across)
        splits = max(1, min(wanted, length // least, 65535))
        grain = 512 if self.machine.is_cpu or not columns else 64
        return blocks(blocks(length, splits), grain) * grain if splits > 1 else max(length, 1)

    def _grid(self, kept: Walk, n: int, length: int, columns: bool, wide: int) -> tuple[int, int]:
        """(groups, outputs of each)."""
        if not self.machine.is_cpu:
            return (blocks(n, wide), 1) if columns else (n, 1)
        if columns:
            last = kept.shape[-1] if kept.shape else 1
            return n // last * blocks(last, COLUMNS), 1
        span = max(1, min(CPU_SPAN // length, blocks(n, CPU_TASKS)))
        return blocks(n, span), span


def _render(frame: Frame) -> Kernel:
    if frame.group == 1:
        return reduce_cpu.columns(frame) if frame.spec.columns else reduce_cpu.rows(frame)
    return reduce_gpu.columns(frame) if frame.spec.columns else reduce_gpu.rows(frame)
