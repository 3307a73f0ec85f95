"""Schedules: the learning rate as a function of the number of steps taken.

Call ``schedule.step()`` after ``optimizer.step()``. Every schedule is a formula of the step's
number, not a chain of factors, so a run that is continued gets the same rates to the last bit.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, final

from polyback.errors import InvalidArgument
from polyback.frontend.optim.optimizer import Optimizer


class LRScheduler(ABC):
    """The base class: subclasses write :meth:`rate`. Making one sets the rates of step 0.

    The base rate of each group is its ``lr`` when the schedule is made.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.base_lrs = [float(group["lr"]) for group in optimizer.param_groups]
        self.last_epoch = 0
        self._apply()

    @abstractmethod
    def rate(self, step: int, base: float) -> float:
        """The learning rate after ``step`` steps of a group with base rate ``base``."""

    def step(self) -> None:
        """Count one more step, and set the rates."""
        self.last_epoch += 1
        self._apply()

    def get_last_lr(self) -> list[float]:
        """The rate of every group now."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def _apply(self) -> None:
        for group, base in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = self.rate(self.last_epoch, base)

    def state_dict(self) -> dict[str, Any]:
        """``last_epoch`` (how many steps were counted) and ``base_lrs``."""
        return {"last_epoch": self.last_epoch, "base_lrs": list(self.base_lrs)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what ``state_dict`` gave. Raises InvalidArgument for another's state."""
        if set(state) != {"last_epoch", "base_lrs"} or len(state["base_lrs"]) != len(self.base_lrs):
            raise InvalidArgument(
                f"[{type(self).__name__}] got a state with {sorted(state)}; want 'last_epoch' and "
                f"'base_lrs' for {len(self.base_lrs)} groups"
            )
        self.last_epoch = int(state["last_epoch"])
        self.base_lrs = [float(v) for v in state["base_lrs"]]
        self._apply()


