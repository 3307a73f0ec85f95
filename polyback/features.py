"""Optional features: what a device may offer beyond the nine required methods.

A device that names a feature in ``caps.features`` has the method of the same row below. Everything
here has a decomposition into required methods in the core, so that no feature is ever needed; each
has its own conformance file. ``since`` is the protocol version that introduced it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, final

from polyback.device import Operand
from polyback.program import Number, Program
from polyback.scalar import Reduction


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


class ArgSort(Protocol):
    """Feature ``argsort``."""

    def argsort(self, out: Operand, x: Operand, axis: int, descending: bool) -> None:
        """Stable order of ``x`` along ``axis`` as int64 indexes; NaN sorts after every number in
        both directions."""
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
        """The buffer's bytes, writable, without a copy; valid until ``free``."""
        ...


@final
@dataclass(frozen=True)
class Feature:
    """A row of the feature table."""

    name: str
    protocol: type
    since: tuple[int, int]


FEATURES: Final = (
    Feature("reduce_fused", ReduceFused, (1, 0)),
    Feature("gather", Gather, (1, 0)),
    Feature("scatter", Scatter, (1, 0)),
    Feature("argsort", ArgSort, (1, 0)),
    Feature("memory_stats", HasMemoryStats, (1, 0)),
    Feature("host_view", HostView, (1, 0)),
)
