"""Gather and scatter along an axis on every device, with their derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from against_numpy import FLOATS, REAL, extreme, same, sample
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import polyback as pb
from polyback.dtype import DTYPES, DType

FAST = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def numbered(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(int(np.prod(shape)), dtype=np.int32).reshape(shape)


@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_take_and_take_along_axis(device: str, dtype: DType, axis: int) -> None:
    x = sample((3, 4, 2), dtype)
    n = x.shape[axis]
    rng = np.random.default_rng(0)
    t = pb.asarray(x, device=device)
    for kind in (np.int64, np.int8):
        index = rng.integers(-n, n, (5, 2)).astype(kind)
        same(
            pb.take(t, pb.asarray(index, device=device), axis=axis), np.take(x, index, axis), dtype
        )
    wide = rng.integers(-n, n, [6 if a == axis % 3 else k for a, k in enumerate(x.shape)])
    got = pb.take_along_axis(t, pb.asarray(wide, device=device), axis=axis)
    same(got, np.take_along_axis(x, wide, axis), dtype)


def test_one_tensor_of_integers_gathers_rows(device: str) -> None:
    x = numbered((4, 3))
    index = np.array([[3, 0], [-1, 1]], np.int16)
    same(pb.asarray(x, device=device)[pb.asarray(index, device=device)], x[index], pb.int32)
    empty = pb.asarray([], dtype=pb.int64, device=device)
    assert pb.take(pb.zeros((0, 2), device=device), empty, axis=0).shape == (0, 2)
    assert pb.asarray(x, device=device)[empty].shape == (0, 3)


def test_take_along_axis_broadcasts_the_other_axes(device: str) -> None:
    x = numbered((1, 3, 4))
    index = np.array([[[2], [0], [1]]] * 2)
    got = pb.take_along_axis(pb.asarray(x, device=device), pb.asarray(index, device=device), axis=2)
    same(got, np.take_along_axis(np.broadcast_to(x, (2, 3, 4)), index, 2), pb.int32)


def test_gradients_of_gathering_add_up(device: str) -> None:
    x = pb.asarray(sample((4, 3), pb.float64), device=device)
    index = pb.asarray([0, 2, 2, -1], device=device)
    pb.testing.check_grad(lambda x: pb.take(x, index, axis=0) ** 2, x)
    along = pb.asarray([[0, 0], [2, 1], [1, 1], [0, 2]], device=device)
    pb.testing.check_grad(lambda x: pb.take_along_axis(x, along, axis=1) ** 2, x)
    pb.testing.check_grad(pb.grad(lambda x: pb.sum(x[index] ** 3)), x, atol=1e-4)
    pb.testing.check_grad(lambda x: x[pb.asarray(sample((4, 3), pb.bool), device=device)], x)


def test_one_hot(device: str) -> None:
    index = pb.asarray([[0, 2], [-1, 1]], device=device)
    same(pb.one_hot(index, 3), np.eye(3, dtype=np.float32)[np.array([[0, 2], [2, 1]])])
    assert pb.one_hot(index, 3, dtype=pb.bool).dtype is pb.bool
    assert pb.one_hot(pb.asarray([], dtype=pb.int64, device=device), 0).shape == (0, 0)


# --- scatter ------------------------------------------------------------------------------------


def scattered(x: np.ndarray, index: np.ndarray, values: Any, axis: int, mode: str) -> np.ndarray:
    """One element after the other."""
    result = x.copy()
    wide = np.broadcast_to(values, index.shape)
    for spot in np.ndindex(*index.shape):
        to = list(spot)
        to[axis] = index[spot]
        old = result[tuple(to)]
        new = wide[spot]
        if mode == "add":
            new = old + new
        elif mode != "set":
            new = extreme(old, new, mode)
        result[tuple(to)] = new
    return result


@FAST
@given(st.data())
def test_scatter_is_one_element_after_the_other(device: str, data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from([pb.int8, pb.int64, pb.uint16, pb.float32, pb.float64]))
    mode = data.draw(st.sampled_from(["set", "add", "min", "max"]))
    shape = tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    length = data.draw(st.integers(0, 6))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    n, wide = shape[axis], list(shape)
    wide[axis] = length
    index = rng.integers(-n, n, wide)
    x, values = sample(shape, dtype), np.round(sample(tuple(wide), dtype, 1))
    if data.draw(st.booleans()):
        values = values[..., :1] if length else values
    t, i, v = (pb.asarray(a, device=device) for a in (x, index, values))
    want = scattered(x, index, values, axis, mode)
    same(pb.scatter(t, i, v, axis=axis, mode=mode), want, dtype)
    same(t, x, dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_scatter_of_every_type(device: str, dtype: DType) -> None:
    x, index = sample((5,), dtype), np.array([3, 0, 3, -1])
    values = sample((4,), dtype, 1)
    t, i, v = (pb.asarray(a, device=device) for a in (x, index, values))
    same(pb.scatter(t, i, v), scattered(x, index, values, 0, "set"), dtype)
    if dtype.is_integer:
        same(pb.scatter(t, i, v, mode="add"), scattered(x, index, values, 0, "add"), dtype)
    if dtype.kind == "bool":
        same(pb.scatter(t, i, True), scattered(x, index, True, 0, "set"), dtype)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_sums_of_half_types_are_rounded_once(device: str, dtype: DType) -> None:
    x = pb.asarray([1.0, 0.0], dtype=dtype, device=device)
    tiny = pb.full((64,), 2.0**-11, dtype=dtype, device=device)
    got = pb.scatter(x, pb.zeros(64, dtype=pb.int64, device=device), tiny, mode="add")
    assert got.tolist() == [1.0 + 64 * 2.0**-11, 0.0]


@pytest.mark.parametrize("mode", ["min", "max"])
def test_nan_is_the_extreme_and_zeros_are_ordered(device: str, mode: str) -> None:
    x = np.array([0.0, -0.0, 1.0, np.nan, 5.0], np.float32)
    index, values = np.array([0, 1, 2, 3, 4]), np.array([-0.0, 0.0, np.nan, 2.0, 5.0], np.float32)
    t, i, v = (pb.asarray(a, device=device) for a in (x, index, values))
    zero = 0.0 if mode == "max" else -0.0
    same(pb.scatter(t, i, v, mode=mode), np.array([zero, zero, np.nan, np.nan, 5], np.float32))


def test_indices_broadcast_to_the_tensor_and_values_to_them(device: str) -> None:
    x, index = numbered((2, 3)), pb.asarray([[2, 0]], device=device)
    t = pb.asarray(x, device=device)
    assert pb.scatter(t, index, 9).tolist() == [[9, 1, 9], [9, 4, 9]]
    column = pb.asarray([[7], [8]], device=device)
    assert pb.scatter(t, index, column).tolist() == [[7, 1, 7], [8, 4, 8]]
    empty = pb.zeros((2, 0), dtype=pb.int64, device=device)
    assert pb.scatter(t, empty, 9).tolist() == x.tolist()


@pytest.mark.parametrize("mode", ["set", "add", "min", "max"])
@pytest.mark.parametrize("axis", [0, 1])
def test_derivatives_of_scatter(device: str, mode: str, axis: int) -> None:
    x = pb.asarray(sample((3, 3), pb.float64), device=device)
    wide = (4, 3) if axis == 0 else (3, 4)
    v = pb.asarray(sample(wide, pb.float64, 1), device=device)
    index = pb.asarray(np.random.default_rng(2).integers(0, 3, wide), device=device)

    def f(x: pb.Tensor, v: pb.Tensor) -> pb.Tensor:
        return pb.scatter(x * x, index, v * v, axis=axis, mode=mode) ** 2

    pb.testing.check_grad(f, x, v)
    pb.testing.check_grad(lambda x: f(x, v.detach()), x)
    for number in (0, 1):
        first = pb.grad(lambda x, v: pb.sum(f(x, v)), argnums=number)
        pb.testing.check_grad(first, x, v, atol=1e-4)


def test_equal_extremes_share_the_gradient(device: str) -> None:
    x = pb.asarray([1.0, 5.0], device=device)
    v = pb.asarray([1.0, 1.0, 2.0], device=device)
    index = pb.asarray([0, 0, 1], device=device)
    gx, gv = pb.grad(
        lambda x, v: pb.sum(pb.scatter(x, index, v, mode="max") * 3.0), argnums=(0, 1)
    )(x, v)
    assert gx.tolist() == [1.0, 3.0]
    assert gv.tolist() == [1.0, 1.0, 0.0]
