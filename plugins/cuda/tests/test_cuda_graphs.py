"""Recorded launches over the simulated driver: same memory in, new values out. No GPU."""

from __future__ import annotations

import gc
import itertools
import shutil

import numpy as np
import pytest

import polyback as pb
from polyback import registry
from polyback.device import BackendDescriptor, Operand
from polyback.dtype import float32
from polyback.errors import DeviceClosed, InvalidArgument
from polyback.program import copy_program, program
from polyback.scalar import EXP, SUM
from polyback.view import View
from polyback_cuda.device import CudaDevice
from polyback_cuda.graphs import record
from polyback_cuda.simulator import simulated_driver
from polyback_cuda.simulator.api import SimulatedCuda

pytestmark = pytest.mark.skipif(
    not (shutil.which("g++") or shutil.which("clang++")), reason="NOT RUN: no C++ compiler"
)
N = 24
SQUARE = View.contiguous((N, N))
DOUBLE = program(lambda x: x + x, float32)
ADD = program(lambda x, y: x + y, float32, float32)


@pytest.fixture
def cuda():
    return SimulatedCuda(1 << 26)


@pytest.fixture
def device(cuda):
    made = CudaDevice(simulated_driver(cuda))
    yield made
    made.close()
    assert cuda.used == 0
    assert cuda.stack == []
    assert cuda.calls["graphs"] == 0


def empty(device, view=SQUARE) -> Operand:
    return Operand(device.allocate(view.size * 4), float32, view)


def write(device, x: Operand, values) -> None:
    data = np.ascontiguousarray(np.broadcast_to(values, x.view.shape), np.float32)
    device.upload(x.buffer, 0, data.reshape(-1).view(np.uint8).data)


def read(device, x: Operand) -> np.ndarray:
    data = np.empty(x.view.shape, np.float32)
    device.download(x.buffer, 0, data.reshape(-1).view(np.uint8).data)
    return data


def step(device, x: Operand, y: Operand) -> None:
    """y = exp(x + x) @ x, with memory that comes and goes."""
    one, two = empty(device), empty(device)
    device.elementwise(DOUBLE, [one], [x])
    device.elementwise(program(EXP, float32), [two], [one])
    device.free(one.buffer)
    device.matmul(y, two, x)
    device.free(two.buffer)


def test_new_values_come_out(device, cuda):
    rng = np.random.default_rng(0)
    x, y = empty(device), empty(device)
    write(device, x, 0)
    with record(device, lambda: step(device, x, y)) as replay:
        before = cuda.calls["launch"]
        for _ in range(3):
            values = rng.standard_normal((N, N)).astype(np.float32)
            write(device, x, values)
            replay()
            want = np.exp(2 * values.astype(np.float64)) @ values
            assert np.allclose(read(device, y), want, rtol=1e-4, atol=1e-3)
        assert cuda.calls["launch"] == before
        assert cuda.calls["graph launch"] == 3


def test_recording_runs_nothing_and_replays_add_up(device):
    x = empty(device)
    write(device, x, 1)
    with record(device, lambda: device.elementwise(DOUBLE, [x], [x])) as replay:
        assert (read(device, x) == 2).all()  # the first, usual run
        replay()
        replay()
        assert (read(device, x) == 8).all()


def test_memory_stays_while_the_recording_does(device):
    """Freed operands and temporaries are nobody else's until it is closed."""
    x, y = empty(device), empty(device)
    write(device, x, 0.5)
    want = np.full((N, N), 0.5 * N * np.e)
    replay = record(device, lambda: step(device, x, y))
    device.free(x.buffer)
    others = [empty(device) for _ in range(8)]
    for other in others:
        write(device, other, np.nan)
    replay()
    assert np.allclose(read(device, y), want, rtol=1e-5)
    for other in others:
        assert np.isnan(read(device, other)).all()
        device.free(other.buffer)
    live = device.memory_stats().live
    replay.close()
    replay.close()
    assert device.memory_stats().live < live
    with pytest.raises(InvalidArgument, match="closed"):
        replay()
    device.free(y.buffer)


def test_temporaries_are_used_again_within(device):
    """A long chain needs no more memory for being recorded."""
    x, y = empty(device), empty(device)
    write(device, x, 0)

    def chain() -> None:
        now = x
        for _ in range(20):
            new = empty(device)
            device.elementwise(DOUBLE, [new], [now])
            if now is not x:
                device.free(now.buffer)
            now = new
        device.elementwise(copy_program(float32, float32), [y], [now])
        device.free(now.buffer)

    before = device.memory_stats().live
    with record(device, chain) as replay:
        assert device.memory_stats().live <= before + 2 * 2560 + 256  # and a table
        write(device, x, 1)
        replay()
        assert (read(device, y) == 2.0**20).all()


