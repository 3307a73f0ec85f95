"""Backends that break the rules about memory, order, claims and errors."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from seeding import Reference, array, fault

from polyback.device import Operand
from polyback.errors import PolybackError, UnsupportedOp
from polyback.view import View
from polyback_numpy_ref.device import HostBuffer

# --- memory -----------------------------------------------------------------------------------


@fault("l1_memory")
class OutOfMemoryIsPlain(Reference):
    """Raises MemoryError."""

    def _out_of_memory(self, nbytes: int) -> Any:
        return MemoryError(nbytes)


@fault("l1_memory")
class OutOfMemoryAborts(Reference):
    """Ends the process."""

    def _out_of_memory(self, nbytes: int) -> Any:
        os.abort()


@fault("l1_memory")
class OutOfMemoryExits(Reference):
    """Ends the process as if all were well."""

    def _out_of_memory(self, nbytes: int) -> Any:
        os._exit(0)


@fault("l1_memory")
class Misaligned(Reference):
    """Memory filled with zeros, 8 bytes past an aligned address."""

    def allocate(self, nbytes: int) -> Any:
        buffer = super().allocate(nbytes + 8)
        buffer.bytes = buffer.bytes[8:]
        buffer.bytes[:] = 0
        return buffer


@fault("l1_memory")
class Leaks(Reference):
    """``free`` forgets to free."""

    kept: list[Any]

    def free(self, buffer: Any) -> None:
        self.__dict__.setdefault("kept", []).append(buffer.bytes)
        super().free(buffer)


@fault("l1_memory")
class DownloadIgnoresOffset(Reference):
    """Always downloads from the start."""

    def download(self, buffer: Any, offset: int, target: memoryview) -> None:
        super().download(buffer, 0, target)


@fault("l1_memory")
class RefusesZeroBytes(Reference):
    """An allocation of nothing is an error."""

    def allocate(self, nbytes: int) -> Any:
        if nbytes == 0:
            raise ValueError("size must be positive")
        return super().allocate(nbytes)


@fault("l1_memory")
class CloseTwice(Reference):
    """The second close raises."""

    def close(self) -> None:
        self._check_open()
        super().close()


@fault("l1_memory")
class UsableAfterClose(Reference):
    """Close does nothing."""

    def close(self) -> None:
        pass


@fault("l7_memory")
class StatsIgnoreFree(Reference):
    """memory_stats never goes down."""

    def free(self, buffer: Any) -> None:
        super().free(buffer)
        self._live += buffer.nbytes


# --- order --------------------------------------------------------------------------------------


class Queued(Reference):
    """Elementwise work of size is put in a queue; everything else runs it first."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: list[Callable[[], None]] = []
        self.looked_at: list[Any] = []

    def host_view(self, buffer: Any) -> memoryview:
        self.flush()
        self.looked_at.append(buffer)
        return super().host_view(buffer)

    def flush(self) -> None:
        """Run the queue."""
        work, self.queue = self.queue, []
        for call in work:
            call()

    def elementwise(self, program: Any, outs: Any, ins: Any) -> None:
        self._check_open()
        self._check_claimed(program)
        seen = any(getattr(x, "buffer", None) in self.looked_at for x in (*outs, *ins))
        if seen or outs[0].view.size < 1000:
            self.flush()
            super().elementwise(program, outs, ins)
        else:
            self.queue.append(lambda: Reference.elementwise(self, program, outs, ins))

    def reduce(self, *args: Any) -> None:
        self.flush()
        super().reduce(*args)

    def matmul(self, *args: Any) -> None:
        self.flush()
        super().matmul(*args)

    def upload(self, buffer: Any, offset: int, source: memoryview) -> None:
        self.flush()
        super().upload(buffer, offset, source)

    def download(self, buffer: Any, offset: int, target: memoryview) -> None:
        self.flush()
        super().download(buffer, offset, target)

    def synchronize(self) -> None:
        self.flush()
        super().synchronize()

    def free(self, buffer: Any) -> None:
        self.flush()
        super().free(buffer)


