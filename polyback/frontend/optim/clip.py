"""Limits on gradients, applied between ``backward()`` and ``step()``."""

from __future__ import annotations

from collections.abc import Iterable

from polyback.errors import InvalidArgument
from polyback.frontend.autograd import no_grad
from polyback.frontend.functions import clip, minimum, sqrt, sum
from polyback.frontend.functions.creation import to_device
from polyback.frontend.functions.reduction import square_magnitude
from polyback.frontend.tensor import Tensor


def _with_gradients(parameters: Iterable[Tensor] | Tensor, limit: float, what: str) -> list[Tensor]:
    if not limit >= 0.0:
        raise InvalidArgument(f"[{what}] got a limit of {limit}; want 0 or more")
    given = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p for p in given if p.grad is not None]


def clip_grad_norm_(parameters: Iterable[Tensor] | Tensor, max_norm: float) -> float:
    """Scale all gradients together so that their joint 2-norm is at most ``max_norm``.

    Returns the norm before. As PyTorch: the factor is ``min(max_norm / (norm + 1e-6), 1)``.

    >>> import polyback as pb
    >>> p = pb.asarray([3.0, 4.0], requires_grad=True)
    >>> p.grad = pb.asarray([3.0, 4.0])
    >>> pb.optim.clip_grad_norm_([p], 1.0), round(float(p.grad[0]), 4)
    (5.0, 0.6)
    """
    found = _with_gradients(parameters, max_norm, "clip_grad_norm_")
    with no_grad():
        squares: list[Tensor] = [sum(square_magnitude(p.grad)) for p in found if p.grad is not None]
        if not squares:
            return 0.0
        place = squares[0].device
        total = squares[0]
        for other in squares[1:]:
            total = total + to_device(other, place)
        norm = sqrt(total)
        factor = minimum(float(max_norm) / (norm + 1e-6), 1.0)
        for p in found:
            if p.grad is not None:
                p.grad = p.grad * to_device(factor, p.grad.device).astype(p.grad.dtype)
        return float(norm)


def clip_grad_value_(parameters: Iterable[Tensor] | Tensor, clip_value: float) -> None:
    """Limit every element of every gradient to [-clip_value, clip_value].

    >>> import polyback as pb
    >>> p = pb.asarray([3.0], requires_grad=True)
    >>> p.grad = pb.asarray([3.0])
    >>> pb.optim.clip_grad_value_([p], 0.5)
    >>> p.grad.tolist()
    [0.5]
    """
    with no_grad():
        for p in _with_gradients(parameters, clip_value, "clip_grad_value_"):
            assert p.grad is not None
            p.grad = clip(p.grad, -float(clip_value), float(clip_value))
