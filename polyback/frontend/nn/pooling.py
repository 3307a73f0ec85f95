"""Pooling: the maximum or the mean under each of many windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np

from polyback import structured
from polyback.array import Array, full
from polyback.errors import InvalidArgument, ShapeError
from polyback.features import Window
from polyback.frontend.autograd import is_grad_enabled
from polyback.frontend.functions.creation import asarray
from polyback.frontend.functions.elementwise import cast
from polyback.frontend.nn.windows import Pair, Size, back, each, flat, float_type, images
from polyback.frontend.op import Op, run
from polyback.frontend.tensor import Tensor
from polyback.scalar import MAX, SUM
from polyback.view import Shape


@final
class MaxPool(Op):
    """y = the first maximum under each window; its gradient goes to where it was found"""

    def __init__(self, kernel: Pair, window: Window, size: Pair, places: bool) -> None:
        self.kernel, self.window, self.size = kernel, window, size
        self.wants_places = places
        self.shape: Shape = ()
        self.places: Any = None

    def forward(self, x: Array) -> Array:
        y, self.places = structured.pool2d(
            MAX, x, self.kernel, self.window, self.size, self.wants_places
        )
        self.shape = x.shape
        return y

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        return run(Unpool(self.places, self.shape), g)

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        (t,) = tangents
        return run(Pick(self.places, self.shape), t)


class AtPlaces(Op):
    """What goes between images of a shape (N, C, H, W) and places in them, row * W + column"""

    def __init__(self, places: Array, shape: Shape) -> None:
        self.places, self.shape = places, shape


@final
class Unpool(AtPlaces):
    """y = zeros of the shape; y[n, c, places] += x"""

    def forward(self, x: Array) -> Array:
        n, c, height, width = self.shape
        y = full(x.device, (n, c, height * width), 0.0, x.dtype).copy()
        index, values = (a.reshape((n, c, a.shape[2] * a.shape[3])) for a in (self.places, x))
        structured.scatter(y, index, values, 2, "add")
        return y.reshape(self.shape)

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        return run(Pick(self.places, self.shape), g)


@final
class Pick(AtPlaces):
    """y = x[n, c, places]"""

    def forward(self, x: Array) -> Array:
        n, c, rows, columns = self.places.shape
        index = self.places.reshape((n, c, rows * columns))
        planes = x.reshape((n, c, self.shape[2] * self.shape[3]))
        return structured.gather(planes, index, 2).reshape(self.places.shape)

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        return run(Unpool(self.places, self.shape), g)


class Windowed(Op):
    """What goes between images of the sizes ``image`` and their windows, of which ``size`` count"""

    def __init__(self, kernel: Pair, window: Window, image: Pair, size: Pair) -> None:
        self.kernel, self.window, self.image, self.size = kernel, window, image, size


@final
class SumPool(Windowed):
    """y = the sum under each window"""

    def forward(self, x: Array) -> Array:
        return structured.pool2d(SUM, x, self.kernel, self.window, self.size)[0]

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        return run(SumUnpool(self.kernel, self.window, self.image, self.size), g)


@final
class SumUnpool(Windowed):
    """The transpose of SumPool: each element is added to all that its window holds, which is the
    gradient of a convolution with weights of 1."""

    def forward(self, x: Array) -> Array:
        planes = x.reshape((x.shape[0] * x.shape[1], 1, *self.size))
        ones = full(x.device, (1, 1, *self.kernel), 1.0, x.dtype)
        y = structured.conv2d_input(planes, ones, self.window, 1, self.image)
        return y.reshape((*x.shape[:2], *self.image))

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        return run(SumPool(self.kernel, self.window, self.image, self.size), g)


@final
class Pools:
    """Windows for pooling, with PyTorch's rules for padding and for ends. Raises InvalidArgument or
    ShapeError."""

    def __init__(
        self, op: str, shape: Shape, axes: int, kernel_size: Size, stride: Size | None,
        padding: Size, dilation: Size, ceil_mode: bool,
    ) -> None:  # fmt: skip
        self.lengths = each(kernel_size, axes, "kernel_size", op)
        steps = self.lengths if stride is None else each(stride, axes, "stride", op)
        ends, gaps = each(padding, axes, "padding", op, 0), each(dilation, axes, "dilation", op)
        sizes, count = shape[-axes:], []
        for n, k, s, e, g in zip(sizes, self.lengths, steps, ends, gaps, strict=True):
            reach = g * (k - 1) + 1
            if 2 * e > reach:
                raise InvalidArgument(f"[{op}] got padding {e}; want at most half of {reach}")
            room = n + 2 * e - reach
            windows = room // s + 1
            if ceil_mode and room % s and windows * s < n + e:
                windows += 1  # one more, which hangs over the end but begins inside
            count.append(windows)
        if min(count) < 1 or 0 in sizes:
            raise ShapeError(
                f"[{op}] got {shape} under windows of {self.lengths}, padding {ends}, dilation "
                f"{gaps}; want an image at least as large as a window"
            )
        self.kernel, self.count = flat(self.lengths, 1), flat(count, 1)
        self.image = flat(sizes, 1)
        self.window = Window(flat(steps, 1), flat(ends, 0), flat(gaps, 1))

    def places(self, axis: int) -> Any:
        """[window, place in it] -> the row (axis 0) or column (axis 1) of the image."""
        w = self.window
        starts = np.arange(self.count[axis]) * w.stride[axis] - w.padding[axis]
        return starts[:, None] + np.arange(self.kernel[axis]) * w.dilation[axis]

    def check_held(self, op: str) -> None:
        """Raises ShapeError if a window holds nothing but padding."""
        for a, n in enumerate(self.image):
            spots = self.places(a)
            if not ((spots >= 0) & (spots < n)).any(1).all():
                raise ShapeError(
                    f"[{op}] a window of {self.lengths} steps over all of {self.image}; want less "
                    f"dilation {self.window.dilation}"
                )

    def areas(self, include_pad: bool) -> Any:
        """How many elements each window counts: those of the image, or of image and padding."""
        counts = []
        for a, n in enumerate(self.image):
            spots, more = self.places(a), self.window.padding[a] if include_pad else 0
            counts.append(((spots >= -more) & (spots < n + more)).sum(1))
        return counts[0][:, None] * counts[1]


def _max_pool(
    op: str, axes: int, x: Tensor, kernel_size: Size, stride: Size | None, padding: Size,
    dilation: Size, ceil_mode: bool, return_indices: bool,
) -> Any:  # fmt: skip
    float_type(op, x)
    planes = images(x, axes, op)
    pools = Pools(op, x.shape, axes, kernel_size, stride, padding, dilation, ceil_mode)
    pools.check_held(op)
    recorded = is_grad_enabled() and x.requires_grad
    maximum = MaxPool(pools.kernel, pools.window, pools.count, recorded or return_indices)
    y = back(run(maximum, planes), x, axes)
    if not return_indices:
        return y
    places = maximum.places.copy() if recorded else maximum.places  # the gradient keeps its own
    return y, back(Tensor(places), x, axes)


def max_pool1d(
    x: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest of ``x[n, c, i stride - padding + p dilation]``; see :func:`max_pool2d`.

    >>> import polyback as pb
    >>> pb.nn.max_pool1d(pb.asarray([[1.0, 3.0, 2.0, 0.0]]), 2).tolist()
    [[3.0, 2.0]]
    """
    return _max_pool(
        "max_pool1d", 1, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices
    )


