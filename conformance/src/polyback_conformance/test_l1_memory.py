"""Level 1: buffers. Bytes in, bytes out, nothing leaked, errors typed."""

from __future__ import annotations

import contextlib
import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polyback.dtype import float32
from polyback.errors import DeviceClosed, OutOfMemory
from polyback.program import copy_program
from polyback_conformance.compare import Mismatch, check_exact
from polyback_conformance.lab import Lab

pytestmark = pytest.mark.conformance_level(1)

SIZES = (0, 1, 3, 4, 63, 64, 65, 1000, 4096, 65537, 1 << 20)


def _bytes(lab: Lab, n: int, *key: Any) -> np.ndarray[Any, Any]:
    return lab.rng("bytes", *key).integers(0, 256, n, np.uint8)


def _fetch(lab: Lab, buffer: Any, offset: int, n: int) -> np.ndarray[Any, Any]:
    got = np.full(n, 0x5A, np.uint8)
    lab.device.download(buffer, offset, got.data)
    return got


def test_caps_are_constant_and_plain(lab: Lab) -> None:
    """``caps`` is one object, JSON-ready, and names only what the tables hold."""
    import json

    from polyback.device import MINIMUM_STORAGE, NAMES
    from polyback.features import FEATURES

    caps = lab.device.caps
    assert caps is lab.device.caps, "caps must be the same object every time"
    json.dumps(caps.as_dict())
    assert caps.storage >= MINIMUM_STORAGE, f"must store {sorted(MINIMUM_STORAGE - caps.storage)}"
    for table in (caps.storage, caps.matmul, *caps.scalars.values(), *caps.reductions.values()):
        assert table <= NAMES, f"unknown types {sorted(table - NAMES)}"
        assert table <= caps.storage, f"claims {sorted(table - caps.storage)} without storing them"
    known = {f.name for f in FEATURES}
    assert caps.features <= known, f"unknown features {sorted(caps.features - known)}"
    assert caps.limits.max_ndim >= 8, "at least 8 axes"
    alignment = caps.limits.alignment
    assert alignment >= 16, "at least 16 bytes of alignment"
    assert alignment & (alignment - 1) == 0, "a power of two"


@pytest.mark.parametrize("nbytes", SIZES)
def test_round_trip(lab: Lab, nbytes: int) -> None:
    """What is uploaded comes back, for 0 bytes too; nbytes is at least what was asked for."""
    buffer = lab.device.allocate(nbytes)
    try:
        assert buffer.nbytes >= nbytes
        data = _bytes(lab, nbytes, nbytes)
        lab.device.upload(buffer, 0, data.data)
        check_exact(_fetch(lab, buffer, 0, nbytes), data)
        check_exact(_fetch(lab, buffer, 0, nbytes), data, note="the second download")
    finally:
        lab.device.free(buffer)


def test_offsets(lab: Lab) -> None:
    """Parts of a buffer, at every kind of offset, without touching the rest."""
    n = 4099
    expected = _bytes(lab, n, "offsets")
    buffer = lab.device.allocate(n)
    try:
        lab.device.upload(buffer, 0, expected.data)
        for offset, size in ((0, 1), (1, 3), (5, 64), (64, 64), (67, 1001), (n - 1, 1), (n, 0)):
            part = _bytes(lab, size, offset)
            lab.device.upload(buffer, offset, part.data)
            expected[offset : offset + size] = part
            note = f"offset {offset}, {size} bytes"
            check_exact(_fetch(lab, buffer, offset, size), part, note=note)
            check_exact(_fetch(lab, buffer, 0, n), expected, note=f"all, after {note}")
    finally:
        lab.device.free(buffer)


def test_sources_and_targets_of_every_kind(lab: Lab) -> None:
    """bytes, bytearrays, parts of arrays and read-only memory are all sources."""
    data = _bytes(lab, 257, "kinds")
    buffer = lab.device.allocate(257)
    try:
        read_only = data.copy()
        read_only.flags.writeable = False
        for source in (memoryview(data.tobytes()), memoryview(bytearray(data)),
                       read_only.data):  # fmt: skip
            lab.device.upload(buffer, 0, np.zeros(257, np.uint8).data)
            lab.device.upload(buffer, 0, source)
            target = bytearray(257)
            lab.device.download(buffer, 0, memoryview(target))
            check_exact(np.frombuffer(target, np.uint8), data)
    finally:
        lab.device.free(buffer)


