"""Memory of one device: freed memory is kept by size and handed out again.

Work of a queue runs in the order in which it is queued, so the next user of freed memory comes
after the last one; :mod:`polyback.simt.queues` orders users of several queues. Asking a device for
memory takes microseconds to milliseconds, the pool one lookup.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any, Final, final

from polyback.errors import InvalidArgument, OutOfMemory
from polyback.features import MemoryStats

LEAST: Final = 256  # bytes
MOST_STEP: Final = 1 << 24


@final
class Buffer:
    """Memory of a device. ``handle`` is what its driver calls it, None once it is freed; ``home``
    and ``guests`` are the queues that use it, where a driver has several; ``shared``: the host
    looks at it too."""

    __slots__ = ("__weakref__", "guests", "handle", "home", "nbytes", "room", "shared")

    def __init__(
        self, handle: Any, nbytes: int, room: int, home: Any = None, guests: Any = None
    ) -> None:
        self.handle, self.nbytes, self.room = handle, nbytes, room
        self.home, self.guests, self.shared = home, guests, False


Block = tuple[Any, int, Any, Any]  # handle, room, home, guests


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
        self._returned: deque[Block] = deque()  # freed by anyone, sorted in later
        self._spare: dict[int, dict[Any, list[Block]]] = {}  # by room and home
        self._live = self._cached = self._peak = self._count = 0
        self._closed = False

    def allocate(self, nbytes: int, home: Any = None) -> Buffer:
        """Memory of at least ``nbytes``, handed out again if there is some of that size: that of
        the same home first, which needs no waiting."""
        room = LEAST if nbytes <= LEAST else rounded(nbytes)
        if room > self._largest >= nbytes:
            room = self._largest
        with self._lock:
            if self._returned:
                self._sort_in()
            homes = self._spare.get(room)
            blocks = homes and (homes.get(home) or next(filter(None, homes.values()), None))
            if blocks:
                handle, _, home, guests = blocks.pop()
                self._cached -= room
            else:
                handle, guests = self._new(nbytes, room), None
            self._count += 1
            live = self._live = self._live + room
            if live > self._peak:
                self._peak = live
        return Buffer(handle, nbytes, room, home, guests)

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
            self._returned.append((handle, buffer.room, buffer.home, buffer.guests))

    def free_with(self, buffer: Buffer) -> None:
        """Free it when nothing refers to it any more."""
        block = (buffer.handle, buffer.room, buffer.home, buffer.guests)
        note = weakref.finalize(buffer, self._returned.append, block)
        note.atexit = False

    def _sort_in(self) -> None:
        returned, spare = self._returned, self._spare
        while returned:
            block = returned.popleft()
            room, home = block[1], block[2]
            self._live -= room
            self._cached += room
            try:
                spare[room][home].append(block)
            except KeyError:
                spare.setdefault(room, {})[home] = [block]

    def stats(self) -> MemoryStats:
        """Bytes that the device gave us."""
        with self._lock:
            self._sort_in()
            return MemoryStats(self._live, self._cached, self._peak, self._limit, self._count)

    def trim(self) -> None:
        """Give back what is not in use."""
        with self._lock:
            self._sort_in()
            homes = [blocks for some in self._spare.values() for blocks in some.values()]
            handles = [block[0] for blocks in homes for block in blocks]
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

    def check(self, buffer: Buffer, offset: int, nbytes: int) -> None:
        """Raises InvalidArgument unless the buffer is live and has these bytes."""
        if buffer.handle is None:
            raise self.freed()
        if offset < 0 or offset + nbytes > buffer.nbytes:
            raise InvalidArgument(
                f"[{self._name}] bytes [{offset}, {offset + nbytes}) are outside a buffer of "
                f"{buffer.nbytes}"
            )

    def freed(self) -> InvalidArgument:
        """The error for a buffer that has been given back."""
        return InvalidArgument(f"[{self._name}] the buffer has been freed")


@lru_cache(maxsize=4096)
def rounded(nbytes: int) -> int:
    """Bytes taken from the device: at most a quarter more, so that freed memory fits again, and
    little more of large ones: 2 GiB and a byte must not need 2.5."""
    if nbytes <= LEAST:
        return LEAST
    step = min(MOST_STEP, 1 << max(8, (nbytes - 1).bit_length() - 3))
    return -(-nbytes // step) * step
