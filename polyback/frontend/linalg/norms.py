"""Norms of vectors and matrices, on the device but for singular values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from polyback.errors import InvalidArgument
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions import (
    abs,
    count_nonzero,
    expand_dims,
    max,
    min,
    sqrt,
    squeeze,
    sum,
    where,
)
from polyback.frontend.functions.elementwise import cast
from polyback.frontend.functions.reduction import floating, square_magnitude
from polyback.frontend.linalg.factor import matrices, real_of
from polyback.frontend.linalg.singular import svdvals
from polyback.frontend.tensor import Tensor

Axis = int | Sequence[int] | None


def vector_norm(
    x: Tensor, /, *, axis: Axis = None, keepdims: bool = False, ord: float = 2
) -> Tensor:
    """``sum(|x|**ord) ** (1 / ord)`` along ``axis`` (None: of all elements), real.

    ``inf`` gives the largest magnitude, ``-inf`` the smallest, 0 the number of elements that are
    not 0. Floating types; differentiable (0 where the norm is 0). Raises InvalidArgument where
    there is nothing to compare.

    >>> import polyback as pb
    >>> float(pb.linalg.vector_norm(pb.asarray([3.0, 4.0])))
    5.0
    """
    check_tensors("vector_norm", x)
    if not isinstance(ord, (int, float)):
        raise InvalidArgument(f"[vector_norm] ord={ord!r}; want a number")
    wide, dtype = floating(x)
    if ord == 2:
        total = sum(square_magnitude(wide), axis=axis, keepdims=keepdims)
        result = _root(total, 0.5)
    elif ord == math.inf:
        result = max(abs(wide), axis=axis, keepdims=keepdims)
    elif ord == -math.inf:
        result = min(abs(wide), axis=axis, keepdims=keepdims)
    elif ord == 0:
        result = count_nonzero(wide, axis=axis, keepdims=keepdims)
    elif ord == 1:
        result = sum(abs(wide), axis=axis, keepdims=keepdims)
    else:
        total = sum(abs(wide) ** float(ord), axis=axis, keepdims=keepdims)
        result = _root(total, 1.0 / ord) if ord > 0 else total ** (1.0 / ord)
    return cast(result, real_of(dtype))


def _root(x: Tensor, power: float) -> Tensor:
    """``x ** power`` with derivative 0 at 0."""
    positive = where(x == 0, 1.0, x)
    return where(x == 0, 0.0, positive**power if power != 0.5 else sqrt(positive))


def matrix_norm(
    x: Tensor,
    /,
    *,
    keepdims: bool = False,
    ord: float | Literal["fro", "nuc"] | None = "fro",
) -> Tensor:
    """A norm of each matrix, real.

    ``"fro"`` (or None): the root of the sum of squares; ``"nuc"``: the sum of the singular values;
    2 and -2: the largest and smallest singular value; 1 and -1: the largest and smallest sum of
    magnitudes of a column; ``inf`` and ``-inf``: of a row. Floating types; differentiable. Raises
    InvalidArgument for another ``ord``, and where there is nothing to compare.

    >>> import polyback as pb
    >>> float(pb.linalg.matrix_norm(pb.asarray([[3.0, 0.0], [0.0, 4.0]])))
    5.0
    """
    wide, dtype = matrices("matrix_norm", x)
    if ord in ("fro", None):
        result = vector_norm(wide, axis=(-2, -1), keepdims=True)
    elif ord in (1, -1, math.inf, -math.inf):
        along, other = (-2, -1) if ord in (1, -1) else (-1, -2)
        sums = sum(abs(wide), axis=along, keepdims=True)
        result = (max if ord > 0 else min)(sums, axis=other, keepdims=True)
    elif ord in (2, -2, "nuc"):
        s = svdvals(wide)
        choose = {2: max, -2: min, "nuc": sum}[ord]
        result = expand_dims(choose(s, axis=-1), (-2, -1))
    else:
        raise InvalidArgument(
            f"[matrix_norm] ord={ord!r}; want 'fro', 'nuc', 1, -1, 2, -2, inf or -inf"
        )
    return cast(result if keepdims else squeeze(result, (-2, -1)), real_of(dtype))
