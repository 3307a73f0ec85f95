"""Reductions that are large enough for kernels of their own: dense rows read by packs, rows and
columns along one axis. Simulated, no GPU."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from polyback.device import Operand
from polyback.dtype import DTYPES, DType, bool_, float32, int64, uint8
from polyback.program import copy_program, program
from polyback.scalar import ANY, MAX, SUM
from polyback.view import View
from polyback_cuda.device import CudaDevice
from polyback_cuda.simulator import simulated_driver
from polyback_cuda.simulator.api import SimulatedCuda

pytestmark = pytest.mark.skipif(
    not (shutil.which("g++") or shutil.which("clang++")), reason="NOT RUN: no C++ compiler"
)


@pytest.fixture(scope="module")
def device():
    made = CudaDevice(simulated_driver(SimulatedCuda(1 << 28)))
    yield made
    made.close()


def put(device: CudaDevice, values: np.ndarray, dtype: DType, view: View) -> Operand:
    """One-dimensional ``values``, seen through ``view``."""
    buffer = device.allocate(values.nbytes)
    device.upload(buffer, 0, np.ascontiguousarray(values, dtype.numpy).view(np.uint8).data)
    return Operand(buffer, dtype, view)


def reduced(device, op, made, ins, shape, axes, dtype) -> np.ndarray:
    kept = tuple(1 if a in axes else n for a, n in enumerate(shape))
    out = Operand(
        device.allocate(View.contiguous(kept).size * dtype.itemsize), dtype, View.contiguous(kept)
    )
    device.reduce_fused(op, out, made, ins, axes)
    got = np.empty(kept, dtype.numpy)
    device.download(out.buffer, 0, got.reshape(-1).view(np.uint8).data)
    return got


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d.is_integer], ids=str)
def test_every_size_of_pack(device, dtype):
    """Exact whatever the order: rows that start aligned and not, and end inside a pack."""
    rng = np.random.default_rng(0)
    data = rng.integers(0, 100, 3 * 9001 + 40).astype(dtype.numpy)
    for offset, step, n in ((0, 9008, 9001), (0, 9001, 9001), (16, 9008, 8999), (3, 9001, 6000)):
        x = put(device, data, dtype, View((3, n), (step, 1), offset))
        rows = np.lib.stride_tricks.as_strided(
            data[offset:], (3, n), (step * dtype.itemsize, dtype.itemsize)
        )
        got = reduced(device, SUM, copy_program(dtype, dtype), [x], (3, n), (1,), dtype)
        assert (got[:, 0] == rows.sum(1, dtype=dtype.numpy)).all(), (offset, step, n)
        got = reduced(device, MAX, copy_program(dtype, dtype), [x], (3, n), (1,), dtype)
        assert (got[:, 0] == rows.max(1)).all()


def test_operands_of_several_sizes_and_splat_ones(device):
    """Packs of the widest type's number of elements; an operand that does not move is read once."""
    n = 20_003
    rng = np.random.default_rng(1)
    small, wide = rng.integers(0, 9, 2 * n), rng.integers(0, 9, n)
    made = program(lambda a, b, c: a.cast(int64) * b + c.cast(int64), uint8, int64, float32)
    view = View.contiguous((2, n))
    ins = [
        put(device, small.astype(np.uint8), uint8, view),
        put(device, wide, int64, View((2, n), (0, 1))),
        put(device, np.float32([3, 4]), float32, View((2, n), (1, 0))),
    ]
    got = reduced(device, SUM, made, ins, (2, n), (1,), int64)
    want = (small.reshape(2, n) * wide + np.array([[3], [4]])).sum(1)
    assert got[:, 0].tolist() == want.tolist()


