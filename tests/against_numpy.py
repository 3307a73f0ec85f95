"""Comparing tensors with NumPy: shape, type and numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import polyback as pb
from polyback.dtype import DTYPES, DType

REAL = [d for d in DTYPES if d.kind != "complex"]
FLOATS = [d for d in DTYPES if d.is_floating]
INTEGERS = [d for d in DTYPES if d.is_integer]


def stored(device: str, dtype: DType) -> DType:
    """``dtype``; the test is skipped where the device does not store it."""
    if dtype.name not in pb.get_device(device).caps.storage:
        pytest.skip(f"{device} does not store {dtype}")
    return dtype


def sample(shape: tuple[int, ...], dtype: Any = pb.float32, seed: int = 0) -> np.ndarray[Any, Any]:
    """Small numbers of mixed sign (bool: either), as a NumPy array."""
    rng = np.random.default_rng(seed)
    if dtype.kind == "bool":
        return rng.random(shape) < 0.5
    if dtype.is_integer:
        return rng.integers(0 if dtype.kind == "uint" else -9, 10, shape).astype(dtype.numpy)
    if dtype.kind == "complex":
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype.numpy)
    return rng.standard_normal(shape).astype(dtype.numpy)


def same(got: pb.Tensor, want: Any, dtype: DType | None = None) -> None:
    """Bit for bit, NaN being NaN, and the sign of zeros counts."""
    want = np.asarray(want)
    assert got.shape == want.shape
    assert got.dtype is (dtype or pb.asarray(want, device="numpy_ref").dtype)
    have, want = got.numpy(), want.astype(got.dtype.numpy)
    if got.dtype.is_floating:
        have, want = have.astype(np.float64), want.astype(np.float64)
        np.testing.assert_array_equal(np.signbit(have[have == 0]), np.signbit(want[want == 0]))
    np.testing.assert_array_equal(have, want)


def close(got: pb.Tensor, want: Any, dtype: DType | None = None, ulp: float = 16) -> None:
    """Within ``ulp`` units in the last place of the largest magnitude of ``want``."""
    want = np.asarray(want)
    assert got.shape == want.shape
    if dtype is not None:
        assert got.dtype is dtype
    if not got.dtype.is_floating and got.dtype.kind != "complex":
        return same(got, want, got.dtype)
    eps = {2: 2**-8 if got.dtype is pb.bfloat16 else 2**-10, 4: 2**-23, 8: 2**-52, 16: 2**-52}
    unit = eps[got.dtype.itemsize] if got.dtype is not pb.complex64 else 2**-23
    wide = np.complex128 if got.dtype.kind == "complex" else np.float64
    largest = np.max(np.abs(want[np.isfinite(want)]), initial=0.0)
    np.testing.assert_allclose(
        got.numpy().astype(wide), want.astype(wide), rtol=0, atol=float(ulp * unit * largest)
    )


def extreme(a: Any, b: Any, mode: str) -> Any:
    """The "min" or "max" of two: NaN before all numbers, -0 below +0."""
    if a != a or b != b:
        return a if a != a else b
    if a == b:
        return a if np.signbit(a) == (mode == "min") else b
    return max(a, b) if mode == "max" else min(a, b)
