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


def sort(xp: Any, x: Any) -> Any:
    """Along the last axis."""
    return xp.sort(x)[0] if xp.__name__ == "torch" else xp.sort(x)


def argsort(xp: Any, x: Any) -> Any:
    """Along the last axis, equal elements in their order."""
    if xp.__name__ == "numpy":
        return xp.argsort(x, kind="stable")
    return xp.argsort(x, stable=True)


ROWS = 30_000  # of the table that embedding_gradient is for


def embedding_gradient(xp: Any, g: Any, index: Any) -> Any:
    """The gradient of ``table[index]`` for the table, given that of the result."""
    if xp.__name__ == "polyback":
        table = xp.zeros((ROWS, g.shape[1]), device=g.device)
        return xp.vjp(lambda w: xp.nn.embedding(index, w), table)[1](g)[0]
    if xp.__name__ == "torch":
        with xp.enable_grad():
            table = xp.empty((ROWS, g.shape[1])).requires_grad_()
            y = xp.nn.functional.embedding(index, table)
            return xp.autograd.grad(y, table, g)[0]
    if xp.__name__ == "jax.numpy":
        return xp.zeros((ROWS, g.shape[1]), g.dtype).at[index].add(g)
    out = np.zeros((ROWS, g.shape[1]), g.dtype)
    np.add.at(out, index, g)
    return out


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


def depthwise(xp: Any, x: Any, weight: Any) -> Any:
    """Every channel its own 3x3 window, the result as large as the image."""
    if xp.__name__ == "polyback":
        return xp.nn.conv2d(x, weight, padding=1, groups=x.shape[1])
    if xp.__name__ == "torch":
        return xp.nn.functional.conv2d(x, weight, padding=1, groups=x.shape[1])
    if xp.__name__ == "jax.numpy":
        from jax import lax

        return lax.conv_general_dilated(x, weight, (1, 1), "SAME", feature_group_count=x.shape[1])
    wide = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    return np.einsum("ncijpq,cpq->ncij", _under(wide, 3, 1), weight[:, 0])


def depthwise_channels_last(xp: Any, x: Any, weight: Any) -> Any:
    """The same where ``x`` is (image, row, column, channel) in memory."""
    if xp.__name__ == "torch":
        return depthwise(xp, x.permute(0, 3, 1, 2), weight)
    if xp.__name__ == "polyback":
        return depthwise(xp, xp.permute_dims(x, (0, 3, 1, 2)), weight)
    return depthwise(xp, xp.transpose(x, (0, 3, 1, 2)), weight)
