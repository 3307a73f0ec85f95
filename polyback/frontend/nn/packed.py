"""Sequences of several lengths: padded to the longest, or packed so that nothing is padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, final

import numpy as np

from polyback.errors import InvalidArgument, ShapeError
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions import asarray, concat, expand_dims, moveaxis, reshape, take, where
from polyback.frontend.tensor import Tensor
from polyback.runtime import Device

Indices = np.ndarray[Any, np.dtype[np.int64]]


@final
class PackedSequence(NamedTuple):
    """What :func:`pack_padded_sequence` makes and recurrent layers take and return.

    ``data``: (sum of the lengths, ...), the first elements of all sequences, then the second ones,
    and so on, longest sequence first; ``batch_sizes``: (L,), how many sequences have a k-th
    element. ``sorted_indices`` are the numbers of the sequences in that order,
    ``unsorted_indices`` lead back; both are None for sequences that were in that order.
    """

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


def pack_padded_sequence(
    input: Tensor,
    lengths: Tensor | Sequence[int],
    batch_first: bool = False,
    enforce_sorted: bool = True,
) -> PackedSequence:
    """The elements of ``input`` (L, N, ...), or (N, L, ...) if ``batch_first``, that belong to N
    sequences of these ``lengths``, without the padding.

    ``enforce_sorted``: lengths must not increase (InvalidArgument); without it they are sorted
    here. Raises ShapeError for other shapes, InvalidArgument for a length outside 1 to L.

    >>> import polyback as pb
    >>> x = pb.asarray([[1.0, 4.0], [2.0, 0.0], [3.0, 0.0]])
    >>> packed = pb.nn.pack_padded_sequence(x, [3, 1])
    >>> packed.data.tolist(), packed.batch_sizes.tolist()
    ([1.0, 4.0, 2.0, 3.0], [2, 1, 1])
    """
    op = "pack_padded_sequence"
    check_tensors(op, input)
    counts = np.asarray(lengths)
    if input.ndim < 2 or counts.ndim != 1 or counts.size != input.shape[0 if batch_first else 1]:
        lead = "(N, L, ...)" if batch_first else "(L, N, ...)"
        raise ShapeError(f"[{op}] got {input.shape} and {counts.shape} lengths; want {lead}, (N,)")
    steps, n = input.shape[1 if batch_first else 0], counts.size
    if not n or counts.dtype.kind not in "iu" or counts.min() < 1 or counts.max() > steps:
        raise InvalidArgument(f"[{op}] got lengths {counts.tolist()}; want integers, 1 to {steps}")
    order = np.argsort(-counts.astype(np.int64), kind="stable")
    plain = bool((counts[:-1] >= counts[1:]).all())
    if enforce_sorted and not plain:
        raise InvalidArgument(
            f"[{op}] got lengths {counts.tolist()}, which increase; want enforce_sorted=False"
        )
    runs = Runs(counts[order].astype(np.int64), input.device)
    place = order[runs.member] * steps + runs.step if batch_first else (
        runs.step * n + order[runs.member]
    )  # fmt: skip
    flat = reshape(input, (steps * n, *input.shape[2:]))
    data = take(flat, runs.tensor(place), axis=0)
    indices = (None, None) if enforce_sorted else tuple(map(runs.tensor, (order, order.argsort())))
    return PackedSequence(data, runs.tensor(runs.batch_sizes), *indices)


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The inverse of :func:`pack_padded_sequence`: (L, N, ...), or (N, L, ...) if ``batch_first``,
    with ``padding_value`` where a sequence has ended, and the lengths, int64 (N,).

    ``total_length``: L, if it is to be more than the longest sequence. Raises InvalidArgument.

    >>> import polyback as pb
    >>> packed = pb.nn.pack_padded_sequence(pb.ones((2, 3)), [2, 1], batch_first=True)
    >>> padded, lengths = pb.nn.pad_packed_sequence(packed, batch_first=True)
    >>> padded.tolist(), lengths.tolist()
    ([[1.0, 1.0], [1.0, 0.0]], [2, 1])
    """
    check_packed("pad_packed_sequence", sequence)
    runs = Runs.of(sequence)
    padded = runs.pad(sequence.data, padding_value, total_length)
    lengths = runs.tensor(runs.lengths)
    if sequence.unsorted_indices is not None:
        padded = take(padded, sequence.unsorted_indices, axis=1)
        lengths = take(lengths, sequence.unsorted_indices, axis=0)
    return (moveaxis(padded, 0, 1) if batch_first else padded), lengths


