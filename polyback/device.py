"""The device protocol, version 1: all that a backend plugin implements, and nothing else.

A plugin has three parts: a :class:`BackendDescriptor` (cheap: returned by its pluggy hook), a
:class:`Backend` (finds out what is there) and a :class:`Device` (memory and kernels). A device
never sees a tensor: it gets flat buffers and :class:`Operand` descriptions of how to read them.

The nine abstract methods of Device are required. What else a device can do it names in
``caps.features``; the methods those names stand for are in :mod:`polyback.features`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, Protocol, final

from polyback import scalar
from polyback.config import Config
from polyback.dtype import DTYPES, DType
from polyback.program import Number, Program
from polyback.scalar import Reduction
from polyback.view import View

PROTOCOL: Final = (1, 2)  # (major, minor): a minor only adds optional things


class Buffer(Protocol):
    """Memory of one device. Only the device that made it looks inside."""

    @property
    def nbytes(self) -> int:
        """Bytes that may be used."""
        ...


@dataclass(slots=True, eq=False)  # not frozen, which makes it three times as slow to make
class Operand:
    """An array as a kernel sees it. The core guarantees that the view lies inside the buffer, and
    may go on using the object: a device must not change it."""

    buffer: Any
    dtype: DType
    view: View


@final
@dataclass(frozen=True)
class Numerics:
    """How a device computes."""

    denormals: bool = True  # subnormal numbers are kept, not flushed to zero
    deterministic: bool = True  # same call, same inputs: same bits
    float32_matmul: Literal["ieee", "tf32"] = "ieee"  # tf32: only if a user asked for it


@final
@dataclass(frozen=True)
class Limits:
    """What the core must not exceed. ``max_allocation`` is in bytes; None: not known."""

    max_ndim: int = 32
    alignment: int = 64
    max_allocation: int | None = None


NAMES: Final = frozenset(d.name for d in DTYPES)
_REAL: Final = frozenset(d.name for d in DTYPES if d.kind != "complex")
MINIMUM_STORAGE: Final = frozenset({"bool", "uint8", "int32", "uint32", "int64", "float32"})


@final
@dataclass(frozen=True)
class Caps:
    """What a device claims; conformance checks every claim, and that the rest is refused.

    All types are names, so that Caps is plain data (``as_dict`` gives JSON).
    """

    storage: frozenset[str]  # dtypes that can be allocated, copied, cast
    scalars: Mapping[str, frozenset[str]]  # row name -> operand dtypes
    reductions: Mapping[str, frozenset[str]]  # reduction name -> dtypes
    matmul: frozenset[str]
    features: frozenset[str] = frozenset()
    layouts: Literal["strided", "contiguous"] = "strided"
    numerics: Numerics = field(default_factory=Numerics)
    limits: Limits = field(default_factory=Limits)
    protocol: tuple[int, int] = PROTOCOL

    def missing(self, program: Program) -> list[str]:
        """What ``program`` uses and the device does not claim, as ``"exp complex64"``."""
        lacks = [f"{d} storage" for d in {d.name for d in program.dtypes} - self.storage]
        for instr in program.instrs:
            have = self.scalars.get(instr.row.name, frozenset())
            wants = {program.operand_dtype(instr).name}
            if instr.row is scalar.CAST:
                wants.add(instr.dtype.name)
            lacks += [f"{instr.row.name} {want}" for want in sorted(wants - have)]
        return sorted(set(lacks))

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready data."""
        return {
            "protocol": list(self.protocol),
            "storage": sorted(self.storage),
            "scalars": {k: sorted(v) for k, v in sorted(self.scalars.items())},
            "reductions": {k: sorted(v) for k, v in sorted(self.reductions.items())},
            "matmul": sorted(self.matmul),
            "features": sorted(self.features),
            "layouts": self.layouts,
            "numerics": vars(self.numerics),
            "limits": vars(self.limits),
        }


def full_claims(storage: frozenset[str]) -> Caps:
    """Everything that a device which stores ``storage`` can claim: every row, reduction and product
    on every type; half types are storage only."""
    full = storage - frozenset({"float16", "bfloat16"})

    def names(types: frozenset[DType]) -> frozenset[str]:
        return frozenset(d.name for d in types) & full

    rows = {row.name: names(row.takes) for row in scalar.TABLE if names(row.takes)}
    for row in (scalar.CAST, scalar.CONST):
        rows[row.name] = storage
    return Caps(
        storage=storage,
        scalars=rows,
        reductions={r.name: names(r.takes) for r in scalar.REDUCTIONS},
        matmul=full - {"bool"},
    )


def required_claims(storage: frozenset[str]) -> Caps:
    """The smallest Caps that passes conformance for a device that stores ``storage``: every real
    dtype it stores must work everywhere; half types are storage only; complex is optional."""
    return replace(full_claims(storage & _REAL), storage=storage | MINIMUM_STORAGE)


