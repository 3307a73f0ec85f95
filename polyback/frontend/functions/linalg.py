"""Products of matrices and vectors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import prod
from typing import Any, Final, final

from polyback import array
from polyback.array import Array
from polyback.errors import DTypeError, InvalidArgument, ShapeError
from polyback.frontend.autocast import lowered
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions.elementwise import cast, result_type
from polyback.frontend.functions.reduction import sum
from polyback.frontend.functions.rounding import conj
from polyback.frontend.functions.shape import matrix_transpose, permute_dims, reshape
from polyback.frontend.op import Op, run
from polyback.frontend.tensor import Tensor
from polyback.view import broadcast_shapes, integers, normalize_axis


@final
class MatMul(Op):
    """y[..., i, j] = sum_k a[..., i, k] b[..., k, j]"""

    def forward(self, a: Array, b: Array) -> Array:
        return array.matmul(a, b)

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        a, b = operands
        if operand == 0:
            return run(MATMUL, g, conj(matrix_transpose(b)))
        return run(MATMUL, conj(matrix_transpose(a)), g)

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        (a, b), (da, db) = operands, tangents
        parts = [run(MATMUL, da, b)] if da is not None else []
        parts += [run(MATMUL, a, db)] if db is not None else []
        return reduce(lambda p, q: p + q, parts)

    def saves(self, operand: int) -> frozenset[int]:
        return frozenset({1 - operand})


MATMUL: Final = MatMul()  # it has no state, so one serves all calls


def matmul(x1: Tensor, x2: Tensor, /) -> Tensor:
    """The matrix product ``x1 @ x2`` over the last two axes; leading axes broadcast.

    A vector counts as a row on the left, as a column on the right. Numeric types.
    Raises ShapeError if the inner sizes differ, DTypeError for numbers and bool.

    >>> import polyback as pb
    >>> pb.matmul(pb.asarray([[1, 2], [3, 4]]), pb.asarray([1, 1])).tolist()
    [3, 7]
    """
    check_tensors("matmul", x1, x2)
    x1, x2 = lowered(x1, x2)
    dtype = result_type(x1, x2)
    if dtype.kind == "bool" or not x1.ndim or not x2.ndim:
        raise (DTypeError if x1.ndim and x2.ndim else ShapeError)(
            f"[matmul] got {x1.dtype} {x1.shape} @ {x2.dtype} {x2.shape}; "
            f"want numbers, 1 axis or more"
        )
    if x1.ndim == x2.ndim == 2 and x1.dtype is x2.dtype and x1.shape[1] == x2.shape[0]:
        return run(MATMUL, x1, x2)
    a = reshape(x1, (1, -1)) if x1.ndim == 1 and x1.size else x1
    a = reshape(x1, (1, 0)) if x1.ndim == 1 and not x1.size else a
    b = reshape(x2, (x2.size, 1)) if x2.ndim == 1 else x2
    if a.shape[-1] != b.shape[-2]:
        raise ShapeError(
            f"[matmul] inner sizes differ: {x1.shape} @ {x2.shape}; want equal, transpose one?"
        )
    broadcast_shapes(a.shape[:-2], b.shape[:-2], op="matmul")
    array.same_device("matmul", a.array, b.array)
    y = _product(cast(a, dtype), cast(b, dtype))
    if x1.ndim == 1:
        y = reshape(y, (*y.shape[:-2], y.shape[-1]))
    return reshape(y, y.shape[:-1]) if x2.ndim == 1 else y


def _product(a: Tensor, b: Tensor) -> Tensor:
    """(..., m, k) @ (k, n) is one product of all rows, so that its gradient is one too."""
    if a.ndim > 2 and b.ndim == 2 and 0 not in a.shape:
        rows = run(MATMUL, reshape(a, (-1, a.shape[-1])), b)
        return reshape(rows, (*a.shape[:-1], b.shape[-1]))
    return run(MATMUL, a, b)


def vecdot(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """``sum(conj(x1) * x2)`` along ``axis``; the other axes broadcast. Numeric types.

    ``axis`` must be the same axis counted from the end of both. Raises ShapeError if not, or if the
    sizes differ.

    >>> import polyback as pb
    >>> int(pb.vecdot(pb.asarray([1, 2]), pb.asarray([3, 4])))
    11
    """
    check_tensors("vecdot", x1, x2)
    back1, back2 = (normalize_axis(axis, x.ndim, "vecdot") - x.ndim for x in (x1, x2))
    if back1 != back2 or x1.shape[back1] != x2.shape[back2]:
        raise ShapeError(f"[vecdot] sizes along axis {axis} differ: {x1.shape} and {x2.shape}")
    dtype = result_type(x1, x2)
    a, b = (cast(x, dtype.compute) for x in (x1, x2))
    return cast(sum(conj(a) * b, axis=back1), dtype)


def outer(x1: Tensor, x2: Tensor, /) -> Tensor:
    """``y[i, j] = x1[i] * x2[j]`` of two vectors.

    >>> import polyback as pb
    >>> pb.outer(pb.asarray([1, 2]), pb.asarray([3, 4])).tolist()
    [[3, 4], [6, 8]]
    """
    check_tensors("outer", x1, x2)
    if x1.ndim != 1 or x2.ndim != 1:
        raise ShapeError(f"[outer] got {x1.shape} and {x2.shape}; want two vectors")
    return reshape(x1, (x1.size, 1)) * x2


def _contracted(x1: Tensor, x2: Tensor, axes: Any) -> tuple[list[int], list[int]]:
    """The axes of x1 and of x2 to sum over."""
    if isinstance(axes, int):
        if not 0 <= axes <= min(x1.ndim, x2.ndim):
            raise InvalidArgument(f"[tensordot] {axes} axes of {x1.shape} and {x2.shape}")
        return list(range(x1.ndim - axes, x1.ndim)), list(range(axes))
    try:
        first, second = (integers(part) for part in axes)
    except (TypeError, ValueError):
        raise InvalidArgument(f"[tensordot] axes {axes!r}; want a number or two lists") from None
    left = [normalize_axis(a, x1.ndim, "tensordot") for a in first]
    right = [normalize_axis(a, x2.ndim, "tensordot") for a in second]
    if len(left) != len(right) or len(set(left)) != len(left) or len(set(right)) != len(right):
        raise InvalidArgument(f"[tensordot] axes {axes}: want as many for both, each one once")
    return left, right


def tensordot(
    x1: Tensor, x2: Tensor, /, *, axes: int | tuple[Sequence[int], Sequence[int]] = 2
) -> Tensor:
    """Sum over pairs of axes: the last ``axes`` of x1 with the first of x2, or the axes listed.

    >>> import polyback as pb
    >>> pb.tensordot(pb.ones((2, 3)), pb.ones((3, 4)), axes=1).shape
    (2, 4)
    """
    check_tensors("tensordot", x1, x2)
    left, right = _contracted(x1, x2, axes)
    sizes = [x1.shape[a] for a in left]
    if sizes != [x2.shape[a] for a in right]:
        raise ShapeError(f"[tensordot] axes {axes} of {x1.shape} and {x2.shape} differ in size")
    rows = [a for a in range(x1.ndim) if a not in left]
    columns = [a for a in range(x2.ndim) if a not in right]
    shape = [x1.shape[a] for a in rows] + [x2.shape[a] for a in columns]
    m, k = prod(x1.shape[a] for a in rows), prod(sizes)
    n = prod(x2.shape[a] for a in columns)
    a = reshape(permute_dims(x1, rows + left), (m, k))
    b = reshape(permute_dims(x2, right + columns), (k, n))
    return reshape(matmul(a, b), shape)
