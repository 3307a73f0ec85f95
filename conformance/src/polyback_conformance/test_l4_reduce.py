"""Level 4: reductions over every set of axes, layout and type, and how accurate sums are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pytest

from polyback import scalar
from polyback.dtype import DTYPES, DType
from polyback.scalar import REDUCTIONS, Reduction
from polyback.view import Shape
from polyback_conformance import values
from polyback_conformance.compare import (
    Array,
    check_exact,
    check_sum,
    check_ulp,
    k_limit,
    widen,
)
from polyback_conformance.lab import Done, Given, Lab, reduced_shape
from polyback_conformance.layouts import CONTIGUOUS, OFFSET, Layout, inputs_for, outputs_for
from polyback_conformance.reference import reduce_exact, reduce_wide

pytestmark = pytest.mark.conformance_level(4)

SHAPES: tuple[Shape, ...] = (
    (1,), (7,), (33,), (4, 5), (17, 31), (3, 4, 5), (2, 1, 3), (1, 1), (2, 3, 2, 4),
    (2, 2, 3, 2, 2), (5, 67), (130, 9),
)  # fmt: skip
EMPTY: tuple[Shape, ...] = ((0,), (3, 0), (0, 4), (2, 0, 3))


@dataclass(frozen=True)
class ReduceCase:
    """A reduction of one type."""

    op: Reduction
    dtype: DType

    def __str__(self) -> str:
        return f"{self.op.name}-{self.dtype.name}"

    @property
    def is_exact(self) -> bool:
        """Must every bit agree?"""
        return self.op not in (scalar.SUM, scalar.PROD) or self.dtype.kind in ("int", "uint")

    def data(self, rng: np.random.Generator, shape: Shape) -> Array:
        """Ordinary values; those of products stay near 1."""
        if self.op is scalar.PROD and self.dtype.is_floating:
            return (rng.uniform(0.7, 1.4, shape) * rng.choice([-1, 1], shape)).astype(
                self.dtype.numpy
            )
        if self.op is scalar.PROD and self.dtype.kind == "complex":
            return np.exp(1j * rng.uniform(-3, 3, shape)).astype(self.dtype.numpy)
        return values.smooth(self.dtype, rng, shape)

    def check(self, lab: Lab, done: Done, axes: tuple[int, ...]) -> None:
        """Judge a finished reduction."""
        (got,), (x,) = done.outs, done.ins
        n = int(np.prod([x.shape[a] for a in axes]))
        if self.is_exact:
            want = reduce_exact(self.op, x, axes)
            other = -want if self.dtype.is_floating else want  # the sign of a zero is left open
            other = np.where(want == 0, other, want)
            check_exact(got, want, alternatives=[other], note=done.note)
            return
        want, magnitude = reduce_wide(self.op, x, axes, self.dtype)
        if self.op is scalar.SUM:
            relaxed = 2.0 if self.dtype.kind == "complex" else 1.0
            k = check_sum(got, want, magnitude, n, self.dtype, done.note, relaxed=relaxed)
            lab.score.saw_k(self.op.name, self.dtype.name, k)
        else:  # each of the n - 1 products rounds once: half an ULP, a little more when complex
            step = 4.0 if self.dtype.kind == "complex" else 1.0
            check_ulp(got, want, self.dtype, step * max(n, 1), scale=np.abs(want), note=done.note)


CASES = [ReduceCase(op, d) for op in REDUCTIONS for d in DTYPES]
FLOAT_SUMS = [c for c in CASES if c.op is scalar.SUM and c.dtype.name in ("float32", "float64")]
BY_CASE = pytest.mark.parametrize("case", CASES, ids=str)


def axes_sets(ndim: int) -> Iterator[tuple[int, ...]]:
    """Every set of axes that is not empty."""
    for n in range(1, ndim + 1):
        yield from combinations(range(ndim), n)


def claimed(lab: Lab, case: ReduceCase) -> bool:
    """Is the case claimed? If not, the device must refuse it and write nothing."""
    if lab.claims(4, "reductions", case.op.name, case.dtype):
        return True
    lab.refuses(
        lambda outs, ins: lab.device.reduce(case.op, outs[0], ins[0], (1,)),
        [((3, 1), case.dtype)],
        [values.smooth(case.dtype, lab.rng("refused"), (3, 4))],
    )
    return False


@BY_CASE
def test_reduce(lab: Lab, case: ReduceCase) -> None:
    """All axes sets; input layouts in rotation; contiguous and other outputs."""
    if not claimed(lab, case):
        return
    sources, targets = inputs_for(lab.caps), outputs_for(lab.caps)
    turn = 0
    for shape in SHAPES:
        data = case.data(lab.rng(str(case), shape), shape)
        for axes in axes_sets(len(shape)):
            for _ in range(3):
                turn += 1
                given = Given(data, sources[turn % len(sources)])
                done = lab.reduce(case.op, given, axes, targets[(turn * 5) % len(targets)])
                case.check(lab, done, axes)
            done = lab.reduce(case.op, data, axes)
            case.check(lab, done, axes)


@BY_CASE
def test_layout_product(lab: Lab, case: ReduceCase) -> None:
    """One shape, every input layout, every axes set."""
    if not claimed(lab, case):
        return
    data = case.data(lab.rng("product", str(case)), (3, 4, 5))
    for source in inputs_for(lab.caps):
        for axes in axes_sets(3):
            case.check(lab, lab.reduce(case.op, Given(data, source), axes, OFFSET), axes)


@BY_CASE
def test_empty_and_lengths(lab: Lab, case: ReduceCase) -> None:
    """Nothing to combine gives the identity; nothing to write is fine; every length up to 33."""
    if not claimed(lab, case):
        return
    for shape in EMPTY:
        for axes in axes_sets(len(shape)):
            out = reduced_shape(shape, axes)
            if case.op.identity is None and int(np.prod(out)) > 0:
                continue  # the core refuses min and max of nothing
            done = lab.reduce(case.op, np.zeros(shape, case.dtype.numpy), axes)
            want = np.full(out, case.op.identity or 0, case.dtype.numpy)
            check_exact(done.outs[0], want, note=done.note)
    layouts: tuple[Layout, ...] = (CONTIGUOUS, *inputs_for(lab.caps)[1:8:3])
    for n in range(1, 34):
        for shape, axes in (((n,), (0,)), ((3, n), (1,)), ((n, 3), (0,))):
            data = case.data(lab.rng("lengths", shape), shape)
            given = Given(data, layouts[n % len(layouts)])
            case.check(lab, lab.reduce(case.op, given, axes), axes)


@BY_CASE
def test_special_values(lab: Lab, case: ReduceCase) -> None:
    """NaN and infinities travel; integers wrap; one odd element among many decides."""
    if not claimed(lab, case):
        return
    if case.dtype.is_integer or case.dtype.kind == "bool":
        some = values.special(case.dtype)
        data = np.stack([np.roll(some, k) for k in range(7)])
        for axes in axes_sets(2):
            case.check(lab, lab.reduce(case.op, data, axes), axes)
    one_odd = [False, True] if case.dtype.kind == "bool" else values.special(case.dtype)
    for n in (5, 16, 37, 130):
        rows = np.asarray(case.data(lab.rng("odd", n), (len(one_odd), n)))
        if case.op is scalar.PROD or case.op is scalar.SUM:
            keep = ~np.isfinite(one_odd)  # large finite values may overflow on the way
            rows = rows[keep] if case.dtype.is_floating else rows
            one_odd = np.asarray(one_odd)[keep] if case.dtype.is_floating else one_odd
        if case.dtype.kind == "complex" or not len(rows):
            return
        rows[np.arange(len(rows)), (np.arange(len(rows)) * 5) % n] = one_odd
        for given, axis in ((rows, 1), (np.ascontiguousarray(rows.T), 0)):
            case.check(lab, lab.reduce(case.op, given, (axis,)), (axis,))
    if case.dtype.is_floating:
        pair = np.array([[np.inf, -np.inf, 1], [np.nan, np.inf, -np.inf], [1, np.nan, 2]])
        data = pair.astype(case.dtype.numpy)
        case.check(lab, lab.reduce(case.op, data, (1,)), (1,))
        # Axes combined one after the other: what the first pass finds must survive the next.
        for odd in (np.nan, np.inf, -np.inf):
            block = np.asarray(case.data(lab.rng("odd block"), (3, 4, 5)))
            block[1, 2, 3] = odd
            for axes in axes_sets(3):
                case.check(lab, lab.reduce(case.op, block, axes), axes)


@BY_CASE
def test_large(lab: Lab, case: ReduceCase) -> None:
    """Sizes that take several blocks, threads or passes."""
    if not claimed(lab, case):
        return
    twelve = (2,) * min(12, lab.caps.limits.max_ndim)
    every_other = tuple(range(0, len(twelve), 2))
    for shape, sets in ((twelve, [every_other]), ((50_021,), [(0,)]), ((300_007,), [(0,)]),
                        ((3, 90_001), [(1,)]), ((257, 131), [(0,), (1,), (0, 1)]),
                        ((70_001, 3), [(0,), (1,)]), ((3, 70_001), [(0,)]),  # > 65,535 results
                        ((33, 7, 65), [(0, 2), (1,), (0, 1, 2)])):  # fmt: skip
        data = case.data(lab.rng("large", shape), shape)
        if case.op is scalar.PROD and not case.is_exact:
            # Keep products of many terms inside the range.
            data = (1 + 1e-4 * lab.rng("near one").normal(0, 1, shape)).astype(case.dtype.numpy)
        for axes in sets:
            case.check(lab, lab.reduce(case.op, data, axes), axes)


@pytest.mark.parametrize("case", FLOAT_SUMS, ids=str)
@pytest.mark.parametrize("n", [2, 17, 300, 1024, 4097, 65536, 1 << 20])
def test_sum_accuracy(lab: Lab, case: ReduceCase, n: int) -> None:
    """K(n) u sum|terms| on terms chosen to be hard, along a fast, a slow and a stepped axis."""
    if not claimed(lab, case):
        return
    for name, terms in values.hard_sums(case.dtype, lab.rng("hard", n), n):
        x = terms.astype(case.dtype.numpy)
        wide = widen(x, case.dtype).astype(np.longdouble)
        want, magnitude = wide.sum(keepdims=True), np.abs(wide).sum(keepdims=True)
        sources: list[tuple[Array, tuple[int, ...]]] = [(x, (0,))]
        if n <= 65536:
            sources += [(np.stack([x] * 3), (1,)), (np.stack([x] * 5, 1), (0,))]
            sources += [(x.reshape(2, -1), (0, 1))] if n % 2 == 0 else []
        for data, axes in sources:
            done = lab.reduce(case.op, data, axes)
            (got,) = done.outs
            shape = (1,) * got.ndim
            note = f"{name}: K({n}) = {k_limit(n):.1f}\n{done.note}"
            k = check_sum(
                got, np.broadcast_to(want.reshape(shape), got.shape),
                np.broadcast_to(magnitude.reshape(shape), got.shape), n, case.dtype, note,
            )  # fmt: skip
            lab.score.saw_k("sum", case.dtype.name, k)
