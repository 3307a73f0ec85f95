"""Trigonometric and hyperbolic functions, elementwise; angles are in radians."""

from __future__ import annotations

from typing import Any

from polyback import scalar
from polyback.frontend.functions.elementwise import apply
from polyback.frontend.tensor import Tensor


def sin(x: Tensor, /) -> Tensor:
    """The sine.

    Floating types.

    >>> import polyback as pb
    >>> pb.sin(pb.asarray([0.0])).tolist()
    [0.0]
    """
    return apply(scalar.SIN, x)


def cos(x: Tensor, /) -> Tensor:
    """The cosine.

    Floating types.

    >>> import polyback as pb
    >>> pb.cos(pb.asarray([0.0])).tolist()
    [1.0]
    """
    return apply(scalar.COS, x)


def tan(x: Tensor, /) -> Tensor:
    """The tangent.

    Floating types.

    >>> import polyback as pb
    >>> pb.tan(pb.asarray([0.0])).tolist()
    [0.0]
    """
    return apply(scalar.TAN, x)


def asin(x: Tensor, /) -> Tensor:
    """The angle in [-pi/2, pi/2] whose sine is ``x``; NaN outside [-1, 1].

    Floating types.

    >>> import polyback as pb
    >>> pb.asin(pb.asarray([0.0])).tolist()
    [0.0]
    """
    return apply(scalar.ASIN, x)


def acos(x: Tensor, /) -> Tensor:
    """The angle in [0, pi] whose cosine is ``x``; NaN outside [-1, 1].

    Floating types.

    >>> import polyback as pb
    >>> pb.acos(pb.asarray([1.0])).tolist()
    [0.0]
    """
    return apply(scalar.ACOS, x)


def atan(x: Tensor, /) -> Tensor:
    """The angle in [-pi/2, pi/2] whose tangent is ``x``.

    Floating types.

    >>> import polyback as pb
    >>> pb.atan(pb.asarray([0.0])).tolist()
    [0.0]
    """
    return apply(scalar.ATAN, x)


def atan2(x1: Any, x2: Any, /) -> Tensor:
    """The angle in [-pi, pi] of the point (``x2``, ``x1``).

    Real floating types.

    >>> import polyback as pb
    >>> pb.atan2(pb.asarray([0.0]), 1.0).tolist()
    [0.0]
    """
    return apply(scalar.ATAN2, x1, x2)


def sinh(x: Tensor, /) -> Tensor:
    """The hyperbolic sine.

    Floating types.

    >>> import polyback as pb
    >>> pb.sinh(pb.asarray([0.0])).tolist()
    [0.0]
    """
    return apply(scalar.SINH, x)


def cosh(x: Tensor, /) -> Tensor:
    """The hyperbolic cosine.

    Floating types.

    >>> import polyback as pb
    >>> pb.cosh(pb.asarray([0.0])).tolist()
    [1.0]
    """
    return apply(scalar.COSH, x)


def tanh(x: Tensor, /) -> Tensor:
    """The hyperbolic tangent.

    Floating types.

    >>> import polyback as pb
    >>> pb.tanh(pb.asarray([0.0])).tolist()
    [0.0]
    """
    return apply(scalar.TANH, x)


def asinh(x: Tensor, /) -> Tensor:
    """The inverse of sinh.

    Floating types.

    >>> import polyback as pb
    >>> pb.asinh(pb.asarray([0.0])).tolist()
    [0.0]
    """
    return apply(scalar.ASINH, x)


def acosh(x: Tensor, /) -> Tensor:
    """The inverse of cosh, for ``x`` of at least 1.

    Floating types.

    >>> import polyback as pb
    >>> pb.acosh(pb.asarray([1.0])).tolist()
    [0.0]
    """
    return apply(scalar.ACOSH, x)


def atanh(x: Tensor, /) -> Tensor:
    """The inverse of tanh, for ``x`` in [-1, 1].

    Floating types.

    >>> import polyback as pb
    >>> pb.atanh(pb.asarray([0.0])).tolist()
    [0.0]
    """
    return apply(scalar.ATANH, x)
