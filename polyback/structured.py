"""Structured work on arrays: the device's feature where it serves the type, else the decomposition
into required methods (:mod:`polyback.decompose`). Half types are computed in float32.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from polyback import fusion
from polyback.array import Array, cast, empty, full
from polyback.decompose import indexing, ordering, rows, windows
from polyback.decompose import scan as doubling
from polyback.dtype import DType, float32, float64, int64
from polyback.errors import InvalidArgument
from polyback.features import Window
from polyback.scalar import Reduction

Mode = Literal["set", "add", "min", "max"]  # how a scatter treats what is there
Pair = tuple[int, int]
FLOATS: Final = (float32, float64)  # what the floating-point features take


def _native(feature: str, x: Array) -> bool:
    """A feature serves the types that its device stores; others take the decomposition."""
    return x.device.has(feature) and x.dtype.name in x.device.caps.storage


def _reduces(feature: str, op: Reduction, x: Array) -> bool:
    """Some features serve the types that their device reduces."""
    return x.device.has(feature) and x.dtype.name in x.device.caps.reductions.get(op.name, ())


def _floating(feature: str, x: Array) -> bool:
    return x.dtype in FLOATS and _native(feature, x)


def _wide(x: Array) -> Array:
    return cast(x, x.dtype.compute)


def _protocol(x: Array) -> Any:
    """The plugin's device, seen as having the feature."""
    return x.device.protocol


# --- movement ------------------------------------------------------------------------------------


def gather(x: Array, index: Array, axis: int) -> Array:
    """``x`` at ``index`` along ``axis``; both have the result's shape on all other axes."""
    if not _native("gather", x):
        return indexing.gather(x, index, axis)
    result = empty(x.device, index.shape, x.dtype)
    if 0 not in result.shape:
        _protocol(x).gather(result.operand(), x.operand(), index.operand(), axis)
    return result


def scatter(target: Array, index: Array, x: Array, axis: int, mode: Mode) -> None:
    """Write ``x`` at ``index`` along ``axis`` of ``target``, in place, in row-major order of the
    index: the last of several writes wins, or all are combined with what is there."""
    if 0 in x.shape:
        return
    if target.view.has_overlap:
        raise InvalidArgument("[scatter] cannot write to a broadcast array; copy it first")
    if target.dtype.compute is not target.dtype and mode != "set":
        wide = _wide(target)
        scatter(wide, index, cast(x, wide.dtype), axis, mode)
        target.assign(cast(wide, target.dtype))
        return
    if not _native("scatter_minmax" if mode in ("min", "max") else "scatter", x):
        target.assign(indexing.scatter(target, index, x, axis, mode))
        return
    storage = target.storage
    index, x = (a.copy() if a.storage is storage else a for a in (index, x))
    with target.device.lock:
        fusion.before_write(storage)
        _protocol(x).scatter(target.operand(), index.operand(), x.operand(), axis, mode)
        storage.version += 1


def argsort(x: Array, axis: int, descending: bool) -> Array:
    """Stable order along ``axis`` as int64; NaN last."""
    x = _wide(x)
    if not _native("argsort", x):
        return ordering.argsort(x, axis, descending)
    result = empty(x.device, x.shape, int64)
    if 0 not in result.shape:
        _protocol(x).argsort(result.operand(), x.operand(), axis, descending)
    return result


def sort(x: Array, axis: int, descending: bool) -> Array:
    """``x`` in the order of :func:`argsort` along ``axis``."""
    if not _native("sort", x):
        return gather(x, argsort(x, axis, descending), axis)
    result = empty(x.device, x.shape, x.dtype)
    if 0 not in result.shape:
        _protocol(x).sort(result.operand(), x.operand(), axis, descending)
    return result


# --- along an axis -------------------------------------------------------------------------------


def scan(op: Reduction, x: Array, axis: int) -> Array:
    """Element i combines elements 0 to i along ``axis``: sum, prod, min or max."""
    if x.dtype.compute is not x.dtype:
        return cast(scan(op, _wide(x), axis), x.dtype)
    result = empty(x.device, x.shape, x.dtype)
    if 0 in x.shape:
        return result
    if not _reduces("scan", op, x):
        return doubling.scan(op, x, axis)
    _protocol(x).scan(op, result.operand(), x.operand(), axis)
    return result


def argreduce(op: Reduction, x: Array, axis: int) -> Array:
    """The first place (int64, size 1 at ``axis``) of the min or max along ``axis``, which is not
    empty; NaN is more extreme than every number."""
    x = _wide(x)
    result = empty(x.device, (*x.shape[:axis], 1, *x.shape[axis + 1 :]), int64)
    if 0 in x.shape:
        return result
    if not _reduces("argreduce", op, x):
        return ordering.argreduce(op, x, axis)
    _protocol(x).argreduce(op, result.operand(), x.operand(), axis)
    return result


