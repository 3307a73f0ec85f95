"""Convolution (cross-correlation, as in all of deep learning) and its transpose.

The sum over images n, groups, channels c, results o, windows (i, j) and places (p, q) in them of

    x[n, c, row(i, p), column(j, q)] w[o, c, p, q] y[n, o, i, j]

is linear in x, w and y. A convolution is its derivative for y; the derivatives for x and w are the
gradients of the convolution; and the gradients of those are again of the three.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, final

from polyback import structured
from polyback.array import Array, same_device
from polyback.errors import InvalidArgument, ShapeError
from polyback.features import Window
from polyback.frontend.autocast import lowered
from polyback.frontend.functions.elementwise import cast
from polyback.frontend.functions.shape import reshape
from polyback.frontend.nn.windows import (
    Pair,
    Size,
    as_type,
    back,
    each,
    flat,
    float_type,
    images,
)
from polyback.frontend.op import Op, run
from polyback.frontend.tensor import Tensor

Padding = Size | Literal["same", "valid"]
ROLES: Final = ("x", "w", "y")


@final
@dataclass(frozen=True)
class Form:
    """The trilinear sum: its windows and groups, and heights and widths of x, w and y."""

    window: Window
    groups: int
    sizes: dict[str, Pair]


@final
class Convolution(Op):
    """The derivative of the trilinear sum for one of x, w and y, given the two others in that order

    Its gradient for one of the two is the derivative for that one, with g in the result's place.
    """

    def __init__(self, form: Form, wanted: str) -> None:
        self.form, self.wanted = form, wanted
        self.given = tuple(role for role in ROLES if role != wanted)

    def forward(self, a: Array, b: Array) -> Array:
        kernels = {"x": structured.conv2d_input, "w": structured.conv2d_weight}
        first, second = (b, a) if self.wanted == "x" else (a, b)  # (y, w) there
        kernel = kernels.get(self.wanted, structured.conv2d)
        form = self.form
        return kernel(first, second, form.window, form.groups, form.sizes[self.wanted])

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        parts = {self.wanted: g, self.given[1 - operand]: operands[1 - operand]}
        wanted = self.given[operand]
        return run(Convolution(self.form, wanted), *(parts[r] for r in ROLES if r != wanted))

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        a, b = operands
        da, db = tangents
        parts = [run(self, da, b)] if da is not None else []
        parts += [run(self, a, db)] if db is not None else []
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]

    def saves(self, operand: int) -> frozenset[int]:
        return frozenset({1 - operand})


def _window(
    op: str, axes: int, stride: Size, padding: Size, dilation: Size
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], Window]:
    steps, ends, gaps = (
        each(stride, axes, "stride", op), each(padding, axes, "padding", op, 0),
        each(dilation, axes, "dilation", op),
    )  # fmt: skip
    return steps, ends, gaps, Window(flat(steps, 1), flat(ends, 0), flat(gaps, 1))


def _one_type(
    op: str, x: Tensor, weight: Tensor, bias: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """All in the type that they promote to, once autocast has had its say."""
    float_type(op, x, weight, bias)  # whatever they are, they must be tensors
    x, weight = lowered(x, weight)
    bias = None if bias is None else lowered(bias)[0]
    dtype = float_type(op, x, weight, bias)
    return cast(x, dtype), cast(weight, dtype), as_type(bias, dtype)


def _operands(
    op: str, axes: int, x: Tensor, weight: Tensor, bias: Tensor | None, outs: int, groups: int
) -> None:
    """Raises ShapeError or DeviceMismatch. ``outs``: the axis of the weight that the bias fits."""
    sizes = "K" if axes == 1 else "P, Q"
    if weight.ndim != axes + 2 or 0 in weight.shape[2:]:
        raise ShapeError(f"[{op}] got a weight {weight.shape}; want 2 axes and {sizes}, not empty")
    many = weight.shape[outs] * (groups if outs else 1)
    if bias is not None and bias.shape != (many,):
        raise ShapeError(f"[{op}] got a bias {bias.shape}; want ({many},), one for each result")
    same_device(op, x.array, weight.array, *([] if bias is None else [bias.array]))


def _same(
    op: str, size: Sequence[int], kernel: Sequence[int], stride: Size, dilation: Size
) -> tuple[tuple[int, ...], Sequence[int]]:
    """Padding before the start for a result of the same size; an odd one is more at the end."""
    axes = len(size)
    if set(each(stride, axes, "stride", op)) != {1}:
        raise InvalidArgument(f"[{op}] got padding='same' with stride={stride}; want stride 1")
    gaps = each(dilation, axes, "dilation", op)
    return tuple(g * (k - 1) // 2 for g, k in zip(gaps, kernel, strict=True)), size


def _finish(
    wanted: str, x: Tensor, planes: Tensor, weight: Tensor, bias: Tensor | None,
    window: Window, groups: int, sizes: dict[str, Sequence[int]],
) -> Tensor:  # fmt: skip
    """The derivative for ``wanted``, with ``planes`` (x as images) given; then the bias."""
    form = Form(window, groups, {role: flat(n, 1) for role, n in sizes.items()})
    w = reshape(weight, (*weight.shape[:2], *form.sizes["w"]))
    y = run(Convolution(form, wanted), *((planes, w) if wanted == "y" else (w, planes)))
    if bias is not None:
        y = y + reshape(bias, (1, bias.shape[0], 1, 1))
    return back(y, x, len(sizes["w"]))


def _convolve(
    op: str, axes: int, x: Tensor, weight: Tensor, bias: Tensor | None,
    stride: Size, padding: Padding, dilation: Size, groups: int,
) -> Tensor:  # fmt: skip
    x, weight, bias = _one_type(op, x, weight, bias)
    planes = images(x, axes, op)
    _operands(op, axes, x, weight, bias, 0, groups)
    channels, outs = planes.shape[1], weight.shape[0]
    if groups < 1 or weight.shape[1] * groups != channels or outs % groups:
        raise ShapeError(
            f"[{op}] got {x.shape} with a weight {weight.shape} in {groups} groups; want a weight "
            f"of (a multiple of groups, channels / groups, ...)"
        )
    size, kernel = x.shape[-axes:], weight.shape[2:]
    count: Sequence[int] = ()
    if padding == "same":
        padding, count = _same(op, size, kernel, stride, dilation)
    elif isinstance(padding, str):
        if padding != "valid":
            raise InvalidArgument(f"[{op}] got padding={padding!r}; want numbers, same or valid")
        padding = 0
    steps, ends, gaps, window = _window(op, axes, stride, padding, dilation)
    count = count or [
        (n + 2 * e - g * (k - 1) - 1) // s + 1
        for n, k, s, e, g in zip(size, kernel, steps, ends, gaps, strict=True)
    ]
    if min(count) < 1:
        raise ShapeError(
            f"[{op}] got {x.shape} with padding {ends} under windows of {kernel}, dilation {gaps}; "
            f"want an image at least as large as a window"
        )
    sizes = {"x": size, "w": kernel, "y": count}
    return _finish("y", x, planes, weight, bias, window, groups, sizes)


def conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """``y[n, o, i] = sum_(c, p) x[n, c, i stride - padding + p dilation] w[o, c, p] + bias[o]``

    x (N, C, L) or (C, L), weight (O, C / groups, K), bias (O,); elements outside x are 0.
    ``padding``: a number, "same" (with stride 1) or "valid" (none). Real floating types. Raises
    ShapeError, DTypeError, InvalidArgument.

    >>> import polyback as pb
    >>> pb.nn.conv1d(pb.asarray([[1.0, 2.0, 4.0]]), pb.asarray([[[1.0, -1.0]]])).tolist()
    [[-1.0, -2.0]]
    """
    return _convolve("conv1d", 1, x, weight, bias, stride, padding, dilation, groups)


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """``y[n, o, i, j] = sum_(c, p, q) x[n, c, row, column] weight[o, c, p, q] + bias[o]`` with
    ``row = i stride - padding + p dilation``, column likewise; c over the channels of o's group.

    x (N, C, H, W) or (C, H, W), weight (O, C / groups, P, Q), bias (O,); elements outside x are 0.
    Numbers or pairs of them; ``padding`` may be "same" (with stride 1) or "valid" (none). Real
    floating types. Raises ShapeError, DTypeError, InvalidArgument.

    >>> import polyback as pb
    >>> pb.nn.conv2d(pb.ones((1, 2, 5, 5)), pb.ones((3, 2, 3, 3)), padding=1).shape
    (1, 3, 5, 5)
    """
    return _convolve("conv2d", 2, x, weight, bias, stride, padding, dilation, groups)


def _transposed(
    op: str, axes: int, x: Tensor, weight: Tensor, bias: Tensor | None,
    stride: Size, padding: Size, output_padding: Size, groups: int, dilation: Size,
) -> Tensor:  # fmt: skip
    x, weight, bias = _one_type(op, x, weight, bias)
    planes = images(x, axes, op)
    _operands(op, axes, x, weight, bias, 1, groups)
    if groups < 1 or weight.shape[0] != planes.shape[1] or planes.shape[1] % groups:
        raise ShapeError(
            f"[{op}] got {x.shape} with a weight {weight.shape} in {groups} groups; want a weight "
            f"of (channels, results / groups, ...) with channels a multiple of groups"
        )
    steps, ends, gaps, window = _window(op, axes, stride, padding, dilation)
    more = each(output_padding, axes, "output_padding", op, 0)
    if any(m >= max(s, g) for m, s, g in zip(more, steps, gaps, strict=True)):
        raise InvalidArgument(
            f"[{op}] got output_padding={output_padding}; want less than the stride {steps} or the "
            f"dilation {gaps}"
        )
    count, kernel = x.shape[-axes:], weight.shape[2:]
    size = [
        (n - 1) * s - 2 * e + g * (k - 1) + m + 1
        for n, k, s, e, g, m in zip(count, kernel, steps, ends, gaps, more, strict=True)
    ]
    if min(size) < 1:
        raise ShapeError(f"[{op}] got {x.shape} with padding {ends}: nothing of the result is left")
    sizes = {"x": size, "w": kernel, "y": count}
    return _finish("x", x, planes, weight, bias, window, groups, sizes)


def conv_transpose1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Tensor:
    """The gradient of :func:`conv1d` for its input, as a function of the result's gradient x.

    x (N, C, L) or (C, L), weight (C, O / groups, K), bias (O,), y (N, O, M) with ``M =
    (L - 1) stride - 2 padding + dilation (K - 1) + output_padding + 1``. Raises ShapeError,
    DTypeError, InvalidArgument.

    >>> import polyback as pb
    >>> pb.nn.conv_transpose1d(pb.ones((1, 2)), pb.ones((1, 1, 2)), stride=2).tolist()
    [[1.0, 1.0, 1.0, 1.0]]
    """
    return _transposed(
        "conv_transpose1d", 1, x, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Tensor:
    """The gradient of :func:`conv2d` for its input, as a function of the result's gradient x.

    x (N, C, I, J) or (C, I, J), weight (C, O / groups, P, Q), bias (O,), y (N, O, H, W) with ``H =
    (I - 1) stride - 2 padding + dilation (P - 1) + output_padding + 1`` and W likewise. Raises
    ShapeError, DTypeError, InvalidArgument.

    >>> import polyback as pb
    >>> pb.nn.conv_transpose2d(pb.ones((1, 3, 4, 4)), pb.ones((3, 2, 2, 2)), stride=2).shape
    (1, 2, 8, 8)
    """
    return _transposed(
        "conv_transpose2d", 2, x, weight, bias, stride, padding, output_padding, groups, dilation
    )