class Device(ABC):
    """One opened device. Every call may come from any thread.

    Shapes are checked by the core before a call. A device raises ``UnsupportedOp`` for what it does
    not claim and ``InvalidArgument`` for operands that contradict the contract, both before it
    writes anything; it never prints, exits or aborts.
    """

    @property
    @abstractmethod
    def caps(self) -> Caps:
        """What this device can do; the same object every time."""

    @abstractmethod
    def allocate(self, nbytes: int) -> Any:
        """A Buffer of at least ``nbytes`` (0 is legal), aligned to ``caps.limits.alignment``, with
        undefined contents. Raises OutOfMemory."""

    @abstractmethod
    def free(self, buffer: Any) -> None:
        """Give a buffer back; safe while queued work still uses it."""

    @abstractmethod
    def upload(self, buffer: Any, offset: int, source: memoryview) -> None:
        """Copy bytes into ``buffer`` at byte ``offset``; ``source`` may be reused on return."""

    @abstractmethod
    def download(self, buffer: Any, offset: int, target: memoryview) -> None:
        """Copy bytes from byte ``offset`` of ``buffer``, after all queued work that writes them."""

    @abstractmethod
    def synchronize(self) -> None:
        """Wait for queued work; raises the first pending asynchronous error, once."""

    @abstractmethod
    def close(self) -> None:
        """Release everything; idempotent. Afterwards every other call raises DeviceClosed."""

    @abstractmethod
    def elementwise(
        self, program: Program, outs: Sequence[Operand], ins: Sequence[Operand | Number]
    ) -> None:
        """Run ``program`` for every index of the shape that all operands share.

        ``ins`` matches ``program.inputs``: a Number where the input is a scalar. Operands are
        strided; stride 0 broadcasts. An output never overlaps itself or another output; it either
        has exactly the buffer, type and view of an input or shares no element with any.
        ``iota`` is the row-major index in the shared shape.
        """

    @abstractmethod
    def reduce(self, op: Reduction, out: Operand, x: Operand, axes: tuple[int, ...]) -> None:
        """Combine the elements of ``x`` along ``axes`` (sorted, not empty); ``out`` has size 1
        there and the type of ``x``. An empty axis gives the identity (the core refuses min and max
        of nothing). NaN propagates through min and max. Sums of n floating terms keep within
        ``K(n) u sum|terms|``, K(n) = min(n + 2, 8 + 2 sqrt(n))."""

    @abstractmethod
    def matmul(self, out: Operand, a: Operand, b: Operand) -> None:
        """``out[..., i, j] = sum_k a[..., i, k] b[..., k, j]``; leading axes are equal (broadcast
        by stride 0), the three types are the same. The bound on sums is that of ``reduce``; half
        types, where claimed, are summed in float32 and rounded once."""


@final
@dataclass(frozen=True)
class DeviceInfo:
    """What is known about a device without opening it. ``memory`` is in bytes; 0: not known."""

    index: int
    kind: Literal["cpu", "gpu"]
    description: str
    memory: int = 0


@final
@dataclass(frozen=True)
class Available:
    """``probe()`` found that the backend can be used."""

    detail: str = ""


@final
@dataclass(frozen=True)
class Unavailable:
    """``probe()`` found that it cannot. Codes: NOT_INSTALLED, NO_DRIVER, NO_DEVICE,
    VERSION_MISMATCH, DISABLED, PROBE_FAILED, IMPORT_ERROR; the core adds INVALID_PLUGIN,
    OPEN_FAILED, SHADOWED and FORKED."""

    code: str
    reason: str
    fix: str


class Backend(ABC):
    """Finds and opens the devices of one plugin. Constructing it calls no driver."""

    @abstractmethod
    def probe(self) -> Available | Unavailable:
        """Can it be used here? Never raises, creates no context, takes under 50 ms."""

    @abstractmethod
    def devices(self) -> Sequence[DeviceInfo]:
        """The devices present; empty when unavailable."""

    @abstractmethod
    def open(self, index: int, config: Config) -> Device:
        """Open device ``index``. Raises BackendUnavailable or InvalidArgument (no such index)."""


@final
@dataclass(frozen=True)
class BackendDescriptor:
    """What a plugin's ``polyback_backend`` hook returns; making one imports nothing heavy."""

    name: str  # the device name that people type
    factory: str  # "module:Class" of the Backend, imported on first use
    kind: Literal["cpu", "gpu"]  # which alias it may serve
    protocol: tuple[tuple[int, int], tuple[int, int]]  # lowest and highest it was tested with
    priority: int = 0  # higher wins the alias; ties go by name
    reference: bool = False  # True: the executable definition, used for host fallback
    homepage: str = ""
