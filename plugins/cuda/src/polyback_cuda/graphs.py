"""CUDA graphs: a sequence of launches, recorded once and launched again as one.

A launch costs the host some microseconds; a graph of a hundred of them costs that once. What is
recorded are addresses and numbers: a replay reads the memory that the recorded calls read, as it is
then, and writes what they wrote. So whatever is to change between replays must be written in place.

Recording needs the driver's own functions (``cuStreamBeginCapture`` and its like), which pycuda
does not have; they are called through ctypes on pycuda's stream.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar, final

from polyback.errors import AsyncError, InvalidArgument, PolybackError
from polyback.simt.pool import Buffer, rounded

T = TypeVar("T")
LIBRARY: Final = "libcuda.so.1"
RELAXED: Final = 2  # CU_STREAM_CAPTURE_MODE_RELAXED: memory and modules may be asked for meanwhile


@final
class Graphs:
    """The driver's functions for graphs. Called with the context current."""

    def __init__(self, library: str = LIBRARY) -> None:
        self._library = ctypes.CDLL(library)

    def begin(self, stream: Any) -> None:
        """What is queued from now on is recorded and does not run."""
        self._call("cuStreamBeginCapture_v2", ctypes.c_void_p(int(stream.handle)), RELAXED)

    def end(self, stream: Any) -> Any:
        """What was recorded, ready to be launched. Raises AsyncError."""
        graph, ready = ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuStreamEndCapture", ctypes.c_void_p(int(stream.handle)), ctypes.byref(graph))
        try:
            flags = ctypes.c_ulonglong(0)
            self._call("cuGraphInstantiateWithFlags", ctypes.byref(ready), graph, flags)
        finally:
            self._call("cuGraphDestroy", graph)
        return ready

    def launch(self, ready: Any, stream: Any) -> None:
        """Queue all of it."""
        self._call("cuGraphLaunch", ready, ctypes.c_void_p(int(stream.handle)))

    def destroy(self, ready: Any) -> None:
        """Give it back."""
        self._call("cuGraphExecDestroy", ready)

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            words = ctypes.c_char_p()
            self._library.cuGetErrorString(status, ctypes.byref(words))
            text = (words.value or b"unknown error").decode()
            raise AsyncError(f"[cuda] {name} failed: {text} ({status})")


@final
class Memory:
    """The memory of one recording: what its launches touch stays until it is closed."""

    def __init__(self) -> None:
        self.handles: set[int] = set()  # of all that is kept
        self.kept: list[tuple[int, int]] = []  # freed by their owners: (handle, room)
        self.buffers: list[Buffer] = []  # alive, so that nobody frees what nobody refers to
        self.sources: list[Any] = []  # page-locked, of copies to the device
        self._own: set[int] = set()  # asked for while recording: may be used again while recording
        self._spare: dict[int, list[int]] = {}

    def take(self, nbytes: int) -> Buffer | None:
        """Memory that an earlier recorded call is done with."""
        room = rounded(nbytes)
        spare = self._spare.get(room)
        return Buffer(spare.pop(), nbytes, room) if spare else None

    def add(self, buffer: Buffer) -> None:
        """Keep what was asked for meanwhile."""
        self.handles.add(buffer.handle)
        self._own.add(buffer.handle)

    def use(self, arguments: Sequence[Any]) -> None:
        """Keep what a launch touches."""
        buffers = [x for x in arguments if isinstance(x, Buffer)]
        self.handles.update(x.handle for x in buffers)
        self.buffers += buffers

    def put(self, handle: int, room: int, recording: bool) -> None:
        """Its owner freed it. What was there before the recording is never used again by it: a
        replay reads it anew."""
        if recording and handle in self._own:
            self._spare.setdefault(room, []).append(handle)
        else:
            self.kept.append((handle, room))

    def leave(self) -> list[tuple[int, int]]:
        """What nobody needs any more."""
        spare = [(handle, room) for room, some in self._spare.items() for handle in some]
        freed = [*self.kept, *spare]
        self.handles.clear()
        self.buffers.clear()
        self.sources.clear()
        self._spare.clear()
        self.kept.clear()
        return freed


