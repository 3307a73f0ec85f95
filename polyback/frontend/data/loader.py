"""DataLoader: batches of a dataset, in order or shuffled, as tensors on a device."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context
from pickle import PicklingError
from typing import Any, Final, final

import numpy as np

from polyback.errors import DataError, DTypeError, IndexOutOfBounds, InvalidArgument
from polyback.frontend.data.dataset import (
    Batch,
    Dataset,
    Indices,
    IterableDataset,
    Sample,
    collate,
    philox_key,
    shuffled,
)
from polyback.frontend.functions import asarray
from polyback.frontend.functions.creation import Where

Augment = Callable[[Batch, np.random.Generator], Batch]
Collate = Callable[[list[Sample]], Batch]


@final
class DataLoader:
    """Iterate over ``dataset`` in batches: tensors on ``device``, in tuples or dictionaries as the
    samples are.

    ``shuffle``: another order in every epoch, which depends only on ``seed`` and the number of the
    epoch, so a run can be repeated, and continued with :meth:`set_epoch`. ``sampler``: the numbers
    of the samples to take instead, in order; ``batch_sampler``: those of each batch. Either is told
    the epoch if it has ``set_epoch``. ``drop_last``: leave out a short last batch. ``collate_fn``:
    makes a batch of NumPy arrays from a list of samples (:func:`collate`). ``augment(batch, rng)``:
    changes a batch on the host; rng depends only on seed, epoch and batch.

    ``num_workers``: processes that make batches ahead; they are spawned at the first pass and kept
    until :meth:`close`, so dataset, collate_fn and augment must be picklable and scripts need
    ``if __name__ == "__main__"``. ``prefetch``: batches made ahead for each worker; without workers
    a thread makes that many (0: none). The batches are the same in every case, in the same order.

    Raises InvalidArgument for bad numbers, options that exclude each other, shuffling a stream, or
    a dataset that is neither kind; DataError when a worker dies or cannot be given its work.

    >>> import polyback as pb
    >>> loader = pb.data.DataLoader(pb.data.ArrayDataset(range(5)), batch_size=2)
    >>> [x.tolist() for (x,) in loader], len(loader)
    ([[0, 1], [2, 3], [4]], 3)
    """

    def __init__(
        self,
        dataset: Dataset | IterableDataset,
        batch_size: int = 1,
        shuffle: bool = False,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[Sequence[int]] | None = None,
        *,
        seed: int = 0,
        drop_last: bool = False,
        collate_fn: Collate | None = None,
        augment: Augment | None = None,
        num_workers: int = 0,
        prefetch: int = 0,
        device: Where = None,
    ) -> None:
        if not isinstance(dataset, (Dataset, IterableDataset)):
            raise InvalidArgument(
                f"[DataLoader] got {type(dataset).__name__}; want a Dataset: ArrayDataset(x, y)"
            )
        stream = isinstance(dataset, IterableDataset)
        for name, value, least in (("batch_size", batch_size, 1), ("num_workers", num_workers, 0),
                                   ("prefetch", prefetch, 0)):  # fmt: skip
            if not isinstance(value, int) or value < least:
                raise InvalidArgument(f"[DataLoader] got {name}={value!r}; want {least} or more")
        if stream and (shuffle or num_workers):
            raise InvalidArgument(
                "[DataLoader] a stream has one order and one reader; want shuffle=False, "
                "num_workers=0 (prefetch= reads ahead)"
            )
        orders = [shuffle, sampler is not None, batch_sampler is not None]
        if sum(orders) > 1 or (stream and any(orders)):
            raise InvalidArgument(
                "[DataLoader] got shuffle=, sampler= and batch_sampler=, which exclude each other, "
                "or one of them for a stream; want one order"
            )
        if batch_sampler is not None and (batch_size != 1 or drop_last):
            raise InvalidArgument(
                "[DataLoader] got batch_sampler= with batch_size= or drop_last=; want it alone"
            )
        self.dataset, self.batch_size, self.shuffle = dataset, batch_size, shuffle
        self.sampler, self.batch_sampler = sampler, batch_sampler
        self.seed, self.drop_last, self.device = seed, drop_last, device
        self.collate_fn, self.augment = collate_fn or collate, augment
        self.num_workers, self.prefetch = num_workers, prefetch
        self.epoch = 0  # how many passes have begun
        self._workers: Executor | None = None

    def __len__(self) -> int:
        if isinstance(self.dataset, IterableDataset):
            raise InvalidArgument("[DataLoader] a stream has no length; count the batches")
        if self.batch_sampler is not None:
            return _length(self.batch_sampler)
        n = len(self.dataset) if self.sampler is None else _length(self.sampler)
        full, rest = divmod(n, self.batch_size)
        return full + (1 if rest and not self.drop_last else 0)

    def set_epoch(self, epoch: int) -> None:
        """Number the next pass ``epoch``: it has that epoch's order."""
        self.epoch = epoch

    def state_dict(self) -> dict[str, int]:
        """The seed and how many passes have begun, for checkpoints."""
        return {"seed": self.seed, "epoch": self.epoch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue with the passes that ``state_dict`` described."""
        self.seed, self.epoch = int(state["seed"]), int(state["epoch"])

    def close(self) -> None:
        """End the worker processes; the next pass would start new ones."""
        workers, self._workers = self._workers, None
        if workers is not None:
            workers.shutdown(wait=True, cancel_futures=True)

    def __del__(self) -> None:
        workers = self.__dict__.get("_workers")
        if workers is not None:
            workers.shutdown(wait=False, cancel_futures=True)

    def __iter__(self) -> Iterator[Any]:
        epoch, self.epoch = self.epoch, self.epoch + 1  # here, not at the first batch
        if isinstance(self.dataset, IterableDataset):
            batches = self._stream(self.dataset, epoch)
            return self._tensors(_ahead(batches, self.prefetch) if self.prefetch else batches)
        indices = self._indices(len(self.dataset), epoch)
        tasks = ((epoch, number, part) for number, part in enumerate(indices))
        make = _Maker(self.dataset, self.collate_fn, self.augment, self.seed)
        if self.num_workers:
            return self._tensors(self._from_workers(make, tasks))
        batches = (make(*task) for task in tasks)
        return self._tensors(_ahead(batches, self.prefetch) if self.prefetch else batches)

    def _tensors(self, batches: Iterator[Batch]) -> Iterator[Any]:
        for batch in batches:
            yield _placed(batch, self.device)

    def _indices(self, n: int, epoch: int) -> Iterator[Indices]:
        """The samples of each batch."""
        told: Any = self.sampler if self.batch_sampler is None else self.batch_sampler
        if hasattr(told, "set_epoch"):
            told.set_epoch(epoch)
        if self.batch_sampler is not None:
            return (_checked(part, n) for part in iter(self.batch_sampler))
        order = shuffled(n, self.seed, epoch) if self.shuffle else np.arange(n, dtype=np.int64)
        if self.sampler is not None:
            order = _checked(list(self.sampler), n)
        size = self.batch_size
        stop = len(order) - (len(order) % size if self.drop_last else 0)
        return (order[start : start + size] for start in range(0, stop, size))

    def _stream(self, dataset: IterableDataset, epoch: int) -> Iterator[Batch]:
        samples, number = iter(dataset), 0
        while part := list(islice(samples, self.batch_size)):
            if len(part) < self.batch_size and self.drop_last:
                return
            batch = self.collate_fn(part)
            if self.augment is not None:
                batch = self.augment(batch, _rng(self.seed, epoch, number))
            yield batch
            number += 1

    def _from_workers(self, make: _Maker, tasks: Iterator[Any]) -> Iterator[Batch]:
        if self._workers is None:
            self._workers = ProcessPoolExecutor(
                self.num_workers, get_context("spawn"), _Maker.install, (make,)
            )
        queue: deque[Future[Batch]] = deque()
        try:
            for task in islice(tasks, self.num_workers * max(self.prefetch, 1)):
                queue.append(self._workers.submit(_Maker.run, *task))
            while queue:
                batch = queue.popleft().result()
                for task in islice(tasks, 1):
                    queue.append(self._workers.submit(_Maker.run, *task))
                yield batch
        except (PicklingError, AttributeError, TypeError) as error:
            if "pickle" not in str(error):
                raise
            self.close()
            raise DataError(
                f"[DataLoader] {error}; want a dataset, collate_fn and augment that can be pickled "
                f"(classes and functions of a module, no lambda), or num_workers=0"
            ) from None
        except BrokenProcessPool:
            self.close()
            raise DataError(
                "[DataLoader] a worker process died; want a dataset that can be pickled, a script "
                "with `if __name__ == '__main__'`, and enough memory: num_workers=0 shows the cause"
            ) from None
        finally:
            for future in queue:
                future.cancel()


def _placed(batch: Any, device: Where) -> Any:
    """The arrays and numbers of a batch as tensors; its structure and its text stay."""
    if isinstance(batch, Mapping):
        return {key: _placed(part, device) for key, part in batch.items()}
    if isinstance(batch, (tuple, list)):
        return tuple(_placed(part, device) for part in batch)
    if isinstance(batch, (str, bytes)):
        return batch
    return asarray(batch, device=device)


def _checked(indices: Any, n: int) -> Indices:
    """What a sampler gave, as sample numbers."""
    found = np.asarray(indices)
    if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
        raise DTypeError(
            f"[DataLoader] the sampler gave {found.dtype} of {found.shape}; want a row of integers"
        )
    if found.size and not (found.min() >= 0 and found.max() < n):
        raise IndexOutOfBounds(
            f"[DataLoader] the sampler gave {found.min()} to {found.max()}; want 0 to {n - 1}"
        )
    return found.astype(np.int64)


def _length(sampler: Any) -> int:
    try:
        return len(sampler)
    except TypeError:
        raise InvalidArgument(
            f"[DataLoader] a {type(sampler).__name__} has no length; count the batches"
        ) from None


_INSTALLED: Final[list[_Maker]] = []  # of this process, if it is a worker


@final
class _Maker:
    """Makes batch ``number`` of a pass; the same in whatever process or thread it runs."""

    def __init__(
        self, dataset: Dataset, collate_fn: Collate, augment: Augment | None, seed: int
    ) -> None:
        self.dataset, self.collate_fn, self.augment = dataset, collate_fn, augment
        self.seed = seed

    def __call__(self, epoch: int, number: int, indices: Indices) -> Batch:
        if self.collate_fn is collate:
            batch = self.dataset.batch(indices)
        else:
            batch = self.collate_fn([self.dataset[int(k)] for k in indices])
        if self.augment is not None:
            batch = self.augment(batch, _rng(self.seed, epoch, number))
        return batch

    def install(self) -> None:
        """Be the one of this worker process. A terminal sends Ctrl-C to it as well, but what is to
        be done about it is for the loop to say, which may want the rest of its step."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _INSTALLED[:] = [self]

    @staticmethod
    def run(*task: Any) -> Batch:
        """In a worker process."""
        return _INSTALLED[0](*task)


def _ahead(batches: Iterator[Batch], count: int) -> Iterator[Batch]:
    """The same batches, of which a thread makes up to ``count`` before they are asked for."""
    end = object()
    with ThreadPoolExecutor(1) as thread:
        queue = deque(thread.submit(next, batches, end) for _ in range(count))
        try:
            while (batch := queue.popleft().result()) is not end:
                queue.append(thread.submit(next, batches, end))
                yield batch
        finally:
            for future in queue:
                future.cancel()


def _rng(seed: int, epoch: int, batch: int) -> np.random.Generator:
    """A generator of its own for every batch; its counter starts where no order has been drawn."""
    counter = np.array([0, 0, batch, 1], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=philox_key(seed, epoch), counter=counter))
