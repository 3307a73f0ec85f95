"""A device without optional features, beside the reference: decompositions against definitions."""

from __future__ import annotations

from collections.abc import Callable

import ml_dtypes
import numpy as np

import polyback as pb
from polyback import array, structured
from polyback.dtype import DTYPES, DType

REFERENCE = "numpy_ref"
SPECIAL = [0.0, -0.0, np.nan, np.inf, -np.inf, 1.0, -1.0, 0.5, 3.0, -2.5]
DTYPES_BY_NAME = {d.name: d for d in DTYPES}
REAL = [d.name for d in DTYPES if d.kind != "complex"]
NUMERIC = [d.name for d in DTYPES if d.kind != "bool"]


def numbers(rng: np.random.Generator, dtype: DType, shape: tuple[int, ...]) -> np.ndarray:
    """Values with many repetitions and every special number of the type."""
    if dtype.kind == "bool":
        return rng.random(shape) < 0.5
    if dtype.is_integer:
        info = np.iinfo(dtype.numpy)
        pool = np.array([info.min, info.max, 0, 1, 2, 7, 100], dtype.numpy)
        return rng.choice(pool, shape)
    pool = np.array(SPECIAL)
    if dtype.kind == "complex":
        result = np.empty(shape, dtype.numpy)
        result.real, result.imag = rng.choice(pool, shape), rng.choice(pool, shape)
        return result + 0  # the sign of their zeros may be lost
    return rng.choice(pool, shape).astype(dtype.numpy)


def bits(x: np.ndarray) -> bytes:
    """The bytes, with one NaN for all NaN, whose sign and payload mean nothing."""
    if x.dtype == ml_dtypes.bfloat16:
        x = x.astype(np.float32)
    if x.dtype.kind == "c":
        return bits(np.stack([x.real, x.imag]))
    return np.where(np.isnan(x), np.nan, x).tobytes() if x.dtype.kind == "f" else x.tobytes()


def on(device: str, *values: np.ndarray) -> list[array.Array]:
    found = pb.get_device(device)
    return [array.from_numpy(found, v, DTYPES_BY_NAME[v.dtype.name]) for v in values]


def same_on_both(bare: str, run: object, *values: np.ndarray) -> None:
    got, want = (run(*on(d, *values)).numpy() for d in (bare, REFERENCE))
    assert got.dtype == want.dtype
    assert bits(got) == bits(want), f"{values}\n{got}\n{want}"


def scattered(axis: int, mode: structured.Mode) -> Callable[..., array.Array]:
    """A scatter that leaves its target alone."""

    def run(target: array.Array, index: array.Array, x: array.Array) -> array.Array:
        result = target.copy()
        structured.scatter(result, index, x, axis, mode)
        return result

    return run
