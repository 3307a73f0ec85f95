"""Schedules: the learning rate as a function of the number of steps taken.

Call ``schedule.step()`` after ``optimizer.step()``. Every schedule is a formula of the step's
number, not a chain of factors, so a run that is continued gets the same rates to the last bit.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, final

from polyback.errors import InvalidArgument
from polyback.frontend.optim.optimizer import Optimizer, check_optimizer


class LRScheduler(ABC):
    """The base class: subclasses write :meth:`rate`. Making one sets the rates of step 0.

    The base rate of each group is its ``lr`` when the schedule is made.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        check_optimizer(optimizer, type(self).__name__)
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
        names = set(state) if isinstance(state, Mapping) else set()
        if names != {"last_epoch", "base_lrs"} or len(state["base_lrs"]) != len(self.base_lrs):
            raise InvalidArgument(
                f"[{type(self).__name__}] got a state with {sorted(names)}; want 'last_epoch' and "
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
        if not callable(lr_lambda):
            raise InvalidArgument(
                f"[LambdaLR] got {type(lr_lambda).__name__}; want one function of the step"
            )
        self.lr_lambda = lr_lambda
        super().__init__(optimizer)

    def rate(self, step: int, base: float) -> float:
        return base * float(self.lr_lambda(step))


@final
class StepLR(LRScheduler):
    """``base * gamma ** (step // step_size)``.

    >>> import polyback as pb
    >>> optimizer = pb.optim.SGD([pb.ones(1, requires_grad=True)], lr=1.0)
    >>> schedule = pb.optim.StepLR(optimizer, 2, gamma=0.5)
    >>> [schedule.rate(step, 1.0) for step in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        _positive("StepLR", step_size=step_size)
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def rate(self, step: int, base: float) -> float:
        return float(base * self.gamma ** (step // self.step_size))


@final
class MultiStepLR(LRScheduler):
    """``base * gamma ** (number of milestones reached)``.

    >>> import polyback as pb
    >>> optimizer = pb.optim.SGD([pb.ones(1, requires_grad=True)], lr=1.0)
    >>> schedule = pb.optim.MultiStepLR(optimizer, [1, 3], gamma=0.5)
    >>> [schedule.rate(step, 1.0) for step in range(4)]
    [1.0, 0.5, 0.5, 0.25]
    """

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1) -> None:
        if isinstance(milestones, int):
            raise InvalidArgument(f"[MultiStepLR] got {milestones}; want a list of steps")
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer)

    def rate(self, step: int, base: float) -> float:
        return float(base * self.gamma ** bisect_right(self.milestones, step))


@final
class ExponentialLR(LRScheduler):
    """``base * gamma ** step``.

    >>> import polyback as pb
    >>> optimizer = pb.optim.SGD([pb.ones(1, requires_grad=True)], lr=1.0)
    >>> schedule = pb.optim.ExponentialLR(optimizer, gamma=0.5)
    >>> [schedule.rate(step, 1.0) for step in range(3)]
    [1.0, 0.5, 0.25]
    """

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        self.gamma = gamma
        super().__init__(optimizer)

    def rate(self, step: int, base: float) -> float:
        return float(base * self.gamma**step)


@final
class ConstantLR(LRScheduler):
    """``base * factor`` for ``total_iters`` steps, then ``base``.

    >>> import polyback as pb
    >>> optimizer = pb.optim.SGD([pb.ones(1, requires_grad=True)], lr=1.0)
    >>> schedule = pb.optim.ConstantLR(optimizer, 0.5, total_iters=2)
    >>> [schedule.rate(step, 1.0) for step in range(4)]
    [0.5, 0.5, 1.0, 1.0]
    """

    def __init__(
        self, optimizer: Optimizer, factor: float = 1.0 / 3.0, total_iters: int = 5
    ) -> None:
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer)

    def rate(self, step: int, base: float) -> float:
        return base * self.factor if step < self.total_iters else base


@final
class PolynomialLR(LRScheduler):
    """``base * (1 - step / total_iters) ** power``, and 0 after ``total_iters`` steps.

    >>> import polyback as pb
    >>> optimizer = pb.optim.SGD([pb.ones(1, requires_grad=True)], lr=1.0)
    >>> schedule = pb.optim.PolynomialLR(optimizer, total_iters=4)
    >>> [schedule.rate(step, 1.0) for step in range(6)]
    [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0) -> None:
        _positive("PolynomialLR", total_iters=total_iters)
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer)

    def rate(self, step: int, base: float) -> float:
        return float(base * (1.0 - min(step, self.total_iters) / self.total_iters) ** self.power)


@final
class LinearLR(LRScheduler):
    """Warm-up: from ``base * start_factor`` to ``base * end_factor`` in ``total_iters`` steps.

    >>> import polyback as pb
    >>> optimizer = pb.optim.SGD([pb.ones(1, requires_grad=True)], lr=1.0)
    >>> schedule = pb.optim.LinearLR(optimizer, 0.5, total_iters=2)
    >>> [schedule.rate(step, 1.0) for step in range(4)]
    [0.5, 0.75, 1.0, 1.0]
    """

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

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:  # noqa: N803  (PyTorch's name)
        _positive("CosineAnnealingLR", T_max=T_max)
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def rate(self, step: int, base: float) -> float:
        return _along_cosine(base, self.eta_min, step / self.T_max)


