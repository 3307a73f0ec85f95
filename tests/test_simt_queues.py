"""The kernel kit's queues, on a device that runs several of them in any order it likes."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from polyback.simt.pool import Buffer, Pool
from polyback.simt.queues import Queue, Queues


class Device:
    """Memory is a list of numbers. A queue is a list of works in order; between queues only waits
    count, and ``run`` chooses at random among the queues that can go on."""

    def __init__(self) -> None:
        self.memory: list[int] = []
        self.done: dict[int, int] = {}  # id of a queue -> works that have run
        self.lists: list[list] = []
        self.waits = 0
        self.queues = Queues(self.make, self.wait)
        self.pool = Pool("fake", 1 << 20, 1 << 20, threading.RLock(), self.take, lambda _: None)

    def take(self, room: int) -> int:
        self.memory.append(-1)
        return len(self.memory) - 1

    def make(self) -> list:
        self.lists.append([])
        return self.lists[-1]

    def wait(self, here: list, there: list) -> None:
        self.waits += 1
        place = len(there)
        here.append(lambda: self.done.get(id(there), 0) >= place)

    def launch(self, queue: Queue, out: Buffer, ins: list[Buffer], plus: int) -> None:
        for buffer, writes in [*((x, False) for x in ins), (out, True)]:
            if buffer.home is not queue or buffer.guests is not None:
                self.queues.order(queue, buffer, writes=writes)
        to, given = out.handle, [x.handle for x in ins]

        def work() -> bool:
            self.memory[to] = sum(self.memory[x] for x in given) % 1_000_003 + plus
            return True

        queue.handle.append(work)
        queue.count += 1

    def run(self, rng: random.Random) -> None:
        stuck = 0
        while any(self.done.get(id(q), 0) < len(q) for q in self.lists):
            queue = rng.choice(self.lists)
            at = self.done.get(id(queue), 0)
            if at < len(queue) and queue[at]():
                self.done[id(queue)] = at + 1
                stuck = 0
            stuck += 1
            assert stuck < 10_000, "queues wait for one another"


def queues_of_threads(device: Device, count: int) -> list[Queue]:
    """``mine`` of threads that live at the same time."""
    meet = threading.Barrier(count)

    def ask(_: int) -> Queue:
        meet.wait(10)
        return device.queues.mine()

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(ask, range(count)))


@pytest.mark.parametrize("seed", range(40))
def test_any_order_gives_the_results_of_the_only_order(seed: int):
    """Values move between three queues, are overwritten, and memory is freed and handed out again,
    while the device lags behind by as much as it likes."""
    rng, device = random.Random(seed), Device()
    queues = queues_of_threads(device, 3)
    live: list[tuple[Buffer, int]] = []
    for turn in range(150):
        queue = rng.choice(queues)
        ins = [rng.choice(live) for _ in range(rng.randint(0, 3) if live else 0)]
        want = sum(value for _, value in ins) % 1_000_003 + turn
        if live and rng.random() < 0.3:
            out, _ = live.pop(rng.randrange(len(live)))
        else:
            out = device.pool.allocate(rng.choice([8, 600]), queue)
        device.launch(queue, out, [buffer for buffer, _ in ins], turn)
        live.append((out, want))
        if len(live) > 6:
            device.pool.free(live.pop(rng.randrange(len(live)))[0])
        if rng.random() < 0.02:
            device.run(rng)
    device.run(rng)
    assert [device.memory[buffer.handle] for buffer, _ in live] == [value for _, value in live]
    assert len(device.memory) < 20  # memory was handed out again


def test_one_queue_never_waits():
    device = Device()
    (queue,) = queues_of_threads(device, 1)
    for turn in range(20):
        a = device.pool.allocate(8, queue)
        b = device.pool.allocate(8, queue)
        device.launch(queue, b, [a], turn)
        device.pool.free(a)
        device.pool.free(b)
    assert device.waits == 0
    assert len(device.memory) == 2


def test_what_is_shared_is_waited_for_once():
    """Weights that one thread wrote and another reads again and again."""
    device = Device()
    one, two = queues_of_threads(device, 2)
    weights = device.pool.allocate(8, one)
    device.launch(one, weights, [], 7)
    for turn in range(10):
        out = device.pool.allocate(600, two)
        device.launch(two, out, [weights], turn)
        device.launch(one, device.pool.allocate(600, one), [weights], turn)
    assert device.waits == 1
    device.launch(one, weights, [], 8)  # after the other's reads
    assert device.waits == 2
    assert weights.home is one
    assert weights.guests is None


def test_own_memory_is_taken_first():
    device = Device()
    one, two = queues_of_threads(device, 2)
    mine, other = device.pool.allocate(8, one), device.pool.allocate(8, two)
    kept = mine.handle
    device.pool.free(mine)
    device.pool.free(other)
    assert device.pool.allocate(8, one).handle == kept
    again = device.pool.allocate(8, one)  # the other's, before the device is asked for more
    assert again.home is two
    assert len(device.memory) == 2


def test_threads_that_end_leave_their_queues_to_others():
    device = Device()
    for _ in range(5):
        thread = threading.Thread(target=device.queues.mine)
        thread.start()
        thread.join()
    assert len(device.lists) == 1
    assert device.queues.all()[0].handle is device.lists[0]
