"""Functions whose gradient the user states: for what has a better one than the recorded graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, final

from polyback.array import Array
from polyback.errors import GradientError, ShapeError
from polyback.frontend.autograd import OUTPUT, is_grad_enabled, no_grad
from polyback.frontend.checks import check_tensors
from polyback.frontend.op import Op, run
from polyback.frontend.tensor import Tensor

Gradient = Callable[..., Tensor | Sequence[Tensor | None] | None]


@final
class CustomGradient(Op):
    """y = f(*operands), with the gradients that a function gives"""

    def __init__(self, f: Callable[..., Tensor], gradient: Gradient) -> None:
        self.f, self.rule = f, gradient
        self.known: tuple[Tensor, bool, Sequence[Tensor | None]] | None = None
        self.count = 0

    @property
    def name(self) -> str:
        return str(getattr(self.f, "__name__", "custom_gradient"))

    def forward(self, *operands: Array) -> Array:
        self.count = len(operands)
        with no_grad():
            y = self.f(*(Tensor(a) for a in operands))
        check_tensors(self.name, y)
        return y.array

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        recorded = is_grad_enabled()
        if self.known is None or self.known[0] is not g or self.known[1] is not recorded:
            found = self.rule(g, y, *operands)
            found = [found] if found is None or isinstance(found, Tensor) else list(found)
            if len(found) != self.count:
                raise GradientError(
                    f"[{self.name}] the gradient gave {len(found)} tensors; want one for each of "
                    f"{self.count} arguments"
                )
            self.known = (g, recorded, found)
        x, part = operands[operand], self.known[2][operand]
        if part is None:
            return x * 0.0
        check_tensors(self.name, part)
        if part.shape != x.shape:
            raise ShapeError(
                f"[{self.name}] the gradient for argument {operand} is {part.shape}; want {x.shape}"
            )
        return part

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        raise GradientError(
            f"[{self.name}] a custom gradient has no forward mode; want grad or vjp, not jvp"
        )

    def saves(self, operand: int) -> frozenset[int]:
        return frozenset({OUTPUT, *range(self.count)})


def custom_gradient(gradient: Gradient) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Decorator: a function of tensors that gives one tensor, and is differentiated by
    ``gradient(g, y, *tensors)`` instead of what it does.

    g is the gradient of the result y; ``gradient`` returns that of the argument, or one for each of
    several (None: zero). It is differentiated in turn where higher orders are asked for. For
    straight-through estimators, reversed gradients, or formulas that are more exact. Raises
    GradientError or ShapeError in the backward pass for gradients that do not fit, GradientError in
    forward mode.

    >>> import polyback as pb
    >>> @pb.custom_gradient(lambda g, y, x: g)  # as if nothing had been rounded
    ... def rounded(x):
    ...     return pb.round(x)
    >>> pb.grad(lambda x: pb.sum(3.0 * rounded(x)))(pb.asarray([0.2, 1.7])).tolist()
    [3.0, 3.0]
    """

    def decorate(f: Callable[..., Tensor]) -> Callable[..., Tensor]:
        @wraps(f)
        def call(*tensors: Tensor) -> Tensor:
            check_tensors(getattr(f, "__name__", "custom_gradient"), *tensors)
            return run(CustomGradient(f, gradient), *tensors)

        return call

    return decorate
