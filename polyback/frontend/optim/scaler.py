"""Loss scaling, which keeps the gradients of float16 activations from vanishing."""

from __future__ import annotations

from typing import Any, final

from polyback.errors import InvalidArgument
from polyback.frontend.autograd import no_grad
from polyback.frontend.functions import all as all_of
from polyback.frontend.functions import isfinite
from polyback.frontend.optim.optimizer import Optimizer
from polyback.frontend.tensor import Tensor


@final
class GradScaler:
    """Multiplies the loss, divides the gradients, and leaves out steps whose gradients overflowed.

    The scale falls by ``backoff_factor`` after an overflow and grows by ``growth_factor`` after
    ``growth_interval`` steps without one, as PyTorch's does. Each step: ``scale(loss).backward()``,
    perhaps ``unscale_(optimizer)`` and clipping, ``step(optimizer)``, ``update()``.

    >>> import polyback as pb
    >>> p = pb.asarray([1.0], requires_grad=True)
    >>> optimizer, scaler = pb.optim.SGD([p], lr=0.25), pb.optim.GradScaler()
    >>> scaler.scale(pb.sum(p * p)).backward()
    >>> scaler.step(optimizer)
    True
    >>> scaler.update()
    >>> p.tolist()
    [0.5]
    """

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if not (init_scale > 0 and growth_factor > 1 and 0 < backoff_factor < 1):
            raise InvalidArgument(
                f"[GradScaler] got init_scale={init_scale}, growth_factor={growth_factor}, "
                f"backoff_factor={backoff_factor}; want above 0, above 1, and between 0 and 1"
            )
        self._scale = float(init_scale) if enabled else 1.0
        self.growth_factor, self.backoff_factor = growth_factor, backoff_factor
        self.growth_interval, self.enabled = growth_interval, enabled
        self._good = 0  # steps without an overflow
        self._finite: dict[int, bool] = {}  # by optimizer, once unscaled in this step

    def get_scale(self) -> float:
        """The factor of the loss now."""
        return self._scale

    def scale(self, loss: Tensor) -> Tensor:
        """``loss`` times the scale."""
        return loss * self._scale if self.enabled else loss

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients of the optimizer's parameters by the scale, once in each step.
        Raises InvalidArgument the second time."""
        if id(optimizer) in self._finite:
            raise InvalidArgument("[unscale_] was called already in this step; call update()")
        finite = True
        with no_grad():
            for group in optimizer.param_groups:
                for p in group["params"]:
                    if self.enabled and p.grad is not None:
                        p.grad = p.grad * (1.0 / self._scale)
                        finite = finite and bool(all_of(isfinite(p.grad)))
        self._finite[id(optimizer)] = finite

    def step(self, optimizer: Optimizer) -> bool:
        """``optimizer.step()`` unless a gradient is infinite or NaN; was the step taken?"""
        if id(optimizer) not in self._finite:
            self.unscale_(optimizer)
        finite = self._finite[id(optimizer)]
        if finite:
            optimizer.step()
        return finite

    def update(self) -> None:
        """Set the scale for the next step."""
        if not self.enabled:
            self._finite.clear()
            return
        if all(self._finite.values()):
            self._good += 1
            if self._good >= self.growth_interval:
                self._scale, self._good = self._scale * self.growth_factor, 0
        else:
            self._scale, self._good = self._scale * self.backoff_factor, 0
        self._finite.clear()

    def state_dict(self) -> dict[str, Any]:
        """The scale and how long it has been good."""
        return {"scale": self._scale, "good": self._good}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what ``state_dict`` gave."""
        self._scale, self._good = float(state["scale"]), int(state["good"])
