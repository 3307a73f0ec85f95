"""Linear: the matrix product layer; and two layers that compute nothing."""

from __future__ import annotations

import math
from typing import Any, final

from polyback.errors import InvalidArgument, ShapeError
from polyback.frontend.functions import matmul, reshape, transpose
from polyback.frontend.functions.creation import Where
from polyback.frontend.nn import init
from polyback.frontend.nn.module import Module, Parameter
from polyback.frontend.random import Generator
from polyback.frontend.tensor import Tensor


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
        bound = 1.0 / math.sqrt(max(in_features, 1))

        def start(*shape: int) -> Tensor:
            values = init.uniform(
                shape, -bound, bound, generator=generator, device=device, dtype=dtype
            )
            return Parameter(values)

        self.weight = start(out_features, in_features)
        self.bias = start(out_features) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        if not x.ndim or x.shape[-1] != self.in_features:
            raise ShapeError(f"[Linear] got {x.shape}; want (..., {self.in_features})")
        product = matmul(x, transpose(self.weight))
        return product if self.bias is None else product + self.bias

    def extra_repr(self) -> str:
        bias = self.bias is not None
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={bias}"


@final
class Flatten(Module):
    """Axes ``start_dim`` to ``end_dim`` joined into one: (N, 28, 28) -> (N, 784).

    >>> import polyback as pb
    >>> pb.nn.Flatten()(pb.zeros((2, 3, 4))).shape
    (2, 12)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Tensor) -> Tensor:
        first, last = self.start_dim % max(x.ndim, 1), self.end_dim % max(x.ndim, 1)
        if not -x.ndim <= self.start_dim < x.ndim or not first <= last:
            raise ShapeError(f"[Flatten] got {x.shape}; want axes {self.start_dim}..{self.end_dim}")
        joined = math.prod(x.shape[first : last + 1])
        return reshape(x, (*x.shape[:first], joined, *x.shape[last + 1 :]))

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


@final
class Identity(Module):
    """``y = x``; takes and ignores any arguments, so that it can stand for any layer.

    >>> import polyback as pb
    >>> pb.nn.Identity()(pb.ones(1)).tolist()
    [1.0]
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        return x
