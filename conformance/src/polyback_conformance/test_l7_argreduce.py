"""Level 7: the first place of the smallest or largest element along every axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from polyback import scalar
from polyback.dtype import DTYPES, DType, float32, int32, int64
from polyback.errors import InvalidArgument
from polyback.view import Shape
from polyback_conformance import values
from polyback_conformance.compare import check_exact
from polyback_conformance.lab import Given, Lab, reduced_shape
from polyback_conformance.layouts import CONTIGUOUS, Layout, inputs_for, outputs_for
from polyback_conformance.offers import offered

pytestmark = pytest.mark.conformance_level(7)

NAMES = ("uint8", "int16", "int32", "int64", "uint64", "float32", "float64")
BY_DTYPE = pytest.mark.parametrize("dtype", [d for d in DTYPES if d.name in NAMES], ids=str)
BY_OP = pytest.mark.parametrize("op", [scalar.MIN, scalar.MAX], ids=str)
SHAPES: tuple[Shape, ...] = (
    (1,), (7,), (65,), (4, 5), (17, 31), (3, 1, 6), (2, 3, 4, 2), (0, 4), (3, 0, 2), (2, 300),
)  # fmt: skip
LONG: tuple[tuple[Shape, int], ...] = (
    ((1000,), 0), ((5000,), 0), ((3, 5000), 1), ((1000, 3), 0), ((2, 1025, 2), 1), ((300_007,), 0),
)  # fmt: skip


def check(lab: Lab, op: Any, x: Any, axis: int, source: Layout = CONTIGUOUS,
          out: Layout = CONTIGUOUS) -> None:  # fmt: skip
    """One call, against NumPy: NaN first, equal zeros, the first of several."""
    device: Any = lab.device
    done = lab.call(
        f"argreduce {op} along {axis}",
        lambda outs, ins: device.argreduce(op, *outs, *ins, axis),
        [(reduced_shape(x.shape, (axis,)), int64, out)],
        [Given(x, source)],
    )
    place = np.argmin if op is scalar.MIN else np.argmax
    want = place(done.ins[0], axis, keepdims=True)
    check_exact(done.outs[0], want, note=done.note)


@BY_OP
@BY_DTYPE
def test_argreduce(lab: Lab, dtype: DType, op: Any) -> None:
    """Few values, so that many are equal, and many; every axis; layouts in rotation."""
    offered(lab, "argreduce", dtype, op.name)
    sources, targets = inputs_for(lab.caps), outputs_for(lab.caps)
    turn = 0
    for shape in SHAPES:
        rng = lab.rng("argreduce", shape, dtype.name)
        few = rng.integers(0, 3, shape).astype(dtype.numpy)
        many = values.random(dtype, rng, int(np.prod(shape))).reshape(shape)
        for axis in range(len(shape)):
            if shape[axis] == 0:
                continue  # the core refuses extremes of nothing
            check(lab, op, few, axis)
            for data in (few, many):
                turn += 1
                source = sources[turn % len(sources)]
                check(lab, op, data, axis, source, targets[(turn * 5) % len(targets)])


@BY_OP
@BY_DTYPE
def test_long_lanes(lab: Lab, dtype: DType, op: Any) -> None:
    """The extreme is at the start, near the end, twice, everywhere."""
    offered(lab, "argreduce", dtype, op.name)
    sources = inputs_for(lab.caps)
    best, rest = (0, 5) if op is scalar.MIN else (5, 0)
    for turn, (shape, axis) in enumerate(LONG):
        n = shape[axis]
        for spots in ((0,), (n - 1,), (n // 2, n - 2), (n // 3, n // 3 + 1), ()):
            line = np.full(n, rest, dtype.numpy)
            line[list(spots)] = best
            wide = line.reshape([-1 if a == axis else 1 for a in range(len(shape))])
            data = np.ascontiguousarray(np.broadcast_to(wide, shape))
            check(lab, op, data, axis, sources[turn % 12] if n < 10_000 else CONTIGUOUS)


@BY_OP
@BY_DTYPE
def test_special_values(lab: Lab, dtype: DType, op: Any) -> None:
    """NaN wins wherever it is; the first of equal zeros, infinities and ends of the range."""
    offered(lab, "argreduce", dtype, op.name)
    some = values.special(dtype)
    rng = lab.rng("special", dtype.name)
    for n in (3, 16, 37, 1030):
        pools = [some] if dtype.is_integer else [
            some, some[np.isfinite(some)], np.array([0.0, -0.0], dtype.numpy),
            np.array([np.nan, -np.nan, np.inf, -np.inf], dtype.numpy),
            np.array([np.inf, -np.inf], dtype.numpy),
        ]  # fmt: skip
        for pool in pools:
            data = rng.choice(pool, (9, n))
            check(lab, op, data, 1)
            check(lab, op, np.ascontiguousarray(data.T), 0)
        if not dtype.is_integer:  # a single NaN among numbers
            data = values.smooth(dtype, rng, (9, n))
            data[np.arange(9), (np.arange(9) * n) // 9] = np.nan
            check(lab, op, data, 1)


def test_refusals(lab: Lab) -> None:
    """Operands that contradict the contract, and what is not claimed, leave the output alone."""
    device = offered(lab, "argreduce", float32, "max")
    cases: list[tuple[Shape, Shape, DType, int]] = [
        ((3, 4), (3, 1), int64, 2), ((3, 4), (3, 1), int32, 1), ((3, 4), (3, 4), int64, 1),
        ((3, 4), (3,), int64, 1), ((3, 0), (3, 1), int64, 1),
    ]  # fmt: skip
    for given, shape, dtype, axis in cases:
        lab.refuses(
            lambda outs, ins, a=axis: device.argreduce(scalar.MAX, outs[0], ins[0], a),
            [(shape, dtype)], [np.ones(given, np.float32)], InvalidArgument,
        )  # fmt: skip
    lab.refuses(
        lambda outs, ins: device.argreduce(scalar.SUM, outs[0], ins[0], 1),
        [((3, 1), int64)], [np.ones((3, 4), np.float32)],
    )  # fmt: skip