@final
class CosineAnnealingWarmRestarts(LRScheduler):
    """:class:`CosineAnnealingLR` that jumps back to ``base`` after ``T_0`` steps, then after
    ``T_0 * T_mult`` more, and so on (Loshchilov and Hutter, 2017).

    >>> import polyback as pb
    >>> optimizer = pb.optim.SGD([pb.ones(1, requires_grad=True)], lr=1.0)
    >>> schedule = pb.optim.CosineAnnealingWarmRestarts(optimizer, T_0=2)
    >>> rates = []
    >>> for _ in range(4):
    ...     rates += [round(rate, 6) for rate in schedule.get_last_lr()]
    ...     schedule.step()
    >>> rates
    [1.0, 0.5, 1.0, 0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,  # noqa: N803
        T_mult: int = 1,  # noqa: N803
        eta_min: float = 0.0,
    ) -> None:
        _positive("CosineAnnealingWarmRestarts", T_0=T_0, T_mult=T_mult)
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        super().__init__(optimizer)

    def rate(self, step: int, base: float) -> float:
        if self.T_mult == 1:
            length, step = self.T_0, step % self.T_0
        else:
            length = self.T_0
            while step >= length:
                step, length = step - length, length * self.T_mult
        return _along_cosine(base, self.eta_min, step / length)


@final
class OneCycleLR(LRScheduler):
    """Up from ``max_lr / div_factor`` to ``max_lr`` during ``pct_start`` of the steps, then down to
    ``max_lr / div_factor / final_div_factor``, both along a cosine (Smith and Topin, 2018), or with
    ``anneal_strategy="linear"`` along lines. ``total_steps`` may be given as ``epochs`` times
    ``steps_per_epoch``. Groups' own rates are not used; momentum stays as it is. Counting past the
    last step is an error.

    >>> import polyback as pb
    >>> optimizer = pb.optim.SGD([pb.ones(1, requires_grad=True)], lr=1.0)
    >>> schedule = pb.optim.OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
    >>> [round(schedule.rate(step, 1.0), 6) for step in range(3)]
    [0.04, 0.52, 1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        *,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
    ) -> None:
        total = total_steps or (epochs or 0) * (steps_per_epoch or 0)
        _positive("OneCycleLR", max_lr=max_lr, total_steps=total, div_factor=div_factor,
                  final_div_factor=final_div_factor)  # fmt: skip
        if not 0.0 <= pct_start <= 1.0 or anneal_strategy not in ("cos", "linear"):
            raise InvalidArgument(
                f"[OneCycleLR] got pct_start={pct_start}, anneal_strategy={anneal_strategy!r}; "
                f"want 0 to 1, 'cos' or 'linear'"
            )
        self.max_lr, self.total_steps, self.pct_start = max_lr, total, pct_start
        self.along = _along_cosine if anneal_strategy == "cos" else _along_line
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
        if peak > 0.0 and step <= peak:
            return self.along(self.first, self.max_lr, step / peak)
        return self.along(self.max_lr, self.last, (step - peak) / ((end - peak) or 1.0))


def _along_cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) / 2.0 * (1.0 + math.cos(math.pi * done))


def _along_line(start: float, end: float, done: float) -> float:
    return start + (end - start) * done


@final
class ChainedScheduler(LRScheduler):
    """All of ``schedulers`` at once, each applied to what the one before gave: factors multiply.

    >>> import polyback as pb
    >>> optimizer = pb.optim.SGD([pb.ones(1, requires_grad=True)], lr=1.0)
    >>> parts = [pb.optim.ConstantLR(optimizer, 0.5), pb.optim.ExponentialLR(optimizer, 0.5)]
    >>> schedule = pb.optim.ChainedScheduler(parts)
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.25]
    """

    def __init__(self, schedulers: Sequence[LRScheduler]) -> None:
        if not schedulers:
            raise InvalidArgument("[ChainedScheduler] got no schedules; want at least one")
        self.schedulers = list(schedulers)
        super().__init__(_joined(schedulers[0].optimizer, schedulers, "ChainedScheduler"))

    def rate(self, step: int, base: float) -> float:
        for schedule in self.schedulers:
            base = schedule.rate(step, base)
        return base


def _joined(optimizer: Optimizer, schedulers: Sequence[LRScheduler], what: str) -> Optimizer:
    """``optimizer`` with the rates from before the schedules, which are theirs again."""
    if any(s.optimizer is not optimizer for s in schedulers):
        raise InvalidArgument(f"[{what}] the schedules are of another optimizer; want one for all")
    first = schedulers[0].base_lrs  # before any of them changed it
    for group, base in zip(optimizer.param_groups, first, strict=True):
        group["lr"] = base
    for schedule in schedulers:
        schedule.base_lrs = list(first)
    return optimizer


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
        self.schedulers, self.milestones = list(schedulers), list(milestones)
        super().__init__(_joined(optimizer, schedulers, "SequentialLR"))

    def rate(self, step: int, base: float) -> float:
        k = bisect_right(self.milestones, step)
        return self.schedulers[k].rate(step - (self.milestones[k - 1] if k else 0), base)
