"""The driver layer over a simulated pycuda: pool, staging, argument packing, geometry, errors.

No GPU is used here. What needs one is in ``test_cuda_gpu.py``.
"""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest

from polyback.errors import (
    AsyncError,
    CompileError,
    DeviceClosed,
    DeviceLost,
    InvalidArgument,
    OutOfMemory,
)
from polyback.simt.driver import Kernel
from polyback_cuda.driver import CudaDriver
from polyback_cuda.simulator import simulated_driver
from polyback_cuda.simulator.api import LaunchError, LogicError, MemoryError, SimulatedCuda
from polyback_cuda.staging import LARGE, SMALL

needs_compiler = pytest.mark.skipif(
    not (shutil.which("g++") or shutil.which("clang++")), reason="NOT RUN: no C++ compiler"
)
pytestmark = needs_compiler


@pytest.fixture
def cuda() -> SimulatedCuda:
    return SimulatedCuda(1 << 26)


@pytest.fixture
def driver(cuda: SimulatedCuda):
    made = simulated_driver(cuda)
    yield made
    made.close()
    assert cuda.stack == [], "a context is still current"


def fetch(driver: CudaDriver, buffer, nbytes: int, offset: int = 0) -> bytes:
    target = bytearray(nbytes)
    driver.download(buffer, offset, memoryview(target))
    return bytes(target)


# --- memory ---------------------------------------------------------------------------------------


def test_pool_hands_memory_out_again(driver: CudaDriver, cuda: SimulatedCuda) -> None:
    before = cuda.calls["alloc"]
    for k in range(100):
        driver.free(driver.allocate(1000 + k % 7))
    assert cuda.calls["alloc"] == before + 1
    stats = driver.memory_stats()
    assert (stats.live, stats.cached) == (0, 1024)
    driver.trim()
    assert driver.memory_stats().cached == 0
    assert cuda.used == 0


def test_sizes_and_alignment(driver: CudaDriver) -> None:
    buffers = [driver.allocate(n) for n in (0, 1, 255, 257, 1 << 20)]
    assert all(b.handle % 256 == 0 for b in buffers)
    assert [b.nbytes for b in buffers] == [0, 1, 255, 257, 1 << 20]


def test_freeing_twice_and_after_close(driver: CudaDriver) -> None:
    first, second = driver.allocate(10), driver.allocate(10)
    driver.free(first)
    driver.free(first)
    assert driver.memory_stats().live == 256
    driver.close()
    driver.free(second)


def test_free_needs_neither_lock_nor_context(driver: CudaDriver) -> None:
    """A finalizer may run on any thread while another one is inside the driver."""
    buffer, done = driver.allocate(10), threading.Event()

    def finalizer() -> None:
        driver.free(buffer)
        done.set()

    with driver._lock:
        threading.Thread(target=finalizer).start()
        assert done.wait(10)


def test_constants_come_back_when_dropped(driver: CudaDriver) -> None:
    words = driver.constants([1, -2, 2**62])
    assert np.frombuffer(fetch(driver, words, 24), np.int64).tolist() == [1, -2, 2**62]
    live = driver.memory_stats().live
    del words
    gc.collect()
    assert driver.memory_stats().live == live - 256


@pytest.mark.parametrize("nbytes", [1, SMALL, SMALL + 1, LARGE, 2 * LARGE + 5, 3 * LARGE])
def test_staging(driver: CudaDriver, cuda: SimulatedCuda, nbytes: int) -> None:
    """Sources may be reused at once though copies run late; pieces arrive in order."""
    source = np.random.default_rng(nbytes).integers(0, 256, nbytes, np.uint8)
    want = source.tobytes()
    buffer = driver.allocate(nbytes)
    driver.upload(buffer, 0, memoryview(source))
    source[:] = 0
    assert fetch(driver, buffer, nbytes) == want
    assert cuda.calls["pinned"] == 1


def test_many_small_uploads_reuse_slots(driver: CudaDriver, cuda: SimulatedCuda) -> None:
    buffer = driver.allocate(4 * 300)
    for k in range(300):
        driver.upload(buffer, 4 * k, memoryview(np.int32([k]).view(np.uint8)))
    assert np.frombuffer(fetch(driver, buffer, 1200), np.int32).tolist() == list(range(300))
    assert cuda.calls["pinned"] == 1


def test_copies_stay_inside(driver: CudaDriver) -> None:
    buffer = driver.allocate(10)
    for offset, size in ((-1, 1), (0, 11), (10, 1)):
        with pytest.raises(InvalidArgument, match="outside a buffer of 10"):
            driver.upload(buffer, offset, memoryview(bytes(size)))
    driver.free(buffer)
    with pytest.raises(InvalidArgument, match="freed"):
        driver.download(buffer, 0, memoryview(bytearray(1)))


