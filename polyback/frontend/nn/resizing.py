"""Resizing: lines and images of another size, by the nearest element or between neighbours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, Literal, final, get_args

import numpy as np

from polyback.errors import InvalidArgument, ShapeError
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions import asarray, reshape, take
from polyback.frontend.functions.elementwise import cast
from polyback.frontend.nn.module import Module
from polyback.frontend.nn.windows import each, float_type
from polyback.frontend.tensor import Tensor

Mode = Literal["nearest", "linear", "bilinear"]
AXES: Final = {"linear": 1, "bilinear": 2}


def interpolate(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: Mode = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """(N, C, L) or (N, C, H, W) with axes after C of another ``size``, or ``scale_factor`` times as
    long (rounded down).

    "nearest": element i is the element ``floor(i n / m)`` of n for m. "linear" (of lines) and
    "bilinear" (of images): between the two neighbours of ``(i + 1/2) n / m - 1/2``, or with
    ``align_corners`` of ``i (n - 1) / (m - 1)``, along each axis. Where a scale was given, it is
    used in place of m / n, as PyTorch does. Raises ShapeError, InvalidArgument, DTypeError (real
    floating types, except for "nearest").

    >>> import polyback as pb
    >>> pb.nn.interpolate(pb.asarray([[[1.0, 2.0]]]), scale_factor=2).tolist()
    [[[1.0, 1.0, 2.0, 2.0]]]
    >>> pb.nn.interpolate(pb.asarray([[[1.0, 3.0]]]), 3, mode="linear", align_corners=True).tolist()
    [[[1.0, 2.0, 3.0]]]
    """
    check_tensors("interpolate", input)
    axes = input.ndim - 2
    _check(mode, size, scale_factor, align_corners)
    if axes not in (1, 2) or AXES.get(mode, axes) != axes or 0 in input.shape[2:]:
        want = {"linear": "(N, C, L)", "bilinear": "(N, C, H, W)"}.get(mode, "either")
        raise ShapeError(f"[interpolate] got {input.shape} for {mode!r}; want {want}, not empty")
    scales: list[float | None] = [None] * axes
    if size is not None:
        sizes = each(size, axes, "size", "interpolate")
    else:
        scales = [*_scales(scale_factor, axes)]
        sizes = tuple(math.floor(n * s) for n, s in zip(input.shape[2:], scales, strict=True) if s)
        each(sizes, axes, "size", "interpolate")
    if mode != "nearest":
        kind = float_type("interpolate", input)
        x = cast(input, kind.compute)
        for a, (m, scale) in enumerate(zip(sizes, scales, strict=True)):
            x = _between(x, a + 2, m, scale, bool(align_corners))
        return cast(x, kind)
    for a, (m, scale) in enumerate(zip(sizes, scales, strict=True)):
        n = input.shape[a + 2]
        place = np.minimum(np.floor(np.arange(m) * (n / m if scale is None else 1 / scale)), n - 1)
        index = asarray(place.astype(np.int64), device=input.device)
        input = take(input, index, axis=a + 2)
    return input


def _check(mode: Any, size: Any, scale_factor: Any, align_corners: bool | None) -> None:
    if mode not in get_args(Mode):
        raise InvalidArgument(
            f"[interpolate] got mode={mode!r}; want one of {', '.join(get_args(Mode))}"
        )
    if (size is None) is (scale_factor is None):
        raise InvalidArgument("[interpolate] want either size or scale_factor")
    if align_corners is not None and mode == "nearest":
        raise InvalidArgument("[interpolate] align_corners is for 'linear' and 'bilinear'")


def _scales(given: Any, axes: int) -> list[float]:
    found = [float(s) for s in given] if isinstance(given, Sequence) else [float(given)] * axes
    if len(found) != axes or min(found) <= 0:
        raise InvalidArgument(
            f"[interpolate] got scale_factor={given}; want a number above 0, or {axes} of them"
        )
    return found


def _between(x: Tensor, axis: int, m: int, scale: float | None, align: bool) -> Tensor:
    """``m`` values along ``axis``, each a mean of two neighbours."""
    n, i = x.shape[axis], np.arange(m)
    if align:
        place = i * ((n - 1) / (m - 1) if m > 1 else 0.0)
    else:
        place = np.maximum((i + 0.5) * (n / m if scale is None else 1 / scale) - 0.5, 0.0)
    low = np.minimum(np.floor(place).astype(np.int64), n - 1)
    high = np.minimum(low + 1, n - 1)
    weight = asarray(np.minimum(place - low, 1.0), dtype=x.dtype, device=x.device)
    weight = reshape(weight, (m,) + (1,) * (x.ndim - 1 - axis))
    first, second = (take(x, asarray(k, device=x.device), axis=axis) for k in (low, high))
    return first * (1.0 - weight) + second * weight


@final
class Upsample(Module):
    """:func:`interpolate` as a layer.

    >>> import polyback as pb
    >>> pb.nn.Upsample(scale_factor=2, mode="bilinear")(pb.ones((1, 3, 5, 4))).shape
    (1, 3, 10, 8)
    """

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
        mode: Mode = "nearest",
        align_corners: bool | None = None,
    ) -> None:
        _check(mode, size, scale_factor, align_corners)
        self.size, self.scale_factor = size, scale_factor
        self.mode, self.align_corners = mode, align_corners

    def forward(self, x: Tensor) -> Tensor:
        return interpolate(x, self.size, self.scale_factor, self.mode, self.align_corners)

    def extra_repr(self) -> str:
        how = f"size={self.size}" if self.size is not None else f"scale_factor={self.scale_factor}"
        return f"{how}, mode={self.mode!r}"
