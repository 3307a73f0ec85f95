"""Threads with queues of their own: what one of them makes the others may use at once.

Each test keeps the thread that writes far behind the one that reads, by a long kernel in front.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from opencl_lab import available, blank, get, open_device, put

from polyback import scalar
from polyback.dtype import float32
from polyback.program import program

pytestmark = pytest.mark.skipif(not available(), reason="no OpenCL device")
LONG = program(lambda x: scalar.TAN(scalar.EXP(scalar.SIN(x))) * 0.0, float32)
ADD = program(lambda x, y: x + y, float32, float32)
SIZE, TURNS = 1 << 18, 12


@pytest.fixture
def device():
    opened = open_device()
    yield opened
    opened.close()


def in_thread(work: Callable[[], None]) -> None:
    """Run ``work`` on a thread of its own and wait for that; its errors are raised here."""
    failed: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join(120)
    assert not thread.is_alive(), "a thread is stuck"
    if failed:
        raise failed[0]


class Other:
    """A thread that stays, and so keeps its queue."""

    def __init__(self) -> None:
        self._given: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._taken: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while (work := self._given.get()) is not None:
            try:
                self._taken.put((work(), None))
            except Exception as error:
                self._taken.put((None, error))

    def __call__(self, work: Callable[[], Any]) -> Any:
        """The result of ``work()`` over there; it returns when all is queued, not done."""
        self._given.put(work)
        result, error = self._taken.get(timeout=120)
        if error is not None:
            raise error
        return result

    def end(self) -> None:
        self._given.put(None)
        self._thread.join(60)


@pytest.fixture
def other():
    thread = Other()
    yield thread
    thread.end()


def zeros_late(device: Any) -> Any:
    """Zeros that take the device a while."""
    source, out = put(device, np.ones(SIZE, np.float32)), blank(device, (SIZE,), "float32")
    device.elementwise(LONG, [out], [source])
    device.free(source.buffer)
    return out


def test_a_result_is_read_by_another_thread(device, other):
    row = np.arange(SIZE, dtype=np.float32)
    for turn in range(TURNS):
        x = put(device, row + turn)
        late = other(lambda: zeros_late(device))
        device.elementwise(ADD, [x], [x, late])
        np.testing.assert_array_equal(get(device, x), row + turn)
        late = other(lambda: zeros_late(device))
        np.testing.assert_array_equal(get(device, late), np.zeros(SIZE))  # without a kernel
        device.free(late.buffer)
        device.free(x.buffer)


def test_two_threads_write_one_buffer_in_turn(device, other):
    one = put(device, np.ones(SIZE, np.float32))
    x = put(device, np.zeros(SIZE, np.float32))

    def double() -> None:
        device.elementwise(ADD, [x], [x, zeros_late(device)])
        device.elementwise(ADD, [x], [x, x])

    want = 0
    for _ in range(TURNS):
        other(double)
        device.elementwise(ADD, [x], [x, one])
        want = 2 * want + 1
    np.testing.assert_array_equal(get(device, x), np.full(SIZE, want))
    np.testing.assert_array_equal(get(device, one), np.ones(SIZE))


def test_memory_freed_by_another_thread_is_reused_at_once(device, other):
    """The other thread's kernel still reads what is freed here and written anew."""
    for turn in range(TURNS):
        x = put(device, np.full(SIZE, turn, np.float32))

        def read(x: Any = x) -> Any:
            late, out = zeros_late(device), blank(device, (SIZE,), "float32")
            device.elementwise(ADD, [out], [late, x])
            device.free(late.buffer)
            return out

        out = other(read)
        device.free(x.buffer)
        again = put(device, np.full(SIZE, -1, np.float32))
        np.testing.assert_array_equal(get(device, out), np.full(SIZE, turn))
        np.testing.assert_array_equal(get(device, again), np.full(SIZE, -1))
        device.free(out.buffer)
        device.free(again.buffer)


def test_reductions_and_products_of_shared_weights(device):
    rng = np.random.default_rng(0)
    w, xs = rng.normal(0, 1, (64, 64)), rng.normal(0, 1, (3, 64, 64))
    weights = put(device, w.astype(np.float32))
    wrong = []

    def work(k: int) -> None:
        x = put(device, xs[k].astype(np.float32))
        for _ in range(TURNS):
            y, total = blank(device, (64, 64), "float32"), blank(device, (1, 64), "float32")
            device.matmul(y, x, weights)
            device.reduce(scalar.SUM, total, y, (0,))
            if not np.allclose(get(device, total)[0], (xs[k] @ w).sum(0), rtol=1e-4, atol=1e-3):
                wrong.append(k)
            device.free(y.buffer)
            device.free(total.buffer)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not wrong


def test_synchronize_waits_for_all_threads(device, other):
    if "host_view" not in device.caps.features:
        pytest.skip("memory of the device cannot be seen without waiting")
    x = put(device, np.ones(SIZE, np.float32))
    seen = np.frombuffer(device.host_view(x.buffer), np.float32)
    x.buffer.shared, x.buffer.guests = False, None  # else every launch would wait

    def write() -> None:
        device.elementwise(ADD, [x], [x, zeros_late(device)])
        device.elementwise(ADD, [x], [x, x])

    for turn in range(1, TURNS):
        other(write)
        device.synchronize()
        np.testing.assert_array_equal(seen, np.full(SIZE, 2**turn))


def test_many_short_threads_share_queues(device):
    x, one = put(device, np.zeros(100, np.float32)), put(device, np.ones(100, np.float32))
    for _ in range(20):
        in_thread(lambda: device.elementwise(ADD, [x], [x, one]))
    assert get(device, x).tolist() == [20] * 100
    assert len(device._driver._queues.all()) <= 2
