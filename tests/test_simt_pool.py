"""The kernel kit's memory pool and device status, on a device that counts."""

from __future__ import annotations

import gc
import threading

import pytest

from polyback.errors import AsyncError, DeviceClosed, DeviceLost, InvalidArgument, OutOfMemory
from polyback.simt.pool import Buffer, Pool, rounded
from polyback.simt.status import Status


class FakeDevice:
    """Hands out numbers as memory, up to ``size`` bytes."""

    def __init__(self, size: int = 1 << 20) -> None:
        self.size, self.held, self.calls, self.lock = size, {}, 0, threading.RLock()

    def take(self, room: int) -> int:
        self.calls += 1
        if sum(self.held.values()) + room > self.size:
            raise OutOfMemory("the device has no more")
        self.held[self.calls] = room
        return self.calls

    def give(self, handles) -> None:
        for handle in handles:
            del self.held[handle]


def made(device: FakeDevice, limit: int = 1 << 20, largest: int = 1 << 30) -> Pool:
    return Pool("fake", limit, largest, device.lock, device.take, device.give)


def test_sizes_are_rounded_by_a_quarter_at_most():
    assert rounded(0) == rounded(1) == rounded(256) == 256
    for n in [*range(257, 5000), 2**20 - 1, 2**20, 2**20 + 1, 10**9]:
        assert n <= rounded(n) <= n + max(255, n // 4)
        assert rounded(rounded(n)) == rounded(n)
    assert rounded(2**31 + 1) <= 2**31 + 2**24


def test_all_that_the_device_gives_at_once_can_be_had():
    device = FakeDevice(1 << 20)
    pool = made(device, largest=900_001)
    pool.allocate(900_001)
    assert list(device.held.values()) == [900_001]
    with pytest.raises(OutOfMemory):
        pool.allocate(900_002)


def test_freed_memory_is_handed_out_again():
    device = FakeDevice()
    pool = made(device)
    for k in range(100):
        pool.free(pool.allocate(1000 + k % 7))
    assert device.calls == 1
    stats = pool.stats()
    assert (stats.live, stats.cached, stats.peak) == (0, 1024, 1024)
    pool.trim()
    assert not device.held
    assert pool.stats().cached == 0


def test_statistics():
    pool = made(FakeDevice())
    kept = [pool.allocate(n) for n in (100, 300, 5000)]
    assert [b.nbytes for b in kept] == [100, 300, 5000]
    pool.free(kept[0])
    pool.free(kept[0])  # twice does no harm
    stats = pool.stats()
    assert (stats.live, stats.cached) == (512 + 5120, 256)
    assert (stats.peak, stats.limit) == (256 + 512 + 5120, 1 << 20)


def test_the_limit_holds_and_the_pool_makes_room():
    device = FakeDevice()
    pool = made(device, limit=1 << 16, largest=1 << 16)
    held = pool.allocate(1 << 15)
    pool.free(pool.allocate(1 << 14))
    with pytest.raises(OutOfMemory, match="65536 bytes requested, 32768 live") as caught:
        pool.allocate(1 << 16)
    error = caught.value
    assert (error.requested, error.live, error.limit) == (1 << 16, 1 << 15, 1 << 16)
    assert not device.held.keys() - {1}  # what was cached went back first
    pool.free(held)
    pool.allocate(1 << 16)
    with pytest.raises(OutOfMemory, match="one allocation at most 65536"):
        pool.allocate((1 << 16) + 1)


def test_a_device_without_memory():
    pool = made(FakeDevice(size=1000))
    with pytest.raises(OutOfMemory) as caught:
        pool.allocate(5000)
    assert caught.value.requested == 5000
    assert isinstance(caught.value.__cause__, OutOfMemory)
    assert pool.stats().live == 0
    pool.allocate(500)


def test_free_waits_for_nobody():
    """A finalizer may run on any thread while another one is inside."""
    device = FakeDevice()
    pool = made(device)
    buffer, done = pool.allocate(10), threading.Event()

    def finalizer() -> None:
        pool.free(buffer)
        done.set()

    with device.lock:
        threading.Thread(target=finalizer).start()
        assert done.wait(10)
    assert pool.stats().live == 0


def test_memory_that_goes_with_its_last_reference():
    pool = made(FakeDevice())
    buffer = pool.allocate(10)
    pool.free_with(buffer)
    del buffer
    gc.collect()
    assert pool.stats().live == 0


def test_closing_gives_memory_back():
    device = FakeDevice()
    pool = made(device)
    kept = pool.allocate(10)
    pool.free(pool.allocate(5000))
    pool.close()
    assert list(device.held) == [1]
    pool.free(kept)  # the driver lets go of it
    assert kept.handle is None


def test_operands():
    pool = made(FakeDevice())
    buffer = pool.allocate(10)
    pool.check(buffer, 3, 7)
    for offset, size in ((-1, 1), (0, 11), (10, 1)):
        with pytest.raises(InvalidArgument, match="outside a buffer of 10"):
            pool.check(buffer, offset, size)
    pool.free(buffer)
    with pytest.raises(InvalidArgument, match="freed"):
        pool.check(buffer, 0, 1)
    assert isinstance(buffer, Buffer)


def test_status():
    status = Status("fake", "Device 9")
    status.check()
    assert isinstance(status.fault("busy", lost=False), AsyncError)
    status.check()  # goes on
    assert isinstance(status.fault("illegal access", lost=True), DeviceLost)
    for _ in range(2):
        with pytest.raises(DeviceLost, match="Device 9 is lost since: illegal access"):
            status.check()
    status.closed = True
    with pytest.raises(DeviceClosed):
        status.check()
