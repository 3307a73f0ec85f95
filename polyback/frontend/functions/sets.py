"""Sets: the distinct elements of a tensor, and membership.

Everything rests on sorting: equal elements become neighbours, and where a run of them begins is
where an element is new. NaN equals nothing, so that each is new; -0 equals +0.
"""

from __future__ import annotations

from typing import Any, NamedTuple, final

from polyback import array
from polyback.dtype import bool_, int64
from polyback.errors import DTypeError
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions.arithmetic import minimum
from polyback.frontend.functions.comparison import logical_not, not_equal
from polyback.frontend.functions.creation import full, ones, zeros_like
from polyback.frontend.functions.elementwise import cast, result_type
from polyback.frontend.functions.gathering import Scatter, take_rows
from polyback.frontend.functions.joining import concat
from polyback.frontend.functions.rounding import imag, real
from polyback.frontend.functions.searching import flat_nonzero, running_sum, searchsorted
from polyback.frontend.functions.shape import reshape
from polyback.frontend.functions.sorting import argsort, sort
from polyback.frontend.op import run
from polyback.frontend.tensor import Tensor
from polyback.lookup import Picked


class UniqueAll(NamedTuple):
    """What :func:`unique_all` gives."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    """What :func:`unique_counts` gives."""

    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    """What :func:`unique_inverse` gives."""

    values: Tensor
    inverse_indices: Tensor


@final
class _Runs:
    """The elements in order, and where runs of equal ones begin."""

    def __init__(self, x: Tensor) -> None:
        self.flat, self.shape = reshape(x, x.size), x.shape
        self.order = _order(self.flat.detach())
        line = take_rows(self.flat.detach(), self.order)
        first = ones(min(x.size, 1), dtype=bool_, device=x.device)
        self.new = concat([first, not_equal(line[1:], line[:-1])])
        self.starts = flat_nonzero(self.new)

    @property
    def indices(self) -> Tensor:
        """Where each distinct element occurs first: the sort is stable."""
        return take_rows(self.order, self.starts)

    @property
    def values(self) -> Tensor:
        """The distinct elements, in order."""
        return take_rows(self.flat, self.indices)

    @property
    def counts(self) -> Tensor:
        """How often each occurs."""
        end = full((min(self.flat.size, 1),), self.flat.size, dtype=int64, device=self.flat.device)
        return concat([self.starts[1:], end]) - self.starts

    @property
    def inverse(self) -> Tensor:
        """For each element the place of its value."""
        run_of = running_sum(cast(self.new, int64)) - 1
        places = Scatter(Picked(((0, 1),), 0), self.order.shape, "set", distinct=True)
        return reshape(run(places, None, run_of, self.order), self.shape)


def _order(line: Tensor) -> Tensor:
    """A stable order that brings equal elements together; complex ones by real, then imaginary
    part."""
    if line.dtype.kind != "complex":
        return argsort(line)
    lesser = argsort(imag(line))
    return take_rows(lesser, argsort(take_rows(real(line), lesser)))


def unique_all(x: Tensor, /) -> UniqueAll:
    """The distinct elements of ``x`` in ascending order, the row-major index where each occurs
    first, for each element of ``x`` the place of its value, and how often each value occurs.

    NaN counts as different from itself, -0 as +0. Complex numbers are ordered by their real, then
    their imaginary part. The values are differentiable. The number of values is read back.

    >>> import polyback as pb
    >>> found = pb.unique_all(pb.asarray([3, 1, 3]))
    >>> found.values.tolist(), found.indices.tolist(), found.inverse_indices.tolist()
    ([1, 3], [1, 0], [1, 0, 1])
    >>> found.counts.tolist()
    [1, 2]
    """
    check_tensors("unique_all", x)
    runs = _Runs(x)
    return UniqueAll(runs.values, runs.indices, runs.inverse, runs.counts)


def unique_counts(x: Tensor, /) -> UniqueCounts:
    """The distinct elements of ``x`` in ascending order, and how often each occurs; see
    :func:`unique_all`.

    >>> import polyback as pb
    >>> [t.tolist() for t in pb.unique_counts(pb.asarray([3, 1, 3]))]
    [[1, 3], [1, 2]]
    """
    check_tensors("unique_counts", x)
    runs = _Runs(x)
    return UniqueCounts(runs.values, runs.counts)


def unique_inverse(x: Tensor, /) -> UniqueInverse:
    """The distinct elements of ``x`` in ascending order, and for each element of ``x`` the place of
    its value; see :func:`unique_all`.

    >>> import polyback as pb
    >>> [t.tolist() for t in pb.unique_inverse(pb.asarray([3, 1, 3]))]
    [[1, 3], [1, 0, 1]]
    """
    check_tensors("unique_inverse", x)
    runs = _Runs(x)
    return UniqueInverse(runs.values, runs.inverse)


def unique_values(x: Tensor, /) -> Tensor:
    """The distinct elements of ``x`` in ascending order; see :func:`unique_all`.

    >>> import polyback as pb
    >>> pb.unique_values(pb.asarray([3, 1, 3])).tolist()
    [1, 3]
    """
    check_tensors("unique_values", x)
    return _Runs(x).values


def isin(x1: Any, x2: Any, /, *, invert: bool = False) -> Tensor:
    """Is each element of ``x1`` equal to some element of ``x2`` (``invert``: to none)?

    One of the two may be a number. NaN equals nothing. ``x2`` is sorted, then searched.

    >>> import polyback as pb
    >>> pb.isin(pb.asarray([1, 2, 3]), pb.asarray([3, 1])).tolist()
    [True, False, True]
    """
    tensors = [x for x in (x1, x2) if isinstance(x, Tensor)]
    if not tensors:
        raise DTypeError(f"[isin] got {x1!r} and {x2!r}; want at least one tensor: asarray()")
    array.same_device("isin", *(t.array for t in tensors))
    dtype, where = result_type(x1, x2), tensors[0].device
    x, among = (
        cast(t.detach(), dtype) if isinstance(t, Tensor) else full((), t, dtype=dtype, device=where)
        for t in (x1, x2)
    )
    found = _member(x, among)
    return logical_not(found) if invert else found


def _member(x: Tensor, among: Tensor) -> Tensor:
    line = reshape(among, among.size)
    if x.dtype.kind == "complex":  # has no order to search in: numbers for distinct values have
        numbers = _Runs(concat([reshape(x, x.size), line])).inverse
        return _member(reshape(numbers[: x.size], x.shape), numbers[x.size :])
    if not line.size:
        return zeros_like(x, dtype=bool_)
    line = sort(line)
    place = minimum(searchsorted(line, x), line.size - 1)
    return take_rows(line, place) == x