def _positive(what: str, **values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise InvalidArgument(f"[{what}] got {name}={value!r}; want more than 0")


@final
class LambdaLR(LRScheduler):
    """``base * factor(step)``.

    >>> import polyback as pb
    >>> optimizer = pb.optim.SGD([pb.ones(1, requires_grad=True)], lr=1.0)
    >>> schedule = pb.optim.LambdaLR(optimizer, lambda step: 1.0 / (1 + step))
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, lr_lambda: Callable[[int], float]) -> None:
        self.lr_lambda = lr_lambda
        super().__init__(optimizer)

    def rate(self, step: int, base: float) -> float:
        return base * float(self.lr_lambda(step))


@final
class StepLR(LRScheduler):
    """``base * gamma ** (step // step_size)``."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        _positive("StepLR", step_size=step_size)
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def rate(self, step: int, base: float) -> float:
        return float(base * self.gamma ** (step // self.step_size))


@final
class MultiStepLR(LRScheduler):
    """``base * gamma ** (number of milestones reached)``."""

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer)

    def rate(self, step: int, base: float) -> float:
        return float(base * self.gamma ** bisect_right(self.milestones, step))


@final
class ExponentialLR(LRScheduler):
    """``base * gamma ** step``."""

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        self.gamma = gamma
        super().__init__(optimizer)

    def rate(self, step: int, base: float) -> float:
        return float(base * self.gamma**step)


@final
class LinearLR(LRScheduler):
    """Warm-up: from ``base * start_factor`` to ``base * end_factor`` in ``total_iters`` steps."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3.0,
        end_factor: float = 1.0,
        total_iters: int = 5,
    ) -> None:
        _positive("LinearLR", start_factor=start_factor, total_iters=total_iters)
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = total_iters
        super().__init__(optimizer)

    def rate(self, step: int, base: float) -> float:
        done = min(step, self.total_iters) / self.total_iters
        return base * (self.start_factor + (self.end_factor - self.start_factor) * done)


@final
class CosineAnnealingLR(LRScheduler):
    """``eta_min + (base - eta_min) * (1 + cos(pi * step / T_max)) / 2`` (Loshchilov and Hutter,
    2017); after T_max steps it comes back up, as PyTorch's does.

    >>> import polyback as pb
    >>> optimizer = pb.optim.SGD([pb.ones(1, requires_grad=True)], lr=1.0)
    >>> schedule = pb.optim.CosineAnnealingLR(optimizer, T_max=2)
    >>> schedule.step()
    >>> [round(rate, 6) for rate in schedule.get_last_lr()]
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:  # noqa: N803
        _positive("CosineAnnealingLR", T_max=T_max)
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def rate(self, step: int, base: float) -> float:
        height = (1.0 + math.cos(math.pi * step / self.T_max)) / 2.0
        return self.eta_min + (base - self.eta_min) * height


@final
class OneCycleLR(LRScheduler):
    """Up from ``max_lr / div_factor`` to ``max_lr`` during ``pct_start`` of the steps, then down to
    ``max_lr / div_factor / final_div_factor``, both along a cosine (Smith and Topin, 2018). Groups'
    own rates are not used; momentum stays as it is. Counting past ``total_steps`` is an error."""

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float,
        total_steps: int,
        pct_start: float = 0.3,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
    ) -> None:
        _positive("OneCycleLR", max_lr=max_lr, total_steps=total_steps, div_factor=div_factor,
                  final_div_factor=final_div_factor)  # fmt: skip
        if not 0.0 <= pct_start <= 1.0:
            raise InvalidArgument(f"[OneCycleLR] got pct_start={pct_start}; want 0 to 1")
        self.max_lr, self.total_steps, self.pct_start = max_lr, total_steps, pct_start
        self.first = max_lr / div_factor
        self.last = self.first / final_div_factor
        super().__init__(optimizer)

    def rate(self, step: int, base: float) -> float:
        if step >= self.total_steps:
            raise InvalidArgument(
                f"[OneCycleLR] step {step} of a schedule of {self.total_steps}; want a larger "
                f"total_steps"
            )
        peak, end = self.pct_start * self.total_steps - 1.0, self.total_steps - 1.0
        if step <= peak:
            return _along_cosine(self.first, self.max_lr, step / peak)
        return _along_cosine(self.max_lr, self.last, (step - peak) / (end - peak))


def _along_cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) / 2.0 * (1.0 + math.cos(math.pi * done))


@final
class SequentialLR(LRScheduler):
    """One schedule after another: ``schedulers[k + 1]`` starts at its step 0 when
    ``milestones[k]`` is reached. For a warm-up before a decay.

    >>> import polyback as pb
    >>> optimizer = pb.optim.SGD([pb.ones(1, requires_grad=True)], lr=1.0)
    >>> warm = pb.optim.LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> decay = pb.optim.StepLR(optimizer, step_size=1, gamma=0.5)
    >>> schedule = pb.optim.SequentialLR(optimizer, [warm, decay], milestones=[2])
    >>> rates = []
    >>> for _ in range(4):
    ...     rates += schedule.get_last_lr()
    ...     schedule.step()
    >>> rates
    [0.5, 0.75, 1.0, 0.5]
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int]
    ) -> None:
        if len(schedulers) != len(milestones) + 1 or list(milestones) != sorted(milestones):
            raise InvalidArgument(
                f"[SequentialLR] got {len(schedulers)} schedules and milestones "
                f"{list(milestones)}; want one schedule more than milestones, in order"
            )
        if any(s.optimizer is not optimizer for s in schedulers):
            raise InvalidArgument("[SequentialLR] the schedules are of another optimizer")
        self.schedulers, self.milestones = list(schedulers), list(milestones)
        first = schedulers[0].base_lrs  # before any of them changed it
        for group, base in zip(optimizer.param_groups, first, strict=True):
            group["lr"] = base
        for schedule in schedulers:
            schedule.base_lrs = list(first)
        super().__init__(optimizer)

    def rate(self, step: int, base: float) -> float:
        k = bisect_right(self.milestones, step)
        return self.schedulers[k].rate(step - (self.milestones[k - 1] if k else 0), base)
