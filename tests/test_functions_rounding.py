"""Rounding, and the parts of numbers, on every device."""

from __future__ import annotations

import numpy as np
import pytest
from against_numpy import FLOATS, INTEGERS, same, sample, stored

import polyback as pb
from polyback.dtype import DType

HARD = [0.5, 1.5, 2.5, -0.5, -1.5, -0.0, 0.0, 0.49999997, 2.0**22 + 0.5, 2.0**30, np.nan, np.inf,
        -np.inf, -0.3]  # fmt: skip


def hard(dtype: DType) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.array(HARD).astype(dtype.numpy)


@pytest.mark.parametrize("name", ["floor", "ceil", "trunc", "round"])
def test_rounding_is_exact_and_keeps_the_sign_of_zero(device: str, name: str) -> None:
    for dtype in FLOATS:
        x = hard(dtype)
        got = getattr(pb, name)(pb.asarray(x, device=device))
        same(got, getattr(np, name)(x.astype(np.float64)), dtype)


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_integers_are_round_already(device: str, dtype: DType) -> None:
    x = sample((5,), dtype)
    t = pb.asarray(x, device=device)
    for f in (pb.floor, pb.ceil, pb.trunc, pb.round):
        same(f(t), x, dtype)
    assert not pb.any(pb.isnan(t)).item()
    assert not pb.any(pb.isinf(t)).item()
    assert pb.all(pb.isfinite(t)).item()


def test_bool_is_no_number(device: str) -> None:
    for f in (pb.floor, pb.isnan, pb.negative, pb.abs):
        with pytest.raises(pb.DTypeError, match="does not take bool"):
            f(pb.ones(2, dtype=pb.bool, device=device))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_classes_of_numbers(device: str, dtype: DType) -> None:
    x = hard(dtype)
    t, wide = pb.asarray(x, device=device), x.astype(np.float64)
    for name in ("isnan", "isinf", "isfinite"):
        same(getattr(pb, name)(t), getattr(np, name)(wide), pb.bool)
    number = ~np.isnan(wide)
    np.testing.assert_array_equal(pb.signbit(t).numpy()[number], np.signbit(wide)[number])


@pytest.mark.parametrize("dtype", [pb.float32, pb.float64], ids=str)
def test_signs_and_neighbours(device: str, dtype: DType) -> None:
    x = np.array([1.5, -0.0, np.inf, 0.0, -1.0], dtype.numpy)
    y = np.array([-1.0, 1.0, -0.0, np.inf, -np.inf], dtype.numpy)
    a, b = pb.asarray(x, device=device), pb.asarray(y, device=device)
    same(pb.copysign(a, b), np.copysign(x, y), dtype)
    same(pb.nextafter(a, b), np.nextafter(x, y), dtype)
    assert pb.sign(a).tolist() == [1.0, 0.0, 1.0, 0.0, -1.0]  # a zero may keep its sign
    same(pb.copysign(a, -1.0), -np.abs(x), dtype)


@pytest.mark.parametrize("dtype", [pb.complex64, pb.complex128], ids=str)
def test_parts_of_complex_numbers(device: str, dtype: DType) -> None:
    x = sample((2, 3), stored(device, dtype))
    real = pb.float32 if dtype is pb.complex64 else pb.float64
    t = pb.asarray(x, device=device)
    same(pb.real(t), x.real, real)
    same(pb.imag(t), x.imag, real)
    same(pb.conj(t), x.conj(), dtype)
    same(pb.round(t * 3), np.round(x * 3), dtype)


def test_parts_of_real_numbers(device: str) -> None:
    x = pb.ones(2, device=device)
    assert pb.real(x) is x
    assert pb.conj(x) is x
    with pytest.raises(pb.DTypeError, match=r"\[imag\] got float32; want a complex type"):
        pb.imag(x)


def test_rounding_is_constant_for_gradients(device: str) -> None:
    x = pb.asarray([1.3, 2.7], device=device)
    assert pb.grad(lambda x: pb.sum(pb.floor(x) * x))(x).tolist() == [1.0, 2.0]
