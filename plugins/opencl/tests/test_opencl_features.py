"""Optional features with the kernels of a CPU and of a GPU, at the sizes where launches change:
chunks of long lanes, many lanes side by side, rows that do not fit a team, sums in parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from opencl_lab import available, blank, get, open_as_gpu, open_device, put

from polyback import scalar
from polyback.features import Window
from polyback.view import View

pytestmark = pytest.mark.skipif(not available(), reason="no OpenCL device")
LANES = [((100_003,), 0), ((3, 40_001), 1), ((40_001, 3), 0), ((50, 9000), 0), ((5, 70, 130), 1)]


@pytest.fixture(params=["cpu", "gpu"])
def device(request):
    opened = open_device() if request.param == "cpu" else open_as_gpu()
    yield opened
    opened.close()


@pytest.mark.parametrize(("shape", "axis"), LANES)
def test_scan(device, shape, axis):
    a = np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)
    x, out = put(device, a), blank(device, shape, "float32")
    device.scan(scalar.SUM, out, x, axis)
    want, size = (np.cumsum(b.astype(np.float64), axis) for b in (a, np.abs(a)))
    terms = np.expand_dims(np.arange(1, shape[axis] + 1), [k for k in range(a.ndim) if k != axis])
    limit = np.minimum(terms + 2, 8 + 2 * np.sqrt(terms)) * 2.0**-24 * size
    assert np.all(np.abs(get(device, out) - want) <= limit)
    device.scan(scalar.MAX, out, x, axis)
    np.testing.assert_array_equal(get(device, out), np.maximum.accumulate(a, axis))


@pytest.mark.parametrize(("shape", "axis"), LANES)
def test_argreduce(device, shape, axis):
    a = np.random.default_rng(2).integers(0, 2000, shape).astype(np.float32)
    out = blank(device, (*shape[:axis], 1, *shape[axis + 1 :]), "int64")
    for op, place in ((scalar.MIN, np.argmin), (scalar.MAX, np.argmax)):
        device.argreduce(op, out, put(device, a), axis)
        np.testing.assert_array_equal(get(device, out), place(a, axis, keepdims=True))


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(("shape", "axis"), LANES)
def test_softmax(device, shape, axis, log):
    a = np.random.default_rng(3).normal(0, 5, shape).astype(np.float32)
    a.reshape(-1)[:7] = -np.inf
    out = blank(device, shape, "float32")
    device.softmax(out, put(device, a), axis, log)
    shifted = a.astype(np.float64) - a.max(axis, keepdims=True)
    want = shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))
    want, atol = (want, 1e-5) if log else (np.exp(want), 0)
    np.testing.assert_allclose(get(device, out), want, rtol=2e-5, atol=atol)


@pytest.mark.parametrize("shape", [(3, 40_001), (300, 128), (2, 9000, 3)])
def test_layer_norm(device, shape):
    rng = np.random.default_rng(4)
    a, w = rng.normal(3, 2, shape).astype(np.float32), rng.normal(1, 1, shape[-1:])
    x, weight = put(device, a), put(device, w.astype(np.float32))
    weight = replace(weight, view=View(shape, (*[0] * (a.ndim - 1), 1), 0))
    out = blank(device, shape, "float32")
    mean, scale = (blank(device, (*shape[:-1], 1), "float32") for _ in range(2))
    wide = a.astype(np.float64)
    want_mean = wide.mean(-1, keepdims=True)
    want_scale = 1 / np.sqrt(wide.var(-1, keepdims=True) + 1e-5)
    for given, factor in ((None, 1), (weight, w)):
        device.layer_norm(out, mean, scale, x, given, None, 1e-5)
        np.testing.assert_allclose(get(device, mean), want_mean, rtol=1e-5)
        np.testing.assert_allclose(get(device, scale), want_scale, rtol=1e-5)
        want = (wide - want_mean) * want_scale * factor
        limit = 1e-5 * np.abs(want) + 1e-5 * (1 + want_scale) * np.abs(factor)
        assert np.all(np.abs(get(device, out) - want) <= limit)


def windows(a, w, window, groups):
    """conv2d by its definition, in float64."""
    (sh, sw), (ph, pw), (dh, dw) = window.stride, window.padding, window.dilation
    (n, _, h, wd), (o, each, p, q) = a.shape, w.shape
    i = (h + 2 * ph - dh * (p - 1) - 1) // sh + 1
    j = (wd + 2 * pw - dw * (q - 1) - 1) // sw + 1
    padded = np.pad(a.astype(np.float64), ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    taps = np.stack([
        padded[:, :, r * dh : r * dh + sh * i : sh, s * dw : s * dw + sw * j : sw][:, :, :i, :j]
        for r in range(p) for s in range(q)
    ], 2).reshape(n, groups, each, p * q, i, j)  # fmt: skip
    weights = w.astype(np.float64).reshape(groups, o // groups, each, p * q)
    return np.einsum("ngctij,goct->ngoij", taps, weights).reshape(n, o, i, j)


CONVOLUTIONS = [
    ((2, 20, 30, 33), (72, 20, 3, 3), Window((1, 1), (1, 1)), 1),
    ((1, 3, 40, 41), (16, 3, 7, 5), Window((2, 3), (3, 2)), 1),
    ((1, 130, 5, 6), (9, 130, 3, 3), Window((1, 1), (1, 1)), 1),  # few tiles of long sums
    ((3, 10, 12, 12), (20, 5, 3, 3), Window((2, 1), (1, 2), (1, 2)), 2),
    ((2, 40, 17, 18), (40, 1, 3, 3), Window((1, 2), (1, 1)), 40),
]


@pytest.mark.parametrize(("image", "weights", "window", "groups"), CONVOLUTIONS)
def test_convolution(device, image, weights, window, groups):
    """Forward by definition; both gradients by their inner products with it."""
    rng = np.random.default_rng(5)
    a, w = (rng.normal(0, 1, s).astype(np.float32) for s in (image, weights))
    want = windows(a, w, window, groups)
    x, k, out = put(device, a), put(device, w), blank(device, want.shape, "float32")
    device.conv2d(out, x, k, window, groups)
    np.testing.assert_allclose(get(device, out), want, rtol=1e-3, atol=2e-3)
    g = rng.normal(0, 1, want.shape).astype(np.float32)
    for name, given, other, moved in (
        ("conv2d_input", [put(device, g), k], a, lambda v: windows(v, w, window, groups)),
        ("conv2d_weight", [x, put(device, g)], w, lambda v: windows(a, v, window, groups)),
    ):
        result = blank(device, other.shape, "float32")
        getattr(device, name)(result, *given, window, groups)
        for _ in range(3):
            v = rng.normal(0, 1, other.shape)
            got, exact = np.vdot(get(device, result), v), np.vdot(g, moved(v))
            assert abs(got - exact) <= 1e-4 * np.abs(g).sum()


@pytest.mark.parametrize("name", ["conv2d", "conv2d_input", "conv2d_weight"])
def test_infinities_beside_the_image(device, name):
    """They are no terms: a window of one element in a corner sees a single element."""
    shapes = {"x": (1, 8, 4, 4), "w": (8, 8, 3, 3), "g": (1, 8, 4, 4)}
    operands = {key: put(device, np.ones(s, np.float32)) for key, s in shapes.items()}
    ones = {key: np.ones(s, np.float32) for key, s in shapes.items()}
    window = Window((1, 1), (1, 1))
    if name == "conv2d_weight":  # the result's first element meets no first row or column of w
        ones["g"][0, 0, 0, 0] = np.inf
        names, spoilt, clean = ("w", "x", "g"), (0, 0, 1, 1), (0, 0, 0, 0)
    else:  # the first weight meets no element of the image for the first (last) result
        ones["w"][0, 0, 0, 0] = np.inf
        forward = name == "conv2d"
        names = ("g", "x", "w") if forward else ("x", "g", "w")
        spoilt, clean = ((0, 0, 1, 1), (0, 0, 0, 0)) if forward else ((0, 0, 0, 0), (0, 0, 3, 3))
    operands |= {key: put(device, value) for key, value in ones.items()}
    out, *given = (operands[key] for key in names)
    getattr(device, name)(out, *given, window, 1)
    got = get(device, out)
    assert got[spoilt] == np.inf
    assert np.isfinite(got[clean])