def test_columns_and_both_axes(device):
    data = np.random.default_rng(2).standard_normal(300 * 130).astype(np.float32)
    x = put(device, data, float32, View.contiguous((300, 130)))
    table, same = data.reshape(300, 130).astype(np.float64), copy_program(float32, float32)
    got = reduced(device, SUM, same, [x], (300, 130), (0,), float32)
    assert np.abs(got[0] - table.sum(0)).max() < 1e-4
    got = reduced(device, SUM, same, [x], (300, 130), (0, 1), float32)
    assert abs(got[0, 0] - table.sum()) < 1e-3
    turned = Operand(x.buffer, float32, View((130, 300), (1, 130)))
    got = reduced(device, SUM, same, [turned], (130, 300), (1,), float32)
    assert np.abs(got[:, 0] - table.sum(0)).max() < 1e-4


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d.is_integer], ids=str)
def test_dense_columns_of_every_size(device, dtype):
    """Exact whatever the order: rows that start aligned and not, end inside a pack, few and many,
    upside down."""
    rng = np.random.default_rng(4)
    data = rng.integers(0, 100, 45_000).astype(dtype.numpy)
    for offset, step, m, n in ((0, 256, 150, 256), (16, 272, 140, 131), (3, 257, 150, 257),
                               (40_000, -264, 150, 130), (8, 40, 1001, 33)):  # fmt: skip
        size = step * dtype.itemsize, dtype.itemsize
        table = np.lib.stride_tricks.as_strided(data[offset:], (m, n), size)
        x = put(device, data, dtype, View((m, n), (step, 1), offset))
        for op, want in ((SUM, table.sum(0, dtype=dtype.numpy)), (MAX, table.max(0))):
            got = reduced(device, op, copy_program(dtype, dtype), [x], (m, n), (0,), dtype)
            assert (got[0] == want).all(), (op, offset, step, m, n)


def test_dense_columns_of_a_program(device):
    """Operands of several sizes, one that differs by rows, one by nothing, and a number."""
    m, n = 700, 133
    rng = np.random.default_rng(5)
    small, wide = rng.integers(0, 9, (m, n)), rng.integers(0, 9, (m, n))
    made = program(lambda a, b, c, d: a.cast(int64) * b + c.cast(int64) * d, uint8, int64, float32,
                   int64)  # fmt: skip
    rows = np.arange(m) % 5
    ins = [
        put(device, small.reshape(-1).astype(np.uint8), uint8, View.contiguous((m, n))),
        put(device, wide.reshape(-1), int64, View.contiguous((m, n))),
        put(device, rows.astype(np.float32), float32, View((m, n), (1, 0))),
        put(device, np.array([7]), int64, View((m, n), (0, 0))),
    ]
    got = reduced(device, SUM, made, ins, (m, n), (0,), int64)
    assert got[0].tolist() == (small * wide + rows[:, None] * 7).sum(0).tolist()


def test_dense_columns_keep_the_bound(device):
    """Equal terms, whose rounding errors point one way, in chunks and in one."""
    for m, n in ((40_000, 8), (3000, 200)):
        x = put(device, np.full(m * n, 0.1, np.float32), float32, View.contiguous((m, n)))
        got = reduced(device, SUM, copy_program(float32, float32), [x], (m, n), (0,), float32)
        want = m * np.float64(np.float32(0.1))
        assert (np.abs(got - want) <= (8 + 2 * m**0.5) * 2.0**-24 * want).all()


def test_the_last_of_many(device):
    """One true among many falses, wherever it is; a NaN too."""
    n = 40_001
    for place in (0, 8191, 8192, n - 2, n - 1):
        data = np.zeros(n, bool)
        data[place] = True
        x = put(device, data, bool_, View.contiguous((n,)))
        assert reduced(device, ANY, copy_program(bool_, bool_), [x], (n,), (0,), bool_)[0]
        x = put(device, np.where(data, np.nan, 1), float32, View.contiguous((n,)))
        assert np.isnan(
            reduced(device, MAX, copy_program(float32, float32), [x], (n,), (0,), float32)
        )
