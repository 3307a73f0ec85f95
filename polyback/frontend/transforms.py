"""Functional differentiation: grad, value_and_grad, vjp (reverse mode) and jvp (forward mode).

Each call differentiates with respect to fresh stand-ins for the arguments, so calls nest to any
depth: ``grad(grad(f))`` is the second derivative. If something outside is being differentiated
too, the result is part of that graph; otherwise nothing is recorded for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, final

from polyback.array import Array
from polyback.errors import DTypeError, GradientError, ShapeError
from polyback.frontend.autograd import (
    backward,
    fitting,
    push_forward,
    set_grad_enabled,
    settled,
    subgraph,
)
from polyback.frontend.functions import ones_like, zeros_like
from polyback.frontend.op import Op, run
from polyback.frontend.tensor import Tensor


@final
class Alias(Op):
    """y = x: a stand-in for x inside one call of grad."""

    def forward(self, x: Array) -> Array:
        return x

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        return g


def _stand_in(x: Any, what: str) -> Tensor:
    if not isinstance(x, Tensor):
        raise GradientError(f"[{what}] got {type(x).__name__}; want a tensor to differentiate")
    if x.dtype.kind not in ("float", "complex"):
        raise DTypeError(f"[{what}] got {x.dtype}; want a floating-point type")
    if x.edge is not None:
        with set_grad_enabled(True):
            return run(Alias(), x)
    return Tensor(x.array, requires_grad=True)


def _pull(
    output: Tensor, cotangent: Tensor, inputs: Sequence[Tensor], originals: Sequence[Tensor]
) -> tuple[list[Tensor], bool]:
    """Gradients of ``output`` for ``inputs``, recorded only if an outer graph needs it (second)."""
    stop = {id(x.edge) for x in inputs}
    _, leaves = subgraph([output], stop)
    outer = bool(leaves) or any(x.edge is not None for x in (*originals, cotangent))
    with set_grad_enabled(outer):
        found = backward([(output, cotangent)], stop)
    gradients = []
    for x in inputs:
        known = found.get(id(x.edge))
        gradients.append(zeros_like(x) if known is None else known[1])
    return settled(gradients, cotangent), outer


def _positions(argnums: int | Sequence[int], count: int, what: str) -> list[int]:
    spots = [argnums] if isinstance(argnums, int) else list(argnums)
    if any(not 0 <= k < count for k in spots):
        raise GradientError(f"[{what}] argnums={argnums}; the call has {count} arguments")
    return spots


def value_and_grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, *, has_aux: bool = False
) -> Callable[..., tuple[Any, Any]]:
    """A function that gives ``(f(*args), gradient)``; see :func:`grad`.

    >>> import polyback as pb
    >>> y, g = pb.value_and_grad(lambda x: x * x)(pb.asarray(3.0))
    >>> float(y), float(g)
    (9.0, 6.0)
    """

    def call(*args: Any, **options: Any) -> tuple[Any, Any]:
        spots = _positions(argnums, len(args), "grad")
        inputs = {k: _stand_in(args[k], "grad") for k in spots}
        with set_grad_enabled(True):
            result = f(*(inputs.get(k, x) for k, x in enumerate(args)), **options)
        loss = result[0] if has_aux else result
        if not isinstance(loss, Tensor) or loss.size != 1:
            got = loss.shape if isinstance(loss, Tensor) else type(loss).__name__
            raise GradientError(f"[grad] the function gave {got}; want a tensor of one element")
        if loss.dtype.kind == "complex":
            raise GradientError(f"[grad] the function gave {loss.dtype}; want a real number: abs()")
        originals = [args[k] for k in spots]
        parts, outer = _pull(loss, ones_like(loss), list(inputs.values()), originals)
        gradient = parts[0] if isinstance(argnums, int) else tuple(parts)
        value = loss if outer else loss.detach()  # nobody else can use the stand-ins' graph
        return ((value, *result[1:]) if has_aux else value), gradient

    return call


def grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, *, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that gives the gradient of ``f``, which returns one real number.

    For complex arguments ``x + iy`` it is ``df/dx + i df/dy``, the direction of steepest ascent.

    ``argnums``: which argument (an int gives one gradient, a sequence a tuple). ``has_aux``: ``f``
    returns ``(number, anything)`` and the result is ``(gradient, anything)``. Arguments that ``f``
    does not use have gradient zero. Raises GradientError, DTypeError.

    >>> import polyback as pb
    >>> float(pb.grad(pb.grad(lambda x: x * x * x))(pb.asarray(2.0)))
    12.0
    """
    both = value_and_grad(f, argnums, has_aux=has_aux)

    def call(*args: Any, **options: Any) -> Any:
        value, gradient = both(*args, **options)
        return (gradient, value[1]) if has_aux else gradient

    return call


def vjp(f: Callable[..., Tensor], *primals: Tensor) -> tuple[Tensor, Callable[..., Any]]:
    """``(f(*primals), pull)``; ``pull(cotangent)`` gives a tuple with one gradient per primal.

    >>> import polyback as pb
    >>> y, pull = pb.vjp(lambda x: x * x, pb.asarray([1.0, 2.0]))
    >>> pull(pb.ones(2))[0].tolist()
    [2.0, 4.0]
    """
    inputs = [_stand_in(x, "vjp") for x in primals]
    with set_grad_enabled(True):
        y = f(*inputs)

    def pull(cotangent: Tensor) -> tuple[Tensor, ...]:
        if cotangent.shape != y.shape:
            raise ShapeError(f"[vjp] the cotangent is {cotangent.shape}; want {y.shape}")
        return tuple(_pull(y, cotangent, inputs, primals)[0])

    return (y if any(x.edge is not None for x in primals) else y.detach()), pull


def jvp(
    f: Callable[..., Tensor], primals: Sequence[Tensor], tangents: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """``(f(*primals), derivative of f along tangents)``, in forward mode.

    Each recorded operation pushes the tangent on, in order of execution. Raises ShapeError unless
    primals and tangents match.

    >>> import polyback as pb
    >>> y, t = pb.jvp(lambda x: x * x, (pb.asarray(3.0),), (pb.asarray(1.0),))
    >>> float(t)
    6.0
    """
    if [x.shape for x in primals] != [t.shape for t in tangents]:
        raise ShapeError("[jvp] primals and tangents differ in shape or number")
    inputs = [_stand_in(x, "jvp") for x in primals]
    with set_grad_enabled(True):
        y = f(*inputs)
    pairs = zip(inputs, tangents, strict=True)
    known: dict[int, Tensor] = {id(x.edge): fitting(t, x) for x, t in pairs}
    _, leaves = subgraph([y], set(known))
    outer = bool(leaves) or any(x.edge is not None for x in (*primals, *tangents))
    with set_grad_enabled(outer):
        push_forward([y], known)
    tangent = known.get(id(y.edge))
    result = zeros_like(y) if tangent is None else tangent
    return (y if outer else y.detach()), result
