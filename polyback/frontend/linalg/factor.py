"""What the decompositions share: checked matrices, and results that share one computation."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from typing import Any, final

from polyback.array import Array
from polyback.dtype import DType
from polyback.errors import GradientError, ShapeError
from polyback.frontend.autograd import check_version
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions import conj, matrix_transpose
from polyback.frontend.functions.reduction import floating
from polyback.frontend.op import Op, run
from polyback.frontend.tensor import Tensor
from polyback.scalar import ABS


def matrices(op: str, x: Tensor, *, square: bool = False) -> tuple[Tensor, DType]:
    """``x`` in the type to compute in, and the type of the result. Raises DTypeError unless it is
    a tensor, ShapeError unless it holds (square) matrices."""
    check_tensors(op, x)
    if x.ndim < 2 or (square and x.shape[-1] != x.shape[-2]):
        raise ShapeError(f"[{op}] got shape {x.shape}; want {'square ' * square}matrices")
    return floating(x)


def real_of(dtype: DType) -> DType:
    """The type of the magnitude of numbers of type ``dtype``."""
    return ABS.result_dtype(dtype)


def adjoint(x: Tensor) -> Tensor:
    """The conjugate transpose of each matrix."""
    return conj(matrix_transpose(x))


def hermitian(x: Tensor) -> Tensor:
    """The Hermitian part of each matrix: ``(x + x**H) / 2``."""
    return (x + adjoint(x)) * 0.5


class Factor(Op, ABC):
    """One of several results of a decomposition of ``x``, which was computed once for all of them.

    A gradient is linear in the gradients of the results, so each result can be an operation of its
    own. Where its rule reads the other results, they come from :meth:`factors`: the same numbers,
    recorded as functions of ``x`` once more, so that the rule can be differentiated in its turn.
    """

    def __init__(self, results: Sequence[Array], which: int) -> None:
        self.results, self.which = tuple(results), which
        self.versions = [r.version for r in results]

    def forward(self, x: Array) -> Array:
        return self.results[self.which]

    def saves(self, operand: int) -> frozenset[int]:
        return frozenset({0})

    def factors(self, x: Tensor) -> list[Tensor]:
        """All results, as functions of ``x``."""
        for result, version in zip(self.results, self.versions, strict=True):
            check_version(self, result, version)
        return [run(type(self)(self.results, k), x) for k in range(len(self.results))]


@final
class Undefined(Factor):
    """A result whose derivative does not exist; asking for it says why."""

    def __init__(self, results: Sequence[Array], which: int, what: str, reason: str) -> None:
        super().__init__(results, which)
        self.what, self.reason = what, reason

    @property
    def name(self) -> str:
        return self.what

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        raise GradientError(f"[{self.what}] {self.reason}")

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        raise GradientError(f"[{self.what}] {self.reason}")