def test_two_recordings_share_memory(device):
    x, y = empty(device), empty(device)
    write(device, x, 1)
    first = record(device, lambda: device.elementwise(DOUBLE, [y], [x]))
    second = record(device, lambda: device.elementwise(ADD, [y], [x, y]))
    device.free(x.buffer)
    first.close()
    other = empty(device)
    write(device, other, np.nan)
    second()
    assert (read(device, y) == 4).all()  # 2, the usual run 3, the replay 4
    second.close()


def test_uploads_are_frozen(device):
    """A replay copies the bytes of then, though the source and the staging slots were reused."""
    x, y = empty(device), empty(device)
    source = np.full((N, N), 3, np.float32)

    def load() -> None:
        device.upload(x.buffer, 0, source.reshape(-1).view(np.uint8).data)
        device.elementwise(DOUBLE, [y], [x])

    with record(device, load) as replay:
        source[:] = 0
        for k in range(100):
            write(device, y, k)
        replay()
        assert (read(device, y) == 6).all()


@pytest.mark.parametrize("what", ["download", "wait", "give memory back", "record"])
def test_what_cannot_be_recorded(device, what):
    x = empty(device)
    write(device, x, 1)
    calls = {
        "download": lambda: read(device, x),
        "wait": device.synchronize,
        "give memory back": device.trim,
        "record": lambda: device.driver.record(lambda: None),
    }
    device.free(empty(device, View.contiguous((7000,))).buffer)
    turn = []

    def function() -> None:
        device.elementwise(DOUBLE, [x], [x])
        if turn:
            calls[what]()
        turn.append(1)

    with pytest.raises(InvalidArgument, match=f"cannot {what} while recording"):
        record(device, function)
    assert (read(device, x) == 2).all()  # of the usual run; the device works on
    with record(device, lambda: device.elementwise(DOUBLE, [x], [x])) as replay:
        replay()
        assert (read(device, x) == 8).all()


def test_tables_and_split_sums(device):
    """Tables that kernels read, and second passes, belong to a recording too."""
    long = View.contiguous((3, 40_000))
    x, y = empty(device, long), empty(device, View.contiguous((3, 1)))
    write(device, x, 0)

    def total() -> None:
        device.reduce(SUM, y, x, (1,))

    with record(device, total) as replay:
        device._plans.forget()
        device._launcher._tables.clear()  # as it does once there are many
        device._reducer._plans.clear()
        gc.collect()
        for _ in range(20):
            device.driver.constants([7] * 12)
        write(device, x, 2)
        replay()
        assert (read(device, y) == 80_000).all()


def test_closing_the_device_closes_recordings(cuda):
    device = CudaDevice(simulated_driver(cuda))
    x = empty(device)
    write(device, x, 1)
    replay = record(device, lambda: device.elementwise(DOUBLE, [x], [x]))
    device.close()
    assert cuda.used == 0
    with pytest.raises(DeviceClosed):
        replay()
    replay.close()


@pytest.fixture
def name():
    """What the frontend calls a simulated device, while the test runs."""
    factory = "polyback_cuda.simulator:SimulatedBackend"
    registry.register(BackendDescriptor("simulated", factory, "gpu", ((1, 0), (1, 2))))
    yield "simulated"
    registry.unregister("simulated")


def test_a_training_step_of_the_frontend(name):
    """Forward, backward and the update, recorded once: each replay is one more step."""
    rng = np.random.default_rng(0)
    with pb.configure(fallback="forbid"):
        inputs = pb.asarray(rng.standard_normal((32, 5)).astype(np.float32), device=name)
        targets = inputs @ pb.asarray(rng.standard_normal((5, 1)).astype(np.float32), device=name)
        weight, loss = pb.zeros((5, 1), device=name), pb.zeros((), device=name)

        def error(w: pb.Tensor) -> pb.Tensor:
            return pb.mean((inputs @ w - targets) ** 2)

        def train() -> None:
            value, slope = pb.value_and_grad(error)(weight)
            weight[...] = weight - 0.1 * slope
            loss[...] = value

        with record(pb.get_device(name), train) as replay:
            losses = [float(loss)]
            for _ in range(60):
                replay()
                losses.append(float(loss))
        assert all(b < a for a, b in itertools.pairwise(losses[:20]))
        assert losses[-1] < 1e-4 * losses[0]
