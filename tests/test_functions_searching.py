"""Searching on every device: nonzero, searchsorted, where."""

from __future__ import annotations

import numpy as np
import pytest
from against_numpy import REAL, same, sample
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import polyback as pb
from polyback.dtype import DTYPES, DType

FAST = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_nonzero_of_every_type(device: str, dtype: DType) -> None:
    x = sample((4, 5), dtype) * (sample((4, 5), pb.bool, 1)).astype(dtype.numpy)
    got = pb.nonzero(pb.asarray(x, device=device))
    for have, want in zip(got, np.nonzero(x), strict=True):
        same(have, want, pb.int64)


@FAST
@given(hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5), st.integers(0, 99))
def test_nonzero_is_in_row_major_order(device: str, shape: tuple[int, ...], seed: int) -> None:
    x = sample(shape, pb.bool, seed)
    got = pb.nonzero(pb.flip(pb.asarray(np.flip(x), device=device)))
    assert len(got) == len(shape)
    for have, want in zip(got, np.nonzero(x), strict=True):
        same(have, want, pb.int64)


def test_nonzero_of_special_numbers(device: str) -> None:
    x = pb.asarray([0.0, -0.0, np.nan, np.inf, 1e-45], device=device)
    assert pb.nonzero(x)[0].tolist() == [2, 3, 4]


@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize("side", ["left", "right"])
def test_searchsorted_of_every_type(device: str, dtype: DType, side: str) -> None:
    line, x = sample((11,), dtype), sample((3, 4), dtype, 1)
    order = np.argsort(line, stable=True)
    want = np.searchsorted(line[order], x, side)
    t, values = pb.asarray(line[order], device=device), pb.asarray(x, device=device)
    same(pb.searchsorted(t, values, side=side), want, pb.int64)
    t, sorter = pb.asarray(line, device=device), pb.asarray(order, device=device)
    same(pb.searchsorted(t, values, side=side, sorter=sorter), want, pb.int64)


@FAST
@given(st.integers(0, 40), st.sampled_from(["left", "right"]), st.integers(0, 99))
def test_searchsorted_counts_what_comes_before(device: str, n: int, side: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pool = np.array([-np.inf, -1.5, -0.0, 0.0, 2.0, np.inf, np.nan], np.float32)
    line, x = np.sort(rng.choice(pool, n)), rng.choice(pool, 9)
    got = pb.searchsorted(pb.asarray(line, device=device), pb.asarray(x, device=device), side=side)
    same(got, np.searchsorted(line, x, side), pb.int64)


def test_searchsorted_takes_numbers_and_mixed_types(device: str) -> None:
    line = pb.asarray([1, 3, 5], dtype=pb.int32, device=device)
    assert int(pb.searchsorted(line, 3)) == 1
    assert pb.searchsorted(line, 3).shape == ()
    assert int(pb.searchsorted(line, 3, side="right")) == 2
    assert int(pb.searchsorted(line, 3.5)) == 2
    assert pb.searchsorted(line, pb.asarray([4.5, -1.0], device=device)).tolist() == [2, 0]
    assert pb.searchsorted(line, pb.asarray([2**40], device=device)).tolist() == [3]
