"""Memory of one device: freed memory is kept by size and handed out again.

Work runs in the order in which it is queued, so the next user of freed memory comes after the last
one. Asking a device for memory takes microseconds to milliseconds, the pool one lookup.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, final

from polyback.errors import InvalidArgument, OutOfMemory
from polyback.features import MemoryStats

LEAST: Final = 256  # bytes


@final
class Buffer:
    """Memory of a device. ``handle`` is what its driver calls it, None once it is freed."""

    __slots__ = ("__weakref__", "handle", "nbytes", "room")

    def __init__(self, handle: Any, nbytes: int, room: int) -> None:
        self.handle, self.nbytes, self.room = handle, nbytes, room


@final
class Pool:
    """``take(room)`` asks the device for memory and raises OutOfMemory if there is none,
    ``give(handles)`` gives some back. Both run while ``lock`` is held, which the driver may hold
    too."""

    def __init__(
        self, name: str, limit: int, max_allocation: int, lock: AbstractContextManager[Any],
        take: Callable[[int], Any], give: Callable[[Sequence[Any]], None],
    ) -> None:  # fmt: skip
        self._name, self._limit, self._largest = name, limit, max_allocation
        self._lock, self._take, self._give = lock, take, give
        self._returned: deque[tuple[Any, int]] = deque()  # freed by anyone, sorted in later
        self._spare: dict[int, list[Any]] = {}
        self._live = self._cached = self._peak = self._count = 0
        self._closed = False

    def allocate(self, nbytes: int) -> Buffer:
        """Memory of at least ``nbytes``, handed out again if there is some of that size."""
        room = rounded(nbytes)
        with self._lock:
            self._sort_in()
            spare = self._spare.get(room)
            if spare:
                handle = spare.pop()
                self._cached -= room
            else:
                handle = self._new(nbytes, room)
            self._live, self._count = self._live + room, self._count + 1
            self._peak = max(self._peak, self._live)
        return Buffer(handle, nbytes, room)

    def _new(self, nbytes: int, room: int) -> Any:
        if self._live + self._cached + room > self._limit:
            self.trim()
        if room > self._largest or self._live + room > self._limit:
            raise self.out_of_memory(nbytes)
        try:
            return self._take(room)
        except OutOfMemory as error:
            raise self.out_of_memory(nbytes) from error

    def free(self, buffer: Buffer) -> None:
        """Only notes it: a finalizer may call this at any time, on any thread, within any other
        call. Twice does no harm."""
        handle, buffer.handle = buffer.handle, None
        if handle is not None and not self._closed:
            self._returned.append((handle, buffer.room))

    def free_with(self, buffer: Buffer) -> None:
        """Free it when nothing refers to it any more."""
        note = weakref.finalize(buffer, self._returned.append, (buffer.handle, buffer.room))
        note.atexit = False

    def _sort_in(self) -> None:
        while self._returned:
            handle, room = self._returned.popleft()
            self._live -= room
            self._cached += room
            self._spare.setdefault(room, []).append(handle)

    def stats(self) -> MemoryStats:
        """Bytes that the device gave us."""
        with self._lock:
            self._sort_in()
            return MemoryStats(self._live, self._cached, self._peak, self._limit, self._count)

    def trim(self) -> None:
        """Give back what is not in use."""
        with self._lock:
            self._sort_in()
            handles = [handle for some in self._spare.values() for handle in some]
            if handles:
                self._give(handles)
            self._spare.clear()
            self._cached = 0

    def close(self) -> None:
        """Give everything back that is not in use, and what is when it is freed."""
        self._closed = True
        self.trim()

    def out_of_memory(self, nbytes: int) -> OutOfMemory:
        """The error, with figures."""
        live, cached, limit = self._live, self._cached, min(self._limit, self._largest)
        return OutOfMemory(
            f"[{self._name}] out of memory: {nbytes} bytes requested, {live} live, {cached} "
            f"cached, limit {self._limit}, one allocation at most {self._largest}",
            requested=nbytes, live=live, cached=cached, limit=limit,
        )  # fmt: skip

    # --- operands of calls ---------------------------------------------------------------------

    def handle(self, buffer: Buffer, offset: int, nbytes: int) -> Any:
        """What the driver calls it; raises InvalidArgument unless these bytes are inside."""
        if buffer.handle is None:
            raise InvalidArgument(f"[{self._name}] the buffer has been freed")
        if offset < 0 or offset + nbytes > buffer.nbytes:
            raise InvalidArgument(
                f"[{self._name}] bytes [{offset}, {offset + nbytes}) are outside a buffer of "
                f"{buffer.nbytes}"
            )
        return buffer.handle

    def values(self, arguments: Sequence[Any]) -> list[Any]:
        """A kernel's arguments, buffers as handles. A null pointer would be a crash, or memory
        that others have by now."""
        values = [a.handle if isinstance(a, Buffer) else a for a in arguments]
        if None in values:
            raise InvalidArgument(f"[{self._name}] an operand's buffer has been freed")
        return values


def rounded(nbytes: int) -> int:
    """Bytes taken from the device: at most a quarter more, so that freed memory fits again."""
    if nbytes <= LEAST:
        return LEAST
    step = 1 << max(8, (nbytes - 1).bit_length() - 3)
    return -(-nbytes // step) * step
