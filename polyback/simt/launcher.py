"""Compiled kernels and tables of one device, kept, and elementwise launches through them.

A *plan* is what one combination of program, shapes and strides needs: a compiled kernel, a grid and
a table. Making one costs microseconds to milliseconds (a new program is compiled), using one two
lookups.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, final

from polyback.device import Caps, Operand
from polyback.dtype import float32, float64
from polyback.operand_check import check_operands, check_program
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
MOST_LAYOUTS: Final = 1024  # of one program
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
    tail: list[Any]  # n, span, table


@final
class Code:
    """What all launches of a program share. ``inputs``: their types, and which are numbers;
    ``constants``: the arguments that its constants became."""

    __slots__ = ("constants", "inputs", "outputs", "plans", "program")

    def __init__(self, given: Program) -> None:
        self.program, constants = lift(given)
        self.inputs = [(x.dtype, x.scalar) for x in given.inputs]
        self.outputs = [given.dtypes[number] for number in given.outputs]
        lifted = self.program.inputs[len(given.inputs) :]
        self.constants: list[Any] = []
        for value, x in zip(constants, lifted, strict=True):
            self.constants += number_arguments(value, x.dtype)
        self.plans: dict[tuple[Any, ...], Plan] = {}


@final
class Launcher:
    """Compiles and launches kernels of one device."""

    def __init__(self, caps: Caps, dialect: Dialect, machine: Machine, driver: Driver) -> None:
        self.caps, self.dialect, self.machine, self.driver = caps, dialect, machine, driver
        self._alignment = STREAM_ALIGNMENT if machine.is_cpu else PACK_BYTES
        self._compiled: dict[Any, Any] = {}
        self._codes: dict[int, Code] = {}  # by id, far faster than comparing programs
        self._equal: dict[Program, Code] = {}
        self._kept: list[Program] = []
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
        self._codes.clear()
        self._equal.clear()
        self._kept.clear()
        self._tables.clear()

    # --- elementwise ---------------------------------------------------------------------------

    def elementwise(
        self, program: Program, outs: Sequence[Operand], ins: Sequence[Operand | Number]
    ) -> None:
        """Check and launch a program; nothing happens for empty shapes. Every operation pays for
        this, so operands are looked at once: what a plan depends on becomes its key, what changes
        from launch to launch an argument."""
        code = self._codes.get(id(program)) or self._code(program)
        words: list[Any] = []
        buffers: list[Any] = []
        given: Sequence[Any] = ins
        try:
            shape = outs[0].view.shape
            key: list[Any] = [shape]
            shifts = 0
            for x, (dtype, is_number) in zip(given, code.inputs, strict=True):
                if is_number:
                    if type(x) is Operand:
                        raise TypeError
                    words += number_arguments(x, dtype)
                    continue
                view = x.view
                if x.dtype is not dtype or view.shape != shape:
                    raise TypeError
                key.append(view.strides)
                buffers.append(x.buffer)
                words += (x.buffer, view.offset)
                shifts |= view.offset * dtype.itemsize
            words += code.constants
            if self.machine.is_cpu:
                shifts = 0  # outputs alone are stored past the caches
            in_place = False
            for out, dtype in zip(outs, code.outputs, strict=True):
                view = out.view
                if out.dtype is not dtype or view.shape != shape:
                    raise TypeError
                key.append(view.strides)
                in_place = in_place or out.buffer in buffers
                words += (out.buffer, view.offset)
                shifts |= view.offset * dtype.itemsize
        except (TypeError, ValueError, AttributeError, IndexError):
            check_operands(program, outs, ins)  # says what is wrong
            raise
        key.append(shifts % self._alignment == 0)
        if in_place:
            alias = aliases(outs, ins)
            key.append(alias)
            first = len(words) - 2 * len(outs)
            kept = [words[first + 2 * k : first + 2 * k + 2] for k, a in enumerate(alias) if a < 0]
            words[first:] = [word for pair in kept for word in pair]
        plan = code.plans.get(tuple(key))
        if plan is None:
            if 0 in shape:
                return
            plan = self._plan(code, outs, ins, key)
        self.driver.launch(plan.compiled, plan.groups, words + plan.tail)

    def check(self, program: Program) -> None:
        """Raises UnsupportedOp for what the device does not claim."""
        if id(program) not in self._codes:
            self._code(program)

    def _code(self, program: Program) -> Code:
        """Of a program met for the first time, or one equal to an earlier one."""
        check_program(self.caps, program)
        with self._lock:
            code = self._equal.get(program)
            if code is None:
                if len(self._equal) >= MOST_PLANS:
                    self._equal.clear()
                code = self._equal[program] = Code(program)
            if len(self._codes) >= MOST_PLANS:
                self._codes.clear()
                self._kept.clear()
            self._kept.append(program)  # so that no other gets its id
            self._codes[id(program)] = code
        return code

    def _plan(
        self, code: Code, outs: Sequence[Operand], ins: Sequence[Operand | Number], key: list[Any]
    ) -> Plan:
        alias, arrays = aliases(outs, ins), [x for x in ins if isinstance(x, Operand)]
        aligned = key[1 + len(arrays) + len(outs)]
        if self.machine.is_cpu:
            aligned = aligned and sum(x.view.size * x.dtype.itemsize for x in outs) >= STREAM_FROM
        program = carried(code.program, self.dialect)
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
        if len(code.plans) >= MOST_LAYOUTS:
            code.plans.clear()
        plan = Plan(compiled, (count, 1, 1), [n, span, self.table(table(walk))])
        code.plans[tuple(key)] = plan
        return plan

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