def softmax(x: Array, axis: int, log: bool) -> Array:
    """``exp(x) / sum(exp(x))`` along ``axis``, or its logarithm. Real floating types."""
    if x.dtype.compute is not x.dtype:
        return cast(softmax(_wide(x), axis, log), x.dtype)
    result = empty(x.device, x.shape, x.dtype)
    if 0 in x.shape:
        return result
    if not _floating("softmax", x):
        return rows.softmax(x, axis, log)
    _protocol(x).softmax(result.operand(), x.operand(), axis, log)
    return result


def layer_norm(
    x: Array, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """(``(x - mean) * scale * weight + bias``, mean, scale) along the last axis, which is not
    empty; mean and scale in the type that half types are computed in."""
    if x.dtype.compute is not x.dtype:
        factor, shift = (None if a is None else _wide(a) for a in (weight, bias))
        y, mean, scale = layer_norm(_wide(x), factor, shift, eps)
        return cast(y, x.dtype), mean, scale
    figures = [empty(x.device, (*x.shape[:-1], 1), x.dtype) for _ in range(2)]
    result = empty(x.device, x.shape, x.dtype)
    if 0 in x.shape:
        return result, figures[0], figures[1]
    if not _floating("layer_norm", x):
        return rows.layer_norm(x, weight, bias, eps)
    outs = [a.operand() for a in (result, *figures)]
    ins = [None if a is None else a.operand(x.shape) for a in (weight, bias)]
    _protocol(x).layer_norm(*outs, x.operand(), *ins, eps)
    return result, figures[0], figures[1]


# --- windows over images -------------------------------------------------------------------------


def conv2d(x: Array, w: Array, window: Window, groups: int, size: Pair) -> Array:
    """(N, C, H, W) by (O, C / groups, P, Q) to (N, O, *size)."""
    return _convolve("conv2d", x, w, window, groups, (x.shape[0], w.shape[0], *size))


def conv2d_input(g: Array, w: Array, window: Window, groups: int, size: Pair) -> Array:
    """The gradient (N, C, *size) for the image when that of the result is ``g``."""
    return _convolve("conv2d_input", g, w, window, groups, (g.shape[0], w.shape[1] * groups, *size))


def conv2d_weight(x: Array, g: Array, window: Window, groups: int, size: Pair) -> Array:
    """The gradient (O, C / groups, *size) for the weights when that of the result is ``g``."""
    shape = (g.shape[1], x.shape[1] // groups, *size)
    return _convolve("conv2d_weight", x, g, window, groups, shape)


def _convolve(
    method: str, a: Array, b: Array, window: Window, groups: int, shape: tuple[int, ...]
) -> Array:
    dtype: DType = a.dtype
    if dtype.compute is not dtype:
        return cast(_convolve(method, _wide(a), _wide(b), window, groups, shape), dtype)
    if 0 in a.shape or 0 in b.shape:
        return full(a.device, shape, 0.0, dtype).copy()  # sums of nothing
    if not _floating("conv2d", a):
        size = shape[2], shape[3]
        return getattr(windows, method)(a, b, window, groups, size)
    result = _image(a, shape) if groups == a.shape[1] == shape[1] else empty(a.device, shape, dtype)
    if 0 not in shape:
        call = getattr(_protocol(a), method)
        call(result.operand(), a.operand(), b.operand(), window, groups)
    return result


def _image(like: Array, shape: tuple[int, ...]) -> Array:
    """Undefined contents, channels last in memory where those of ``like`` are: what computes
    channel by channel then reads and writes them side by side."""
    if shape[1] < 2 or like.view.strides[1] != 1:
        return empty(like.device, shape, like.dtype)
    n, channels, *size = shape
    last = empty(like.device, (n, *size, channels), like.dtype)
    return last.with_view(last.view.permute((0, 3, 1, 2)))


def pool2d(
    op: Reduction, x: Array, kernel: Pair, window: Window, size: Pair, places: bool = False
) -> tuple[Array, Array | None]:
    """The max or sum (N, C, *size) under each window, and with ``places`` where the first maximum
    is, as row * W + column. Each window holds at least one element."""
    if x.dtype.compute is not x.dtype:
        value, index = pool2d(op, _wide(x), kernel, window, size, places)
        return cast(value, x.dtype), index
    shape = (*x.shape[:2], *size)
    result = empty(x.device, shape, x.dtype)
    where = empty(x.device, shape, int64) if places else None
    if 0 in shape:
        return result, where
    if not _floating("pool2d", x):
        return windows.pool2d(op, x, kernel, window, size, places)
    spots = None if where is None else where.operand()
    _protocol(x).pool2d(op, result.operand(), spots, x.operand(), kernel, window)
    return result, where
