"""Level 7: running sums, products and extremes along every axis, layout and length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from polyback import scalar
from polyback.dtype import DTYPES, DType, float32, int32
from polyback.errors import InvalidArgument
from polyback.scalar import Reduction
from polyback.view import Shape
from polyback_conformance import values
from polyback_conformance.compare import Array, check_exact, check_sum, check_ulp, widen
from polyback_conformance.lab import Done, Given, Lab
from polyback_conformance.layouts import CONTIGUOUS, Layout, inputs_for, outputs_for
from polyback_conformance.offers import offered

pytestmark = pytest.mark.conformance_level(7)

SHAPES: tuple[Shape, ...] = (
    (1,), (7,), (33,), (4, 5), (17, 31), (3, 1, 6), (2, 3, 4, 2), (0,), (3, 0), (0, 4, 2),
)  # fmt: skip
# Longer than any vector, block or work-group, along a fast, a slow and a middle axis.
LONG: tuple[tuple[Shape, int], ...] = (
    ((1000,), 0), ((5000,), 0), ((3, 5000), 1), ((1000, 3), 0), ((2, 1025, 2), 1), ((70_001,), 0),
)  # fmt: skip
TYPES = {
    scalar.SUM: ("uint8", "int32", "int64", "float32", "float64", "complex64"),
    scalar.PROD: ("int8", "int32", "uint64", "float32", "float64", "complex128"),
    scalar.MIN: ("int8", "uint64", "int32", "float32", "float64"),
    scalar.MAX: ("uint8", "int16", "int64", "float32", "float64"),
}
RUNNING = {
    scalar.SUM: np.add, scalar.PROD: np.multiply, scalar.MIN: np.minimum, scalar.MAX: np.maximum,
}  # fmt: skip


@dataclass(frozen=True)
class ScanCase:
    """A running reduction of one type."""

    op: Reduction
    dtype: DType

    def __str__(self) -> str:
        return f"{self.op.name}-{self.dtype.name}"

    def data(self, rng: np.random.Generator, shape: Shape) -> Array:
        """Ordinary values; those of products stay near 1."""
        if self.op is scalar.PROD and self.dtype.is_floating:
            near = 2.0 ** rng.uniform(-0.4, 0.4, shape) * rng.choice([-1, 1], shape)
            return near.astype(self.dtype.numpy)
        if self.op is scalar.PROD and self.dtype.kind == "complex":
            return np.exp(1j * rng.uniform(-3, 3, shape)).astype(self.dtype.numpy)
        return values.smooth(self.dtype, rng, shape)

    def run(
        self, lab: Lab, x: Any, axis: int, source: Layout = CONTIGUOUS, out: Layout = CONTIGUOUS
    ) -> Done:
        """One call, judged."""
        device: Any = lab.device
        done = lab.call(
            f"scan {self} along {axis}",
            lambda outs, ins: device.scan(self.op, *outs, *ins, axis),
            [(np.shape(x), self.dtype, out)],
            [Given(x, source)],
        )
        self.check(lab, done, axis)
        return done

    def check(self, lab: Lab, done: Done, axis: int) -> None:
        """Element i is judged as a reduction of i + 1 elements."""
        (got,), (x,) = done.outs, done.ins
        running = RUNNING[self.op].accumulate
        with np.errstate(all="ignore"):
            if self.op in (scalar.MIN, scalar.MAX) or self.dtype.is_integer:
                want = running(x, axis, dtype=x.dtype)
                other = np.where(want == 0, -want, want)  # the sign of a zero is left open
                check_exact(got, want, [x], alternatives=[other], note=done.note)
                return
            wide = widen(x, self.dtype)
            want, sizes = running(wide, axis), np.add.accumulate(np.abs(wide), axis)
        shape = [-1 if a == axis else 1 for a in range(x.ndim)]
        terms = np.arange(1, x.shape[axis] + 1).reshape(shape)
        if self.op is scalar.SUM:
            relaxed = 2.0 if self.dtype.kind == "complex" else 1.0
            k = check_sum(got, want, sizes, terms, self.dtype, done.note, relaxed=relaxed)
            lab.score.saw_k("scan", self.dtype.name, k)
        else:
            step = 4 if self.dtype.kind == "complex" else 1
            check_ulp(got, want, self.dtype, step * terms, scale=np.abs(want), note=done.note)


CASES = [ScanCase(op, d) for op, names in TYPES.items() for d in DTYPES if d.name in names]
BY_CASE = pytest.mark.parametrize("case", CASES, ids=str)


@BY_CASE
def test_scan(lab: Lab, case: ScanCase) -> None:
    """Every axis of every shape, layouts in rotation; every layout of one shape."""
    offered(lab, "scan", case.dtype, case.op.name)
    sources, targets = inputs_for(lab.caps), outputs_for(lab.caps)
    turn = 0
    for shape in SHAPES:
        data = case.data(lab.rng(str(case), shape), shape)
        for axis in range(len(shape)):
            case.run(lab, data, axis)
            for _ in range(2):
                turn += 1
                source = sources[turn % len(sources)]
                case.run(lab, data, axis, source, targets[(turn * 5) % len(targets)])
    data = case.data(lab.rng("layouts", str(case)), (3, 9, 5))
    for k, source in enumerate(sources):
        case.run(lab, data, k % 3, source, targets[(k * 7) % len(targets)])


@BY_CASE
def test_long_lanes(lab: Lab, case: ScanCase) -> None:
    """Lanes that take several blocks, passes or threads."""
    offered(lab, "scan", case.dtype, case.op.name)
    sources, targets = inputs_for(lab.caps), outputs_for(lab.caps)
    for k, (shape, axis) in enumerate(LONG):
        if case.op is scalar.PROD and shape[axis] > 5000 and not case.dtype.is_integer:
            continue  # a product of so many leaves the range
        data = case.data(lab.rng("long", shape), shape)
        case.run(lab, data, axis)
        source, target = sources[(3 * k + 2) % len(sources)], targets[(5 * k + 1) % len(targets)]
        if np.prod(shape) < 20_000:
            case.run(lab, data, axis, source, target)


@BY_CASE
def test_special_values(lab: Lab, case: ScanCase) -> None:
    """NaN stays from where it appears; inf then -inf sum to NaN; integers wrap."""
    offered(lab, "scan", case.dtype, case.op.name)
    if case.dtype.is_integer:
        some = values.special(case.dtype)
        for k in range(5):
            case.run(lab, np.stack([np.roll(some, k), np.roll(some[::-1], 3 * k)]), 1)
    if not case.dtype.is_floating:
        return
    odd = [np.nan, np.inf, -np.inf, 0.0]
    for n in (5, 37, 1030):
        rows = np.array(case.data(lab.rng("odd", n), (12, n)))
        for k, row in enumerate(rows):
            row[(k * n) // 13] = odd[k % 4]
            row[min(n - 1, (k * n) // 13 + 2)] = odd[(k // 4 + 1) % 4]
        case.run(lab, rows, 1)
        case.run(lab, np.ascontiguousarray(rows.T), 0)


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_accuracy(lab: Lab, name: str) -> None:
    """Every partial sum keeps its K, on terms chosen to be hard."""
    case = next(c for c in CASES if c.op is scalar.SUM and c.dtype.name == name)
    offered(lab, "scan", case.dtype, "sum")
    for n in (300, 4097):
        for _, terms in values.hard_sums(case.dtype, lab.rng("hard", n), n):
            x = terms.astype(case.dtype.numpy)
            case.run(lab, x, 0)
            case.run(lab, np.stack([x] * 3, 1), 0)


def test_refusals(lab: Lab) -> None:
    """Operands that contradict the contract, and what is not claimed, leave the output alone."""
    device = offered(lab, "scan", float32, "sum")
    x = np.ones((3, 4), np.float32)
    cases: list[tuple[Shape, DType, int]] = [
        ((3, 4), float32, 2), ((3, 4), float32, -1), ((4, 3), float32, 0), ((3, 4), int32, 0),
        ((3, 1), float32, 1),
    ]  # fmt: skip
    for shape, dtype, axis in cases:
        lab.refuses(
            lambda outs, ins, a=axis: device.scan(scalar.SUM, outs[0], ins[0], a),
            [(shape, dtype)], [x], InvalidArgument,
        )  # fmt: skip
    lab.refuses(
        lambda outs, ins: device.scan(scalar.ANY, outs[0], ins[0], 0),
        [((3, 4), DTYPES[0])], [x > 0],
    )  # fmt: skip
