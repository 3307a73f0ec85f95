"""Making tensors on every device, and what asarray, full, arange and linspace refuse or round."""

from __future__ import annotations

import array as buffers
import math
from typing import Any

import numpy as np
import pytest
from against_numpy import REAL, close, same, sample, stored
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import polyback as pb
from polyback.dtype import DTYPES, DType


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_numpy_arrays_come_and_go_bit_for_bit(device: str, dtype: DType) -> None:
    x = sample((3, 4), stored(device, dtype))
    t = pb.asarray(x, device=device)
    assert t.dtype is dtype
    same(t, x, dtype)
    same(pb.asarray(x.T[::-1], device=device), x.T[::-1], dtype)
    np.testing.assert_array_equal(np.asarray(t), x)


@pytest.mark.parametrize(
    ("obj", "dtype", "shape"),
    [
        (3, pb.int64, ()), (True, pb.bool, ()), (1.5, pb.float32, ()), ([], pb.float32, (0,)),
        ([[], []], pb.float32, (2, 0)), ([1, 2.5], pb.float32, (2,)), ((1, (2)), pb.int64, (2,)),
        ([[1], [2]], pb.int64, (2, 1)), ([True, False], pb.bool, (2,)), (range(3), pb.int64, (3,)),
        (np.float64(1.5), pb.float64, ()), (np.ones((2, 0)), pb.float64, (2, 0)),
        (np.arange(3, dtype=">i4"), pb.int32, (3,)), (2**63, pb.uint64, ()),
        (memoryview(b"ab"), pb.uint8, (2,)), (buffers.array("d", [1.0]), pb.float32, (1,)),
        ([np.float64(1.5)], pb.float32, (1,)), (np.bool_(True), pb.bool, ()),
    ],
)  # fmt: skip
def test_asarray_takes_numbers_sequences_arrays_and_buffers(
    device: str, obj: object, dtype: DType, shape: tuple[int, ...]
) -> None:
    t = pb.asarray(obj, device=device)
    assert (t.dtype, t.shape) == (dtype, shape)
    if not isinstance(obj, memoryview):
        np.testing.assert_array_equal(t.numpy(), np.asarray(obj, dtype.numpy))


def test_asarray_takes_0d_tensors_as_numbers_and_keeps_them_in_the_graph(device: str) -> None:
    x = pb.asarray([1.0, 2.0], dtype=pb.float64, device=device)
    y = pb.asarray([[x[0], 3], (x[1], x[0] * x[1])], device=device)
    assert (y.dtype, y.tolist()) == (pb.float64, [[1.0, 3.0], [2.0, 2.0]])
    pb.testing.check_grad(lambda x: pb.asarray([[x[0]], [x[0] * x[1]]], device=device), x)
    with pytest.raises(pb.ShapeError, match="differ; want one shape"):
        pb.asarray([x[0], [x[1]]], device=device)

    def written(x: pb.Tensor) -> pb.Tensor:
        y = x * 2.0
        y[:] = [x[0] * x[1], 5.0]
        return y

    pb.testing.check_grad(written, x)


def test_asarray_of_a_tensor_copies_only_what_it_must(device: str) -> None:
    x = pb.asarray([1.0, 2.0], device=device)
    assert pb.asarray(x) is x
    assert pb.asarray(x, dtype=pb.float32, copy=False) is x
    copy = pb.asarray(x, copy=True)
    copy[0] = 9
    assert x.tolist() == [1.0, 2.0]
    assert pb.asarray(x, dtype=pb.int32).tolist() == [1, 2]
    leaf = pb.asarray(x, requires_grad=True)  # over the same numbers; x itself stays as it is
    assert leaf.requires_grad
    assert not x.requires_grad
    x[0] = 7
    assert leaf.tolist() == [7.0, 2.0]


def test_host_data_may_change_after_asarray(device: str) -> None:
    values = np.ones(3, np.float32)
    t = pb.asarray(values, device=device)
    values[:] = 2
    assert t.tolist() == [1.0] * 3
    back = t.numpy()
    back[:] = 3
    assert t.tolist() == [1.0] * 3


def test_floats_beyond_float32_become_infinities_without_a_warning(device: str) -> None:
    assert pb.asarray([1e300, -1e300], device=device).tolist() == [math.inf, -math.inf]
    assert pb.full(2, 1e300, device=device).tolist() == [math.inf] * 2


