"""What a plugin's driver does: the only part of a device that talks to the vendor's library."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, final

from polyback.features import MemoryStats

Triple = tuple[int, int, int]
FORMATS: Final = {  # of struct: how a kernel's argument lies in memory
    "*": "P", "b8": "B", "i8": "b", "i16": "h", "i32": "i", "i64": "q", "u8": "B", "u16": "H",
    "u32": "I", "u64": "Q", "f16": "H", "bf16": "H", "f32": "f", "f64": "d",
}  # fmt: skip


@final
class Given:
    """Stands for an argument that changes from launch to launch."""

    __slots__ = ()


GIVEN: Final = Given()


@final
@dataclass(frozen=True)
class Kernel:
    """A source, its entry, and its arguments: ``*`` a buffer, else the dtype code of a number."""

    name: str
    source: str
    arguments: tuple[str, ...]
    local: int = 1  # work-items of a group

    def buffers(self) -> tuple[tuple[int, bool], ...]:
        """The places of buffers among the arguments, and whether the kernel may write there: it may
        not where its text says ``const``, which compilers enforce."""
        found = re.search(rf"\b{self.name}\(([^;{{]*)\)\s*\{{", self.source)
        assert found is not None, f"no kernel {self.name}"
        given = zip(self.arguments, found[1].split(","), strict=True)
        return tuple((k, "const " not in text) for k, (code, text) in enumerate(given)
                     if code == "*")  # fmt: skip


class Driver(Protocol):
    """Memory, compilation and launches of one device. Calls come from any thread; work on a buffer
    runs in the order in which it is queued, so one that is freed may be handed out again at
    once."""

    def allocate(self, nbytes: int) -> Any:
        """A buffer with attribute ``nbytes``. Raises OutOfMemory or DeviceClosed."""
        ...

    def free(self, buffer: Any) -> None:
        """Give a buffer back; safe while queued work uses it, and after ``close``."""
        ...

    def upload(self, buffer: Any, offset: int, source: memoryview) -> None:
        """Copy to the device; ``source`` may be reused on return."""
        ...

    def download(self, buffer: Any, offset: int, target: memoryview) -> None:
        """Copy from the device, after the work queued before."""
        ...

    def constants(self, words: Sequence[int]) -> Any:
        """A small read-only buffer of 64-bit integers, given back when nothing refers to it."""
        ...

    def compile(self, kernel: Kernel) -> Any:
        """A compiled kernel, kept by the caller. Raises CompileError with log and source."""
        ...

    def prepare(self, compiled: Any, groups: Triple, arguments: Sequence[Any]) -> Any:
        """All of a launch that does not change from one to the next, kept by the caller.
        ``arguments`` are numbers and :meth:`constants` as ``Kernel.arguments`` says, or GIVEN where
        each launch brings its own."""
        ...

    def start(self, prepared: Any, buffers: Sequence[Any], numbers: Sequence[Any]) -> None:
        """Queue a prepared launch with the buffers and the numbers that are given, each in the
        order of the arguments. Every operation comes through here, so it is lean."""
        ...

    def synchronize(self) -> None:
        """Wait for queued work; raises its first error."""
        ...

    def memory_stats(self) -> MemoryStats:
        """The figures now."""
        ...

    def trim(self) -> None:
        """Give cached memory back."""
        ...

    def close(self) -> None:
        """Release everything; idempotent."""
        ...
