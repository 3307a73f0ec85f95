"""The order of elements, and where the first extreme is."""

from __future__ import annotations

from polyback import array, scalar
from polyback.array import Array
from polyback.decompose.indexing import scatter
from polyback.decompose.lanes import from_end, to_end
from polyback.dtype import bool_, int64
from polyback.scalar import Reduction


def argsort(x: Array, axis: int, descending: bool) -> Array:
    """The rank of an element is the number of elements that come before it: O(n n) work."""
    values = to_end(x, axis)
    n = values.view.ndim
    length = values.shape[-1]
    mine = values.with_view(values.view.insert(n))
    theirs = values.with_view(values.view.insert(n - 1))
    order = scalar.GREATER if descending else scalar.LESS
    places = array.iota(x.device, length)
    column = places.with_view(places.view.insert(1))
    earlier = array.apply(scalar.LESS, (places, column), int64)
    if x.dtype is bool_:
        mine, theirs = array.cast(mine, int64), array.cast(theirs, int64)
    dtype = mine.dtype
    before = array.apply(order, (theirs, mine), dtype)
    tie = array.equal(theirs, mine)
    if dtype.kind == "float":
        nan, other_nan = (array.apply(scalar.ISNAN, (v,), dtype) for v in (mine, theirs))
        number = array.apply(scalar.LOGICAL_NOT, (other_nan,), bool_)
        before = array.apply(
            scalar.LOGICAL_OR,
            (before, array.apply(scalar.LOGICAL_AND, (nan, number), bool_)),
            bool_,
        )
        both = array.apply(scalar.LOGICAL_AND, (nan, other_nan), bool_)
        tie = array.apply(scalar.LOGICAL_OR, (tie, both), bool_)
    first = array.apply(scalar.LOGICAL_AND, (tie, earlier), bool_)
    ahead = array.cast(array.apply(scalar.LOGICAL_OR, (before, first), bool_), int64)
    rank = array.reduce(scalar.SUM, ahead, (n,))
    rank = rank.with_view(rank.view.drop(n))
    index = places.with_view(places.view.expand(rank.shape))
    blank = array.full(x.device, rank.shape, 0, int64)
    return from_end(scatter(blank, rank, index, n - 1, "set"), axis)


def argreduce(op: Reduction, x: Array, axis: int) -> Array:
    """The least place where ``x`` equals its extreme, or is NaN."""
    best = array.reduce(op, x, (axis,))
    hit = array.equal(x, best)
    if x.dtype.is_floating:
        nan = array.apply(scalar.ISNAN, (x,), x.dtype)
        hit = array.apply(scalar.LOGICAL_OR, (hit, nan), bool_)
    n = x.shape[axis]
    places = array.iota(x.device, n).reshape((n,) + (1,) * (x.view.ndim - 1 - axis))
    return array.reduce(scalar.MIN, array.where(hit, places, n, int64), (axis,))
