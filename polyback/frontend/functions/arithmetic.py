"""Arithmetic, elementwise."""

from __future__ import annotations

from typing import Any

from polyback import scalar
from polyback.frontend.functions.elementwise import apply
from polyback.frontend.tensor import Tensor


def add(x1: Any, x2: Any, /) -> Tensor:
    """``x1 + x2``.

    Numeric types; integers wrap.

    >>> import polyback as pb
    >>> pb.add(pb.asarray([1, 2]), 3).tolist()
    [4, 5]
    """
    return apply(scalar.ADD, x1, x2)


def subtract(x1: Any, x2: Any, /) -> Tensor:
    """``x1 - x2``.

    Numeric types; integers wrap.

    >>> import polyback as pb
    >>> pb.subtract(pb.asarray([1, 2]), 3).tolist()
    [-2, -1]
    """
    return apply(scalar.SUBTRACT, x1, x2)


def multiply(x1: Any, x2: Any, /) -> Tensor:
    """``x1 * x2``.

    Numeric types; integers wrap.

    >>> import polyback as pb
    >>> pb.multiply(pb.asarray([1, 2]), 3).tolist()
    [3, 6]
    """
    return apply(scalar.MULTIPLY, x1, x2)


def divide(x1: Any, x2: Any, /) -> Tensor:
    """``x1 / x2``.

    Floating types (integers become the default float); division by zero gives an infinity or NaN.

    >>> import polyback as pb
    >>> pb.divide(pb.asarray([1.0, 3.0]), 2.0).tolist()
    [0.5, 1.5]
    """
    return apply(scalar.DIVIDE, x1, x2)


def floor_divide(x1: Any, x2: Any, /) -> Tensor:
    """``floor(x1 / x2)``.

    Real types; not differentiable. An integer divided by zero gives 0.

    >>> import polyback as pb
    >>> pb.floor_divide(pb.asarray([7, -7]), 2).tolist()
    [3, -4]
    """
    return apply(scalar.FLOOR_DIVIDE, x1, x2)


def remainder(x1: Any, x2: Any, /) -> Tensor:
    """``x1 - floor(x1 / x2) * x2``: the remainder with the sign of ``x2``.

    Real types.

    >>> import polyback as pb
    >>> pb.remainder(pb.asarray([7, -7]), 3).tolist()
    [1, 2]
    """
    return apply(scalar.REMAINDER, x1, x2)


def pow(x1: Any, x2: Any, /) -> Tensor:
    """``x1 ** x2``; to the number 2, :func:`square`, which costs a product instead of a power.

    Numeric types; a negative power of an integer other than 1 and -1 gives 0.

    >>> import polyback as pb
    >>> pb.pow(pb.asarray([2, 3]), 2).tolist()
    [4, 9]
    """
    if type(x2) in (int, float) and x2 == 2 and type(x1) is Tensor:
        kind = x1.dtype.kind
        if kind in ("float", "complex") or (type(x2) is int and kind != "bool"):
            return apply(scalar.SQUARE, x1)
    return apply(scalar.POW, x1, x2)


def negative(x: Tensor, /) -> Tensor:
    """``-x``.

    Numeric types.

    >>> import polyback as pb
    >>> pb.negative(pb.asarray([1, -2])).tolist()
    [-1, 2]
    """
    return apply(scalar.NEGATIVE, x)


def positive(x: Tensor, /) -> Tensor:
    """``+x``: a copy.

    Numeric types.

    >>> import polyback as pb
    >>> pb.positive(pb.asarray([1, -2])).tolist()
    [1, -2]
    """
    return apply(scalar.POSITIVE, x)


def abs(x: Tensor, /) -> Tensor:
    """``|x|``.

    Numeric types; the magnitude, a real number, for complex ones. The gradient at 0 is 0.

    >>> import polyback as pb
    >>> pb.abs(pb.asarray([1, -2])).tolist()
    [1, 2]
    """
    return apply(scalar.ABS, x)


def sign(x: Tensor, /) -> Tensor:
    """-1, 0 or 1 by the sign of ``x``; NaN for NaN. Of a complex number the direction ``x / |x|``.

    Numeric types; differentiable for complex ones, with gradient 0 at 0.

    >>> import polyback as pb
    >>> pb.sign(pb.asarray([3, 0, -2])).tolist()
    [1, 0, -1]
    """
    return apply(scalar.SIGN, x)


def square(x: Tensor, /) -> Tensor:
    """``x * x``.

    Numeric types.

    >>> import polyback as pb
    >>> pb.square(pb.asarray([3, -2])).tolist()
    [9, 4]
    """
    return apply(scalar.SQUARE, x)


def reciprocal(x: Tensor, /) -> Tensor:
    """``1 / x``.

    Floating types.

    >>> import polyback as pb
    >>> pb.reciprocal(pb.asarray([2.0, 4.0])).tolist()
    [0.5, 0.25]
    """
    return apply(scalar.RECIPROCAL, x)


def sqrt(x: Tensor, /) -> Tensor:
    """The square root; NaN below zero.

    Floating types.

    >>> import polyback as pb
    >>> pb.sqrt(pb.asarray([4.0, 9.0])).tolist()
    [2.0, 3.0]
    """
    return apply(scalar.SQRT, x)


def hypot(x1: Any, x2: Any, /) -> Tensor:
    """``sqrt(x1**2 + x2**2)`` without overflow on the way.

    Real floating types.

    >>> import polyback as pb
    >>> pb.hypot(pb.asarray([3.0]), 4.0).tolist()
    [5.0]
    """
    return apply(scalar.HYPOT, x1, x2)


def maximum(x1: Any, x2: Any, /) -> Tensor:
    """The larger of ``x1`` and ``x2``; NaN if either is.

    Real types; equal operands share the gradient.

    >>> import polyback as pb
    >>> pb.maximum(pb.asarray([1, 5]), 3).tolist()
    [3, 5]
    """
    return apply(scalar.MAXIMUM, x1, x2)


def minimum(x1: Any, x2: Any, /) -> Tensor:
    """The smaller of ``x1`` and ``x2``; NaN if either is.

    Real types; equal operands share the gradient.

    >>> import polyback as pb
    >>> pb.minimum(pb.asarray([1, 5]), 3).tolist()
    [1, 3]
    """
    return apply(scalar.MINIMUM, x1, x2)


def multiply_high(x1: Any, x2: Any, /) -> Tensor:
    """The high 32 bits of the 64-bit product.

    uint32 only; what counter-based random numbers are made of.

    >>> import polyback as pb
    >>> pb.multiply_high(pb.asarray([2**31], dtype=pb.uint32), 6).tolist()
    [3]
    """
    return apply(scalar.MULTIPLY_HIGH, x1, x2)