# --- filling ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), 3, (2, 3), (0,), (2, 0), [1, 1], np.int64(2)])
def test_zeros_ones_and_empty(device: str, dtype: DType, shape: object) -> None:
    stored(device, dtype)
    sizes = np.zeros(shape).shape
    for f, want in ((pb.zeros, 0), (pb.ones, 1)):
        same(f(shape, dtype=dtype, device=device), np.full(sizes, want, dtype.numpy), dtype)
    t = pb.empty(shape, dtype=dtype, device=device)
    assert (t.shape, t.dtype, t.device) == (sizes, dtype, device)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(7, pb.int64), (True, pb.bool), (2.5, pb.float32), (np.float32(2.5), pb.float32),
     (np.int8(3), pb.int64), (-0.0, pb.float32), (math.nan, pb.float32)],
)  # fmt: skip
def test_full_takes_its_type_from_the_value(device: str, value: float, dtype: DType) -> None:
    same(pb.full((2, 2), value, device=device), np.full((2, 2), value, dtype.numpy), dtype)
    assert pb.full(2, pb.asarray(1.5, device=device), device=device).tolist() == [1.5, 1.5]


def test_like_functions_keep_shape_type_and_device(device: str) -> None:
    x = pb.ones((2, 3), dtype=pb.int16, device=device).T
    for f in (pb.zeros_like, pb.ones_like, pb.empty_like):
        assert (f(x).shape, f(x).dtype, f(x).device) == ((3, 2), pb.int16, device)
        assert f(x, dtype=pb.bool).dtype is pb.bool
    assert pb.full_like(x, 5).tolist() == [[5, 5]] * 3
    assert pb.zeros_like(x, device="numpy_ref").device == "numpy_ref"


def test_every_filled_element_can_be_written_alone(device: str) -> None:
    for x in (pb.zeros(3, device=device), pb.full(3, 0.0, device=device)):
        x[1] = 5
        assert x.tolist() == [0.0, 5.0, 0.0]


# --- ranges -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ends",
    [(5,), (0,), (-3,), (2, 7), (7, 2), (7, 2, -2), (0, 10, 3), (0, 9, 3), (0, 1, 0.1), (1, 2, 0.5),
     (5.5,), (0.0, -1.0, -0.3), (-5, 5, 4), (2.0, 2.0), (10, 0, -1), (0, 1, 5)],
)  # fmt: skip
def test_arange_is_numpys(device: str, ends: tuple[float, ...]) -> None:
    want = np.arange(*ends)
    dtype = pb.float32 if want.dtype.kind == "f" else pb.int64
    got = pb.arange(*ends, device=device)
    assert (got.dtype, got.shape) == (dtype, want.shape)
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-6, atol=1e-7)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    first=st.integers(-(2**63), 2**64 - 1),
    step=st.one_of(st.integers(-9, 9), st.integers(-(2**62), 2**62)),
    length=st.integers(0, 5),
    dtype=st.sampled_from([pb.int64, pb.uint64, pb.int8, pb.uint32]),
)
def test_arange_of_any_integers_is_exact_or_refused(
    device: str, first: int, step: int, length: int, dtype: DType
) -> None:
    if not step:
        return
    want = [first + k * step for k in range(length)]
    info = np.iinfo(dtype.numpy)
    try:
        got = pb.arange(first, first + step * length, step, dtype=dtype, device=device)
    except pb.DTypeError:
        assert any(not info.min <= v <= info.max for v in want)
    else:
        assert got.tolist() == want
        assert got.dtype is dtype


@pytest.mark.parametrize("dtype", [d for d in REAL if d.kind != "bool"], ids=str)
def test_arange_of_every_type(device: str, dtype: DType) -> None:
    same(pb.arange(3, 9, 2, dtype=dtype, device=device), np.array([3, 5, 7]), dtype)


def test_arange_takes_numpy_integers_as_integers(device: str) -> None:
    assert pb.arange(np.int64(3), device=device).dtype is pb.int64
    assert pb.arange(0, np.float32(1.0), 0.5, device=device).tolist() == [0.0, 0.5]


@pytest.mark.parametrize("num", [0, 1, 2, 5, 50])
@pytest.mark.parametrize("endpoint", [True, False])
def test_linspace_is_numpys(device: str, num: int, endpoint: bool) -> None:
    for ends in ((0.0, 1.0), (3, -2), (1.0, 1.0)):
        want = np.linspace(*ends, num, endpoint=endpoint)
        got = pb.linspace(*ends, num, endpoint=endpoint, device=device)
        same(got, want.astype(np.float32))
        same(pb.linspace(*ends, num, endpoint=endpoint, dtype=pb.float64, device=device), want)
        ints = np.linspace(*ends, num, endpoint=endpoint, dtype=int)
        same(pb.linspace(*ends, num, endpoint=endpoint, dtype=pb.int64, device=device), ints)