def pad_sequence(
    sequences: Sequence[Tensor], batch_first: bool = False, padding_value: float = 0.0
) -> Tensor:
    """Sequences (L_k, ...) side by side, each filled up to the longest L with ``padding_value``:
    (L, N, ...), or (N, L, ...) if ``batch_first``. Raises ShapeError unless their other axes agree.

    >>> import polyback as pb
    >>> pb.nn.pad_sequence([pb.ones(2), pb.ones(1)], batch_first=True).tolist()
    [[1.0, 1.0], [1.0, 0.0]]
    """
    given = list(sequences)
    check_tensors("pad_sequence", *given)
    if not given or any(not x.ndim or x.shape[1:] != given[0].shape[1:] for x in given):
        shapes = [x.shape for x in given]
        raise ShapeError(f"[pad_sequence] got {shapes}; want sequences (L, ...) of like elements")
    joined = concat(given)
    counts = np.array([len(x) for x in given])
    steps = np.arange(counts.max(initial=0))[:, None]
    starts = np.cumsum(counts) - counts
    padded = _spread(joined, starts + steps, steps < counts, padding_value)
    return moveaxis(padded, 0, 1) if batch_first else padded


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """:func:`pad_sequence`, then :func:`pack_padded_sequence`.

    >>> import polyback as pb
    >>> pb.nn.pack_sequence([pb.ones(2), pb.zeros(1)]).data.tolist()
    [1.0, 0.0, 1.0]
    """
    return pack_padded_sequence(
        pad_sequence(sequences), [len(x) for x in sequences], enforce_sorted=enforce_sorted
    )


def _spread(rows: Tensor, place: Indices, there: Any, padding_value: float) -> Tensor:
    """``rows[place]`` where it is ``there``, else the padding; place and there are (L, N)."""
    shape = (*place.shape, *rows.shape[1:])
    if not rows.shape[0] or not place.size:
        return asarray(np.full(shape, padding_value), dtype=rows.dtype, device=rows.device)
    index = asarray(np.where(there, place, 0).reshape(-1), device=rows.device)
    found = reshape(take(rows, index, axis=0), shape)
    if there.all():
        return found
    kept = asarray(np.asarray(there), device=rows.device)
    for _ in rows.shape[1:]:
        kept = expand_dims(kept, -1)
    return where(kept, found, padding_value)


def check_packed(op: str, sequence: Any) -> None:
    """Raises InvalidArgument unless it is a PackedSequence."""
    if not isinstance(sequence, PackedSequence):
        raise InvalidArgument(f"[{op}] got {type(sequence).__name__}; want a PackedSequence")


@final
class Runs:
    """Sequences of falling ``lengths`` as packed: which ``step`` of which ``member`` each element
    is. Their table, (L, N), holds the padding too; ``backwards`` and ``ends`` are rows of it."""

    def __init__(self, lengths: Indices, device: Device) -> None:
        self.lengths, self.device = lengths, device
        self.there = np.arange(lengths[0])[:, None] < lengths  # (L, N)
        self.step, self.member = np.nonzero(self.there)
        self.batch_sizes = self.there.sum(1)

    @staticmethod
    def of(sequence: PackedSequence) -> Runs:
        """Those of a packed sequence. Reads its batch sizes back."""
        sizes = sequence.batch_sizes.numpy()
        lengths = (np.arange(sizes[0]) < sizes[:, None]).sum(0)
        return Runs(lengths, sequence.data.device)

    def tensor(self, values: Any) -> Tensor:
        """Integers on the device."""
        return asarray(np.asarray(values, np.int64), device=self.device)

    def pad(self, data: Tensor, value: float = 0.0, steps: int | None = None) -> Tensor:
        """Packed elements as the table."""
        longest = len(self.batch_sizes)
        if steps is not None and steps < longest:
            raise InvalidArgument(f"[padding] got total_length={steps}; want {longest} or more")
        there = np.pad(self.there, ((0, (steps or longest) - longest), (0, 0)))
        place = np.zeros(there.shape, np.int64)
        place[self.step, self.member] = np.arange(len(self.step))
        return _spread(data, place, there, value)

    def pack(self, table: Tensor) -> Tensor:
        """The table without its padding."""
        return self._rows(table, self.step * len(self.lengths) + self.member)

    def backwards(self, table: Tensor) -> Tensor:
        """Every sequence from its end to its start; the padding stays. Its own inverse."""
        steps = np.arange(len(self.batch_sizes))[:, None]
        turned = np.where(self.there, self.lengths - 1 - steps, steps)
        place = turned * len(self.lengths) + np.arange(len(self.lengths))
        return reshape(self._rows(table, place.reshape(-1)), table.shape)

    def ends(self, table: Tensor) -> Tensor:
        """The last element of every sequence."""
        count = len(self.lengths)
        return self._rows(table, (self.lengths - 1) * count + np.arange(count))

    def _rows(self, table: Tensor, place: Any) -> Tensor:
        flat = reshape(table, (table.shape[0] * table.shape[1], *table.shape[2:]))
        return take(flat, self.tensor(place), axis=0)
