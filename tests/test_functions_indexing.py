"""Indexing on every device: basic keys against NumPy, assignment, masks, and gathering."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from against_numpy import same, sample
from extra_devices import caps, extra_device
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from index_keys import keyed

import polyback as pb
from polyback.dtype import DType

FAST = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


def on(device: str, key: Any) -> Any:
    """``key`` with tensors in place of its arrays."""
    if isinstance(key, tuple):
        return tuple(on(device, part) for part in key)
    return pb.asarray(key, device=device) if isinstance(key, np.ndarray) else key


def numbered(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(int(np.prod(shape)), dtype=np.int32).reshape(shape)


# --- keys of every kind -------------------------------------------------------------------------


@FAST
@given(keyed())
def test_a_key_selects_what_numpy_selects(device: str, case: tuple) -> None:
    shape, key = case
    x = numbered(shape)
    t = pb.asarray(x, device=device)
    same(t[on(device, key)], x[key], pb.int32)
    same(t[key], x[key], pb.int32)


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
    t[key], x[key] = -1, -1
    same(t, x, pb.int32)


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
    t[on(device, key)] = pb.asarray(value, device=device) if data.draw(st.booleans()) else value
    same(t, x, pb.int32)


@FAST
@given(keyed(), st.integers(0, 99))
def test_gradients_of_reading_add_up_where_the_key_points(
    device: str, case: tuple, seed: int
) -> None:
    shape, key = case
    x = pb.asarray(sample(shape), device=device)
    weights = sample(np.zeros(shape)[key].shape, pb.int32, seed).astype(np.float32)
    want = np.zeros(shape, np.float32)
    np.add.at(want, key, weights)
    w = pb.asarray(weights, device=device)
    got = pb.grad(lambda x: pb.sum(x[on(device, key)] * w))(x)
    assert got.shape == shape
    np.testing.assert_array_equal(got.numpy(), want)


@FAST
@given(keyed(), st.integers(0, 99))
def test_gradients_of_writing_go_to_what_is_left(device: str, case: tuple, seed: int) -> None:
    shape, key = case
    x = pb.asarray(sample(shape), device=device)
    size = np.zeros(shape)[key].shape
    v = pb.asarray(sample(size, seed=1), device=device)
    weights = sample(shape, pb.int32, seed).astype(np.float32)
    w = pb.asarray(weights, device=device)

    def f(x: pb.Tensor, v: pb.Tensor) -> pb.Tensor:
        y = x * 1.0
        y[on(device, key)] = v
        return pb.sum(y * w)

    writer = np.full(shape, -1)  # the last value written to each element
    writer[key] = np.arange(v.size).reshape(size)
    of_v = np.zeros(v.size, np.float32)
    np.add.at(of_v, writer[writer >= 0], weights[writer >= 0])
    got_x, got_v = pb.grad(f, argnums=(0, 1))(x, v)
    np.testing.assert_array_equal(got_x.numpy(), np.where(writer >= 0, 0, weights))
    np.testing.assert_array_equal(got_v.numpy(), of_v.reshape(size))


DERIVED: dict[str, Any] = {
    "pairs": ((4, 3), (np.array([0, 2, 2, -1]), np.array([1, 0, 0, 2]))),
    "apart": ((3, 2, 3), (np.array([[0], [2]]), slice(None), np.array([1, 1, 2]))),
    "beside a slice": ((4, 3), (slice(None, None, -2), np.array([1, 1]))),
    "mask and integers": ((3, 2, 2), (np.array([True, False, True]), 1, np.array([0, 1]))),
    "mask of two axes": ((2, 2, 3), (np.array([[True, False], [True, True]]), slice(1, None))),
}


@pytest.mark.parametrize("name", DERIVED)
def test_derivatives_of_every_order_and_mode(device: str, name: str) -> None:
    shape, key = DERIVED[name]
    x = pb.asarray(sample(shape, pb.float64), device=device)
    v = pb.asarray(sample(np.zeros(shape)[key].shape, pb.float64, 1), device=device)

    def write(x: pb.Tensor, v: pb.Tensor) -> pb.Tensor:
        y = x * x
        y[key] = v * v
        return y * y

    pb.testing.check_grad(lambda x: x[key] ** 2, x)
    pb.testing.check_grad(pb.grad(lambda x: pb.sum(x[key] ** 3)), x, atol=1e-4)
    pb.testing.check_grad(write, x, v)
    pb.testing.check_grad(pb.grad(lambda v: pb.sum(write(x, v))), v, atol=1e-4)


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
    t, m = pb.asarray(x, device=device), pb.asarray(mask, device=device)
    same(t[m], x[mask], pb.int32)
    same(t.T[m.T] if t.ndim == 2 else t[m], x.T[mask.T] if t.ndim == 2 else x[mask], pb.int32)
    t[m], x[mask] = -5, -5
    same(t, x, pb.int32)
    value = numbered(x[~mask].shape)
    t[~m], x[~mask] = pb.asarray(value, device=device), value
    same(t, x, pb.int32)


def test_a_mask_without_elements_chooses_nothing(device: str) -> None:
    x = pb.asarray(numbered((2, 3)), device=device)
    for shape in ((0,), (0, 3), (2, 0)):
        mask = pb.zeros(shape, dtype=pb.bool, device=device)
        assert x[mask].shape == (0, *x.shape[len(shape) :])
        x[mask] = 7
        with pytest.raises(pb.IndexOutOfBounds, match=r"\[index\] the mask is"):
            x[pb.zeros((*shape[:-1], 4), dtype=pb.bool, device=device)]
    same(x, numbered((2, 3)), pb.int32)


def test_writing_reads_before_it_writes(device: str) -> None:
    x = pb.arange(6, device=device)
    before = x * 2
    x[x[::-1]] = x
    assert x.tolist() == [5, 4, 3, 2, 1, 0]
    x[x] = x[1:2]
    assert x.tolist() == [4] * 6
    assert before.tolist() == [0, 2, 4, 6, 8, 10]
    x[pb.asarray([1, 1, -1], device=device)] = pb.asarray([7, 8, 9], device=device)
    assert x.tolist() == [4, 8, 4, 4, 4, 9]


def test_an_error_writes_nothing(device: str) -> None:
    x = pb.zeros((2, 3), device=device)
    for key, value in (
        ((pb.asarray([0, 2], device=device),), 1.0),
        (pb.asarray([0, 1], device=device), pb.ones((2, 2), device=device)),
        (x == 0, pb.ones(5, device=device)),
    ):
        with pytest.raises(pb.PolybackError, match=r"\[index\]|\[broadcast_to\]"):
            x[key] = value
    assert not pb.any(x).item()


# --- devices that offer little ------------------------------------------------------------------


def reads_and_writes(device: str, shape: tuple[int, ...], key: Any) -> None:
    """What NumPy reads and writes."""
    x = numbered(shape)
    t = pb.asarray(x, device=device)
    same(t[on(device, key)], x[key], pb.int32)
    value = -1 - numbered(x[key].shape)
    t[on(device, key)], x[key] = pb.asarray(value, device=device), value
    same(t, x, pb.int32)


@FAST
@given(keyed(max_dims=3))
def test_keys_on_a_device_without_features(bare: str, case: tuple) -> None:
    reads_and_writes(bare, *case)


@pytest.fixture(scope="module")
def distant() -> Iterator[str]:
    """A device whose memory is not the host's."""
    features = ["gather", "scatter", "scan", "argsort"]
    with pb.configure(fallback="forbid"), extra_device(caps(features=features)) as name:
        yield name


@FAST
@given(keyed(max_dims=3))
def test_keys_on_a_device_with_memory_of_its_own(distant: str, case: tuple) -> None:
    reads_and_writes(distant, *case)


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
