"""Activations that are more than a formula of one number: learned slopes, and gates."""

from __future__ import annotations

from typing import Any, final

from polyback.dtype import DEFAULT_FLOAT
from polyback.errors import InvalidArgument, ShapeError
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions import full, reshape, sigmoid, where
from polyback.frontend.functions.creation import Where
from polyback.frontend.nn.module import Module, Parameter
from polyback.frontend.tensor import Tensor
from polyback.view import normalize_axis


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """``x`` above 0, ``weight * x`` below (He et al., 2015): weight (1,), or (C,) for x (N, C, ...)
    or (C,). Raises ShapeError for another weight.

    >>> import polyback as pb
    >>> pb.nn.prelu(pb.asarray([[-2.0, -2.0]]), pb.asarray([0.5, 1.0])).tolist()
    [[-1.0, -2.0]]
    """
    check_tensors("prelu", input, weight)
    channels = input.shape[1] if input.ndim > 1 else input.size
    if weight.shape not in ((), (1,), (channels,)):
        raise ShapeError(f"[prelu] got {input.shape}, a weight {weight.shape}; want ({channels},)")
    if weight.shape == (channels,) and input.ndim > 1:
        weight = reshape(weight, (1, channels) + (1,) * (input.ndim - 2))
    return where(input > 0, input, weight * input)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """``a * sigmoid(b)`` for the halves a and b of ``input`` along axis ``dim`` (Dauphin et al.,
    2017). Raises ShapeError for an odd size.

    >>> import polyback as pb
    >>> pb.nn.glu(pb.asarray([4.0, 0.0])).tolist()
    [2.0]
    """
    check_tensors("glu", input)
    spot = normalize_axis(dim, input.ndim, "glu")
    half, odd = divmod(input.shape[spot], 2)
    if odd:
        raise ShapeError(f"[glu] got {input.shape}; want an even size along axis {spot}")
    before = (slice(None),) * spot
    return input[(*before, slice(0, half))] * sigmoid(input[(*before, slice(half, None))])


@final
class PReLU(Module):
    """:func:`prelu` with a trained ``weight`` (num_parameters,), all ``init`` at first.

    >>> import polyback as pb
    >>> pb.nn.PReLU(init=0.5)(pb.asarray([-2.0])).tolist()
    [-1.0]
    """

    def __init__(
        self,
        num_parameters: int = 1,
        init: float = 0.25,
        *,
        device: Where = None,
        dtype: Any = None,
    ) -> None:
        if num_parameters < 1:
            raise InvalidArgument(f"[PReLU] got {num_parameters} parameters; want 1 or more")
        kind = dtype or DEFAULT_FLOAT
        self.weight = Parameter(full(num_parameters, init, dtype=kind, device=device))

    def forward(self, x: Tensor) -> Tensor:
        return prelu(x, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.weight.size}"


@final
class GLU(Module):
    """:func:`glu` as a layer.

    >>> import polyback as pb
    >>> pb.nn.GLU()(pb.zeros((5, 6))).shape
    (5, 3)
    """

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return glu(x, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"
