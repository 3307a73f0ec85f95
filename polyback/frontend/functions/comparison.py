"""Comparisons and logic, elementwise; the results are bool and carry no gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from polyback import scalar
from polyback.dtype import bool_
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions.elementwise import NUMBERS, apply, cast
from polyback.frontend.tensor import Tensor


def equal(x1: Any, x2: Any, /) -> Tensor:
    """``x1 == x2``.

    All types.

    >>> import polyback as pb
    >>> pb.equal(pb.asarray([1, 2]), 2).tolist()
    [False, True]
    """
    return apply(scalar.EQUAL, x1, x2)


def not_equal(x1: Any, x2: Any, /) -> Tensor:
    """``x1 != x2``.

    All types.

    >>> import polyback as pb
    >>> pb.not_equal(pb.asarray([1, 2]), 2).tolist()
    [True, False]
    """
    return apply(scalar.NOT_EQUAL, x1, x2)


def less(x1: Any, x2: Any, /) -> Tensor:
    """``x1 < x2``.

    Real types.

    >>> import polyback as pb
    >>> pb.less(pb.asarray([1, 2]), 2).tolist()
    [True, False]
    """
    return apply(scalar.LESS, x1, x2)


def less_equal(x1: Any, x2: Any, /) -> Tensor:
    """``x1 <= x2``.

    Real types.

    >>> import polyback as pb
    >>> pb.less_equal(pb.asarray([1, 3]), 2).tolist()
    [True, False]
    """
    return apply(scalar.LESS_EQUAL, x1, x2)


def greater(x1: Any, x2: Any, /) -> Tensor:
    """``x1 > x2``.

    Real types.

    >>> import polyback as pb
    >>> pb.greater(pb.asarray([1, 3]), 2).tolist()
    [False, True]
    """
    return apply(scalar.GREATER, x1, x2)


def greater_equal(x1: Any, x2: Any, /) -> Tensor:
    """``x1 >= x2``.

    Real types.

    >>> import polyback as pb
    >>> pb.greater_equal(pb.asarray([1, 2]), 2).tolist()
    [False, True]
    """
    return apply(scalar.GREATER_EQUAL, x1, x2)


def logical_and(x1: Any, x2: Any, /) -> Tensor:
    """True where both are.

    bool; other types count as ``x != 0``.

    >>> import polyback as pb
    >>> pb.logical_and(pb.asarray([True, False]), True).tolist()
    [True, False]
    """
    return apply(scalar.LOGICAL_AND, _bool(x1), _bool(x2))


def logical_or(x1: Any, x2: Any, /) -> Tensor:
    """True where either is.

    bool; other types count as ``x != 0``.

    >>> import polyback as pb
    >>> pb.logical_or(pb.asarray([True, False]), False).tolist()
    [True, False]
    """
    return apply(scalar.LOGICAL_OR, _bool(x1), _bool(x2))


def logical_xor(x1: Any, x2: Any, /) -> Tensor:
    """True where exactly one is.

    bool; other types count as ``x != 0``.

    >>> import polyback as pb
    >>> pb.logical_xor(pb.asarray([True, False]), True).tolist()
    [False, True]
    """
    return apply(scalar.LOGICAL_XOR, _bool(x1), _bool(x2))


def logical_not(x: Tensor, /) -> Tensor:
    """True where ``x`` is not.

    bool; other types count as ``x != 0``.

    >>> import polyback as pb
    >>> pb.logical_not(pb.asarray([True, False])).tolist()
    [False, True]
    """
    check_tensors("logical_not", x)
    return apply(scalar.LOGICAL_NOT, _bool(x))


def bitwise_and(x1: Any, x2: Any, /) -> Tensor:
    """``x1 & x2``.

    Integers and bool.

    >>> import polyback as pb
    >>> pb.bitwise_and(pb.asarray([6, 3]), 5).tolist()
    [4, 1]
    """
    return apply(scalar.BITWISE_AND, x1, x2)


def bitwise_or(x1: Any, x2: Any, /) -> Tensor:
    """``x1 | x2``.

    Integers and bool.

    >>> import polyback as pb
    >>> pb.bitwise_or(pb.asarray([6, 3]), 5).tolist()
    [7, 7]
    """
    return apply(scalar.BITWISE_OR, x1, x2)


def bitwise_xor(x1: Any, x2: Any, /) -> Tensor:
    """``x1 ^ x2``.

    Integers and bool.

    >>> import polyback as pb
    >>> pb.bitwise_xor(pb.asarray([6, 3]), 5).tolist()
    [3, 6]
    """
    return apply(scalar.BITWISE_XOR, x1, x2)


def bitwise_invert(x: Tensor, /) -> Tensor:
    """``~x``.

    Integers and bool.

    >>> import polyback as pb
    >>> pb.bitwise_invert(pb.asarray([0, 1])).tolist()
    [-1, -2]
    """
    return apply(scalar.BITWISE_INVERT, x)


def bitwise_left_shift(x1: Any, x2: Any, /) -> Tensor:
    """``x1 << x2``; 0 when ``x2`` reaches the width.

    Integers.

    >>> import polyback as pb
    >>> pb.bitwise_left_shift(pb.asarray([1, 2]), 3).tolist()
    [8, 16]
    """
    return apply(scalar.BITWISE_LEFT_SHIFT, x1, x2)


def bitwise_right_shift(x1: Any, x2: Any, /) -> Tensor:
    """``x1 >> x2``, keeping the sign.

    Integers.

    >>> import polyback as pb
    >>> pb.bitwise_right_shift(pb.asarray([8, -8]), 2).tolist()
    [2, -2]
    """
    return apply(scalar.BITWISE_RIGHT_SHIFT, x1, x2)


def _bool(x: Any) -> Any:
    """Tensors and numbers become ``x != 0``; for anything else ``apply`` has an error."""
    if isinstance(x, Tensor):
        return cast(x, bool_)
    return bool(x) if isinstance(x, (*NUMBERS, np.generic)) else x
