"""Compiled kernels and tables of one device, kept, and elementwise launches through them.

A *plan* is what one combination of program, shapes and strides needs: a compiled kernel, a grid and
a table. Making one costs microseconds to milliseconds (a new program is compiled), using one a
lookup.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, final

from polyback.device import Operand
from polyback.dtype import float32, float64
from polyback.program import Input, Number, Program
from polyback.simt.dialect import Dialect, carrier
from polyback.simt.driver import Driver, Kernel, Triple
from polyback.simt.elementwise import PACK_BYTES, Spec, has_index, kernels
from polyback.simt.geometry import (
    DENSE,
    SMALL_INDEX,
    SPLAT,
    STRIDED,
    Machine,
    Walk,
    blocks,
    merge,
    spans,
    table,
    tiled,
)
from polyback.simt.lifting import lift, number_arguments

MOST_PLANS: Final = 4096
# Elements from which a launch is worth a kernel of its own for its mix of dense, broadcast and
# strided operands: compiling one takes as long as PoCL computes some ten million elements.
SPECIAL_FROM: Final = 1 << 16
# Bytes of outputs from which a CPU stores past its caches: they would not stay there, and a line
# need not be fetched before it is written (a quarter less traffic for x + y).
STREAM_FROM: Final = 1 << 24
STREAM_ALIGNMENT: Final = 64
CPU_SPAN: Final = 8192  # least elements of a work-item on a CPU: some microseconds


@final
@dataclass(frozen=True)
class Plan:
    """A compiled kernel, its grid, and the arguments that do not change from launch to launch."""

    compiled: Any
    groups: Triple
    tail: tuple[Any, ...]  # n, span, table
    alias: tuple[int, ...]


@final
class Launcher:
    """Compiles and launches kernels of one device."""

    def __init__(self, dialect: Dialect, machine: Machine, driver: Driver) -> None:
        self.dialect, self.machine, self.driver = dialect, machine, driver
        self._compiled: dict[Any, Any] = {}
        self._plans: dict[Any, Plan] = {}
        self._tables: dict[tuple[int, ...], Any] = {}
        self._lock = threading.RLock()

    # --- what is kept --------------------------------------------------------------------------

    def compiled(self, key: Any, render: Callable[[], Kernel]) -> Any:
        """The kernel for ``key``, rendered and compiled the first time."""
        found = self._compiled.get(key)
        if found is None:
            with self._lock:
                found = self._compiled.get(key)
                if found is None:
                    found = self._compiled[key] = self.driver.compile(render())
        return found

    def table(self, words: Sequence[int]) -> Any:
        """A table with these words in device memory."""
        key = tuple(words)
        found = self._tables.get(key)
        if found is None:
            if len(self._tables) >= MOST_PLANS:
                self._tables.clear()
            found = self._tables[key] = self.driver.constants(key)
        return found

    def forget(self) -> None:
        """Drop everything, before the device closes."""
        self._compiled.clear()
        self._plans.clear()
        self._tables.clear()

    # --- elementwise ---------------------------------------------------------------------------

    def elementwise(
        self, program: Program, outs: Sequence[Operand], ins: Sequence[Operand | Number]
    ) -> None:
        """Launch a checked program; nothing happens for empty shapes."""
        if outs[0].view.size == 0:
            return
        program, constants = lift(program)
        ins = (*ins, *constants)
        arrays = [x for x in ins if isinstance(x, Operand)]
        alias = aliases(outs, ins)
        aligned = self._aligned(arrays, outs)
        key = (program, outs[0].view.shape, alias, aligned,
               tuple(x.view.strides for x in (*arrays, *outs)))  # fmt: skip
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plan(program, outs, arrays, alias, aligned)
            if len(self._plans) >= MOST_PLANS:
                self._plans.clear()
            self._plans[key] = plan
        self.driver.launch(plan.compiled, plan.groups, arguments(program, outs, ins, plan))

    def _aligned(self, arrays: Sequence[Operand], outs: Sequence[Operand]) -> bool:
        """Do packs (GPU) start at multiples of their size; large outputs (CPU) where vectors do?"""
        if not self.machine.is_cpu:
            both = (*arrays, *outs)
            return all(x.view.offset * x.dtype.itemsize % PACK_BYTES == 0 for x in both)
        size = outs[0].view.size
        return size * sum(x.dtype.itemsize for x in outs) >= STREAM_FROM and all(
            x.view.offset * x.dtype.itemsize % STREAM_ALIGNMENT == 0 for x in outs
        )

    def _plan(
        self, program: Program, outs: Sequence[Operand], arrays: Sequence[Operand],
        alias: tuple[int, ...], aligned: bool,
    ) -> Plan:  # fmt: skip
        program = carried(program, self.dialect)
        views = [x.view for x in (*arrays, *outs)]
        leader = None if has_index(program) else len(arrays)
        walk = merge(views[0].shape, [v.strides for v in views], leader)
        if self.machine.is_cpu and leader is not None and walk.size >= SPECIAL_FROM:
            walk = tiled(walk)
        spec = self._spec(program, walk, alias, aligned)
        group = 1 if self.machine.is_cpu else self.machine.group
        compiled = self.compiled((program, spec), lambda: self._render(program, spec, group))
        n = walk.size
        if self.machine.is_cpu:
            count, span = spans(n, self.machine, CPU_SPAN, 64)
        else:
            span = group
            count = blocks(n, span * spec.pack)
        words = self.table(table(walk))
        return Plan(compiled, (count, 1, 1), (n, span, words), alias)

    def _render(self, program: Program, spec: Spec, group: int) -> Kernel:
        """The kernel, in one source with its sibling for the other of the two usual layouts."""
        count = len(spec.modes)
        dense = replace(spec, modes=(DENSE,) * count, flat=True, stream=False)
        strided = replace(spec, modes=(STRIDED,) * count, flat=False, pack=1, stream=False)
        specs = {"dense": dense, "strided": strided}
        if spec == strided:
            specs["dense"] = replace(dense, pack=self._pack(program))
        elif spec != dense:
            specs = {"mixed": spec}
        found = kernels(program, specs, self.dialect, group)
        return next(found[name] for name, given in specs.items() if given == spec)

    def _pack(self, program: Program) -> int:
        widest = max(program.dtypes[o].itemsize for o in program.outputs)
        return 1 if self.machine.is_cpu else max(1, PACK_BYTES // widest)

    def _spec(self, program: Program, walk: Walk, alias: tuple[int, ...], aligned: bool) -> Spec:
        modes = walk.modes
        flat = walk.is_flat
        dense = flat and all(m == DENSE for m in modes)
        if not dense and (walk.size < SPECIAL_FROM or not (self.machine.is_cpu or flat)):
            modes, flat = (STRIDED,) * len(modes), False
        wide_index = walk.reach() >= SMALL_INDEX
        if not (aligned and flat and set(modes) <= {DENSE, SPLAT}):
            return Spec(alias, modes, flat, wide_index)
        stream = self.machine.is_cpu and max(alias) < 0
        return Spec(alias, modes, flat, wide_index, self._pack(program), stream)


def carried(program: Program, dialect: Dialect) -> Program:
    """A program that only moves its inputs, with types of their sizes: one kernel copies all types
    of a size, in vectors where the language has some."""
    if program.instrs or any(given.scalar for given in program.inputs):
        return program
    lanes = dialect.wide.lanes if dialect.wide else {}
    wide = {4: float32, 8: float64}
    inputs = []
    for given in program.inputs:
        size = given.dtype.itemsize
        vector = wide.get(size)
        inputs.append(Input(vector if vector and vector.code in lanes else carrier(size)))
    return Program(tuple(inputs), (), program.outputs)


def aliases(outs: Sequence[Operand], ins: Sequence[Operand | Number]) -> tuple[int, ...]:
    """For each output the first input that has exactly its memory, or -1."""
    found = []
    for out in outs:
        same = -1
        for k, x in enumerate(ins):
            if isinstance(x, Operand) and x.buffer is out.buffer and x.view == out.view:
                same = k
                break
        found.append(same)
    return tuple(found)


def arguments(
    program: Program, outs: Sequence[Operand], ins: Sequence[Operand | Number], plan: Plan
) -> list[Any]:
    """In the order of :meth:`Renderer.arguments`."""
    words: list[Any] = []
    for x, given in zip(ins, program.inputs, strict=True):
        if isinstance(x, Operand):
            words += (x.buffer, x.view.offset)
        else:
            words += number_arguments(x, given.dtype)
    for out, same in zip(outs, plan.alias, strict=True):
        if same < 0:
            words += (out.buffer, out.view.offset)
    words += plan.tail
    return words
