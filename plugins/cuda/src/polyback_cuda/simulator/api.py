"""Stands in for ``pycuda.driver``: the same calls, on host memory, with kernels compiled for the
host.

Nothing queued runs before somebody waits: a copy reads its source, and a kernel its operands, as
late as the rules of CUDA allow. So a source that is reused too early, or memory that is given back
too early, shows. What real hardware would do to a wild pointer is not simulated; copies are
checked.
"""

from __future__ import annotations

import builtins
import ctypes
import tempfile
import threading
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, final

import numpy as np

from polyback_cuda.simulator.compiler import PREFIX

ALIGNMENT: Final = 256
MOST_QUEUED: Final = 512  # a real queue blocks at about 1000 launches
MOST_GRID: Final = (2**31 - 1, 65535, 65535)
MOST_THREADS: Final = 1024
_ONE_AT_A_TIME: Final = (
    threading.RLock()
)  # compiled kernels keep threads and shared memory in statics


class Error(Exception):
    """As pycuda's: words, no code."""


class MemoryError(Error, builtins.MemoryError):
    """Allocation failed."""


class LogicError(Error):
    """A call that cannot be right."""


class LaunchError(Error):
    """A kernel failed."""


class event_flags:  # noqa: N801  (its name there)
    """As pycuda's."""

    DISABLE_TIMING = 2


class device_attribute:  # noqa: N801  (its name there)
    """As pycuda's; values are names here."""

    MULTIPROCESSOR_COUNT = "multiprocessors"
    MAX_SHARED_MEMORY_PER_BLOCK = "shared"


