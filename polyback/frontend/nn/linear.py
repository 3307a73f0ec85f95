"""Linear layers: the matrix product of one input, and the product form of two."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any, final

from polyback import array
from polyback.array import Array
from polyback.errors import InvalidArgument, ShapeError
from polyback.frontend.autocast import lowered
from polyback.frontend.autograd import is_grad_enabled
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions import (
    broadcast_to,
    conj,
    expand_dims,
    matmul,
    permute_dims,
    reshape,
    sum,
    transpose,
)
from polyback.frontend.functions.creation import Where
from polyback.frontend.nn.module import Module
from polyback.frontend.nn.start import uniform_start
from polyback.frontend.op import Op, run
from polyback.frontend.random import Generator
from polyback.frontend.tensor import Tensor
from polyback.scalar import ADD
from polyback.view import Shape


@final
class Affine(Op):
    """``y[i, j] = sum_k x[i, k] weight[j, k] + bias[j]``"""

    name = "linear"

    def __init__(self, shape: Shape) -> None:
        self.shape = shape  # of y

    def forward(self, x: Array, weight: Array, bias: Array) -> Array:
        y = array.matmul(x, weight.with_view(weight.view.permute((1, 0))))
        return array.apply(ADD, (y, bias), y.dtype)

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        x, weight, _ = operands
        if operand == 2:
            return g
        if is_grad_enabled() or g.dtype.kind == "complex":
            return matmul(g, conj(weight)) if operand == 0 else matmul(transpose(g), conj(x))
        if operand == 0:
            return Tensor(array.matmul(g.array, weight.array))
        across = g.array.with_view(g.array.view.permute((1, 0)))
        return Tensor(array.matmul(across, x.array))

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        (x, weight, _), (dx, dweight, dbias) = operands, tangents
        parts = [] if dx is None else [matmul(dx, transpose(weight))]
        parts += [] if dweight is None else [matmul(x, transpose(dweight))]
        parts += [] if dbias is None else [broadcast_to(dbias, self.shape)]
        return reduce(lambda a, b: a + b, parts)

    def saves(self, operand: int) -> frozenset[int]:
        return (_WEIGHT, _X, _NOTHING)[operand]


_X, _WEIGHT, _NOTHING = frozenset({0}), frozenset({1}), frozenset[int]()


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input @ weight.T + bias``: (..., in) with a weight of (out, in) -> (..., out).

    Raises ShapeError if the last axes differ.

    >>> import polyback as pb
    >>> pb.nn.linear(pb.ones((1, 2)), pb.asarray([[1.0, 2.0]]), pb.asarray([0.5])).tolist()
    [[3.5]]
    """
    check_tensors("linear", input, weight, *(() if bias is None else (bias,)))
    if not input.ndim or weight.ndim != 2 or input.shape[-1] != weight.shape[1]:
        want = weight.shape[1] if weight.ndim == 2 else "in"
        raise ShapeError(
            f"[linear] got {input.shape} with a weight of {weight.shape}; want (..., {want}) and "
            f"(out, in)"
        )
    if bias is None:
        return matmul(input, transpose(weight))
    x, weight, bias = lowered(input, weight, bias)
    if x.ndim < 2 or 0 in x.shape or not x.dtype is weight.dtype is bias.dtype or bias.ndim != 1:
        return matmul(x, transpose(weight)) + bias
    shape = (*x.shape[:-1], weight.shape[0])
    rows = reshape(x, (-1, x.shape[-1])) if x.ndim > 2 else x
    y = run(Affine((rows.shape[0], weight.shape[0])), rows, weight, bias)
    return reshape(y, shape) if x.ndim > 2 else y


@final
class Linear(Module):
    """``y = x @ weight.T + bias``: x (..., in_features) -> y (..., out_features).

    Weights start uniform in [-1/sqrt(in), 1/sqrt(in)), as PyTorch's do (kaiming_uniform with
    a = sqrt 5), and so does the bias. Raises ShapeError if the last axis of x is not in_features.

    >>> import polyback as pb
    >>> layer = pb.nn.Linear(3, 2)
    >>> layer.weight.shape, layer(pb.ones((5, 3))).shape
    ((2, 3), (5, 2))
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        generator: Generator | None = None,
        device: Where = None,
        dtype: Any = None,
    ) -> None:
        if in_features < 0 or out_features < 0:
            raise InvalidArgument(f"[Linear] got {in_features} to {out_features}; want sizes >= 0")
        self.in_features, self.out_features = in_features, out_features
        start = uniform_start(in_features, generator=generator, device=device, dtype=dtype)
        self.weight = start(out_features, in_features)
        self.bias = start(out_features) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        check_tensors("Linear", x)
        if not x.ndim or x.shape[-1] != self.in_features:
            raise ShapeError(f"[Linear] got {x.shape}; want (..., {self.in_features})")
        return linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        bias = self.bias is not None
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={bias}"


@final
class Bilinear(Module):
    """``y_k = x1 @ weight_k @ x2 + bias_k``: x1 (..., in1) and x2 (..., in2) -> y (..., out).

    ``weight``: (out, in1, in2), uniform in [-1/sqrt(in1), 1/sqrt(in1)) at first, like the bias.
    Raises ShapeError if an input has another last axis, or if the axes before it differ.

    >>> import polyback as pb
    >>> pb.nn.Bilinear(3, 4, 2)(pb.ones((5, 3)), pb.ones((5, 4))).shape
    (5, 2)
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        *,
        generator: Generator | None = None,
        device: Where = None,
        dtype: Any = None,
    ) -> None:
        if in1_features < 1:
            raise InvalidArgument(f"[Bilinear] got in1_features={in1_features}; want 1 or more")
        self.in1_features, self.in2_features = in1_features, in2_features
        self.out_features = out_features
        start = uniform_start(in1_features, generator=generator, device=device, dtype=dtype)
        self.weight = start(out_features, in1_features, in2_features)
        self.bias = start(out_features) if bias else None

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        check_tensors("Bilinear", x1, x2)
        sizes = (self.in1_features, self.in2_features)
        if not x1.ndim or x1.shape[:-1] != x2.shape[:-1] or (x1.shape[-1], *x2.shape[-1:]) != sizes:
            raise ShapeError(
                f"[Bilinear] got {x1.shape} and {x2.shape}; want (..., {sizes[0]}) and "
                f"(..., {sizes[1]}) with the same axes before"
            )
        # One product for all k: x1 (..., in1) @ (in1, out * in2) -> (..., out, in2).
        flat = reshape(
            permute_dims(self.weight, (1, 0, 2)), (sizes[0], self.out_features * sizes[1])
        )
        rows = reshape(matmul(x1, flat), (*x1.shape[:-1], self.out_features, sizes[1]))
        y = sum(rows * expand_dims(x2, -2), axis=-1)
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )
