"""fit: the usual loop. Written so that it can be read, copied and changed."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from polyback.errors import InvalidArgument
from polyback.frontend.autograd import no_grad
from polyback.frontend.data import DataLoader
from polyback.frontend.nn.module import Module
from polyback.frontend.optim import (
    LRScheduler,
    Optimizer,
    ReduceLROnPlateau,
    clip_grad_norm_,
)
from polyback.frontend.saving import load_checkpoint, save_checkpoint
from polyback.frontend.tensor import Tensor
from polyback.frontend.training.history import History
from polyback.frontend.training.interrupt import Interrupt
from polyback.frontend.training.stopping import EarlyStopping

Criterion = Callable[[Any, Tensor], Tensor]


def fit(
    model: Module,
    criterion: Criterion,
    optimizer: Optimizer,
    batches: DataLoader,
    *,
    epochs: int,
    valid: Iterable[tuple[Tensor, ...]] | None = None,
    metrics: Mapping[str, Criterion] | None = None,
    schedule: LRScheduler | ReduceLROnPlateau | None = None,
    max_norm: float | None = None,
    accumulate: int = 1,
    checkpoint: str | os.PathLike[str] | None = None,
    early_stopping: EarlyStopping | None = None,
    history: History | None = None,
    progress: bool = True,
) -> History:
    """Train ``model`` on ``batches`` of (input, target) for ``epochs`` passes; returns the History.

    Every step minimises ``criterion(model(input), target)``, averaged over ``accumulate`` batches,
    with gradients clipped to the norm ``max_norm``, and then moves ``schedule``. After each epoch
    the history gets ``loss`` and ``seconds``, and with ``valid`` also ``valid_loss`` and one
    ``valid_<name>`` for each of ``metrics(output, target)``; ``early_stopping`` and a
    ``ReduceLROnPlateau`` watch ``valid_loss`` (else ``loss``).

    ``checkpoint``: the file that the whole run is saved to after every epoch, and at Ctrl-C, which
    stops the run at the end of a step; if the file is there, the run goes on from it as if it had
    not stopped. Raises InvalidArgument.

    >>> import polyback as pb
    >>> x, y = pb.asarray([[0.0], [1.0]]), pb.asarray([[1.0], [3.0]])
    >>> model = pb.nn.Linear(1, 1)
    >>> batches = pb.data.DataLoader(pb.data.ArrayDataset(x.numpy(), y.numpy()), 2)
    >>> optimizer = pb.optim.SGD(model.parameters(), lr=0.5)
    >>> history = pb.training.fit(model, pb.nn.mse_loss, optimizer, batches, epochs=50)
    >>> history.last("loss") < 1e-3
    True
    """
    if epochs < 0 or accumulate < 1:
        raise InvalidArgument(
            f"[fit] got epochs={epochs}, accumulate={accumulate}; want 0 or more, 1 or more"
        )
    history = history or History()
    run = _Pass(model, criterion, optimizer, batches, schedule, max_norm, accumulate)
    parts: dict[str, Any] = {"model": model, "optimizer": optimizer, "batches": batches,
                             "history": history, "progress": run}  # fmt: skip
    optional = {"schedule": schedule, "early_stopping": early_stopping}
    parts |= {k: v for k, v in optional.items() if v is not None}
    if checkpoint and Path(checkpoint).exists():
        load_checkpoint(checkpoint, **parts)
        if early_stopping is not None and early_stopping.is_over:
            return history
    with Interrupt() as stop:
        while run.epoch < epochs:
            start = time.perf_counter()
            if not run.finish(stop, progress):
                _keep(checkpoint, run.epoch, parts)
                break
            values = {"loss": run.mean(), "seconds": time.perf_counter() - start}
            if valid is not None:
                found = evaluate(model, {"loss": criterion, **(metrics or {})}, valid)
                values |= {f"valid_{k}": v for k, v in found.items()}
            run.begin(run.epoch + 1)
            history.add(run.epoch, **values)
            done = _is_done(values, schedule, early_stopping)
            if checkpoint:
                save_checkpoint(checkpoint, step=run.epoch, **parts)
            if done:
                break
    return history


def _is_done(
    values: Mapping[str, float],
    schedule: LRScheduler | ReduceLROnPlateau | None,
    early_stopping: EarlyStopping | None,
) -> bool:
    """Show the loss of an epoch to what watches it; is it time to stop?"""
    watched = values.get("valid_loss", values["loss"])
    if isinstance(schedule, ReduceLROnPlateau):
        schedule.step(watched)
    return early_stopping is not None and early_stopping.update(watched)


def _keep(checkpoint: Any, epoch: int, parts: dict[str, Any]) -> None:
    """Save a run that Ctrl-C stopped, and say how to go on."""
    where = "nothing was saved (no checkpoint=)"
    if checkpoint:
        save_checkpoint(checkpoint, step=epoch, **parts)
        where = f"saved to {checkpoint}: run again with the same checkpoint= to go on"
    print(f"stopped by Ctrl-C after a whole step of epoch {epoch + 1}; {where}", file=sys.stderr)


class _Pass:
    """One pass over the batches, which can be left after any step and taken up there again."""

    def __init__(
        self, model: Module, criterion: Criterion, optimizer: Optimizer, batches: DataLoader,
        schedule: LRScheduler | ReduceLROnPlateau | None, max_norm: float | None, accumulate: int,
    ) -> None:  # fmt: skip
        self.model, self.criterion, self.optimizer = model, criterion, optimizer
        self.batches, self.schedule = batches, schedule
        self.max_norm, self.accumulate = max_norm, accumulate
        self.begin(0)

    def begin(self, epoch: int) -> None:
        """Be at the start of a pass."""
        self.epoch, self.batch, self.total = epoch, 0, 0.0

    def mean(self) -> float:
        """The mean loss of the batches so far."""
        return self.total / max(self.batch, 1)

    def state_dict(self) -> dict[str, Any]:
        """Where the pass is."""
        return {"epoch": self.epoch, "batch": self.batch, "total": self.total}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Be where ``state_dict`` was; an unfinished pass has its own order again."""
        self.epoch, self.batch = int(state["epoch"]), int(state["batch"])
        self.total = float(state["total"])
        if self.batch:
            self.batches.set_epoch(self.batches.epoch - 1)

    def finish(self, stop: Interrupt, progress: bool) -> bool:
        """Run the rest of the pass; False if ``stop`` came first."""
        self.model.train()
        self.optimizer.zero_grad()
        title = f"epoch {self.epoch + 1}" if progress else ""
        with _progress_bar(islice(self.batches, self.batch, None), title) as rest:
            for x, target in rest:
                loss = self.criterion(self.model(x), target)
                (loss / self.accumulate if self.accumulate > 1 else loss).backward()
                self.total, self.batch = self.total + loss.item(), self.batch + 1
                if self.batch % self.accumulate == 0:
                    self._update()
                    if stop:
                        return False
        if self.batch % self.accumulate:
            self._update()
        return True

    def _update(self) -> None:
        if self.max_norm is not None:
            clip_grad_norm_(self.model.parameters(), self.max_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if isinstance(self.schedule, LRScheduler):
            self.schedule.step()


def _progress_bar(batches: Iterable[Any], title: str) -> Any:
    """The batches with a bar of tqdm where there is a terminal and tqdm."""
    if title and sys.stderr.isatty():
        with contextlib.suppress(ImportError):
            from tqdm import tqdm

            return tqdm(batches, desc=title, leave=False)
    return contextlib.nullcontext(batches)


def evaluate(
    model: Module, metrics: Mapping[str, Criterion], batches: Iterable[tuple[Tensor, ...]]
) -> dict[str, float]:
    """Averages of ``metrics(model(input), target)`` over ``batches``, weighted by their sizes; the
    model is used as in ``eval()``, and left as it was.

    >>> import polyback as pb
    >>> x, y = pb.ones((2, 1)), pb.asarray([[0.0], [2.0]])
    >>> pb.training.evaluate(pb.nn.Identity(), {"mse": pb.nn.mse_loss}, [(x, y)])
    {'mse': 1.0}
    """
    modes = [(m, m.training) for m in model.modules()]
    sums, count = dict.fromkeys(metrics, 0.0), 0
    model.eval()
    try:
        with no_grad():
            for x, target in batches:
                output, size = model(x), len(target)
                for name, metric in metrics.items():
                    sums[name] += metric(output, target).item() * size
                count += size
    finally:
        for module, mode in modes:
            module.training = mode
    return {name: value / max(count, 1) for name, value in sums.items()}
