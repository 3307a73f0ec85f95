"""Pooling layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, final

from polyback.frontend.nn.module import Module
from polyback.frontend.nn.pooling import (
    avg_pool1d,
    avg_pool2d,
    max_pool1d,
    max_pool2d,
)
from polyback.frontend.nn.windows import Size
from polyback.frontend.tensor import Tensor


class MaxPool(Module):
    """Maxima under windows, by ``function``."""

    function: ClassVar[Callable[..., Any]]

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        self.kernel_size, self.padding, self.dilation = kernel_size, padding, dilation
        self.stride = kernel_size if stride is None else stride
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, x: Tensor) -> Any:
        return self.function(
            x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
            self.return_indices,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


@final
class MaxPool1d(MaxPool):
    """:func:`max_pool1d` as a layer: x (N, C, L) or (C, L).

    >>> import polyback as pb
    >>> pb.nn.MaxPool1d(2)(pb.ones((5, 2, 9))).shape
    (5, 2, 4)
    """

    function = staticmethod(max_pool1d)


@final
class MaxPool2d(MaxPool):
    """:func:`max_pool2d` as a layer: x (N, C, H, W) or (C, H, W).

    >>> import polyback as pb
    >>> pb.nn.MaxPool2d(3, stride=2, padding=1)(pb.ones((5, 2, 9, 9))).shape
    (5, 2, 5, 5)
    """

    function = staticmethod(max_pool2d)


class AvgPool(Module):
    """The parameters of the layers that take means."""

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        self.kernel_size, self.padding, self.ceil_mode = kernel_size, padding, ceil_mode
        self.stride = kernel_size if stride is None else stride
        self.count_include_pad = count_include_pad

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


@final
class AvgPool1d(AvgPool):
    """:func:`avg_pool1d` as a layer: x (N, C, L) or (C, L).

    >>> import polyback as pb
    >>> pb.nn.AvgPool1d(3)(pb.ones((5, 2, 9))).shape
    (5, 2, 3)
    """

    def forward(self, x: Tensor) -> Tensor:
        return avg_pool1d(
            x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )


@final
class AvgPool2d(AvgPool):
    """:func:`avg_pool2d` as a layer: x (N, C, H, W) or (C, H, W).

    >>> import polyback as pb
    >>> pb.nn.AvgPool2d(3, stride=2, padding=1)(pb.ones((5, 2, 9, 9))).shape
    (5, 2, 5, 5)
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)
        self.divisor_override = divisor_override

    def forward(self, x: Tensor) -> Tensor:
        return avg_pool2d(
            x, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            self.count_include_pad, self.divisor_override,
        )  # fmt: skip
