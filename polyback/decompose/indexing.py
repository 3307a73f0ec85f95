"""Gather and scatter: every index is compared with every position.

They cost O(n m) work and memory where the feature costs O(n): correct everywhere, meant for small
sizes. A device that matters claims the feature.
"""

from __future__ import annotations

import math

import numpy as np

from polyback import array, scalar
from polyback.array import Array
from polyback.decompose.lanes import from_end, to_end
from polyback.dtype import bool_, int64
from polyback.scalar import Reduction


def _pick(hit: Array, values: Array) -> Array:
    """The one of ``values`` where ``hit`` along the last axis; anything where there is no hit.

    A maximum with the least number is exact: NaN and -0.0 come through, as they need not in a sum.
    Complex numbers are not ordered and are summed, so their zeros may lose their sign.
    """
    dtype, last = values.dtype, (hit.view.ndim - 1,)
    if dtype is bool_:
        return array.reduce(scalar.ANY, array.where(hit, values, False, dtype), last)
    if dtype.kind == "complex":
        return _total(hit, values)
    least = -math.inf if dtype.is_floating else int(np.iinfo(dtype.numpy).min)
    return array.reduce(scalar.MAX, array.where(hit, values, least, dtype), last)


def _total(hit: Array, values: Array) -> Array:
    """The sum of ``values`` where ``hit`` along the last axis."""
    last = (hit.view.ndim - 1,)
    return array.reduce(scalar.SUM, array.where(hit, values, 0, values.dtype), last)


def gather(x: Array, index: Array, axis: int) -> Array:
    """``x`` at ``index`` along ``axis``: compare every index with every position, keep the hit."""
    source, positions = to_end(x, axis), to_end(index, axis)
    n = source.view.ndim
    wide = source.with_view(source.view.insert(n - 1))
    at = positions.with_view(positions.view.insert(n))
    hit = array.equal(at, array.iota(x.device, source.shape[-1]))
    picked = _pick(hit, wide)
    return from_end(picked.with_view(picked.view.drop(n)), axis)


def _extreme(hit: Array, values: Array, op: Reduction) -> Array:
    """The largest or smallest of ``values`` where ``hit`` along the last axis, else the worst of
    all; -0 is below +0, which the reduction leaves open."""
    dtype, last = values.dtype, (hit.view.ndim - 1,)
    up = op is scalar.MAX
    if dtype.is_floating:
        worst: float = -math.inf if up else math.inf
    else:
        limits = np.iinfo(dtype.numpy)
        worst = int(limits.min if up else limits.max)
    found = array.reduce(op, array.where(hit, values, worst, dtype), last)
    if not dtype.is_floating:
        return found
    sign = array.apply(scalar.SIGNBIT, (values,), dtype)
    if up:
        sign = array.apply(scalar.LOGICAL_NOT, (sign,), bool_)
    zero = array.apply(scalar.LOGICAL_AND, (hit, array.equal(values, 0)), bool_)
    better = array.apply(scalar.LOGICAL_AND, (zero, sign), bool_)
    any_better = array.reduce(scalar.ANY, better, last)
    signed = array.where(any_better, *((0.0, -0.0) if up else (-0.0, 0.0)), dtype)
    return array.where(array.equal(found, 0), signed, found, dtype)


def scatter(target: Array, index: Array, x: Array, axis: int, mode: str) -> Array:
    """A copy of ``target`` with ``x`` set at, or combined with, ``index`` along ``axis``."""
    old, values, positions = to_end(target, axis), to_end(x, axis), to_end(index, axis)
    n = old.view.ndim
    spots = array.iota(x.device, old.shape[-1])
    spots = spots.with_view(spots.view.insert(1))
    hit = array.equal(positions.with_view(positions.view.insert(n - 1)), spots)
    wide = values.with_view(values.view.insert(n - 1))
    if mode == "add":
        sums = _total(hit, wide)
        total = array.apply(scalar.ADD, (old, sums.with_view(sums.view.drop(n))), target.dtype)
        return from_end(total, axis)
    if mode != "set":
        op = scalar.MAX if mode == "max" else scalar.MIN
        found = _extreme(hit, wide, op)
        best = array.apply(op.combine, (old, found.with_view(found.view.drop(n))), target.dtype)
        return from_end(best, axis)
    writers = array.iota(x.device, values.shape[-1])
    last = array.reduce(scalar.MAX, array.where(hit, writers, -1, int64), (n,))
    written = array.apply(scalar.GREATER_EQUAL, (last, 0), int64)
    won = _pick(array.equal(last, writers), wide)
    kept = array.where(
        written.with_view(written.view.drop(n)),
        won.with_view(won.view.drop(n)),
        old,
        target.dtype,
    )
    return from_end(kept, axis)
