"""Decompositions of optional features equal the reference's native ones, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from against_numpy import extreme
from bare_device import (
    DTYPES_BY_NAME,
    NUMERIC,
    REAL,
    REFERENCE,
    SPECIAL,
    bits,
    numbers,
    on,
    same_on_both,
    scattered,
)
from extra_devices import caps, extra_device
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import polyback as pb
from polyback import structured
from polyback.dtype import DTYPES, DType


@st.composite
def problems(
    draw: st.DrawFn, names: list[str]
) -> tuple[DType, np.random.Generator, list[int], int]:
    shape = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    seed = draw(st.integers(0, 2**32))
    axis = draw(st.integers(0, len(shape) - 1))
    return DTYPES_BY_NAME[draw(st.sampled_from(names))], np.random.default_rng(seed), shape, axis


HYPOTHESIS = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def test_the_device_really_has_no_feature(bare: str) -> None:
    found = pb.get_device(bare)
    assert not found.caps.features
    assert found.memory_stats() is None
    assert not found.has("gather")
    assert pb.get_device(REFERENCE).has("gather")


@HYPOTHESIS
@given(problem=problems([d.name for d in DTYPES]), length=st.integers(1, 6))
def test_gather_equals_the_native_one(bare: str, problem: tuple, length: int) -> None:
    dtype, rng, shape, axis = problem
    wanted = [length if a == axis else n for a, n in enumerate(shape)]
    index = rng.integers(0, shape[axis], wanted)
    same_on_both(
        bare, lambda x, i: structured.gather(x, i, axis), numbers(rng, dtype, tuple(shape)), index
    )


@HYPOTHESIS
@given(problem=problems([d.name for d in DTYPES]), length=st.integers(1, 6))
def test_scatter_with_set_lets_the_last_write_win(bare: str, problem: tuple, length: int) -> None:
    dtype, rng, shape, axis = problem
    wide = tuple(length if a == axis else n for a, n in enumerate(shape))
    index = rng.integers(0, shape[axis], wide)
    values = [numbers(rng, dtype, s) for s in (tuple(shape), wide)]
    same_on_both(bare, scattered(axis, "set"), values[0], index, values[1])


@HYPOTHESIS
@given(problem=problems(NUMERIC), length=st.integers(1, 6))
def test_scatter_with_add_sums_what_meets(bare: str, problem: tuple, length: int) -> None:
    dtype, rng, shape, axis = problem
    wide = tuple(length if a == axis else n for a, n in enumerate(shape))
    index = rng.integers(0, shape[axis], wide)
    whole = [rng.integers(-4, 5, s).astype(dtype.numpy) for s in (tuple(shape), wide)]
    if dtype.kind == "uint":
        whole = [numbers(rng, dtype, tuple(shape)), numbers(rng, dtype, wide)]  # wraps
    same_on_both(bare, scattered(axis, "add"), whole[0], index, whole[1])


@HYPOTHESIS
@given(
    problem=problems([n for n in REAL if n != "bool"]),
    length=st.integers(1, 6),
    mode=st.sampled_from(["min", "max"]),
)
def test_scatter_with_min_and_max_keeps_the_extreme(
    bare: str, problem: tuple, length: int, mode: structured.Mode
) -> None:
    dtype, rng, shape, axis = problem
    wide = tuple(length if a == axis else n for a, n in enumerate(shape))
    index = rng.integers(0, shape[axis], wide)
    target, values = (numbers(rng, dtype, s) for s in (tuple(shape), wide))
    (got,) = {
        bits(scattered(axis, mode)(*on(d, target, index, values)).numpy())
        for d in (bare, REFERENCE)
    }
    want = target.copy()
    for spot in np.ndindex(*wide):
        to = (*spot[:axis], index[spot], *spot[axis + 1 :])
        want[to] = extreme(want[to], values[spot], mode)
    assert bits(want) == got


@HYPOTHESIS
@given(problem=problems(REAL), descending=st.booleans())
def test_argsort_is_stable_with_nan_last(bare: str, problem: tuple, descending: bool) -> None:
    dtype, rng, shape, axis = problem
    same_on_both(
        bare, lambda x: structured.argsort(x, axis, descending), numbers(rng, dtype, tuple(shape))
    )


def test_special_numbers_survive_a_gather(bare: str) -> None:
    for dtype in (np.float16, np.float32, np.float64):
        x = np.array(SPECIAL, dtype)
        index = np.array([1, 0, 2, 4, 3, 1])
        same_on_both(bare, lambda x, i: structured.gather(x, i, 0), x, index)


def test_the_public_functions_work_on_a_device_without_features(bare: str) -> None:
    x = pb.asarray([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0]], device=bare)
    assert pb.sort(x, axis=1).tolist() == [[1.0, 2.0, 3.0], [0.0, 4.0, 5.0]]
    assert pb.take(x, pb.asarray([-1, 0], device=bare), axis=1).tolist() == [[2.0, 3.0], [4.0, 0.0]]
    assert x[x > 2.0].tolist() == [3.0, 5.0, 4.0]
    index = pb.asarray([0, 1, 1], device=bare)
    got = pb.grad(lambda x: pb.sum(pb.take(x, index, axis=0) ** 2))(x)
    assert got.tolist() == [[6.0, 2.0, 4.0], [0.0, 20.0, 16.0]]
    assert pb.random.Generator(0, device=bare).permutation(7).tolist() == (
        pb.random.Generator(0, device=REFERENCE).permutation(7).tolist()
    )


def test_a_feature_serves_only_the_types_that_the_device_stores() -> None:
    claims = caps(features=["gather", "argsort"], storage=["bool", "int64", "float32"])
    with pb.configure(fallback="allow"), extra_device(claims) as name:
        x = pb.asarray([3.0, 1.0, 2.0], dtype=pb.float64, device=name)
        assert pb.sort(x).tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_empty_tensors_pass_through_every_decomposition(bare: str, shape: tuple[int, ...]) -> None:
    x = pb.zeros(shape, device=bare)
    assert pb.sort(x).shape == shape
    index = pb.zeros(0, dtype=pb.int64, device=bare)
    assert pb.take(x, index, axis=-1).shape == (*shape[:-1], 0)
