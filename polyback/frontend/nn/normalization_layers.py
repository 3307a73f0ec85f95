"""Normalization layers that do not look across a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from polyback.dtype import DEFAULT_FLOAT
from polyback.errors import InvalidArgument
from polyback.frontend.functions import ones, zeros
from polyback.frontend.functions.creation import Where
from polyback.frontend.nn.module import Module, Parameter
from polyback.frontend.nn.normalization import group_norm, layer_norm, rms_norm
from polyback.frontend.tensor import Tensor


def _last_axes(sizes: int | Sequence[int], what: str) -> tuple[int, ...]:
    given = (sizes,) if isinstance(sizes, int) else tuple(sizes)
    if not given:
        raise InvalidArgument(f"[{what}] got normalized_shape=(); want at least one size")
    return given


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
        self.normalized_shape = _last_axes(normalized_shape, "LayerNorm")
        self.eps = eps
        kind = dtype or DEFAULT_FLOAT
        self.weight = self.bias = None
        if elementwise_affine:
            self.weight = Parameter(ones(self.normalized_shape, dtype=kind, device=device))
        if elementwise_affine and bias:
            self.bias = Parameter(zeros(self.normalized_shape, dtype=kind, device=device))

    def forward(self, x: Tensor) -> Tensor:
        return layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}"


@final
class RMSNorm(Module):
    """``y = x / sqrt(mean(x**2) + eps) * weight`` over the last axes: :func:`rms_norm` as a layer.

    >>> import polyback as pb
    >>> pb.nn.RMSNorm(2, eps=0.0)(pb.asarray([[3.0, 3.0]])).tolist()
    [[1.0, 1.0]]
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        *,
        device: Where = None,
        dtype: Any = None,
    ) -> None:
        self.normalized_shape = _last_axes(normalized_shape, "RMSNorm")
        self.eps = eps
        self.weight = None
        if elementwise_affine:
            kind = dtype or DEFAULT_FLOAT
            self.weight = Parameter(ones(self.normalized_shape, dtype=kind, device=device))

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}"


@final
class GroupNorm(Module):
    """Groups of channels of one image brought to mean 0 and variance 1: :func:`group_norm` as a
    layer; x (N, num_channels, ...).

    >>> import polyback as pb
    >>> pb.nn.GroupNorm(2, 6)(pb.ones((3, 6, 4, 4))).shape
    (3, 6, 4, 4)
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        device: Where = None,
        dtype: Any = None,
    ) -> None:
        if num_groups < 1 or num_channels % num_groups:
            raise InvalidArgument(
                f"[GroupNorm] got {num_channels} channels in {num_groups} groups; want a multiple"
            )
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        kind = dtype or DEFAULT_FLOAT
        self.weight = self.bias = None
        if affine:
            self.weight = Parameter(ones(num_channels, dtype=kind, device=device))
            self.bias = Parameter(zeros(num_channels, dtype=kind, device=device))

    def forward(self, x: Tensor) -> Tensor:
        return group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}"
