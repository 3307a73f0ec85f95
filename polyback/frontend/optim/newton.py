"""Newton's method with conjugate gradients, for small smooth problems."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, final

from polyback.errors import GradientError
from polyback.frontend.autograd import backward, no_grad, set_grad_enabled
from polyback.frontend.functions import ones_like, sum, zeros_like
from polyback.frontend.optim.optimizer import Optimizer, Parameters, check_options
from polyback.frontend.tensor import Tensor

ENOUGH: Final = 1e-4  # of the decrease that the slope promises (Armijo's rule)
HALVINGS: Final = 20

Vector = list[Tensor]


@final
class NewtonCG(Optimizer):
    """Truncated Newton steps (Nocedal and Wright, Numerical Optimization, algorithm 7.1).

    Each step solves ``(H + damping) d = -g`` by conjugate gradients, with Hessian-vector products
    by differentiating the gradient once more (H is never stored), stops at negative curvature, and
    then halves the step until the loss falls enough. All parameters are one vector; state is none.

    ``step(closure)``: the closure returns the loss as a tensor of one element, computed from the
    parameters; it must be smooth, and the same function at every call. ``lr``: the first length
    tried. ``max_iter``: Hessian-vector products of a step. ``tolerance``: of the residual, relative
    to the gradient.

    >>> import polyback as pb
    >>> p = pb.asarray([3.0, -2.0], dtype=pb.float64, requires_grad=True)
    >>> optimizer = pb.optim.NewtonCG([p])
    >>> loss = optimizer.step(lambda: pb.sum((p - 1.0) ** 2))  # one step solves a quadratic
    >>> [round(v, 6) for v in p.tolist()]
    [1.0, 1.0]
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1.0,
        damping: float = 0.0,
        max_iter: int = 50,
        tolerance: float = 1e-8,
    ) -> None:
        options = {"lr": lr, "damping": damping, "max_iter": max_iter, "tolerance": tolerance}
        super().__init__(params, options)

    def _check(self, group: dict[str, Any]) -> None:
        check_options("NewtonCG", group, *self.defaults)

    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor:
        """One step; returns the loss before it. Options are those of the first group.

        Raises GradientError without a closure, or if the loss does not depend on the parameters.
        """
        if closure is None:
            raise GradientError("[NewtonCG] got no closure; want step(lambda: loss)")
        group = self.param_groups[0]
        parameters = [p for g in self.param_groups for p in g["params"]]
        with set_grad_enabled(True):
            loss = closure()
            if not isinstance(loss, Tensor) or loss.size != 1 or loss.edge is None:
                raise GradientError(
                    "[NewtonCG] the closure gave no loss that depends on the parameters; want a "
                    "tensor of one element"
                )
            slope = _gradients(loss, parameters)
            direction = _conjugate_gradients(slope, parameters, group)
        with no_grad():
            _line_search(closure, loss.detach(), slope, direction, parameters, float(group["lr"]))
        return loss.detach()


def _gradients(y: Tensor, parameters: Sequence[Tensor]) -> Vector:
    """Of the number ``y``, as part of the graph; zeros where it does not depend on one."""
    if y.edge is None:
        return [zeros_like(p) for p in parameters]
    found = backward([(y, ones_like(y))], {id(p.edge) for p in parameters})
    known = {key: gradient for key, (_, gradient) in found.items()}
    return [known[id(p.edge)] if id(p.edge) in known else zeros_like(p) for p in parameters]


def _dot(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    with no_grad():
        return float(_sum_of_products(a, b))


def _sum_of_products(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    parts = [sum(x * y) for x, y in zip(a, b, strict=True)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _conjugate_gradients(slope: Vector, parameters: Sequence[Tensor], group: Any) -> Vector:
    """A direction of descent: the solution of (H + damping) d = -slope, or where the curvature
    turns negative what has been reached until then."""
    damping = float(group["damping"])

    def curvature(v: Vector) -> Vector:
        product = _gradients(_sum_of_products(slope, v), parameters)
        with no_grad():
            return [h.detach() + damping * x for h, x in zip(product, v, strict=True)]

    residual = [-g.detach() for g in slope]
    direction, solution = residual, [zeros_like(r) for r in residual]
    size = first = _dot(residual, residual)
    for _ in range(int(group["max_iter"])):
        if size <= float(group["tolerance"]) ** 2 * first or size == 0.0:
            break
        image = curvature(direction)
        bend = _dot(direction, image)
        if bend <= 0.0:
            return solution if _dot(solution, solution) else direction
        with no_grad():
            step = size / bend
            solution = [s + step * d for s, d in zip(solution, direction, strict=True)]
            residual = [r - step * h for r, h in zip(residual, image, strict=True)]
            size, old = _dot(residual, residual), size
            direction = [r + size / old * d for r, d in zip(residual, direction, strict=True)]
    return solution


def _line_search(
    closure: Callable[[], Tensor], loss: Tensor, slope: Vector, direction: Vector,
    parameters: Sequence[Tensor], length: float,
) -> None:  # fmt: skip
    """Move along ``direction``, halving ``length`` until the loss falls enough; stay otherwise."""
    start = [p.array.copy() for p in parameters]
    before, promised = float(loss), _dot(slope, direction)
    for _ in range(HALVINGS):
        for p, origin, d in zip(parameters, start, direction, strict=True):
            p.array.assign((Tensor(origin) + length * d).array)
        after = float(closure())
        if after <= before + ENOUGH * length * promised:  # False for NaN
            return
        length /= 2.0
    for p, origin in zip(parameters, start, strict=True):
        p.array.assign(origin)
