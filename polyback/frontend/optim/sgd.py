"""SGD: stochastic gradient descent, with momentum."""

from __future__ import annotations

from typing import Any, final

from polyback.errors import InvalidArgument
from polyback.frontend.functions import in_place, zeros_like
from polyback.frontend.optim.optimizer import Optimizer, Parameters, State, check_options
from polyback.frontend.tensor import Tensor


@final
class SGD(Optimizer):
    """Stochastic gradient descent, as PyTorch computes it.

    With g the gradient and m the momentum buffer::

        g = g + weight_decay * p
        m = momentum * m + (1 - dampening) * g      (the first time: m = g)
        p = p - lr * m                              (nesterov: g + momentum * m for m)

    >>> import polyback as pb
    >>> p = pb.asarray([1.0], requires_grad=True)
    >>> optimizer = pb.optim.SGD([p], lr=0.25)
    >>> pb.sum(p * p).backward()
    >>> optimizer.step()
    >>> p.tolist()
    [0.5]
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        options = {"lr": lr, "momentum": momentum, "dampening": dampening}
        super().__init__(params, {**options, "weight_decay": weight_decay, "nesterov": nesterov})

    def _check(self, group: dict[str, Any]) -> None:
        check_options("SGD", group, "lr", "momentum", "weight_decay")
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise InvalidArgument("[SGD] nesterov=True wants momentum > 0 and dampening = 0")

    def _update(self, parameter: Tensor, gradient: Tensor, state: State, group: Any) -> None:
        lr, momentum = float(group["lr"]), float(group["momentum"])
        decay = float(group["weight_decay"])

        def slope() -> Any:  # written anew for each program, so that it fuses into it
            return gradient + decay * parameter if decay else gradient

        if not momentum:
            in_place(parameter, parameter - lr * slope())
            return
        share = 1.0 - float(group["dampening"])
        if "momentum_buffer" not in state:
            state["momentum_buffer"], share = zeros_like(parameter), 1.0
        m = state["momentum_buffer"]
        in_place(m, momentum * m + share * slope())
        if group["nesterov"]:
            in_place(parameter, parameter - lr * (slope() + momentum * m))
        else:
            in_place(parameter, parameter - lr * m)