@final
class Recorder:
    """Recordings of one driver. ``run`` makes the context current, ``release`` takes memory back
    that no recording needs. All is called with the driver's lock held but ``keeps``."""

    def __init__(
        self, load: Callable[[], Any], stream: Any, run: Callable[..., Any],
        release: Callable[[int, int], None],
    ) -> None:  # fmt: skip
        self._load, self._stream, self._run, self._release = load, stream, run, release
        self._graphs: Any = None
        self._open: tuple[tuple[Any, Memory], ...] = ()  # replaced, not changed: see keeps
        self.memory: Memory | None = None  # while recording

    def refuse(self, what: str) -> None:
        """Raises InvalidArgument while recording."""
        if self.memory is not None:
            raise InvalidArgument(
                f"[cuda graph] cannot {what} while recording: nothing has run yet; keep to work "
                "that stays on the device, and read results after a replay"
            )

    def keeps(self, buffer: Buffer) -> bool:
        """A recording needs this freed buffer's memory: it is kept. Any thread may ask."""
        if not self._open and self.memory is None:
            return False
        memories = [memory for _, memory in self._open]
        if self.memory is not None:
            memories.append(self.memory)
        for memory in memories:
            if buffer.handle in memory.handles:
                handle, buffer.handle = buffer.handle, None
                memory.put(handle, buffer.room, memory is self.memory)
                return True
        return False

    def record(self, function: Callable[[], T]) -> tuple[Any, T]:
        """What ``function`` queues, ready to be launched, and what it returned."""
        self.refuse("record")
        if self._graphs is None:
            self._graphs = self._load()
        memory = Memory()
        self._run(self._graphs.begin, self._stream)
        self.memory = memory
        try:
            result = function()
        except BaseException:
            with suppress(PolybackError):
                self._run(self._graphs.destroy, self._run(self._graphs.end, self._stream))
            self._finish(memory)
            raise
        try:
            ready = self._run(self._graphs.end, self._stream)
        except BaseException:
            self._finish(memory)
            raise
        self._open = (*self._open, (ready, memory))
        self.memory = None
        return ready, result

    def _finish(self, memory: Memory) -> None:
        self.memory = None
        for handle, room in memory.leave():
            self._release(handle, room)

    def launch(self, ready: Any) -> None:
        """Queue a replay."""
        self.refuse("replay")
        self._run(self._graphs.launch, ready, self._stream)

    def close(self, ready: Any) -> None:
        """Give a recording's memory back, after the replays that are queued."""
        for known, memory in self._open:
            if known is ready:
                self._open = tuple(x for x in self._open if x[0] is not ready)
                self._run(self._graphs.destroy, ready)
                self._finish(memory)

    def close_all(self) -> None:
        """Before the device closes; the context is current."""
        for ready, memory in self._open:
            self._graphs.destroy(ready)
            memory.leave()
        self._open = ()


@final
class Recording(Generic[T]):
    """A recorded sequence. Call it to queue a replay; ``result`` is what the function returned when
    it was recorded. ``close`` it, or use it in a ``with`` statement, to give its memory back."""

    def __init__(self, driver: Any, ready: Any, result: T) -> None:
        self._driver, self._ready, self.result = driver, ready, result

    def __call__(self) -> None:
        """Queue a replay; it runs after all that was queued before."""
        if self._ready is None:
            raise InvalidArgument("[cuda graph] the recording is closed; record it again")
        self._driver.replay(self._ready)

    def close(self) -> None:
        """Idempotent. The device's own ``close`` closes its recordings too."""
        ready, self._ready = self._ready, None
        if ready is not None:
            self._driver.close_recording(ready)

    def __enter__(self) -> Recording[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def record(device: Any, function: Callable[[], T]) -> Recording[T]:
    """Run ``function`` once as usual, then once more to record what it queues on ``device``.

    ``device`` is ``pb.get_device("cuda")``. The first run compiles, and loads what is needed; the
    second computes nothing. A replay does what the second run queued, with the memory and the
    numbers of then: read inputs from tensors that are written in place, write results in place
    (``out[...] = f(x)``; what is still pending when ``function`` returns is not recorded), and
    expect random numbers to repeat. Other threads wait while it records.

        x, y = pb.asarray(data, device="cuda"), pb.zeros((n,), device="cuda")

        def step():
            y[...] = pb.exp(x) + y

        with record(pb.get_device("cuda"), step) as replay:
            for batch in batches:
                x[...] = pb.asarray(batch, device="cuda")
                replay()

    Raises InvalidArgument if ``function`` reads values back or waits, AsyncError if the driver
    cannot record it. Nothing is recorded then, and the device works on.

    Source: NVIDIA, CUDA Driver API, "Stream Management" and "Graph Management".
    """
    driver = getattr(device, "protocol", device).driver
    function()
    ready, result = driver.record(function)
    return Recording(driver, ready, result)
