"""The C library; only this file touches it. Addresses are ints, failures are typed errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from polyback.errors import InvalidArgument, OutOfMemory, UnsupportedOp
from polyback.features import MemoryStats
from polyback_cpu_c._native import ffi, lib

run = lib.pb_native_run
copy = lib.pb_native_copy
reduce = lib.pb_native_reduce
matmul = lib.pb_native_matmul
conv2d = lib.pb_native_conv2d
pool2d = lib.pb_native_pool2d
gather = lib.pb_native_gather
scatter = lib.pb_native_scatter
argsort = lib.pb_native_argsort
sort = lib.pb_native_sort
scan = lib.pb_native_scan
place = lib.pb_native_place
softmax = lib.pb_native_softmax
layer_norm = lib.pb_native_layer_norm
set_threads = lib.pb_threads
trim = lib.pb_memory_trim
alloc = lib.pb_memory_alloc  # 0: no memory
free = lib.pb_memory_free


def check(status: int, op: str) -> None:
    """Raises what a status other than 0 means (``enum pb_status``)."""
    if status == 0:
        return
    if status == -1:
        raise out_of_memory(op, 0)
    raise UnsupportedOp(f"[{op}] cpu_c has no kernel for these types")


def _names(name_at: Callable[[int], Any]) -> dict[str, int]:
    names: dict[str, int] = {}
    while pointer := name_at(len(names)):
        names[ffi.string(pointer).decode()] = len(names)
    return names


OPS = _names(lib.pb_op_name)  # "add_f32" -> index
REDUCES = _names(lib.pb_reduce_name)  # "sum_f32" -> index


def open_isa(name: str) -> int:
    """The kernels of an instruction set; "" is the best that this CPU runs."""
    isa = int(lib.pb_isa_open(name.encode()))
    if not isa:
        raise InvalidArgument(
            f"[cpu_c] isa={name!r} is unknown or not supported by this CPU; "
            f"want portable, avx2 or avx512, or nothing for the best"
        )
    return isa


def isa_name(isa: int) -> str:
    """``portable``, ``avx2`` or ``avx512``."""
    return str(ffi.string(lib.pb_isa_name(isa)).decode())


def memory_stats() -> MemoryStats:
    """The figures of the allocator, which all devices of this backend share."""
    figures = ffi.new("uint64_t[5]")
    lib.pb_memory_figures(figures)
    return MemoryStats(*figures)


def set_memory_limit(nbytes: int) -> None:
    """Cap live bytes; 0: none."""
    lib.pb_memory_cap(nbytes)


def out_of_memory(op: str, nbytes: int) -> OutOfMemory:
    """The error for a request that was refused."""
    now = memory_stats()
    return OutOfMemory(
        f"[{op}] out of memory: {nbytes} bytes requested, {now.live} live, {now.cached} cached, "
        f"limit {now.limit or 'none'}",
        requested=nbytes, live=now.live, cached=now.cached, limit=now.limit or None,
    )  # fmt: skip


def upload(address: int, source: memoryview) -> None:
    """Copy ``source`` to ``address``."""
    lib.pb_memory_upload(address, ffi.from_buffer(source), source.nbytes)


def download(address: int, target: memoryview) -> None:
    """Copy from ``address`` to ``target``."""
    lib.pb_memory_download(ffi.from_buffer(target, require_writable=True), address, target.nbytes)


def memory_of(memory: memoryview) -> tuple[int, int]:
    """(address, bytes) of writable memory."""
    pointer = ffi.from_buffer(memory, require_writable=True)
    return int(ffi.cast("uintptr_t", pointer)), memory.nbytes


def host_view(address: int, nbytes: int) -> memoryview:
    """The bytes at ``address``, writable."""
    return memoryview(ffi.buffer(ffi.cast("char *", address), nbytes))