def max_pool2d(
    x: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element under each window of x, (N, C, H, W) or (C, H, W); NaN counts as largest.

    Padding is never the largest. ``stride``: by default that of windows side by side.
    ``ceil_mode``: windows that begin inside may hang over the end. ``return_indices``: also where
    the (first) maximum is, as ``row * W + column``, int64. The gradient goes there. Real floating
    types. Raises ShapeError, DTypeError, InvalidArgument (padding over half a window).

    >>> import polyback as pb
    >>> pb.nn.max_pool2d(pb.reshape(pb.arange(16.0), (1, 4, 4)), 2).tolist()
    [[[5.0, 7.0], [13.0, 15.0]]]
    """
    return _max_pool(
        "max_pool2d", 2, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices
    )


def _avg_pool(
    op: str, axes: int, x: Tensor, kernel_size: Size, stride: Size | None, padding: Size,
    ceil_mode: bool, count_include_pad: bool, divisor: int | None,
) -> Tensor:  # fmt: skip
    float_type(op, x)
    planes = images(x, axes, op)
    pools = Pools(op, x.shape, axes, kernel_size, stride, padding, 1, ceil_mode)
    wide = cast(planes, x.dtype.compute)
    total = run(SumPool(pools.kernel, pools.window, pools.image, pools.count), wide)
    areas = pools.areas(count_include_pad)
    if divisor is not None:
        if divisor == 0:
            raise InvalidArgument(f"[{op}] got divisor_override=0; want another number")
        mean = total / float(divisor)
    elif (areas == areas.flat[0]).all():
        mean = total / float(areas.flat[0])
    else:
        mean = total / asarray(areas, dtype=wide.dtype, device=x.device)
    return back(cast(mean, x.dtype), x, axes)


def avg_pool1d(
    x: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of ``x[n, c, i stride - padding + p]``; see :func:`avg_pool2d`.

    >>> import polyback as pb
    >>> pb.nn.avg_pool1d(pb.asarray([[1.0, 3.0, 2.0, 0.0]]), 2).tolist()
    [[2.0, 1.0]]
    """
    return _avg_pool(
        "avg_pool1d", 1, x, kernel_size, stride, padding, ceil_mode, count_include_pad, None
    )


def avg_pool2d(
    x: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of the elements under each window of x, (N, C, H, W) or (C, H, W).

    Padding counts as zeros if ``count_include_pad``, and not at all otherwise; ``divisor_override``
    is what sums are divided by instead. Other arguments, types and errors: :func:`max_pool2d`.

    >>> import polyback as pb
    >>> pb.nn.avg_pool2d(pb.ones((1, 4, 4)), 2, padding=1).tolist()[0][0]
    [0.25, 0.5, 0.25]
    """
    return _avg_pool(
        "avg_pool2d", 2, x, kernel_size, stride, padding, ceil_mode, count_include_pad,
        divisor_override,
    )  # fmt: skip
