"""Convolutions and pooling of sizes that conformance has no time for: every cut into tasks, each
instruction set, layouts, any number of threads."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from cpu_c_lab import get, open_device, put, put_strided, sum_bound, supported_isas

from polyback.features import Window
from polyback.scalar import MAX, SUM

ISAS = supported_isas()
CHANNELS_LAST = (0, 2, 3, 1)
CASES = {
    "rows of one image": ((1, 5, 90, 41), (7, 5, 3, 3), Window((1, 1), (1, 1)), 1),
    "several images": ((40, 9, 7, 7), (37, 9, 3, 3), Window((1, 1), (1, 1)), 1),
    "many outputs": ((3, 40, 6, 6), (300, 40, 3, 3), Window((1, 1), (1, 1)), 1),
    "many channels": ((2, 300, 9, 9), (20, 300, 3, 3), Window((1, 1), (1, 1)), 1),
    "strides": ((4, 6, 61, 33), (16, 6, 5, 3), Window((2, 3), (2, 0), (2, 1)), 1),
    "patches": ((5, 3, 32, 32), (24, 3, 8, 8), Window((8, 8)), 1),
    "groups": ((6, 24, 20, 20), (36, 6, 3, 3), Window((1, 1), (1, 1)), 4),
    "depthwise": ((4, 70, 30, 30), (140, 1, 3, 3), Window((1, 2), (1, 1)), 70),
    "one lane a channel": ((4, 70, 30, 30), (70, 1, 3, 3), Window((1, 1), (1, 1)), 70),
    "lanes in steps": ((2, 33, 41, 23), (33, 1, 5, 3), Window((2, 3), (2, 4), (2, 3)), 33),
    "many taps": ((2, 19, 12, 12), (19, 1, 9, 9), Window((1, 1), (4, 4)), 19),
    "one tap": ((6, 40, 14, 14), (50, 40, 1, 1), Window(), 1),
    "few outputs": ((3, 64, 20, 20), (2, 64, 3, 3), Window((1, 1), (1, 1)), 1),
}


def shifts(x_shape, w_shape, window, result):
    """For each tap: (p, q), slices of x, slices of the result."""
    for p in range(w_shape[2]):
        for q in range(w_shape[3]):
            ours, theirs = [], []
            for axis, tap in ((0, p), (1, q)):
                stride, size = window.stride[axis], x_shape[2 + axis]
                start = tap * window.dilation[axis] - window.padding[axis]
                first = max(0, -(start // stride))
                last = max(first, min(result[axis], (size - 1 - start) // stride + 1))
                theirs.append(slice(first, last))
                at = first * stride + start
                ours.append(
                    slice(at, at + (last - first - 1) * stride + 1 if last > first else at, stride)
                )
            yield (p, q), tuple(ours), tuple(theirs)


def made(case):
    x_shape, w_shape, window, groups = CASES[case]
    result = tuple(
        (x_shape[2 + a] + 2 * window.padding[a] - (w_shape[2 + a] - 1) * window.dilation[a] - 1)
        // window.stride[a] + 1 for a in (0, 1)
    )  # fmt: skip
    rng = np.random.default_rng(0)
    shapes = (x_shape, w_shape, (x_shape[0], w_shape[0], *result))
    return [rng.standard_normal(s).astype(np.float32) for s in shapes], window, groups


def wanted(kind, x, w, y, window, groups):
    """The exact sums and the sums of magnitudes."""
    both = []
    for given in ((x, w, y), tuple(abs(a) for a in (x, w, y))):
        a, b, g = (v.astype(np.float64) for v in given)
        n, c, *_ = a.shape
        a = a.reshape(n, groups, c // groups, *a.shape[2:])
        b = b.reshape(groups, -1, *b.shape[1:])
        g = g.reshape(n, groups, -1, *g.shape[2:])
        out = np.zeros_like({"y": g, "x": a, "w": b}[kind])
        for (p, q), ours, theirs in shifts(x.shape, w.shape, window, y.shape[2:]):
            if kind == "y":
                out[:, :, :, *theirs] += np.einsum(
                    "ngcij,goc->ngoij", a[:, :, :, *ours], b[..., p, q], optimize=True
                )
            elif kind == "x":
                out[:, :, :, *ours] += np.einsum(
                    "ngoij,goc->ngcij", g[:, :, :, *theirs], b[..., p, q], optimize=True
                )
            else:
                out[..., p, q] = np.einsum(
                    "ngcij,ngoij->goc", a[:, :, :, *ours], g[:, :, :, *theirs], optimize=True
                )
        both.append(out.reshape({"y": y, "x": x, "w": w}[kind].shape))
    return both


def convolved(device, kind, arrays, window, groups, order=None, order_of_out=None):
    def on(a, order=order):
        return put_strided(device, a, order, 1) if order else put(device, a)

    x, w, y = arrays
    out = on(np.full_like({"y": y, "x": x, "w": w}[kind], 77), order_of_out)
    call = {"y": device.conv2d, "x": device.conv2d_input, "w": device.conv2d_weight}[kind]
    sources = {"y": (x, w), "x": (y, w), "w": (x, y)}[kind]
    call(out, *(on(a) for a in sources), window, groups)
    return get(device, out)


@pytest.mark.parametrize("case", CASES)
def test_convolutions(case):
    arrays, window, groups = made(case)
    for kind in "yxw":
        want, magnitude = wanted(kind, *arrays, window, groups)
        _, w, y = arrays
        terms = {"y": w[0].size, "x": w[:, 0].size // groups, "w": y[:, 0].size}[kind]
        room = sum_bound(terms) * 2.0**-24 * magnitude
        for isa in ISAS:
            device = open_device(isa=isa)
            for orders in product((None, CHANNELS_LAST), repeat=2):
                got = convolved(device, kind, arrays, window, groups, *orders)
                assert (np.abs(got - want) <= room).all(), (kind, isa, orders)


@pytest.mark.parametrize(
    "case",
    ["rows of one image", "several images", "depthwise", "one lane a channel", "many channels"],
)
@pytest.mark.parametrize("order", [None, CHANNELS_LAST], ids=["first", "last"])
def test_same_bits_for_any_number_of_threads(case, order):
    arrays, window, groups = made(case)
    for kind in "yxw":
        results = {
            convolved(open_device(threads=n), kind, arrays, window, groups, order).tobytes()
            for n in (1, 2, 3)
        }
        assert len(results) == 1


@pytest.mark.filterwarnings("ignore:invalid value")
def test_infinite_gradients_reach_only_their_own_sums():
    device = open_device()
    for case in ("several images", "depthwise", "strides", "lanes in steps"):
        (x, w, y), window, groups = made(case)
        y[1, 3, 0, 0], y[0, 0, -1, -1] = np.inf, np.nan
        want, _ = wanted("w", x, w, y, window, groups)
        got = convolved(device, "w", (x, w, y), window, groups)
        np.testing.assert_array_equal(np.isfinite(got), np.isfinite(want))
        w[w.shape[0] // 2, 0, 0, 0] = np.inf
        y = np.nan_to_num(y, posinf=1)
        want, _ = wanted("x", x, w, y, window, groups)
        got = convolved(device, "x", (x, w, y), window, groups)
        np.testing.assert_array_equal(np.isfinite(got), np.isfinite(want))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("order", [None, CHANNELS_LAST], ids=["first", "last"])
def test_pooling(isa, order):
    """Windows of 3 x 3 two apart, as columns of a sliding view."""
    x = np.random.default_rng(0).integers(0, 9, (5, 19, 41, 37)).astype(np.float32)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-1)
    views = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))[:, :, ::2, ::2]
    views = views.reshape(*views.shape[:4], 9)
    first = views.argmax(-1)
    i, j = np.ogrid[: views.shape[2], : views.shape[3]]
    places = (2 * i + first // 3 - 1) * 37 + 2 * j + first % 3 - 1
    window = Window((2, 2), (1, 1))
    for threads in (1, 3):
        device = open_device(isa=isa, threads=threads)
        source = put_strided(device, x, order or (0, 1, 2, 3), 1)
        out, index = put(device, views[..., 0]), put(device, places * 0)
        device.pool2d(MAX, out, index, source, (3, 3), window)
        np.testing.assert_array_equal(get(device, out), views.max(-1))
        np.testing.assert_array_equal(get(device, index), places)
        device.pool2d(SUM, out, None, source, (3, 3), window)
        np.testing.assert_array_equal(get(device, out), np.maximum(views, 0).sum(-1))
