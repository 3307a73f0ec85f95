"""DataLoader: batches of a dataset, in order or shuffled, as tensors on a device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import final

import numpy as np

from polyback.errors import InvalidArgument
from polyback.frontend.data.dataset import Batch, Dataset, Indices, Sample, philox_key, shuffled
from polyback.frontend.functions import asarray
from polyback.frontend.functions.creation import Where
from polyback.frontend.tensor import Tensor

Augment = Callable[[Batch, np.random.Generator], Batch]


@final
class DataLoader:
    """Iterate over ``dataset`` in batches: tuples of tensors on ``device``.

    ``shuffle``: another order in every epoch, which depends only on ``seed`` and the number of the
    epoch, so a run can be repeated, and continued with :meth:`set_epoch`. ``drop_last``: leave out
    a short last batch. ``collate``: makes a batch of NumPy arrays from a list of samples.
    ``augment(batch, rng)``: changes a batch on the host; rng depends only on seed, epoch and batch.

    Raises InvalidArgument for a batch size below 1, or a dataset without a length.

    >>> import polyback as pb
    >>> loader = pb.data.DataLoader(pb.data.ArrayDataset(range(5)), batch_size=2)
    >>> [x.tolist() for (x,) in loader], len(loader)
    ([[0, 1], [2, 3], [4]], 3)
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        seed: int = 0,
        drop_last: bool = False,
        collate: Callable[[list[Sample]], Batch] | None = None,
        augment: Augment | None = None,
        device: Where = None,
    ) -> None:
        if not isinstance(dataset, Dataset):
            raise InvalidArgument(
                f"[DataLoader] got {type(dataset).__name__}; want a Dataset: ArrayDataset(x, y)"
            )
        if not isinstance(batch_size, int) or batch_size < 1:
            raise InvalidArgument(f"[DataLoader] got batch_size={batch_size!r}; want 1 or more")
        self.dataset, self.batch_size, self.shuffle = dataset, batch_size, shuffle
        self.seed, self.drop_last, self.device = seed, drop_last, device
        self.collate, self.augment = collate, augment
        self.epoch = 0  # how many passes have begun

    def __len__(self) -> int:
        full, rest = divmod(len(self.dataset), self.batch_size)
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

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        epoch, self.epoch = self.epoch, self.epoch + 1  # here, not at the first batch
        return self._batches(epoch)

    def _batches(self, epoch: int) -> Iterator[tuple[Tensor, ...]]:
        n = len(self.dataset)
        order = shuffled(n, self.seed, epoch) if self.shuffle else np.arange(n, dtype=np.int64)
        for number in range(len(self)):
            start = number * self.batch_size
            batch = self._batch(order[start : start + self.batch_size])
            if self.augment is not None:
                batch = self.augment(batch, _rng(self.seed, epoch, number))
            yield tuple(asarray(a, device=self.device) for a in batch)

    def _batch(self, indices: Indices) -> Batch:
        if self.collate is None:
            return self.dataset.batch(indices)
        return tuple(self.collate([self.dataset[int(k)] for k in indices]))


def _rng(seed: int, epoch: int, batch: int) -> np.random.Generator:
    """A generator of its own for every batch; its counter starts where no order has been drawn."""
    counter = np.array([0, 0, batch, 1], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=philox_key(seed, epoch), counter=counter))
