"""The opt-in to cuBLAS: which products go there, with which arguments, over a library that computes
on the simulated device's memory as cuBLAS documents. What needs a GPU is NOT RUN here."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from polyback.device import Operand
from polyback.dtype import DType, complex64, complex128, float32, float64, int32
from polyback.errors import AsyncError
from polyback.view import View
from polyback_cuda.cublas import PEDANTIC
from polyback_cuda.device import CudaDevice
from polyback_cuda.simulator import simulated_driver
from polyback_cuda.simulator.api import SimulatedCuda

pytestmark = pytest.mark.skipif(
    not (shutil.which("gcc") and shutil.which("g++")), reason="NOT RUN: no C compiler"
)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    source = Path(__file__).with_name("fake_libcublas.c")
    target = tmp_path_factory.mktemp("cublas") / "libcublas.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", target, source], check=True)
    return ctypes.CDLL(str(target))


class Draining:
    """Runs what the simulated stream holds before each product, as a stream would."""

    def __init__(self, cuda: SimulatedCuda, library) -> None:
        self.cuda, self.library = cuda, library

    def __getattr__(self, name: str):
        function = getattr(self.library, name)
        if not name.endswith("gemmStridedBatched"):
            return function

        def call(*arguments):
            self.cuda.drain()
            return function(*arguments)

        return call


@pytest.fixture
def device(library):
    cuda = SimulatedCuda(1 << 26)
    made = CudaDevice(simulated_driver(cuda), Draining(cuda, library))
    yield made
    made.close()


def calls(library) -> int:
    return ctypes.c_int.in_dll(library, "fake_calls").value


def put(device: CudaDevice, values: np.ndarray, dtype: DType, view: View) -> Operand:
    """``values`` at ``view`` of a buffer with room around it."""
    room = np.zeros(max(view.bounds[1], 1) + 3, dtype.numpy)
    item = dtype.itemsize
    strides = tuple(s * item for s in view.strides)
    np.ndarray(view.shape, dtype.numpy, room, view.offset * item, strides)[...] = values
    buffer = device.allocate(room.nbytes)
    device.upload(buffer, 0, room.view(np.uint8).data)
    return Operand(buffer, dtype, view)


def fetch(device: CudaDevice, x: Operand) -> np.ndarray:
    room = np.zeros(x.view.bounds[1] + 3, x.dtype.numpy)
    device.download(x.buffer, 0, room.view(np.uint8).data)
    strides = tuple(s * x.dtype.itemsize for s in x.view.strides)
    return np.ndarray(x.view.shape, x.dtype.numpy, room, x.view.offset * x.dtype.itemsize, strides)


def rows(shape, extra: int = 0, offset: int = 0) -> View:
    """Row-major with ``extra`` elements after each row."""
    *lead, m, n = shape
    strides, step = [1], n + extra
    for size in reversed([*lead, m]):
        strides.insert(0, step)
        step *= size
    return View(tuple(shape), tuple(strides), offset)


def turned(shape, extra: int = 0) -> View:
    """The transpose of a row-major stack."""
    *lead, m, n = shape
    view = rows((*lead, n, m), extra)
    axes = [*range(len(lead)), len(lead) + 1, len(lead)]
    return view.permute(axes)


LAYOUTS = {
    "rows": (rows((3, 5)), rows((5, 4)), True),
    "left transposed": (turned((3, 5)), rows((5, 4)), True),
    "both transposed": (turned((3, 5), 2), turned((5, 4), 3), True),
    "room between rows": (rows((3, 5), 2, 7), rows((5, 4), 1), True),
    "a stack": (rows((2, 3, 5)), turned((2, 5, 4)), True),
    "one matrix for a stack": (rows((2, 3, 5)), rows((5, 4)).expand((2, 5, 4)), True),
    "a row": (rows((1, 5)), rows((5, 4)), True),
    "a column": (rows((3, 5)), rows((5, 1)), True),
    "steps along both axes": (View((3, 5), (20, 2)), rows((5, 4)), False),
    "backwards": (rows((3, 5)).flip([0]), rows((5, 4)), False),
    "a stack of two strides": (
        View((2, 2, 3, 5), (100, 17, 5, 1)), rows((2, 2, 5, 4)), False),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [float32, float64, complex64, complex128], ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_products(device, library, dtype, layout):
    left, right, there = LAYOUTS[layout]
    rng = np.random.default_rng(0)

    def values(shape):
        x = rng.integers(-3, 4, shape).astype(dtype.numpy)
        return x + 1j * rng.integers(-3, 4, shape) if dtype.kind == "complex" else x

    a = values(left.shape)
    b = np.broadcast_to(values(right.shape[-2:] if 0 in right.strides else right.shape),
                        right.shape)  # fmt: skip
    x, y = put(device, a, dtype, left), put(device, b, dtype, right)
    want = a @ b
    for target in (rows(want.shape), rows(want.shape, 2, 5)):
        out = put(device, np.zeros(want.shape), dtype, target)
        before = calls(library)
        device.matmul(out, x, y)
        np.testing.assert_array_equal(fetch(device, out), want)
        assert (calls(library) > before) == there


def test_other_types_take_the_kernels(device, library):
    x = put(device, np.ones((3, 3)), int32, rows((3, 3)))
    out = put(device, np.zeros((3, 3)), int32, rows((3, 3)))
    before = calls(library)
    device.matmul(out, x, x)
    np.testing.assert_array_equal(fetch(device, out), np.full((3, 3), 3))
    assert calls(library) == before


def test_no_lowered_precision_and_the_handle_is_given_back(library):
    cuda = SimulatedCuda(1 << 24)
    before = ctypes.c_int.in_dll(library, "fake_handles").value
    device = CudaDevice(simulated_driver(cuda), Draining(cuda, library))
    assert ctypes.c_int.in_dll(library, "fake_math_mode").value == PEDANTIC
    assert ctypes.c_int.in_dll(library, "fake_handles").value == before + 1
    device.close()
    assert ctypes.c_int.in_dll(library, "fake_handles").value == before


def test_a_failing_library_is_a_typed_error(library):
    class Failing(Draining):
        def __getattr__(self, name: str):
            return (lambda *_: 13) if "gemm" in name else super().__getattr__(name)

    cuda = SimulatedCuda(1 << 24)
    device = CudaDevice(simulated_driver(cuda), Failing(cuda, library))
    x = put(device, np.ones((2, 2)), float32, rows((2, 2)))
    out = put(device, np.zeros((2, 2)), float32, rows((2, 2)))
    with pytest.raises(AsyncError, match="status 13"):
        device.matmul(out, x, x)
    device.close()
