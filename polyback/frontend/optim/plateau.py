"""A schedule that listens: lower rates where the loss has ceased to fall."""

from __future__ import annotations

import math
from typing import Any, Literal, final

from polyback.errors import InvalidArgument
from polyback.frontend.optim.optimizer import Optimizer, check_optimizer


@final
class ReduceLROnPlateau:
    """The rate times ``factor`` once ``step(value)`` has been called more than ``patience`` times
    in a row without a better value, as PyTorch has it.

    A value is better if it is below ``best * (1 - threshold)`` ("max": above ``best * (1 +
    threshold)``), or with ``threshold_mode="abs"`` below ``best - threshold`` (above ``best +
    threshold``). After a reduction ``cooldown`` calls do not count. The rate never falls below
    ``min_lr``, nor by less than ``eps``.

    >>> import polyback as pb
    >>> optimizer = pb.optim.SGD([pb.ones(1, requires_grad=True)], lr=1.0)
    >>> schedule = pb.optim.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in (3.0, 2.0, 2.0, 2.0):
    ...     schedule.step(loss)
    >>> schedule.get_last_lr()
    [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: Literal["min", "max"] = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        eps: float = 1e-8,
    ) -> None:
        check_optimizer(optimizer, "ReduceLROnPlateau")
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs") or factor >= 1.0:
            raise InvalidArgument(
                f"[ReduceLROnPlateau] got mode={mode!r}, threshold_mode={threshold_mode!r}, "
                f"factor={factor}; want 'min' or 'max', 'rel' or 'abs', less than 1"
            )
        self.optimizer, self.factor, self.patience = optimizer, factor, patience
        self.sign = 1.0 if mode == "min" else -1.0
        self.threshold, self.relative = threshold, threshold_mode == "rel"
        self.cooldown, self.min_lr, self.eps = cooldown, min_lr, eps
        self.best, self.bad, self.rest = math.inf * self.sign, 0, 0

    def step(self, metrics: Any) -> None:
        """Take in one more value, and lower the rates if it is time."""
        value = float(metrics)
        margin = self.threshold * (abs(self.best) if self.relative else 1.0)
        if math.isinf(self.best) or self.sign * (self.best - value) > margin:
            self.best, self.bad = value, 0
        else:
            self.bad += 1
        if self.rest > 0:
            self.rest, self.bad = self.rest - 1, 0
        if self.bad > self.patience:
            self.rest, self.bad = self.cooldown, 0
            for group in self.optimizer.param_groups:
                lower = max(float(group["lr"]) * self.factor, self.min_lr)
                if float(group["lr"]) - lower > self.eps:
                    group["lr"] = lower

    def get_last_lr(self) -> list[float]:
        """The rate of every group now."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """The best value and what has been counted; the rates are the optimizer's."""
        return {"best": self.best, "bad": self.bad, "rest": self.rest}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what ``state_dict`` gave."""
        self.best, self.bad, self.rest = float(state["best"]), int(state["bad"]), int(state["rest"])
