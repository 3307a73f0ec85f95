"""Sets on every device: distinct elements and membership, against Python's own."""

from __future__ import annotations

import numpy as np
import pytest
from against_numpy import same, sample
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import polyback as pb
from polyback.dtype import DTYPES, DType

FAST = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SPECIAL = [0.0, -0.0, np.nan, np.inf, -np.inf, 1.0, 1.0, -2.5]


def expected(x: np.ndarray) -> tuple[list[int], list[int], list[int]]:
    """Where each distinct element occurs first, the place of each element's value, and counts."""
    firsts: list[int] = []
    places, flat = [], x.ravel()
    for k, value in enumerate(flat):
        known = [p for p, f in enumerate(firsts) if flat[f] == value]
        places.append(known[0] if known else len(firsts))
        if not known:
            firsts.append(k)
    return firsts, places, [places.count(p) for p in range(len(firsts))]


def check_unique(device: str, x: np.ndarray) -> None:
    """All four functions, in whatever order the values come."""
    t = pb.asarray(x, device=device)
    firsts, places, counts = expected(x)
    found = pb.unique_all(t)
    assert sorted(found.indices.tolist()) == firsts
    order = [firsts.index(k) for k in found.indices.tolist()]
    same(found.values, x.ravel()[found.indices.numpy()], t.dtype)
    assert found.counts.tolist() == [counts[p] for p in order]
    assert found.inverse_indices.shape == x.shape
    assert [order[p] for p in found.inverse_indices.numpy().ravel()] == places
    assert {found[k].dtype for k in (1, 2, 3)} == {pb.int64}
    for got, want in (
        (pb.unique_counts(t).values, found.values), (pb.unique_counts(t).counts, found.counts),
        (pb.unique_inverse(t).values, found.values), (pb.unique_values(t), found.values),
        (pb.unique_inverse(t).inverse_indices, found.inverse_indices),
    ):  # fmt: skip
        same(got, want.numpy(), want.dtype)
    if t.dtype.kind != "complex":
        line = [v for v in found.values.tolist() if v == v]
        assert line == sorted(line)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(3, 7), (0,), (), (2, 0), (1,)])
def test_unique_of_every_type(device: str, dtype: DType, shape: tuple[int, ...]) -> None:
    check_unique(device, np.asarray(np.round(sample(shape, dtype))).astype(dtype.numpy))


@FAST
@given(st.integers(0, 40), st.sampled_from(["f2", "f4", "c8", "c16"]), st.integers(0, 999))
def test_unique_of_special_numbers(device: str, n: int, kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = np.empty(n, kind)
    if kind[0] == "c":
        x.real, x.imag = rng.choice(SPECIAL, n), rng.choice(SPECIAL, n)
    else:
        x[...] = rng.choice(SPECIAL, n)
    check_unique(device, x)


def test_unique_of_a_strided_view(device: str) -> None:
    x = np.arange(12).reshape(3, 4) % 5
    t = pb.asarray(x, device=device)
    same(pb.unique_values(t.T[::-1, ::2]), np.unique(x.T[::-1, ::2]))
    assert pb.unique_all(t.T).indices.tolist() == np.unique(x.T, return_index=True)[1].tolist()


def test_gradients_go_to_the_first_of_equal_elements(device: str) -> None:
    x = pb.asarray([2.0, 1.0, 2.0], device=device)
    weights = pb.asarray([10.0, 20.0], device=device)
    got = pb.grad(lambda x: pb.sum(pb.unique_values(x) * weights))(x)
    assert got.tolist() == [20.0, 10.0, 0.0]


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d.compute is d], ids=str)
def test_isin_of_every_type(device: str, dtype: DType) -> None:
    x, among = (
        np.round(sample(s, dtype, k)).astype(dtype.numpy) for k, s in enumerate([(4, 5), (2, 3)])
    )
    t, a = pb.asarray(x, device=device), pb.asarray(among, device=device)
    same(pb.isin(t, a), np.isin(x, among))
    same(pb.isin(t, a, invert=True), np.isin(x, among, invert=True))
    same(pb.isin(t, a[:0]), np.zeros(x.shape, bool))
    same(pb.isin(t[:0], a), np.zeros((0, 5), bool))


def test_isin_of_special_numbers_and_numbers(device: str) -> None:
    x = pb.asarray(SPECIAL, device=device)
    assert pb.isin(x, pb.asarray([np.nan, -0.0, np.inf], device=device)).tolist() == [
        True, True, False, True, False, False, False, False
    ]  # fmt: skip
    assert pb.isin(x, 1).tolist() == [v == 1 for v in SPECIAL]
    assert pb.isin(1, x).item() is True
    assert pb.isin(7, x).shape == ()
    wide = pb.asarray([1, 300], device=device)
    assert pb.isin(pb.asarray([1, 44], dtype=pb.int8, device=device), wide).tolist() == [
        True,
        False,
    ]
    with pytest.raises(pb.DTypeError, match=r"\[isin\] got 1 and 2; want at least one tensor"):
        pb.isin(1, 2)


# --- repeat -------------------------------------------------------------------------------------


@FAST
@given(st.lists(st.integers(0, 4), max_size=8), st.integers(0, 2))
def test_repeat_takes_a_count_for_each_element(device: str, counts: list[int], axis: int) -> None:
    shape = [2, 3, 2]
    shape[axis] = len(counts)
    x = np.arange(np.prod(shape)).reshape(shape)
    t, c = pb.asarray(x, device=device), pb.asarray(counts, dtype=pb.int32, device=device)
    same(pb.repeat(t, c, axis=axis), np.repeat(x, np.array(counts, int), axis=axis))


def test_repeat_with_one_count_for_all_and_flattened(device: str) -> None:
    t = pb.asarray([[1, 2], [3, 4]], device=device)
    assert pb.repeat(t, pb.asarray([2], device=device), axis=0).shape == (4, 2)
    assert pb.repeat(t, pb.asarray([0, 1, 0, 2], device=device)).tolist() == [2, 4, 4]
    for counts, error in (
        ([1, -1], pb.InvalidArgument), ([1, 2, 3], pb.ShapeError), ([1.0, 2.0], pb.DTypeError),
    ):  # fmt: skip
        with pytest.raises(error, match=r"\[repeat\] (the )?counts"):
            pb.repeat(t, pb.asarray(counts, device=device), axis=0)
    x = pb.asarray(sample((3,), pb.float64), device=device)
    pb.testing.check_grad(lambda x: pb.repeat(x, pb.asarray([2, 0, 3], device=device)) ** 2, x)
