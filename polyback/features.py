"""Optional features: what a device may offer beyond the nine required methods.

A device that names a feature in ``caps.features`` has the method of the same row below. Everything
here has a decomposition into required methods in the core, so that no feature is ever needed; each
has its own conformance file. ``since`` is the protocol version that introduced it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, final

from polyback.device import Operand
from polyback.program import Number, Program
from polyback.scalar import Reduction


class Prepare(Protocol):
    """Feature ``prepare``."""

    def prepare(
        self, program: Program, outs: Sequence[Operand], ins: Sequence[Operand | Number]
    ) -> Callable[[Sequence[Operand], Sequence[Operand | Number]], None]:
        """Check, compile and lay out once what ``elementwise`` would do for every call, and run
        nothing. The result, called with ``(outs, ins)``, is ``elementwise`` for operands of these
        types, shapes and strides; their buffers and offsets, the numbers, and which output is
        exactly an input are those of each call."""
        ...


class ReduceFused(Protocol):
    """Feature ``reduce_fused``."""

    def reduce_fused(
        self,
        op: Reduction,
        out: Operand,
        program: Program,
        ins: Sequence[Operand | Number],
        axes: tuple[int, ...],
    ) -> None:
        """``reduce`` of the single output of ``program``, which is never stored. ``ins`` share one
        shape (at least one is an array); ``out`` has size 1 at ``axes``."""
        ...


class GemmEpilogue(Protocol):
    """Feature ``gemm_epilogue``."""

    def matmul_fused(
        self,
        out: Operand,
        a: Operand,
        b: Operand,
        program: Program,
        ins: Sequence[Operand | Number | None],
    ) -> None:
        """``elementwise`` of ``program`` on the product of ``a`` and ``b``, which need not be
        stored. It stands where ``ins`` has None and has the type of ``a``, which ``caps.matmul``
        names. The one output may have another type. ``out`` shares no element with any input. The
        numbers are those of ``matmul``, then ``elementwise``, to the bit if
        ``numerics.deterministic``."""
        ...


class Gather(Protocol):
    """Feature ``gather``."""

    def gather(self, out: Operand, x: Operand, index: Operand, axis: int) -> None:
        """``out[i] = x[i with its entry at axis replaced by index[i]]``. ``index`` is int64 and has
        the shape of ``out``; ``x`` differs in shape only along ``axis``. Indexes are in range."""
        ...


class Scatter(Protocol):
    """Feature ``scatter``."""

    def scatter(
        self, out: Operand, index: Operand, x: Operand, axis: int, mode: Literal["set", "add"]
    ) -> None:
        """``out[i with its entry at axis replaced by index[i]] = x[i]`` (or ``+=``), in row-major
        order of ``i``, so that the last of several writes wins and sums have a fixed order.
        ``index`` (int64) and ``x`` share a shape; ``out`` differs from it only along ``axis``."""
        ...


class ScatterMinMax(Protocol):
    """Feature ``scatter_minmax``."""

    def scatter(
        self, out: Operand, index: Operand, x: Operand, axis: int, mode: Literal["min", "max"]
    ) -> None:
        """``scatter`` takes the modes min and max too, for real types: NaN propagates, -0 < +0."""
        ...


class Scan(Protocol):
    """Feature ``scan``."""

    def scan(self, op: Reduction, out: Operand, x: Operand, axis: int) -> None:
        """``out[..., i, ...] = op(x[..., 0, ...], ..., x[..., i, ...])`` along ``axis``. ``op`` is
        sum, prod, min or max of a dtype that ``caps.reductions`` names for it; ``out`` has the
        shape and type of ``x``. NaN propagates; sum i keeps the bound of a ``reduce`` of i + 1
        terms. The sign of a zero that min and max give is open."""
        ...


class ArgReduce(Protocol):
    """Feature ``argreduce``."""

    def argreduce(self, op: Reduction, out: Operand, x: Operand, axis: int) -> None:
        """``out`` (int64, size 1 at ``axis``) = the index of the first min or max along ``axis``,
        which is not empty; NaN is more extreme than every number, -0 equals +0. ``x`` has a real
        dtype that ``caps.reductions`` names for ``op``."""
        ...


class ArgSort(Protocol):
    """Feature ``argsort``."""

    def argsort(self, out: Operand, x: Operand, axis: int, descending: bool) -> None:
        """Stable order of ``x`` along ``axis`` as int64 indexes; NaN sorts after every number in
        both directions."""
        ...


class Sort(Protocol):
    """Feature ``sort``."""

    def sort(self, out: Operand, x: Operand, axis: int, descending: bool) -> None:
        """``x`` in the order of ``argsort`` along ``axis``, to the bit: zeros of different sign,
        and NaN of different bits, stay as they follow each other. ``out`` has the shape and type
        of ``x``, any real one that is stored."""
        ...


class Softmax(Protocol):
    """Feature ``softmax``."""

    def softmax(self, out: Operand, x: Operand, axis: int, log: bool) -> None:
        """``exp(x - m) / s`` with ``m`` the maximum and ``s`` the sum of the exponentials along
        ``axis``, or ``x - m - log(s)``. float32 and float64; ``axis`` is not empty. NaN anywhere
        along the axis, +inf, or -inf alone give NaN all along it."""
        ...


class LayerNorm(Protocol):
    """Feature ``layer_norm``."""

    def layer_norm(
        self, out: Operand, mean: Operand, scale: Operand, x: Operand,
        weight: Operand | None, bias: Operand | None, eps: float,
    ) -> None:  # fmt: skip
        """``out = (x - mean) * scale * weight + bias`` along the last axis (not empty), with
        ``scale = 1 / sqrt(mean((x - mean)**2) + eps)``. ``mean`` and ``scale`` are written too: the
        shape of ``x`` with size 1 at the end. ``weight`` and ``bias`` have the shape of ``x``
        (stride 0 where they repeat); None stands for ones and zeros. float32 and float64."""
        ...


@final
@dataclass(frozen=True)
class Window:
    """How a window walks over (height, width): element (i, j) of the result reads rows
    ``i * stride[0] - padding[0] + p * dilation[0]`` for p below the height of the window, and
    columns likewise. What lies outside is absent, so the shape of the result says how far padding
    goes at the end. Strides and dilations are at least 1, padding at least 0."""

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)  # before the first row and column
    dilation: tuple[int, int] = (1, 1)


class Conv2d(Protocol):
    """Feature ``conv2d``: cross-correlation and its two gradients, float32 and float64.

    Shapes: ``x`` (N, C, H, W), ``w`` (O, C / groups, P, Q), the result (N, O, I, J), strided, so
    that channels-last arrays come as views. The bound on sums is that of ``matmul``; a sum of
    nothing is 0. A NaN or an infinity spoils only the sums that it is a term of, but for one in the
    weights it is open whether elements outside ``x`` make terms.
    """

    def conv2d(self, out: Operand, x: Operand, w: Operand, window: Window, groups: int) -> None:
        """``out[n, o, i, j] = sum_(c, p, q) x[n, c of the group of o, row(i, p), column(j, q)]
        w[o, c, p, q]``; elements outside ``x`` count as 0."""
        ...

    def conv2d_input(
        self, out: Operand, g: Operand, w: Operand, window: Window, groups: int
    ) -> None:
        """The gradient for ``x`` (the shape of ``out``) when that of the result is ``g``."""
        ...

    def conv2d_weight(
        self, out: Operand, x: Operand, g: Operand, window: Window, groups: int
    ) -> None:
        """The gradient for ``w`` (the shape of ``out``)."""
        ...


class Pool2d(Protocol):
    """Feature ``pool2d``."""

    def pool2d(
        self, op: Reduction, out: Operand, index: Operand | None, x: Operand,
        kernel: tuple[int, int], window: Window,
    ) -> None:  # fmt: skip
        """Combine (sum or max) the elements of ``x`` (N, C, H, W) under each window; each window
        holds at least one. With max, ``index`` (int64, the shape of ``out``) gets ``row * W +
        column`` of the first maximum in row-major order, where NaN is the largest and -0 equals +0.
        float32, float64."""
        ...


@final
@dataclass(frozen=True)
class MemoryStats:
    """Bytes of one device."""

    live: int
    cached: int
    peak: int
    limit: int  # 0: none
    allocations: int


class HasMemoryStats(Protocol):
    """Feature ``memory_stats``."""

    def memory_stats(self) -> MemoryStats:
        """The figures now."""
        ...

    def trim(self) -> None:
        """Give cached memory back to the system."""
        ...


class HostView(Protocol):
    """Feature ``host_view``."""

    def host_view(self, buffer: Any) -> memoryview:
        """The buffer's bytes, writable, without a copy; valid until ``free``. From then on a call
        that uses the buffer returns when its work is done: the host reads and writes at will."""
        ...


class Adopt(Protocol):
    """Feature ``adopt``."""

    def adopt(self, memory: memoryview) -> Any:
        """A Buffer over ``memory`` (bytes, writable), which is not copied: others may write to it
        too. Its address is a multiple of the item size of what it will hold, no more. The device
        keeps ``memory`` until ``free``, which gives nothing back."""
        ...


@final
@dataclass(frozen=True)
class Feature:
    """A row of the feature table."""

    name: str
    protocol: type
    since: tuple[int, int]


FEATURES: Final = (
    Feature("prepare", Prepare, (1, 2)),
    Feature("reduce_fused", ReduceFused, (1, 0)),
    Feature("gemm_epilogue", GemmEpilogue, (1, 2)),
    Feature("gather", Gather, (1, 0)),
    Feature("scatter", Scatter, (1, 0)),
    Feature("argsort", ArgSort, (1, 0)),
    Feature("sort", Sort, (1, 2)),
    Feature("scatter_minmax", ScatterMinMax, (1, 1)),
    Feature("scan", Scan, (1, 1)),
    Feature("argreduce", ArgReduce, (1, 1)),
    Feature("softmax", Softmax, (1, 1)),
    Feature("layer_norm", LayerNorm, (1, 1)),
    Feature("conv2d", Conv2d, (1, 1)),
    Feature("pool2d", Pool2d, (1, 1)),
    Feature("memory_stats", HasMemoryStats, (1, 0)),
    Feature("host_view", HostView, (1, 0)),
    Feature("adopt", Adopt, (1, 1)),
)
