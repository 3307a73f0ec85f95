"""Linear systems, inverses and determinants."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any, NamedTuple, final

import numpy as np

from polyback.array import Array
from polyback.errors import ShapeError
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions import (
    conj,
    expand_dims,
    imag,
    matrix_transpose,
    real,
    reshape,
    result_type,
    sum,
    zeros_like,
)
from polyback.frontend.functions.elementwise import cast
from polyback.frontend.functions.reduction import products_of_others
from polyback.frontend.linalg.factor import Factor, adjoint, matrices, real_of
from polyback.frontend.linalg.singular import svd
from polyback.frontend.op import Op, run
from polyback.frontend.tensor import Tensor
from polyback.host import on_host
from polyback.view import broadcast_shapes

FULL_RANK = "matrices of full rank (pinv() takes any)"


@final
class Inverse(Op):
    """y = x**-1, so dy = -y dx y"""

    name = "inv"

    def forward(self, x: Array) -> Array:
        return on_host("inv", lambda x: (np.linalg.inv(x),), x, hint=FULL_RANK)[0]

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        back = adjoint(y)
        return -(back @ g @ back)

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        (dx,) = tangents
        assert dx is not None
        return -(y @ dx @ y)

    def saves(self, operand: int) -> frozenset[int]:
        return frozenset({-1})


@final
class Solve(Op):
    """y = a**-1 b, so dy = a**-1 (db - da y)"""

    def forward(self, a: Array, b: Array) -> Array:
        return on_host("solve", lambda a, b: (np.linalg.solve(a, b),), a, b, hint=FULL_RANK)[0]

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        back = run(Solve(), adjoint(operands[0]), g)
        return back if operand == 1 else -(back @ adjoint(y))

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        da, db = tangents
        moved = [] if db is None else [db]
        moved += [] if da is None else [-(da @ y)]
        return run(Solve(), operands[0], reduce(lambda p, q: p + q, moved))

    def saves(self, operand: int) -> frozenset[int]:
        return frozenset({0, -1} if operand == 0 else {0})


def inv(x: Tensor, /) -> Tensor:
    """The inverse of each square matrix. Floating types; differentiable.

    Raises LinAlgError for a singular matrix, ShapeError unless the matrices are square.

    >>> import polyback as pb
    >>> pb.linalg.inv(pb.asarray([[2.0, 0.0], [0.0, 4.0]])).tolist()
    [[0.5, 0.0], [0.0, 0.25]]
    """
    wide, dtype = matrices("inv", x, square=True)
    return cast(run(Inverse(), wide), dtype)


def solve(x1: Tensor, x2: Tensor, /) -> Tensor:
    """``y`` with ``x1 @ y = x2`` for square matrices ``x1``; ``x2`` is one vector, or matrices.

    Leading axes broadcast. Floating types; differentiable. Raises LinAlgError for a singular
    matrix, ShapeError if the sizes do not match.

    >>> import polyback as pb
    >>> pb.linalg.solve(pb.asarray([[2.0, 0.0], [0.0, 4.0]]), pb.asarray([2.0, 2.0])).tolist()
    [1.0, 0.5]
    """
    check_tensors("solve", x1, x2)
    a, left = matrices("solve", x1, square=True)
    b, right = matrices("solve", expand_dims(x2, 1) if x2.ndim == 1 else x2)
    if a.shape[-1] != b.shape[-2]:
        raise ShapeError(f"[solve] got {x1.shape} and {x2.shape}; want as many rows in both")
    broadcast_shapes(a.shape[:-2], b.shape[:-2], op="solve")
    dtype = result_type(left, right)
    y = cast(run(Solve(), cast(a, dtype.compute), cast(b, dtype.compute)), dtype)
    return reshape(y, y.shape[:-1]) if x2.ndim == 1 else y


@final
class Determinant(Op):
    """y = det(x), so dy = sum(C * dx) with the cofactors C of x"""

    name = "det"

    def __init__(self) -> None:
        self.singular = False

    def forward(self, x: Array) -> Array:
        return on_host("det", self._compute, x)[0]

    def _compute(self, x: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any]]:
        y = np.asarray(np.linalg.det(x))
        self.singular = bool(np.any(y == 0))
        return (y,)

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        return _matrix(g) * conj(self._cofactors(operands[0], y))

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        (dx,) = tangents
        assert dx is not None
        return sum(self._cofactors(operands[0], y) * dx, axis=(-2, -1))

    def _cofactors(self, x: Tensor, y: Tensor) -> Tensor:
        if not self.singular:
            return _matrix(y) * matrix_transpose(inv(x))
        u, s, vh = svd(x)
        turn = det(u) * det(vh)  # of magnitude 1; the rest needs no division
        return _matrix(turn) * ((conj(u) * expand_dims(products_of_others(s), -2)) @ conj(vh))

    def saves(self, operand: int) -> frozenset[int]:
        return frozenset({0, -1})


def _matrix(x: Tensor) -> Tensor:
    """One number for each matrix, as a matrix."""
    return expand_dims(x, (-2, -1))


def det(x: Tensor, /) -> Tensor:
    """The determinant of each square matrix. Floating types; differentiable, once also where it
    is 0.

    >>> import polyback as pb
    >>> float(pb.linalg.det(pb.asarray([[2.0, 0.0], [0.0, 4.0]])))
    8.0
    """
    wide, dtype = matrices("det", x, square=True)
    return cast(run(Determinant(), wide), dtype)


@final
class SignLogDet(Factor):
    """(s, l) with det(x) = s exp(l), so with t = trace(x**-1 dx): dl = Re(t) and ds = i s Im(t)"""

    name = "slogdet"

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        (x,) = operands
        back = adjoint(inv(x))
        if self.which == 1:
            return _matrix(g) * back
        if x.dtype.kind != "complex":
            return zeros_like(x)
        sign = self.factors(x)[0]
        return _matrix(imag(conj(sign) * g) * 1j) * back

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        (x,), (dx,) = operands, tangents
        assert dx is not None
        trace = sum(matrix_transpose(inv(x)) * dx, axis=(-2, -1))
        if self.which == 1:
            return real(trace)
        if x.dtype.kind != "complex":
            return zeros_like(trace)
        return self.factors(x)[0] * (imag(trace) * 1j)


class SlogdetResult(NamedTuple):
    """What :func:`slogdet` gives."""

    sign: Tensor
    logabsdet: Tensor


def slogdet(x: Tensor, /) -> SlogdetResult:
    """The determinant of each square matrix as ``sign * exp(logabsdet)``, without overflow.

    A singular matrix has sign 0 and -inf. Floating types; differentiable for full rank.

    >>> import polyback as pb
    >>> pb.linalg.slogdet(pb.asarray([[0.0, 1.0], [1.0, 0.0]]))[0].tolist()
    -1.0
    """
    wide, dtype = matrices("slogdet", x, square=True)

    def compute(x: Any) -> tuple[Any, Any]:
        sign, logabsdet = np.linalg.slogdet(x)
        return np.asarray(sign), np.asarray(logabsdet)

    results = on_host("slogdet", compute, wide.array)
    sign, logabsdet = (run(SignLogDet(results, k), wide) for k in range(2))
    return SlogdetResult(cast(sign, dtype), cast(logabsdet, real_of(dtype)))