@fault("l5_semantics")
class LateDownload(Queued):
    """A download does not wait for queued work."""

    def download(self, buffer: Any, offset: int, target: memoryview) -> None:
        Reference.download(self, buffer, offset, target)


@fault("l5_semantics")
class WorkBehindAHostView(Queued):
    """Work on a buffer that the host looks at stays in the queue."""

    def host_view(self, buffer: Any) -> memoryview:
        return Reference.host_view(self, buffer)


@fault("l5_semantics")
class FreeDoesNotWait(Queued):
    """Freed memory is reused while queued work still reads it."""

    def free(self, buffer: Any) -> None:
        if self.queue:
            buffer.bytes[:] = 0
            self._live -= buffer.nbytes
        else:
            super().free(buffer)


@fault("l5_semantics")
class UploadOvertakes(Queued):
    """An upload overtakes queued work that reads the buffer."""

    def upload(self, buffer: Any, offset: int, source: memoryview) -> None:
        Reference.upload(self, buffer, offset, source)


@fault("l5_semantics")
class UploadKeepsSource(Reference):
    """Large uploads are copied when the buffer is next used."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Any] = []

    def upload(self, buffer: Any, offset: int, source: memoryview) -> None:
        self.settle()
        if source.nbytes >= 1 << 20 and not source.readonly:
            self.waiting.append((buffer, offset, source))
        else:
            super().upload(buffer, offset, source)

    def settle(self) -> None:
        """Copy what waits."""
        for buffer, offset, source in self.waiting:
            super().upload(buffer, offset, source)
        self.waiting.clear()

    def download(self, buffer: Any, offset: int, target: memoryview) -> None:
        self.settle()
        super().download(buffer, offset, target)

    def elementwise(self, *args: Any) -> None:
        self.settle()
        super().elementwise(*args)


@fault("l5_semantics")
class OneScratchForAllThreads(Reference):
    """Results pass through scratch memory that threads share."""

    def _run(self, program: Any, ins: Any, shape: Any) -> list[Any]:
        self.scratch = super()._run(program, ins, shape)
        if np.prod(shape) > 10_000:
            time.sleep(0.002)
        return self.scratch


# --- claims and errors --------------------------------------------------------------------------


@fault("l3_elementwise")
class ClaimsAndRaises(Reference):
    """Claims atan2 of float64 and cannot do it."""

    def elementwise(self, program: Any, outs: Any, ins: Any) -> None:
        names = [(i.row.name, i.dtype.name) for i in program.instrs]
        if ("atan2", "float64") in names:
            raise UnsupportedOp("no kernel atan2_f64")
        super().elementwise(program, outs, ins)


@fault("l3_elementwise")
class AcceptsUnclaimed(Reference):
    """Does not claim complex cosines, and computes them anyway."""

    def __init__(self) -> None:
        super().__init__()
        self.without("cos", "complex64")

    def _check_claimed(self, program: Any) -> None:
        pass


@fault("l3_elementwise")
class RequiredUnclaimed(Reference):
    """Does not claim hypot of float64, which it must, and refuses it properly."""

    def __init__(self) -> None:
        super().__init__()
        self.without("hypot", "float64")


@fault("l4_reduce")
class RequiredReductionUnclaimed(Reference):
    """Does not claim the product of int32."""

    def __init__(self) -> None:
        super().__init__()
        claims = dict(self._caps.reductions)
        claims["prod"] = claims["prod"] - {"int32"}
        self.change(reductions=claims)


@fault("l3_elementwise")
class RefusesAfterWriting(Reference):
    """Clears the outputs, then finds that it does not do complex sines."""

    def __init__(self) -> None:
        super().__init__()
        self.without("sin", "complex128")

    def _check_claimed(self, program: Any) -> None:
        pass

    def elementwise(self, program: Any, outs: Any, ins: Any) -> None:
        if self._caps.missing(program):
            for out in outs:
                array(out)[...] = 0
            raise UnsupportedOp("no kernel sin_c128")
        super().elementwise(program, outs, ins)


@fault("l4_reduce")
class UntypedRefusal(Reference):
    """Refuses with a KeyError from a table of kernels."""

    def reduce(self, op: Any, out: Any, x: Any, axes: Any) -> None:
        try:
            super().reduce(op, out, x, axes)
        except PolybackError:
            raise KeyError((op.name, x.dtype.name)) from None


@fault("l5_semantics")
class TypesNotChecked(Reference):
    """A product of int32 and float32 is computed, somehow."""

    def matmul(self, out: Any, a: Any, b: Any) -> None:
        if a.dtype is b.dtype is out.dtype:
            super().matmul(out, a, b)
        else:
            with np.errstate(all="ignore"):
                array(out)[...] = np.matmul(array(a), array(b)).astype(out.dtype.numpy)


# --- features -----------------------------------------------------------------------------------


@fault("l7_sorting")
class ArgsortUnstable(Reference):
    """Descending order by reversing the ascending one: equal elements change places."""

    def argsort(self, out: Any, x: Any, axis: int, descending: bool) -> None:
        super().argsort(out, x, axis, False)
        if descending:
            array(out)[...] = np.flip(array(out), axis).copy()


@fault("l7_sorting")
class SortForgetsSigns(Reference):
    """Equal zeros are all written as one of them, as a sort by minimum and maximum does."""

    def sort(self, out: Any, x: Any, axis: int, descending: bool) -> None:
        super().sort(out, x, axis, descending)
        if x.dtype.is_floating:
            array(out)[array(out) == 0] = 0


@fault("l7_indexing")
class ScatterFirstWins(Reference):
    """Of several writes to one element the first stays."""

    def scatter(self, out: Any, index: Any, x: Any, axis: int, mode: Any) -> None:
        if mode == "set":
            index, x = (replace(o, view=o.view.flip([axis])) for o in (index, x))
        super().scatter(out, index, x, axis, mode)


@fault("l7_fused")
class FusedReduceIgnoresNumber(Reference):
    """The fused kernel reads every number as 1."""

    def reduce_fused(self, op: Any, out: Any, program: Any, ins: Any, axes: Any) -> None:
        ins = [x if isinstance(x, Operand) else 1.0 for x in ins]
        super().reduce_fused(op, out, program, ins, axes)


@fault("l4_matmul")
class ChangesItsOperand(Reference):
    """A product goes on with its output as one row of elements."""

    def matmul(self, out: Any, a: Any, b: Any) -> None:
        super().matmul(out, a, b)
        out.view = View.contiguous((out.view.size,))


@fault("l5_semantics")
class PrintsProgress(Reference):
    """A product says on stderr what it does."""

    def matmul(self, out: Any, a: Any, b: Any) -> None:
        super().matmul(out, a, b)
        print("gemm", out.view.shape, file=sys.stderr)


@fault("l5_semantics")
class SilencesNumpy(Reference):
    """Switches NumPy's warnings off for the whole process, and leaves them off."""

    def reduce(self, op: Any, out: Any, x: Any, axes: Any) -> None:
        super().reduce(op, out, x, axes)
        np.seterr(all="ignore")


@fault("l7_epilogue")
class EpilogueForgetsTheBias(Reference):
    """Of what is added to every row only the first element is read."""

    def matmul_fused(self, out: Any, a: Any, b: Any, program: Any, ins: Any) -> None:
        ins = [
            replace(x, view=replace(x.view, strides=(0,) * x.view.ndim))
            if isinstance(x, Operand) else x
            for x in ins
        ]  # fmt: skip
        super().matmul_fused(out, a, b, program, ins)


@fault("l7_memory")
class HostViewIsACopy(Reference):
    """host_view gives the bytes of a copy."""

    def host_view(self, buffer: HostBuffer) -> memoryview:
        return memoryview(buffer.bytes.copy())
