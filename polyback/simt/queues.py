"""One in-order queue per thread, and the order of work that shares memory across queues.

Work of one queue runs in the order in which it is queued, so a thread alone never waits for itself.
Every buffer knows its *home*, the queue that wrote it last, and its *guests*, other queues that may
be reading it. A queue that reads a buffer of another home waits for that home, once, and becomes a
guest; one that writes it waits for the home and all guests, and becomes the home. Freed memory
keeps both, so it is handed out again at once, and who gets it waits, if at all, at its first use.

What is waited for is all that the other queue holds at that moment. Waiting happens on the device:
no thread blocks.

Memory that the host looks at too is never in use behind its back: who uses a *shared* buffer waits
until that is done. Such a buffer always has guests, if only an empty tuple of them, so that no
other launch pays for the question.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, final

from polyback.simt.pool import Buffer


@final
class Queue:
    """``handle`` is what the driver calls it; ``count`` goes up with every work queued."""

    __slots__ = ("count", "handle", "seen")

    def __init__(self, handle: Any) -> None:
        self.handle, self.count = handle, 0
        self.seen: dict[Queue, int] = {}  # how far it has waited for others


@final
class _Seat:
    """A thread's hold on its queue, which goes to another thread when this one ends."""

    def __init__(self, queue: Queue, idle: list[Queue]) -> None:
        self._queue, self._idle = queue, idle

    def __del__(self) -> None:
        self._idle.append(self._queue)


@final
class Queues:
    """``make()`` makes a queue of the driver; ``wait(here, there)`` lets all later work of ``here``
    wait for all earlier work of ``there``."""

    def __init__(self, make: Callable[[], Any], wait: Callable[[Any, Any], None]) -> None:
        self._make, self._wait = make, wait
        self._lock, self._local = threading.Lock(), threading.local()
        self._idle: list[Queue] = []
        self._all: list[Queue] = []

    def mine(self) -> Queue:
        """The queue of the thread that asks."""
        try:
            found: Queue = self._local.queue
        except AttributeError:
            return self._seat()
        return found

    def _seat(self) -> Queue:
        try:
            queue = self._idle.pop()
        except IndexError:
            queue = Queue(self._make())
            with self._lock:
                self._all.append(queue)
        self._local.queue, self._local.seat = queue, _Seat(queue, self._idle)
        return queue

    def all(self) -> list[Queue]:
        """Of every thread that has queued work."""
        with self._lock:
            return list(self._all)

    def share(self, buffer: Buffer) -> None:
        """The host looks at ``buffer`` from now on; nothing that is queued uses it."""
        with self._lock:
            buffer.shared, buffer.guests = True, buffer.guests or ()

    def order(self, queue: Queue, buffer: Buffer, *, writes: bool) -> bool:
        """Before ``queue`` uses ``buffer``: later work of it comes after what it depends on. Only
        needed where the buffer's home is another queue or there are guests. True if the caller
        must wait until its work is done, because the buffer is shared."""
        with self._lock:
            home, guests = buffer.home, buffer.guests or ()
            if writes:
                for other in {home, *guests} - {queue, None}:
                    self._follow(queue, other)
                buffer.home, buffer.guests = queue, () if buffer.shared else None
            elif home is not queue and queue not in guests:
                if home is not None:
                    self._follow(queue, home)
                buffer.guests = (*guests, queue)
            return buffer.shared

    def _follow(self, queue: Queue, other: Queue) -> None:
        count = other.count
        if queue.seen.get(other) != count:
            self._wait(queue.handle, other.handle)
            queue.seen[other] = count
