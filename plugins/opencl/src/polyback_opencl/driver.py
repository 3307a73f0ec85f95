"""pyopencl, and the only file that touches it: one context, an in-order queue for every thread, a
memory pool, kernels.

What one thread writes and another reads, or gets as memory that was freed, is put in order by
markers and barriers (:mod:`polyback.simt.queues`).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar, final

import numpy as np

from polyback.device import DeviceInfo
from polyback.dtype import dtype_of
from polyback.errors import CompileError, PolybackError
from polyback.simt.cache import BinaryCache, key
from polyback.simt.driver import FORMATS, GIVEN, Kernel, Triple
from polyback.simt.geometry import Machine
from polyback.simt.pool import Buffer
from polyback.simt.pooled import PooledDriver
from polyback.simt.queues import Queue, Queues
from polyback_opencl import prototypes
from polyback_opencl.cache import default_folder


def _load_pyopencl() -> Any:
    """pyopencl without its own cache of binaries, whose index is a pickle in the user's folder."""
    known = os.environ.get("PYOPENCL_NO_CACHE")
    os.environ["PYOPENCL_NO_CACHE"] = "1"
    try:
        import pyopencl

        return pyopencl
    finally:
        if known is None:
            del os.environ["PYOPENCL_NO_CACHE"]
        else:
            os.environ["PYOPENCL_NO_CACHE"] = known


cl: Final = _load_pyopencl()
T = TypeVar("T")
STANDARD: Final = ("-cl-std=CL1.2", "-w")  # -w: no remarks about x == x and the like
CORRECT_DIVISION: Final = "-cl-fp32-correctly-rounded-divide-sqrt"
POCL: Final = "Portable Computing Language"
KEEPS_BINARIES: Final = (POCL, "NVIDIA CUDA")  # platforms with own caches
_LOST: Final = {-36, -9999}  # INVALID_COMMAND_QUEUE; NVIDIA's code for a fault on the device
_MEMORY: Final = {-4, -5, -6, -61}  # allocation failure, resources, host memory, buffer size
NO_PLATFORM: Final = -1001
SUB_GROUP_WORDS: Final = {"cl_khr_subgroup_shuffle", "cl_intel_required_subgroup_size"}
SUB_GROUPS: Final = (32, 16)
# Everybody's neighbour is the last of its sub-group.
SUB_GROUP_TRIAL: Final = """\
kernel __attribute__((reqd_work_group_size(%(group)d, 1, 1)))
__attribute__((intel_reqd_sub_group_size(%(size)d))) void seen(global int *out)
{
    int id = get_local_id(0);
    out[id] = sub_group_shuffle(id, (uint)(%(size)d - 1));
}
"""


def platforms() -> list[Any]:
    """The installed platforms; none is no error."""
    try:
        return list(cl.get_platforms())
    except cl.Error as error:
        if getattr(error, "code", 0) == NO_PLATFORM:
            return []
        raise


def devices() -> list[Any]:
    """All devices, in the platforms' order."""
    found: list[Any] = []
    for platform in platforms():
        try:
            found += platform.get_devices()
        except cl.Error:  # a platform without devices
            continue
    return found


def describe(index: int, device: Any) -> DeviceInfo:
    """What is known without opening it."""
    kind: Literal["cpu", "gpu"] = "cpu" if device.type & cl.device_type.CPU else "gpu"
    text = f"{device.name.strip()} ({device.platform.name.strip()}, {device.version.strip()})"
    return DeviceInfo(index, kind, text, device.global_mem_size)


@final
@dataclass(frozen=True)
class Traits:
    """What was asked of the device."""

    machine: Machine
    double: bool
    denormals: bool
    alignment: int
    max_allocation: int
    correct_division: bool
    is_pocl: bool


