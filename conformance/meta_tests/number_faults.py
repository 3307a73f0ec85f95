"""Backends that compute the wrong numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from seeding import Reference, array, fault, with_rows

from polyback import scalar
from polyback.device import Operand


class WrongRows(Reference):
    """A backend with other functions behind some rows."""

    rows: ClassVar[dict[str, Callable[..., Any]]] = {}

    def elementwise(self, program: Any, outs: Any, ins: Any) -> None:
        super().elementwise(with_rows(program, **type(self).rows), outs, ins)


@fault("l3_elementwise")
class MaximumDropsNan(WrongRows):
    """``a > b ? a : b``."""

    rows: ClassVar = {"maximum": lambda a, b: np.where(a > b, a, b)}


@fault("l3_elementwise")
class FloorDivideTruncates(WrongRows):
    """C's integer division."""

    @staticmethod
    def divide(a: Any, b: Any) -> Any:
        q = np.floor_divide(a, b)
        inexact = (a != q * b) & ((a < 0) != (b < 0)) & (b != 0)
        return np.where(inexact & (a.dtype.kind == "i"), q + np.asarray(1, q.dtype), q)

    rows: ClassVar = {"floor_divide": divide}


@fault("l3_elementwise")
class RemainderHasSignOfDividend(WrongRows):
    """C's ``%`` and ``fmod``."""

    rows: ClassVar = {"remainder": np.fmod}


@fault("l3_elementwise")
class ExpFiveUlp(WrongRows):
    """exp of float32 is 5 ULP too large above 20."""

    @staticmethod
    def exp(x: Any) -> Any:
        y = np.exp(x)
        if x.dtype != np.float32:
            return y
        off = y * np.float32(1 + 5 * 2.0**-23)
        return np.where((x > 20) & np.isfinite(off), off, y)

    rows: ClassVar = {"exp": exp}


@fault("l3_elementwise")
class SinReducesBadly(WrongRows):
    """Argument reduction with one float32 constant: wrong far from zero."""

    @staticmethod
    def sin(x: Any) -> Any:
        if x.dtype != np.float32:
            return np.sin(x)
        turns = np.rint(x / np.float32(2 * np.pi))
        return np.sin(x - turns * np.float32(2 * np.pi))

    rows: ClassVar = {"sin": sin}


@fault("l3_elementwise")
class NegativeZeroLost(WrongRows):
    """``0 - x`` for ``-x``."""

    rows: ClassVar = {"negative": lambda x: 0 - x}


@fault("l3_elementwise")
class RoundHalfAway(WrongRows):
    """C's ``round``: halves away from zero."""

    rows: ClassVar = {"round": lambda x: np.trunc(x + np.copysign(0.5, x.real).astype(x.dtype))}


@fault("l3_elementwise")
class UnsignedSaturates(WrongRows):
    """uint8 sums stop at 255."""

    rows: ClassVar = {
        "add": lambda a, b: (
            np.minimum(a.astype(np.int64) + b, 255) if a.dtype == np.uint8 else np.add(a, b)
        )
    }


@fault("l3_elementwise")
class ComparesAsSigned(WrongRows):
    """uint32 is compared as int32."""

    rows: ClassVar = {
        "less": lambda a, b: (
            a.view(np.int32) < b.view(np.int32) if a.dtype == np.uint32 else np.less(a, b)
        )
    }


@fault("l2_layout")
class CastRounds(WrongRows):
    """Float to integer by rounding to nearest."""

    def elementwise(self, program: Any, outs: Any, ins: Any) -> None:
        types = program.dtypes
        if any(i.row is scalar.CAST and i.dtype.is_integer and types[i.args[0]].is_floating
               for i in program.instrs):  # fmt: skip
            program = with_rows(program, cast=lambda x: np.rint(x) if x.dtype.kind == "f" else x)
        super().elementwise(program, outs, ins)


@fault("l2_layout")
class IntegersRoundTwice(Reference):
    """64-bit integers become float32 by way of float64."""

    def elementwise(self, program: Any, outs: Any, ins: Any) -> None:
        if any(i.row is scalar.CAST and i.dtype.name == "float32" for i in program.instrs):
            program = with_rows(
                program, cast=lambda x: x.astype(np.float64) if x.dtype.itemsize == 8 else x
            )
        super().elementwise(program, outs, ins)


