"""Indexing on every device: basic keys against NumPy, assignment, masks, and gathering."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from against_numpy import REAL, same, sample
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import polyback as pb
from polyback.dtype import DType

FAST = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


@st.composite
def keyed(draw: st.DrawFn) -> tuple[tuple[int, ...], Any]:
    """A shape and a basic key for it."""
    shape = draw(shapes)
    key = draw(hnp.basic_indices(shape, allow_newaxis=True, max_dims=6))
    return shape, key


def numbered(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(int(np.prod(shape)), dtype=np.int32).reshape(shape)


# --- basic keys ---------------------------------------------------------------------------------


@FAST
@given(keyed())
def test_basic_keys_select_what_numpy_selects(device: str, case: tuple) -> None:
    shape, key = case
    x = numbered(shape)
    same(pb.asarray(x, device=device)[key], x[key], pb.int32)


@FAST
@given(keyed(), st.data())
def test_a_key_of_a_strided_view(device: str, case: tuple, data: st.DataObject) -> None:
    shape, key = case
    order = data.draw(st.permutations(range(len(shape))))
    base = numbered(tuple(shape[order.index(k)] for k in range(len(shape))))
    x = base.transpose(order)
    if x.shape != shape:
        return
    t = pb.permute_dims(pb.asarray(base, device=device), order)
    same(t[key], x[key], pb.int32)


@FAST
@given(keyed(), st.data())
def test_assignment_writes_what_numpy_writes(device: str, case: tuple, data: st.DataObject) -> None:
    shape, key = case
    x = numbered(shape)
    t = pb.asarray(x, device=device)
    target = x[key].shape
    sizes = data.draw(st.sampled_from([target, target[1:], (), tuple(1 for _ in target)]))
    value = -1 - numbered(sizes)
    x[key] = value
    t[key] = pb.asarray(value, device=device) if data.draw(st.booleans()) else value
    same(t, x, pb.int32)


@FAST
@given(keyed())
def test_the_gradient_of_an_index_is_where_it_points(device: str, case: tuple) -> None:
    shape, key = case
    x = pb.asarray(sample(shape), device=device)
    want = np.zeros(shape, np.float32)
    want[key] = 2
    got = pb.grad(lambda x: pb.sum(x[key] * 2))(x)
    assert got.shape == shape
    np.testing.assert_array_equal(got.numpy(), want)


def test_integers_of_every_kind_are_indexes(device: str) -> None:
    x = pb.arange(10, device=device)
    for one in (1, np.int8(1), pb.asarray(1, device=device), np.array(1)):
        assert x[one].item() == 1
        assert x[one:3].tolist() == [1, 2]
        assert x[-1].item() == 9


def test_a_slice_is_a_view(device: str) -> None:
    x = pb.zeros((3, 4), device=device)
    part = x[1:, ::2]
    part += 1
    x[2] = 5
    assert x.tolist() == [[0.0] * 4, [1.0, 0.0, 1.0, 0.0], [5.0] * 4]
    assert part.tolist() == [[1.0, 1.0], [5.0, 5.0]]


def test_overlapping_assignment_reads_before_it_writes(device: str) -> None:
    x = pb.arange(6, device=device)
    x[1:] = x[:-1]
    assert x.tolist() == [0, 0, 1, 2, 3, 4]
    x[::-1] = x
    assert x.tolist() == [4, 3, 2, 1, 0, 0]
    y = pb.reshape(pb.arange(4, device=device), (2, 2))
    y[...] = y.T + y
    assert y.tolist() == [[0, 3], [3, 6]]


# --- types of what is assigned ------------------------------------------------------------------


def test_python_numbers_take_the_type_of_the_tensor(device: str) -> None:
    x = pb.zeros(3, dtype=pb.float64, device=device)
    x[:2] = [0.1, 1]
    x[2] = 0.2
    assert x.tolist() == [0.1, 1.0, 0.2]  # not through float32
    half = pb.zeros(1, dtype=pb.bfloat16, device=device)
    half[0] = np.float64(1.5)
    assert half.tolist() == [1.5]


@pytest.mark.parametrize(
    ("dtype", "value"),
    [(pb.int32, 1.5), (pb.int32, [1.5]), (pb.bool, 1), (pb.float32, 1j), (pb.int8, 300),
     (pb.uint8, -1), (pb.int32, np.float32(1))],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_an_error(device: str, dtype: DType, value: object) -> None:
    x = pb.zeros(2, dtype=dtype, device=device)
    with pytest.raises(pb.DTypeError, match=r"cannot (write|hold)|does not (fit|store)"):
        x[0] = value
    assert not pb.any(x).item()


def test_tensors_are_cast_within_their_kind_or_up(device: str) -> None:
    x = pb.zeros(2, dtype=pb.float32, device=device)
    x[0] = pb.asarray(3, device=device)
    x[1] = pb.asarray(0.1, dtype=pb.float64, device=device)
    same(x, np.array([3, 0.1], np.float32))


# --- masks --------------------------------------------------------------------------------------


@FAST
@given(shapes, st.integers(0, 99))
def test_a_mask_selects_in_row_major_order(device: str, shape: tuple[int, ...], seed: int) -> None:
    x, mask = numbered(shape), sample(shape, pb.bool, seed)
    if not shape:
        return
    t, m = pb.asarray(x, device=device), pb.asarray(mask, device=device)
    same(t[m], x[mask], pb.int32)
    same(t[::-1][m], x[::-1][mask], pb.int32)
    t[m], x[mask] = -5, -5
    same(t, x, pb.int32)
    t[~m] = -t
    same(t, np.where(mask, x, -x), pb.int32)


def test_a_mask_must_have_the_shape_of_the_tensor(device: str) -> None:
    x = pb.zeros((2, 3), device=device)
    for mask in (
        pb.ones(3, dtype=pb.bool, device=device),
        pb.ones((2, 1), dtype=pb.bool, device=device),
    ):
        with pytest.raises(pb.ShapeError, match=r"\[index\] the mask is"):
            x[mask]
        with pytest.raises(pb.ShapeError, match=r"\[index\] the mask is"):
            x[mask] = 1.0
    with pytest.raises(pb.ShapeError, match=r"the value \(3,\)"):
        x[x == 0] = pb.ones(3, device=device)


# --- recorded assignment ------------------------------------------------------------------------


def test_gradients_flow_through_assignment(device: str) -> None:
    x = pb.asarray(sample((2, 3), pb.float64), device=device)
    v = pb.asarray(sample((3,), pb.float64, 1), device=device)

    def f(x: pb.Tensor, v: pb.Tensor) -> pb.Tensor:
        y = x * 2
        y[0] = v * v
        y[:, ::2] = y[:, 1:2]
        y[y > 100.0] = 0.0
        return y * y

    pb.testing.check_grad(f, x, v)


def test_a_plain_tensor_that_is_given_a_tracked_value_joins_the_graph(device: str) -> None:
    x, v = pb.zeros(3, device=device), pb.ones((), device=device, requires_grad=True)
    x[1] = v * 3
    assert x.requires_grad
    pb.sum(x * x).backward()
    assert v.grad is not None
    assert v.grad.item() == 18.0


# --- gathering ----------------------------------------------------------------------------------


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
