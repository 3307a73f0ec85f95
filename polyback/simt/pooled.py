"""What drivers with a pool share: memory in and out of it, and checked copies."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from polyback.features import MemoryStats
from polyback.simt.driver import GIVEN, Triple
from polyback.simt.pool import Buffer, Pool
from polyback.simt.status import Status


class PooledDriver(ABC):
    """The part of a :class:`~polyback.simt.driver.Driver` that is about memory. Subclasses say how
    the vendor's library gives memory, takes it back and copies."""

    def __init__(self, name: str, device: str, limit: int, max_allocation: int) -> None:
        self._lock, self._status = threading.RLock(), Status(name, device)
        self._pool = Pool(name, limit, max_allocation, self._lock, self._take, self._give)

    @abstractmethod
    def _take(self, room: int) -> Any:
        """A handle of new memory. Raises OutOfMemory."""

    @abstractmethod
    def _give(self, handles: Sequence[Any]) -> None:
        """Back to the device, after the work that may still use them."""

    @abstractmethod
    def _copy_in(self, buffer: Buffer, offset: int, source: Any) -> None:
        """Copy bytes (uint8, not empty) to the device; returns when they are read."""

    @abstractmethod
    def _copy_out(self, buffer: Buffer, offset: int, target: Any) -> None:
        """Copy bytes (uint8, not empty) from the device, after what writes them."""

    def _home(self) -> Any:
        """The queue of new memory, where there are several (:mod:`polyback.simt.queues`)."""
        return None

    def allocate(self, nbytes: int) -> Buffer:
        """From the pool, else from the device."""
        status = self._status
        if status.closed or status.lost:
            status.check()
        return self._pool.allocate(nbytes, self._home())

    def free(self, buffer: Buffer) -> None:
        """Into the pool."""
        self._pool.free(buffer)

    def upload(self, buffer: Buffer, offset: int, source: memoryview) -> None:
        """Waits until the source is read."""
        self._status.check()
        self._pool.check(buffer, offset, source.nbytes)
        if source.nbytes:
            self._copy_in(buffer, offset, np.frombuffer(source, np.uint8))

    def download(self, buffer: Buffer, offset: int, target: memoryview) -> None:
        """Waits for everything that writes these bytes."""
        self._status.check()
        self._pool.check(buffer, offset, target.nbytes)
        if target.nbytes:
            self._copy_out(buffer, offset, np.frombuffer(target, np.uint8))

    @abstractmethod
    def prepare(self, compiled: Any, groups: Triple, arguments: Sequence[Any]) -> Any:
        """As :meth:`polyback.simt.driver.Driver.prepare`."""

    @abstractmethod
    def start(self, prepared: Any, buffers: Sequence[Any], numbers: Sequence[Any]) -> None:
        """As :meth:`polyback.simt.driver.Driver.start`."""

    def launch(self, compiled: Any, groups: Triple, arguments: Sequence[Any]) -> None:
        """A launch that is not repeated."""
        words = [GIVEN if isinstance(x, Buffer) else x for x in arguments]
        buffers = [x for x in arguments if isinstance(x, Buffer)]
        self.start(self.prepare(compiled, groups, words), buffers, ())

    def memory_stats(self) -> MemoryStats:
        """Bytes that the device gave us."""
        self._status.check()
        return self._pool.stats()

    def trim(self) -> None:
        """Give the pool back."""
        self._status.check()
        self._pool.trim()
