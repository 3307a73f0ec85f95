"""Rounding, and the parts of floating-point and complex numbers, elementwise."""

from __future__ import annotations

from typing import Any

from polyback import scalar
from polyback.dtype import bool_
from polyback.errors import DTypeError
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions.creation import zeros_like
from polyback.frontend.functions.elementwise import apply
from polyback.frontend.tensor import Tensor
from polyback.scalar import Scalar


def _rounded(row: Scalar, x: Tensor) -> Tensor:
    """Integers are round already."""
    check_tensors(row.name, x)
    return apply(scalar.POSITIVE, x) if x.dtype.is_integer else apply(row, x)


def floor(x: Tensor, /) -> Tensor:
    """The largest integer not above ``x``, in the type of ``x``. Real types; no gradient.

    >>> import polyback as pb
    >>> pb.floor(pb.asarray([1.5, -1.5])).tolist()
    [1.0, -2.0]
    """
    return _rounded(scalar.FLOOR, x)


def ceil(x: Tensor, /) -> Tensor:
    """The smallest integer not below ``x``, in the type of ``x``. Real types; no gradient.

    >>> import polyback as pb
    >>> pb.ceil(pb.asarray([1.5, -1.5])).tolist()
    [2.0, -1.0]
    """
    return _rounded(scalar.CEIL, x)


def trunc(x: Tensor, /) -> Tensor:
    """``x`` without its fraction, in the type of ``x``. Real types; no gradient.

    >>> import polyback as pb
    >>> pb.trunc(pb.asarray([1.5, -1.5])).tolist()
    [1.0, -1.0]
    """
    return _rounded(scalar.TRUNC, x)


def round(x: Tensor, /) -> Tensor:
    """The nearest integer, halves to even, in the type of ``x``. Numeric types; no gradient.

    >>> import polyback as pb
    >>> pb.round(pb.asarray([0.5, 1.5, 2.6])).tolist()
    [0.0, 2.0, 3.0]
    """
    return _rounded(scalar.ROUND, x)


def copysign(x1: Any, x2: Any, /) -> Tensor:
    """``|x1|`` with the sign of ``x2``. Real floating types.

    >>> import polyback as pb
    >>> pb.copysign(pb.asarray([1.0, 2.0]), -1.0).tolist()
    [-1.0, -2.0]
    """
    return apply(scalar.COPYSIGN, x1, x2)


def nextafter(x1: Any, x2: Any, /) -> Tensor:
    """The next number after ``x1`` towards ``x2``. Real floating types; no gradient.

    >>> import polyback as pb
    >>> bool(pb.nextafter(pb.asarray(1.0), 2.0) > 1.0)
    True
    """
    return apply(scalar.NEXTAFTER, x1, x2)


def signbit(x: Tensor, /) -> Tensor:
    """True where the sign bit is set, also for -0.0. Real floating types.

    >>> import polyback as pb
    >>> pb.signbit(pb.asarray([0.0, -0.0])).tolist()
    [False, True]
    """
    return apply(scalar.SIGNBIT, x)


def _is(row: Scalar, x: Tensor, for_integers: bool) -> Tensor:
    check_tensors(row.name, x)
    if not x.dtype.is_integer:
        return apply(row, x)
    return (zeros_like(x) == 0) if for_integers else zeros_like(x, dtype=bool_)


def isnan(x: Tensor, /) -> Tensor:
    """True where ``x`` is not a number. Numeric types.

    >>> import polyback as pb
    >>> pb.isnan(pb.asarray([1.0, float("nan")])).tolist()
    [False, True]
    """
    return _is(scalar.ISNAN, x, for_integers=False)


def isinf(x: Tensor, /) -> Tensor:
    """True where ``x`` is an infinity. Numeric types.

    >>> import polyback as pb
    >>> pb.isinf(pb.asarray([1.0, float("-inf")])).tolist()
    [False, True]
    """
    return _is(scalar.ISINF, x, for_integers=False)


def isfinite(x: Tensor, /) -> Tensor:
    """True where ``x`` is neither an infinity nor NaN. Numeric types.

    >>> import polyback as pb
    >>> pb.isfinite(pb.asarray([1.0, float("inf")])).tolist()
    [True, False]
    """
    return _is(scalar.ISFINITE, x, for_integers=True)


def real(x: Tensor, /) -> Tensor:
    """The real part; ``x`` itself when it is real. Numeric types.

    >>> import polyback as pb
    >>> pb.real(pb.asarray([1.0, 2.0])).tolist()
    [1.0, 2.0]
    """
    check_tensors("real", x)
    return apply(scalar.REAL_PART, x) if x.dtype.kind == "complex" else x


def imag(x: Tensor, /) -> Tensor:
    """The imaginary part. Complex types; raises DTypeError for others.

    >>> import polyback as pb
    >>> with pb.configure(fallback="allow"):  # complex types are optional for a device
    ...     pb.imag(pb.asarray([1 + 2j])).tolist()
    [2.0]
    """
    check_tensors("imag", x)
    if x.dtype.kind != "complex":
        raise DTypeError(f"[imag] got {x.dtype}; want a complex type")
    return apply(scalar.IMAG_PART, x)


def conj(x: Tensor, /) -> Tensor:
    """The complex conjugate; ``x`` itself when it is real. Numeric types.

    >>> import polyback as pb
    >>> with pb.configure(fallback="allow"):  # complex types are optional for a device
    ...     pb.conj(pb.asarray([1 + 2j])).tolist()
    [(1-2j)]
    """
    check_tensors("conj", x)
    return apply(scalar.CONJ, x) if x.dtype.kind == "complex" else x
