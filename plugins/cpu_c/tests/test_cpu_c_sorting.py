"""Sorting: every instruction set, lengths around every network, patterns, long lanes, threads."""

from __future__ import annotations

import numpy as np
import pytest
from cpu_c_lab import get, layouts, new, open_device, put, put_strided, supported_isas

ISAS = supported_isas()
LENGTHS = [*range(1, 70), 127, 128, 129, 255, 256, 257, 300, 513, 1000, 2049, 20_000]


def sorted_by(device, x, axis=-1, descending=False, source=None, target=None):
    out = target or new(device, x.shape, x.dtype)
    device.sort(out, source or put(device, x), axis % x.ndim, descending)
    return get(device, out)


def bits(x):
    return x.view(f"u{x.itemsize}")


def wanted(x, descending=False):
    """By the stable order of NumPy, NaN last."""
    nan = np.isnan(x) if x.dtype.kind == "f" else np.zeros(x.shape, bool)
    numbers, odd = x[~nan], x[nan]
    if descending:
        order = numbers.size - 1 - np.argsort(numbers[::-1], kind="stable")[::-1]
    else:
        order = np.argsort(numbers, kind="stable")
    return np.concatenate([numbers[order], odd])


def patterns(n, dtype, rng):
    """Kinds of input that quicksorts are known to stumble over."""
    info = np.finfo(dtype) if np.dtype(dtype).kind == "f" else np.iinfo(dtype)
    rising = np.arange(n)
    yield "random", (rng.standard_normal(n) * 1e4).astype(dtype)
    yield "rising", rising.astype(dtype)
    yield "falling", rising[::-1].astype(dtype)
    yield "equal", np.full(n, 7, dtype)
    yield "two", rng.choice(np.array([info.min, info.max], dtype), n)
    yield "few", rng.integers(0, 5, n).astype(dtype)
    yield "saw", (rising % 16).astype(dtype)
    yield "organ pipe", np.minimum(rising, n - rising).astype(dtype)
    yield "nearly", np.where(rng.random(n) < 0.01, 0, rising).astype(dtype)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8", "u4", "u8", "i2", "u1"])
def test_patterns_of_every_length(isa, dtype):
    device, rng = open_device(isa=isa), np.random.default_rng(1)
    for n in LENGTHS:
        with np.errstate(invalid="ignore"):
            for turn, (name, x) in enumerate(patterns(n, dtype, rng)):
                down = bool((turn + n) % 2)
                got = sorted_by(device, x, descending=down)
                assert (got == wanted(x, down)).all(), (n, name, down)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["f4", "f8", "f2"])
@pytest.mark.parametrize("n", [60, 1000, 300_000])
def test_zeros_and_nan_keep_their_bits(isa, dtype, n):
    """Also where a lane is cut for several threads."""
    rng = np.random.default_rng(2)
    x = np.round(rng.standard_normal(n) * 3).astype(dtype)
    x[rng.random(n) < 0.2] = -0.0
    odd = rng.random(n) < 0.1
    words = bits(x)
    quiet = bits(np.array([np.nan], dtype))[0]
    words[odd] = quiet | rng.integers(1, 99, odd.sum()).astype(words.dtype)
    for down in (False, True):
        want = bits(wanted(x, down))
        for threads in (1, 3):
            got = sorted_by(open_device(isa=isa, threads=threads), x, descending=down)
            np.testing.assert_array_equal(bits(got), want)


@pytest.mark.parametrize("isa", ISAS)
def test_all_ways_to_walk(isa):
    device, rng = open_device(isa=isa), np.random.default_rng(3)
    for shape in [(1,), (40, 33), (3, 70, 20), (2, 140_000)]:
        x = rng.standard_normal(shape).astype("f4")
        ways = layouts(len(shape))
        for axis in range(len(shape)):
            want = np.sort(x, axis)
            for k, (order, step) in enumerate(ways):
                source = put_strided(device, x, order, step)
                target = put_strided(device, np.zeros_like(x), *ways[(k * 5 + 2) % 6])
                got = sorted_by(device, x, axis, source=source, target=target)
                np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["f4", "i8"])
def test_long_lanes(isa, dtype):
    """Parts of very different sizes, and none at all."""
    device, rng = open_device(isa=isa, threads=3), np.random.default_rng(4)
    for name, x in patterns(1_100_003, dtype, rng):
        if name in ("random", "rising", "equal", "two", "few"):
            assert (sorted_by(device, x) == np.sort(x)).all(), name
