"""Rows of numbers brought to one scale: softmax and layer normalization."""

from __future__ import annotations

from typing import Any

import numpy as np

from polyback_numpy_ref.operands import widened
from polyback_numpy_ref.reduction import sum_of


def softmax(x: Any, axis: int, log: bool) -> Any:
    """``exp(x) / sum(exp(x))`` along ``axis``, or its logarithm."""
    with np.errstate(all="ignore"):
        wide = widened(x)
        shifted = wide - np.max(wide, axis, keepdims=True)
        weights = np.exp(shifted)
        total = sum_of(weights, (axis,))
        return shifted - np.log(total) if log else weights / total


def layer_norm(x: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, Any, Any]:
    """(result, mean, scale) along the last axis; ``weight`` and ``bias`` may be None."""
    last, n = (x.ndim - 1,), x.shape[-1]
    with np.errstate(all="ignore"):
        wide = widened(x)
        mean = sum_of(wide, last) / n
        centred = wide - mean
        scale = 1 / np.sqrt(sum_of(centred * centred, last) / n + eps)
        y = centred * scale
        y = y if weight is None else y * weight
        return (y if bias is None else y + bias), mean, scale
