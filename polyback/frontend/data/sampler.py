"""Samplers: which samples a pass takes, and in which order, where neither order nor shuffling will
do. A sampler is an iterable of sample numbers, a batch sampler one of lists of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, final

import numpy as np

from polyback.errors import InvalidArgument
from polyback.frontend.data.dataset import philox_key


@final
class WeightedRandomSampler:
    """``num_samples`` sample numbers drawn with probabilities in the ratio of ``weights``, for
    classes of unequal size; with ``replacement``, or each number at most once.

    Depends only on ``seed`` and the epoch, which :class:`DataLoader` sets. Raises InvalidArgument
    for weights that are negative, not finite or all 0, or too few of them above 0.

    >>> import polyback as pb
    >>> list(pb.data.WeightedRandomSampler([0.0, 1.0], 3))
    [1, 1, 1]
    """

    def __init__(
        self,
        weights: Sequence[float] | np.ndarray[Any, Any],
        num_samples: int,
        replacement: bool = True,
        *,
        seed: int = 0,
    ) -> None:
        self.weights = np.asarray(weights, dtype=np.float64)
        w = self.weights
        if w.ndim != 1 or not np.isfinite(w).all() or (w < 0).any() or not w.any():
            raise InvalidArgument(
                f"[WeightedRandomSampler] got weights {w}; want a row of numbers from 0, not all 0"
            )
        most = None if replacement else int((w > 0).sum())
        if num_samples < 1 or (most is not None and num_samples > most):
            raise InvalidArgument(
                f"[WeightedRandomSampler] got num_samples={num_samples}; want 1 or more"
                + ("" if most is None else f", at most {most} without replacement")
            )
        self.num_samples, self.replacement = num_samples, replacement
        self.seed, self.epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Draw what belongs to this epoch from now on."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        rng = np.random.Generator(np.random.Philox(key=philox_key(self.seed, self.epoch)))
        if self.replacement:
            ends = np.cumsum(self.weights)
            found = np.searchsorted(ends, rng.random(self.num_samples) * ends[-1], side="right")
        else:  # the first to happen, of events with these rates (Efraimidis and Spirakis, 2006)
            waits = rng.standard_exponential(len(self.weights))
            with np.errstate(divide="ignore"):
                found = np.argsort(waits / self.weights, kind="stable")[: self.num_samples]
        return iter(found.tolist())