@final
class Memory:
    """A DeviceAllocation."""

    def __init__(self, cuda: SimulatedCuda, nbytes: int) -> None:
        self._cuda, self.nbytes = cuda, nbytes
        self.bytes = np.full(nbytes + ALIGNMENT, 0xCD, np.uint8)
        self.address = -(-self.bytes.ctypes.data // ALIGNMENT) * ALIGNMENT

    def __int__(self) -> int:
        return self.address

    def free(self) -> None:
        """Like cuMemFree it waits for queued work."""
        self._cuda.check_current()
        self._cuda.drain()
        if self._cuda.memory.pop(self.address, None) is None:
            raise LogicError("cuMemFree failed: invalid argument")
        self._cuda.used -= self.nbytes


@final
class Context:
    """The primary context; the stack is per thread, as the driver's is."""

    def __init__(self, cuda: SimulatedCuda) -> None:
        self._cuda = cuda

    def push(self) -> None:
        """Make it current."""
        self._cuda.meet("push")
        self._cuda.stack.append(self)

    def pop(self) -> None:
        """Called on the class in pycuda: removes what is current."""
        if not self._cuda.stack:
            raise LogicError("cuCtxPopCurrent failed: invalid device context")
        self._cuda.stack.pop()

    def detach(self) -> None:
        """Give the primary context back."""
        self._cuda.stack.clear()


@final
class Stream:
    """Work in order."""

    handle = 1

    def __init__(self, cuda: SimulatedCuda) -> None:
        cuda.check_current()
        self._cuda = cuda

    def synchronize(self) -> None:
        """Run everything queued."""
        self._cuda.check_current()
        self._cuda.drain()


@final
class Event:
    """Has happened when the work queued before it has run."""

    def __init__(self, cuda: SimulatedCuda) -> None:
        cuda.check_current()
        self._cuda, self._mark = cuda, 0

    def record(self, stream: Stream) -> None:
        """Behind all that is queued now."""
        self._mark = self._cuda.queued

    def synchronize(self) -> None:
        """Run up to it."""
        self._cuda.check_current()
        self._cuda.drain(self._mark)


@final
class Function:
    """A kernel."""

    def __init__(self, cuda: SimulatedCuda, entry: Any) -> None:
        self._cuda, self._entry = cuda, entry

    def _launch_kernel(
        self,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        packed: bytes,
        shared: int,
        stream: Stream | None,
    ) -> None:
        """What all launches of pycuda end in; runs later."""
        cuda = self._cuda
        cuda.check_current()
        cuda.calls["launch"] += 1
        if any(not 1 <= n <= most for n, most in zip(grid, MOST_GRID, strict=True)):
            raise LogicError("cuLaunchKernel failed: invalid argument")
        if not 1 <= block[0] <= MOST_THREADS or block[1:] != (1, 1):
            raise LogicError("cuLaunchKernel failed: invalid argument")
        cuda.queue(lambda: self._run(grid, block[0], packed))

    def _run(self, grid: tuple[int, ...], threads: int, packed: bytes) -> None:
        fault = self._entry((ctypes.c_uint * 3)(*grid), threads, packed, len(packed))
        if fault:
            words = fault.decode()
            raise LaunchError(f"cuStreamSynchronize failed: unspecified launch failure: {words}")


@final
class Module:
    """A loaded shared library. Its file is gone; libraries stay until the process ends."""

    def __init__(self, cuda: SimulatedCuda, binary: bytes) -> None:
        cuda.check_current()
        self._cuda = cuda
        with tempfile.TemporaryDirectory(prefix="polyback-simulated-") as folder:
            path = Path(folder, "kernels.so")
            path.write_bytes(binary)
            self._library = ctypes.CDLL(str(path))

    def get_function(self, name: str) -> Function:
        """The kernel of this name."""
        try:
            entry = self._library[PREFIX + name]
        except AttributeError:
            raise LogicError("cuModuleGetFunction failed: named symbol not found") from None
        entry.restype = ctypes.c_char_p
        entry.argtypes = (ctypes.c_void_p, ctypes.c_uint, ctypes.c_char_p, ctypes.c_size_t)
        return Function(self._cuda, entry)


@final
class SimulatedGraphs:
    """Lists of recorded work. A copy or kernel keeps its addresses and arguments."""

    def __init__(self, cuda: SimulatedCuda) -> None:
        self._cuda = cuda

    def begin(self, stream: Stream) -> None:
        """Record from now on."""
        self._cuda.check_current()
        self._cuda.recorded = []

    def end(self, stream: Stream) -> list[Callable[[], None]]:
        """All that was queued meanwhile."""
        self._cuda.check_current()
        assert self._cuda.recorded is not None
        work, self._cuda.recorded = self._cuda.recorded, None
        self._cuda.calls["graphs"] += 1
        return work

    def launch(self, ready: list[Callable[[], None]], stream: Stream) -> None:
        """Queue all of it, as one launch."""
        self._cuda.check_current()
        self._cuda.calls["graph launch"] += 1
        for work in ready:
            self._cuda.queue(work)

    def destroy(self, ready: list[Callable[[], None]]) -> None:
        """After what is queued, as the driver does."""
        self._cuda.check_current()
        self._cuda.calls["graphs"] -= 1


@final
class SimulatedCuda:
    """One simulated GPU with ``memory_size`` bytes, in place of the module ``pycuda.driver``.

    ``calls`` counts calls by name. :meth:`inject` makes the next call of a kind fail.
    """

    Error, MemoryError, LogicError, LaunchError = Error, MemoryError, LogicError, LaunchError
    event_flags, device_attribute = event_flags, device_attribute

    def __init__(self, memory_size: int = 1 << 32) -> None:
        self.memory_size, self.used = memory_size, 0
        self.memory: dict[int, Memory] = {}
        self.calls: Counter[str] = Counter()
        self.queued = 0  # works queued so far; ``_done`` of them have run
        self._done = 0
        self._work: deque[Callable[[], None]] = deque()
        self.recorded: list[Callable[[], None]] | None = None  # while a graph is recorded
        self._faults: dict[str, Exception] = {}
        self._sticky: Exception | None = None
        self._local = threading.local()
        self.Context = Context(self)  # pop is called on it

    # --- faults --------------------------------------------------------------------------------

    def inject(self, call: str, error: Exception) -> None:
        """The next ``call`` ("alloc", "push", "work": the next queued work when it runs) raises
        ``error``."""
        self._faults[call] = error

    def meet(self, call: str) -> None:
        """Raise what was injected for this call."""
        error = self._faults.pop(call, None)
        if error is not None:
            raise error

    # --- the device ----------------------------------------------------------------------------

    @property
    def stack(self) -> list[Context]:
        """The contexts of this thread."""
        if not hasattr(self._local, "stack"):
            self._local.stack = []
        found: list[Context] = self._local.stack
        return found

    def check_current(self) -> None:
        """Everything needs a context, and fails once the device has."""
        if not self.stack:
            raise LogicError("failed: invalid device context")
        if self._sticky is not None:
            raise self._sticky

    def Device(self, index: int) -> SimulatedCuda:
        """There is one."""
        assert index == 0
        return self

    def name(self) -> str:
        """Of the device."""
        return "simulated GPU"

    def total_memory(self) -> int:
        """In bytes."""
        return self.memory_size

    def compute_capability(self) -> tuple[int, int]:
        """An H100's."""
        return 9, 0

    def get_attribute(self, which: str) -> int:
        """Of the device."""
        return {"multiprocessors": 132, "shared": 49152}[which]

    def retain_primary_context(self) -> Context:
        """The only one."""
        return self.Context

    # --- work ----------------------------------------------------------------------------------

    def queue(self, work: Callable[[], None]) -> None:
        """Run it later, or record it."""
        if self.recorded is not None:
            self.recorded.append(work)
            return
        self._work.append(work)
        self.queued += 1
        if len(self._work) > MOST_QUEUED:
            self.drain(self.queued - MOST_QUEUED // 2)

    def Graphs(self) -> SimulatedGraphs:
        """In place of :class:`polyback_cuda.graphs.Graphs`."""
        return SimulatedGraphs(self)

    def drain(self, mark: int | None = None) -> None:
        """Run what was queued, up to ``mark``; a fault makes the context useless."""
        if self.recorded is not None:
            raise LogicError("operation not permitted when stream is capturing")
        until = self.queued if mark is None else mark
        with _ONE_AT_A_TIME:
            while self._done < until and self._work:
                self._done += 1
                work = self._work.popleft()
                try:
                    self.meet("work")
                    work()
                except Error as error:
                    self._sticky = error
                    self._work.clear()
                    raise

    # --- module-level functions ------------------------------------------------------------------

    def Stream(self) -> Stream:
        """As pycuda's class."""
        return Stream(self)

    def Event(self, flags: int = 0) -> Event:
        """As pycuda's class."""
        return Event(self)

    def module_from_buffer(self, binary: bytes) -> Module:
        """Load what the compiler made."""
        self.calls["module"] += 1
        return Module(self, binary)

    def pagelocked_empty(self, size: int, dtype: Any) -> Any:
        """Ordinary memory will do."""
        self.check_current()
        self.calls["pinned"] += 1
        return np.empty(size, dtype)

    def mem_alloc(self, nbytes: int) -> Memory:
        """As pycuda's."""
        self.check_current()
        self.calls["alloc"] += 1
        self.meet("alloc")
        if nbytes <= 0:
            raise LogicError("cuMemAlloc failed: invalid argument")
        if self.used + nbytes > self.memory_size:
            raise MemoryError("cuMemAlloc failed: out of memory")
        made = Memory(self, nbytes)
        self.used += nbytes
        self.memory[made.address] = made
        return made

    def memcpy_htod_async(self, to: int, source: Any, stream: Any) -> None:
        """The source is read when the copy runs."""
        self.check_current()
        self.calls["htod"] += 1
        self.queue(lambda: self._copy(to, source.ctypes.data, to, source.nbytes))

    def memcpy_dtoh_async(self, target: Any, source: int, stream: Any) -> None:
        """The target is written when the copy runs."""
        self.check_current()
        self.calls["dtoh"] += 1
        self.queue(lambda: self._copy(target.ctypes.data, source, source, target.nbytes))

    def memcpy_dtod_async(self, to: int, source: int, nbytes: int, stream: Any) -> None:
        """Between two places of the device."""
        self.check_current()
        self.calls["dtod"] += 1
        self.queue(lambda: self._copy(to, source, to, nbytes))

    def _copy(self, to: int, source: int, device: int, nbytes: int) -> None:
        inside = any(m.address <= device and device + nbytes <= m.address + m.nbytes
                     for m in self.memory.values())  # fmt: skip
        if not inside:
            raise LogicError("cuMemcpyAsync failed: illegal memory access was encountered")
        ctypes.memmove(to, source, nbytes)
