"""Mixed precision: a policy of casts. Products store half types, sums and exponentials float32.

Half types are storage on every device: a product of two float16 tensors is computed in float32 and
rounded once. What autocast saves is memory: activations take half of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from polyback.dtype import DType, dtype_of, float32
from polyback.errors import DTypeError
from polyback.frontend.functions.elementwise import cast
from polyback.frontend.tensor import Tensor

_DTYPE: Final[ContextVar[DType | None]] = ContextVar("polyback_autocast", default=None)


@contextmanager
def autocast(dtype: Any = "float16", enabled: bool = True) -> Iterator[None]:
    """Inside a ``with`` block, matmul, linear and convolutions take their float32 operands as
    ``dtype`` (float16 or bfloat16), and softmax, sums, norms and losses take half types as float32.

    Parameters stay float32, and so do their gradients. float16 has a small range: scale the loss
    with :class:`polyback.optim.GradScaler`. Raises DTypeError for another type.

    >>> import polyback as pb
    >>> x = pb.ones((2, 2))
    >>> with pb.autocast(pb.bfloat16):
    ...     y = x @ x
    ...     z = pb.sum(y)
    >>> y.dtype, z.dtype
    (polyback.bfloat16, polyback.float32)
    """
    kind = dtype_of(dtype)
    if kind.compute is kind:
        raise DTypeError(f"[autocast] got {kind}; want float16 or bfloat16")
    with autocast_as(kind if enabled else None):
        yield


def autocast_dtype() -> DType | None:
    """The type that products take now, if there is one."""
    return _DTYPE.get()


@contextmanager
def autocast_as(dtype: DType | None) -> Iterator[None]:
    """What :func:`autocast_dtype` gave, once more: for work that is repeated elsewhere."""
    token = _DTYPE.set(dtype)
    try:
        yield
    finally:
        _DTYPE.reset(token)


def lowered(*tensors: Tensor) -> tuple[Tensor, ...]:
    """``tensors`` as a product takes them: float32 ones in autocast's type, inside its block."""
    dtype = _DTYPE.get()
    if dtype is None:
        return tensors
    return tuple(cast(x, dtype) if x.dtype is float32 else x for x in tensors)


def widened(x: Tensor) -> Tensor:
    """``x`` as a sum or an exponential takes it: half types as float32, inside autocast's block."""
    return cast(x, float32) if x.dtype.compute is not x.dtype and _DTYPE.get() is not None else x
