"""Batch normalization: each channel brought to mean 0 and variance 1 over a batch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import prod
from typing import Any, ClassVar, final

from polyback import array
from polyback.array import Array
from polyback.dtype import DEFAULT_FLOAT, int64
from polyback.errors import InvalidArgument, ShapeError
from polyback.frontend.autocast import widened
from polyback.frontend.autograd import is_grad_enabled, no_grad
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions import broadcast_to, mean, ones, reshape, sqrt, square, sum, zeros
from polyback.frontend.functions.creation import Where
from polyback.frontend.functions.elementwise import cast, in_place
from polyback.frontend.nn.module import Module, Parameter
from polyback.frontend.op import Op, run
from polyback.frontend.recompute import is_recomputing
from polyback.frontend.tensor import Tensor
from polyback.scalar import ADD, DIVIDE, MULTIPLY, SQRT, SUBTRACT, SUM, Scalar
from polyback.view import Shape


@final
class Normalize(Op):
    """y = (x - mean) * scale * weight + bias along ``axes``, scale = 1 / sqrt(var + eps); if
    these are all but the channels', with one weight and bias for each channel.

    With ``z = (x - mean) * scale`` and n elements in a channel: ``dbias = sum(g)``, ``dweight =
    sum(g * z)``, ``dx = scale * weight * (g - dbias / n - z * dweight / n)``.
    """

    name = "batch_norm"

    def __init__(self, shape: Shape, axes: tuple[int, ...], eps: float) -> None:
        self.shape, self.axes, self.eps = shape, axes, eps
        self.row = tuple(1 if a in self.axes else n for a, n in enumerate(shape))
        self.count = prod(shape[a] for a in self.axes)
        self.figures: list[Array] = []  # mean, variance and scale, of shape ``row``
        self.last: tuple[Tensor, tuple[Tensor, Tensor]] | None = None  # what _sums gave for which g

    def forward(self, x: Array, weight: Array | None, bias: Array | None) -> Array:
        wide = array.cast(x, x.dtype.compute)

        def do(row: Scalar, *operands: Array | float) -> Array:
            return array.apply(row, operands, wide.dtype)

        def average(values: Array) -> Array:
            return do(DIVIDE, array.reduce(SUM, values, self.axes), float(self.count))

        mean = average(wide)
        centred = do(SUBTRACT, wide, mean)
        variance = average(do(MULTIPLY, centred, centred))
        scale = do(DIVIDE, 1.0, do(SQRT, do(ADD, variance, self.eps)))
        self.figures = [mean, variance, scale]
        if weight is None or bias is None:
            return array.cast(do(MULTIPLY, centred, scale), x.dtype)
        weight, bias = (array.cast(a, wide.dtype).reshape(self.row) for a in (weight, bias))
        y = do(ADD, do(MULTIPLY, do(MULTIPLY, centred, scale), weight), bias)
        return array.cast(y, x.dtype)

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        x, weight, _ = operands
        if operand == 2 and x is None:
            return sum(g, axis=self.axes)
        dbias, dweight = self._sums(g, x)
        if operand:
            return cast(reshape(dbias if operand == 2 else dweight, self.row[1:2]), g.dtype)
        z, scale = self._normal(x)
        rest = cast(g, z.dtype) - (dbias + z * dweight) * (1.0 / self.count)
        slope = rest * scale
        if weight is not None:
            slope = slope * reshape(cast(weight, z.dtype), self.row)
        return cast(slope, g.dtype)

    def _sums(self, g: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """dbias and dweight: made once for the gradients of all operands, unless these are to be
        differentiated, where keeping them would keep the graph alive."""
        if self.last is not None and self.last[0] is g and not is_grad_enabled():
            return self.last[1]
        wide = cast(g, x.dtype.compute)
        sums = (
            sum(wide, axis=self.axes, keepdims=True),
            sum(wide * self._normal(x)[0], axis=self.axes, keepdims=True),
        )
        self.last = None if is_grad_enabled() else (g, sums)
        return sums

    def _normal(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """z and scale: from the figures of the forward pass, or, where gradients are being
        differentiated, from x itself."""
        wide = cast(x, x.dtype.compute)
        if is_grad_enabled() and x.requires_grad:
            centred = wide - mean(wide, axis=self.axes, keepdims=True)
            variance = mean(square(centred), axis=self.axes, keepdims=True)
            scale = 1.0 / sqrt(variance + self.eps)
            return centred * scale, scale
        average, _, scale = (Tensor(a) for a in self.figures)
        return (wide - average) * scale, scale

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        x, weight, _ = operands
        dx, dweight, dbias = tangents
        parts = []
        if dx is not None:  # the map of dx is its own transpose
            parts.append(self.gradient(0, dx, None, x, weight, None))
        if dweight is not None:
            parts.append(self._normal(x)[0] * reshape(dweight, self.row))
        if dbias is not None:
            parts.append(broadcast_to(reshape(dbias, self.row), self.shape))
        return reduce(lambda a, b: a + b, parts)

    def saves(self, operand: int) -> frozenset[int]:
        return (frozenset({0, 1}), frozenset({0}), frozenset[int]())[operand]


class BatchNorm(Module):
    """``y = (x - mean) / sqrt(var + eps) * weight + bias`` per channel (Ioffe and Szegedy, 2015).

    Training: mean and biased variance of the batch, while ``running = (1 - momentum) * running +
    momentum * new`` keeps the mean and the *unbiased* variance (``momentum=None``: their plain
    average so far). In use (``eval()``): the running ones; without ``track_running_stats``, always
    those of the batch. Raises ShapeError for other shapes, InvalidArgument for training on a single
    value per channel.
    """

    takes: ClassVar[dict[int, str]]  # number of axes -> how the shape is written
    together = True  # all images of a batch have one mean and variance

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        device: Where = None,
        dtype: Any = None,
    ) -> None:
        if momentum is not None and not 0.0 <= momentum <= 1.0:
            raise InvalidArgument(
                f"[{type(self).__name__}] got momentum={momentum}; want 0 to 1, or None"
            )
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        kind = dtype or DEFAULT_FLOAT
        self.weight = self.bias = None
        if affine:
            self.weight = Parameter(ones(num_features, dtype=kind, device=device))
            self.bias = Parameter(zeros(num_features, dtype=kind, device=device))
        self.track_running_stats = track_running_stats
        if track_running_stats:
            for name, start in (("running_mean", zeros), ("running_var", ones)):
                self.register_buffer(name, start(num_features, dtype=kind, device=device))
            self.register_buffer("num_batches_tracked", zeros((), dtype=int64, device=device))

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def forward(self, x: Tensor) -> Tensor:
        check_tensors(type(self).__name__, x)
        if x.ndim not in self.takes or x.shape[1] != self.num_features:
            want = " or ".join(self.takes.values()).replace("C", str(self.num_features))
            raise ShapeError(f"[{type(self).__name__}] got {x.shape}; want {want}")
        row = (1, self.num_features) + (1,) * (x.ndim - 2)
        if self.training or not self.track_running_stats:
            return self._of_batch(widened(x), row)
        scale = sqrt(self.running_var + self.eps)
        return self._affine((x - reshape(self.running_mean, row)) / reshape(scale, row), row)

    def _affine(self, y: Tensor, row: Shape) -> Tensor:
        if self.weight is None or self.bias is None:
            return y
        return y * reshape(self.weight, row) + reshape(self.bias, row)

    def _of_batch(self, x: Tensor, row: Shape) -> Tensor:
        axes = (*((0,) if self.together else ()), *range(2, x.ndim))
        count = prod(x.shape[a] for a in axes)
        if self.training and count < 2:
            raise InvalidArgument(
                f"[{type(self).__name__}] got {x.shape} in training; want more than one value per "
                f"channel{': drop the last batch (drop_last=True), or call eval()' * self.together}"
            )
        weight, bias, op = self.weight, self.bias, Normalize(x.shape, axes, self.eps)
        joins = weight is not None and bias is not None and weight.dtype is bias.dtype is x.dtype
        joins = joins and self.together
        y = run(op, x, weight, bias) if joins else self._affine(run(op, x, None, None), row)
        if self.training and self.track_running_stats and not is_recomputing():
            average, variance = (Tensor(a) for a in op.figures[:2])
            with no_grad():
                self._track(average, variance * (count / (count - 1)))
        return y

    def _track(self, average: Tensor, variance: Tensor) -> None:
        self.num_batches_tracked += 1
        m = self.momentum
        share = 1.0 / int(self.num_batches_tracked) if m is None else m
        for running, new in ((self.running_mean, average), (self.running_var, variance)):
            in_place(running, (1.0 - share) * running + share * reshape(new, running.shape))

    def extra_repr(self) -> str:
        tracks = self.track_running_stats
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.weight is not None}, track_running_stats={tracks}"
        )


@final
class BatchNorm1d(BatchNorm):
    """Batch normalization of vectors or lines: x (N, C), or (N, C, L), with C = num_features.

    >>> import polyback as pb
    >>> norm = pb.nn.BatchNorm1d(1, momentum=0.5)
    >>> norm(pb.asarray([[1.0], [3.0]])).shape, norm.running_mean.item(), norm.running_var.item()
    ((2, 1), 1.0, 1.5)
    """

    takes: ClassVar = {2: "(N, C)", 3: "(N, C, L)"}


@final
class BatchNorm2d(BatchNorm):
    """Batch normalization of images: x (N, C, H, W) with C = num_features.

    >>> import polyback as pb
    >>> pb.nn.BatchNorm2d(3)(pb.ones((2, 3, 4, 4))).shape
    (2, 3, 4, 4)
    """

    takes: ClassVar = {4: "(N, C, H, W)"}
