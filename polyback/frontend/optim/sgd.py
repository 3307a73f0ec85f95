"""SGD: stochastic gradient descent, with momentum."""

from __future__ import annotations

from functools import cache
from typing import Any, final

from polyback.dtype import DType
from polyback.errors import InvalidArgument
from polyback.frontend.functions import zeros_like
from polyback.frontend.optim.optimizer import Optimizer, Parameters, State, check_options
from polyback.frontend.optim.update import update, update_program
from polyback.frontend.tensor import Tensor
from polyback.program import Program


@final
class SGD(Optimizer):
    """Stochastic gradient descent, as PyTorch computes it.

    With g the gradient and m the momentum buffer::

        g = g + weight_decay * p
        m = momentum * m + (1 - dampening) * g      (the first time: m = g)
        p = p - lr * m                              (nesterov: g + momentum * m for m)

    ``bias_correction`` averages instead, and undoes the pull of the first, missing gradients; with
    t the number of the step::

        m = momentum * m + (1 - momentum) * g
        p = p - lr * m / (1 - momentum**t)

    ``maximize``: -g for g, which goes up.

    >>> import polyback as pb
    >>> p = pb.asarray([1.0], requires_grad=True)
    >>> optimizer = pb.optim.SGD([p], lr=0.25)
    >>> pb.sum(p * p).backward()
    >>> optimizer.step()
    >>> p.tolist()
    [0.5]
    """

    _needs = ("momentum_buffer",)

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        bias_correction: bool = False,
    ) -> None:
        options = {"lr": lr, "momentum": momentum, "dampening": dampening}
        options |= {"weight_decay": weight_decay, "nesterov": nesterov, "maximize": maximize}
        super().__init__(params, {**options, "bias_correction": bias_correction})

    def _check(self, group: dict[str, Any]) -> None:
        check_options("SGD", group, "lr", "momentum", "weight_decay")
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise InvalidArgument("[SGD] nesterov=True wants momentum > 0 and dampening = 0")
        plain = not group["nesterov"] and not group["dampening"] and 0 < group["momentum"] < 1
        if group["bias_correction"] and not plain:
            raise InvalidArgument(
                "[SGD] bias_correction=True wants momentum in (0, 1), dampening = 0 and "
                "nesterov=False"
            )

    def _update(self, parameter: Tensor, gradient: Tensor, state: State, group: Any) -> None:
        lr, momentum = float(group["lr"]), float(group["momentum"])
        decay, share = float(group["weight_decay"]), 1.0 - float(group["dampening"])
        if not momentum:
            update(_plain(parameter.dtype), [parameter], gradient, [lr, decay])
            return
        if not state:
            state["momentum_buffer"], share = zeros_like(parameter), 1.0
        if group["bias_correction"]:
            state["step"] = state.get("step", 0) + 1
            lr, share = lr / (1.0 - momentum ** state["step"]), 1.0 - momentum
        code = _with_momentum(parameter.dtype, bool(group["nesterov"]))
        targets = [parameter, state["momentum_buffer"]]
        update(code, targets, gradient, [lr, decay, momentum, share])


@cache
def _plain(dtype: DType) -> Program:
    def formula(p: Any, g: Any, lr: Any, decay: Any) -> tuple[Any, ...]:
        return (p - lr * (g + decay * p),)

    return update_program(formula, dtype, 2, 2)


@cache
def _with_momentum(dtype: DType, nesterov: bool) -> Program:
    def formula(
        p: Any, m: Any, g: Any, lr: Any, decay: Any, momentum: Any, share: Any
    ) -> tuple[Any, ...]:
        g = g + decay * p
        m = momentum * m + share * g
        return p - lr * (g + momentum * m if nesterov else m), m

    return update_program(formula, dtype, 3, 4)
