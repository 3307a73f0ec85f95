"""Compiled kernels and tables of one device, kept, and elementwise launches through them.

An elementwise program is prepared for every combination of shapes and strides that it meets: a
compiled kernel, a grid and a table. Preparing one costs microseconds to milliseconds (a new program
is compiled), starting it a look at each operand. Where all operands have one and the same dense
view, as most have, that view alone finds it, and buffers and numbers are all that is left to give.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, final

from polyback.device import Caps, Operand
from polyback.dtype import float32, float64
from polyback.operand_check import check_operands, check_program
from polyback.program import Input, Number, Program
from polyback.simt.dialect import Dialect, carrier
from polyback.simt.driver import GIVEN, Driver, Kernel
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
from polyback.simt.plans import Planner
from polyback.view import View

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
Start = Callable[[Any, Sequence[Any], Sequence[Any]], None]  # as Driver.start


@final
class Code:
    """What all launches of a program share. ``inputs``: their types, and which are numbers;
    ``constants``: the arguments that its constants became; ``dense`` and ``strided``: prepared
    launches by the one view of all operands, and by their layouts."""

    __slots__ = ("constants", "count", "dense", "inputs", "outputs", "program", "strided")

    def __init__(self, given: Program) -> None:
        self.program, constants = lift(given)
        self.inputs = [(x.dtype, x.scalar) for x in given.inputs]
        self.outputs = [given.dtypes[number] for number in given.outputs]
        self.count = len(self.inputs), len(self.outputs)
        lifted = self.program.inputs[len(given.inputs) :]
        self.constants: list[Any] = []
        for value, x in zip(constants, lifted, strict=True):
            self.constants += number_arguments(value, x.dtype)
        self.dense: dict[Any, Any] = {}
        self.strided: dict[tuple[Any, ...], Any] = {}


@final
class Launcher:
    """Compiles and launches kernels of one device. ``driver`` is what families of kernels launch
    by, while their calls are planned."""

    def __init__(self, caps: Caps, dialect: Dialect, machine: Machine, driver: Driver) -> None:
        self.caps, self.dialect, self.machine = caps, dialect, machine
        self.driver, self._prepare, self._start = Planner(driver), driver.prepare, driver.start
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
        """A part of the call that is planned."""
        code = self._codes.get(id(program)) or self._code(program)
        self._run_strided(code, program, outs, ins, self.driver.start)

    def run(
        self, program: Program, outs: Sequence[Operand], ins: Sequence[Operand | Number]
    ) -> None:
        """Check and launch a program; nothing happens for empty shapes. Every operation pays for
        this, so operands are looked at once, and only at whether they have one view."""
        code = self._codes.get(id(program)) or self._code(program)
        given: Sequence[Any] = ins
        buffers: list[Any] = []
        numbers: list[Any] = []
        dense: Any = None
        try:
            view: Any = outs[0].view
            key = view if (len(ins), len(outs)) == code.count else None
            for x, (dtype, is_number) in zip(given, code.inputs):
                if is_number:
                    numbers += number_arguments(x, dtype)
                elif x.view is view and x.dtype is dtype:
                    buffers.append(x.buffer)
                else:
                    break
            else:
                for out, dtype in zip(outs, code.outputs):
                    buffer = out.buffer
                    if out.view is not view or out.dtype is not dtype:
                        break
                    if buffer in buffers:  # in place
                        key = key, len(buffers), buffers.index(buffer)
                    else:
                        buffers.append(buffer)
                else:
                    dense = key
        except (TypeError, ValueError, AttributeError, IndexError):
            check_operands(program, outs, ins)  # says what is wrong
            raise
        prepared = code.dense.get(dense)
        if prepared is None:
            self._run_strided(code, program, outs, ins, self._start, dense)
        else:
            self._start(prepared, buffers, numbers)

    def _run_strided(
        self, code: Code, program: Program, outs: Sequence[Operand],
        ins: Sequence[Operand | Number], start: Start, dense: Any = None,
    ) -> None:  # fmt: skip
        """The same for any layouts: what a kernel depends on becomes the key of its launch, what
        changes from launch to launch an argument. ``dense``: the key of the usual case, if it is
        that, for the next time."""
        given: Sequence[Any] = ins
        buffers: list[Any] = []
        words: list[Any] = []  # offsets and numbers
        try:
            shape = outs[0].view.shape
            key: list[Any] = [shape]
            shifts = 0
            for x, (dtype, is_number) in zip(given, code.inputs, strict=True):
                if is_number:
                    words += number_arguments(x, dtype)
                    continue
                view = x.view
                if x.dtype is not dtype or view.shape != shape:
                    raise TypeError
                key.append(view.strides)
                buffers.append(x.buffer)
                words.append(view.offset)
                shifts |= view.offset * dtype.itemsize
            if self.machine.is_cpu:
                shifts = 0  # outputs alone are stored past the caches
            alias = aliases(outs, ins) if any(out.buffer in buffers for out in outs) else ()
            for k, (out, dtype) in enumerate(zip(outs, code.outputs, strict=True)):
                view = out.view
                if out.dtype is not dtype or view.shape != shape:
                    raise TypeError
                key.append(view.strides)
                shifts |= view.offset * dtype.itemsize
                if not alias or alias[k] < 0:
                    buffers.append(out.buffer)
                    words.append(view.offset)
        except (TypeError, ValueError, AttributeError, IndexError):
            check_operands(program, outs, ins)  # says what is wrong
            raise
        key += (shifts % self._alignment == 0, alias)
        prepared = code.strided.get(tuple(key))
        if prepared is None:
            if 0 in shape:
                return
            prepared = self._prepared(code, outs, ins, key, dense)
        start(prepared, buffers, words)

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

    def _prepared(
        self, code: Code, outs: Sequence[Operand], ins: Sequence[Operand | Number], key: list[Any],
        dense: Any,
    ) -> Any:  # fmt: skip
        """Met for the first time."""
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
        if len(code.strided) >= MOST_LAYOUTS:
            code.strided.clear()
            code.dense.clear()
        tail = [n, span, self.table(table(walk))]

        def prepare(offset: Any) -> Any:
            words: list[Any] = []
            for dtype, is_number in code.inputs:
                parts = (GIVEN, GIVEN)[: 1 + (dtype.kind == "complex")]
                words += parts if is_number else (GIVEN, offset)
            words += [*code.constants, *(GIVEN, offset) * sum(k < 0 for k in alias), *tail]
            return self._prepare(compiled, (count, 1, 1), words)

        if dense is not None and views[0] is View.contiguous(views[0].shape):
            code.dense[dense] = prepare(0)
        found = code.strided[tuple(key)] = prepare(GIVEN)
        return found

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
