"""Adaptive pooling: means and maxima under as many windows as are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, final

import numpy as np

from polyback.errors import ShapeError
from polyback.frontend.functions import asarray, matmul, max, reshape, take
from polyback.frontend.functions.elementwise import cast
from polyback.frontend.nn.module import Module
from polyback.frontend.nn.windows import back, each, flat, float_type, images
from polyback.frontend.tensor import Tensor

Sizes = int | Sequence[int | None] | None


def _windows(n: int, count: int) -> list[tuple[int, int]]:
    """Start and end of ``count`` windows that cover ``n`` elements."""
    return [(i * n // count, -(-(i + 1) * n // count)) for i in range(count)]


def _prepared(op: str, axes: int, x: Tensor, output_size: Sizes) -> tuple[Tensor, tuple[int, int]]:
    """The images of ``x``, in the type to compute in, and how many windows in each direction."""
    float_type(op, x)
    planes = images(x, axes, op)
    asked = output_size if isinstance(output_size, Sequence) else (output_size,) * axes
    sizes = x.shape[-axes:]
    given = [sizes[a % axes] if n is None else n for a, n in enumerate(asked)]
    wanted = flat(each(given, axes, "output_size", op), 1)
    if 0 in sizes:
        raise ShapeError(f"[{op}] got {x.shape}; want sizes from 1")
    return cast(planes, x.dtype.compute), wanted


def _average(op: str, axes: int, x: Tensor, output_size: Sizes) -> Tensor:
    y, wanted = _prepared(op, axes, x, output_size)
    rows, columns = (
        asarray(_averages(n, count), dtype=y.dtype, device=x.device)
        for n, count in zip(y.shape[2:], wanted, strict=True)
    )
    return back(cast(matmul(matmul(rows, y), columns.mT), x.dtype), x, axes)


def _averages(n: int, count: int) -> Any:
    """The matrix that takes the means under ``count`` windows over ``n`` elements."""
    weights = np.zeros((count, n))
    for row, (start, stop) in zip(weights, _windows(n, count), strict=True):
        row[start:stop] = 1 / (stop - start)
    return weights


def _largest(op: str, axes: int, x: Tensor, output_size: Sizes) -> Tensor:
    y, wanted = _prepared(op, axes, x, output_size)
    for axis, count in ((2, wanted[0]), (3, wanted[1])):
        windows = _windows(y.shape[axis], count)
        longest = int(np.max([b - a for a, b in windows]))
        # a shorter window holds its last element several times
        places = [np.minimum(np.arange(a, a + longest), b - 1) for a, b in windows]
        index = asarray(np.concatenate(places), device=x.device)
        shape = (*y.shape[:axis], count, longest, *y.shape[axis + 1 :])
        y = max(reshape(take(y, index, axis=axis), shape), axis=axis + 1)
    return back(cast(y, x.dtype), x, axes)


def adaptive_avg_pool1d(x: Tensor, output_size: Sizes) -> Tensor:
    """:func:`adaptive_avg_pool2d` of lines: (N, C, L) or (C, L).

    >>> import polyback as pb
    >>> pb.nn.adaptive_avg_pool1d(pb.asarray([[1.0, 3.0, 5.0]]), 2).tolist()
    [[2.0, 4.0]]
    """
    return _average("adaptive_avg_pool1d", 1, x, output_size)


def adaptive_avg_pool2d(x: Tensor, output_size: Sizes) -> Tensor:
    """Means under ``output_size`` windows in each direction that cover x, (N, C, H, W) or
    (C, H, W): window i of I reads rows ``floor(i H / I)`` to ``ceil((i + 1) H / I)``.

    None in ``output_size`` keeps the size. Real floating types. Raises ShapeError, DTypeError,
    InvalidArgument.

    >>> import polyback as pb
    >>> pb.nn.adaptive_avg_pool2d(pb.ones((2, 3, 7, 5)), 1).shape
    (2, 3, 1, 1)
    """
    return _average("adaptive_avg_pool2d", 2, x, output_size)


def adaptive_max_pool1d(x: Tensor, output_size: Sizes) -> Tensor:
    """:func:`adaptive_max_pool2d` of lines: (N, C, L) or (C, L).

    >>> import polyback as pb
    >>> pb.nn.adaptive_max_pool1d(pb.asarray([[1.0, 3.0, 5.0]]), 2).tolist()
    [[3.0, 5.0]]
    """
    return _largest("adaptive_max_pool1d", 1, x, output_size)


def adaptive_max_pool2d(x: Tensor, output_size: Sizes) -> Tensor:
    """The largest elements under the windows of :func:`adaptive_avg_pool2d`. Equal ones share the
    gradient.

    >>> import polyback as pb
    >>> pb.nn.adaptive_max_pool2d(pb.reshape(pb.arange(9.0), (1, 3, 3)), 2).tolist()
    [[[4.0, 5.0], [7.0, 8.0]]]
    """
    return _largest("adaptive_max_pool2d", 2, x, output_size)


class AdaptivePool(Module):
    """What adaptive pooling layers share."""

    function: ClassVar[Any]

    def __init__(self, output_size: Sizes) -> None:
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.function(x, self.output_size)
        return y

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


@final
class AdaptiveAvgPool1d(AdaptivePool):
    """:func:`adaptive_avg_pool1d` as a layer: x (N, C, L) or (C, L).

    >>> import polyback as pb
    >>> pb.nn.AdaptiveAvgPool1d(3)(pb.ones((5, 2, 7))).shape
    (5, 2, 3)
    """

    function = staticmethod(adaptive_avg_pool1d)


@final
class AdaptiveAvgPool2d(AdaptivePool):
    """:func:`adaptive_avg_pool2d` as a layer: x (N, C, H, W) or (C, H, W).

    >>> import polyback as pb
    >>> pb.nn.AdaptiveAvgPool2d((1, None))(pb.ones((5, 2, 9, 7))).shape
    (5, 2, 1, 7)
    """

    function = staticmethod(adaptive_avg_pool2d)


@final
class AdaptiveMaxPool1d(AdaptivePool):
    """:func:`adaptive_max_pool1d` as a layer: x (N, C, L) or (C, L).

    >>> import polyback as pb
    >>> pb.nn.AdaptiveMaxPool1d(3)(pb.ones((5, 2, 7))).shape
    (5, 2, 3)
    """

    function = staticmethod(adaptive_max_pool1d)


@final
class AdaptiveMaxPool2d(AdaptivePool):
    """:func:`adaptive_max_pool2d` as a layer: x (N, C, H, W) or (C, H, W).

    >>> import polyback as pb
    >>> pb.nn.AdaptiveMaxPool2d((1, None))(pb.ones((5, 2, 9, 7))).shape
    (5, 2, 1, 7)
    """

    function = staticmethod(adaptive_max_pool2d)
