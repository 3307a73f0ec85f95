"""What is known about data types: kinds, limits, and which casts promotion makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import ml_dtypes
import numpy as np

from polyback.dtype import DType, dtype_of, is_kind, promote, real_part
from polyback.errors import DTypeError
from polyback.frontend.tensor import Tensor


@final
@dataclass(frozen=True)
class FloatLimits:
    """Limits of a floating-point type; of the component type for a complex one."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: DType


@final
@dataclass(frozen=True)
class IntegerLimits:
    """Limits of an integer type."""

    bits: int
    max: int
    min: int
    dtype: DType


def _type(x: Any) -> DType:
    return x.dtype if isinstance(x, Tensor) else dtype_of(x)


def finfo(type: Any, /) -> FloatLimits:
    """Limits of a floating-point type (given by itself or a tensor of it): ``bits``, ``eps``,
    ``max``, ``min``, ``smallest_normal`` and ``dtype``. Of a complex type: of its components.

    Raises DTypeError for other types.

    >>> import polyback as pb
    >>> pb.finfo(pb.float32).eps == 2.0**-23, pb.finfo(pb.complex128).dtype
    (True, polyback.float64)
    """
    dtype = real_part(_type(type))
    if not dtype.is_floating:
        raise DTypeError(f"[finfo] got {dtype}; want a floating-point type: iinfo() has integers")
    limits: Any = ml_dtypes.finfo  # NumPy's own does not know bfloat16
    found = limits(dtype.numpy)
    return FloatLimits(
        bits=8 * dtype.itemsize,
        eps=float(found.eps),
        max=float(found.max),
        min=float(found.min),
        smallest_normal=float(found.smallest_normal),
        dtype=dtype,
    )


def iinfo(type: Any, /) -> IntegerLimits:
    """Limits of an integer type (given by itself or a tensor of it): ``bits``, ``max``, ``min`` and
    ``dtype``. Raises DTypeError for other types.

    >>> import polyback as pb
    >>> pb.iinfo(pb.int8).max
    127
    """
    dtype = _type(type)
    if not dtype.is_integer:
        raise DTypeError(f"[iinfo] got {dtype}; want an integer type: finfo() has floating ones")
    found = np.iinfo(dtype.numpy)
    return IntegerLimits(8 * dtype.itemsize, int(found.max), int(found.min), dtype)


def isdtype(dtype: Any, kind: Any) -> bool:
    """Is ``dtype`` of ``kind``: a type, a kind, or one of a tuple of these?

    Kinds: ``"bool"``, ``"signed integer"``, ``"unsigned integer"``, ``"integral"``,
    ``"real floating"`` (float16 and bfloat16 too), ``"complex floating"``, ``"numeric"``. Raises
    InvalidArgument for another string.

    >>> import polyback as pb
    >>> pb.isdtype(pb.int8, "integral"), pb.isdtype(pb.int8, (pb.uint8, "real floating"))
    (True, False)
    """
    kinds = kind if isinstance(kind, tuple) else (kind,)
    mine = dtype_of(dtype)
    found = [is_kind(mine, k) if isinstance(k, str) else mine is dtype_of(k) for k in kinds]
    return any(found)


def can_cast(from_: Any, to: Any, /) -> bool:
    """Does promotion take ``from_`` (a type or a tensor) to ``to``: do both together give ``to``?

    >>> import polyback as pb
    >>> pb.can_cast(pb.int8, pb.int16), pb.can_cast(pb.int16, pb.int8)
    (True, False)
    """
    target = dtype_of(to)
    try:
        return promote(_type(from_), target) is target
    except DTypeError:  # uint64 with a signed type: there is no type for both
        return False
