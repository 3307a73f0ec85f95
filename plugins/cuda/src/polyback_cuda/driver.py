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
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar, final

import numpy as np

from polyback.device import DeviceInfo, Operand
from polyback.errors import PolybackError
from polyback.simt.driver import FORMATS, GIVEN, Kernel, Triple
from polyback.simt.geometry import Machine
from polyback.simt.pool import Buffer
from polyback.simt.pooled import PooledDriver
from polyback_cuda.compiler import Compiler
from polyback_cuda.cublas import Cublas, Gemm, plan
from polyback_cuda.graphs import Graphs, Recorder
from polyback_cuda.ptx import LEAST
from polyback_cuda.staging import Staging

T = TypeVar("T")
GROUP: Final = 256  # threads of a block: 8 warps keep 2048 threads on a multiprocessor in 8 blocks
# pycuda's errors have no code, only the driver's words. After these the context is useless.
STICKY: Final = (
    "illegal memory access", "misaligned address", "illegal instruction", "invalid address space",
    "invalid program counter", "launch failure", "launch timed out", "hardware stack error",
    "device-side assert", "uncorrectable", "device unavailable", "context is destroyed",
)  # fmt: skip


def load() -> Any:
    """pycuda's driver module, initialised; no context is made."""
    import pycuda.driver as cuda

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

    @property
    def has_tiles(self) -> bool:
        """Can it run the kernels of :mod:`polyback_cuda.tiles`?"""
        return int(self.architecture.removeprefix("sm_")) >= LEAST


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
class Compiled:
    """A kernel with its block, the codes of its arguments, and what packs them."""

    __slots__ = ("arguments", "block", "function", "pack")

    def __init__(self, function: Any, kernel: Kernel) -> None:
        self.function, self.block, self.arguments = function, (kernel.local, 1, 1), kernel.arguments
        self.pack = struct.Struct("".join(FORMATS[code] for code in kernel.arguments)).pack


@final
class Prepared:
    """A launch but for what is given: ``buffers`` and ``numbers`` are the places of those among
    ``values``; ``constants`` keep their memory."""

    __slots__ = ("block", "buffers", "constants", "groups", "numbers", "pack", "queue", "values")

    def __init__(self, compiled: Compiled, groups: Triple, arguments: Sequence[Any]) -> None:
        self.queue = compiled.function._launch_kernel
        self.block, self.groups = compiled.block, groups
        self.pack, codes = compiled.pack, compiled.arguments
        given = [k for k, a in enumerate(arguments) if a is GIVEN]
        self.buffers = [k for k in given if codes[k] == "*"]
        self.numbers = [k for k in given if codes[k] != "*"]
        self.constants = [a for a in arguments if isinstance(a, Buffer)]
        self.values = [a.handle if isinstance(a, Buffer) else a for a in arguments]


