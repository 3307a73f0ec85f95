"""Convolution layers: weights of windows, started as PyTorch's are."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, final, get_args

from polyback.errors import InvalidArgument
from polyback.frontend.functions.creation import Where
from polyback.frontend.nn.convolution import (
    Padding,
    conv1d,
    conv2d,
    conv_transpose1d,
    conv_transpose2d,
)
from polyback.frontend.nn.module import Module
from polyback.frontend.nn.padding import pad
from polyback.frontend.nn.start import uniform_start
from polyback.frontend.nn.windows import Size, each
from polyback.frontend.random import Generator
from polyback.frontend.tensor import Tensor

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]


class Windowed(Module):
    """What all convolutions have: a weight for each place of a window, and a bias.

    Both start uniform in [-b, b) with ``b = 1 / sqrt(fan_in)`` (kaiming_uniform with a = sqrt 5),
    where fan_in is the number of elements of one row of the weight.
    """

    axes: ClassVar[int]
    function: ClassVar[Callable[..., Tensor]]

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """The first two axes of the weight."""

    def _start(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        groups: int,
        bias: bool,
        **place: Any,
    ) -> None:
        name = type(self).__name__
        if (
            min(in_channels, out_channels, groups) < 1
            or in_channels % groups
            or out_channels % groups
        ):
            raise InvalidArgument(
                f"[{name}] got {in_channels} to {out_channels} channels in {groups} groups; want "
                f"numbers from 1, channels that are multiples of groups"
            )
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = each(kernel_size, self.axes, "kernel_size", name)
        shape = (*self.shape, *self.kernel_size)
        start = uniform_start(math.prod(shape[1:]), **place)
        self.weight = start(*shape)
        self.bias = start(out_channels) if bias else None

    def _repr(self, **options: Any) -> str:
        usual = {"stride": 1, "padding": 0, "dilation": 1, "output_padding": 0,
                 "padding_mode": "zeros"}  # fmt: skip
        given = [f"{k}={v}" for k, v in options.items() if v != usual[k]]
        given += [] if self.groups == 1 else [f"groups={self.groups}"]
        given += [] if self.bias is not None else ["bias=False"]
        size = f"kernel_size={self.kernel_size}"
        return ", ".join([f"{self.in_channels}, {self.out_channels}", size, *given])


class Forward(Windowed):
    """A convolution; ``padding_mode``: what stands in the padding, as :func:`pad` names it."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Padding = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        *,
        generator: Generator | None = None,
        device: Where = None,
        dtype: Any = None,
    ) -> None:
        if padding_mode not in get_args(PaddingMode):
            raise InvalidArgument(
                f"[{type(self).__name__}] got padding_mode={padding_mode!r}; want one of "
                f"{', '.join(get_args(PaddingMode))}"
            )
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.padding_mode = padding_mode
        place = {"generator": generator, "device": device, "dtype": dtype}
        self._start(in_channels, out_channels, kernel_size, groups, bias, **place)

    @property
    def shape(self) -> tuple[int, int]:
        """(out_channels, in_channels / groups)"""
        return self.out_channels, self.in_channels // self.groups

    def forward(self, x: Tensor) -> Tensor:
        padding: Padding = self.padding
        if self.padding_mode != "zeros":
            x, padding = pad(x, self._ends(), self.padding_mode), 0
        return self.function(
            x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )

    def _ends(self) -> list[int]:
        """What :func:`pad` takes: before and after each axis, the last axis first."""
        name, axes = type(self).__name__, self.axes
        if self.padding == "same":
            gaps = each(self.dilation, axes, "dilation", name)
            total = [g * (k - 1) for g, k in zip(gaps, self.kernel_size, strict=True)]
            pairs = [(n // 2, n - n // 2) for n in total]
        else:
            width = 0 if isinstance(self.padding, str) else self.padding  # "valid" is none
            pairs = [(n, n) for n in each(width, axes, "padding", name, 0)]
        return [n for pair in reversed(pairs) for n in pair]

    def extra_repr(self) -> str:
        return self._repr(
            stride=self.stride, padding=self.padding, dilation=self.dilation,
            padding_mode=self.padding_mode,
        )  # fmt: skip


@final
class Conv1d(Forward):
    """:func:`conv1d` with a weight (out_channels, in_channels / groups, kernel_size) and a bias.

    x (N, in_channels, L) or (in_channels, L). Raises InvalidArgument for sizes that do not fit.

    >>> import polyback as pb
    >>> pb.nn.Conv1d(2, 4, 3, padding="same")(pb.ones((5, 2, 9))).shape
    (5, 4, 9)
    """

    axes, function = 1, staticmethod(conv1d)


@final
class Conv2d(Forward):
    """:func:`conv2d` with a weight (out_channels, in_channels / groups, *kernel_size) and a bias.

    x (N, in_channels, H, W) or (in_channels, H, W). Raises InvalidArgument for sizes that do not
    fit.

    >>> import polyback as pb
    >>> pb.nn.Conv2d(3, 8, 3, stride=2, padding=1)(pb.ones((1, 3, 8, 8))).shape
    (1, 8, 4, 4)
    """

    axes, function = 2, staticmethod(conv2d)


class Transposed(Windowed):
    """A transposed convolution; a call may say the ``output_size`` instead of output_padding."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        *,
        generator: Generator | None = None,
        device: Where = None,
        dtype: Any = None,
    ) -> None:
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.output_padding = output_padding
        place = {"generator": generator, "device": device, "dtype": dtype}
        self._start(in_channels, out_channels, kernel_size, groups, bias, **place)

    @property
    def shape(self) -> tuple[int, int]:
        """(in_channels, out_channels / groups)"""
        return self.in_channels, self.out_channels // self.groups

    def forward(self, x: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        more = self.output_padding if output_size is None else self._more(x, output_size)
        return self.function(
            x, self.weight, self.bias, self.stride, self.padding, more, self.groups, self.dilation
        )

    def _more(self, x: Tensor, output_size: Sequence[int]) -> list[int]:
        """The output_padding that gives this size. Raises InvalidArgument if none does."""
        name, axes = type(self).__name__, self.axes
        wanted = each(tuple(output_size)[-axes:], axes, "output_size", name)
        steps, ends, gaps = (
            each(self.stride, axes, "stride", name), each(self.padding, axes, "padding", name, 0),
            each(self.dilation, axes, "dilation", name),
        )  # fmt: skip
        least = [
            (n - 1) * s - 2 * e + g * (k - 1) + 1
            for n, s, e, g, k in zip(
                x.shape[-axes:], steps, ends, gaps, self.kernel_size, strict=True
            )
        ]
        more = [n - m for n, m in zip(wanted, least, strict=True)]
        if any(not 0 <= m < s for m, s in zip(more, steps, strict=True)):
            raise InvalidArgument(
                f"[{name}] got output_size={tuple(wanted)}; want {tuple(least)}, or less than the "
                f"stride {steps} more"
            )
        return more

    def extra_repr(self) -> str:
        return self._repr(
            stride=self.stride, padding=self.padding, output_padding=self.output_padding,
            dilation=self.dilation,
        )  # fmt: skip


@final
class ConvTranspose1d(Transposed):
    """:func:`conv_transpose1d` with a weight (in_channels, out_channels / groups, kernel_size).

    x (N, in_channels, L) or (in_channels, L). Raises InvalidArgument for sizes that do not fit.

    >>> import polyback as pb
    >>> pb.nn.ConvTranspose1d(2, 4, 2, stride=2)(pb.ones((5, 2, 9))).shape
    (5, 4, 18)
    """

    axes, function = 1, staticmethod(conv_transpose1d)


@final
class ConvTranspose2d(Transposed):
    """:func:`conv_transpose2d` with a weight (in_channels, out_channels / groups, *kernel_size).

    x (N, in_channels, H, W) or (in_channels, H, W). Raises InvalidArgument for sizes that do not
    fit.

    >>> import polyback as pb
    >>> pb.nn.ConvTranspose2d(3, 8, 4, stride=2, padding=1)(pb.ones((1, 3, 8, 8))).shape
    (1, 8, 16, 16)
    """

    axes, function = 2, staticmethod(conv_transpose2d)
