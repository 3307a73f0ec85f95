"""The driver layer through the real pycuda, over a library that answers as a GPU's driver would.

What is computed is not looked at, since nothing is: the calls and their arguments are. NOT RUN
where pycuda is not installed.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SPEC = importlib.util.find_spec("pycuda")
pytestmark = [
    pytest.mark.skipif(SPEC is None, reason="NOT RUN: pycuda is not installed"),
    pytest.mark.skipif(shutil.which("gcc") is None, reason="NOT RUN: no gcc to make a fake driver"),
]

PREPARE = """
import ctypes, numpy as np
from polyback.simt.driver import Kernel
from polyback_cuda import driver as module
from polyback_cuda.backend import CudaBackend
from polyback.errors import *

class Compiler:
    def __init__(self, architecture): self.architecture = architecture
    def compile(self, source): return b"binary"

fake = ctypes.CDLL("libcuda.so.1")
fake.fake_last.restype = ctypes.c_char_p
backend = CudaBackend()
cuda = module.load()
driver = module.CudaDriver(cuda, 0, Compiler)
assert fake.fake_depth() == 0
"""
USE = """
assert backend.probe().detail == "1 GPU", backend.probe()
assert backend.devices()[0].description == "fake GPU (compute 9.0, driver 13.0)", backend.devices()
assert driver.compiler.architecture == "sm_90"
assert driver.traits.machine.units == 132
data = np.random.default_rng(1).integers(0, 256, 9_000_001, np.uint8)
buffer = driver.allocate(data.size + 3)
driver.upload(buffer, 3, memoryview(data))
back = np.zeros_like(data)
driver.download(buffer, 3, memoryview(back))
assert (back == data).all()
other = driver.allocate(data.size + 3)
driver.vendor_copy(other, buffer)
back[:] = 0
driver.download(other, 3, memoryview(back))
assert (back == data).all()
driver.free(other)
words = driver.constants([1, 2, 3])
compiled = driver.compile(Kernel("dense", "text", ("*", "i64", "f32", "u8", "f64", "*"), 256))
driver.launch(compiled, (7, 2, 3), [buffer, -5, 0.5, 250, 1e300, words])
assert fake.fake_last() == b"7,2,3 256,1,1 40", fake.fake_last()
driver.synchronize()
try: driver.allocate(1 << 27)
except OutOfMemory as error: assert error.requested == 1 << 27
else: raise AssertionError("no OutOfMemory")
try: driver.compile(Kernel("absent", "text", (), 1))
except AsyncError as error: assert "named symbol not found" in str(error), error
else: raise AssertionError("no error")
del words
driver.free(buffer)
driver.trim()
assert driver.memory_stats().cached == 0
assert issubclass(cuda.MemoryError, cuda.Error)
driver.close()
assert fake.fake_depth() == 0
print("done")
"""
FAULT = """
compiled = driver.compile(Kernel("dense", "text", (), 256))
for call in (lambda: driver.launch(compiled, (1, 1, 1), []), driver.synchronize):
    try: call()
    except DeviceLost as error: assert "illegal memory access" in str(error)
    else: raise AssertionError("no DeviceLost")
driver.close()
print("done")
"""
GRAPH = """
from types import SimpleNamespace
from polyback_cuda.graphs import record
compiled = driver.compile(Kernel("dense", "text", ("*", "i64"), 256))
buffer = driver.allocate(100)
device = SimpleNamespace(driver=driver)
def launches():
    for k in range(3): driver.launch(compiled, (1, 1, 1), [buffer, k])
    driver.upload(buffer, 0, memoryview(bytes(100)))
