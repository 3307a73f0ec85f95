"""Compiled kernels and tables of one device, kept, and elementwise launches through them.

An elementwise program is prepared for every combination of shapes and strides that it meets: a
compiled kernel, a grid and a table. Preparing one costs microseconds to milliseconds (a new program
is compiled), starting it a look at where each operand lies.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, final

from polyback.device import Caps, Operand
from polyback.dtype import float32, float64
from polyback.operand_check import check_operands, check_program
from polyback.program import Input, Number, Program
from polyback.simt.dialect import Dialect, carrier
from polyback.simt.driver import Driver, Kernel
from polyback.simt.elementwise import PACK_BYTES, Spec, has_index, kernels
from polyback.simt.geometry import (
    DENSE,
    SMALL_INDEX,
    SPLAT,
    STRIDED,
    Machine,
    Strides,
    Walk,
    blocks,
    merge,
    spans,
    table,
    tiled,
)
from polyback.simt.launch import Code, Kind, Launch, Variant
from polyback.simt.lifting import number_arguments
from polyback.simt.plans import Planner
from polyback.view import Shape

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
class Launcher:
    """Compiles and launches kernels of one device. ``driver`` is what families of kernels launch
    by, while their calls are planned."""

    def __init__(self, caps: Caps, dialect: Dialect, machine: Machine, driver: Driver) -> None:
        self.caps, self.dialect, self.machine = caps, dialect, machine
        self.driver, self._prepare = Planner(driver), driver.prepare
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
        self.launch(program, outs, ins).run(outs, ins, self.driver)

    def launch(
        self, program: Program, outs: Sequence[Operand], ins: Sequence[Operand | Number]
    ) -> Launch:
        """The launch of a program for operands like these, which are checked."""
        code = self._codes.get(id(program)) or self._code(program)
        given: Sequence[Any] = ins
        try:
            shape = outs[0].view.shape
            key: list[Any] = [shape]
            for x, (dtype, is_number) in zip(given, code.inputs, strict=True):
                if is_number:
                    number_arguments(x, dtype)
                    key.append(None)
                elif x.dtype is dtype and x.view.shape == shape:
                    key.append(x.view.strides)
                else:
                    raise TypeError
            for out, dtype in zip(outs, code.outputs, strict=True):
                if out.dtype is not dtype or out.view.shape != shape:
                    raise TypeError
                key.append(out.view.strides)
        except (TypeError, ValueError, AttributeError, IndexError):
            check_operands(program, outs, ins)  # says what is wrong
            raise
        return code.launches.get(tuple(key)) or self._launch(code, tuple(key))

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

    def _launch(self, code: Code, key: tuple[Any, ...]) -> Launch:
        """Met for the first time. ``key``: the shape, and the strides of inputs and outputs."""
        if len(code.launches) >= MOST_LAYOUTS:
            code.launches.clear()
        shape, *layouts = key
        strides = [s for s in layouts if s is not None]
        types = [dtype for dtype, is_number in code.inputs if not is_number]
        make = partial(self._variant, code, shape, strides) if 0 not in shape else None
        sizes = [dtype.itemsize for dtype in (*types, *code.outputs)]
        align = [max(1, self._alignment // size) for size in sizes]
        if self.machine.is_cpu:  # outputs alone are stored past the caches
            align[: len(types)] = [1] * len(types)
        found = code.launches[key] = Launch(self.driver.driver, code, layouts, align, make)
        return found

    def _variant(self, code: Code, shape: Shape, strides: Sequence[Strides], kind: Kind) -> Variant:
        program, machine = carried(code.program, self.dialect), self.machine
        leader = None if has_index(program) else len(strides) - len(code.outputs)
        walk = merge(shape, strides, leader)
        n, aligned = walk.size, kind.aligned
        if machine.is_cpu:
            aligned = aligned and sum(n * dtype.itemsize for dtype in code.outputs) >= STREAM_FROM
            if leader is not None and n >= SPECIAL_FROM:
                walk = tiled(walk)
        spec = self._spec(program, walk, kind.aliases, aligned)
        group = 1 if machine.is_cpu else machine.group
        compiled = self.compiled((program, spec), lambda: self._render(program, spec, group))
        if machine.is_cpu:
            count, span = spans(n, machine, CPU_SPAN, 64)
        else:
            span = group
            count = blocks(n, span * spec.pack)
        tail = (n, span, self.table(table(walk)))
        return Variant.of(
            code, kind, tail, lambda words: self._prepare(compiled, (count, 1, 1), words)
        )

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
