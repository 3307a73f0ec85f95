"""The allocator's limit, typed errors, and what a closed device answers."""

from __future__ import annotations

import numpy as np
import pytest
from cpu_c_lab import get, new, open_device, put, run

from polyback import scalar
from polyback.device import Operand
from polyback.dtype import complex64, float32, float64, int32
from polyback.errors import DeviceClosed, InvalidArgument, OutOfMemory, UnsupportedOp
from polyback.program import Input, program
from polyback.scalar import MIN, SUM
from polyback.view import View

ADD = program(lambda a, b: a + b, float32, float32)


def test_limit_and_recovery():
    limit = open_device().memory_stats().live + (64 << 20)  # of the process: other tests hold some
    device = open_device(memory_limit=limit)
    try:
        device.trim()
        held = device.allocate(40 << 20)
        with pytest.raises(OutOfMemory) as caught:
            device.allocate(40 << 20)
        assert caught.value.requested == 40 << 20
        assert (caught.value.live or 0) >= 40 << 20
        assert caught.value.limit == limit
        x = np.ones(1000, np.float32)
        np.testing.assert_array_equal(run(device, ADD, x, x)[0], x + x)  # the next one works
        device.free(held)
        device.free(device.allocate(40 << 20))
    finally:
        open_device()  # no limit again


def test_absurd_requests():
    device = open_device()
    for nbytes in (1 << 62, 1 << 70):
        with pytest.raises(OutOfMemory):
            device.allocate(nbytes)


def test_free_twice_and_zero_bytes():
    device = open_device()
    buffer = device.allocate(0)
    assert buffer.nbytes == 0
    assert len(device.host_view(buffer)) == 0
    device.free(buffer)
    device.free(buffer)
    live = device.memory_stats().live
    device.free(buffer)
    assert device.memory_stats().live == live


def test_closed():
    device = open_device()
    x = put(device, np.ones(4, np.float32))
    device.close()
    device.close()
    device.free(x.buffer)
    for call in (
        lambda: device.allocate(8),
        lambda: device.elementwise(ADD, (x,), (x, x)),
        lambda: device.reduce(SUM, x, x, (0,)),
        lambda: device.matmul(x, x, x),
        device.synchronize,
        device.trim,
        lambda: device.host_view(x.buffer),
    ):
        with pytest.raises(DeviceClosed):
            call()


def test_refused_before_anything_is_written():
    device = open_device()
    x, y = put(device, np.ones((2, 3), np.float32)), put(device, np.ones((2, 3), np.float64))
    out = new(device, (2, 3), "float32")
    freed = Operand(device.allocate(24), float32, View.contiguous((2, 3)))
    device.free(freed.buffer)
    number = program(lambda a, s: a * s, float32, Input(float32, scalar=True))
    calls = [
        lambda: device.elementwise(ADD, (out,), (x, y)),
        lambda: device.elementwise(ADD, (out,), (x,)),
        lambda: device.elementwise(ADD, (out,), (x, freed)),
        lambda: device.elementwise(number, (out,), (x, "two")),
        lambda: device.elementwise(ADD, (new(device, (3, 2), "float32"),), (x, x)),
        lambda: device.reduce(SUM, new(device, (1, 1), "float64"), x, (0, 1)),
        lambda: device.matmul(out, x, x),
        lambda: device.upload(out.buffer, 20, memoryview(bytes(8))),
    ]
    for call in calls:
        with pytest.raises(InvalidArgument):
            call()
    with pytest.raises(UnsupportedOp):
        device.argsort(out, Operand(x.buffer, complex64, View.contiguous((1, 3))), 1, False)
    with pytest.raises(UnsupportedOp):
        device.reduce(MIN, out, Operand(x.buffer, complex64, View.contiguous((1,))), (0,))
    np.testing.assert_array_equal(get(device, out), np.full((2, 3), 77, np.float32))


def test_numbers_are_cast_as_numpy_does():
    device = open_device()
    fill = program(lambda s: s + 0, Input(int32, scalar=True))
    out = new(device, (3,), "int32")
    device.elementwise(fill, (out,), (2.9,))
    np.testing.assert_array_equal(get(device, out), [2, 2, 2])
    wide = program(lambda s: scalar.POSITIVE(s), Input(float32, scalar=True))
    out = new(device, (3,), "float32")
    device.elementwise(wide, (out,), (1e300,))
    np.testing.assert_array_equal(get(device, out), [np.inf] * 3)


def test_statistics():
    device = open_device()
    before = device.memory_stats()
    buffer = device.allocate(1 << 20)
    now = device.memory_stats()
    assert now.live - before.live >= 1 << 20
    assert now.peak >= now.live
    device.host_view(buffer)[:8] = np.float64(2.5).tobytes()
    read = np.empty(8, np.uint8)
    device.download(buffer, 0, memoryview(read))
    assert read.view(np.float64)[0] == 2.5
    assert float64.itemsize == 8
    device.free(buffer)
    device.trim()
    assert device.memory_stats().live == before.live
