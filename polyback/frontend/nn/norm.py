"""Normalization: layer norm over the features of each row, batch norm over the rows of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from polyback.dtype import DEFAULT_FLOAT, int64
from polyback.errors import InvalidArgument, ShapeError
from polyback.frontend.autocast import widened
from polyback.frontend.autograd import no_grad
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


@final
class LayerNorm(Module):
    """``y = (x - mean) / sqrt(var + eps) * weight + bias`` over the last axes (Ba et al., 2016).

    ``normalized_shape``: the sizes of those axes, or of the last one; var is the biased variance.
    Raises ShapeError if the last axes of x have other sizes.

    >>> import polyback as pb
    >>> pb.nn.LayerNorm(4)(pb.ones((2, 4))).tolist()[0]
    [0.0, 0.0, 0.0, 0.0]
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        device: Where = None,
        dtype: Any = None,
    ) -> None:
        sizes = [normalized_shape] if isinstance(normalized_shape, int) else normalized_shape
        self.normalized_shape = tuple(sizes)
        if not self.normalized_shape:
            raise InvalidArgument("[LayerNorm] got normalized_shape=(); want at least one size")
        self.eps = eps
        kind = dtype or DEFAULT_FLOAT
        self.weight = self.bias = None
        if elementwise_affine:
            self.weight = Parameter(ones(self.normalized_shape, dtype=kind, device=device))
        if elementwise_affine and bias:
            self.bias = Parameter(zeros(self.normalized_shape, dtype=kind, device=device))

    def forward(self, x: Tensor) -> Tensor:
        count = len(self.normalized_shape)
        if x.shape[-count:] != self.normalized_shape:
            sizes = ", ".join(map(str, self.normalized_shape))
            raise ShapeError(f"[LayerNorm] got {x.shape}; want (..., {sizes})")
        y, _, _ = _normalized(x, tuple(range(x.ndim - count, x.ndim)), self.eps)
        y = y if self.weight is None else y * self.weight
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}"


@final
class BatchNorm1d(Module):
    """``y = (x - mean) / sqrt(var + eps) * weight + bias`` per channel (Ioffe and Szegedy, 2015).

    x: (N, C), or (N, C, L) with C = num_features. Training: mean and biased variance of the batch,
    while ``running = (1 - momentum) * running + momentum * new`` keeps the mean and the *unbiased*
    variance (``momentum=None``: their plain average so far). In use (``eval()``): the running ones;
    without ``track_running_stats``, always those of the batch. Raises ShapeError for other shapes,
    InvalidArgument for training on a single value per channel.

    >>> import polyback as pb
    >>> norm = pb.nn.BatchNorm1d(1, momentum=0.5)
    >>> norm(pb.asarray([[1.0], [3.0]])).shape, norm.running_mean.item(), norm.running_var.item()
    ((2, 1), 1.0, 1.5)
    """

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
            raise InvalidArgument(f"[BatchNorm1d] got momentum={momentum}; want 0 to 1, or None")
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
        if x.ndim not in (2, 3) or x.shape[1] != self.num_features:
            c = self.num_features
            raise ShapeError(f"[BatchNorm1d] got {x.shape}; want (N, {c}) or (N, {c}, L)")
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
        count = x.size // max(self.num_features, 1)
        if self.training and count < 2:
            raise InvalidArgument(
                f"[BatchNorm1d] got {x.shape} in training; want more than one value per channel: "
                f"drop the last batch (drop_last=True), or call eval()"
            )
        y, average, variance = _normalized(x, (0, *range(2, x.ndim)), self.eps)
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