@fault("l2_layout")
class BfloatTruncates(Reference):
    """float32 to bfloat16 by dropping the low bits."""

    def elementwise(self, program: Any, outs: Any, ins: Any) -> None:
        if any(i.row is scalar.CAST and i.dtype.name == "bfloat16" for i in program.instrs):
            mask = np.uint32(0xFFFF0000)
            program = with_rows(
                program,
                cast=lambda x: (
                    (np.ascontiguousarray(x).view(np.uint32) & mask).view(np.float32)
                    if x.dtype == np.float32 else x
                ),
            )  # fmt: skip
        super().elementwise(program, outs, ins)


@fault("l3_elementwise")
class FlushesDenormals(Reference):
    """Runs with flush-to-zero, and claims not to."""

    def elementwise(self, program: Any, outs: Any, ins: Any) -> None:
        super().elementwise(program, outs, ins)
        for out in outs:
            if out.dtype.name == "float32" and program.instrs:
                y = array(out)
                y[...] = np.where(np.abs(y) < np.finfo(np.float32).tiny, np.copysign(0, y), y)


@fault("l3_programs")
class ContractsToFma(Reference):
    """``a * b + c`` rounded once."""

    def _run(self, program: Any, ins: Any, shape: Any) -> list[Any]:
        values = list(super()._run(replace_outputs(program), ins, shape))
        given = len(program.inputs)
        for k, instr in enumerate(program.instrs, given):
            left = instr.args[0] - given if instr.args else -1
            if instr.row is scalar.ADD and left >= 0 and instr.dtype.name == "float32":
                product = program.instrs[left]
                if product.row is scalar.MULTIPLY:
                    a, b = (np.asarray(values[i], np.float64) for i in product.args)
                    with np.errstate(all="ignore"):
                        values[k] = (a * b + values[instr.args[1]]).astype(np.float32)
        return [values[o] for o in program.outputs]


def replace_outputs(program: Any) -> Any:
    """The program with every value as an output."""
    return replace(program, outputs=tuple(range(len(program.dtypes))))


@fault("l3_elementwise")
class WhereSwapsNumbers(Reference):
    """The arms of ``where`` are swapped when the first one is a number."""

    def elementwise(self, program: Any, outs: Any, ins: Any) -> None:
        if program.instrs and program.instrs[-1].row is scalar.WHERE:
            arm = program.instrs[-1].args[1]
            if arm < len(ins) and not isinstance(ins[arm], Operand):
                program = with_rows(program, where=lambda c, a, b: np.where(c, b, a))
        super().elementwise(program, outs, ins)


@fault("l3_elementwise")
class NumberIsCached(Reference):
    """Compiles the number of the first launch into the kernel."""

    def elementwise(self, program: Any, outs: Any, ins: Any) -> None:
        if not hasattr(self, "known"):
            self.known: dict[Any, Any] = {}
        numbers = self.known.setdefault(program, [x for x in ins if not isinstance(x, Operand)])
        queue = iter(numbers)
        ins = [x if isinstance(x, Operand) else next(queue) for x in ins]
        super().elementwise(program, outs, ins)


# --- reductions and products ----------------------------------------------------------------------


@fault("l4_reduce")
class ReduceDropsLastOdd(Reference):
    """Adds pairs; the last element of an odd length above 8 is left out."""

    def reduce(self, op: Any, out: Any, x: Any, axes: Any) -> None:
        n = x.view.shape[axes[-1]]
        if n % 2 and n > 8:
            x = replace(x, view=x.view.slice(axes[-1], 0, n - 1))
        super().reduce(op, out, x, axes)


@fault("l4_reduce")
class NaiveSum(Reference):
    """One float32 accumulator."""

    def reduce(self, op: Any, out: Any, x: Any, axes: Any) -> None:
        if op is scalar.SUM and x.dtype.name == "float32" and x.view.size and len(axes) == 1:
            with np.errstate(all="ignore"):
                total = np.add.accumulate(array(x), axes[0], dtype=np.float32)
            array(out)[...] = np.take(total, [-1], axes[0])
            return
        super().reduce(op, out, x, axes)


@fault("l4_reduce")
class HalfPrecisionSum(Reference):
    """Partial sums kept in float16."""

    def reduce(self, op: Any, out: Any, x: Any, axes: Any) -> None:
        super().reduce(op, out, x, axes)
        if op is scalar.SUM and x.dtype.name == "float32":
            with np.errstate(all="ignore"):
                array(out)[...] = array(out).astype(np.float16)


