"""Diagonals of matrices: views, and their inverse."""

from __future__ import annotations

import operator
from typing import Any, final

from polyback import array
from polyback.array import Array
from polyback.errors import InvalidArgument, ShapeError
from polyback.frontend.checks import check_tensors
from polyback.frontend.op import Op, run
from polyback.frontend.tensor import Tensor
from polyback.view import Shape


@final
class Diagonal(Op):
    """y[..., i] = x[..., i, i + offset]"""

    def __init__(self, offset: int, shape: Shape) -> None:
        self.offset, self.shape = offset, shape

    def forward(self, x: Array) -> Array:
        return x.with_view(x.view.diagonal(self.offset))

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        return run(OnDiagonal(self.offset, self.shape), g)


@final
class OnDiagonal(Op):
    """y[..., i, i + offset] = x[..., i], and 0 elsewhere, in ``shape``."""

    name = "on_diagonal"

    def __init__(self, offset: int, shape: Shape) -> None:
        self.offset, self.shape = offset, shape

    def forward(self, x: Array) -> Array:
        result = array.full(x.device, self.shape, 0, x.dtype).copy()
        result.with_view(result.view.diagonal(self.offset)).assign(x)
        return result

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        return run(Diagonal(self.offset, self.shape), g)


def diagonal(x: Tensor, /, *, offset: int = 0) -> Tensor:
    """``y[..., i] = x[..., i, i + offset]``: a diagonal of each matrix, as a view.

    ``offset`` above 0 names a diagonal to the right of the main one, below 0 one to the left. A
    diagonal outside the matrix is empty. Raises ShapeError for fewer than 2 axes.

    >>> import polyback as pb
    >>> pb.linalg.diagonal(pb.asarray([[1, 2], [3, 4]])).tolist()
    [1, 4]
    """
    check_tensors("diagonal", x)
    if x.ndim < 2:
        raise ShapeError(f"[diagonal] got shape {x.shape}; want at least 2 axes")
    try:
        offset = operator.index(offset)
    except TypeError:
        raise InvalidArgument(f"[diagonal] got offset {offset!r}; want an integer") from None
    return run(Diagonal(offset, x.shape), x)


def on_diagonal(x: Tensor) -> Tensor:
    """Square matrices with ``x`` on their diagonals and 0 elsewhere."""
    return run(OnDiagonal(0, (*x.shape, x.shape[-1])), x)
