"""Checks that a device may call before an optional feature writes anything.

Like :mod:`polyback.operand_check` for the required methods: UnsupportedOp for a type that the
device does not claim, InvalidArgument for operands that contradict the contract of the feature
(:mod:`polyback.features`).
"""

from __future__ import annotations

from functools import lru_cache

from polyback.device import Caps, Operand
from polyback.dtype import DType, int64
from polyback.errors import InvalidArgument, UnsupportedOp
from polyback.features import Window
from polyback.scalar import MAX, MIN, PROD, REAL, REAL_FLOAT, SUM, Reduction
from polyback.view import Shape


def check_scan(caps: Caps, op: Reduction, out: Operand, x: Operand, axis: int) -> None:
    """For ``scan``. Raises UnsupportedOp or InvalidArgument."""
    claimed = x.dtype.name in caps.reductions.get(op.name, frozenset())
    if op not in (SUM, PROD, MIN, MAX) or not claimed:
        raise UnsupportedOp(f"[scan] the device has no running {op} of {x.dtype}")
    _axis("scan", x, axis)
    _want("scan", out, x.dtype, x.view.shape)


def check_argreduce(caps: Caps, op: Reduction, out: Operand, x: Operand, axis: int) -> None:
    """For ``argreduce``. Raises UnsupportedOp or InvalidArgument."""
    claimed = x.dtype.name in caps.reductions.get(op.name, frozenset())
    if op not in (MIN, MAX) or x.dtype not in REAL or not claimed:
        raise UnsupportedOp(f"[argreduce] the device has no place of the {op} of {x.dtype}")
    _axis("argreduce", x, axis, empty=False)
    _want("argreduce", out, int64, _with_size_1(x.view.shape, axis))


def check_sort(caps: Caps, out: Operand, x: Operand, axis: int) -> None:
    """For ``sort``. Raises UnsupportedOp or InvalidArgument."""
    if x.dtype.kind == "complex" or x.dtype.name not in caps.storage:
        raise UnsupportedOp(f"[sort] the device does not sort {x.dtype}")
    _axis("sort", x, axis)
    _want("sort", out, x.dtype, x.view.shape)


def check_softmax(caps: Caps, out: Operand, x: Operand, axis: int) -> None:
    """For ``softmax``. Raises UnsupportedOp or InvalidArgument."""
    _floating("softmax", caps, x)
    _axis("softmax", x, axis, empty=False)
    _want("softmax", out, x.dtype, x.view.shape)


def check_layer_norm(
    caps: Caps, out: Operand, mean: Operand, scale: Operand, x: Operand,
    weight: Operand | None, bias: Operand | None,
) -> None:  # fmt: skip
    """For ``layer_norm``. Raises UnsupportedOp or InvalidArgument."""
    _floating("layer_norm", caps, x)
    last = x.view.ndim - 1
    _axis("layer_norm", x, last, empty=False)
    for whole in (out, weight, bias):
        if whole is not None:
            _want("layer_norm", whole, x.dtype, x.view.shape)
    for figure in (mean, scale):
        _want("layer_norm", figure, x.dtype, _with_size_1(x.view.shape, last))


def check_conv2d(
    caps: Caps, result: Operand, x: Operand, w: Operand, window: Window, groups: int,
    op: str = "conv2d",
) -> None:  # fmt: skip
    """For ``conv2d``, and for its gradients, where ``x`` or ``w`` is what is written. Any height
    and width of the result is legal: what lies outside ``x`` is absent. Raises UnsupportedOp or
    InvalidArgument."""
    _floating(op, caps, x)
    _window(op, window)
    for operand in (result, x, w):
        if operand.dtype is not x.dtype or operand.view.ndim != 4:
            raise InvalidArgument(
                f"[{op}] got an operand {_described(operand)}, want {x.dtype} with 4 axes"
            )
    (images, channels), (outs, each) = x.view.shape[:2], w.view.shape[:2]
    if groups < 1 or outs % groups or each * groups != channels:
        raise InvalidArgument(
            f"[{op}] got weights {w.view.shape} in {groups} groups for {channels} channels; want "
            f"a multiple of {groups} weights for {channels} / {groups} channels each"
        )
    _want(op, result, x.dtype, (images, outs, *result.view.shape[2:]))


def check_pool2d(
    caps: Caps, op: Reduction, out: Operand, index: Operand | None, x: Operand,
    kernel: tuple[int, int], window: Window,
) -> None:  # fmt: skip
    """For ``pool2d``. Raises UnsupportedOp or InvalidArgument."""
    _floating("pool2d", caps, x)
    if op not in (MAX, SUM):
        raise UnsupportedOp(f"[pool2d] the device has no {op} under windows")
    _window("pool2d", window)
    if x.view.ndim != 4 or out.view.ndim != 4:
        raise InvalidArgument(
            f"[pool2d] got {_described(x)} to {_described(out)}, want 4 axes each"
        )
    _want("pool2d", out, x.dtype, (*x.view.shape[:2], *out.view.shape[2:]))
    if index is not None and op is not MAX:
        raise InvalidArgument(
            f"[pool2d] got an index for a {op}, want None: only a max has a place"
        )
    if index is not None:
        _want("pool2d", index, int64, out.view.shape)
    for a in (0, 1):
        figures = (kernel[a], window.stride[a], window.padding[a], window.dilation[a])
        if not _all_windows_hold_one(x.view.shape[2 + a], out.view.shape[2 + a], *figures):
            raise InvalidArgument(
                f"[pool2d] got windows of {kernel} with nothing of {x.view.shape} under them, "
                f"{window} for a result {out.view.shape}; want at least one element under each"
            )


@lru_cache(maxsize=1024)
def _all_windows_hold_one(
    size: int, count: int, length: int, stride: int, padding: int, dilation: int
) -> bool:
    """Does each of ``count`` windows along an axis reach one of its ``size`` elements?"""
    for start in range(-padding, count * stride - padding, stride):
        first = max(0, -(start // dilation))  # the first place that is not before the axis
        if first >= length or start + first * dilation >= size:
            return False
    return True


def _window(op: str, window: Window) -> None:
    if min(*window.stride, *window.dilation) < 1 or min(window.padding) < 0:
        raise InvalidArgument(
            f"[{op}] got {window}, want strides and dilations from 1, padding from 0"
        )


def _floating(op: str, caps: Caps, x: Operand) -> None:
    if x.dtype not in REAL_FLOAT or x.dtype.name not in caps.storage:
        raise UnsupportedOp(f"[{op}] the device does not compute it for {x.dtype}")


def _axis(op: str, x: Operand, axis: int, empty: bool = True) -> None:
    if not 0 <= axis < x.view.ndim:
        raise InvalidArgument(f"[{op}] got axis {axis}, want one of {x.view.shape}")
    if not empty and x.view.shape[axis] == 0:
        raise InvalidArgument(f"[{op}] got {_described(x)}, want elements along axis {axis}")


def _with_size_1(shape: Shape, axis: int) -> Shape:
    return (*shape[:axis], 1, *shape[axis + 1 :])


def _want(op: str, x: Operand, dtype: DType, shape: Shape) -> None:
    if x.dtype is not dtype or x.view.shape != shape:
        raise InvalidArgument(f"[{op}] got an operand {_described(x)}, want {dtype} {shape}")


def _described(x: Operand) -> str:
    return f"{x.dtype} {x.view.shape}"
