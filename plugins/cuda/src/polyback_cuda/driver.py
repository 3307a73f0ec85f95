"""pycuda, and the only file that imports it: primary context, one stream, memory pool, kernels.

All threads share the stream: work in one order alone makes a buffer that one thread wrote safe to
read on another, and a freed buffer safe to hand out at once. Every call of the vendor's library
goes through :meth:`CudaDriver._run`, which makes the context current, one thread at a time, and
removes it afterwards: pycuda aborts the process if a context is still current when it ends.
"""

from __future__ import annotations

import atexit
import contextlib
import struct
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar, final

import numpy as np

from polyback.device import DeviceInfo
from polyback.errors import (
    AsyncError,
    DeviceClosed,
    DeviceLost,
    InvalidArgument,
    OutOfMemory,
    PolybackError,
)
from polyback.features import MemoryStats
from polyback.simt.driver import Kernel, Triple
from polyback.simt.geometry import Machine
from polyback_cuda.compiler import Compiler
from polyback_cuda.staging import Staging

T = TypeVar("T")
GROUP: Final = 256  # threads of a block: 8 warps keep 2048 threads on a multiprocessor in 8 blocks
FORMATS: Final = {  # of struct: how a kernel's argument lies in memory
    "*": "P", "b8": "B", "i8": "b", "i16": "h", "i32": "i", "i64": "q", "u8": "B", "u16": "H",
    "u32": "I", "u64": "Q", "f16": "H", "bf16": "H", "f32": "f", "f64": "d",
}  # fmt: skip
# pycuda's errors have no code, only the driver's words. After these the context is useless.
STICKY: Final = (
    "illegal memory access", "misaligned address", "illegal instruction", "invalid address space",
    "invalid program counter", "launch failure", "launch timed out", "hardware stack error",
    "device-side assert", "uncorrectable", "device unavailable", "context is destroyed",
)  # fmt: skip


def load() -> Any:
    """pycuda's driver module, initialised; no context is made."""
    import pycuda.driver as cuda  # type: ignore[import-untyped]

    cuda.init()
    return cuda


_CONTEXTS: Final = weakref.WeakKeyDictionary[Any, dict[int, Any]]()


def primary_context(cuda: Any, index: int) -> Any:
    """Retained once and given back when the process ends: to release it sooner, pycuda would leave
    it current, and not to release it at all makes pycuda complain at the end."""
    known = _CONTEXTS.setdefault(cuda, {})
    if index not in known:
        known[index] = cuda.Device(index).retain_primary_context()
        atexit.register(_release_context, known[index])
    return known[index]


def _release_context(context: Any) -> None:
    context.push()
    context.detach()


def describe(cuda: Any, index: int) -> DeviceInfo:
    """What is known without opening it."""
    device = cuda.Device(index)
    major, minor = device.compute_capability()
    version = cuda.get_driver_version()
    driver = f"{version // 1000}.{version % 1000 // 10}"
    text = f"{device.name()} (compute {major}.{minor}, driver {driver})"
    return DeviceInfo(index, "gpu", text, device.total_memory())


@final
@dataclass(frozen=True)
class Traits:
    """What was asked of the device."""

    machine: Machine
    architecture: str
    alignment: int
    max_allocation: int


def traits_of(cuda: Any, device: Any) -> Traits:
    """Ask the device; nothing is assumed but what the programming guide promises: 256-byte
    alignment."""
    which = cuda.device_attribute
    major, minor = device.compute_capability()
    units = device.get_attribute(which.MULTIPROCESSOR_COUNT)
    return Traits(
        Machine(False, units, GROUP),
        architecture=f"sm_{major}{minor}",
        alignment=256,
        max_allocation=device.total_memory(),
    )


@final
class CudaBuffer:
    """Memory of the device. ``handle`` is None once it is freed."""

    __slots__ = ("__weakref__", "address", "handle", "nbytes", "room")

    def __init__(self, handle: Any, nbytes: int, room: int) -> None:
        self.handle, self.nbytes, self.room = handle, nbytes, room
        self.address = int(handle)


def _pointer(buffer: CudaBuffer) -> int | None:
    return None if buffer.handle is None else buffer.address


