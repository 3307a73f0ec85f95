"""Dropout: switch off random elements while training."""

from __future__ import annotations

from typing import final

from polyback.errors import InvalidArgument
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions import where
from polyback.frontend.nn.module import Module
from polyback.frontend.random import Generator, default_generator
from polyback.frontend.tensor import Tensor


def dropout(
    input: Tensor, p: float = 0.5, training: bool = True, *, generator: Generator | None = None
) -> Tensor:
    """``input / (1 - p)`` with probability ``1 - p``, else 0; ``input`` itself unless ``training``.

    See :class:`Dropout`.

    >>> import polyback as pb
    >>> pb.nn.dropout(pb.ones(3), 1.0).tolist()
    [0.0, 0.0, 0.0]
    """
    check_tensors("dropout", input)
    _check(p, "dropout")
    if not training or p == 0.0:
        return input
    keep = 1.0 - p
    mask = (generator or default_generator()).bernoulli(keep, input.shape, device=input.device)
    return where(mask, input * (1.0 / keep if keep else 0.0), 0.0)


def _check(p: float, what: str) -> None:
    if not 0.0 <= p <= 1.0:
        raise InvalidArgument(f"[{what}] got p={p}; want 0 to 1")


@final
class Dropout(Module):
    """``y = x / (1 - p)`` with probability ``1 - p``, else 0 (Srivastava et al., 2014).

    Only while training; in use (``eval()``) ``y = x``. The mask comes from ``generator``, else
    from ``pb.random.default_generator()``: for one seed it is the same on every device. Raises
    InvalidArgument unless 0 <= p <= 1.

    >>> import polyback as pb
    >>> layer = pb.nn.Dropout(0.5, generator=pb.random.Generator(0))
    >>> set(layer(pb.ones(100)).tolist()) == {0.0, 2.0}, layer.eval()(pb.ones(1)).tolist()
    (True, [1.0])
    """

    def __init__(self, p: float = 0.5, *, generator: Generator | None = None) -> None:
        _check(p, "Dropout")
        self.p, self.generator = float(p), generator

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p, self.training, generator=self.generator)

    def extra_repr(self) -> str:
        return f"p={self.p}"
