"""Programs at the end of products: in the launch that multiplies, on all three kinds of kernel,
with the bits that two launches would give. Simulated, no GPU."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from test_cuda_tiles import fetch, laid, put

from polyback import scalar
from polyback.dtype import bool_, float16, float32, float64
from polyback.program import Input, program
from polyback.view import View
from polyback_cuda.device import CudaDevice
from polyback_cuda.simulator import simulated_driver
from polyback_cuda.simulator.api import SimulatedCuda

pytestmark = pytest.mark.skipif(
    not (shutil.which("g++") or shutil.which("clang++")), reason="NOT RUN: no C++ compiler"
)


def opened(capability=(9, 0), units=132):
    cuda = SimulatedCuda(1 << 28)
    cuda.compute_capability = lambda: capability
    cuda.get_attribute = lambda which: {"multiprocessors": units, "shared": 49152}[which]
    return cuda, CudaDevice(simulated_driver(cuda))


def layer(dtype):
    """A bias along columns, a factor for each row, an activation; numbers and constants too."""
    wide = dtype.compute

    def body(bias, x, factor, s):
        y = (x.cast(wide) + bias.cast(wide)) * factor.cast(wide)
        return scalar.WHERE(y > s, y, y * 0.01).cast(dtype)

    return program(body, dtype, dtype, dtype, Input(wide, scalar=True))


def run(device, dtype, m, k, n, layout="rows", lead=()):
    """(fused, in two launches): both as stored."""
    rng = np.random.default_rng((m, k, n))
    a, b, bias, factor = (
        rng.standard_normal(shape).astype(dtype.numpy)
        for shape in ((*lead, m, k), (*lead, k, n), (n,), (m,))
    )
    a[..., m // 2, 0], b[..., 0, n // 2] = np.inf, np.nan
    x, y = (
        put(device, a, dtype, laid(a.shape, layout)),
        put(device, b, dtype, laid(b.shape, layout)),
    )
    shape = (*lead, m, n)
    none = (0,) * len(lead)
    ins = [
        put(device, np.broadcast_to(bias, shape), dtype, View(shape, (*none, 0, 1), 3)),
        None,
        put(device, np.broadcast_to(factor[:, None], shape), dtype, View(shape, (*none, 2, 0), 1)),
        0.5,
    ]
    outs = [put(device, np.full(shape, 77), dtype, laid(shape, layout)) for _ in range(3)]
    device.matmul_fused(outs[0], x, y, layer(dtype), ins)
    device.matmul(outs[1], x, y)
    device.elementwise(layer(dtype), [outs[2]], [outs[1] if z is None else z for z in ins])
    return [fetch(device, outs[i]) for i in (0, 2)]


@pytest.mark.parametrize("units", [132, 2], ids=["small tiles", "large tiles"])
@pytest.mark.parametrize("dtype", [float32, float64, float16], ids=str)
def test_tiles_have_the_bits_of_two_launches(dtype, units):
    _, device = opened(units=units)
    for layout in ("rows", "columns", "wide rows", "backwards"):
        got, want = run(device, dtype, 150, 43, 131, layout)
        assert got.tobytes() == want.tobytes()
    for shape in ((3, 1, 2), (2, 33, 65), (66, 7, 1)):
        got, want = run(device, dtype, *shape, lead=(3,))
        assert got.tobytes() == want.tobytes()
    device.close()


@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_the_portable_kernel_too(dtype):
    _, device = opened((7, 5))
    for layout in ("rows", "columns"):
        got, want = run(device, dtype, 70, 43, 66, layout)
        assert got.tobytes() == want.tobytes()
    got, want = run(device, dtype, 5, 6, 7, lead=(2,))
    assert got.tobytes() == want.tobytes()
    device.close()


def launches(cuda, device, dtype, m, k, n):
    """That a layer takes, once its kernels are there."""
    run(device, dtype, m, k, n)
    device.synchronize()
    x, y = (put(device, np.ones(s), dtype, View.contiguous(s)) for s in ((m, k), (k, n)))
    bias = put(device, np.ones((m, n)), dtype, View((m, n), (0, 1)))
    factor = put(device, np.ones((m, n)), dtype, View((m, n), (1, 0)))
    out = put(device, np.ones((m, n)), dtype, View.contiguous((m, n)))
    before = cuda.calls["launch"]
    device.matmul_fused(out, x, y, layer(dtype), [bias, None, factor, 0.0])
    return cuda.calls["launch"] - before


def test_how_many_launches_a_layer_takes():
    """One; two where shares are added up, and where a vector makes the product a reduction."""
    cuda, device = opened()
    assert launches(cuda, device, float32, 96, 32, 80) == 1
    assert launches(cuda, device, float16, 96, 32, 80) == 1
    assert launches(cuda, device, float64, 70, 32, 80) == 1
    assert launches(cuda, device, float32, 70, 784, 60) == 2
    assert launches(cuda, device, float16, 70, 2048, 60) == 2
    assert launches(cuda, device, float32, 1, 32, 80) == 2
    device.close()
    cuda, device = opened((7, 5))
    assert launches(cuda, device, float32, 70, 784, 60) == 1
    device.close()


def test_results_of_another_type():
    """Which a kernel stores in its own size: one byte here, and pairs of them."""
    _, device = opened()
    code = program(lambda x: x > 0, float32)
    halves = program(lambda x: x.cast(float32) > 0, float16)
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((37, 20)), rng.standard_normal((20, 42))
    for dtype, made in ((float32, code), (float16, halves)):
        x, y = (put(device, v, dtype, View.contiguous(v.shape)) for v in (a, b))
        for columns in (42, 45):
            out = put(device, np.zeros((37, 42)), bool_, View((37, 42), (columns, 1)))
            device.matmul_fused(out, x, y, made, [None])
            want = a.astype(dtype.numpy).astype(float) @ b.astype(dtype.numpy).astype(float)
            assert (fetch(device, out) == (want > 0)).all()
    device.close()
