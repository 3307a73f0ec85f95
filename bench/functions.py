"""Functions that each library writes in its own way; ``xp`` is the library.

NumPy has no convolution or pooling: what stands for it is what one would write, products and
maxima over a view of windows.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def softmax(xp: Any, x: Any) -> Any:
    """Along the last axis."""
    if xp.__name__ == "polyback":
        return xp.softmax(x)
    if xp.__name__ == "torch":
        return xp.softmax(x, -1)
    weights = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    return weights / xp.sum(weights, axis=-1, keepdims=True)


def layer_norm(xp: Any, x: Any, weight: Any, bias: Any) -> Any:
    """Along the last axis."""
    if xp.__name__ == "polyback":
        return xp.nn.layer_norm(x, x.shape[-1], weight, bias)
    if xp.__name__ == "torch":
        return xp.nn.functional.layer_norm(x, x.shape[-1:], weight, bias)
    centred = x - xp.mean(x, axis=-1, keepdims=True)
    variance = xp.mean(centred * centred, axis=-1, keepdims=True)
    return centred / xp.sqrt(variance + 1e-5) * weight + bias


def running_sum(xp: Any, x: Any) -> Any:
    """Along the last axis."""
    if xp.__name__ == "torch":
        return xp.cumsum(x, -1)
    return xp.cumulative_sum(x, axis=-1)


def argmax(xp: Any, x: Any) -> Any:
    """Along the last axis."""
    return xp.argmax(x, -1) if xp.__name__ == "torch" else xp.argmax(x, axis=-1)


def _under(x: Any, size: int, step: int) -> Any:
    """(N, C, I, J, P, Q): NumPy's view of windows, ``step`` apart."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(2, 3))
    return windows[:, :, ::step, ::step]


def conv2d(xp: Any, x: Any, weight: Any) -> Any:
    """Stride 1, the result as large as the image."""
    pad = weight.shape[2] // 2
    if xp.__name__ == "polyback":
        return xp.nn.conv2d(x, weight, padding=pad)
    if xp.__name__ == "torch":
        return xp.nn.functional.conv2d(x, weight, padding=pad)
    if xp.__name__ == "jax.numpy":
        from jax import lax

        return lax.conv(x, weight, (1, 1), "SAME")
    wide = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    y = np.tensordot(_under(wide, weight.shape[2], 1), weight, axes=((1, 4, 5), (1, 2, 3)))
    return np.moveaxis(y, -1, 1)


def max_pool2d(xp: Any, x: Any) -> Any:
    """Windows of 2 by 2 side by side."""
    if xp.__name__ == "polyback":
        return xp.nn.max_pool2d(x, 2)
    if xp.__name__ == "torch":
        return xp.nn.functional.max_pool2d(x, 2)
    n, c, height, width = x.shape
    return xp.max(x.reshape(n, c, height // 2, 2, width // 2, 2), axis=(3, 5))
