"""Batch normalization: each channel brought to mean 0 and variance 1 over a batch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, reduce
from math import prod
from typing import Any, ClassVar, Final, final

from polyback import array
from polyback.array import Array
from polyback.dtype import DEFAULT_FLOAT, DType, int64
from polyback.errors import InvalidArgument, ShapeError
from polyback.frontend.autocast import widened
from polyback.frontend.autograd import is_grad_enabled, no_grad
from polyback.frontend.checks import check_tensors
from polyback.frontend.formula import Formula
from polyback.frontend.functions import broadcast_to, mean, ones, reshape, sqrt, square, sum, zeros
from polyback.frontend.functions.creation import Where
from polyback.frontend.functions.elementwise import cast
from polyback.frontend.nn.module import Module, Parameter
from polyback.frontend.op import Op, run
from polyback.frontend.recompute import is_recomputing
from polyback.frontend.tensor import Tensor
from polyback.program import Input, Program, program
from polyback.scalar import SQRT, SQUARE, SUM
from polyback.view import Shape


def _normal(x: Any, mean: Any, scale: Any) -> Any:
    return (x - mean) * scale


NORMAL: Final = Formula("normal", _normal, 3)
AFFINE: Final = Formula(
    "batch_norm", lambda x, mean, scale, weight, bias: _normal(x, mean, scale) * weight + bias, 5
)
SPREAD: Final = Formula("spread", lambda x, total, share: SQUARE(x - total * share), 3)
PRODUCT: Final = Formula("product", lambda g, x, mean, scale: g * _normal(x, mean, scale), 4)


def _slope(g: Any, x: Any, mean: Any, scale: Any, dbias: Any, dweight: Any, share: Any) -> Any:
    return (g - (dbias + _normal(x, mean, scale) * dweight) * share) * scale


SLOPE: Final = Formula("slope", _slope, 7)
AFFINE_SLOPE: Final = Formula("affine_slope", lambda weight, *rest: _slope(*rest) * weight, 8)


@cache
def _figures(dtype: DType, running: DType | None) -> Program:
    """Sums of elements and of squared distances to mean and scale; and to the running figures."""

    def formula(total: Any, spread: Any, count: Any, eps: Any, *more: Any) -> tuple[Any, ...]:
        mean, variance = total / count, spread / count
        results = (mean, 1.0 / SQRT(variance + eps))
        if running is None:
            return results
        *old, share, unbiased = more
        new = (mean, variance * unbiased)
        kept = [x.cast(dtype) * (1.0 - share) + share * y for x, y in zip(old, new, strict=True)]
        return *results, *(x.cast(running) for x in kept)

    number = Input(dtype, scalar=True)
    tracked = () if running is None else (running, running, number, number)
    return program(formula, dtype, dtype, number, number, *tracked)


@final
class Normalize(Op):
    """y = (x - mean) * scale * weight + bias along ``axes``, scale = 1 / sqrt(var + eps); if
    these are all but the channels', with one weight and bias for each channel.

    With ``z = (x - mean) * scale`` and n elements in a channel: ``dbias = sum(g)``, ``dweight =
    sum(g * z)``, ``dx = scale * weight * (g - dbias / n - z * dweight / n)``.

    ``running`` (mean, variance) become ``(1 - share) * running + share * new``, with the unbiased
    variance.
    """

    name = "batch_norm"

    def __init__(
        self, shape: Shape, axes: tuple[int, ...], eps: float,
        running: tuple[Array, Array] | None = None, share: float = 0.0,
    ) -> None:  # fmt: skip
        self.shape, self.axes, self.eps = shape, axes, eps
        self.row = tuple(1 if a in self.axes else n for a, n in enumerate(shape))
        self.count = prod(shape[a] for a in self.axes)
        self.running, self.share = running, share
        self.figures: list[Array] = []  # mean and scale, of shape ``row``
        self.spread: Array | None = None  # sums of squared distances to the mean
        self.known: tuple[Tensor, dict[int, Array]] | None = None  # gradients for the last g

    def forward(self, x: Array, weight: Array | None, bias: Array | None) -> Array:
        array.same_device(self.name, x, *(a for a in (weight, bias) if a is not None))
        wide = array.cast(x, x.dtype.compute)
        total = array.reduce(SUM, wide, self.axes)
        distance = SPREAD.on(wide, total.expanded(self.shape), 1.0 / self.count)
        self.spread = array.reduce(SUM, distance, self.axes)
        self._measure(total, self.spread)
        figures = [a.expanded(self.shape) for a in self.figures]
        if weight is None or bias is None:
            return array.cast(NORMAL.on(wide, *figures), x.dtype)
        affine = [self._spread_out(a) for a in (weight, bias)]
        return array.cast(AFFINE.on(wide, *figures, *affine), x.dtype)

    def _spread_out(self, a: Array) -> Array:
        """A weight or bias in the shape of x, and in the type that it is computed in."""
        return array.cast(a, a.dtype.compute).reshape(self.row).expanded(self.shape)

    def _measure(self, total: Array, spread: Array) -> None:
        """Fill ``figures``, and bring the running ones up to date, in one launch."""
        dtype, count = total.dtype, float(self.count)
        self.figures = [array.empty(total.device, self.row, dtype) for _ in range(2)]
        numbers, running, code = [count, self.eps], [], _figures(dtype, None)
        more: list[Any] = []
        if self.running is not None:
            running = [a.reshape(self.row) for a in self.running]
            more = [*running, self.share, count / (count - 1.0)]
            code = _figures(dtype, running[0].dtype)
        ins = [total, spread, *numbers, *more]
        array.overwrite(code, [*self.figures, *running], ins, self.name)

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        x, weight, _ = operands
        if operand == 2 and x is None:
            return sum(g, axis=self.axes)
        if is_grad_enabled():
            return self._recorded(operand, g, x, weight)
        if self.known is None or self.known[0] is not g or operand not in self.known[1]:
            factor = None if weight is None else weight.array
            self.known = (g, self._gradients(g.array, x.array, factor))
        return Tensor(array.cast(self.known[1].pop(operand), g.dtype))

    def _gradients(self, g: Array, x: Array, weight: Array | None) -> dict[int, Array]:
        """For x, weight and bias: two sums and one formula."""
        g, x = array.cast(g, x.dtype.compute), array.cast(x, x.dtype.compute)
        mean, scale = (a.expanded(self.shape) for a in self.figures)
        dbias = array.reduce(SUM, g, self.axes)
        dweight = array.reduce(SUM, PRODUCT.on(g, x, mean, scale), self.axes)
        sums = (dbias.expanded(self.shape), dweight.expanded(self.shape))
        given = (g, x, mean, scale, *sums, 1.0 / self.count)
        if weight is None:
            return {0: SLOPE.on(*given)}
        channels, factor = self.row[1:2], self._spread_out(weight)
        slope = AFFINE_SLOPE.on(factor, *given)
        return {0: slope, 1: dweight.reshape(channels), 2: dbias.reshape(channels)}

    def _recorded(self, operand: int, g: Tensor, x: Tensor, weight: Tensor | None) -> Tensor:
        """A gradient that is differentiated again, so made from x itself."""
        x, mean, scale = self._parts(x)
        wide = cast(g, x.dtype)
        dbias = sum(wide, axis=self.axes, keepdims=True)
        dweight = sum(PRODUCT(wide, x, mean, scale), axis=self.axes, keepdims=True)
        if operand:
            return cast(reshape(dbias if operand == 2 else dweight, self.row[1:2]), g.dtype)
        slope = SLOPE(wide, x, mean, scale, dbias, dweight, 1.0 / self.count)
        if weight is not None:
            slope = slope * reshape(cast(weight, x.dtype), self.row)
        return cast(slope, g.dtype)

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x, mean and scale; made from x where that is part of a graph."""
        wide = cast(x, x.dtype.compute)
        if x.requires_grad:
            average = mean(wide, axis=self.axes, keepdims=True)
            variance = mean(square(wide - average), axis=self.axes, keepdims=True)
            return wide, average, 1.0 / sqrt(variance + self.eps)
        average, scale = (Tensor(a) for a in self.figures)
        return wide, average, scale

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        x, weight, _ = operands
        dx, dweight, dbias = tangents
        parts = []
        if dx is not None:  # the map of dx is its own transpose
            parts.append(self.gradient(0, dx, None, x, weight, None))
        if dweight is not None:
            parts.append(NORMAL(*self._parts(x)) * reshape(dweight, self.row))
        if dbias is not None:
            parts.append(broadcast_to(reshape(dbias, self.row), self.shape))
        return reduce(lambda a, b: a + b, parts)

    def saves(self, operand: int) -> frozenset[int]:
        return _SAVES[operand]


_SAVES: Final = (frozenset({0, 1}), frozenset({0}), frozenset[int]())


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
        weight, bias = self.weight, self.bias
        joins = weight is not None and bias is not None and weight.dtype is bias.dtype is x.dtype
        op = Normalize(x.shape, axes, self.eps, *self._tracked())
        if joins and self.together:
            return run(op, x, weight, bias)
        y = run(op, x, None, None)
        self._track(op)
        return self._affine(y, row)

    def _counts(self) -> bool:
        """Does a batch enter the running figures now?"""
        return self.training and self.track_running_stats and not is_recomputing()

    def _track(self, op: Normalize) -> None:
        """What is left to do for the running figures after the batch: nothing."""

    def _tracked(self) -> tuple[tuple[Array, Array] | None, float]:
        """The running figures, where this batch is to enter them, and its share in them."""
        if not self._counts():
            return None, 0.0
        with no_grad():
            self.num_batches_tracked += 1
        m = self.momentum
        share = 1.0 / int(self.num_batches_tracked) if m is None else m
        return (self.running_mean.array, self.running_var.array), share

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
