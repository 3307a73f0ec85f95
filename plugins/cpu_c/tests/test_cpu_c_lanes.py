"""Scans and places of extremes: every instruction set, every way to walk, long lanes, threads."""

from __future__ import annotations

import numpy as np
import pytest
from cpu_c_lab import get, layouts, new, open_device, put, put_strided, supported_isas

from polyback.scalar import MAX, MIN, PROD, SUM

ISAS = supported_isas()
SHAPES = [(1,), (7,), (3000,), (5, 300), (300, 5), (40, 33), (3, 70, 20), (2, 9, 1, 8)]


def numbers(dtype, shape, seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind in "iu":
        return rng.integers(0, 100, shape).astype(dtype)
    x = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * rng.standard_normal(shape)
    return x.astype(dtype)


def scanned(device, op, x, axis, source=None, target=None):
    out = target or new(device, x.shape, x.dtype)
    device.scan(op, out, source or put(device, x), axis)
    return get(device, out)


def placed(device, op, x, axis, source=None):
    shape = tuple(1 if a == axis else n for a, n in enumerate(x.shape))
    out = new(device, shape, np.int64)
    device.argreduce(op, out, source or put(device, x), axis)
    return get(device, out)


def check_running_sum(got, x, axis):
    wide = np.complex256 if x.dtype.kind == "c" else np.longdouble
    want = np.cumsum(x.astype(wide), axis)
    size = np.cumsum(abs(x).astype(np.longdouble), axis)
    n = np.arange(1, x.shape[axis] + 1).reshape([-1 if a == axis else 1 for a in range(x.ndim)])
    bound = np.minimum(n + 2, 8 + 2 * np.sqrt(n)) * np.finfo(x.dtype).eps / 2 * size
    assert (abs(got - want) <= bound).all()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_all_ways_to_walk(isa, shape):
    device = open_device(isa=isa)
    for dtype in (np.float32, np.float64, np.complex128, np.int32, np.uint8):
        x = numbers(dtype, shape)
        for axis in range(len(shape)):
            for k, (order, step) in enumerate(layouts(len(shape))):
                source = put_strided(device, x, order, step)
                target = put_strided(device, x, *layouts(len(shape))[(k * 5 + 2) % 6])
                got = scanned(device, SUM, x, axis, source, target)
                if x.dtype.kind in "iu":
                    np.testing.assert_array_equal(got, np.cumsum(x, axis, dtype=dtype))
                else:
                    check_running_sum(got, x, axis)
                if x.dtype.kind == "c":
                    continue
                got = scanned(device, MAX, x, axis, source, target)
                np.testing.assert_array_equal(got, np.maximum.accumulate(x, axis))
                got = placed(device, MIN, x, axis, source)
                np.testing.assert_array_equal(got, x.argmin(axis, keepdims=True))


@pytest.mark.parametrize("shape", [(400_000,), (3, 150_000), (150_000, 3), (70_000, 12)], ids=str)
def test_long_lanes_for_any_number_of_threads(shape):
    axis = int(np.argmax(shape))
    for dtype in (np.float32, np.float64, np.complex64, np.int64):
        x = numbers(dtype, shape)
        results = []
        for threads in (1, 2, 3):
            device = open_device(threads=threads)
            source = put(device, x)
            results.append(scanned(device, SUM, x, axis, source))
            if x.dtype.kind != "c":
                np.testing.assert_array_equal(
                    scanned(device, MIN, x, axis, source), np.minimum.accumulate(x, axis)
                )
                where = placed(device, MAX, x, axis, source)
                np.testing.assert_array_equal(where, x.argmax(axis, keepdims=True))
            device.free(source.buffer)
        assert results[0].tobytes() == results[1].tobytes() == results[2].tobytes()
        if x.dtype.kind == "i":
            np.testing.assert_array_equal(results[0], np.cumsum(x, axis))
        else:
            check_running_sum(results[0], x, axis)


@pytest.mark.parametrize("isa", ISAS)
def test_sums_that_always_round_one_way(isa):
    device = open_device(isa=isa)
    for dtype in (np.float32, np.float64):
        for n, terms in ((2_000_000, 1), (200_000, 4)):
            x = np.full((n, terms), 0.1, dtype)
            check_running_sum(scanned(device, SUM, x, 0), x, 0)
        x = np.full((4, 20_000), 2.0**-25, dtype)
        x[:, 0] = 1  # naive sums lose every later term
        check_running_sum(scanned(device, SUM, x, 1), x, 1)


def test_products_do_not_leave_the_range_on_the_way():
    device = open_device()
    for dtype, big in ((np.float32, 1e30), (np.float64, 1e300), (np.complex64, 1e30)):
        x = np.tile(np.array([big, 1 / big]), 100_000).astype(dtype)
        got = scanned(device, PROD, x, 0)
        want = np.where(np.arange(x.size) % 2, 1, big)
        np.testing.assert_allclose(got, want, rtol=x.size * np.finfo(dtype).eps)


def test_infinities_and_nan_stay_from_where_they_are():
    device = open_device()
    for dtype in (np.float32, np.float64, np.complex128):
        for n in (9, 5000, 300_000):
            x = np.ones(n, dtype)
            x[n // 2] = np.inf
            x[n - 2] = -np.inf
            with np.errstate(all="ignore"):
                want = np.cumsum(x)
            np.testing.assert_array_equal(scanned(device, SUM, x, 0), want)
            x[n // 3] = np.nan
            if dtype is not np.complex128:
                for op, numpy in ((MIN, np.minimum), (MAX, np.maximum)):
                    want = numpy.accumulate(x)
                    np.testing.assert_array_equal(scanned(device, op, x, 0), want)
    assert np.signbit(scanned(device, SUM, np.full(3, -0.0), 0)).all()


@pytest.mark.parametrize("isa", ISAS)
def test_first_place(isa):
    device = open_device(isa=isa)
    rng = np.random.default_rng(1)
    for dtype in (np.float32, np.float64, np.int8, np.uint16, np.int32, np.uint64):
        for shape in ((5000,), (300, 40), (40, 300), (200_000,)):
            x = rng.integers(0, 4, shape).astype(dtype)  # many equal
            if np.dtype(dtype).kind == "f":
                x[x == 1] = -0.0
                x[x == 2] = 0.0
            for axis in range(len(shape)):
                for op, numpy in ((MIN, np.argmin), (MAX, np.argmax)):
                    want = numpy(x, axis, keepdims=True)
                    np.testing.assert_array_equal(placed(device, op, x, axis), want)
                    if np.dtype(dtype).kind == "f":
                        y = np.where(rng.random(shape) < 2 / shape[axis], np.nan, x).astype(dtype)
                        want = numpy(y, axis, keepdims=True)
                        np.testing.assert_array_equal(placed(device, op, y, axis), want)
