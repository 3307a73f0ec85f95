"""What is said where OpenCL, or a device, is missing."""

from __future__ import annotations

import importlib.util
import time

import pytest

from polyback.config import config
from polyback.device import Available, Unavailable
from polyback.errors import BackendUnavailable, InvalidArgument
from polyback_opencl import driver
from polyback_opencl.backend import OpenclBackend


def _unavailable(backend: OpenclBackend, code: str) -> Unavailable:
    answer = backend.probe()
    assert isinstance(answer, Unavailable)
    assert answer.code == code
    assert answer.reason
    assert answer.fix
    assert list(backend.devices()) == []
    with pytest.raises(BackendUnavailable) as caught:
        backend.open(0, config())
    assert caught.value.code == code
    return answer


def test_no_pyopencl(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    answer = _unavailable(OpenclBackend(), "NOT_INSTALLED")
    assert "pip install pyopencl" in answer.fix


def test_no_platform(monkeypatch):
    def none():
        record = driver.cl._cl._ErrorRecord(msg="none", code=driver.NO_PLATFORM, routine="probe")
        raise driver.cl.LogicError(record)

    monkeypatch.setattr(driver.cl, "get_platforms", none)
    answer = _unavailable(OpenclBackend(), "NO_DRIVER")
    assert "pocl" in answer.fix


def test_platform_without_device(monkeypatch):
    class Empty:
        name = "Empty platform"

        def get_devices(self):
            return []

    monkeypatch.setattr(driver.cl, "get_platforms", lambda: [Empty()])
    answer = _unavailable(OpenclBackend(), "NO_DEVICE")
    assert "Empty platform" in answer.reason
    monkeypatch.setattr(Empty, "name", driver.POCL)
    assert "POCL_CACHE_DIR" in _unavailable(OpenclBackend(), "NO_DEVICE").fix


def test_loader_that_fails(monkeypatch):
    def broken():
        raise RuntimeError("icd is broken")

    monkeypatch.setattr(driver.cl, "get_platforms", broken)
    assert "icd is broken" in _unavailable(OpenclBackend(), "PROBE_FAILED").reason


def test_probe_is_quick_and_index_is_checked():
    backend = OpenclBackend()
    if not isinstance(backend.probe(), Available):
        pytest.skip("no OpenCL device")
    start = time.perf_counter()
    backend.probe()
    assert time.perf_counter() - start < 0.05
    with pytest.raises(InvalidArgument):
        backend.open(99, config())