def test_buffers_are_separate(lab: Lab) -> None:
    """Many live buffers: each keeps its own bytes, also when others come and go."""
    rng = lab.rng("separate")
    live: list[tuple[Any, np.ndarray[Any, Any]]] = []
    try:
        for k in range(300):
            if live and rng.random() < 0.4:
                buffer, data = live.pop(int(rng.integers(len(live))))
                check_exact(_fetch(lab, buffer, 0, data.size), data, note=f"step {k}")
                lab.device.free(buffer)
            data = _bytes(lab, int(rng.integers(1, 5000)), k)
            buffer = lab.device.allocate(data.size)
            lab.device.upload(buffer, 0, data.data)
            live.append((buffer, data))
        for buffer, data in live:
            check_exact(_fetch(lab, buffer, 0, data.size), data)
    finally:
        for buffer, _ in live:
            lab.device.free(buffer)


def test_alignment(lab: Lab) -> None:
    """Addresses keep ``caps.limits.alignment`` (seen only where the device offers host_view)."""
    if "host_view" not in lab.caps.features:
        pytest.skip("L1 alignment: addresses are not visible without host_view")
    buffers = [lab.device.allocate(n) for n in (1, 3, 17, 64, 100, 1000, 1, 4097)]
    try:
        for buffer in buffers:
            view = lab.optional.host_view(buffer)
            address = np.frombuffer(view, np.uint8).ctypes.data
            off = address % lab.caps.limits.alignment
            assert off == 0, f"address {address:#x} is {off} past {lab.caps.limits.alignment} bytes"
    finally:
        for buffer in buffers:
            lab.device.free(buffer)


def _resident() -> int:
    """Bytes of main memory this process holds; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


def test_ten_thousand_buffers_leak_nothing(lab: Lab) -> None:
    """10^4 cycles of allocate, write, free: neither the device nor the process grows."""
    data = np.ones(16384, np.uint8).data

    def cycle(times: int) -> None:
        for k in range(times):
            buffer = lab.device.allocate(16384 + k % 7)
            lab.device.upload(buffer, 0, data)
            lab.device.free(buffer)

    cycle(500)  # caches may fill
    lab.device.synchronize()
    gc.collect()
    stats = getattr(lab.device, "memory_stats", None)
    live, resident = stats().live if stats else 0, _resident()
    cycle(10_000)
    lab.device.synchronize()
    if stats:
        assert stats().live == live, f"live bytes went from {live} to {stats().live}"
    grown = _resident() - resident
    assert grown < 32 << 20, f"the process grew by {grown} bytes in 10^4 cycles"


@pytest.mark.parametrize("power", [62, 60, 50])
def test_out_of_memory_is_typed(lab: Lab, power: int) -> None:
    """An absurd size raises OutOfMemory that says how much was asked for; then work goes on."""
    try:
        buffer = lab.device.allocate(1 << power)
    except OutOfMemory as error:
        if error.requested < 1 << power:
            raise Mismatch(f"OutOfMemory.requested is {error.requested}") from error
    except Exception as error:
        raise Mismatch(f"want OutOfMemory, got {type(error).__name__}: {error}") from error
    else:
        lab.device.free(buffer)
        raise Mismatch(f"2**{power} bytes were allocated")
    values = np.arange(10, dtype=np.float32)
    done = lab.elementwise(copy_program(float32, float32), [values], (10,))
    check_exact(done.outs[0], values, note="the next call after OutOfMemory")


def test_closed_device(lab: Lab) -> None:
    """After close every call raises DeviceClosed; closing again, and freeing, is harmless."""
    device = lab.target.open()
    buffer = device.allocate(64)
    device.upload(buffer, 0, memoryview(bytes(64)))
    device.close()
    device.close()
    calls = {
        "allocate": lambda: device.allocate(64),
        "upload": lambda: device.upload(buffer, 0, memoryview(bytes(4))),
        "download": lambda: device.download(buffer, 0, memoryview(bytearray(4))),
        "synchronize": device.synchronize,
    }
    for name, call in calls.items():
        try:
            call()
        except DeviceClosed:
            continue
        except Exception as error:
            raise Mismatch(f"{name} after close: {type(error).__name__}: {error}") from error
        raise Mismatch(f"{name} after close raised nothing; want DeviceClosed")
    device.close()


def test_close_does_not_disturb_another_device(lab: Lab) -> None:
    """Two devices of one backend live side by side."""
    other = lab.target.open()
    data = _bytes(lab, 100, "two")
    mine = lab.device.allocate(100)
    try:
        lab.device.upload(mine, 0, data.data)
        other.close()
        check_exact(_fetch(lab, mine, 0, 100), data)
    finally:
        lab.device.free(mine)