# --- kernels --------------------------------------------------------------------------------------

TYPES = {
    "b8": ("unsigned char", 1), "i8": ("signed char", -7), "u8": ("unsigned char", 250),
    "i16": ("short", -300), "u16": ("unsigned short", 65000), "i32": ("int", -70000),
    "u32": ("unsigned", 2**32 - 1), "i64": ("long long", -(2**40)),
    "u64": ("unsigned long long", 2**53 - 1), "f32": ("float", 0.5), "f64": ("double", 1 / 3),
}  # fmt: skip


def test_arguments_of_every_type_arrive(driver: CudaDriver) -> None:
    """In an order that needs padding almost everywhere."""
    codes = ["u8", "f64", "i8", "i16", "f32", "b8", "u64", "u16", "i64", "i32", "u8", "u32"]
    parameters = ", ".join(f"{TYPES[c][0]} a{k}" for k, c in enumerate(codes))
    stores = " ".join(f"out[{k}] = (double)a{k};" for k in range(len(codes)))
    source = (f'extern "C" __global__ void take({parameters}, double *__restrict__ out)\n'
              f"{{ if (threadIdx.x == 0) {{ {stores} }} }}")  # fmt: skip
    compiled = driver.compile(Kernel("take", source, (*codes, "*"), 32))
    out = driver.allocate(8 * len(codes))
    driver.launch(compiled, (1, 1, 1), [*(TYPES[c][1] for c in codes), out])
    got = np.frombuffer(fetch(driver, out, 8 * len(codes)), np.float64).tolist()
    assert got == [TYPES[c][1] for c in codes]


def test_geometry(driver: CudaDriver) -> None:
    source = """
extern "C" __global__ void where(int *out)
{
    int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    out[block * blockDim.x + threadIdx.x] += 1 + block * 1000 + threadIdx.x;
}"""
    compiled = driver.compile(Kernel("where", source, ("*",), 64))
    out = driver.allocate(4 * 24 * 64)
    driver.upload(out, 0, memoryview(bytes(4 * 24 * 64)))
    driver.launch(compiled, (2, 3, 4), [out])
    got = np.frombuffer(fetch(driver, out, 4 * 24 * 64), np.int32).reshape(24, 64)
    assert (got == 1 + 1000 * np.arange(24)[:, None] + np.arange(64)).all()


FOLD = """
extern "C" __global__ void fold(const float *x, float *out, int n)
{
    __shared__ float part[8];
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    float s = i < n ? x[i] : 0;
    for (int k = 16; k > 0; k /= 2) s += __shfl_down_sync(0xffffffffu, s, k);
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = s;
    __syncthreads();
    for (int k = 4; k > 0; k /= 2) {
        if (threadIdx.x < k) part[threadIdx.x] += part[threadIdx.x + k];
        __syncthreads();
    }
    if (threadIdx.x == 0) atomicAdd(out, part[0]);
}
extern "C" __global__ void turn(int *x)
{
    int lane = threadIdx.x % 32;
    x[threadIdx.x] = __shfl_xor_sync(0xffffffffu, (int)threadIdx.x, 1)
        + 1000 * __shfl_sync(0xffffffffu, lane, 5);
}"""


def test_barriers_shuffles_and_shared_memory(driver: CudaDriver) -> None:
    """The simulator itself, on kernels written by hand."""
    n = 1000
    x, out = driver.allocate(4 * n), driver.allocate(4)
    driver.upload(x, 0, memoryview(np.arange(n, dtype=np.float32).view(np.uint8)))
    driver.upload(out, 0, memoryview(bytes(4)))
    driver.launch(driver.compile(Kernel("fold", FOLD, ("*", "*", "i32"), 256)), (4, 1, 1),
                  [x, out, n])  # fmt: skip
    assert np.frombuffer(fetch(driver, out, 4), np.float32)[0] == n * (n - 1) / 2
    driver.launch(driver.compile(Kernel("turn", FOLD, ("*",), 64)), (1, 1, 1), [x])
    got = np.frombuffer(fetch(driver, x, 256), np.int32)
    assert got.tolist() == [(k ^ 1) + 5000 for k in range(64)]


def test_a_missing_barrier_shows(driver: CudaDriver) -> None:
    """Threads run one after another up to a barrier: none of them finds what later ones write."""
    source = """
extern "C" __global__ void swap(int *out)
{
    __shared__ int part[64];
    part[threadIdx.x] = threadIdx.x + 1;
    __syncthreads();
    out[threadIdx.x] = part[63 - threadIdx.x];
}"""
    out = driver.allocate(256)
    for text, right in ((source, True), (source.replace("__syncthreads();", ""), False)):
        driver.launch(driver.compile(Kernel("swap", text, ("*",), 64)), (1, 1, 1), [out])
        got = np.frombuffer(fetch(driver, out, 256), np.int32).tolist()
        assert (got == list(range(64, 0, -1))) is right


