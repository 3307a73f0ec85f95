"""Searching: where elements are true, and where values belong."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from polyback import array, structured
from polyback.dtype import bool_, int64, uint8
from polyback.errors import DTypeError, InvalidArgument, ShapeError
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions.activation import where
from polyback.frontend.functions.arithmetic import minimum
from polyback.frontend.functions.comparison import less, less_equal, logical_and, logical_or
from polyback.frontend.functions.creation import asarray, zeros
from polyback.frontend.functions.elementwise import cast, result_type
from polyback.frontend.functions.gathering import take, take_rows
from polyback.frontend.functions.grids import arange
from polyback.frontend.functions.shape import reshape
from polyback.frontend.tensor import Tensor
from polyback.scalar import SUM


def running_sum(x: Tensor) -> Tensor:
    """The sums of the first 1, 2, ... elements of a vector; constant for gradients."""
    return Tensor(structured.scan(SUM, x.array, 0))


def flat_nonzero(mask: Tensor) -> Tensor:
    """The row-major positions, int64, of the true elements of a bool tensor.

    Counting them tells where each goes: to its place among the true ones, or behind them among the
    others; only their number is read back. A device whose memory is the host's own reads the mask
    instead, which takes a tenth of the time there.
    """
    n, device = mask.size, mask.device
    if not n or device.has("host_view"):
        return asarray(np.flatnonzero(mask.numpy()), dtype=int64, device=device)
    flat, place = reshape(mask, n), arange(n, device=device)
    upto = running_sum(cast(flat, int64))
    count = int(upto[-1])
    target = where(flat, upto - 1, place - upto + count)
    found = array.empty(device, (n,), int64)
    structured.scatter(found, target.array, place.array, 0, "set")
    return Tensor(found)[:count]


def nonzero(x: Tensor, /) -> tuple[Tensor, ...]:
    """The indexes, int64, of the elements that are not zero, in row-major order: one vector for
    each axis of ``x``. Their number is read back.

    Raises ShapeError for a 0-d tensor.

    >>> import polyback as pb
    >>> [i.tolist() for i in pb.nonzero(pb.asarray([[0, 5], [7, 0]]))]
    [[0, 1], [1, 0]]
    """
    check_tensors("nonzero", x)
    if not x.ndim:
        raise ShapeError("[nonzero] got a 0-d tensor; want 1 axis or more")
    place, found = flat_nonzero(cast(x, bool_)), []
    for n in reversed(x.shape[1:]):
        found.append(place % n)
        place = place // n
    return tuple(reversed([*found, place]))


def searchsorted(
    x1: Tensor,
    x2: Any,
    /,
    *,
    side: Literal["left", "right"] = "left",
    sorter: Tensor | None = None,
) -> Tensor:
    """How many elements of the sorted vector ``x1`` come before each element of ``x2``: less than
    it (``side="left"``), or not greater (``"right"``), as int64.

    The order is that of :func:`sort`: NaN comes last. ``sorter`` are the indexes that sort ``x1``
    where it is not sorted itself. ``x2`` may be a number. Real types. It is a binary search: one
    gather for each halving.

    Raises ShapeError, DTypeError, InvalidArgument.

    >>> import polyback as pb
    >>> pb.searchsorted(pb.asarray([1, 3, 3, 5]), pb.asarray([3, 9])).tolist()
    [1, 4]
    """
    check_tensors("searchsorted", x1)
    if side not in ("left", "right"):
        raise InvalidArgument(f"[searchsorted] side={side!r}; want 'left' or 'right'")
    if x1.ndim != 1:
        raise ShapeError(f"[searchsorted] x1 has shape {x1.shape}; want a vector")
    dtype = result_type(x1, x2)
    if dtype.kind == "complex":
        raise DTypeError("[searchsorted] complex numbers have no order")
    if sorter is not None:
        check_tensors("searchsorted", sorter)
        if sorter.shape != x1.shape:
            raise ShapeError(f"[searchsorted] the sorter is {sorter.shape}; want {x1.shape}")
        x1 = take(x1, sorter)
    if not isinstance(x2, Tensor):
        x2 = asarray(x2, dtype=dtype, device=x1.device)
    array.same_device("searchsorted", x1.array, x2.array)
    dtype = uint8 if dtype is bool_ else dtype
    return _search(cast(x1.detach(), dtype), cast(x2.detach(), dtype), side == "left")


def _search(line: Tensor, x: Tensor, strict: bool) -> Tensor:
    """The number of elements of ``line`` that come before each of ``x``, bit by bit from the top:
    of a count, it is known whether the element that it would include comes before."""
    count, n = zeros(x.shape, dtype=int64, device=x.device), line.size
    floating = line.dtype.is_floating
    step = 1 << n.bit_length() >> 1
    while step:
        trial = count + step
        element = take_rows(line, minimum(trial, n) - 1)
        before = less(element, x) if strict else less_equal(element, x)
        if floating:  # NaN after all numbers, and equal to itself
            last = logical_and(x != x, element == element) if strict else x != x
            before = logical_or(before, last)
        count = where(logical_and(before, trial <= n), trial, count)
        step >>= 1
    return count