replay = record(device, launches)
assert fake.fake_replayed() == 0
for _ in range(4): replay()
assert fake.fake_replayed() == 12
try: record(device, driver.synchronize)
except InvalidArgument: pass
else: raise AssertionError("no error")
replay.close()
import os; os.putenv("FAKE_GRAPH_FAULT", "1")
try: record(device, launches)
except AsyncError as error: assert "other (901)" in str(error), error
else: raise AssertionError("no error")
driver.launch(compiled, (1, 1, 1), [buffer, 1])
driver.close()
assert fake.fake_depth() == 0
print("done")
"""
# What the driver layer calls, as pycuda's own docstrings give it: the simulated pycuda and the fake
# driver would not notice if a newer pycuda took other arguments.
SIGNATURES = {
    "mem_alloc": "(int)arg1) -> DeviceAllocation",
    "memcpy_htod_async": "(object)dest, (object)src [, (object)stream=None]) -> None",
    "memcpy_dtoh_async": "(object)dest, (object)src [, (object)stream=None]) -> None",
    "memcpy_dtod_async": "(object)dest, (object)src, (int)size [, (object)stream=None]) -> None",
    "module_from_buffer": "(object)buffer [,",
    "pagelocked_empty": "(object)shape, (object)dtype [,",
    "get_driver_version": ") -> int",
    "Device.count": ") -> int",
    "Device.name": ") -> str",
    "Device.total_memory": ") -> int",
    "Device.compute_capability": ") -> tuple",
    "Device.get_attribute": "(device_attribute)arg2) -> object",
    "Device.retain_primary_context": "(Device)self) -> Context",
    "Context.push": "(Context)arg1) -> None",
    "Context.pop": "pop() -> None",
    "Context.detach": "(Context)arg1) -> None",
    "Stream.synchronize": "(Stream)arg1) -> None",
    "Event.record": "[, (object)stream=None]) -> Event",
    "Event.synchronize": "(Event)arg1) -> Event",
    "Module.get_function": "(str)name) -> Function",
    "Function._launch_kernel": "(tuple)arg2, (tuple)arg3, (object)arg4, (int)arg5, (object)arg6)",
    "DeviceAllocation.free": "(DeviceAllocation)arg1) -> None",
    "DeviceAllocation.__int__": ") -> int",
}
CHECK = """
from functools import reduce
for name, words in SIGNATURES.items():
    doc = reduce(getattr, name.split("."), cuda).__doc__
    assert words in " ".join(doc.split()).replace("( ", "("), (name, doc)
used = "init Device Stream Event event_flags.DISABLE_TIMING Error MemoryError".split()
used += ["device_attribute.MULTIPROCESSOR_COUNT"]
for name in used: reduce(getattr, name.split("."), cuda)
assert isinstance(driver._stream.handle, int)
driver.close()
print("done")
"""
LEFT_OPEN = """
from polyback.simt.driver import Kernel
buffer = driver.allocate(100)
kept = driver.constants([1])
print("done")
"""
THREADS = """
import threading
def work():
    for k in range(50):
        b = driver.allocate(100 + k)
        driver.upload(b, 0, memoryview(bytes(100)))
        driver.free(b)
threads = [threading.Thread(target=work) for _ in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
assert driver.memory_stats().live == 0
driver.close()
print("done")
"""


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the fake driver, and whatever else pycuda's module links."""
    assert SPEC is not None
    assert SPEC.origin is not None
    folder = tmp_path_factory.mktemp("fake")
    native = next(Path(SPEC.origin).parent.glob("_driver*.so"))
    names = subprocess.run(["nm", "-D", str(native)], capture_output=True, text=True, check=True)
    text = (HERE / "fake_libcuda.c").read_text()
    wanted = set(re.findall(r"U (cu[A-Z]\w+)", names.stdout))
    defined = set(re.findall(r"^int (cu\w+)\(", text, re.MULTILINE))
    text += "".join(f"int {name}(void) {{ return 801; }}\n" for name in sorted(wanted - defined))
    source = folder / "fake.c"
    source.write_text(text)
    options = ["-shared", "-fPIC", "-w", "-Wl,-soname,libcuda.so.1"]
    made = str(folder / "libcuda.so.1")
    subprocess.run(["gcc", *options, str(source), "-o", made], check=True)
    return folder


def outcome(body: str, libraries: Path, **more: str) -> None:
    """Run ``body`` in a process that finds the fake driver; it must end by itself and cleanly."""
    wheels = Path(sys.prefix).glob("lib/*/site-packages/nvidia/**/libcurand.so*")
    found = [str(libraries), *(str(p.parent) for p in wheels)]
    env = {
        **os.environ,
        **more,
        "PYTHONPATH": os.pathsep.join([str(HERE.parent / "src"), *sys.path]),
        "LD_LIBRARY_PATH": os.pathsep.join([*found, os.environ.get("LD_LIBRARY_PATH", "")]),
    }
    done = subprocess.run(
        [sys.executable, "-c", PREPARE + body], env=env,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip() == "done"
    assert done.stderr == ""


def test_the_calls_of_the_driver_layer(libraries: Path) -> None:
    outcome(USE, libraries)


def test_pycuda_has_what_is_called_and_takes_what_is_given(libraries: Path) -> None:
    outcome(f"SIGNATURES = {SIGNATURES!r}\n{CHECK}", libraries)


def test_graphs_over_pycuda_s_stream(libraries: Path) -> None:
    outcome(GRAPH, libraries)


def test_a_fault_loses_the_device(libraries: Path) -> None:
    outcome(FAULT, libraries, FAKE_FAULT="1")


def test_a_process_may_end_with_the_device_open(libraries: Path) -> None:
    """pycuda aborts the process if a context is still current then."""
    outcome(LEFT_OPEN, libraries)


def test_threads(libraries: Path) -> None:
    outcome(THREADS, libraries)
