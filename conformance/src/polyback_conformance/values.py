"""Numbers worth trying: special values, whole-range floats, near-ties, each row's own corners."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from polyback.dtype import DType
from polyback_conformance.compare import FORMATS

Array = np.ndarray[Any, np.dtype[Any]]

_TIES: Final = (0.5, 1.5, 2.5, 3.5, 4194303.5, 8388606.5, 0.49999997, 0.500000059604645)
_PLAIN: Final = (1.0, 2.0, 3.0, 10.0, 0.1, 0.25, 1 / 3, 7.0, 100.0, 65504.0, 1e10, 16777216.0,
                 math.pi, math.pi / 2, math.e, math.log(2))  # fmt: skip

# Intervals where a row's result is neither constant nor overflows, and where it is hard.
INTERVALS: Final[dict[str, tuple[tuple[float, float], ...]]] = {
    "exp": ((-104, 89), (-1, 1), (-746, 710)),
    "expm1": ((-20, 89), (-1, 1), (-1e-3, 1e-3)),
    "log": ((0.5, 2), (0.99, 1.01), (0, 1e3)),
    "log2": ((0.5, 2), (0.99, 1.01), (0, 1e3)),
    "log10": ((0.5, 2), (0.99, 1.01), (0, 1e3)),
    "log1p": ((-1, 2), (-1e-3, 1e-3), (0, 1e4)),
    "logaddexp": ((-5, 5), (-100, 100)),
    "sigmoid": ((-20, 20), (-110, 90), (-750, 40)),
    "tanh": ((-10, 10), (-0.1, 0.1)),
    "sinh": ((-90, 90), (-0.1, 0.1)),
    "cosh": ((-90, 90), (-0.1, 0.1)),
    "erf": ((-4, 4), (-0.1, 0.1)),
    "sin": ((-7, 7), (-1000, 1000), (-1e6, 1e6)),
    "cos": ((-7, 7), (-1000, 1000), (-1e6, 1e6)),
    "tan": ((-7, 7), (-1000, 1000), (-1e6, 1e6)),
    "asin": ((-1, 1), (0.99, 1), (-1e-3, 1e-3)),
    "acos": ((-1, 1), (0.99, 1), (-1, -0.99)),
    "atanh": ((-1, 1), (0.99, 1), (-1e-3, 1e-3)),
    "acosh": ((1, 2), (1, 1.001), (1, 1e4)),
    "asinh": ((-2, 2), (-1e4, 1e4)),
    "atan": ((-2, 2), (-100, 100)),
    "pow": ((0, 10), (0.9, 1.1)),
}


def special(dtype: DType) -> Array:
    """Every value of ``dtype`` that a kernel is likely to treat wrongly."""
    if dtype.kind == "bool":
        return np.array([False, True])
    if dtype.is_integer:
        return _special_integers(dtype)
    if dtype.kind == "complex":
        parts = np.array([0.0, -0.0, 1.0, -2.5, np.inf, -np.inf, np.nan], np.float64)
        grid = np.empty((parts.size, parts.size), np.complex128)
        grid.real, grid.imag = parts[:, None], parts[None, :]
        return grid.ravel().astype(dtype.numpy)
    return _special_floats(dtype)


def _special_integers(dtype: DType) -> Array:
    info = np.iinfo(dtype.numpy)
    bits = dtype.itemsize * 8
    near = {0, 1, 2, 3, 5, 7, 8, 100, info.max, info.max - 1, info.max // 2, info.max // 2 + 1}
    near |= {2 ** (bits // 2), 2 ** (bits // 2) - 1}
    if dtype.kind == "int":
        near |= {-n for n in near} | {info.min, info.min + 1}
    return np.array(sorted(n for n in near if info.min <= n <= info.max), dtype.numpy)


def _special_floats(dtype: DType) -> Array:
    kind = dtype.numpy
    bits = np.dtype(f"u{dtype.itemsize}")
    # Found through the bits, so that bfloat16 needs no tables of its own.
    infinity = np.array(np.inf, kind).view(bits).item()
    fraction = (infinity & -infinity) - 1  # all fraction bits set
    corners = [1, 2, fraction, fraction + 1, fraction + 2, infinity - 1]
    small_and_large = np.array(corners, bits).view(kind)
    with np.errstate(all="ignore"):
        plain = np.array([0.0, *_PLAIN, *_TIES, 1e300, 1e30, 1e-30, 88.72, 709.7], np.float64)
        one = np.array([1.0], kind).view(bits)
        beside_one = np.concatenate([one - 1, one + 1]).view(kind)
        positive = np.concatenate([small_and_large, plain.astype(kind), beside_one])
        both = np.concatenate([positive, -positive])
        return np.concatenate([both, np.array([np.inf, -np.inf, np.nan, -np.nan], kind)])


def random(dtype: DType, rng: np.random.Generator, n: int) -> Array:
    """``n`` values: a third over the whole range, the rest of ordinary size."""
    if dtype.kind == "bool":
        return rng.integers(0, 2, n).astype(bool)
    if dtype.is_integer:
        info = np.iinfo(dtype.numpy)
        whole = rng.integers(info.min, info.max, n, dtype.numpy, endpoint=True)
        low = max(info.min, -20)
        return np.where(np.arange(n) % 3 == 0, whole, rng.integers(low, 21, n).astype(dtype.numpy))
    if dtype.kind == "complex":
        size = 2.0 ** rng.uniform(-4, 4, n)
        return (size * np.exp(1j * rng.uniform(-np.pi, np.pi, n))).astype(dtype.numpy)
    with np.errstate(all="ignore"):
        whole = log_uniform(dtype, rng, n)
        ordinary = np.where(rng.random(n) < 0.5, rng.normal(0, 2, n), rng.uniform(-30, 30, n))
        return np.where(np.arange(n) % 3 == 0, whole, ordinary.astype(dtype.numpy))


def log_uniform(dtype: DType, rng: np.random.Generator, n: int) -> Array:
    """Floats with every exponent equally likely, subnormals included: uniform bits below inf."""
    bits = np.dtype(f"u{dtype.itemsize}")
    infinity = np.array(np.inf, dtype.numpy).view(bits).item()
    magnitude = rng.integers(0, infinity, n, bits)
    sign = rng.integers(0, 2, n).astype(bits) << bits.type(dtype.itemsize * 8 - 1)
    return (magnitude | sign).view(dtype.numpy)


def smooth(dtype: DType, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Values of ordinary size without NaN or infinities, for layout cases: any wrong element read
    gives a wrong result."""
    if dtype.is_floating:
        return rng.normal(0, 2, shape).astype(dtype.numpy)
    n = math.prod(shape)
    return random(dtype, rng, n).reshape(shape)


