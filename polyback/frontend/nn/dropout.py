"""Dropout: switch off random elements while training."""

from __future__ import annotations

from typing import final

from polyback.errors import InvalidArgument
from polyback.frontend.functions import where
from polyback.frontend.nn.module import Module
from polyback.frontend.random import Generator, default_generator
from polyback.frontend.tensor import Tensor


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
        if not 0.0 <= p <= 1.0:
            raise InvalidArgument(f"[Dropout] got p={p}; want 0 to 1")
        self.p, self.generator = float(p), generator

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0.0:
            return x
        keep = 1.0 - self.p
        generator = self.generator or default_generator()
        mask = generator.bernoulli(keep, x.shape, device=x.device)
        return where(mask, x * (1.0 / keep if keep else 0.0), 0.0)

    def extra_repr(self) -> str:
        return f"p={self.p}"