@final
class CudaDriver(PooledDriver):
    """One opened device. ``cuda`` is what :func:`load` returns, or stands in for it;
    ``make_compiler`` is given the architecture."""

    def __init__(
        self, cuda: Any, index: int, make_compiler: Callable[[str], Compiler], memory_limit: int = 0
    ) -> None:
        self._cuda = cuda
        self.device = cuda.Device(index)
        self.traits = traits_of(cuda, self.device)
        self.compiler = make_compiler(self.traits.architecture)
        limit = memory_limit or self.device.total_memory()
        super().__init__("cuda", self.device.name(), limit, self.traits.max_allocation)
        self._modules: dict[str, Any] = {}  # loaded sources: kernels of one source share it
        self._owned: dict[int, Any] = {}  # all memory by address: none may die outside the context
        context = primary_context(cuda, index)
        self._push, self._pop = context.push, cuda.Context.pop
        self._stream = self._run(cuda.Stream)
        self._staging = Staging(cuda, self._stream)
        self._blas: Cublas | None = None
        self._recorder = Recorder(
            getattr(cuda, "Graphs", Graphs), self._stream, self._run, self._forget
        )

    # --- memory --------------------------------------------------------------------------------

    def _take(self, room: int) -> int:
        memory = self._run(self._cuda.mem_alloc, room)
        self._owned[int(memory)] = memory
        return int(memory)

    def allocate(self, nbytes: int) -> Buffer:
        """From the pool, else from the device; while recording, the recording's own."""
        with self._lock:
            memory = self._recorder.memory
            buffer = (memory and memory.take(nbytes)) or super().allocate(nbytes)
            if memory is not None:
                memory.add(buffer)
            return buffer

    def free(self, buffer: Buffer) -> None:
        """Into the pool, unless a recording needs it."""
        if not self._recorder.keeps(buffer):
            super().free(buffer)

    def _forget(self, handle: int, room: int) -> None:
        self.free(Buffer(handle, room, room))

    def _give(self, handles: Sequence[int]) -> None:
        self._recorder.refuse("give memory back")

        def release() -> None:
            self._stream.synchronize()
            for address in handles:
                self._owned.pop(address).free()

        self._run(release)

    def _copy_in(self, buffer: Buffer, offset: int, source: Any) -> None:
        """Returns when the source is read, which is before the copy."""
        with self._lock:
            memory = self._recorder.memory
            if memory is None:
                self._run(self._staging.upload, buffer.handle + offset, source)
                return
            memory.use([buffer])
            kept = self._run(self._staging.keep, buffer.handle + offset, source)
            memory.sources.append(kept)  # a replay copies it again

    def _copy_out(self, buffer: Buffer, offset: int, target: Any) -> None:
        self._recorder.refuse("download")
        self._run(self._staging.download, buffer.handle + offset, target)

    def vendor_copy(self, to: Buffer, source: Buffer) -> None:
        """Queue NVIDIA's own copy between buffers of one size: what bandwidths are measured by."""
        nbytes = min(to.nbytes, source.nbytes)
        for buffer in (to, source):
            self._pool.check(buffer, 0, nbytes)
        copy = self._cuda.memcpy_dtod_async
        self._run(copy, to.handle, source.handle, nbytes, self._stream)

    def constants(self, words: Sequence[int]) -> Buffer:
        """Queued like any upload, so nothing waits."""
        data = np.array(words, np.int64)
        buffer = self.allocate(data.nbytes)
        self._pool.free_with(buffer)
        self.upload(buffer, 0, data.data.cast("B"))
        return buffer

    # --- kernels -------------------------------------------------------------------------------

    def compile(self, kernel: Kernel) -> Any:
        """A function, its block, and what packs its arguments."""
        self._status.check()
        module = self._modules.get(kernel.source)
        if module is None:
            binary = self.compiler.compile(kernel.source)
            module = self._run(self._cuda.module_from_buffer, binary)
            self._modules[kernel.source] = module
        return Compiled(self._run(module.get_function, kernel.name), kernel)

    def prepare(self, compiled: Any, groups: Triple, arguments: Sequence[Any]) -> Any:
        """Its arguments in memory, with holes for those that are given."""
        return Prepared(compiled, groups, arguments)

    def start(self, prepared: Any, buffers: Sequence[Any], numbers: Sequence[Any]) -> None:
        """Queue it and return. pycuda's prepared_async_call ends in the same call, 1.3 us later."""
        values = prepared.values.copy()
        for place, buffer in zip(prepared.buffers, buffers):
            handle = buffer.handle
            if handle is None:
                raise self._pool.freed()
            values[place] = handle
        if numbers:
            for place, number in zip(prepared.numbers, numbers):
                values[place] = number
        packed = prepared.pack(*values)
        with self._lock:
            if self._recorder.memory is not None:
                self._recorder.memory.use([*buffers, *prepared.constants])
            self._run(prepared.queue, prepared.groups, prepared.block, packed, 0, self._stream)

    # --- recordings ----------------------------------------------------------------------------

    def record(self, function: Callable[[], T]) -> tuple[Any, T]:
        """For :func:`polyback_cuda.graphs.record`."""
        with self._lock:
            self._status.check()
            return self._recorder.record(function)

    def replay(self, ready: Any) -> None:
        """Queue what was recorded."""
        with self._lock:
            self._status.check()
            self._recorder.launch(ready)

    def close_recording(self, ready: Any) -> None:
        """Its memory goes back to the pool."""
        with self._lock:
            if not self._status.closed:
                self._recorder.close(ready)

    # --- the vendor's matrix products ----------------------------------------------------------

    def open_blas(self, library: Any) -> None:
        """Multiply by cuBLAS from now on."""
        self._blas = self._run(Cublas, library, int(self._stream.handle))

    @property
    def has_blas(self) -> bool:
        """Was :meth:`open_blas` called?"""
        return self._blas is not None

    def gemm(self, out: Operand, a: Operand, b: Operand) -> Any:
        """cuBLAS' kernel for the product, whose arguments are the buffers of a, b and out; None if
        it cannot walk as these operands do."""
        product = plan(out, a, b)
        if product is None or self._blas is None:
            return None
        return Compiled(Gemm(self._blas, product), Kernel("gemm", "", ("*", "*", "*")))

    def synchronize(self) -> None:
        """Wait for the stream."""
        self._status.check()
        self._recorder.refuse("wait")
        self._run(self._stream.synchronize)

    def close(self) -> None:
        """Wait, then let everything go while the context is current."""
        with self._lock:
            if self._status.closed:
                return
            self._recorder.refuse("close")
            with contextlib.suppress(PolybackError):  # a lost device has nothing to give back
                self._pool.close()
                self._run(self._release)
            self._status.closed = True
            self._modules.clear()

    def _release(self) -> None:
        self._stream.synchronize()
        self._recorder.close_all()
        while self._owned:
            self._owned.popitem()[1].free()
        self._modules.clear()
        self._staging.forget()
        if self._blas is not None:
            self._blas.close()
            self._blas = None
        self._stream = None

    # --- errors --------------------------------------------------------------------------------

    def _run(self, call: Callable[..., T], *arguments: Any) -> T:
        """The executor: ``call`` with the context current, its errors typed."""
        status = self._status
        with self._lock:
            if status.closed or status.lost:
                status.check()
            try:
                self._push()
                try:
                    return call(*arguments)
                finally:
                    self._pop()
            except self._cuda.Error as error:
                raise self._translate(error) from error

    def _translate(self, error: Exception) -> PolybackError:
        text = str(error)
        if isinstance(error, self._cuda.MemoryError):
            return self._pool.out_of_memory(0)
        return self._status.fault(text, lost=any(words in text for words in STICKY))