def orders(
    driver: CudaDriver, monkeypatch: pytest.MonkeyPatch, text: str, grid=(1, 1, 1), threads=64
) -> list[list[int]]:
    """The 64 numbers that a kernel writes when its threads take turns forwards, backwards,
    shuffled."""
    out, found = driver.allocate(256), []
    for order in ("forward", "reverse", "shuffled"):
        monkeypatch.setenv("POLYBACK_CUDA_SIMULATED_ORDER", order)
        driver.upload(out, 0, memoryview(bytes(256)))
        driver.launch(driver.compile(Kernel("last", text, ("*",), threads)), grid, [out])
        found.append(np.frombuffer(fetch(driver, out, 256), np.int32).tolist())
    return found


def test_a_race_shows_in_another_order(driver: CudaDriver, monkeypatch) -> None:
    """Each thread reads what the one before it has written: right by luck if that came first."""
    source = """
extern "C" __global__ void last(int *out)
{
    __shared__ int part[64];
    part[threadIdx.x] = threadIdx.x + 1;
    __syncthreads();
    out[threadIdx.x] = threadIdx.x ? part[threadIdx.x - 1] : 0;
    __syncthreads();
    part[threadIdx.x] = 0;
}"""
    right = list(range(64))
    assert orders(driver, monkeypatch, source) == [right] * 3
    forward, reverse, shuffled = orders(
        driver, monkeypatch, source.replace("__syncthreads();", "", 1)
    )
    assert forward == right
    assert reverse != right
    assert shuffled != right


def test_every_thread_and_block_has_its_turn(driver: CudaDriver, monkeypatch) -> None:
    source = """
extern "C" __global__ void last(int *out)
{
    out[(blockIdx.x + 4 * blockIdx.y) * blockDim.x + threadIdx.x] += 1;
}"""
    assert orders(driver, monkeypatch, source, (4, 2, 1), 8) == [[1] * 64] * 3


MISALIGNED = """
from polyback.simt.driver import Kernel
from polyback_cuda.simulator import simulated_driver
from polyback_cuda.simulator.api import SimulatedCuda
source = '''extern "C" __global__ void wide(float *x, int k)
{ *(double2 *)(x + k) = double2{1, 2}; }'''
driver = simulated_driver(SimulatedCuda(1 << 26))
kernel, x = driver.compile(Kernel("wide", source, ("*", "i32"), 1)), driver.allocate(64)
for k in (4, 2):
    driver.launch(kernel, (1, 1, 1), [x, k])
    driver.synchronize()
    print(k, flush=True)
"""