def traits_of(device: Any) -> Traits:
    """Ask the device; nothing is assumed."""
    is_cpu = bool(device.type & cl.device_type.CPU)
    single = device.single_fp_config
    most = min(256, device.max_work_group_size)
    group = 1 if is_cpu else 1 << (most.bit_length() - 1)  # kernels fold groups in halves
    return Traits(
        Machine(is_cpu, device.max_compute_units, group, 4 * device.native_vector_width_float),
        double=bool(device.double_fp_config),
        denormals=bool(single & cl.device_fp_config.DENORM),
        alignment=max(16, min(4096, device.mem_base_addr_align // 8)),
        max_allocation=device.max_mem_alloc_size,
        correct_division=bool(single & cl.device_fp_config.CORRECTLY_ROUNDED_DIVIDE_SQRT),
        is_pocl=device.platform.name.strip() == POCL,
    )


@final
class Bound:
    """A kernel object and what its arguments were last set for: OpenCL keeps them in the object."""

    __slots__ = ("kernel", "numbers", "prepared")

    def __init__(self, kernel: Any) -> None:
        self.kernel, self.numbers = kernel, b""
        self.prepared: Prepared | None = None


@final
class Compiled:
    """A kernel with its group's shape, :meth:`Kernel.buffers`, the codes of its arguments, and
    kernel objects that nobody is using: whoever takes one is alone with it until it is put back."""

    __slots__ = ("arguments", "buffers", "idle", "local", "name", "program")

    def __init__(self, program: Any, kernel: Kernel) -> None:
        self.program, self.name, self.local = program, kernel.name, kernel.local
        self.buffers, self.arguments = kernel.buffers(), kernel.arguments
        self.idle = [self.bound()]

    def bound(self) -> Bound:
        """A new kernel object, which takes longer to make than some launches."""
        made = cl.Kernel(self.program, self.name)
        made.set_scalar_arg_dtypes(
            [None if code == "*" else dtype_of(code).numpy.newbyteorder("=") if code not in _BITS
             else np.dtype(_BITS[code]) for code in self.arguments]
        )  # fmt: skip
        return Bound(made)


@final
class Prepared:
    """A launch but for what is given: ``buffers`` are the places of those and whether they are
    written, ``numbers`` those of numbers, ``pack`` makes bytes of these."""

    __slots__ = ("arguments", "buffers", "compiled", "local", "numbers", "pack", "size")

    def __init__(self, compiled: Compiled, groups: Triple, arguments: Sequence[Any]) -> None:
        x, y, z = groups
        self.compiled, self.arguments = compiled, tuple(arguments)
        self.local, self.size = (compiled.local, 1, 1), (x * compiled.local, y, z)
        given = [k for k, a in enumerate(arguments) if a is GIVEN]
        self.buffers = [(k, writes) for k, writes in compiled.buffers if k in given]
        self.numbers = [k for k in given if compiled.arguments[k] != "*"]
        codes = [compiled.arguments[k] for k in self.numbers]
        self.pack = struct.Struct("=" + "".join(FORMATS[c] for c in codes)).pack


@final
class OpenclDriver(PooledDriver):
    """One opened device."""

    def __init__(self, device: Any, memory_limit: int = 0) -> None:
        self.device, self.traits = device, traits_of(device)
        self._context = cl.Context([device])
        self._queues = Queues(lambda: cl.CommandQueue(self._context), self._follow)
        limit = memory_limit or device.global_mem_size
        super().__init__("opencl", device.name, limit, self.traits.max_allocation)
        self._programs: dict[str, Any] = {}  # built sources: kernels of one source share it
        self._options = [*STANDARD, *[CORRECT_DIVISION] * self.traits.correct_division]
        own = device.platform.name.strip() not in KEEPS_BINARIES
        self._has_guard = self.traits.is_pocl
        self._binaries = BinaryCache(default_folder()) if own else None

    # --- memory --------------------------------------------------------------------------------

    def _home(self) -> Queue:
        return self._queues.mine()

    def _take(self, room: int) -> Any:
        make = cl.mem_flags.READ_WRITE
        return self._guarded(lambda: cl.Buffer(self._context, make, room))

    def _give(self, handles: Sequence[Any]) -> None:
        """The last reference goes; the driver keeps memory that queued work still uses."""

    def _copy_in(self, buffer: Buffer, offset: int, source: Any) -> None:
        queue = self._ordered(buffer, writes=True)
        self._guarded(lambda: cl.enqueue_copy(queue, buffer.handle, source, dst_offset=offset))

    def _copy_out(self, buffer: Buffer, offset: int, target: Any) -> None:
        queue = self._ordered(buffer, writes=False)
        self._guarded(lambda: cl.enqueue_copy(queue, target, buffer.handle, src_offset=offset))

    def host_view(self, buffer: Buffer) -> memoryview:
        """The bytes where they lie; only for a device that computes in the host's memory."""
        self._status.check()
        self._pool.check(buffer, 0, buffer.nbytes)
        if not buffer.nbytes:
            return memoryview(b"")
        queue = self._ordered(buffer, writes=True)
        found = self._guarded(lambda: _mapped(queue, buffer.handle, buffer.nbytes)).data
        self._queues.share(buffer)
        return found

    def computes_in_host_memory(self) -> bool:
        """On a CPU: do the host and the device see each other's writes at the address of a mapping,
        with none in force? OpenCL promises it to nobody, so it is tried."""
        if not self.traits.machine.is_cpu:
            return False
        handle, room = self._take(4096), np.empty(4096, np.uint8)
        queue = self._queues.mine().handle
        try:
            here = _mapped(queue, handle, room.size)
            here[:] = 1
            cl.enqueue_copy(queue, room, handle)
            seen_there = bool((room == 1).all())
            room[:] = 2
            cl.enqueue_copy(queue, handle, room)
            again = _mapped(queue, handle, room.size)
        except cl.Error:
            return False
        return seen_there and bool((here == 2).all()) and here.ctypes.data == again.ctypes.data

    def sub_group(self) -> int:
        """How many neighbours of a group run in step and can read one another's registers; 1 where
        the device has no such thing. Which work-items are together is the device's business, so it
        is tried."""
        group = self.traits.machine.group
        if not set(self.device.extensions.split()) >= SUB_GROUP_WORDS:
            return 1
        for size in (n for n in SUB_GROUPS if n <= group):
            source = SUB_GROUP_TRIAL % {"group": group, "size": size}
            seen = np.empty(group, np.int32)
            place = cl.Buffer(self._context, cl.mem_flags.WRITE_ONLY, seen.nbytes)
            queue = self._queues.mine().handle
            try:
                kernel = cl.Kernel(_built(cl.Program(self._context, source), self._options), "seen")
                kernel.set_args(place)
                cl.enqueue_nd_range_kernel(queue, kernel, (group,), (group,))
                cl.enqueue_copy(queue, seen, place)
            except cl.Error:
                continue
            if (seen == np.arange(group) // size * size + size - 1).all():
                return size
        return 1

    def constants(self, words: Sequence[int]) -> Any:
        """Made with its contents, so that nothing is queued and nothing waits; no queue's, since
        nobody writes it."""
        self._status.check()
        flags = cl.mem_flags.READ_ONLY | cl.mem_flags.COPY_HOST_PTR
        data = np.array(words, np.int64)
        return self._guarded(lambda: cl.Buffer(self._context, flags, hostbuf=data))

    # --- kernels -------------------------------------------------------------------------------

    def compile(self, kernel: Kernel) -> Any:
        """Keep it: fetching a kernel object again takes longer than some launches."""
        self._status.check()
        program = self._programs.get(kernel.source)
        if program is None:
            program = self._programs[kernel.source] = self._build(kernel.source)
        try:
            return Compiled(program, kernel)
        except cl.Error as error:  # such as INVALID_KERNEL_NAME from a damaged cache of PoCL
            raise self._broken(str(error), kernel.source) from error

    def _build(self, source: str) -> Any:
        cache, name = self._binaries, ""
        if cache is not None:
            d = self.device
            name = key([source, d.name, d.version, d.driver_version, *self._options])
            binary = cache.load(name)
            if binary is not None:
                try:
                    ready = cl.Program(self._context, [self.device], [binary])
                    return _built(ready, self._options)
                except cl.Error:  # from another driver after all
                    pass
        program = self._quickly(source) or self._compile_source(source)
        if cache is not None:
            cache.store(name, program.get_info(cl.program_info.BINARIES)[0])
        return program

    def _quickly(self, source: str) -> Any:
        """Built without PoCL's header; None where that is not known to work, or did not."""
        if not self._has_guard:
            return None
        program = cl.Program(self._context, prototypes.TEXT + "\n" + source)
        try:
            return _built(program, [*self._options, *prototypes.OPTIONS])
        except cl.Error:
            return None

    def _compile_source(self, source: str) -> Any:
        program = cl.Program(self._context, source)
        try:
            return _built(program, self._options)
        except cl.Error as error:
            log = "\n".join(text for _, text in _logs(program)) or str(error)
            raise self._broken(log, source) from error

    def _broken(self, log: str, source: str) -> CompileError:
        text = f"[opencl] a kernel does not compile on {self.device.name}: {log[:2000]}"
        return CompileError(text, log=log, source=source)

    def prepare(self, compiled: Any, groups: Triple, arguments: Sequence[Any]) -> Any:
        """Only looked at: the arguments are set in a kernel object when it starts."""
        return Prepared(compiled, groups, arguments)

    def start(self, prepared: Any, buffers: Sequence[Any], numbers: Sequence[Any]) -> None:
        """Queue it and return. A kernel object that was last started with this very launch has all
        arguments but the buffers already."""
        queue, status, idle = self._queues.mine(), self._status, prepared.compiled.idle
        if status.closed or status.lost:
            status.check()
        try:
            bound = idle.pop()
        except IndexError:
            bound = prepared.compiled.bound()
        kernel, fits, shared = bound.kernel, bound.prepared is prepared, False
        if fits and numbers:
            fits = bound.numbers == prepared.pack(*numbers)
        try:
            for (place, writes), buffer in zip(prepared.buffers, buffers):
                if buffer.home is not queue or buffer.guests is not None:
                    shared = self._queues.order(queue, buffer, writes=writes) or shared
                handle = buffer.handle
                if handle is None:
                    raise self._pool.freed()
                if fits:
                    kernel.set_arg(place, handle)
            if not fits:
                self._bind(bound, prepared, buffers, numbers)
            cl.enqueue_nd_range_kernel(queue.handle, kernel, prepared.size, prepared.local)
        except cl.Error as error:
            raise self._translate(error) from error
        finally:
            idle.append(bound)
        queue.count += 1
        if shared:
            self._guarded(queue.handle.finish)
        else:
            queue.handle.flush()

    def _bind(
        self, bound: Bound, prepared: Prepared, buffers: Sequence[Any], numbers: Sequence[Any]
    ) -> None:
        """Set all arguments."""
        values = list(prepared.arguments)
        for (place, _), buffer in zip(prepared.buffers, buffers, strict=True):
            values[place] = buffer.handle
        for place, number in zip(prepared.numbers, numbers, strict=True):
            values[place] = number
        bound.prepared = None  # until all are set
        bound.kernel.set_args(*values)
        bound.prepared, bound.numbers = prepared, prepared.pack(*numbers)

    # --- queues --------------------------------------------------------------------------------

    def _ordered(self, buffer: Buffer, *, writes: bool) -> Any:
        """This thread's queue, which may now use the buffer."""
        queue = self._queues.mine()
        if buffer.home is not queue or buffer.guests is not None:
            self._queues.order(queue, buffer, writes=writes)
        return queue.handle

    def _follow(self, here: Any, there: Any) -> None:
        """Later work of ``here`` waits for earlier work of ``there``."""

        def wait() -> None:
            marker = cl.enqueue_marker(there)
            there.flush()
            cl.enqueue_barrier(here, wait_for=[marker])

        self._guarded(wait)

    def synchronize(self) -> None:
        """Wait for the work of all threads."""
        self._status.check()
        for queue in self._queues.all():
            self._guarded(queue.handle.finish)

    def close(self) -> None:
        """Wait, then let everything go."""
        with self._lock:
            if self._status.closed:
                return
            self._status.closed = True
            for queue in self._queues.all():
                with contextlib.suppress(cl.Error):
                    queue.handle.finish()
            self._pool.close()
            self._programs.clear()

    # --- errors --------------------------------------------------------------------------------

    def _guarded(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except cl.Error as error:
            raise self._translate(error) from error

    def _translate(self, error: Any) -> PolybackError:
        code = getattr(error, "code", 0)
        if code in _MEMORY or isinstance(error, cl.MemoryError):
            return self._pool.out_of_memory(0)
        return self._status.fault(str(error), lost=code in _LOST)


_BITS: Final = {"bf16": "uint16", "f16": "uint16", "b8": "uint8"}


def _built(program: Any, options: Sequence[str]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the compiler says about a good program
        return program.build(list(options))


def _mapped(queue: Any, handle: Any, nbytes: int) -> Any:
    """Bytes at the address of a mapping, which is ended: the address is the memory itself."""
    flags = cl.map_flags.READ | cl.map_flags.WRITE
    mapped, _ = cl.enqueue_map_buffer(queue, handle, flags, 0, (nbytes,), np.uint8)
    address = mapped.ctypes.data
    mapped.base.release(queue)
    queue.finish()
    return np.frombuffer(memoryview((ctypes.c_uint8 * nbytes).from_address(address)), np.uint8)


def _logs(program: Any) -> list[tuple[Any, str]]:
    try:
        found: list[tuple[Any, str]] = program._get_prg()._get_build_logs()
        return found
    except (AttributeError, cl.Error):
        return []
