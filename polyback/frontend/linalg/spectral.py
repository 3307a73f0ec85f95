"""Eigenvalues and eigenvectors, of Hermitian matrices and of any.

The eigenvectors of an eigenvalue are free up to a factor of magnitude 1, and up to any turn among
those of equal eigenvalues: derivatives are right for results that do not depend on that choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, final

import numpy as np

from polyback.dtype import complex64, promote
from polyback.frontend.autograd import is_grad_enabled
from polyback.frontend.functions import conj, expand_dims, real
from polyback.frontend.functions.diagonal import diagonal
from polyback.frontend.functions.elementwise import cast
from polyback.frontend.linalg.factor import Factor, adjoint, hermitian, matrices, real_of
from polyback.frontend.linalg.singular import without_diagonal
from polyback.frontend.linalg.solving import inv
from polyback.frontend.op import run
from polyback.frontend.tensor import Tensor
from polyback.host import on_host


def _gaps(w: Tensor) -> Tensor:
    """``w[j] - w[i]``, and infinity on the diagonal."""
    return without_diagonal(expand_dims(w, -2) - expand_dims(w, -1))


@final
class Eigh(Factor):
    """x = V diag(w) V**H, so dw = diag(V**H dx V) and dV = V (V**H dx V / gaps of w)"""

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        w, v = self.factors(operands[0])
        if self.which == 0:
            return (v * expand_dims(g, -2)) @ adjoint(v)
        return hermitian(v @ ((adjoint(v) @ g) / _gaps(w)) @ adjoint(v))

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        w, v = self.factors(operands[0])
        assert tangents[0] is not None
        inner = adjoint(v) @ hermitian(tangents[0]) @ v
        return real(diagonal(inner)) if self.which == 0 else v @ (inner / _gaps(w))


@final
class Eig(Factor):
    """x V = V diag(w) with columns of length 1, so with M = V**-1 dx V: dw = diag(M) and
    dV = V N - V Re(diag(V**H V N)), N = M / gaps of w"""

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        (x,) = operands
        w, v = self.factors(x)
        back = adjoint(v)
        if self.which == 0:
            result = inv(back) @ (expand_dims(g, -1) * back)
        else:
            inner = back @ g
            inner = inner - (back @ v) * expand_dims(real(diagonal(inner)), -2)
            result = inv(back) @ (inner / conj(_gaps(w))) @ back
        return result if x.dtype.kind == "complex" else real(result)

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        w, v = self.factors(operands[0])
        assert tangents[0] is not None
        inner = inv(v) @ tangents[0] @ v
        if self.which == 0:
            return diagonal(inner)
        moved = v @ (inner / _gaps(w))
        return moved - v * expand_dims(real(diagonal(adjoint(v) @ moved)), -2)


class EighResult(NamedTuple):
    """What :func:`eigh` gives."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class EigResult(NamedTuple):
    """What :func:`eig` gives."""

    eigenvalues: Tensor
    eigenvectors: Tensor


def eigh(x: Tensor, /) -> EighResult:
    """``x = V @ diag(w) @ V**H`` for each Hermitian matrix: w real and rising, V unitary.

    Only the lower triangle is read. Floating types. Differentiable (the gradient is Hermitian); for
    V where the eigenvalues are distinct. Raises LinAlgError if LAPACK does not converge.

    >>> import polyback as pb
    >>> pb.linalg.eigh(pb.asarray([[3.0, 0.0], [0.0, 1.0]])).eigenvalues.tolist()
    [1.0, 3.0]
    """
    wide, dtype = matrices("eigh", x, square=True)
    results = on_host("eigh", np.linalg.eigh, wide.array)
    w, v = (run(Eigh(results, k), wide) for k in range(2))
    return EighResult(cast(w, real_of(dtype)), cast(v, dtype))


def eigvalsh(x: Tensor, /) -> Tensor:
    """The eigenvalues of each Hermitian matrix, real and rising. Floating types; differentiable.

    Only the lower triangle is read. Raises LinAlgError if LAPACK does not converge.

    >>> import polyback as pb
    >>> pb.linalg.eigvalsh(pb.asarray([[3.0, 0.0], [0.0, 1.0]])).tolist()
    [1.0, 3.0]
    """
    wide, dtype = matrices("eigvalsh", x, square=True)
    if _recorded(wide):
        return cast(eigh(wide).eigenvalues, real_of(dtype))
    return cast(_values("eigvalsh", np.linalg.eigvalsh, wide), real_of(dtype))


def eig(x: Tensor, /) -> EigResult:
    """``x @ V = V @ diag(w)`` for each square matrix: w complex in no order, columns of length 1.

    Floating types. Differentiable where the eigenvalues are distinct. Raises LinAlgError if LAPACK
    does not converge.

    >>> import polyback as pb
    >>> with pb.configure(fallback="allow"):  # complex types are optional for a device
    ...     pb.linalg.eig(pb.asarray([[3.0, 0.0], [0.0, 1.0]])).eigenvalues.tolist()
    [(3+0j), (1+0j)]
    """
    wide, _ = matrices("eig", x, square=True)
    target = promote(wide.dtype, complex64)

    def compute(x: Any) -> tuple[Any, Any]:
        w, v = np.linalg.eig(x)  # real numbers where all of them are
        return w.astype(target.numpy), v.astype(target.numpy)

    results = on_host("eig", compute, wide.array)
    return EigResult(*(run(Eig(results, k), wide) for k in range(2)))


def eigvals(x: Tensor, /) -> Tensor:
    """The eigenvalues of each square matrix, complex, in no order. Floating types; differentiable
    where they are distinct. Raises LinAlgError if LAPACK does not converge.

    >>> import polyback as pb
    >>> with pb.configure(fallback="allow"):  # complex types are optional for a device
    ...     pb.linalg.eigvals(pb.asarray([[0.0, -1.0], [1.0, 0.0]])).tolist()
    [1j, -1j]
    """
    wide, _ = matrices("eigvals", x, square=True)
    if _recorded(wide):
        return eig(wide).eigenvalues
    target = promote(wide.dtype, complex64)
    return _values("eigvals", lambda x: np.linalg.eigvals(x).astype(target.numpy), wide)


def _recorded(x: Tensor) -> bool:
    """Derivatives need the vectors too; without them values come cheaper."""
    return x.requires_grad and is_grad_enabled()


def _values(what: str, function: Callable[[Any], Any], x: Tensor) -> Tensor:
    return Tensor(on_host(what, lambda x: (function(x),), x.array)[0])
