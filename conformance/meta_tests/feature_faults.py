"""Backends whose optional features are wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from seeding import Reference, array, fault

from polyback import scalar
from polyback.features import Window
from polyback.view import row_major

# --- scan and argreduce ---------------------------------------------------------------------------


@fault("l7_scan")
class ScanIsExclusive(Reference):
    """Element i holds the sum of the elements before it."""

    def scan(self, op: Any, out: Any, x: Any, axis: int) -> None:
        super().scan(op, out, x, axis)
        if op is scalar.SUM and x.view.size:
            with np.errstate(all="ignore"):
                array(out)[...] = array(out) - array(x)


@fault("l7_scan")
class ScanForgetsTheCarry(Reference):
    """Every block of 1024 elements starts again."""

    def scan(self, op: Any, out: Any, x: Any, axis: int) -> None:
        super().scan(op, out, x, axis)
        for start in range(1024, x.view.shape[axis], 1024):
            length = min(1024, x.view.shape[axis] - start)
            part, source = (replace(a, view=a.view.slice(axis, start, length)) for a in (out, x))
            super().scan(op, part, source, axis)


@fault("l7_scan")
class ScanInOneAccumulator(Reference):
    """Running sums in float32, one rounding for each element."""

    def scan(self, op: Any, out: Any, x: Any, axis: int) -> None:
        super().scan(op, out, x, axis)
        if op is scalar.SUM and x.dtype.name == "float32":
            with np.errstate(all="ignore"):
                array(out)[...] = np.add.accumulate(array(x), axis, dtype=np.float32)


@fault("l7_scan")
class ScanMaxDropsNan(Reference):
    """A running ``fmax``."""

    def scan(self, op: Any, out: Any, x: Any, axis: int) -> None:
        super().scan(op, out, x, axis)
        if op is scalar.MAX and x.dtype.is_floating:
            array(out)[...] = np.fmax.accumulate(array(x), axis)


@fault("l7_argreduce")
class ArgmaxIsTheLast(Reference):
    """``>=`` where ``>`` belongs."""

    def argreduce(self, op: Any, out: Any, x: Any, axis: int) -> None:
        super().argreduce(op, out, x, axis)
        if op is scalar.MAX and not x.dtype.is_floating:
            last = np.argmax(np.flip(array(x), axis), axis, keepdims=True)
            array(out)[...] = x.view.shape[axis] - 1 - last


@fault("l7_argreduce")
class ArgminSkipsNan(Reference):
    """Comparisons with NaN are false, so it is never chosen."""

    def argreduce(self, op: Any, out: Any, x: Any, axis: int) -> None:
        super().argreduce(op, out, x, axis)
        if op is scalar.MIN and x.dtype.is_floating:
            values = np.where(np.isnan(array(x)), np.inf, array(x))
            array(out)[...] = np.argmin(values, axis, keepdims=True)


@fault("l7_argreduce")
class ArgreduceOrdersZeros(Reference):
    """Compares bits: -0 is less than +0."""

    def argreduce(self, op: Any, out: Any, x: Any, axis: int) -> None:
        super().argreduce(op, out, x, axis)
        values = array(x)
        if op is scalar.MIN and x.dtype.is_floating and not np.isnan(values).any():
            signed = np.where(values == 0, np.where(np.signbit(values), -1e-40, 0), values)
            array(out)[...] = np.argmin(signed.astype(np.float64), axis, keepdims=True)


@fault("l7_argreduce")
class ArgreduceInFloat(Reference):
    """64-bit integers are compared as float64."""

    def argreduce(self, op: Any, out: Any, x: Any, axis: int) -> None:
        super().argreduce(op, out, x, axis)
        if op is scalar.MAX and x.dtype.name == "int64":
            array(out)[...] = np.argmax(array(x).astype(np.float64), axis, keepdims=True)


# --- rows -----------------------------------------------------------------------------------------


@fault("l7_rows")
class SoftmaxWithoutShift(Reference):
    """Takes exponentials of the numbers themselves."""

    def softmax(self, out: Any, x: Any, axis: int, log: bool) -> None:
        super().softmax(out, x, axis, log)
        if x.dtype.name == "float32" and not log:
            with np.errstate(all="ignore"):
                weights = np.exp(array(x))
                array(out)[...] = weights / weights.sum(axis, keepdims=True, dtype=np.float64)


@fault("l7_rows")
class LogOfSoftmax(Reference):
    """The logarithm of the quotient: what underflows is lost."""

    def softmax(self, out: Any, x: Any, axis: int, log: bool) -> None:
        super().softmax(out, x, axis, False)
        if log:
            with np.errstate(all="ignore"):
                array(out)[...] = np.log(array(out))


@fault("l7_rows")
class SoftmaxOfNothingIsNothing(Reference):
    """A row of -inf gives zeros, as masks would like it."""

    def softmax(self, out: Any, x: Any, axis: int, log: bool) -> None:
        super().softmax(out, x, axis, log)
        if not log:
            alone = np.all(np.isneginf(array(x)), axis, keepdims=True)
            array(out)[...] = np.where(alone, 0, array(out))


class Norm(Reference):
    """A layer norm in NumPy that can be changed in one place."""

    def figures(self, x: Any, eps: float) -> tuple[Any, Any]:
        """The mean and the scale, in the type of x."""
        mean = np.mean(x, -1, keepdims=True, dtype=np.float64)
        variance = np.mean((x - mean) ** 2, -1, keepdims=True)
        return mean, 1 / np.sqrt(variance + eps)

    def layer_norm(
        self, out: Any, mean: Any, scale: Any, x: Any, weight: Any, bias: Any, eps: float
    ) -> None:
        super().layer_norm(out, mean, scale, x, weight, bias, eps)
        if x.dtype.name != "float32" or not x.view.size:
            return
        with np.errstate(all="ignore"):
            found, factor = self.figures(array(x), eps)
            y = (array(x) - found) * factor
            y = y if weight is None else y * array(weight)
            array(out)[...] = y if bias is None else y + array(bias)
            array(mean)[...], array(scale)[...] = found, factor


@fault("l7_rows")
class NormInOnePass(Norm):
    """The mean of the squares less the square of the mean, in float32."""

    def figures(self, x: Any, eps: float) -> tuple[Any, Any]:
        mean = np.mean(x, -1, keepdims=True)
        variance = np.mean(x * x, -1, keepdims=True) - mean * mean
        return mean, 1 / np.sqrt(np.maximum(variance, 0) + np.float32(eps))


@fault("l7_rows")
class NormIsUnbiased(Norm):
    """Divides by n - 1."""

    def figures(self, x: Any, eps: float) -> tuple[Any, Any]:
        mean = np.mean(x, -1, keepdims=True, dtype=np.float64)
        variance = np.sum((x - mean) ** 2, -1, keepdims=True) / max(x.shape[-1] - 1, 1)
        return mean, 1 / np.sqrt(variance + eps)


@fault("l7_rows")
class NormAddsEpsLate(Norm):
    """``sqrt(variance) + eps``."""

    def figures(self, x: Any, eps: float) -> tuple[Any, Any]:
        mean = np.mean(x, -1, keepdims=True, dtype=np.float64)
        return mean, 1 / (np.sqrt(np.mean((x - mean) ** 2, -1, keepdims=True)) + eps)


@fault("l7_rows")
class NormWeightIsDense(Reference):
    """Reads weights that repeat (stride 0) as if they lay row after row."""

    def layer_norm(
        self, out: Any, mean: Any, scale: Any, x: Any, weight: Any, bias: Any, eps: float
    ) -> None:
        if weight is not None and weight.view.ndim > 1 and weight.view.strides[0] == 0:
            dense = replace(weight.view, strides=row_major(weight.view.shape))
            inside = dense.bounds[1] * weight.dtype.itemsize <= weight.buffer.nbytes
            weight = replace(weight, view=dense if inside else weight.view.flip([-1]))
        super().layer_norm(out, mean, scale, x, weight, bias, eps)


# --- windows --------------------------------------------------------------------------------------


@fault("l7_convolution")
class ConvIgnoresDilation(Reference):
    """Windows are always dense."""

    def conv2d(self, out: Any, x: Any, w: Any, window: Any, groups: int) -> None:
        super().conv2d(out, x, w, replace(window, dilation=(1, 1)), groups)


@fault("l7_convolution")
class ConvIsTrueConvolution(Reference):
    """Turns the weights round."""

    def conv2d(self, out: Any, x: Any, w: Any, window: Any, groups: int) -> None:
        super().conv2d(out, x, replace(w, view=w.view.flip([2, 3])), window, groups)


@fault("l7_convolution")
class ConvInputNotFlipped(Reference):
    """The gradient for the input without turning the weights round."""

    def conv2d_input(self, out: Any, g: Any, w: Any, window: Any, groups: int) -> None:
        super().conv2d_input(out, g, replace(w, view=w.view.flip([2, 3])), window, groups)


@fault("l7_convolution")
class ConvWrongGroup(Reference):
    """Every group reads the channels of the last one."""

    def conv2d(self, out: Any, x: Any, w: Any, window: Any, groups: int) -> None:
        super().conv2d(out, x, w, window, groups)
        each = x.view.shape[1] // groups if groups else 0
        if groups > 1 and array(out).size:
            last = replace(x, view=x.view.slice(1, x.view.shape[1] - each, each))
            count = w.view.shape[0] // groups
            for k in range(groups - 1):
                part = replace(out, view=out.view.slice(1, k * count, count))
                rows = replace(w, view=w.view.slice(0, k * count, count))
                super().conv2d(part, last, rows, window, 1)


@fault("l7_convolution")
class ConvPadsBothEndsAlike(Reference):
    """Leaves out windows that reach further over the end than over the start."""

    def conv2d(self, out: Any, x: Any, w: Any, window: Any, groups: int) -> None:
        super().conv2d(out, x, w, window, groups)
        reach = x.view.shape[2] + 2 * window.padding[0] - window.dilation[0] * (w.view.shape[2] - 1)
        array(out)[:, :, max(0, (reach - 1) // window.stride[0] + 1) :] = 0


@fault("l7_convolution")
class ConvWeightOfOneImage(Reference):
    """The gradient for the weights does not add up over the batch."""

    def conv2d_weight(self, out: Any, x: Any, g: Any, window: Any, groups: int) -> None:
        if x.view.shape[0] > 1:
            x, g = (replace(a, view=a.view.slice(0, 0, 1)) for a in (x, g))
        super().conv2d_weight(out, x, g, window, groups)


@fault("l7_convolution")
class ConvSpreadsNan(Reference):
    """Works on tiles of 2 by 2 results by sums and differences: a NaN reaches its neighbours."""

    def conv2d(self, out: Any, x: Any, w: Any, window: Any, groups: int) -> None:
        super().conv2d(out, x, w, window, groups)
        y = array(out)
        if window == Window((1, 1), window.padding) and w.view.shape[2:] == (3, 3):
            for i in range(0, y.shape[2] - 1, 2):
                pair = y[:, :, i : i + 2]
                spoiled = np.isnan(pair).any(2, keepdims=True)
                pair[...] = np.where(spoiled, np.nan, pair)


@fault("l7_convolution")
class ConvInHalfPrecision(Reference):
    """Multiplies with eight bits of fraction."""

    def conv2d(self, out: Any, x: Any, w: Any, window: Any, groups: int) -> None:
        super().conv2d(out, x, w, window, groups)
        if x.dtype.name == "float32":
            bits = array(out).copy().view(np.uint32)
            array(out)[...] = (bits & np.uint32(0xFFFF8000)).view(np.float32)


@fault("l7_convolution")
class ConvAccumulates(Reference):
    """The gradient for the weights is added to what the output held."""

    def conv2d_weight(self, out: Any, x: Any, g: Any, window: Any, groups: int) -> None:
        before = array(out).copy()
        super().conv2d_weight(out, x, g, window, groups)
        with np.errstate(all="ignore"):
            array(out)[...] += before


# --- pooling and scatter --------------------------------------------------------------------------


@fault("l7_pooling")
class PoolPadsWithZero(Reference):
    """A maximum of negative numbers beside the padding is 0."""

    def pool2d(self, op: Any, out: Any, index: Any, x: Any, kernel: Any, window: Any) -> None:
        super().pool2d(op, out, index, x, kernel, window)
        if op is scalar.MAX and window.padding[0]:
            array(out)[:, :, :1] = np.maximum(array(out)[:, :, :1], 0)


@fault("l7_pooling")
class PoolFindsTheLast(Reference):
    """``>=`` where ``>`` belongs: the last of equal maxima."""

    def pool2d(self, op: Any, out: Any, index: Any, x: Any, kernel: Any, window: Any) -> None:
        super().pool2d(op, out, index, x, kernel, window)
        plain = window.padding == (0, 0) and window.dilation == (1, 1)
        if index is None or not plain or not array(out).size:
            return
        y, places, columns = array(x), array(index), x.view.shape[3]
        for i, j in np.ndindex(*places.shape[2:]):
            top, left = i * window.stride[0], j * window.stride[1]
            part = y[:, :, top : top + kernel[0], left : left + kernel[1]]
            rows, wide = part.shape[2:]
            last = np.argmax(part.reshape(*part.shape[:2], -1)[..., ::-1], -1)
            spot = rows * wide - 1 - last
            places[:, :, i, j] = (top + spot // wide) * columns + left + spot % wide


@fault("l7_pooling")
class PoolDropsNan(Reference):
    """``fmax``."""

    def pool2d(self, op: Any, out: Any, index: Any, x: Any, kernel: Any, window: Any) -> None:
        if op is scalar.MAX and index is None and x.view.size:
            clean = self.allocate(x.view.size * x.dtype.itemsize)
            copy = replace(
                x, buffer=clean, view=replace(x.view, strides=row_major(x.view.shape), offset=0)
            )
            array(copy)[...] = np.where(np.isnan(array(x)), -np.inf, array(x))
            super().pool2d(op, out, None, copy, kernel, window)
            self.free(clean)
            return
        super().pool2d(op, out, index, x, kernel, window)


@fault("l7_pooling")
class PoolOfMinusInfinity(Reference):
    """Starts from -inf at place 0, which a window of -inf never beats."""

    def pool2d(self, op: Any, out: Any, index: Any, x: Any, kernel: Any, window: Any) -> None:
        super().pool2d(op, out, index, x, kernel, window)
        if index is not None:
            array(index)[np.isneginf(array(out))] = 0


@fault("l7_pooling")
class PoolPlaceInTheWindow(Reference):
    """The place is counted from the start of the window's row, not of the image's."""

    def pool2d(self, op: Any, out: Any, index: Any, x: Any, kernel: Any, window: Any) -> None:
        super().pool2d(op, out, index, x, kernel, window)
        if index is not None and x.view.shape[3] > 8:
            starts = np.arange(index.view.shape[3]) * window.stride[1] - window.padding[1]
            array(index)[...] -= np.maximum(starts, 0)


@fault("l7_indexing")
class ScatterMaxForgets(Reference):
    """What the target held does not count."""

    def scatter(self, out: Any, index: Any, x: Any, axis: int, mode: str) -> None:
        if mode == "max" and array(out).size and x.dtype.is_floating:
            np.put_along_axis(array(out), array(index), -np.inf, axis)
        super().scatter(out, index, x, axis, mode)


@fault("l7_indexing")
class ScatterMinDropsNan(Reference):
    """``fmin``, as an atomic minimum does it."""

    def scatter(self, out: Any, index: Any, x: Any, axis: int, mode: str) -> None:
        before = array(out).copy()
        super().scatter(out, index, x, axis, mode)
        if mode == "min" and x.dtype.is_floating:
            spoiled = np.isnan(array(out)) & ~np.isnan(before)
            array(out)[...] = np.where(spoiled, before, array(out))
