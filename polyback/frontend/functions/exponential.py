"""Exponentials and logarithms, elementwise."""

from __future__ import annotations

from typing import Any

from polyback import scalar
from polyback.frontend.functions.elementwise import apply
from polyback.frontend.tensor import Tensor


def exp(x: Tensor, /) -> Tensor:
    """``e**x``.

    Floating types.

    >>> import polyback as pb
    >>> pb.exp(pb.asarray([0.0])).tolist()
    [1.0]
    """
    return apply(scalar.EXP, x)


def expm1(x: Tensor, /) -> Tensor:
    """``e**x - 1``, accurate near 0.

    Floating types.

    >>> import polyback as pb
    >>> pb.expm1(pb.asarray([0.0])).tolist()
    [0.0]
    """
    return apply(scalar.EXPM1, x)


def log(x: Tensor, /) -> Tensor:
    """The natural logarithm; -inf at 0, NaN below.

    Floating types.

    >>> import polyback as pb
    >>> pb.log(pb.asarray([1.0, 0.0])).tolist()
    [0.0, -inf]
    """
    return apply(scalar.LOG, x)


def log1p(x: Tensor, /) -> Tensor:
    """``log(1 + x)``, accurate near 0.

    Floating types.

    >>> import polyback as pb
    >>> pb.log1p(pb.asarray([0.0])).tolist()
    [0.0]
    """
    return apply(scalar.LOG1P, x)


def log2(x: Tensor, /) -> Tensor:
    """The base-2 logarithm.

    Floating types.

    >>> import polyback as pb
    >>> pb.log2(pb.asarray([1.0, 0.0])).tolist()
    [0.0, -inf]
    """
    return apply(scalar.LOG2, x)


def log10(x: Tensor, /) -> Tensor:
    """The base-10 logarithm.

    Floating types.

    >>> import polyback as pb
    >>> pb.log10(pb.asarray([1.0, 0.0])).tolist()
    [0.0, -inf]
    """
    return apply(scalar.LOG10, x)


def logaddexp(x1: Any, x2: Any, /) -> Tensor:
    """``log(exp(x1) + exp(x2))`` without overflow on the way.

    Real floating types.

    >>> import polyback as pb
    >>> float(pb.logaddexp(pb.asarray(1000.0), 0.0))
    1000.0
    """
    return apply(scalar.LOGADDEXP, x1, x2)


def sigmoid(x: Tensor, /) -> Tensor:
    """``1 / (1 + exp(-x))``.

    Real floating types; keeps full relative accuracy for very negative ``x``.

    >>> import polyback as pb
    >>> pb.sigmoid(pb.asarray([0.0])).tolist()
    [0.5]
    """
    return apply(scalar.SIGMOID, x)


def erf(x: Tensor, /) -> Tensor:
    """The error function, ``2/sqrt(pi) * integral of exp(-t**2) from 0 to x``.

    Real floating types.

    >>> import polyback as pb
    >>> pb.erf(pb.asarray([0.0])).tolist()
    [0.0]
    """
    return apply(scalar.ERF, x)
