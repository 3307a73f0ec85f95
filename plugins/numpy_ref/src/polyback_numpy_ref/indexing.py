"""Movement by indexes: gather, scatter and the order of elements."""

from __future__ import annotations

from typing import Any

import numpy as np


def scatter(target: Any, index: Any, x: Any, axis: int, mode: str) -> None:
    """Write to ``target`` in row-major order of ``index``, one element after the other."""
    grid: list[Any] = list(np.ogrid[tuple(slice(n) for n in index.shape)])
    grid[axis] = index
    # NumPy walks strided operands in memory order; flat ones it can only walk row by row.
    places = tuple(np.broadcast_to(g, index.shape).ravel() for g in grid)
    if mode == "set":
        target[places] = x.ravel()
    elif mode == "add":
        np.add.at(target, places, x.ravel())
    else:
        combine = np.minimum if mode == "min" else np.maximum
        keys = _ranked(target, mode)
        combine.at(keys, places, _ranked(x, mode).ravel())
        target[...] = _unranked(keys, target.dtype)


def _ranked(x: Any, mode: str) -> Any:
    """Floats as integers of the same order: -0 below +0, NaN beyond the end that ``mode`` looks
    for. NumPy itself does not order zeros."""
    if x.dtype.kind != "f":
        return x.copy()
    whole = np.dtype(f"i{x.dtype.itemsize}")
    ends = np.iinfo(whole)
    bits = np.ascontiguousarray(x).view(whole).reshape(x.shape)
    keys = np.where(bits < 0, bits ^ ends.max, bits)
    return np.where(np.isnan(x), ends.min if mode == "min" else ends.max, keys)


def _unranked(keys: Any, dtype: Any) -> Any:
    if dtype.kind != "f":
        return keys
    return np.where(keys < 0, keys ^ np.iinfo(keys.dtype).max, keys).view(dtype)


def argsort(x: Any, axis: int, descending: bool) -> Any:
    """Stable order along ``axis``, NaN last in both directions."""
    if not descending:
        return np.argsort(x, axis, stable=True)
    n = x.shape[axis]
    order = n - 1 - np.flip(np.argsort(np.flip(x, axis), axis, stable=True), axis)
    if x.dtype.kind == "f":
        nans = np.isnan(np.take_along_axis(x, order, axis))
        order = np.take_along_axis(order, np.argsort(nans, axis, stable=True), axis)
    return order
