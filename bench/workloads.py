"""Workloads: the same computation for polyback and for each peer.

A workload makes its inputs with NumPy, and gives one function per library that takes the library's
own arrays. ``work`` is in floating-point operations or bytes, for the rate column.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import functions
import numpy as np


@dataclass(frozen=True)
class Workload:
    """One row of the result table. ``run(xp, *arrays)`` is written once for all libraries."""

    name: str
    family: str
    inputs: Callable[[np.random.Generator], list[np.ndarray]]
    run: Callable[..., Any]
    work: float
    unit: str  # "flop" or "byte"
    tolerance: float = 1e-4  # of the largest value, against float64: a gate, not a test
    peers: tuple[str, ...] = field(default=("numpy", "torch", "jax"))


def _normal(*shapes: tuple[int, ...], dtype: str = "float32") -> Callable[..., list[np.ndarray]]:
    return lambda rng: [rng.standard_normal(s).astype(dtype) for s in shapes]


def chain(xp: Any, x: Any, y: Any) -> Any:
    """Five operations: exp(-(x * y + 0.5)) * 2, as anybody would write it."""
    return xp.exp(-(x * y + 0.5)) * 2.0


def _gemm(n: int, dtype: str = "float32") -> Workload:
    short = {"float32": "f32", "float64": "f64"}[dtype]
    return Workload(
        f"gemm {short} {n}x{n}x{n}", "gemm", _normal((n, n), (n, n), dtype=dtype),
        lambda xp, a, b: a @ b, 2.0 * n**3, "flop",
    )  # fmt: skip


def _conv(n: int, channels: int, outs: int, size: int, kernel: int) -> Workload:
    return Workload(
        f"conv2d {n}x{channels}x{size}x{size}, {outs} of {kernel}x{kernel}", "windows",
        _normal((n, channels, size, size), (outs, channels, kernel, kernel)), functions.conv2d,
        2.0 * n * outs * size * size * channels * kernel * kernel, "flop",
    )  # fmt: skip


def _depthwise(last: bool) -> Workload:
    """Channels in front of the image, or last in memory."""
    place, shape = ("last", (8, 56, 56, 64)) if last else ("first", (8, 64, 56, 56))
    run = functions.depthwise_channels_last if last else functions.depthwise
    return Workload(
        f"depthwise 3x3, 8x64x56x56, channels {place}", "windows", _normal(shape, (64, 1, 3, 3)),
        run, 2.0 * 8 * 64 * 56 * 56 * 9, "flop", peers=("torch", "jax"),
    )  # fmt: skip


def _words(rng: np.random.Generator, *shape: int) -> list[np.ndarray]:
    """An array of ``shape``, and 4096 places in a table of as many rows as functions.ROWS."""
    array = rng.standard_normal(shape, dtype="float32")
    return [array, rng.integers(0, functions.ROWS, 4096)]


MILLION = 1_000_000
WORKLOADS = (
    _gemm(1000),
    _gemm(64),
    _gemm(256),
    _gemm(1023),
    _gemm(1024),
    _gemm(2048),
    _gemm(1000, "float64"),
    Workload("gemm f32 A.T @ B 1000", "gemm", _normal((1000, 1000), (1000, 1000)),
             lambda xp, a, b: a.T @ b, 2e9, "flop"),
    Workload("gemm f32 32x512x2048", "gemm", _normal((32, 512), (512, 2048)),
             lambda xp, a, b: a @ b, 2.0 * 32 * 512 * 2048, "flop"),
    Workload("gemm f32 96 x (128x64x128), B transposed", "gemm",
             _normal((8, 12, 128, 64), (8, 12, 128, 64)),
             lambda xp, q, k: q @ (k.swapaxes(-1, -2) if isinstance(k, np.ndarray) else k.mT),
             2.0 * 96 * 128 * 64 * 128, "flop"),
    Workload("gemv f32 4096", "gemm", _normal((4096, 4096), (4096,)),
             lambda xp, a, b: a @ b, 4.0 * 4096**2, "byte"),
    Workload("chain of 5, 12M f32", "elementwise", _normal((12 * MILLION,), (12 * MILLION,)),
             chain, 12.0 * 12 * MILLION, "byte"),
    Workload("chain of 5, 10k f32", "elementwise", _normal((10_000,), (10_000,)),
             chain, 12.0 * 10_000, "byte"),
    Workload("add 12M f32", "elementwise", _normal((12 * MILLION,), (12 * MILLION,)),
             lambda xp, x, y: x + y, 12.0 * 12 * MILLION, "byte"),
    Workload("exp 1M f32", "elementwise", _normal((MILLION,)),
             lambda xp, x: xp.exp(x), 8.0 * MILLION, "byte"),
    Workload("tanh 1M f32", "elementwise", _normal((MILLION,)),
             lambda xp, x: xp.tanh(x), 8.0 * MILLION, "byte"),
    Workload("sin 1M f32", "elementwise", _normal((MILLION,)),
             lambda xp, x: xp.sin(x), 8.0 * MILLION, "byte"),
    Workload("add 100 f32", "overhead", _normal((100,), (100,)),
             lambda xp, x, y: x + y, 1200.0, "byte"),
    Workload("row + column 4096x4096", "elementwise", _normal((4096, 4096), (4096,)),
             lambda xp, x, y: x + y, 8.0 * 4096**2, "byte"),
    Workload("sum 12M f32", "reduction", _normal((12 * MILLION,)),
             lambda xp, x: xp.sum(x), 4.0 * 12 * MILLION, "byte"),
    Workload("sum axis 0, 4096x4096", "reduction", _normal((4096, 4096)),
             lambda xp, x: x.sum(0), 4.0 * 4096**2, "byte"),
    Workload("max axis 1, 4096x4096", "reduction", _normal((4096, 4096)),
             lambda xp, x: xp.max(x, axis=1) if xp.__name__ != "torch" else x.amax(1),
             4.0 * 4096**2, "byte"),
    Workload("softmax 4096x1000", "rows", _normal((4096, 1000)),
             functions.softmax, 8.0 * 4096 * 1000, "byte"),
    Workload("layer_norm 8192x768", "rows", _normal((8192, 768), (768,), (768,)),
             functions.layer_norm, 8.0 * 8192 * 768, "byte"),
    Workload("cumulative_sum 4096x1000", "rows", _normal((4096, 1000)),
             functions.running_sum, 8.0 * 4096 * 1000, "byte"),
    Workload("cumulative_sum 4M", "rows", _normal((4 * MILLION,)),
             functions.running_sum, 8.0 * 4 * MILLION, "byte"),
    Workload("argmax 4096x1000", "rows", _normal((4096, 1000)),
             functions.argmax, 4.0 * 4096 * 1000, "byte"),
    Workload("sort 1M f32", "sorting", _normal((MILLION,)),
             functions.sort, 8.0 * MILLION, "byte"),
    Workload("argsort 1M f32", "sorting", _normal((MILLION,)),
             functions.argsort, 12.0 * MILLION, "byte"),
    Workload("argsort 1000x1000 f32", "sorting", _normal((1000, 1000)),
             functions.argsort, 12.0 * MILLION, "byte"),
    Workload("embedding 4096 of 30000x512", "indexing",
             lambda rng: _words(rng, functions.ROWS, 512),
             lambda xp, table, index: table[index], 8.0 * 4096 * 512, "byte"),
    Workload("embedding's gradient 4096 of 30000x512", "indexing",
             lambda rng: _words(rng, 4096, 512),
             functions.embedding_gradient, 4.0 * 512 * (2 * 4096 + 30_000), "byte"),
    _conv(8, 64, 64, 56, 3),
    _conv(8, 256, 64, 56, 1),
    _conv(32, 3, 32, 64, 5),
    _depthwise(last=False),
    _depthwise(last=True),
    Workload("max_pool2d 16x64x112x112", "windows", _normal((16, 64, 112, 112)),
             functions.max_pool2d, 5.0 * 16 * 64 * 112 * 112, "byte"),
    Workload("transposed copy 4096x4096", "layout", _normal((4096, 4096)),
             lambda xp, x: xp.reshape(x.T, (-1,)), 8.0 * 4096**2, "byte"),
)  # fmt: skip
