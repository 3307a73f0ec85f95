"""A third language for the kernel kit: C++ of the host's compiler, called through ctypes.

Everything that a SIMT backend has to write is here: the words of the language, a driver, what the
device claims, what there is to open. Copy this file to start a backend for HIP, Metal or SYCL, and
change it from top to bottom. It is no fast one: work-items take turns on one core.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, final

import numpy as np

from polyback.config import Config
from polyback.device import (
    Available,
    Backend,
    BackendDescriptor,
    DeviceInfo,
    Limits,
    Numerics,
    Unavailable,
    full_claims,
)
from polyback.dtype import DTYPES
from polyback.errors import CompileError, InvalidArgument, OutOfMemory
from polyback.hooks import hookimpl
from polyback.simt.device import FEATURES, SimtDevice
from polyback.simt.dialect import C_MATH, Dialect
from polyback.simt.driver import FORMATS, GIVEN, Kernel, Triple
from polyback.simt.geometry import Machine
from polyback.simt.pooled import PooledDriver

LIMIT = 1 << 34  # bytes

# --- the words of the language --------------------------------------------------------------------

HEADER = """\
#include <cmath>
#include <tuple>
#include <ucontext.h>
using namespace std;
struct alignas(8) float2 { float x, y; };
struct alignas(16) double2 { double x, y; };
template <class To, class From> static inline To pb_bits(From x)
{
    To y;
    __builtin_memcpy(&y, &x, sizeof y);
    return y;
}
// The work-items of a group are coroutines that change at barriers; groups run one after another.
static unsigned pb_group[3], pb_groups[3];
static int pb_item, pb_left;
static ucontext_t pb_main, pb_items[256];
static char pb_stacks[256][1 << 16];
static void (*pb_body)();
static void pb_barrier()
{
    int me = pb_item;
    swapcontext(&pb_items[me], &pb_main);
    pb_item = me;
}
static void pb_work()
{
    pb_body();
    --pb_left;
    for (;;) pb_barrier();
}
static void pb_run_group(int n)
{
    for (int k = 0; k < n; ++k) {
        getcontext(&pb_items[k]);
        pb_items[k].uc_stack.ss_sp = pb_stacks[k];
        pb_items[k].uc_stack.ss_size = sizeof pb_stacks[k];
        makecontext(&pb_items[k], pb_work, 0);
    }
    for (pb_left = n; pb_left;)
        for (pb_item = 0; pb_item < n; ++pb_item) {
            int me = pb_item;
            swapcontext(&pb_main, &pb_items[me]);
            pb_item = me;
        }
}
// arguments[k] points to argument k
template <class... A, size_t... K>
static void pb_call(void (*kernel)(A...), void **arguments, index_sequence<K...>)
{
    kernel(*(A *)arguments[K]...);
}
"""
# Functions beside a kernel: one work-item of it, and all of a grid.
ENTRY = """
static void **pb_arguments_{name};
template <class... A> static void pb_one_{name}(void (*kernel)(A...))
{{
    pb_call(kernel, pb_arguments_{name}, index_sequence_for<A...>());
}}
extern "C" void run_{name}(const unsigned *groups, void **arguments)
{{
    pb_arguments_{name} = arguments;
    pb_body = [] {{ pb_one_{name}({name}); }};
    for (int k = 0; k < 3; ++k) pb_groups[k] = groups[k];
    for (pb_group[2] = 0; pb_group[2] < groups[2]; ++pb_group[2])
        for (pb_group[1] = 0; pb_group[1] < groups[1]; ++pb_group[1])
            for (pb_group[0] = 0; pb_group[0] < groups[0]; ++pb_group[0]) pb_run_group({items});
}}
"""
TYPES = {
    "b8": "unsigned char", "i8": "signed char", "i16": "short", "i32": "int", "i64": "long long",
    "u8": "unsigned char", "u16": "unsigned short", "u32": "unsigned", "u64": "unsigned long long",
    "f16": "unsigned short", "bf16": "unsigned short", "f32": "float", "f64": "double",
    "c64": "float2", "c128": "double2",
}  # fmt: skip
DIALECT = Dialect(
    header=HEADER,
    kernel="static void",
    function="static inline ",
    outlined="static __attribute__((noinline)) ",
    memory="",
    shared="static ",
    restrict="__restrict__",
    group_id=("pb_group[0]", "pb_group[1]", "pb_group[2]"),
    group_count=("pb_groups[0]", "pb_groups[1]", "pb_groups[2]"),
    local_id="pb_item",
    group_shape="",
    barrier="pb_barrier();",
    aligned="__attribute__((aligned({n})))",
    unroll="",
    types=TYPES,
    suffixes={"f32": "f", "i64": "LL", "u32": "u", "u64": "ULL"},
    reinterpret={
        "f32": "pb_bits<float>", "u32": "pb_bits<unsigned>",
        "f64": "pb_bits<double>", "u64": "pb_bits<unsigned long long>",
    },
    builtins={"f32": C_MATH, "f64": C_MATH},
    multiply_add="({a} * {b} + {c})",
)  # fmt: skip

MACHINE = Machine(is_cpu=False, units=1, group=64)

# --- the driver: memory, compiler, launches -------------------------------------------------------

NUMBERS = {
    "b": ctypes.c_int8, "B": ctypes.c_uint8, "h": ctypes.c_int16, "H": ctypes.c_uint16,
    "i": ctypes.c_int32, "I": ctypes.c_uint32, "q": ctypes.c_int64, "Q": ctypes.c_uint64,
    "f": ctypes.c_float, "d": ctypes.c_double, "P": ctypes.c_void_p,
}  # fmt: skip


@final
class HostDriver(PooledDriver):
    """Runs what it is given at once, so nothing has to be waited for."""

    def __init__(self, limit: int) -> None:
        super().__init__("hostcpp", "the host", limit, limit)
        self._built: dict[str, Any] = {}

    def _take(self, room: int) -> Any:
        try:
            raw = np.empty(room + 64, np.uint8)
        except MemoryError:
            raise OutOfMemory(f"[hostcpp] no {room} bytes left", requested=room) from None
        skipped = -raw.ctypes.data % 64
        return raw[skipped : skipped + room]

    def _give(self, handles: Sequence[Any]) -> None:
        pass  # NumPy's memory goes with its last reference

    def _copy_in(self, buffer: Any, offset: int, source: Any) -> None:
        buffer.handle[offset : offset + source.size] = source

    def _copy_out(self, buffer: Any, offset: int, target: Any) -> None:
        target[:] = buffer.handle[offset : offset + target.size]

    def constants(self, words: Sequence[int]) -> Any:
        data = np.array(words, np.int64).view(np.uint8)
        buffer = self.allocate(data.size)
        self._pool.free_with(buffer)
        self._copy_in(buffer, 0, data)
        return buffer

    def compile(self, kernel: Kernel) -> Any:
        self._status.check()
        text = kernel.source + "\n" + ENTRY.format(name=kernel.name, items=kernel.local)
        library = self._built.get(text)
        if library is None:
            library = self._built[text] = self._load(text)
        kinds = [NUMBERS[FORMATS[code]] for code in kernel.arguments]
        return getattr(library, f"run_{kernel.name}"), kinds

    def _load(self, text: str) -> Any:
        options = ["-O2", "-march=native", "-ffp-contract=off", "-w", "-shared", "-fPIC"]
        with tempfile.TemporaryDirectory() as folder:
            source, made = Path(folder, "kernel.cpp"), Path(folder, "kernel.so")
            source.write_text(text)
            command = ["c++", "-std=c++17", *options, str(source), "-o", str(made)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                message = f"[hostcpp] a kernel does not compile: {done.stderr[:2000]}"
                raise CompileError(message, log=done.stderr, source=text)
            return ctypes.PyDLL(str(made))  # of which one thread at a time is inside

    def prepare(self, compiled: Any, groups: Triple, arguments: Sequence[Any]) -> Any:
        function, kinds = compiled
        given = [k for k, a in enumerate(arguments) if a is GIVEN]
        places = sorted(given, key=lambda k: kinds[k] is not ctypes.c_void_p)  # buffers first
        return function, (ctypes.c_uint * 3)(*groups), kinds, list(arguments), places

    def start(self, prepared: Any, buffers: Sequence[Any], numbers: Sequence[Any]) -> None:
        self._status.check()
        function, groups, kinds, arguments, places = prepared
        values = [getattr(a, "handle", a) for a in arguments]
        for place, value in zip(places, [b.handle for b in buffers] + list(numbers), strict=True):
            values[place] = value
        if any(v is None for v in values):
            raise self._pool.freed()
        plain = [v.ctypes.data if isinstance(v, np.ndarray) else v for v in values]
        held = [kind(v) for kind, v in zip(kinds, plain, strict=True)]
        function(groups, (ctypes.c_void_p * len(held))(*map(ctypes.addressof, held)))

    def synchronize(self) -> None:
        self._status.check()

    def close(self) -> None:
        self._status.closed = True
        self._pool.close()


# --- what is claimed, and what there is to open ---------------------------------------------------


def open_host(limit: int) -> SimtDevice:
    """The kit does the rest."""
    caps = replace(
        full_claims(frozenset(d.name for d in DTYPES)),
        features=FEATURES,
        numerics=Numerics(),
        limits=Limits(alignment=64, max_allocation=limit),
        protocol=(1, 2),
    )
    return SimtDevice("hostcpp", caps, DIALECT, MACHINE, HostDriver(limit))


@final
class HostBackend(Backend):
    """The machine itself, once."""

    def probe(self) -> Available | Unavailable:
        if shutil.which("c++") is None:
            return Unavailable("NO_DRIVER", "there is no c++ on the path", "install g++ or clang++")
        return Available("c++")

    def devices(self) -> Sequence[DeviceInfo]:
        return [DeviceInfo(0, "cpu", "kernels by the host's C++ compiler")]

    def open(self, index: int, config: Config) -> SimtDevice:
        if index != 0:
            raise InvalidArgument(f"[hostcpp] no device {index}; want 0")
        return open_host(config.memory_limit or LIMIT)


@hookimpl
def polyback_backend() -> BackendDescriptor:
    """Who we are; nothing is opened here."""
    factory = "polyback_hostcpp:HostBackend"
    return BackendDescriptor("hostcpp", factory, "cpu", ((1, 1), (1, 2)), priority=-10)
