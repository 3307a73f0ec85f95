"""The singular value decomposition and what it gives: singular values, pseudo-inverse, rank.

Derivatives with ``x = U diag(S) V**H``, ``M = U**H dx V`` and ``E[i, j] = S[j]**2 - S[i]**2`` (and
1 / E = 0 on the diagonal) are in Townsend, "Differentiating the singular value decomposition"
(2016), for complex numbers with the phase shared between U and V. They do not exist for U and V
where singular values are equal or 0; there the rules give infinities or NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, final

import numpy as np

from polyback.array import Array
from polyback.dtype import DType
from polyback.frontend.autograd import is_grad_enabled
from polyback.frontend.functions import asarray, count_nonzero, expand_dims, finfo, imag, real
from polyback.frontend.functions.diagonal import diagonal, on_diagonal
from polyback.frontend.functions.elementwise import cast
from polyback.frontend.linalg.factor import Factor, Undefined, adjoint, matrices, real_of
from polyback.frontend.op import Op, run
from polyback.frontend.tensor import Tensor
from polyback.host import on_host
from polyback.view import View


@final
class SVD(Factor):
    """x = U diag(S) V**H with as many columns in U and V as there are singular values."""

    name = "svd"

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        u, s, vh = self.factors(operands[0])
        if self.which == 1:
            return (u * expand_dims(g, -2)) @ vh
        left = self.which == 0
        mine, g = (u, g) if left else (adjoint(vh), adjoint(g))
        inner = adjoint(mine) @ g
        turn = (inner - adjoint(inner)) / gaps(s) * expand_dims(s, -2 if left else -1)
        turn = turn + _phase(inner, s) if left else turn - _phase(inner, s)
        result = u @ turn @ vh
        if mine.shape[-2] > mine.shape[-1]:  # what leaves the space that the vectors span
            leaves = (g - mine @ inner) / expand_dims(s, -2)
            result = result + (leaves @ vh if left else u @ adjoint(leaves))
        return result

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        u, s, vh = self.factors(operands[0])
        (dx,) = tangents
        assert dx is not None
        if self.which == 1:
            return real(diagonal(adjoint(u) @ dx @ adjoint(vh)))
        left = self.which == 0
        mine, other, dx = (u, adjoint(vh), dx) if left else (adjoint(vh), u, adjoint(dx))
        inner = adjoint(mine) @ dx @ other
        pushed = inner * expand_dims(s, -2)
        turn = (pushed + adjoint(pushed)) / gaps(s) + _phase(inner, s)
        result = mine @ turn
        if mine.shape[-2] > mine.shape[-1]:
            result = result + (dx @ other - mine @ inner) / expand_dims(s, -2)
        return result if left else adjoint(result)


def gaps(s: Tensor) -> Tensor:
    """``s[j]**2 - s[i]**2``, and infinity on the diagonal."""
    squares = s * s
    apart = expand_dims(squares, -2) - expand_dims(squares, -1)
    return without_diagonal(apart)


def without_diagonal(x: Tensor) -> Tensor:
    """Square matrices with infinity on the diagonal, so that dividing by them gives 0 there."""
    n = x.shape[-1]
    wall = np.zeros((n, n))
    np.fill_diagonal(wall, np.inf)
    return x + asarray(wall, dtype=real(x).dtype, device=x.device)


def _phase(inner: Tensor, s: Tensor) -> Any:
    """Half of the turn that U and V share: ``i Im(inner) / (2 s)`` on the diagonal; 0 if real."""
    if inner.dtype.kind != "complex":
        return 0.0
    return on_diagonal(imag(diagonal(inner)) / (2.0 * s) * 1j)


class SVDResult(NamedTuple):
    """What :func:`svd` gives."""

    U: Tensor
    S: Tensor
    Vh: Tensor


def svd(x: Tensor, /, *, full_matrices: bool = True) -> SVDResult:
    """``x = U @ diag(S) @ Vh`` with unitary U and Vh, and S real and falling, for each matrix.

    With ``full_matrices`` U and Vh are square; otherwise they have as many columns and rows as S.
    Floating types. Differentiable where singular values are distinct and not 0 (S: everywhere but
    at 0), for results that do not depend on the phase of the singular vectors; the columns that
    only ``full_matrices`` adds have no derivative. Raises LinAlgError if LAPACK does not converge.

    >>> import polyback as pb
    >>> pb.linalg.svd(pb.asarray([[0.0, 2.0], [1.0, 0.0]])).S.tolist()
    [2.0, 1.0]
    """
    wide, dtype = matrices("svd", x)
    m, n = wide.shape[-2:]
    results = on_host("svd", lambda x: np.linalg.svd(x, full_matrices), wide.array)
    k = min(m, n)
    u, s, vh = results
    economic = (u.with_view(_head(u.view, -1, k)), s, vh.with_view(_head(vh.view, -2, k)))
    reason = "singular vectors beyond the rank have no derivative; want full_matrices=False"
    made = [
        run(SVD(economic, at), wide)
        if results[at].shape == economic[at].shape
        else run(Undefined(results, at, "svd", reason), wide)
        for at in range(3)
    ]
    return SVDResult(*(cast(t, real_of(dtype) if at == 1 else dtype) for at, t in enumerate(made)))


def _head(view: View, axis: int, length: int) -> View:
    return view.slice(axis % view.ndim, 0, length)


def svdvals(x: Tensor, /) -> Tensor:
    """The singular values of each matrix, real and falling. Floating types; differentiable.

    Raises LinAlgError if LAPACK does not converge.

    >>> import polyback as pb
    >>> pb.linalg.svdvals(pb.asarray([[0.0, 2.0], [1.0, 0.0]])).tolist()
    [2.0, 1.0]
    """
    wide, dtype = matrices("svdvals", x)
    if wide.requires_grad and is_grad_enabled():
        return cast(svd(wide, full_matrices=False).S, real_of(dtype))
    found = on_host("svdvals", lambda x: (np.linalg.svd(x, compute_uv=False),), wide.array)
    return cast(Tensor(found[0]), real_of(dtype))


@final
class PseudoInverse(Op):
    """y = V diag(1 / S) U**H over the singular values that count.

    Where the rank stays the same (Golub and Pereyra, 1973):
    dy = -y dx y + y y**H dx**H (1 - x y) + (1 - y x) dx**H y**H y
    """

    name = "pinv"

    def __init__(self, rtol: np.ndarray[Any, Any]) -> None:
        self.rtol = rtol

    def forward(self, x: Array) -> Array:
        return on_host("pinv", self._compute, x)[0]

    def _compute(self, x: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any]]:
        u, s, vh = np.linalg.svd(x, full_matrices=False)
        cut = self.rtol[..., None].astype(s.dtype) * s.max(axis=-1, keepdims=True, initial=0)
        inverse = np.where(s > cut, 1 / s, 0)[..., None, :]
        return (np.matmul(vh.mT.conj() * inverse, u.mT.conj()),)

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        return self._derivative(adjoint(y), adjoint(operands[0]), g)

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        assert tangents[0] is not None
        return self._derivative(y, operands[0], tangents[0])

    def _derivative(self, y: Tensor, x: Tensor, dx: Tensor) -> Tensor:
        """The derivative, which is its own adjoint but for taking the adjoints of x and y."""
        back = adjoint(dx)
        around = y @ adjoint(y) @ (back - back @ x @ y)
        return (back - y @ x @ back) @ adjoint(y) @ y + around - y @ dx @ y

    def saves(self, operand: int) -> frozenset[int]:
        return frozenset({0, -1})


def pinv(x: Tensor, /, *, rtol: float | Tensor | None = None) -> Tensor:
    """The Moore-Penrose pseudo-inverse of each matrix: the ``y`` of least norm with the least
    ``|x @ y - 1|``.

    Singular values up to ``rtol`` times the largest count as 0 (default: the longer side of the
    matrix times the machine epsilon). Floating types; differentiable where the rank stays the same.
    Raises LinAlgError if LAPACK does not converge.

    >>> import polyback as pb
    >>> pb.linalg.pinv(pb.asarray([[2.0, 0.0], [0.0, 0.0]])).tolist()
    [[0.5, 0.0], [0.0, 0.0]]
    """
    wide, dtype = matrices("pinv", x)
    limit = rtol if rtol is not None else _epsilon(x, dtype)
    host = limit.numpy() if isinstance(limit, Tensor) else np.asarray(limit)
    return cast(run(PseudoInverse(host), wide), dtype)


def _epsilon(x: Tensor, dtype: DType) -> float:
    return max(x.shape[-2:]) * finfo(dtype).eps


def matrix_rank(x: Tensor, /, *, rtol: float | Tensor | None = None) -> Tensor:
    """How many singular values of each matrix are above ``rtol`` times the largest, as int64.

    ``rtol``: see :func:`pinv`. Floating types. Raises LinAlgError if LAPACK does not converge.

    >>> import polyback as pb
    >>> int(pb.linalg.matrix_rank(pb.ones((3, 3))))
    1
    """
    wide, dtype = matrices("matrix_rank", x)
    s = svdvals(wide.detach())
    limit = rtol if rtol is not None else _epsilon(x, dtype)
    if isinstance(limit, Tensor):
        limit = expand_dims(limit, -1)
    return count_nonzero(s > s[..., :1] * limit, axis=-1)
