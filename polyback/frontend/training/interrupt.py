"""Ctrl-C at a step's end: a request to stop, not an exception in the middle of an update."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, final


@final
class Interrupt:
    """Inside a ``with`` block the first Ctrl-C only makes this object true; a second one raises
    KeyboardInterrupt at once. Outside the main thread, where signals do not arrive, it is false.

    >>> import polyback as pb
    >>> with pb.training.Interrupt() as stop:
    ...     for step in range(3):
    ...         if stop:
    ...             break
    >>> step
    2
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: Any = None
        self._installed = False

    def __bool__(self) -> bool:
        return self.requested

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._request)
            self._installed = True
        return self

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if self._installed:
            signal.signal(signal.SIGINT, self._before)
