"""Typed errors. A message says what, got, want and a hint: ``[matmul] inner sizes differ: ...``."""

from __future__ import annotations


class PolybackError(Exception):
    """Base class of every error that polyback and its backends raise on purpose."""


class InvalidArgument(PolybackError, ValueError):
    """A value, shape or option that cannot be right."""


class InterchangeError(InvalidArgument, BufferError):
    """Memory that cannot be shared with another library in the way asked for."""


class ShapeError(InvalidArgument):
    """Shapes that do not fit together, or that overflow the address space."""


class DTypeError(PolybackError, TypeError):
    """A dtype that an operation does not accept, or a pair that does not promote."""


class DeviceMismatch(PolybackError, ValueError):
    """Operands that live on different devices."""


class IndexOutOfBounds(PolybackError, IndexError):
    """An index outside its axis."""


class GradientError(PolybackError, RuntimeError):
    """Differentiation that cannot be done: no graph, no gradient rule, or a modified operand."""


class LinAlgError(PolybackError, ValueError):
    """A matrix without what was asked for: singular, not positive definite, no convergence."""


class DataError(PolybackError, ValueError):
    """A truncated, corrupt or unexpected data file."""


class UnsupportedOp(PolybackError, NotImplementedError):
    """A device does not offer an operation for these dtypes; nothing has been written."""


class OutOfMemory(PolybackError, MemoryError):
    """An allocation that a device cannot serve, after caches were dropped and it was retried.

    ``requested``, ``live``, ``cached`` and ``limit`` are byte counts (None where unknown).
    """

    def __init__(
        self,
        message: str,
        *,
        requested: int = 0,
        live: int | None = None,
        cached: int | None = None,
        limit: int | None = None,
    ) -> None:
        super().__init__(message)
        self.requested, self.live, self.cached, self.limit = requested, live, cached, limit


class DeviceClosed(PolybackError, RuntimeError):
    """A call on a device after ``close()``."""


class DeviceLost(PolybackError, RuntimeError):
    """The device stopped answering; everything on it is gone."""


class CompileError(PolybackError, RuntimeError):
    """A kernel did not compile. ``log`` is the compiler's output, ``source`` what it was given."""

    def __init__(self, message: str, *, log: str = "", source: str = "") -> None:
        super().__init__(message)
        self.log, self.source = log, source


class AsyncError(PolybackError, RuntimeError):
    """A fault of queued work, raised at the next call that waits."""


class BackendUnavailable(PolybackError, RuntimeError):
    """A device that cannot be used here. ``code``, ``reason``, ``fix`` say why and what to do."""

    def __init__(self, message: str, *, code: str = "", reason: str = "", fix: str = "") -> None:
        super().__init__(message)
        self.code, self.reason, self.fix = code, reason, fix


class ProtocolMismatch(PolybackError, RuntimeError):
    """A plugin speaks a version of the device protocol that this core does not."""


class FallbackWarning(UserWarning):
    """An operation ran on the host reference because its device does not offer it."""
