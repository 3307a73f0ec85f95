"""Layers that only move numbers, or nothing at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, final

from polyback.errors import ShapeError
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions import permute_dims, reshape
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
        check_tensors("Flatten", x)
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
        check_tensors("Unflatten", x)
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


def _pixels(op: str, x: Tensor, factor: int, down: bool) -> tuple[int, int, int]:
    """(C, H, W) of ``x``, (..., C, H, W), as a shuffle takes it. Raises ShapeError."""
    check_tensors(op, x)
    c, h, w = x.shape[-3:] if x.ndim >= 3 else (0, 0, 0)
    fits = not (h % factor or w % factor) if down else not c % factor**2
    if factor < 1 or x.ndim < 3 or not fits:
        want = "H and W multiples of it" if down else "C a multiple of its square"
        raise ShapeError(f"[{op}] got {x.shape} by {factor}; want (..., C, H, W), {want}")
    return c, h, w


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(..., C r^2, H, W) -> (..., C, H r, W r): channel ``c r^2 + i r + j`` becomes the pixels
    (i, j) of squares of r by r (Shi et al., 2016). Raises ShapeError.

    >>> import polyback as pb
    >>> pb.nn.pixel_shuffle(pb.reshape(pb.arange(4.0), (4, 1, 1)), 2).tolist()
    [[[0.0, 1.0], [2.0, 3.0]]]
    """
    r = upscale_factor
    c, h, w = _pixels("pixel_shuffle", input, r, False)
    x = reshape(input, (-1 if input.size else 0, c // r**2, r, r, h, w))
    return reshape(
        permute_dims(x, (0, 1, 4, 2, 5, 3)), (*input.shape[:-3], c // r**2, h * r, w * r)
    )


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """The inverse of :func:`pixel_shuffle`: (..., C, H r, W r) -> (..., C r^2, H, W).

    >>> import polyback as pb
    >>> pb.nn.pixel_unshuffle(pb.asarray([[[0.0, 1.0], [2.0, 3.0]]]), 2).shape
    (4, 1, 1)
    """
    r = downscale_factor
    c, h, w = _pixels("pixel_unshuffle", input, r, True)
    x = reshape(input, (-1 if input.size else 0, c, h // r, r, w // r, r))
    shape = (*input.shape[:-3], c * r**2, h // r, w // r)
    return reshape(permute_dims(x, (0, 1, 3, 5, 2, 4)), shape)


@final
class PixelShuffle(Module):
    """:func:`pixel_shuffle` as a layer.

    >>> import polyback as pb
    >>> pb.nn.PixelShuffle(2)(pb.ones((1, 12, 5, 5))).shape
    (1, 3, 10, 10)
    """

    def __init__(self, upscale_factor: int) -> None:
        self.upscale_factor = upscale_factor

    def forward(self, x: Tensor) -> Tensor:
        return pixel_shuffle(x, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


@final
class PixelUnshuffle(Module):
    """:func:`pixel_unshuffle` as a layer.

    >>> import polyback as pb
    >>> pb.nn.PixelUnshuffle(2)(pb.ones((1, 3, 10, 10))).shape
    (1, 12, 5, 5)
    """

    def __init__(self, downscale_factor: int) -> None:
        self.downscale_factor = downscale_factor

    def forward(self, x: Tensor) -> Tensor:
        return pixel_unshuffle(x, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"


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