@fault("l4_reduce")
class IntegerSumInFloat(Reference):
    """Adds int64 in float64."""

    def reduce(self, op: Any, out: Any, x: Any, axes: Any) -> None:
        if op is scalar.SUM and x.dtype.name == "int64":
            with np.errstate(all="ignore"):
                total = array(x).astype(np.float64).sum(axis=axes, keepdims=True)
                array(out)[...] = total.astype(np.int64)
            return
        super().reduce(op, out, x, axes)


@fault("l4_reduce")
class MinDropsNan(Reference):
    """``fmin`` across blocks."""

    def reduce(self, op: Any, out: Any, x: Any, axes: Any) -> None:
        if op is scalar.MIN and x.dtype.name in ("float32", "float64") and array(out).size:
            array(out)[...] = np.fmin.reduce(array(x), axis=axes, keepdims=True)
            return
        super().reduce(op, out, x, axes)


@fault("l4_reduce")
class MaxDropsNanBetweenAxes(Reference):
    """NaN goes through the first axis, and is lost in the second."""

    def reduce(self, op: Any, out: Any, x: Any, axes: Any) -> None:
        super().reduce(op, out, x, axes)
        if op is scalar.MAX and x.dtype.name in ("float32", "float64") and len(axes) > 1:
            once = np.max(array(x), axis=axes[0], keepdims=True)
            array(out)[...] = np.fmax.reduce(once, axis=axes, keepdims=True)


@fault("l4_reduce")
class EmptySumUnwritten(Reference):
    """A sum of nothing launches nothing."""

    def reduce(self, op: Any, out: Any, x: Any, axes: Any) -> None:
        if x.view.size:
            super().reduce(op, out, x, axes)


@fault("l5_semantics")
class SumOrderVaries(Reference):
    """Atomic adds: the order of a large float32 sum differs from call to call."""

    def reduce(self, op: Any, out: Any, x: Any, axes: Any) -> None:
        if op is scalar.SUM and x.dtype.name == "float32" and len(axes) == 2:
            terms = array(x).ravel()
            terms = terms[np.random.default_rng().permutation(terms.size)]
            if len(out.view.shape) == 2 and terms.size > 1000:
                array(out)[...] = terms.reshape(-1, 4).sum(0).sum() if terms.size % 4 == 0 else 0
                if terms.size % 4 == 0:
                    return
        super().reduce(op, out, x, axes)


@fault("l4_matmul")
class Tf32Matmul(Reference):
    """Multiplies float32 with ten bits of fraction."""

    def matmul(self, out: Any, a: Any, b: Any) -> None:
        super().matmul(out, a, b)
        if a.dtype.name == "float32":
            with np.errstate(all="ignore"):
                array(out)[...] = np.matmul(*(_short(array(x)) for x in (a, b)))


def _short(x: Any) -> Any:
    bits = np.ascontiguousarray(x).view(np.uint32)
    return ((bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)


@fault("l4_matmul")
class MatmulAccumulates(Reference):
    """beta = 1: adds to what the output held."""

    def matmul(self, out: Any, a: Any, b: Any) -> None:
        before = array(out).copy()
        super().matmul(out, a, b)
        with np.errstate(all="ignore"):
            array(out)[...] += before


@fault("l4_matmul")
class MatmulEmptyInner(Reference):
    """Leaves the output alone when the inner size is 0."""

    def matmul(self, out: Any, a: Any, b: Any) -> None:
        if a.view.shape[-1]:
            super().matmul(out, a, b)


@fault("l4_matmul")
class MatmulSkipsZeros(Reference):
    """Skips rows of zeros, so that 0 * inf is 0."""

    def matmul(self, out: Any, a: Any, b: Any) -> None:
        if a.dtype.is_floating and a.view.size and b.view.size:
            x, y = array(a), array(b)
            with np.errstate(all="ignore"):
                terms = x[..., :, :, None] * y[..., None, :, :]
                zero = (x == 0)[..., :, :, None] | (y == 0)[..., None, :, :]
            if np.any(np.isnan(terms) & zero) and not np.isnan(x).any():
                array(out)[...] = np.where(zero, 0, terms).sum(-2)
                return
        super().matmul(out, a, b)