def interesting(row: str, dtype: DType, rng: np.random.Generator, n: int) -> Array:
    """``n`` floats from the row's own intervals."""
    intervals = INTERVALS.get(row, ((-4, 4), (-100, 100)))
    pieces = [rng.uniform(low, high, n // len(intervals) + 1) for low, high in intervals]
    with np.errstate(all="ignore"):
        return np.concatenate(pieces)[:n].astype(dtype.numpy)


def hard_sums(dtype: DType, rng: np.random.Generator, n: int) -> Iterator[tuple[str, Array]]:
    """Terms that naive, or narrow, accumulation adds up badly."""
    form = FORMATS[dtype.name]
    plain = rng.uniform(0.5, 1.5, n)
    yield "near constant", np.full(n, 0.1)
    yield "positive", plain
    yield "alternating", np.where(np.arange(n) % 2 == 0, 1.0, -1.0) * (1 + 1e-3 * plain)
    yield "cancelling", np.concatenate([plain[: n // 2], -plain[: n - n // 2]])
    yield "one large first", np.concatenate([[2.0**form.digits], plain[1:]])
    yield "large pair", np.concatenate([[1e7], plain[2:], [-1e7]])[:n]
    yield "many sizes", rng.normal(0, 1, n) * 2.0 ** rng.uniform(-20, 20, n)
    # Just under half a unit of the largest partial sums is lost at each step of one long chain.
    last_unit = 2.0 ** (np.ceil(np.log2(max(n, 2))) - form.digits)
    yield "always rounding down", np.full(n, 1 + last_unit * 0.499)
