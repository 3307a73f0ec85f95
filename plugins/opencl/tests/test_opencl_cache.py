"""Compiled programs on disk."""

from __future__ import annotations

import threading

import pytest
from opencl_lab import available

from polyback.simt.cache import BinaryCache, key


def test_key_separates_its_parts():
    assert key(["ab", "c"]) != key(["a", "bc"])
    assert key(["a"]) == key(["a"])


def test_store_and_load(tmp_path):
    cache = BinaryCache(tmp_path / "programs")
    assert cache.load("x") is None
    cache.store("x", b"binary")
    assert cache.load("x") == b"binary"
    assert (tmp_path / "programs").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("keep", [0, 10, 32, 35, -1])
def test_a_damaged_file_is_no_binary_and_is_written_anew(tmp_path, keep):
    cache = BinaryCache(tmp_path)
    cache.store("x", b"binary")
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:keep])
    assert cache.load("x") is None
    file.write_bytes(b"binary")
    assert cache.load("x") is None
    cache.store("x", b"binary")
    assert cache.load("x") == b"binary"


def test_writers_never_leave_half_a_file(tmp_path):
    cache = BinaryCache(tmp_path / "programs")
    blobs = [bytes([k]) * 200_000 for k in range(4)]
    seen: list[bytes] = []

    def write(blob: bytes) -> None:
        for _ in range(50):
            cache.store("x", blob)
            seen.append(cache.load("x") or b"")

    threads = [threading.Thread(target=write, args=(b,)) for b in blobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(seen) <= set(blobs)
    assert len(list((tmp_path / "programs").iterdir())) == 1


def test_a_folder_that_others_can_write_is_not_used(tmp_path):
    folder = tmp_path / "programs"
    folder.mkdir()
    folder.chmod(0o777)
    cache = BinaryCache(folder)
    assert not cache.usable
    cache.store("x", b"binary")
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(not available(), reason="no OpenCL device")
def test_a_stored_program_is_used(tmp_path):
    from polyback.simt.driver import Kernel
    from polyback_opencl import driver

    source = "kernel void one(global int *p) { p[0] = 1; }"
    kernel = Kernel("one", source, ("*",))
    for _ in range(2):
        opened = driver.OpenclDriver(driver.devices()[0])
        opened._binaries = BinaryCache(tmp_path / "programs")
        buffer = opened.allocate(4)
        opened.launch(opened.compile(kernel), (1, 1, 1), [buffer])
        got = bytearray(4)
        opened.download(buffer, 0, memoryview(got))
        assert got == b"\x01\0\0\0"
        opened.close()
    assert len(list((tmp_path / "programs").iterdir())) == 1
