"""Layers that only move numbers, or nothing at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, final

from polyback.errors import ShapeError
from polyback.frontend.functions import reshape
from polyback.frontend.nn.module import Module
from polyback.frontend.tensor import Tensor
from polyback.view import normalize_axis


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
class Unflatten(Module):
    """Axis ``dim`` cut into axes of the sizes ``unflattened_size``, of which one may be -1.

    Raises ShapeError if the sizes do not fit the axis.

    >>> import polyback as pb
    >>> pb.nn.Unflatten(1, (3, -1))(pb.zeros((2, 12))).shape
    (2, 3, 4)
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, x: Tensor) -> Tensor:
        spot = normalize_axis(self.dim, x.ndim, "Unflatten")
        sizes, length = list(self.unflattened_size), x.shape[spot]
        if sizes.count(-1) == 1:
            known = math.prod(n for n in sizes if n != -1)
            sizes[sizes.index(-1)] = length // known if known else 0
        if math.prod(sizes) != length or any(n < 0 for n in sizes):
            raise ShapeError(
                f"[Unflatten] axis {spot} of {x.shape} does not fit {self.unflattened_size}"
            )
        return reshape(x, (*x.shape[:spot], *sizes, *x.shape[spot + 1 :]))

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


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
