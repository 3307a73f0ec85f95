"""Products by tiles: float32 and float64 in IEEE arithmetic, half types and TF32. Simulated:
the kernels' sources, with what PTX does written out for the host, no GPU."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import polyback as pb
from polyback import registry
from polyback.device import BackendDescriptor, Operand
from polyback.dtype import DType, bfloat16, float16, float32, float64, int64
from polyback.view import View
from polyback_cuda.device import CudaDevice
from polyback_cuda.fast_matmul import mode
from polyback_cuda.simulator import api, simulated_driver
from polyback_cuda.simulator.api import SimulatedCuda
from polyback_cuda.tiles import ACROSS, ALONG, ANY

pytestmark = pytest.mark.skipif(
    not (shutil.which("g++") or shutil.which("clang++")), reason="NOT RUN: no C++ compiler"
)
HALF_ULP = {
    "int64": 0.0,
    "float32": 2.0**-24,
    "float64": 2.0**-53,
    "float16": 2.0**-11,
    "bfloat16": 2.0**-8,
}
LAYOUTS = ("rows", "columns", "wide rows", "wide columns", "steps", "backwards")


@pytest.fixture(scope="module")
def device():
    made = CudaDevice(simulated_driver(SimulatedCuda(1 << 28)))
    yield made
    made.close()


@pytest.fixture(scope="module")
def tf32():
    made = CudaDevice(simulated_driver(SimulatedCuda(1 << 28)), tf32=True)
    yield made
    made.close()


def laid(shape: tuple[int, ...], layout: str) -> View:
    """A view of this shape: dense along the last axis or the one before, lines aligned or not."""
    *lead, m, n = shape
    if layout == "backwards":
        return laid(shape, "rows").flip([len(lead)])
    inner, outer = (m, n) if "columns" in layout else (n, m)
    step = 2 if layout == "steps" else 1
    line = -(-inner // 8) * 8 + 8 if "wide" in layout else inner * step
    strides = [line, step] if inner == n and "columns" not in layout else [step, line]
    size = line * outer
    for length in reversed(lead):
        strides.insert(0, size)
        size *= length
    return View(shape, tuple(strides), 8 if "wide" in layout else 0)


def put(device: CudaDevice, values: np.ndarray, dtype: DType, view: View) -> Operand:
    room = np.full(view.bounds[1] + 1, -77, dtype.numpy)
    strides = tuple(s * dtype.itemsize for s in view.strides)
    place = np.ndarray(view.shape, dtype.numpy, room, view.offset * dtype.itemsize, strides)
    place[...] = values
    buffer = device.allocate(room.nbytes)
    device.upload(buffer, 0, room.view(np.uint8).data)
    return Operand(buffer, dtype, view)


def fetch(device: CudaDevice, x: Operand) -> np.ndarray:
    room = np.zeros(x.view.bounds[1] + 1, x.dtype.numpy)
    device.download(x.buffer, 0, room.view(np.uint8).data)
    strides = tuple(s * x.dtype.itemsize for s in x.view.strides)
    return np.ndarray(x.view.shape, x.dtype.numpy, room, x.view.offset * x.dtype.itemsize, strides)


def product(device, dtype, a, b, left="rows", right="rows", to="rows"):
    """What the device makes of two arrays, and the arrays as it has them."""
    x, y = put(device, a, dtype, laid(a.shape, left)), put(device, b, dtype, laid(b.shape, right))
    shape = (*a.shape[:-1], b.shape[-1])
    out = put(device, np.full(shape, 77), dtype, laid(shape, to))
    device.matmul(out, x, y)
    return fetch(device, out).astype(np.float64)


def check(device, dtype, m, k, n, *layouts, lead=(), unit=None):
    rng = np.random.default_rng((m, k, n))
    a = rng.standard_normal((*lead, m, k)).astype(dtype.numpy)
    b = rng.standard_normal((*lead, k, n)).astype(dtype.numpy)
    got = product(device, dtype, a, b, *layouts)
    wide = a.astype(np.longdouble), b.astype(np.longdouble)
    want, size = wide[0] @ wide[1], np.abs(wide[0]) @ np.abs(wide[1])
    added = 2.0**-53 if dtype is float64 else 2.0**-24
    bound = HALF_ULP[dtype.name] * np.abs(want) + 2 * k * added * size
    if unit is not None:
        bound = 2.1 * unit * size
    assert (np.abs(got - want) <= bound).all(), (m, k, n, layouts)


@pytest.mark.parametrize("dtype", [float32, float64, float16, bfloat16], ids=str)
def test_every_pair_of_layouts(device, dtype):
    for left in LAYOUTS:
        for right in LAYOUTS:
            check(device, dtype, 37, 43, 70, left, right)
    for to in LAYOUTS:
        check(device, dtype, 37, 43, 71, "wide rows", "wide rows", to)


@pytest.mark.parametrize("dtype", [float32, float64, float16, bfloat16], ids=str)
def test_sizes_around_edges(device, dtype):
    for m, k, n in ((1, 1, 2), (2, 1, 2), (3, 200, 5), (64, 64, 64), (65, 33, 63), (2, 1000, 65)):
        for layout in ("wide rows", "wide columns"):
            check(device, dtype, m, k, n, layout, layout)
    check(device, dtype, 1, 9, 1)
    check(device, dtype, 5, 7, 6, "wide rows", "rows", lead=(3, 2))


@pytest.mark.parametrize("dtype", [float32, float64, float16], ids=str)
def test_large_tiles(dtype):
    """A GPU of two multiprocessors has enough to do with two of them."""
    cuda = SimulatedCuda(1 << 28)
    cuda.get_attribute = lambda which: {"multiprocessors": 2, "shared": 49152}[which]
    device = CudaDevice(simulated_driver(cuda))
    for left, right in (("wide rows", "wide rows"), ("wide columns", "wide columns"),
                        ("wide rows", "wide columns"), ("rows", "steps")):  # fmt: skip
        check(device, dtype, 150, 100, 131, left, right)
    check(device, dtype, 1100, 20, 135, "wide rows", "wide rows")
    device.close()


@pytest.mark.parametrize("dtype", [float32, float64, float16], ids=str)
def test_shares(device, dtype):
    """Long thin products are shared out along k, and always added up in one order."""
    check(device, dtype, 70, 2100, 60, "wide rows", "wide columns")
    check(device, dtype, 9, 1031, 20, "columns", "rows", lead=(2,))


@pytest.mark.parametrize("dtype", [float32, float16, int64], ids=str)
def test_more_matrices_than_a_grid_is_deep(dtype, monkeypatch):
    """A grid ends at 65535 along its second and third axis; at 3 here, to be quick."""
    monkeypatch.setattr(api, "MOST_GRID", (2**31 - 1, 3, 3))
    device = CudaDevice(simulated_driver(SimulatedCuda(1 << 26)))
    check(device, dtype, 70, 9, 130, lead=(5,))
    device.close()


def test_no_term_is_spoilt(device):
    """Zeros stand for what is outside, so that infinities and NaN stay in their rows."""
    a, b = np.ones((70, 21), np.float32), np.ones((21, 66), np.float32)
    a[3, 5], b[20, 65] = np.inf, np.nan
    got = product(device, float32, a, b, "wide rows", "wide rows")
    assert np.isnan(got[:, 65]).all()
    assert np.isinf(got[3, :65]).all()
    assert (np.delete(got, 3, 0)[:, :65] == 21).all()


def test_chains_are_cut():
    """Equal terms, whose rounding errors point one way for long, keep K(n): one chain would not."""
    cuda = SimulatedCuda(1 << 26)
    cuda.get_attribute = lambda which: {"multiprocessors": 1, "shared": 49152}[which]
    device, k = CudaDevice(simulated_driver(cuda)), 4096
    values = np.float32([0.1, 0.3, 0.7, 1.1, 1.3, 1.7])
    a = np.ones((66, k), np.float32) * np.resize(values, 66)[:, None]
    b = np.ones((k, 66), np.float32)
    got = product(device, float32, a, b, "wide rows", "wide rows")
    want = a.astype(np.float64) @ b
    chain = np.cumsum(a, axis=1, dtype=np.float32)[:, -1:]  # one addition after the other
    limit = (8 + 2 * k**0.5) * 2.0**-24 * want
    assert (np.abs(chain - want) > limit).any()
    assert (np.abs(got - want) <= limit).all()
    device.close()


def test_float64_rounds_at_every_addition(device):
    """As IEEE multiply-add does: no product is cut, no sum is wider than its type."""
    a = np.array([[1, 2.0**-53, 2.0**-53, 2.0**-52], [-1, 1 + 2.0**-30, 0, 0]])
    b = np.array([[1, 1], [1, 1 - 2.0**-30], [1, 1], [1, 0]])
    got = product(device, float64, a, b)
    assert got[0, 0] == 1 + 2.0**-52  # twice half of a unit is lost, one by one
    assert got[1, 1] == -(2.0**-60)  # the product is not rounded


@pytest.mark.parametrize("left", ["wide rows", "wide columns", "rows"])
def test_tf32_is_narrow_but_no_narrower(tf32, left):
    assert tf32.caps.numerics.float32_matmul == "tf32"
    for right in ("wide rows", "wide columns", "steps"):
        check(tf32, float32, 70, 90, 66, left, right, unit=2.0**-11)
    one = np.full((2, 2), 1 + 2.0**-12, np.float32)  # cut off; not so in float32
    assert (product(tf32, float32, one, np.eye(2, dtype=np.float32)) == 1).all()


def test_halves_round_once(device):
    """Sums that float16 could not hold on the way, ties to even, infinities and subnormals."""
    a = np.array([[60000, 60000, -60000, -59999], [2048, 1, 0, 0], [2048, 3, 0, 0],
                  [65504, 65504, 0, 0], [2.0**-24, 0, 0, 0]], np.float16)  # fmt: skip
    b = np.array([[1, 0.25], [1, 0], [1, 0], [1, 0]], np.float16)
    got = product(device, float16, a, b)
    assert got[:, 0].tolist() == [0, 2048, 2052, np.inf, 2.0**-24]
    assert got[:, 1].tolist() == [15000, 512, 512, 16376, 0]


def test_what_lies_how():
    def operand(view, dtype=float32):
        return Operand(None, dtype, view)

    dense = View.contiguous((64, 32))
    assert mode(operand(dense), 0, 1) == ALONG
    assert mode(operand(dense), 1, 0) == ACROSS
    assert mode(operand(View((64, 32), (33, 1))), 0, 1) == ANY
    assert mode(operand(View((64, 32), (36, 1), 2)), 0, 1) == ANY
    assert mode(operand(View((64, 32), (36, 1), 4)), 0, 1) == ALONG
    assert mode(operand(View((64, 32), (36, 1), 4), float16), 0, 1) == ANY
    assert mode(operand(View((64, 32), (0, 1))), 0, 1) == ALONG
    assert mode(operand(View((3, 64, 32), (2049, 32, 1))), 1, 2) == ANY


def test_older_gpus_take_the_kit():
    cuda = SimulatedCuda(1 << 26)
    cuda.compute_capability = lambda: (7, 5)
    device = CudaDevice(simulated_driver(cuda), tf32=True)
    assert "float16" not in device.caps.matmul
    assert device.caps.numerics.float32_matmul == "ieee"
    check(device, float32, 33, 40, 37)
    device.close()


def test_half_tensors_are_multiplied_as_they_are():
    """The frontend hands them to the device without a cast, and their gradients too."""
    factory = "polyback_cuda.simulator:SimulatedBackend"
    registry.register(BackendDescriptor("simulated_half", factory, "gpu", ((1, 0), (1, 2))))
    try:
        rng = np.random.default_rng(3)
        a, b = (rng.standard_normal(s).astype(np.float16) for s in ((9, 20), (20, 11)))
        x, y = (pb.asarray(v, device="simulated_half") for v in (a, b))
        wide = a.astype(np.float64) @ b.astype(np.float64)
        with pb.configure(fallback="forbid"):
            got = x @ y
            slope = pb.grad(lambda t: pb.sum((t @ y).astype(pb.float32)))(x)
        assert got.dtype is pb.float16
        assert slope.dtype is pb.float16
        assert np.abs(got.numpy().astype(np.float64) - wide).max() < 2.0**-10 * np.abs(wide).max()
        want = np.broadcast_to(b.astype(np.float64).sum(1), (9, 20))
        assert np.abs(slope.numpy() - want).max() < 2.0**-9 * np.abs(want).max()
    finally:
        registry.unregister("simulated_half")
