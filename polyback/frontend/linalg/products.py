"""Powers, traces and cross products of matrices and vectors, on the device."""

from __future__ import annotations

import operator
from typing import Any

from polyback.errors import InvalidArgument, ShapeError
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions import broadcast_to, concat, eye, moveaxis, result_type, sum
from polyback.frontend.functions.diagonal import diagonal
from polyback.frontend.functions.elementwise import apart, cast, copied
from polyback.frontend.linalg.factor import matrices
from polyback.frontend.linalg.solving import inv
from polyback.frontend.tensor import Tensor
from polyback.view import normalize_axis


def cross(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """The cross product of vectors of 3 numbers along ``axis``, counted from the end; other axes
    broadcast. Numeric types. Raises ShapeError unless both have size 3 there.

    >>> import polyback as pb
    >>> pb.linalg.cross(pb.asarray([1, 0, 0]), pb.asarray([0, 1, 0])).tolist()
    [0, 0, 1]
    """
    check_tensors("cross", x1, x2)
    spots = [normalize_axis(axis, x.ndim, "cross") for x in (x1, x2)]
    sizes = [x.shape[a] for x, a in zip((x1, x2), spots, strict=True)]
    if sizes != [3, 3]:
        raise ShapeError(f"[cross] got {x1.shape} and {x2.shape}; want size 3 along axis {axis}")
    dtype = result_type(x1, x2)
    a, b = (moveaxis(cast(x, dtype), k, -1) for x, k in zip((x1, x2), spots, strict=True))
    parts = [
        a[..., i : i + 1] * b[..., j : j + 1] - a[..., j : j + 1] * b[..., i : i + 1]
        for i, j in ((1, 2), (2, 0), (0, 1))
    ]
    result = concat(parts, axis=-1)
    return moveaxis(result, -1, axis if axis < 0 else spots[0])


def matrix_power(x: Tensor, n: int, /) -> Tensor:
    """The product of ``n`` copies of each square matrix; of its inverse for n below 0.

    Floating types; differentiable. Raises LinAlgError for n below 0 and a singular matrix.

    >>> import polyback as pb
    >>> pb.linalg.matrix_power(pb.asarray([[1.0, 1.0], [0.0, 1.0]]), 5).tolist()
    [[1.0, 5.0], [0.0, 1.0]]
    """
    wide, dtype = matrices("matrix_power", x, square=True)
    try:
        n = operator.index(n)
    except TypeError:
        raise InvalidArgument(f"[matrix_power] got n = {n!r}; want an integer") from None
    if n == 0:
        one = eye(x.shape[-1], dtype=dtype, device=x.device)
        return copied(broadcast_to(one, x.shape))
    return apart(cast(_power(wide if n > 0 else inv(wide), abs(n)), dtype), x)


def _power(x: Tensor, n: int) -> Tensor:
    """``x ** n`` for n of at least 1, by squaring."""
    if n == 1:
        return x
    half = _power(x, n // 2)
    return half @ half @ x if n % 2 else half @ half


def trace(x: Tensor, /, *, offset: int = 0, dtype: Any = None) -> Tensor:
    """The sum of a diagonal of each matrix; see :func:`diagonal`. Integers add up in 64 bits.

    >>> import polyback as pb
    >>> int(pb.linalg.trace(pb.asarray([[1, 2], [3, 4]])))
    5
    """
    check_tensors("trace", x)
    return sum(diagonal(x, offset=offset), axis=-1, dtype=dtype)
