"""Reductions on every device: types, axes, NaN, empty axes, and how well they add up."""

from __future__ import annotations

import numpy as np
import pytest
from against_numpy import FLOATS, INTEGERS, REAL, close, same, sample, stored

import polyback as pb
from polyback.dtype import DType

SHAPES = [(), (5,), (3, 4), (2, 1, 3)]
AXES = [None, 0, -1, (0, -1), ()]


def axes_of(shape: tuple[int, ...], axis: object) -> bool:
    """Does ``axis`` make sense for ``shape``?"""
    return len(shape) >= (2 if axis == (0, -1) else 1 if axis in (0, -1) else 0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("name", ["sum", "prod", "max", "min", "mean", "var", "std"])
def test_reductions_agree_with_numpy(
    device: str, shape: tuple[int, ...], axis: object, keepdims: bool, name: str
) -> None:
    if not axes_of(shape, axis):
        return
    x = sample(shape, pb.float64)
    t = pb.asarray(x, device=device)
    got = getattr(pb, name)(t, axis=axis, keepdims=keepdims)
    want = getattr(np, name)(x, axis=axis, keepdims=keepdims)
    close(got, want, pb.float64, ulp=64)
    if shape:
        strided = getattr(pb, name)(t[::-1], axis=axis, keepdims=keepdims)
        close(strided, getattr(np, name)(x[::-1], axis=axis, keepdims=keepdims), ulp=64)


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("name", ["any", "all", "count_nonzero"])
def test_logical_reductions_and_counts(
    device: str, axis: object, keepdims: bool, name: str
) -> None:
    for dtype in (pb.bool, pb.int8, pb.float32):
        x = sample((3, 4), dtype)
        x[0] = 0
        got = getattr(pb, name)(pb.asarray(x, device=device), axis=axis, keepdims=keepdims)
        wide = x.astype(bool)
        if name == "count_nonzero":
            same(got, wide.sum(axis=axis, keepdims=keepdims), pb.int64)
        else:
            same(got, getattr(wide, name)(axis=axis, keepdims=keepdims), pb.bool)
    assert pb.any(pb.asarray([0.0, np.nan], device=device)).item() is True


@pytest.mark.parametrize("dtype", [*INTEGERS, pb.bool], ids=str)
def test_sums_and_products_of_integers_widen_to_64_bits(device: str, dtype: DType) -> None:
    x = np.full(3, 1 if dtype is pb.bool else 100, dtype.numpy)
    wide = pb.uint64 if dtype.kind == "uint" else pb.int64
    t = pb.asarray(x, device=device)
    same(pb.sum(t), x.astype(wide.numpy).sum(), wide)
    same(pb.prod(t), x.astype(wide.numpy).prod(), wide)
    assert pb.sum(t, dtype=pb.int32).dtype is pb.int32
    assert pb.max(t).dtype is dtype if dtype is not pb.bool else True


def test_sums_of_64_bit_integers_wrap(device: str) -> None:
    x = pb.asarray([2**63 - 1, 1, 5], device=device)
    assert pb.sum(x).item() == -(2**63) + 5


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_floating_reductions_keep_their_type(device: str, dtype: DType) -> None:
    x = pb.asarray([1.0, 2.0, 6.0], dtype=dtype, device=device)
    for f, want in ((pb.sum, 9.0), (pb.prod, 12.0), (pb.max, 6.0), (pb.min, 1.0), (pb.mean, 3.0)):
        got = f(x)
        assert (got.dtype, got.item()) == (dtype, want)
    assert pb.mean(pb.asarray([1, 2], device=device)).dtype is pb.float32


@pytest.mark.parametrize("dtype", [pb.float16, pb.bfloat16], ids=str)
def test_half_types_add_up_in_float32(device: str, dtype: DType) -> None:
    x = pb.ones(100_000, dtype=dtype, device=device)
    assert pb.mean(x).item() == 1.0  # the sum alone is beyond float16
    assert pb.var(x * 300.0).item() == 0.0
    assert pb.std(pb.asarray([300.0, -300.0], dtype=dtype, device=device)).item() == 300.0
    top = pb.logsumexp(pb.zeros(70_000, dtype=dtype, device=device))
    assert abs(top.item() - np.log(70_000)) < 0.05
    assert pb.sum(pb.ones(4096, dtype=dtype, device=device)).item() == 4096.0


@pytest.mark.parametrize("dtype", [pb.complex64, pb.complex128], ids=str)
def test_complex_reductions(device: str, dtype: DType) -> None:
    x = sample((3, 4), stored(device, dtype))
    t = pb.asarray(x, device=device)
    close(pb.sum(t, axis=0), x.sum(0), dtype)
    close(pb.prod(t), x.prod(), dtype, ulp=64)
    close(pb.mean(t), x.mean(), dtype)
    real = pb.float32 if dtype is pb.complex64 else pb.float64
    close(pb.var(t, axis=1), x.var(1), real)
    with pytest.raises(pb.DTypeError, match=r"\[max\] does not take complex"):
        pb.max(t)


@pytest.mark.parametrize("correction", [0, 1, 0.5, 2])
def test_variance_with_a_correction(device: str, correction: float) -> None:
    x = sample((6, 2), pb.float64)
    t = pb.asarray(x, device=device)
    close(pb.var(t, axis=0, correction=correction), np.var(x, 0, ddof=correction), ulp=64)
    close(pb.std(t, axis=0, correction=correction), np.std(x, 0, ddof=correction), ulp=64)


def test_variance_with_no_freedom_left_is_not_finite(device: str) -> None:
    assert np.isnan(pb.var(pb.asarray([1.0], device=device), correction=1).item())
    assert np.isnan(pb.var(pb.asarray([1.0, 2.0], device=device), correction=2).item())
    assert np.isnan(pb.std(pb.asarray([1.0, 2.0], device=device), correction=2.5).item())


# --- NaN, and ties ------------------------------------------------------------------------------

NANS = [[1.0, np.nan, 3.0], [np.nan, np.nan, 0.0], [2.0, 2.0, 1.0], [-np.inf, np.inf, 0.0]]


@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("keepdims", [False, True])
def test_nan_wins_in_extremes_and_their_positions(
    device: str, axis: int | None, keepdims: bool
) -> None:
    x = np.array(NANS, np.float32)
    t = pb.asarray(x, device=device)
    for name in ("max", "min", "argmax", "argmin"):
        got = getattr(pb, name)(t, axis=axis, keepdims=keepdims)
        same(got, getattr(np, name)(x, axis=axis, keepdims=keepdims))
    assert pb.argmax(t).dtype is pb.int64


@pytest.mark.parametrize("dtype", [d for d in REAL if d is not pb.bool], ids=str)
def test_positions_of_extremes_are_the_first_ones(device: str, dtype: DType) -> None:
    x = np.array([[3, 1, 3, 1], [0, 0, 5, 5]], dtype.numpy)
    t = pb.asarray(x, device=device)
    assert pb.argmax(t, axis=1).tolist() == [0, 2]
    assert pb.argmin(t, axis=-1).tolist() == [1, 0]
    assert pb.argmax(t, axis=0, keepdims=True).tolist() == [[0, 0, 1, 1]]
    assert pb.argmin(t).item() == 4
    assert pb.argmax(pb.asarray(7, dtype=dtype, device=device)).item() == 0
    assert pb.argmax(t, keepdims=True).shape == (1, 1)
    assert t.argmax(1).tolist() == [0, 2]


# --- empty axes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "axis"), [((0,), None), ((0, 3), 0), ((2, 0), -1), ((2, 0), 0)])
def test_reducing_nothing_gives_the_identity(
    device: str, shape: tuple[int, ...], axis: int | None
) -> None:
    x = np.zeros(shape, np.float32)
    t = pb.asarray(x, device=device)
    for name in ("sum", "prod"):
        same(getattr(pb, name)(t, axis=axis), getattr(np, name)(x, axis=axis))
    same(pb.any(t, axis=axis), x.any(axis=axis))
    same(pb.all(t, axis=axis), x.all(axis=axis))
    mean = pb.mean(t, axis=axis)
    assert mean.shape == x.sum(axis=axis).shape
    assert np.isnan(mean.numpy()).all()


@pytest.mark.parametrize("name", ["max", "min", "argmax", "argmin"])
def test_an_extreme_of_nothing_is_an_error_unless_there_is_nothing_to_say(
    device: str, name: str
) -> None:
    f = getattr(pb, name)
    t = pb.zeros((2, 0), device=device)
    with pytest.raises(pb.InvalidArgument, match=rf"\[{name}\] shape \(2, 0\) has nothing to"):
        f(t, axis=1)
    assert f(t, axis=0).shape == (0,)


# --- accuracy -----------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1000, 100_003])
def test_sums_keep_the_error_bound_where_terms_cancel(device: str, n: int) -> None:
    x = np.random.default_rng(n).standard_normal(n).astype(np.float32)
    bound = min(n + 2, 8 + 2 * np.sqrt(n)) * 2**-24 * np.abs(x).sum(dtype=np.float64)
    assert abs(pb.sum(pb.asarray(x, device=device)).item() - x.sum(dtype=np.float64)) <= bound
    wide = np.broadcast_to(np.float32(0.1), (n,))
    got = pb.sum(pb.broadcast_to(pb.asarray(0.1, device=device), (n,))).item()
    assert abs(got - wide.sum(dtype=np.float64)) <= bound


def test_logsumexp_neither_overflows_nor_loses_infinities(device: str) -> None:
    inf = np.inf
    x = pb.asarray([[1000.0, 1000.0], [-1000.0, -inf], [-inf, -inf], [inf, 0.0]], device=device)
    got = pb.logsumexp(x, axis=1)
    np.testing.assert_allclose(got.numpy(), [1000 + np.log(2), -1000, -inf, inf], rtol=1e-6)
    assert pb.logsumexp(x, axis=1, keepdims=True).shape == (4, 1)
    assert np.isnan(pb.logsumexp(pb.asarray([np.nan, 1.0], device=device)).item())
    ints = pb.logsumexp(pb.asarray([0, 0], device=device))
    np.testing.assert_allclose(ints.item(), np.log(2), rtol=1e-6)
    small = pb.asarray(sample((3, 4), pb.float64), device=device)
    pb.testing.check_grad(lambda x: pb.logsumexp(x, axis=1), small)


@pytest.mark.parametrize("f", [pb.sum, pb.mean, pb.var, pb.std, pb.prod, pb.max, pb.min])
@pytest.mark.parametrize("axis", [None, 1, (0, 2)])
def test_gradients_of_reductions(device: str, f: object, axis: object) -> None:
    x = pb.asarray(np.random.default_rng(0).permutation(12.0 + np.arange(12)).reshape(2, 3, 2) / 9)
    x = pb.asarray(x, dtype=pb.float64, device=device)
    pb.testing.check_grad(lambda x: f(x * x, axis=axis), x)


def test_the_gradient_of_no_deviation_is_zero(device: str) -> None:
    x = pb.asarray([[2.0, 2.0], [1.0, 3.0]], device=device, requires_grad=True)
    pb.sum(pb.std(x, axis=1)).backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[0.0, 0.0], [-0.5, 0.5]]
