"""Softmax and layer normalisation: what is too large for conformance, and threads."""

from __future__ import annotations

import numpy as np
import pytest
from cpu_c_lab import get, layouts, new, open_device, put, put_strided, supported_isas

ISAS = supported_isas()


def softmax(device, source, x, axis, log):
    out = new(device, x.shape, x.dtype)
    device.softmax(out, source, axis, log)
    return get(device, out)


def wanted(x, axis, log):
    wide = x.astype(np.longdouble)
    below = wide - wide.max(axis, keepdims=True)
    total = np.exp(below).sum(axis, keepdims=True)
    return below - np.log(total) if log else np.exp(below) / total


@pytest.mark.parametrize("isa", ISAS)
def test_long_lanes_side_by_side(isa):
    """Parts with maxima of their own: rising, falling, and with infinities in some of them."""
    device = open_device(isa=isa)
    for dtype in (np.float32, np.float64):
        eps = np.finfo(dtype).eps
        x = np.random.default_rng(0).standard_normal((5000, 40)).astype(dtype) * 3
        x += np.linspace(-20, 20, 40, dtype=dtype) * np.linspace(0, 1, 5000, dtype=dtype)[:, None]
        x[:700, 3] = -np.inf
        x[4000:, 4] = -np.inf
        for order, step in layouts(2):
            source = put_strided(device, x, order, step)
            got = softmax(device, source, x, 0, False)
            np.testing.assert_allclose(got, wanted(x, 0, False), rtol=100 * eps, atol=1e-37)
            got = softmax(device, source, x, 0, True)
            np.testing.assert_allclose(got, wanted(x, 0, True), rtol=2 * eps, atol=150 * eps)
        x[1234, 7], x[17, 8], x[4999, 9], x[:, 10] = np.nan, np.inf, np.inf, -np.inf
        for log in (False, True):
            spoilt = np.isnan(softmax(device, put(device, x), x, 0, log))
            np.testing.assert_array_equal(spoilt.all(0), spoilt.any(0))
            assert np.flatnonzero(spoilt.all(0)).tolist() == [7, 8, 9, 10]


@pytest.mark.parametrize("shape", [(700, 300), (9, 33, 40), (40_000, 12), (3, 100_000)], ids=str)
def test_same_bits_for_any_number_of_threads(shape):
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    figures = (*shape[:-1], 1)
    results = []
    for threads in (1, 2, 3):
        device = open_device(threads=threads)
        source = put(device, x)
        mine = [softmax(device, source, x, axis, False) for axis in range(len(shape))]
        outs = [new(device, s, np.float32) for s in (shape, figures, figures)]
        device.layer_norm(*outs, source, source, None, 1e-5)
        mine += [get(device, out) for out in outs]
        results.append(b"".join(a.tobytes() for a in mine))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("n", [31, 64, 1500])
def test_softmax_of_lanes_near_and_far(n, isa):
    """A lane whose elements are all within reach of the fast exponential, and lanes of which some
    are masked, subnormal in the result, infinite or NaN of any kind."""
    rng = np.random.default_rng(n)
    x = rng.standard_normal((220, n)).astype(np.float32)
    x[1, ::3], x[2, ::5], x[3, 7], x[4] = -np.inf, -95, -1e9, np.linspace(0, -86.9, n)
    x[5, 11], x[6] = np.inf, -np.inf
    for row in range(20, 220):
        x[row, row % n] = np.uint32(rng.integers(0x7F800001, 0x7FFFFFFF)).view(np.float32)
    device = open_device(isa=isa)
    for log in (False, True):
        got = softmax(device, put(device, x), x, 1, log)
        assert np.isnan(got[[5, 6, *range(20, 220)]]).all()
        want = wanted(x[[*range(5), *range(7, 20)]], 1, log)
        np.testing.assert_allclose(got[[*range(5), *range(7, 20)]], want, rtol=2e-5, atol=1e-44)
