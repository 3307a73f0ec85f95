"""Running reductions, places of extremes, softmax and layer norm on a device without features."""

from __future__ import annotations

import numpy as np
import pytest
from bare_device import DTYPES_BY_NAME, REAL, SPECIAL, numbers, on, same_on_both

from polyback import structured
from polyback.scalar import MAX, MIN, PROD, SUM

SHAPES = ((1,), (2,), (7,), (8,), (3, 5), (5, 1, 4), (2, 3, 4), (0,), (3, 0), (0, 2, 3))
FULL = ("int8", "int32", "int64", "uint8", "uint64", "float32", "float64")


def close(got: np.ndarray, want: np.ndarray, ulp: float) -> None:
    """Within ``ulp`` units of the largest number; NaN and infinities alike."""
    assert got.dtype == want.dtype
    size = np.max(np.abs(want[np.isfinite(want)]), initial=0)
    np.testing.assert_allclose(got, want, rtol=0, atol=ulp * np.finfo(want.dtype).eps * size)


@pytest.mark.parametrize("op", [SUM, PROD, MIN, MAX], ids=str)
@pytest.mark.parametrize("name", [*FULL, "float16", "bfloat16", "complex64"])
def test_scan(bare: str, name: str, op: object) -> None:
    dtype = DTYPES_BY_NAME[name]
    if dtype.kind == "complex" and op in (MIN, MAX):
        return
    rng = np.random.default_rng(0)
    for shape in SHAPES:
        whole = rng.integers(1, 4, shape).astype(dtype.numpy)  # exact in every order
        if dtype.is_integer:
            whole = numbers(rng, dtype, shape)  # wraps
        for axis in range(len(shape)):
            same_on_both(bare, lambda x, a=axis: structured.scan(op, x, a), whole)
            flipped = np.flip(whole, axis)
            same_on_both(bare, lambda x, a=axis: structured.scan(op, x, a), flipped)


@pytest.mark.parametrize("op", [SUM, PROD, MIN, MAX], ids=str)
def test_scan_of_special_numbers(bare: str, op: object) -> None:
    rng = np.random.default_rng(1)
    x = np.abs(rng.choice(SPECIAL, (40, 9)))  # one sign of zero: the other is left open
    x[x == 3.0], x[x == 2.5] = 2.0, 4.0
    same_on_both(bare, lambda x: structured.scan(op, x, 1), x)


def test_a_long_scan_is_accurate(bare: str) -> None:
    x = np.random.default_rng(2).uniform(0, 1, 3000).astype(np.float32)
    got = structured.scan(SUM, *on(bare, x), 0).numpy()
    want = np.cumsum(x.astype(np.float64))
    assert np.max(np.abs(got - want) / want) < 12 * 2.0**-24


@pytest.mark.parametrize("op", [MIN, MAX], ids=str)
@pytest.mark.parametrize("name", [n for n in REAL if n != "bool"])
def test_argreduce(bare: str, name: str, op: object) -> None:
    rng = np.random.default_rng(3)
    for shape in SHAPES:
        for axis in (a for a, n in enumerate(shape) if n):
            for _ in range(3):
                x = numbers(rng, DTYPES_BY_NAME[name], shape)
                same_on_both(bare, lambda x, a=axis: structured.argreduce(op, x, a), x)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_softmax(bare: str, kind: type, log: bool) -> None:
    rng = np.random.default_rng(4)
    for shape in SHAPES:
        for axis in (a for a, n in enumerate(shape) if n):
            for scale in (1, 100):
                x = (scale * rng.normal(size=shape)).astype(kind)
                got, want = (structured.softmax(*on(d, x), axis, log) for d in (bare, "numpy_ref"))
                close(got.numpy(), want.numpy(), 8)
    odd = np.array([[np.nan, 1], [np.inf, 1], [-np.inf, 1], [-np.inf, -np.inf], [1e30, 0]], kind)
    got, want = (structured.softmax(*on(d, odd), 1, log).numpy() for d in (bare, "numpy_ref"))
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("given", ["", "w", "b", "wb"])
def test_layer_norm(bare: str, kind: type, given: str) -> None:
    rng = np.random.default_rng(5)
    for shape in (s for s in SHAPES if s[-1]):
        x = (rng.normal(size=shape) + 3).astype(kind)
        row, shift = (rng.normal(size=shape[-1:]).astype(kind) for _ in range(2))
        found = []
        for d in (bare, "numpy_ref"):
            weight, bias = (
                on(d, a)[0] if n in given else None for n, a in (("w", row), ("b", shift))
            )
            found.append(structured.layer_norm(*on(d, x), weight, bias, 1e-3))
        for got, want in zip(*found, strict=True):
            assert got.shape == want.shape
            close(got.numpy(), want.numpy(), 64)


def test_half_types_are_computed_wide(bare: str) -> None:
    x = np.random.default_rng(6).normal(size=(3, 50)).astype(np.float16)
    for d in (bare, "numpy_ref"):
        (a,) = on(d, x)
        total = structured.scan(SUM, a, 1).numpy()
        want = np.cumsum(x.astype(np.float32), 1)
        assert total.dtype == np.float16
        assert np.max(np.abs(total - want)) <= 2.0**-9 * np.max(np.abs(want))
        y, mean, _ = structured.layer_norm(a, None, None, 1e-5)
        assert (y.dtype.name, mean.dtype.name) == ("float16", "float32")
        assert structured.softmax(a, 1, False).dtype.name == "float16"
