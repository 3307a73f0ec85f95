"""Running sums and products: values, types, the initial element, errors."""

from __future__ import annotations

import numpy as np
import pytest
from against_numpy import FLOATS, INTEGERS, close, same, sample, stored

import polyback as pb
from polyback.errors import DTypeError, IndexOutOfBounds, InvalidArgument

FUNCTIONS = ("cumulative_sum", "cumulative_prod")


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [*INTEGERS, pb.bool], ids=str)
def test_integers_widen_to_64_bits(device, name, dtype):
    x = sample((4, 6), stored(device, dtype))
    t = pb.asarray(x, device=device)
    wide = pb.uint64 if dtype.kind == "uint" else pb.int64
    for axis in (0, 1, -1):
        want = getattr(np, name)(x, axis=axis, dtype=wide.numpy)
        same(getattr(pb, name)(t, axis=axis), want, wide)
    if dtype is not pb.bool:
        want = getattr(np, name)(x, axis=0, dtype=dtype.numpy)  # wraps
        same(getattr(pb, name)(t, axis=0, dtype=dtype), want, dtype)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [*FLOATS, pb.complex64, pb.complex128], ids=str)
def test_floats_keep_their_type(device, name, dtype):
    x = sample((5, 7), stored(device, dtype))
    wide = x.astype(np.complex128 if dtype.kind == "complex" else np.float64)
    got = getattr(pb, name)(pb.asarray(x, device=device), axis=1)
    close(got, getattr(np, name)(wide, axis=1), dtype)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_initial_element(device, name):
    x = pb.asarray([2, 3, 4], device=device)
    first = 0 if name == "cumulative_sum" else 1
    got = getattr(pb, name)(x, include_initial=True)
    same(got, getattr(np, name)(np.array([2, 3, 4]), include_initial=True))
    assert got.tolist()[0] == first
    empty = pb.zeros((2, 0, 3), device=device)
    assert getattr(pb, name)(empty, axis=1).shape == (2, 0, 3)
    assert getattr(pb, name)(empty, axis=1, include_initial=True).tolist() == [[[first] * 3]] * 2


def test_a_transposed_view_and_a_broadcast_one(device):
    x = sample((3, 4), pb.float64)
    close(pb.cumulative_sum(pb.asarray(x, device=device).mT, axis=0), np.cumsum(x.T, 0))
    row = pb.broadcast_to(pb.asarray(x[0], device=device), (5, 4))
    close(pb.cumulative_sum(row, axis=0), np.cumsum(np.broadcast_to(x[0], (5, 4)), 0))


def test_many_roundings_do_not_add_up(device):
    x = np.full(100_000, 0.1, np.float32)
    got = pb.cumulative_sum(pb.asarray(x, device=device)).numpy()
    want = np.cumsum(x.astype(np.float64))
    terms = np.arange(1, x.size + 1)
    limit = np.minimum(terms + 2, 8 + 2 * np.sqrt(terms)) * 2.0**-24
    assert np.all(np.abs(got - want) <= limit * want)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_errors(device, name):
    run = getattr(pb, name)
    x = pb.ones((2, 3), device=device)
    with pytest.raises(InvalidArgument, match=rf"\[{name}\].*\(2, 3\).*want axis="):
        run(x)
    with pytest.raises(InvalidArgument):
        run(pb.asarray(1.0, device=device))
    with pytest.raises(IndexOutOfBounds):
        run(x, axis=2)
    with pytest.raises(DTypeError, match="bool"):
        run(x, axis=0, dtype=pb.bool)
    with pytest.raises(DTypeError):
        run([1, 2])


def test_gradients_with_zeros(device):
    """Against a product over all but one factor."""
    rng = np.random.default_rng(0)
    for zeros in ((), (2,), (1, 4), (0,), (5,)):
        x = rng.uniform(0.5, 2, 6)
        x[list(zeros)] = 0
        weight = rng.normal(size=6)
        want = [
            sum(weight[k] * np.prod(np.delete(x[: k + 1], i)) for k in range(i, 6))
            for i in range(6)
        ]
        w = pb.asarray(weight, device=device)
        got = pb.grad(lambda t, w=w: pb.sum(w * pb.cumulative_prod(t)))(
            pb.asarray(x, device=device)
        )
        close(got, np.array(want), pb.float64)
