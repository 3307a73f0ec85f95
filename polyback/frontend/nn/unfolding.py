"""Unfolding: the elements under each window as columns (im2col), and their sum back (col2im)."""

from __future__ import annotations

from typing import Any, final

import numpy as np

from polyback.errors import ShapeError
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions import asarray, broadcast_to, reshape, scatter, take, zeros
from polyback.frontend.nn.module import Module
from polyback.frontend.nn.padding import pad
from polyback.frontend.nn.windows import Pair, Size, each
from polyback.frontend.tensor import Tensor


@final
class Grid:
    """Windows over a padded image of ``size``: the flat index of each place under each of them."""

    def __init__(
        self, op: str, size: Pair, kernel_size: Size, dilation: Size, padding: Size, stride: Size
    ) -> None:
        self.kernel = each(kernel_size, 2, "kernel_size", op)
        gaps, steps = each(dilation, 2, "dilation", op), each(stride, 2, "stride", op)
        self.ends = each(padding, 2, "padding", op, 0)
        self.padded = (size[0] + 2 * self.ends[0], size[1] + 2 * self.ends[1])
        lines = []
        for n, k, g, s in zip(self.padded, self.kernel, gaps, steps, strict=True):
            starts = np.arange(0, n - g * (k - 1), s)
            lines.append(np.arange(k)[:, None] * g + starts)  # [place, window]
        (p, i), (q, j) = lines[0].shape, lines[1].shape
        if not i or not j:
            raise ShapeError(
                f"[{op}] got an image of {size} under windows of {self.kernel}; want at least one "
                f"window"
            )
        rows, columns = lines[0][:, None, :, None], lines[1][None, :, None, :]
        self.places = (rows * self.padded[1] + columns).reshape(p * q, i * j)
        self.windows = i * j


def unfold(
    input: Tensor, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1
) -> Tensor:
    """(N, C, H, W) -> (N, C P Q, L): for each of L windows of P by Q, row by row, a column of what
    it holds. (C, H, W) -> (C P Q, L). Raises ShapeError, InvalidArgument.

    >>> import polyback as pb
    >>> pb.nn.unfold(pb.reshape(pb.arange(9.0), (1, 3, 3)), 2)[:, 0].tolist()
    [0.0, 1.0, 3.0, 4.0]
    """
    check_tensors("unfold", input)
    if input.ndim not in (3, 4):
        raise ShapeError(f"[unfold] got {input.shape}; want (N, C, H, W) or (C, H, W)")
    height, width = input.shape[-2:]
    grid = Grid("unfold", (height, width), kernel_size, dilation, padding, stride)
    top, left = grid.ends
    x = pad(input, (left, left, top, top)) if top or left else input
    lead = input.shape[:-2]
    flat = reshape(x, (*lead, grid.padded[0] * grid.padded[1]))
    columns = take(flat, asarray(grid.places.reshape(-1), device=x.device), axis=len(lead))
    shape = (*lead[:-1], lead[-1] * grid.kernel[0] * grid.kernel[1], grid.windows)
    return reshape(columns, shape)


def fold(
    input: Tensor,
    output_size: Size,
    kernel_size: Size,
    dilation: Size = 1,
    padding: Size = 0,
    stride: Size = 1,
) -> Tensor:
    """The transpose of :func:`unfold`: (N, C P Q, L) -> (N, C, H, W) = ``output_size``, where each
    element is the sum of what windows hold of it. (C P Q, L) -> (C, H, W). Raises ShapeError,
    InvalidArgument.

    >>> import polyback as pb
    >>> pb.nn.fold(pb.ones((4, 4)), 3, 2).tolist()
    [[[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]]
    """
    check_tensors("fold", input)
    height, width = each(output_size, 2, "output_size", "fold")
    grid = Grid("fold", (height, width), kernel_size, dilation, padding, stride)
    places = grid.kernel[0] * grid.kernel[1]
    if input.ndim not in (2, 3) or input.shape[-2] % places or input.shape[-1] != grid.windows:
        raise ShapeError(
            f"[fold] got {input.shape}; want (N, C * {places}, {grid.windows}), or without N"
        )
    lead = (*input.shape[:-2], input.shape[-2] // places)
    values = reshape(input, (*lead, places * grid.windows))
    spots = asarray(grid.places.reshape(-1), device=input.device)
    index = broadcast_to(spots, values.shape)
    base: Any = zeros((*lead, grid.padded[0] * grid.padded[1]), dtype=input.dtype,
                      device=input.device)  # fmt: skip
    image = reshape(scatter(base, index, values, mode="add"), (*lead, *grid.padded))
    top, left = grid.ends
    result: Tensor = image[..., top : top + height, left : left + width]
    return result


class Windows(Module):
    """The windows of :class:`Unfold` and :class:`Fold`."""

    def __init__(
        self, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1
    ) -> None:
        self.kernel_size, self.dilation = kernel_size, dilation
        self.padding, self.stride = padding, stride

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, "
            f"stride={self.stride}"
        )


@final
class Unfold(Windows):
    """:func:`unfold` as a layer.

    >>> import polyback as pb
    >>> pb.nn.Unfold(3, padding=1)(pb.ones((2, 4, 5, 5))).shape
    (2, 36, 25)
    """

    def forward(self, x: Tensor) -> Tensor:
        return unfold(x, self.kernel_size, self.dilation, self.padding, self.stride)


@final
class Fold(Windows):
    """:func:`fold` as a layer.

    >>> import polyback as pb
    >>> pb.nn.Fold(5, 3, padding=1)(pb.ones((2, 36, 25))).shape
    (2, 4, 5, 5)
    """

    def __init__(
        self,
        output_size: Size,
        kernel_size: Size,
        dilation: Size = 1,
        padding: Size = 0,
        stride: Size = 1,
    ) -> None:
        super().__init__(kernel_size, dilation, padding, stride)
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        return fold(x, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)