def test_a_misaligned_access_ends_the_process() -> None:
    path = os.pathsep.join(sys.path)
    done = subprocess.run([sys.executable, "-c", MISALIGNED], env=os.environ | {"PYTHONPATH": path},
                          capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert done.stdout == "4\n", done.stderr
    assert done.returncode < 0


def test_sources_are_loaded_once(driver: CudaDriver, cuda: SimulatedCuda) -> None:
    driver.compile(Kernel("fold", FOLD, ("*", "*", "i32"), 256))
    driver.compile(Kernel("turn", FOLD, ("*",), 64))
    assert cuda.calls["module"] == 1


def test_launches_are_queued(driver: CudaDriver, cuda: SimulatedCuda) -> None:
    """A buffer may be freed, and handed out again, while work that reads it waits."""
    source = 'extern "C" __global__ void add(int *x, int n) { x[0] += n; }'
    add = driver.compile(Kernel("add", source, ("*", "i32"), 1))
    copy_source = 'extern "C" __global__ void copy(const int *x, int *to) { to[0] = x[0]; }'
    copy = driver.compile(Kernel("copy", copy_source, ("*", "*"), 1))
    result, x = driver.allocate(4), driver.allocate(4)
    driver.upload(x, 0, memoryview(bytes(4)))
    driver.launch(add, (1, 1, 1), [x, 5])
    driver.launch(copy, (1, 1, 1), [x, result])
    address = x.handle
    driver.free(x)
    again = driver.allocate(4)
    assert again.handle == address
    driver.upload(again, 0, memoryview(b"\xff" * 4))
    assert fetch(driver, result, 4) == (5).to_bytes(4, "little")


# --- errors ---------------------------------------------------------------------------------------


def test_compile_error_has_log_and_source(driver: CudaDriver) -> None:
    source = 'extern "C" __global__ void broken(int *x) { x[0] = nonsense; }'
    with pytest.raises(CompileError) as caught:
        driver.compile(Kernel("broken", source, ("*",), 1))
    assert "nonsense" in caught.value.log
    assert "nonsense" in caught.value.source
    driver.synchronize()


def test_out_of_memory_has_figures(cuda: SimulatedCuda) -> None:
    driver = simulated_driver(cuda, memory_limit=1 << 20)
    held = driver.allocate(1 << 19)
    driver.free(driver.allocate(1 << 18))
    with pytest.raises(OutOfMemory) as caught:
        driver.allocate(1 << 20)
    error = caught.value
    assert (error.requested, error.live, error.limit) == (1 << 20, 1 << 19, 1 << 20)
    driver.free(held)
    driver.allocate(1 << 20)  # the pool has made room


def test_out_of_memory_of_the_device(driver: CudaDriver, cuda: SimulatedCuda) -> None:
    cuda.inject("alloc", MemoryError("cuMemAlloc failed: out of memory"))
    with pytest.raises(OutOfMemory) as caught:
        driver.allocate(12345)
    assert caught.value.requested == 12345
    driver.allocate(12345)


def test_a_fault_of_a_kernel_loses_the_device(driver: CudaDriver, cuda: SimulatedCuda) -> None:
    """It is noticed at the next call that waits, and said again at every later one."""
    source = 'extern "C" __global__ void nothing(int *x) {}'
    compiled, x = driver.compile(Kernel("nothing", source, ("*",), 1)), driver.allocate(4)
    cuda.inject("work", LaunchError("cuStreamSynchronize failed: an illegal memory access"))
    driver.launch(compiled, (1, 1, 1), [x])
    with pytest.raises(DeviceLost, match="illegal memory access"):
        driver.synchronize()
    for call in (driver.synchronize, lambda: driver.allocate(4), driver.trim):
        with pytest.raises(DeviceLost):
            call()
    driver.free(x)
    driver.close()
    with pytest.raises(DeviceClosed):
        driver.synchronize()


def test_a_harmless_error_does_not_lose_it(driver: CudaDriver, cuda: SimulatedCuda) -> None:
    cuda.inject("alloc", LogicError("cuMemAlloc failed: operation not supported"))
    with pytest.raises(AsyncError, match="not supported"):
        driver.allocate(4)
    driver.allocate(4)


def test_freed_buffers_are_refused(driver: CudaDriver) -> None:
    source = 'extern "C" __global__ void nothing(int *x) {}'
    compiled, x = driver.compile(Kernel("nothing", source, ("*",), 1)), driver.allocate(4)
    driver.free(x)
    with pytest.raises(InvalidArgument, match="freed"):
        driver.launch(compiled, (1, 1, 1), [x])


def test_limits_of_a_grid(driver: CudaDriver) -> None:
    source = 'extern "C" __global__ void nothing(int *x) {}'
    compiled, x = driver.compile(Kernel("nothing", source, ("*",), 1)), driver.allocate(4)
    with pytest.raises(AsyncError, match="invalid argument"):
        driver.launch(compiled, (1, 65536, 1), [x])
    driver.synchronize()


def test_threads_that_part_at_a_barrier_are_seen(driver: CudaDriver) -> None:
    source = """
extern "C" __global__ void parted(int *x)
{
    if (threadIdx.x < 7) __syncthreads();
    else __syncwarp();
    x[0] = 1;
}"""
    compiled, x = driver.compile(Kernel("parted", source, ("*",), 32)), driver.allocate(4)
    driver.launch(compiled, (1, 1, 1), [x])
    with pytest.raises(DeviceLost, match="different places"):
        driver.synchronize()


def test_two_devices_share_the_primary_context(cuda: SimulatedCuda) -> None:
    one, two = simulated_driver(cuda), simulated_driver(cuda)
    buffer = one.allocate(4)
    one.upload(buffer, 0, memoryview(b"abcd"))
    two.close()
    assert fetch(one, buffer, 4) == b"abcd"
    one.close()
    assert cuda.used == 0  # the buffer that nobody freed included


def test_a_context_that_cannot_be_made_current() -> None:
    """Typed, and nothing stays on the stack."""
    cuda = SimulatedCuda()
    driver = simulated_driver(cuda)
    depth = len(cuda.stack)
    cuda.inject("push", LogicError("cuCtxPushCurrent failed: context is destroyed"))
    with pytest.raises(DeviceLost, match="context is destroyed"):
        driver.allocate(1 << 20)
    assert len(cuda.stack) == depth
    with pytest.raises(DeviceLost):
        driver.synchronize()
    driver.close()
