"""Batch normalization: each channel brought to mean 0 and variance 1 over a batch."""

from __future__ import annotations

import math
from typing import Any, ClassVar, final

from polyback.dtype import DEFAULT_FLOAT, int64
from polyback.errors import InvalidArgument, ShapeError
from polyback.frontend.autocast import widened
from polyback.frontend.autograd import no_grad
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions import mean, ones, reshape, sqrt, square, zeros
from polyback.frontend.functions.creation import Where
from polyback.frontend.functions.elementwise import in_place
from polyback.frontend.nn.module import Module, Parameter
from polyback.frontend.recompute import is_recomputing
from polyback.frontend.tensor import Tensor


def _normalized(x: Tensor, axes: tuple[int, ...], eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """``(x - mean) / sqrt(var + eps)`` along ``axes``, the mean, and the biased variance."""
    x = widened(x)
    average = mean(x, axis=axes, keepdims=True)
    centred = x - average
    variance = mean(square(centred), axis=axes, keepdims=True)
    return centred / sqrt(variance + eps), average, variance


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
            y = self._of_batch(x)
        else:
            scale = sqrt(self.running_var + self.eps)
            y = (x - reshape(self.running_mean, row)) / reshape(scale, row)
        if self.weight is None or self.bias is None:
            return y
        return y * reshape(self.weight, row) + reshape(self.bias, row)

    def _of_batch(self, x: Tensor) -> Tensor:
        axes = (*((0,) if self.together else ()), *range(2, x.ndim))
        count = math.prod(x.shape[a] for a in axes)
        if self.training and count < 2:
            raise InvalidArgument(
                f"[{type(self).__name__}] got {x.shape} in training; want more than one value per "
                f"channel{': drop the last batch (drop_last=True), or call eval()' * self.together}"
            )
        y, average, variance = _normalized(x, axes, self.eps)
        if self.training and self.track_running_stats and not is_recomputing():
            unbias = count / (count - 1)
            with no_grad():
                self._track(average.detach(), variance.detach() * unbias)
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
