"""RMSprop and Adagrad: steps scaled by the size of past gradients."""

from __future__ import annotations

from functools import cache
from typing import Any, final

from polyback.dtype import DType
from polyback.errors import InvalidArgument
from polyback.frontend.functions import full_like, zeros_like
from polyback.frontend.optim.optimizer import Optimizer, Parameters, State, check_options
from polyback.frontend.optim.update import update, update_program
from polyback.frontend.tensor import Tensor
from polyback.program import Program
from polyback.scalar import MAXIMUM, SQRT


@final
class RMSprop(Optimizer):
    """RMSprop (Tieleman and Hinton, 2012), as PyTorch computes it.

    With g the gradient::

        g = g + weight_decay * p
        v = alpha * v + (1 - alpha) * g * g
        a = alpha * a + (1 - alpha) * g          (centered)
        d = g / (sqrt(v - a * a) + eps)          (not centered: a = 0)
        m = momentum * m + d                     (no momentum: m = d)
        p = p - lr * m

    ``maximize``: -g for g, which goes up.

    >>> import polyback as pb
    >>> p = pb.asarray([1.0], requires_grad=True)
    >>> optimizer = pb.optim.RMSprop([p], lr=0.1, alpha=0.75)
    >>> pb.sum(p * p).backward()
    >>> optimizer.step()
    >>> round(float(p[0]), 6)  # by lr / sqrt(1 - alpha)
    0.8
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay}
        options |= {"momentum": momentum, "centered": centered, "maximize": maximize}
        super().__init__(params, options)

    def _check(self, group: dict[str, Any]) -> None:
        check_options("RMSprop", group, "lr", "alpha", "eps", "weight_decay", "momentum")
        if group["alpha"] > 1:
            raise InvalidArgument(f"[RMSprop] got alpha={group['alpha']}; want 0 to 1")

    def _update(self, parameter: Tensor, gradient: Tensor, state: State, group: Any) -> None:
        names = ["square_avg"]
        names += ["grad_avg"] if group["centered"] else []
        names += ["momentum_buffer"] if group["momentum"] else []
        for name in names:
            state.setdefault(name, zeros_like(parameter))
        code = _rmsprop(parameter.dtype, bool(group["centered"]), bool(group["momentum"]))
        alpha = float(group["alpha"])
        numbers = [float(group[k]) for k in ("lr", "eps", "weight_decay")]
        numbers += [alpha, 1.0 - alpha]
        numbers += [float(group["momentum"])] if group["momentum"] else []
        update(code, [parameter, *(state[k] for k in names)], gradient, numbers)


@cache
def _rmsprop(dtype: DType, centered: bool, momentum: bool) -> Program:
    count = 3 + centered + momentum  # p, v, perhaps a, perhaps m, g

    def formula(*values: Any) -> tuple[Any, ...]:
        p, v, *more, g = values[:count]
        lr, eps, decay, alpha, new, *rest = values[count:]
        g = g + decay * p
        v = alpha * v + new * g * g
        results, size = [v], v
        if centered:
            a = alpha * more[0] + new * g
            results.append(a)
            size = MAXIMUM(v - a * a, 0.0)  # rounding must not make it negative
        step = g / (SQRT(size) + eps)
        if momentum:
            step = rest[0] * more[-1] + step
            results.append(step)
        return p - lr * step, *results

    return update_program(formula, dtype, count, 5 + momentum)


@final
class Adagrad(Optimizer):
    """Adagrad (Duchi, Hazan and Singer, 2011), as PyTorch computes it.

    With g the gradient and t the number of the step::

        g = g + weight_decay * p
        s = s + g * g                            (starts at initial_accumulator_value)
        p = p - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps)

    ``maximize``: -g for g, which goes up.

    >>> import polyback as pb
    >>> p = pb.asarray([1.0], requires_grad=True)
    >>> optimizer = pb.optim.Adagrad([p], lr=0.5)
    >>> pb.sum(p * p).backward()
    >>> optimizer.step()
    >>> p.tolist()
    [0.5]
    """

    _needs = ("step", "sum")

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps}
        options |= {"initial_accumulator_value": initial_accumulator_value, "maximize": maximize}
        super().__init__(params, options)

    def _check(self, group: dict[str, Any]) -> None:
        numbers = set(self.defaults) - {"maximize"}
        check_options("Adagrad", group, *sorted(numbers))

    def _update(self, parameter: Tensor, gradient: Tensor, state: State, group: Any) -> None:
        if not state:
            start = float(group["initial_accumulator_value"])
            state.update(step=0, sum=full_like(parameter, start))
        state["step"] += 1
        length = float(group["lr"]) / (1.0 + (state["step"] - 1) * float(group["lr_decay"]))
        numbers = [length, float(group["eps"]), float(group["weight_decay"])]
        update(_adagrad(parameter.dtype), [parameter, state["sum"]], gradient, numbers)


@cache
def _adagrad(dtype: DType) -> Program:
    def formula(p: Any, s: Any, g: Any, length: Any, eps: Any, decay: Any) -> tuple[Any, ...]:
        g = g + decay * p
        s = s + g * g
        return p - length * g / (SQRT(s) + eps), s

    return update_program(formula, dtype, 3, 3)
