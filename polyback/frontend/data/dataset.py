"""Datasets: numbered samples on the host. A loader puts batches of them on a device.

A sample is a NumPy array, a number, or text, or a tuple or dictionary of samples, such as (image,
label); a batch has the same structure, with arrays that have one more axis in front.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, final

import numpy as np

from polyback.errors import DTypeError, IndexOutOfBounds, InvalidArgument, ShapeError

Sample = Any
Batch = Any  # the structure of a sample
Indices = np.ndarray[Any, np.dtype[np.int64]]


def collate(samples: Sequence[Sample]) -> Batch:
    """Samples as one batch: arrays, numbers and lists of numbers are stacked, text is listed, and
    tuples and dictionaries are made of batches. Raises ShapeError for samples that do not match,
    DTypeError for what is none of these.

    >>> import polyback as pb
    >>> pb.data.collate([(1, 2.0), (3, 4.0)])[0].tolist()
    [1, 3]
    >>> pb.data.collate([{"word": "a"}, {"word": "b"}])
    {'word': ['a', 'b']}
    """
    if not samples:
        raise InvalidArgument("[collate] got no samples; want at least one")
    first = samples[0]
    if isinstance(first, Mapping):
        _check_alike(samples, Mapping, lambda s: set(s))
        return {key: collate([s[key] for s in samples]) for key in first}
    if isinstance(first, tuple):
        _check_alike(samples, tuple, len)
        return tuple(collate(column) for column in zip(*samples, strict=True))
    if isinstance(first, (str, bytes)):
        return list(samples)
    try:
        batch = np.stack([np.asarray(s) for s in samples])
    except ValueError as error:
        raise ShapeError(f"[collate] {error}; want samples of one shape, or collate_fn=") from None
    if batch.dtype.kind in "OUS":
        raise DTypeError(
            f"[collate] got {type(first).__name__}; want arrays, numbers, text, or tuples and "
            f"dictionaries of them, or collate_fn="
        )
    return batch


def _check_alike(samples: Sequence[Any], kind: type, form: Callable[[Any], Any]) -> None:
    """Raises ShapeError unless all samples are of a kind and have the form of the first."""
    for sample in samples:
        if not isinstance(sample, kind) or form(sample) != form(samples[0]):
            raise ShapeError(
                f"[collate] samples differ: {samples[0]!r} and {sample!r}; want one structure, or "
                f"collate_fn="
            )


class Dataset(ABC):
    """The base class: ``len(dataset)`` samples, ``dataset[k]`` is one of them.

    >>> import polyback as pb
    >>> class Squares(pb.data.Dataset):
    ...     def __len__(self):
    ...         return 10
    ...
    ...     def __getitem__(self, index):
    ...         return index, index * index
    >>> next(iter(pb.data.DataLoader(Squares(), batch_size=3)))[1].tolist()
    [0, 1, 4]
    """

    @abstractmethod
    def __len__(self) -> int:
        """The number of samples."""

    @abstractmethod
    def __getitem__(self, index: int) -> Sample:
        """Sample number ``index``, 0 <= index < len."""

    def batch(self, indices: Indices) -> Batch:
        """The samples at ``indices``, stacked. Override it where there is a faster way."""
        return collate([self[int(k)] for k in indices])


class IterableDataset(ABC):
    """The base class of streams: samples one after the other, of which nobody knows how many.

    >>> import polyback as pb
    >>> class Countdown(pb.data.IterableDataset):
    ...     def __iter__(self):
    ...         return iter([(3,), (2,), (1,)])
    >>> [x.tolist() for (x,) in pb.data.DataLoader(Countdown(), batch_size=2)]
    [[3, 2], [1]]
    """

    @abstractmethod
    def __iter__(self) -> Iterator[Sample]:
        """The samples from the start."""


@final
class ConcatDataset(Dataset):
    """The samples of several datasets, one after the other.

    >>> import polyback as pb
    >>> both = pb.data.ConcatDataset([pb.data.ArrayDataset([1, 2]), pb.data.ArrayDataset([3])])
    >>> len(both), int(both[2][0])
    (3, 3)
    """

    def __init__(self, datasets: Iterable[Dataset]) -> None:
        self.datasets = tuple(datasets)
        for given in self.datasets:
            if not isinstance(given, Dataset):
                raise InvalidArgument(
                    f"[ConcatDataset] got {type(given).__name__}; want a list of datasets"
                )
        self.ends = np.cumsum([len(d) for d in datasets])

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexOutOfBounds(f"[ConcatDataset] {index} is outside {len(self)} samples")
        k = int(np.searchsorted(self.ends, index, side="right"))
        return self.datasets[k][index - (int(self.ends[k - 1]) if k else 0)]


@final
class ArrayDataset(Dataset):
    """Samples are the rows of arrays of one length: ``dataset[k] == (a[k], b[k], ...)``.

    Takes NumPy arrays, or whatever ``np.asarray`` understands. Raises ShapeError, InvalidArgument.

    >>> import polyback as pb
    >>> data = pb.data.ArrayDataset([[1.0], [2.0]], [0, 1])
    >>> len(data), int(data[1][1])
    (2, 1)
    """

    def __init__(self, *arrays: Any) -> None:
        self.arrays = tuple(np.asarray(a) for a in arrays)
        if not self.arrays:
            raise InvalidArgument("[ArrayDataset] got no arrays; want at least one")
        for a in self.arrays:
            if a.dtype.kind not in "biufc" and a.dtype.isbuiltin != 2:  # 2: bfloat16 and friends
                raise DTypeError(f"[ArrayDataset] got an array of {a.dtype}; want numbers")
        lengths = [a.shape[0] if a.ndim else None for a in self.arrays]
        if None in lengths or len(set(lengths)) != 1:
            raise ShapeError(
                f"[ArrayDataset] got shapes {[a.shape for a in self.arrays]}; want one length"
            )

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: int) -> Sample:
        return tuple(a[index] for a in self.arrays)

    def batch(self, indices: Indices) -> Batch:
        return tuple(a[indices] for a in self.arrays)


TensorDataset = ArrayDataset  # PyTorch's name


@final
class Subset(Dataset):
    """The samples of ``dataset`` at ``indices``. Raises IndexOutOfBounds.

    >>> import polyback as pb
    >>> data = pb.data.ArrayDataset([10, 20, 30])
    >>> int(pb.data.Subset(data, [2, 0])[0][0])
    30
    """

    def __init__(self, dataset: Dataset, indices: Sequence[int] | Indices) -> None:
        self.dataset = dataset
        chosen = np.asarray(indices)
        if chosen.size and (chosen.ndim != 1 or chosen.dtype.kind not in "iu"):
            raise DTypeError(
                f"[Subset] got indices of {chosen.shape}, {chosen.dtype}; want a row of integers"
            )
        self.indices: Indices = chosen.astype(np.int64)
        outside = (self.indices < 0) | (self.indices >= len(dataset))
        if outside.any():
            bad = self.indices[outside][0]
            raise IndexOutOfBounds(f"[Subset] {bad} is outside a dataset of {len(dataset)}")

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        return self.dataset[int(self.indices[index])]

    def batch(self, indices: Indices) -> Batch:
        return self.dataset.batch(self.indices[indices])


def shuffled(n: int, seed: int, stream: int = 0) -> Indices:
    """0 .. n - 1 in random order: the order of n words of Philox4x64-10 with key (seed, stream).

    >>> import polyback as pb
    >>> sorted(pb.data.shuffled(4, seed=1).tolist())
    [0, 1, 2, 3]
    """
    words = np.random.Philox(key=philox_key(seed, stream)).random_raw(n)
    return np.argsort(words, kind="stable").astype(np.int64)


def philox_key(seed: int, stream: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """The 128-bit key of one stream of random numbers of a seed."""
    return np.array([seed % 2**64, stream % 2**64], dtype=np.uint64)


def random_split(dataset: Dataset, lengths: Sequence[float], seed: int = 0) -> list[Subset]:
    """Cut ``dataset`` at random into parts that do not overlap; the same for the same seed.

    ``lengths``: sample counts that add up to len(dataset), or fractions that add up to 1 (what
    rounding leaves over goes to the first parts). Raises InvalidArgument.

    >>> import polyback as pb
    >>> data = pb.data.ArrayDataset(range(10))
    >>> [len(part) for part in pb.data.random_split(data, [0.8, 0.2])]
    [8, 2]
    """
    n = len(dataset)
    counts = _counts(list(lengths), n)
    if sum(counts) != n or min(counts, default=0) < 0:
        raise InvalidArgument(
            f"[random_split] got lengths {list(lengths)}; want counts that add up to {n}, or "
            f"fractions that add up to 1"
        )
    order = shuffled(n, seed)
    ends = np.cumsum([0, *counts])
    return [Subset(dataset, order[a:b]) for a, b in pairwise(ends)]


def _counts(lengths: list[float], n: int) -> list[int]:
    if all(isinstance(v, (int, np.integer)) for v in lengths):
        return [int(v) for v in lengths]
    if abs(sum(lengths) - 1.0) > 1e-6 or min(lengths) < 0:
        return []
    counts = [int(n * v) for v in lengths]
    for k in range(n - sum(counts)):
        counts[k % len(counts)] += 1
    return counts
