"""Limits on gradients, applied between ``backward()`` and ``step()``."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from polyback.errors import GradientError, InvalidArgument
from polyback.frontend.autograd import no_grad
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions import (
    abs,
    add,
    clip,
    isfinite,
    max,
    maximum,
    minimum,
    sqrt,
    sum,
)
from polyback.frontend.functions.creation import to_device
from polyback.frontend.functions.reduction import square_magnitude
from polyback.frontend.tensor import Tensor


def _with_gradients(parameters: Iterable[Tensor] | Tensor, limit: Any, what: str) -> list[Tensor]:
    if not isinstance(limit, (int, float)) or not limit >= 0.0:
        raise InvalidArgument(f"[{what}] got a limit of {limit!r}; want a number of 0 or more")
    given = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    check_tensors(what, *given)
    return [p for p in given if p.grad is not None]


def clip_grad_norm_(
    parameters: Iterable[Tensor] | Tensor,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> float:
    """Scale all gradients together so that the norm of all their elements is at most ``max_norm``:
    ``(sum |g|**t) ** (1 / t)`` with t = ``norm_type``, or the largest ``|g|`` for t = inf.

    Returns the norm before. As PyTorch: the factor is ``min(max_norm / (norm + 1e-6), 1)``.
    ``error_if_nonfinite``: raise GradientError, and change nothing, where the norm is infinite or
    NaN.

    >>> import polyback as pb
    >>> p = pb.asarray([3.0, 4.0], requires_grad=True)
    >>> p.grad = pb.asarray([3.0, 4.0])
    >>> pb.optim.clip_grad_norm_([p], 1.0), round(float(p.grad[0]), 4)
    (5.0, 0.6)
    """
    found = _with_gradients(parameters, max_norm, "clip_grad_norm_")
    if not norm_type > 0:
        raise InvalidArgument(f"[clip_grad_norm_] got norm_type={norm_type}; want a number above 0")
    with no_grad():
        parts: list[Tensor] = [_power(p.grad, norm_type) for p in found if p.grad is not None]
        if not parts:
            return 0.0
        place, combine = parts[0].device, maximum if norm_type == math.inf else add
        total = parts[0]
        for other in parts[1:]:
            total = combine(total, to_device(other, place))
        norm = total if norm_type == math.inf else total ** (1.0 / norm_type)
        if norm_type == 2.0:
            norm = sqrt(total)
        if error_if_nonfinite and not isfinite(norm).item():
            raise GradientError(f"[clip_grad_norm_] the norm of the gradients is {norm.item()}")
        factor = minimum(float(max_norm) / (norm + 1e-6), 1.0)
        for p in found:
            if p.grad is not None:
                p.grad = p.grad * to_device(factor, p.grad.device).astype(p.grad.dtype)
        return float(norm)


def _power(gradient: Tensor, norm_type: float) -> Tensor:
    """What the joint norm is made of: a sum of powers, or the largest."""
    if norm_type == 2.0:
        return sum(square_magnitude(gradient))
    size = abs(gradient)
    if norm_type == math.inf:
        return max(size) if size.size else sum(size)
    return sum(size if norm_type == 1.0 else size**norm_type)


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