@pytest.mark.parametrize(("rows", "columns"), [(3, None), (2, 4), (4, 2), (0, 3), (1, 1)])
@pytest.mark.parametrize("k", [-5, -1, 0, 1, 5])
def test_eye_tril_and_triu(device: str, rows: int, columns: int | None, k: int) -> None:
    same(pb.eye(rows, columns, k=k, device=device), np.eye(rows, columns, k, np.float32))
    assert pb.eye(rows, columns, k=k, dtype=pb.bool, device=device).dtype is pb.bool
    for dtype in (pb.float32, pb.int8, pb.bool):
        x = sample((2, rows, rows if columns is None else columns), dtype)
        t = pb.asarray(x, device=device)
        same(pb.tril(t, k=k), np.tril(x, k), dtype)
        same(pb.triu(t, k=k), np.triu(x, k), dtype)


def test_triangles_hide_nan(device: str) -> None:
    x = pb.full((2, 2), math.nan, device=device)
    assert pb.tril(x, k=-2).tolist() == [[0.0, 0.0], [0.0, 0.0]]


# --- moving -------------------------------------------------------------------------------------


def test_to_device_and_back_keeps_bits_and_gradients(device: str) -> None:
    x = pb.asarray([1.0, -0.0, math.nan], device="numpy_ref", requires_grad=True)
    y = x.to_device(device)
    assert y.device == device
    same(y, x.numpy())
    pb.sum(y * 2).backward()
    assert x.grad is not None
    assert x.grad.device == "numpy_ref"
    assert x.grad.tolist() == [2.0] * 3
    assert pb.asarray(x, device=device).device == device
    with pytest.raises(pb.InvalidArgument, match="streams are not supported"):
        x.to_device(device, stream=1)


def test_the_default_device_is_where_new_tensors_go(device: str) -> None:
    with pb.default_device(device) as found:
        assert found == device
        assert pb.zeros(1).device == device
        assert pb.asarray([1]).device == device
        assert pb.arange(2).device == device
        assert pb.random.Generator(0).uniform(2).device == device


def test_diagonals_far_outside_are_empty(device: str) -> None:
    x = pb.ones((2, 3), device=device)
    for far in (10, 2**70):
        assert not pb.any(pb.eye(2, 3, k=far, device=device))
        assert not pb.any(pb.eye(2, 3, k=-far, device=device))
        assert not pb.any(pb.triu(x, k=far))
        assert not pb.any(pb.tril(x, k=-far))
        assert pb.all(pb.tril(x, k=far))
        assert pb.all(pb.triu(x, k=-far))


def test_linspace_of_complex_and_of_far_ends(device: str) -> None:
    got = pb.linspace(1j, 2.0, 5, device=device)
    close(got, np.linspace(1j, 2.0, 5), pb.complex64)
    with pytest.raises(pb.DTypeError, match="cannot hold complex"):
        pb.linspace(1j, 2.0, 5, dtype=pb.float32, device=device)
    far = pb.linspace(-1.5e308, 1.5e308, 3, dtype=pb.float64, device=device)
    assert far.tolist() == [-1.5e308, 0.0, 1.5e308]


@pytest.mark.parametrize("indexing", ["xy", "ij"])
@pytest.mark.parametrize("lengths", [(), (3,), (3, 2), (2, 0, 4), (2, 3, 1, 2)])
def test_meshgrid_is_numpys(device: str, lengths: tuple[int, ...], indexing: Any) -> None:
    axes = [np.arange(n) + 10 * k for k, n in enumerate(lengths)]
    got = pb.meshgrid(*(pb.asarray(a, device=device) for a in axes), indexing=indexing)
    want = np.meshgrid(*axes, indexing=indexing)
    assert type(got) is tuple
    assert len(got) == len(want)
    for mine, numpys in zip(got, want):
        same(mine, numpys)


def test_meshgrid_refuses_what_it_cannot_use() -> None:
    with pytest.raises(pb.ShapeError, match=r"\[meshgrid\] got shape \(2, 2\); want 1 axis"):
        pb.meshgrid(pb.ones((2, 2)))
    with pytest.raises(pb.InvalidArgument, match=r"\[meshgrid\] indexing='yx'; want 'xy' or 'ij'"):
        pb.meshgrid(pb.ones(2), indexing="yx")


def test_an_array_of_a_type_that_numpy_lacks_is_a_type_error(device):
    class Foreign:
        dtype = "bfloat16"

        def __array__(self, dtype: object = None, copy: object = None) -> object:
            raise TypeError("unsupported ScalarType BFloat16")

    with pytest.raises(pb.DTypeError, match=r"a Foreign of bfloat16.*convert it there"):
        pb.asarray(Foreign(), device=device)
