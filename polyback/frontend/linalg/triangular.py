"""Factors with a triangle: Cholesky and QR."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, final

import numpy as np

from polyback.array import Array
from polyback.errors import InvalidArgument
from polyback.frontend.functions import concat, real, tril, triu
from polyback.frontend.functions.diagonal import diagonal, on_diagonal
from polyback.frontend.functions.elementwise import cast
from polyback.frontend.linalg.factor import Factor, Undefined, adjoint, hermitian, matrices
from polyback.frontend.linalg.solving import inv
from polyback.frontend.op import Op, run
from polyback.frontend.tensor import Tensor
from polyback.host import on_host

Mode = Literal["reduced", "complete"]


@final
class Cholesky(Op):
    """x = y y**H, so dy = y low(y**-1 dx y**-H), low: the lower triangle, half of its diagonal

    Murray, "Differentiation of the Cholesky decomposition" (2016).
    """

    def forward(self, x: Array) -> Array:
        hint = "Hermitian matrices with positive eigenvalues"
        return on_host("cholesky", lambda x: (np.linalg.cholesky(x),), x, hint=hint)[0]

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        inverse = inv(y)
        return hermitian(adjoint(inverse) @ _low(adjoint(y) @ g) @ inverse)

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        inverse = inv(y)
        assert tangents[0] is not None
        return y @ _low(inverse @ hermitian(tangents[0]) @ adjoint(inverse))

    def saves(self, operand: int) -> frozenset[int]:
        return frozenset({-1})


def _low(x: Tensor) -> Tensor:
    return tril(x) - on_diagonal(diagonal(x)) * 0.5


def cholesky(x: Tensor, /, *, upper: bool = False) -> Tensor:
    """The lower triangle L with ``x = L @ L**H``, or ``L**H`` with ``upper``, for each matrix.

    Only the lower triangle of ``x`` is read. Floating types; differentiable (the gradient is
    Hermitian). Raises LinAlgError for a matrix that is not positive definite.

    >>> import polyback as pb
    >>> pb.linalg.cholesky(pb.asarray([[4.0, 0.0], [0.0, 9.0]])).tolist()
    [[2.0, 0.0], [0.0, 3.0]]
    """
    wide, dtype = matrices("cholesky", x, square=True)
    y = run(Cholesky(), wide)
    return cast(adjoint(y) if upper else y, dtype)


@final
class QR(Factor):
    """x = Q R for x with at least as many rows as columns, R with a real diagonal

    With M = Q**H dx R**-1 and its part T(M), upper triangular with a real diagonal, that is left
    after a skew-Hermitian one is taken off: dR = T(M) R and dQ = dx R**-1 - Q T(M).
    """

    name = "qr"

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        q, r = self.factors(operands[0])
        back = adjoint(q) @ g if self.which == 0 else g @ adjoint(r)
        upper = triu(back, k=1)
        whole = q @ (upper + adjoint(upper) + on_diagonal(_real_diagonal(back)))
        return (g - whole if self.which == 0 else whole) @ adjoint(inv(r))

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        q, r = self.factors(operands[0])
        assert tangents[0] is not None
        moved = tangents[0] @ inv(r)
        inner = adjoint(q) @ moved
        upper = triu(inner, k=1) + adjoint(tril(inner, k=-1)) + on_diagonal(_real_diagonal(inner))
        return moved - q @ upper if self.which == 0 else upper @ r


def _real_diagonal(x: Tensor) -> Tensor:
    return cast(real(diagonal(x)), x.dtype)


class QRResult(NamedTuple):
    """What :func:`qr` gives."""

    Q: Tensor
    R: Tensor


def qr(x: Tensor, /, *, mode: Mode = "reduced") -> QRResult:
    """``x = Q @ R`` with orthonormal columns in Q and an upper triangle R, for each matrix.

    ``"reduced"``: as many columns in Q as the shorter side of ``x``; ``"complete"``: Q is square.
    Floating types. Differentiable for columns that are independent (the first ones, if there are
    more columns than rows); what only ``"complete"`` adds to a tall matrix has no derivative.

    >>> import polyback as pb
    >>> [t.shape for t in pb.linalg.qr(pb.ones((3, 2)))]
    [(3, 2), (2, 2)]
    """
    if mode not in ("reduced", "complete"):
        raise InvalidArgument(f"[qr] mode={mode!r}; want 'reduced' or 'complete'")
    wide, dtype = matrices("qr", x)
    rows, columns = wide.shape[-2:]
    if rows < columns:  # the first columns decide Q; R of the others is Q**H x
        first, rest = wide[..., :rows], wide[..., rows:]
        q, r = _factors(first, "reduced")
        r = concat([r, adjoint(q) @ rest], axis=-1)
    else:
        q, r = _factors(wide, mode)
    return QRResult(cast(q, dtype), cast(r, dtype))


def _factors(x: Tensor, mode: Mode) -> tuple[Tensor, Tensor]:
    results = on_host("qr", lambda x: np.linalg.qr(x, mode), x.array)
    if mode == "complete" and x.shape[-2] > x.shape[-1]:
        reason = "mode='complete' of a tall matrix has no derivative; want 'reduced'"
        q, r = (run(Undefined(results, k, "qr", reason), x) for k in range(2))
    else:
        q, r = (run(QR(results, k), x) for k in range(2))
    return q, r
