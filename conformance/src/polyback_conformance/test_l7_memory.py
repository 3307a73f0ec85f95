"""Level 7: what a device tells about its memory, and the host's view of a buffer."""

from __future__ import annotations

import numpy as np
import pytest

from polyback.device import Operand
from polyback.dtype import float32
from polyback.features import MemoryStats
from polyback.program import Input, program
from polyback.view import View
from polyback_conformance.compare import check_exact
from polyback_conformance.lab import Lab
from polyback_conformance.offers import offered

pytestmark = pytest.mark.conformance_level(7)


def test_memory_stats(lab: Lab) -> None:
    """Live bytes and the number of allocations follow allocate and free; trim drops caches only."""
    device = offered(lab, "memory_stats")
    before = device.memory_stats()
    assert isinstance(before, MemoryStats)
    buffers = [device.allocate(n) for n in (1000, 100_000, 1 << 20)]
    during = device.memory_stats()
    asked = 1000 + 100_000 + (1 << 20)
    assert during.live >= before.live + asked, f"live: {before.live} to {during.live}"
    assert during.live <= before.live + 2 * asked, f"live: {before.live} to {during.live}"
    assert during.peak >= during.live, "peak is the most that was live"
    assert during.allocations >= before.allocations, "the number of allocations never falls"
    for buffer in buffers:
        device.free(buffer)
    after = device.memory_stats()
    assert after.live == before.live, f"live: {before.live} before, {after.live} after"
    data = np.arange(100, dtype=np.uint8)
    kept = device.allocate(100)
    device.upload(kept, 0, data.data)
    device.trim()
    assert device.memory_stats().cached == 0, "trim leaves nothing cached"
    got = np.zeros(100, np.uint8)
    device.download(kept, 0, got.data)
    device.free(kept)
    check_exact(got, data, note="after trim")


def test_host_view(lab: Lab) -> None:
    """The buffer's own bytes: writable both ways, as long as asked for."""
    device = offered(lab, "host_view")
    buffer = device.allocate(256)
    try:
        device.upload(buffer, 0, memoryview(bytes(range(256))))
        view = np.frombuffer(device.host_view(buffer), np.uint8)
        assert view.size >= 256
        check_exact(view[:256].copy(), np.arange(256, dtype=np.uint8))
        view[7] = 99
        got = np.zeros(256, np.uint8)
        device.download(buffer, 0, got.data)
        assert got[7] == 99, "a write through the view is not in the buffer"
        device.upload(buffer, 3, memoryview(b"\x2a"))
        device.synchronize()
        assert view[3] == 42, "an upload is not seen through the view"
        del view
    finally:
        device.free(buffer)


def test_adopt(lab: Lab) -> None:
    """Memory of others: read and written in place at any aligned address, never given away."""
    device = offered(lab, "adopt")
    room = np.arange(100, dtype=np.float32)
    for start in (0, 1, 3):
        part = room[start : start + 64]
        before = device.memory_stats() if "memory_stats" in lab.caps.features else None
        buffer = device.adopt(part.data.cast("B"))
        assert buffer.nbytes >= part.nbytes
        x = Operand(buffer, float32, View.contiguous((64,)))
        doubled = program(lambda x, s: x * s, float32, Input(float32, scalar=True))
        want = part * 2
        device.elementwise(doubled, [x], [x, 2.0])
        got = np.zeros(64, np.float32)
        device.download(buffer, 0, got.data.cast("B"))
        check_exact(got, want)
        check_exact(part.copy(), want, note="not written in place")
        part[5] = 7.0
        device.download(buffer, 0, got.data.cast("B"))
        assert got[5] == 7.0, "a write from outside is not seen"
        device.free(buffer)
        if before is not None:
            assert device.memory_stats().live == before.live
    assert room[70] == 70.0
