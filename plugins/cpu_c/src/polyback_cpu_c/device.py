"""The device: launches of programs, reductions, products and moves of the C library."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from math import prod
from typing import Any, Final, Literal, final

from polyback.config import Config
from polyback.device import Operand
from polyback.dtype import DType
from polyback.errors import InvalidArgument, UnsupportedOp
from polyback.operand_check import check_operands
from polyback.program import Number, Program, copy_program, fill_program
from polyback.scalar import Reduction
from polyback_cpu_c import driver
from polyback_cpu_c.batches import collapse, starts
from polyback_cpu_c.compiler import Compiler, Plan
from polyback_cpu_c.indexing import DTYPE_NUMBERS, SCATTER_MODES, index_call
from polyback_cpu_c.lanewise import Lanewise
from polyback_cpu_c.launch import Launch
from polyback_cpu_c.operands import address, collect, mismatch, pack_numbers
from polyback_cpu_c.reduction import ReducePlan, arrange, views_of_result
from polyback_cpu_c.windowed import Windowed

MOST_PROGRAMS: Final = 4096  # compiled ones that are kept
_SIZES: Final = struct.Struct("=4q")
_STRIDES: Final = struct.Struct("=9q")
_POINTERS: Final = struct.Struct("=3Q")


@final
class CpuDevice(Lanewise, Windowed):
    """All cores of this machine."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._plans: dict[Program, Plan] = {}
        self._reducers: dict[Program, Plan] = {}

    # --- programs ------------------------------------------------------------------------------

    def elementwise(
        self, program: Program, outs: Sequence[Operand], ins: Sequence[Operand | Number]
    ) -> None:
        self.prepare(program, outs, ins)(outs, ins)

    def prepare(
        self, program: Program, outs: Sequence[Operand], ins: Sequence[Operand | Number]
    ) -> Callable[[Sequence[Operand], Sequence[Operand | Number]], None]:
        """Feature."""
        self.check_open()
        plan = self._plans.get(program)
        if plan is None:
            if len(self._plans) >= MOST_PROGRAMS:
                self._plans.clear()
            plan = self._plans[program] = self._compile(program, False)
        check_operands(program, outs, ins)
        return Launch(self, self._isa, plan, outs, ins).run

    def _compile(self, program: Program, reducing: bool) -> Plan:
        missing = self._caps.missing(program)
        if missing:
            raise UnsupportedOp(f"[elementwise] cpu_c lacks {', '.join(missing)}")
        return Compiler(program, driver.OPS, reducing).compile()

    # --- reductions ----------------------------------------------------------------------------

    def reduce(self, op: Reduction, out: Operand, x: Operand, axes: tuple[int, ...]) -> None:
        self.check_open()
        if x.dtype.name not in self._caps.reductions[op.name]:
            raise UnsupportedOp(f"[{op.name}] cpu_c does not reduce {x.dtype}")
        self.reduce_fused(op, out, copy_program(x.dtype, x.dtype), (x,), axes)

    def reduce_fused(
        self,
        op: Reduction,
        out: Operand,
        program: Program,
        ins: Sequence[Operand | Number],
        axes: tuple[int, ...],
    ) -> None:
        """Feature: blocks of the program's result go straight to the accumulators."""
        self.check_open()
        plan = self._reducers.get(program)
        if plan is None:
            if len(self._reducers) >= MOST_PROGRAMS:
                self._reducers.clear()
            plan = self._reducers[program] = self._compile(program, True)
        dtype = program.dtypes[program.outputs[0]]
        if dtype.name not in self._caps.reductions[op.name]:
            raise UnsupportedOp(f"[{op.name}] cpu_c does not reduce {dtype}")
        shape = next(x.view.shape for x in ins if isinstance(x, Operand))
        words, key = collect(plan, shape, ins)
        if plan.has_index:
            words.append(0)
        wanted = tuple(1 if a in axes else n for a, n in enumerate(shape))
        if out.dtype is not dtype or out.view.shape != wanted:
            raise mismatch(op.name, out, dtype, wanted)
        target = address(out, dtype.itemsize)
        if 0 in shape:
            self._fill_identity(op, out, dtype)
            return
        key += [axes, out.view.strides]
        found = plan.layouts.get(tuple(key))
        if found is None:
            strides = [x.view.strides if isinstance(x, Operand) else None for x in ins]
            found = arrange(shape, strides, plan.sizes, out.view.strides, axes, plan.has_index)
            plan.remember(key, found)
        code = (op.name, driver.REDUCES[f"{op.name}_{dtype.code}"], dtype.itemsize)
        if found.dense:
            self._launch_reduce(code, plan, found, words, target)
            return
        result, strided = views_of_result(found, shape, out.view)
        buffer = self.allocate(prod(result.shape) * dtype.itemsize)
        try:
            self._launch_reduce(code, plan, found, words, buffer.address)
            copy = copy_program(dtype, dtype)
            source = Operand(buffer, dtype, result)
            self.elementwise(copy, (Operand(out.buffer, dtype, strided),), (source,))
        finally:
            self.free(buffer)

    def _launch_reduce(
        self, code: tuple[str, int, int], plan: Plan, found: ReducePlan, words: list[Any], out: int
    ) -> None:
        op, number, size = code
        try:
            packed = plan.words.pack(*words)
        except (struct.error, OverflowError):
            packed = pack_numbers(plan, words)
        status = driver.reduce(
            self._isa, number, size, plan.code, found.layout.walks, packed,
            found.outer, found.length, found.inner, out,
        )  # fmt: skip
        driver.check(status, op)

    def _fill_identity(self, op: Reduction, out: Operand, dtype: DType) -> None:
        if out.view.size == 0:
            return
        if op.identity is None:
            raise InvalidArgument(f"[{op.name}] nothing to reduce, and there is no identity")
        self.elementwise(fill_program(dtype), (out,), (op.identity,))

    # --- matrix product ------------------------------------------------------------------------

    def matmul(self, out: Operand, a: Operand, b: Operand) -> None:
        self.check_open()
        dtype = a.dtype
        if dtype.name not in self._caps.matmul:
            raise UnsupportedOp(f"[matmul] cpu_c does not multiply {dtype}")
        if not dtype is b.dtype is out.dtype:
            raise InvalidArgument(f"[matmul] types differ: {dtype}, {b.dtype} to {out.dtype}")
        shape, k = out.view.shape, a.view.shape[-1]
        lead, (m, n) = shape[:-2], shape[-2:]
        if a.view.shape != (*lead, m, k) or b.view.shape != (*lead, k, n):
            raise InvalidArgument(
                f"[matmul] shapes do not fit: {a.view.shape} @ {b.view.shape} -> {shape}"
            )
        size, operands = dtype.itemsize, (a, b, out)
        pointers = [address(x, size) for x in operands]
        if out.view.size == 0:
            return
        batch, steps, rest = collapse(lead, [x.view.strides[:-2] for x in operands])
        strides: list[int] = []
        for x, step in zip(operands, steps, strict=True):
            strides += (step, *x.view.strides[-2:])
        sizes, packed = _SIZES.pack(batch, m, n, k), _STRIDES.pack(*strides)
        number = DTYPE_NUMBERS[dtype.code]
        for moved in starts(pointers, rest, size) if rest else (pointers,):
            status = driver.matmul(self._isa, number, sizes, packed, _POINTERS.pack(*moved))
            if status:
                driver.check(status, "matmul")

    # --- indexing ------------------------------------------------------------------------------

    def gather(self, out: Operand, x: Operand, index: Operand, axis: int) -> None:
        """Feature."""
        self.check_open()
        spec, pointers = index_call(out, x, index, axis, "gather")
        driver.gather(out.dtype.itemsize, spec, pointers)

    def scatter(
        self, out: Operand, index: Operand, x: Operand, axis: int,
        mode: Literal["set", "add", "min", "max"],
    ) -> None:  # fmt: skip
        """Features ``scatter`` and ``scatter_minmax``; all but setting need a type that the device
        computes in."""
        self.check_open()
        number, row = SCATTER_MODES[mode]
        op = driver.OPS.get(f"{row}_{x.dtype.code}", -1)
        if row and op < 0:
            raise UnsupportedOp(f"[scatter] cpu_c has no {mode} of {x.dtype}")
        spec, pointers = index_call(x, out, index, axis, "scatter")
        dtype = DTYPE_NUMBERS[x.dtype.code]
        status = driver.scatter(self._isa, dtype, x.dtype.itemsize, number, op, spec, pointers)
        driver.check(status, "scatter")
