"""Adam and AdamW: steps scaled by running averages of the gradient and of its square."""

from __future__ import annotations

import math
from abc import abstractmethod
from functools import cache
from typing import Any, final

from polyback.dtype import DType
from polyback.errors import InvalidArgument
from polyback.frontend.functions import zeros_like
from polyback.frontend.optim.optimizer import Optimizer, Parameters, State, check_options
from polyback.frontend.optim.update import update, update_program
from polyback.frontend.tensor import Tensor
from polyback.program import Program
from polyback.scalar import MAXIMUM, SQRT


class _Moments(Optimizer):
    """What Adam and AdamW share: all but where weight decay enters."""

    _needs = ("step", "exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**options, "amsgrad": amsgrad, "maximize": maximize})

    def _check(self, group: dict[str, Any]) -> None:
        check_options(self._name, group, "lr", "eps", "weight_decay")
        betas = group["betas"]
        try:
            fits = len(betas) == 2 and all(0.0 <= b < 1.0 for b in betas)
        except TypeError:
            fits = False
        if not fits:
            raise InvalidArgument(f"[{self._name}] got betas={betas!r}; want two numbers in [0, 1)")

    @abstractmethod
    def _decay(self, group: Any) -> tuple[float, float]:
        """(what is added to the gradient per unit of p, what p is multiplied with)"""

    def _update(self, parameter: Tensor, gradient: Tensor, state: State, group: Any) -> None:
        b1, b2 = (float(b) for b in group["betas"])
        if not state:
            start = {"exp_avg": zeros_like(parameter), "exp_avg_sq": zeros_like(parameter)}
            state.update(step=0, **start)
        state["step"] += 1
        t, eps = state["step"], float(group["eps"])
        length, correction = float(group["lr"]) / (1.0 - b1**t), math.sqrt(1.0 - b2**t)
        targets = [parameter, state["exp_avg"], state["exp_avg_sq"]]
        if group["amsgrad"]:
            targets.append(state.setdefault("max_exp_avg_sq", zeros_like(parameter)))
        numbers = [1.0 - b1, b2, 1.0 - b2, length, correction, eps, *self._decay(group)]
        update(_program(parameter.dtype, bool(group["amsgrad"])), targets, gradient, numbers)


@cache
def _program(dtype: DType, amsgrad: bool) -> Program:
    def formula(p: Any, m: Any, v: Any, *values: Any) -> tuple[Any, ...]:
        *largest, g, new, old_square, new_square, length, correction, eps, decay, keep = values
        g = g + decay * p
        m = m + new * (g - m)
        v = old_square * v + new_square * g * g
        largest = [MAXIMUM(top, v) for top in largest]
        size = SQRT(largest[0] if amsgrad else v)
        return keep * p - length * (m / (size / correction + eps)), m, v, *largest

    return update_program(formula, dtype, 4 + amsgrad, 8)


@final
class Adam(_Moments):
    """Adam (Kingma and Ba, 2015), as PyTorch computes it.

    With g the gradient, t the number of the step and (b1, b2) = ``betas``::

        g = g + weight_decay * p
        m = m + (1 - b1) * (g - m)
        v = b2 * v + (1 - b2) * g * g
        p = p - lr / (1 - b1**t) * m / (sqrt(v) / sqrt(1 - b2**t) + eps)

    ``amsgrad``: the largest v so far in place of v (Reddi et al., 2018). ``maximize``: -g for g.

    >>> import polyback as pb
    >>> p = pb.asarray([1.0], requires_grad=True)
    >>> optimizer = pb.optim.Adam([p], lr=0.5)
    >>> pb.sum(p * p).backward()
    >>> optimizer.step()
    >>> round(float(p[0]), 6)  # the first step has the length lr
    0.5
    """

    def _decay(self, group: Any) -> tuple[float, float]:
        return float(group["weight_decay"]), 1.0


@final
class AdamW(_Moments):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019), as PyTorch computes it.

    As :class:`Adam` without decay in g, after ``p = p - lr * weight_decay * p``.

    >>> import polyback as pb
    >>> p = pb.asarray([1.0], requires_grad=True)
    >>> optimizer = pb.optim.AdamW([p], lr=0.5, weight_decay=0.5)
    >>> pb.sum(p * p).backward()
    >>> optimizer.step()
    >>> round(float(p[0]), 6)
    0.25
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)

    def _decay(self, group: Any) -> tuple[float, float]:
        return 0.0, 1.0 - float(group["lr"]) * float(group["weight_decay"])
