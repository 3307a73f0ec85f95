"""Early stopping: the end of a run that has ceased to get better."""

from __future__ import annotations

import math
from typing import Any, Literal, final

from polyback.errors import InvalidArgument


@final
class EarlyStopping:
    """``update(value)`` is true once ``patience`` values in a row were no better than the best one
    by more than ``min_delta``. NaN is never better. Has a ``state_dict`` for checkpoints.

    >>> import polyback as pb
    >>> stop = pb.training.EarlyStopping(patience=2)
    >>> [stop.update(loss) for loss in (3.0, 2.0, 2.5, 2.0)]
    [False, False, False, True]
    """

    def __init__(
        self, patience: int = 5, min_delta: float = 0.0, mode: Literal["min", "max"] = "min"
    ) -> None:
        if patience < 1 or min_delta < 0 or mode not in ("min", "max"):
            raise InvalidArgument(
                f"[EarlyStopping] got patience={patience}, min_delta={min_delta}, mode={mode!r}; "
                f"want 1 or more, 0 or more, and 'min' or 'max'"
            )
        self.patience, self.min_delta, self.mode = patience, min_delta, mode
        self.best, self.waited = math.inf, 0  # in the direction of "min"

    def update(self, value: float) -> bool:
        """Take in one more value; is it time to stop?"""
        cost = value if self.mode == "min" else -value
        if cost < self.best - self.min_delta:
            self.best, self.waited = cost, 0
        else:
            self.waited += 1
        return self.is_over

    @property
    def is_over(self) -> bool:
        """Was it time to stop at the latest value?"""
        return self.waited >= self.patience

    def state_dict(self) -> dict[str, Any]:
        """The best value and how long ago it was."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what ``state_dict`` gave."""
        self.best, self.waited = float(state["best"]), int(state["waited"])
