"""Normalization: rows of numbers brought to mean 0 and variance 1."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import prod
from typing import Any, final

import numpy as np

from polyback import structured
from polyback.array import Array, same_device
from polyback.errors import InvalidArgument, ShapeError
from polyback.frontend.autocast import widened
from polyback.frontend.autograd import is_grad_enabled
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions import broadcast_to, mean, reshape, sqrt, square
from polyback.frontend.functions.elementwise import cast
from polyback.frontend.nn.windows import float_type
from polyback.frontend.op import Op, run
from polyback.frontend.tensor import Tensor
from polyback.view import Shape, integers


@final
class LayerNorm(Op):
    """y = (x - mean) * scale * weight + bias along the last axis, scale = 1 / sqrt(var + eps)

    With ``z = (x - mean) * scale`` and ``h = g * weight``:
    ``dx = scale * (h - mean(h) - z * mean(h * z))``, ``dweight = g * z``, ``dbias = g``.
    """

    def __init__(self, eps: float) -> None:
        self.eps = eps
        self.shape: Shape = ()
        self.dtype: Any = None
        self.figures: tuple[Any, ...] = ()

    def forward(self, x: Array, weight: Array | None, bias: Array | None) -> Array:
        y, *figures = structured.layer_norm(x, weight, bias, self.eps)
        self.shape, self.dtype, self.figures = x.shape, x.dtype, tuple(figures)
        return y

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        if operand == 2:
            return g
        x, weight, _ = operands
        z, scale = self._normal(x)
        wide = cast(g, z.dtype)
        if operand == 1:
            return cast(wide * z, g.dtype)
        wide = wide if weight is None else wide * weight
        return cast(_projected(wide, z, scale), g.dtype)

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        x, weight, _ = operands
        dx, dweight, dbias = tangents
        parts = []
        if dx is not None:
            z, scale = self._normal(x)
            slope = _projected(cast(dx, z.dtype), z, scale)
            parts.append(slope if weight is None else slope * weight)
        if dweight is not None:
            parts.append(self._normal(x)[0] * dweight)
        if dbias is not None:
            parts.append(broadcast_to(dbias, self.shape))
        return cast(reduce(lambda a, b: a + b, parts), self.dtype)

    def _normal(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """z and scale: from the figures of the forward pass, or, where gradients are being
        differentiated, from x itself."""
        wide = cast(x, x.dtype.compute)
        if is_grad_enabled() and x.requires_grad:
            centred = wide - mean(wide, axis=-1, keepdims=True)
            variance = mean(square(centred), axis=-1, keepdims=True)
            scale = 1.0 / sqrt(variance + self.eps)
            return centred * scale, scale
        average, scale = (Tensor(a) for a in self.figures)
        return (wide - average) * scale, scale

    def saves(self, operand: int) -> frozenset[int]:
        return {0: frozenset({0, 1}), 1: frozenset({0})}.get(operand, frozenset[int]())


def _projected(h: Tensor, z: Tensor, scale: Tensor) -> Tensor:
    """``scale (h - mean(h) - z mean(h z))``: its own transpose as a map of h."""
    rest: Tensor = h - mean(h, axis=-1, keepdims=True)
    return scale * (rest - z * mean(h * z, axis=-1, keepdims=True))


def check_rows(op: str, x: Tensor, normalized_shape: int | Sequence[int]) -> Shape:
    """``normalized_shape`` as a tuple. Raises InvalidArgument if it is empty, ShapeError unless x
    ends in it."""
    check_tensors(op, x)
    shape = integers(normalized_shape)
    if not shape:
        raise InvalidArgument(f"[{op}] got normalized_shape=(); want at least one size")
    if x.shape[-len(shape) :] != shape:
        sizes = ", ".join(map(str, shape))
        raise ShapeError(f"[{op}] got {x.shape}; want (..., {sizes})")
    return shape


def _check_shapes(op: str, shape: Shape, *given: Tensor | None) -> None:
    """Raises ShapeError unless weight and bias have ``shape``."""
    for t in given:
        if t is not None and t.shape != shape:
            raise ShapeError(f"[{op}] got a weight or bias {t.shape}; want {shape}")


def layer_norm(
    x: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """``(x - mean) / sqrt(var + eps) * weight + bias`` over the last axes (Ba et al., 2016).

    ``normalized_shape``: the sizes of those axes, or of the last one, and the shape of weight and
    bias; var is the biased variance. Real floating types. Raises ShapeError, DTypeError,
    InvalidArgument.

    >>> import polyback as pb
    >>> pb.nn.layer_norm(pb.asarray([[1.0, 3.0]]), 2, eps=0.0).tolist()
    [[-1.0, 1.0]]
    """
    op = "layer_norm"
    shape = check_rows(op, x, normalized_shape)
    _check_shapes(op, shape, weight, bias)
    x = widened(x)
    dtype, n = float_type(op, x, weight, bias), prod(shape)
    same_device(op, *(t.array for t in (x, weight, bias) if t is not None))
    lines = reshape(cast(x, dtype), (*x.shape[: -len(shape)], n))
    row = [None if t is None else reshape(cast(t, dtype), n) for t in (weight, bias)]
    return reshape(run(LayerNorm(eps), lines, *row), x.shape)


def rms_norm(
    x: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """``x / sqrt(mean(x**2) + eps) * weight`` over the last axes (Zhang and Sennrich, 2019).

    ``eps``: by default the distance from 1 to the next number of x's type. Other arguments and
    errors: :func:`layer_norm`.

    >>> import polyback as pb
    >>> pb.nn.rms_norm(pb.asarray([3.0, 3.0]), 2, eps=0.0).tolist()
    [1.0, 1.0]
    """
    op = "rms_norm"
    shape = check_rows(op, x, normalized_shape)
    _check_shapes(op, shape, weight)
    x = widened(x)
    dtype = float_type(op, x, weight)
    wide = cast(x, dtype.compute)
    axes = tuple(range(x.ndim - len(shape), x.ndim))
    least = float(np.finfo(wide.dtype.numpy).eps) if eps is None else eps
    y = wide / sqrt(mean(square(wide), axis=axes, keepdims=True) + least)
    return cast(y if weight is None else y * weight, dtype)


def group_norm(
    x: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Each image's channels in ``num_groups`` groups, each group brought to mean 0 and variance 1,
    each channel then scaled and shifted (Wu and He, 2018).

    x (N, C, ...), weight and bias (C,). Real floating types. Raises ShapeError, DTypeError,
    InvalidArgument.

    >>> import polyback as pb
    >>> pb.nn.group_norm(pb.asarray([[1.0, 3.0, 5.0, 9.0]]), 2, eps=0.0).tolist()
    [[-1.0, 1.0, -1.0, 1.0]]
    """
    op = "group_norm"
    check_tensors(op, x)
    if x.ndim < 2 or num_groups < 1 or x.shape[1] % num_groups:
        raise ShapeError(
            f"[{op}] got {x.shape} and num_groups={num_groups}; want (N, C, ...) with C a multiple"
        )
    _check_shapes(op, (x.shape[1],), weight, bias)
    x = widened(x)
    x = cast(x, float_type(op, x, weight, bias))
    each = x.shape[1] // num_groups * prod(x.shape[2:])
    lines = reshape(x, (x.shape[0], num_groups, each))
    y = reshape(run(LayerNorm(eps), lines, None, None), x.shape)
    column = (1, x.shape[1]) + (1,) * (x.ndim - 2)
    y = y if weight is None else y * reshape(weight, column)
    return y if bias is None else y + reshape(bias, column)
