"""Cases generated from the tables: which values a row is given, and how its results are judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pytest

from polyback import scalar
from polyback.device import Caps
from polyback.dtype import DTYPES, DType, bool_, float32, float64
from polyback.program import Builder, Input, Program, Value
from polyback.scalar import TABLE, Scalar
from polyback_conformance import values
from polyback_conformance.compare import Array, check_exact, check_ulp, flush
from polyback_conformance.reference import exact_row, wide_row

FLOATS: Final = pytest.mark.parametrize("dtype", [float32, float64], ids=str)

# Rows of programs that have tests of their own in level 2.
BUILDING_BLOCKS: Final = (scalar.CONST, scalar.IOTA, scalar.CAST)
# Complex results are judged by the modulus, with room for the extra steps of a complex formula.
COMPLEX_ROOM: Final = 4.0
# Rows whose complex results are exact in each component.
EXACT_COMPLEX: Final = frozenset({
    "add", "subtract", "negative", "positive", "conj", "real", "imag", "equal", "not_equal",
    "isnan", "isinf", "isfinite", "round", "where",
})  # fmt: skip


@dataclass(frozen=True)
class RowCase:
    """One cell of the matrix: a row on operands of one type."""

    row: Scalar
    dtype: DType

    def __str__(self) -> str:
        return f"{self.row.name}-{self.dtype.name}"

    @property
    def limit(self) -> float:
        """ULP allowed; 0 means bit exact."""
        if self.dtype.kind == "complex":
            exact = self.row.name in EXACT_COMPLEX
            return 0.0 if exact else COMPLEX_ROOM * max(self.row.ulp, 2.0)
        return self.row.ulp if self.dtype.is_floating else 0.0

    @property
    def operand_dtypes(self) -> tuple[DType, ...]:
        """The type of each operand."""
        if self.row is scalar.WHERE:
            return (bool_, self.dtype, self.dtype)
        return (self.dtype,) * self.row.arity

    @property
    def result(self) -> DType:
        """The type of the result."""
        return self.row.result_dtype(self.dtype)

    def program(
        self, scalars: Sequence[int] = (), constants: dict[int, Any] | None = None
    ) -> Program:
        """The row alone, with some operands given as numbers at launch or written in."""
        constants = constants or {}
        given = [
            Input(d, scalar=k in scalars)
            for k, d in enumerate(self.operand_dtypes)
            if k not in constants
        ]
        builder = Builder(given)
        free = iter(range(len(given)))
        args = [
            builder.constant(constants[k], d) if k in constants
            else Value(builder, next(free), d)
            for k, d in enumerate(self.operand_dtypes)
        ]  # fmt: skip
        return builder.finish(args[0].apply(self.row, tuple(args)))

    def check(self, got: Array, operands: Sequence[Any], caps: Caps, note: str) -> float:
        """Judge ``got``; the largest error in ULP. Raises Mismatch."""
        pairs = zip(operands, self.operand_dtypes, strict=True)
        arrays = [np.asarray(x, d.numpy) for x, d in pairs]
        arrays = list(np.broadcast_arrays(got, *arrays))[1:]
        given = [arrays] if caps.numerics.denormals else [arrays, [flush(a) for a in arrays]]
        if self.limit == 0:
            wants = [exact_row(self.row, a, self.dtype) for a in given]
            if not caps.numerics.denormals:
                wants += [flush(w) for w in wants]
            check_exact(got, wants[0], arrays, alternatives=wants[1:], note=note)
            return 0.0
        wants = [wide_row(self.row, a, self.dtype) for a in given]
        scale = None
        if self.row.ulp_of == "operands":
            scale = np.max(np.stack([np.abs(a) for a in arrays]), axis=0)
            scale = np.where(np.isfinite(scale), scale, 0)
        if not caps.numerics.denormals:
            tiny = np.finfo(self.result.numpy).tiny
            wants += [np.where(np.abs(w) < tiny, np.copysign(0.0, w.real), w) for w in wants]
        return check_ulp(
            got, wants[0], self.result, self.limit, arrays,
            scale=scale, alternatives=wants[1:], note=note,
        )  # fmt: skip

    # --- operands ------------------------------------------------------------------------------

    def operands(self, rng: np.random.Generator, n: int) -> list[Array]:
        """Special values in every combination, then ``n`` random ones."""
        if self.row is scalar.WHERE:
            pieces = [self._random(rng, n)]
            some = values.special(self.dtype)
            cond = np.arange(some.size) % 2 == 0
            pieces.append([cond, some, some[::-1]])
        else:
            pieces = [self._specials(), self._random(rng, n)]
        return [self._legal(k, np.concatenate(c)) for k, c in enumerate(zip(*pieces, strict=True))]

    def _specials(self) -> list[Array]:
        some = values.special(self.dtype)
        if self.dtype.kind == "complex" and self.limit:
            some = some[np.isfinite(some)]  # the standard leaves most complex special cases open
        if self.row.arity == 1:
            return [some]
        grid = np.meshgrid(some, some, indexing="ij")
        return [g.ravel() for g in grid]

    def _random(self, rng: np.random.Generator, n: int) -> list[Array]:
        result = []
        for dtype in self.operand_dtypes:
            plain = values.random(dtype, rng, n)
            if dtype.is_floating:
                some = values.interesting(self.row.name, dtype, rng, n)
                plain = np.where(rng.random(n) < 0.5, some, plain)
            result.append(plain)
        if self.row.name == "pow" and self.dtype.is_floating:
            whole = np.rint(values.interesting("pow", self.dtype, rng, n))
            result[1] = np.where(rng.random(n) < 0.3, whole, result[1])
        if len(result) == 2:  # equal operands, and operands one step apart
            same = rng.random(n) < 0.05
            result[1] = np.where(same, result[0], result[1])
        return result

    def smooth(self, rng: np.random.Generator, shape: tuple[int, ...]) -> list[Array]:
        """Ordinary operands for layout cases."""
        found = []
        for k, dtype in enumerate(self.operand_dtypes):
            if dtype.is_floating:
                n = int(np.prod(shape))
                plain = values.interesting(self.row.name, dtype, rng, n).reshape(shape)
            else:
                plain = values.smooth(dtype, rng, shape)
            found.append(self._legal(k, plain))
        return found

    def _legal(self, k: int, operand: Array) -> Array:
        """Restrict operands to what has a defined result."""
        name = self.row.name
        if k == 1 and name in ("bitwise_left_shift", "bitwise_right_shift"):
            bits = self.dtype.itemsize * 8  # a negative count is an error in the standard
            return (operand % (bits + 3)).astype(operand.dtype)
        if self.dtype.kind == "complex" and self.limit:
            size, most = np.abs(operand), 8 if name == "pow" else 50
            ordinary = operand.dtype.type(0.5 - 0.25j)
            return np.where((size < 0.25) | (size > most), ordinary, operand)
        return operand


def row_cases() -> list[RowCase]:
    """Every row with every type it takes, in the table's order."""
    return [
        RowCase(row, dtype)
        for row in TABLE
        if row not in BUILDING_BLOCKS
        for dtype in DTYPES
        if dtype in row.takes
    ]