def _room(nbytes: int) -> int:
    """Bytes taken from the device: at most a quarter more, so that freed memory fits again."""
    if nbytes <= 256:
        return 256
    step = 1 << max(8, (nbytes - 1).bit_length() - 3)
    return -(-nbytes // step) * step


@final
class CudaDriver:
    """One opened device. ``cuda`` is what :func:`load` returns, or stands in for it;
    ``make_compiler`` is given the architecture."""

    def __init__(
        self, cuda: Any, index: int, make_compiler: Callable[[str], Compiler], memory_limit: int = 0
    ) -> None:
        self._cuda = cuda
        self.device = cuda.Device(index)
        self.traits = traits_of(cuda, self.device)
        self.compiler = make_compiler(self.traits.architecture)
        self._limit = memory_limit or self.device.total_memory()
        self._lock = threading.RLock()
        self._returned: deque[tuple[Any, int]] = deque()  # freed by anyone, sorted in later
        self._pool: dict[int, list[Any]] = {}
        self._modules: dict[str, Any] = {}  # loaded sources: kernels of one source share it
        self._live = self._cached = self._peak = self._count = 0
        self._lost, self._closed = "", False
        self._owned: dict[int, Any] = {}  # all memory by address: none may die outside the context
        self._context = primary_context(cuda, index)
        self._stream = self._run(cuda.Stream)
        self._staging = Staging(cuda, self._stream)

    # --- memory --------------------------------------------------------------------------------

    def allocate(self, nbytes: int) -> CudaBuffer:
        """From the pool, else from the device."""
        room = _room(nbytes)
        with self._lock:
            self._check_open()
            self._sort_in()
            spare = self._pool.get(room)
            if spare:
                handle = spare.pop()
                self._cached -= room
            else:
                handle = self._allocate(nbytes, room)
            self._live, self._count = self._live + room, self._count + 1
            self._peak = max(self._peak, self._live)
        return CudaBuffer(handle, nbytes, room)

    def _allocate(self, nbytes: int, room: int) -> Any:
        if self._live + self._cached + room > self._limit:
            self.trim()
        if room > self.traits.max_allocation or self._live + room > self._limit:
            raise self._out_of_memory(nbytes)
        try:
            handle = self._run(self._cuda.mem_alloc, room)
        except OutOfMemory as error:
            raise self._out_of_memory(nbytes) from error
        self._owned[int(handle)] = handle
        return handle

    def free(self, buffer: CudaBuffer) -> None:
        """Only notes it: a finalizer may call this at any time, on any thread, within any other
        call."""
        handle, buffer.handle = buffer.handle, None
        if handle is not None and not self._closed:
            self._returned.append((handle, buffer.room))

    def _sort_in(self) -> None:
        """Into the pool: the stream is in order, so the next user comes after the last one."""
        while self._returned:
            handle, room = self._returned.popleft()
            self._live -= room
            self._cached += room
            self._pool.setdefault(room, []).append(handle)

    def upload(self, buffer: CudaBuffer, offset: int, source: memoryview) -> None:
        """Returns when the source is read, which is before the copy."""
        self._check_range(buffer, offset, source.nbytes)
        if source.nbytes:
            data = np.frombuffer(source, np.uint8)
            self._run(self._staging.upload, buffer.address + offset, data)

    def download(self, buffer: CudaBuffer, offset: int, target: memoryview) -> None:
        """Waits for everything queued before."""
        self._check_range(buffer, offset, target.nbytes)
        if target.nbytes:
            data = np.frombuffer(target, np.uint8)
            self._run(self._staging.download, buffer.address + offset, data)

    def constants(self, words: Sequence[int]) -> CudaBuffer:
        """Queued like any upload, so nothing waits."""
        data = np.array(words, np.int64)
        buffer = self.allocate(data.nbytes)
        note = weakref.finalize(buffer, self._returned.append, (buffer.handle, buffer.room))
        note.atexit = False
        self.upload(buffer, 0, data.data.cast("B"))
        return buffer

    def memory_stats(self) -> MemoryStats:
        """Bytes that the device gave us."""
        with self._lock:
            self._check_open()
            self._sort_in()
            return MemoryStats(self._live, self._cached, self._peak, self._limit, self._count)

    def trim(self) -> None:
        """Give the pool back, after the work that may still use it."""
        with self._lock:
            self._check_open()
            self._sort_in()
            if self._cached:
                self._run(self._drop_pool)

    def _drop_pool(self) -> None:
        self._stream.synchronize()
        for handles in self._pool.values():
            for handle in handles:
                del self._owned[int(handle)]
                handle.free()
        self._pool.clear()
        self._cached = 0

    # --- kernels -------------------------------------------------------------------------------

    def compile(self, kernel: Kernel) -> Any:
        """A function, its block, and what packs its arguments."""
        self._check_open()
        module = self._modules.get(kernel.source)
        if module is None:
            binary = self.compiler.compile(kernel.source)
            module = self._run(self._cuda.module_from_buffer, binary)
            self._modules[kernel.source] = module
        function = self._run(module.get_function, kernel.name)
        pack = struct.Struct("".join(FORMATS[code] for code in kernel.arguments)).pack
        return function, (kernel.local, 1, 1), pack

    def launch(self, compiled: Any, groups: Triple, arguments: Sequence[Any]) -> None:
        """Queue it and return. pycuda's prepared_async_call ends in the same call, 1.3 us later."""
        function, block, pack = compiled
        values = [_pointer(a) if isinstance(a, CudaBuffer) else a for a in arguments]
        if None in values:  # to CUDA a pointer like any other, to memory that others have by now
            raise InvalidArgument("[cuda] an operand's buffer has been freed")
        packed = pack(*values)
        self._run(function._launch_kernel, groups, block, packed, 0, self._stream)

    def synchronize(self) -> None:
        """Wait for the stream."""
        self._check_open()
        self._run(self._stream.synchronize)

    def close(self) -> None:
        """Wait, then let everything go while the context is current."""
        with self._lock:
            if self._closed:
                return
            self._sort_in()
            with contextlib.suppress(PolybackError):  # a lost device has nothing to give back
                self._run(self._release)
            self._closed = True
            self._pool.clear()
            self._modules.clear()

    def _release(self) -> None:
        self._drop_pool()
        while self._owned:
            self._owned.popitem()[1].free()
        self._modules.clear()
        self._staging.forget()
        self._stream = None

    # --- errors --------------------------------------------------------------------------------

    def _run(self, call: Callable[..., T], *arguments: Any) -> T:
        """The executor: ``call`` with the context current, its errors typed."""
        with self._lock:
            self._check_open()
            self._context.push()
            try:
                return call(*arguments)
            except self._cuda.Error as error:
                raise self._translate(error) from error
            finally:
                self._cuda.Context.pop()

    def _check_open(self) -> None:
        if self._closed:
            raise DeviceClosed("[cuda] the device is closed; open it again")
        if self._lost:
            raise DeviceLost(f"[cuda] {self.device.name()} is lost since: {self._lost}")

    def _check_range(self, buffer: CudaBuffer, offset: int, nbytes: int) -> None:
        self._check_open()
        if buffer.handle is None:
            raise InvalidArgument("[cuda] the buffer has been freed")
        if offset < 0 or offset + nbytes > buffer.nbytes:
            raise InvalidArgument(
                f"[cuda] bytes [{offset}, {offset + nbytes}) are outside a buffer of "
                f"{buffer.nbytes}"
            )

    def _translate(self, error: Exception) -> PolybackError:
        text = str(error)
        if isinstance(error, self._cuda.MemoryError):
            return self._out_of_memory(0)
        if any(words in text for words in STICKY):
            self._lost = text
            return DeviceLost(f"[cuda] {self.device.name()} stopped answering: {text}")
        return AsyncError(f"[cuda] {self.device.name()}: {text}")

    def _out_of_memory(self, nbytes: int) -> OutOfMemory:
        limit = min(self._limit, self.traits.max_allocation)
        return OutOfMemory(
            f"[cuda] out of memory: {nbytes} bytes requested, {self._live} live, "
            f"{self._cached} cached, limit {limit}",
            requested=nbytes, live=self._live, cached=self._cached, limit=limit,
        )  # fmt: skip
