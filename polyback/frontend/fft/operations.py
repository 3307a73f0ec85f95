"""Discrete Fourier transforms as operations. They are linear, so the gradient of each is another
transform, its adjoint, and derivatives of any order come free.

``y[k] = scale * sum_t x[t] exp(-2 pi i k t / n)``, or with ``+`` for the inverse ones, along each
axis. The adjoint has the other sign and the same scale; as the scale of the norm "backward" belongs
to the inverse transform and that of "forward" to the other, it has the other norm too.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, final

import numpy as np

from polyback.array import Array
from polyback.frontend.functions import asarray
from polyback.frontend.op import Op, run
from polyback.frontend.tensor import Tensor
from polyback.host import on_host

Norm = Literal["backward", "ortho", "forward"]
OTHER_NORM: Final[dict[str, Norm]] = {
    "backward": "forward",
    "ortho": "ortho",
    "forward": "backward",
}


class Transform(Op, ABC):
    """A transform along ``axes``, the last of which is the one that real numbers halve."""

    def __init__(self, axes: Sequence[int], norm: Norm) -> None:
        self.axes, self.norm = tuple(axes), norm

    def compute(self, function: Callable[..., Any], x: Array, **options: Any) -> Array:
        """``function`` of NumPy on the host."""
        return on_host(
            self.name, lambda x: (function(x, axes=self.axes, norm=self.norm, **options),), x
        )[0]


@final
class ComplexTransform(Transform):
    """From complex numbers to complex numbers."""

    def __init__(self, axes: Sequence[int], norm: Norm, inverse: bool) -> None:
        super().__init__(axes, norm)
        self.inverse = inverse

    @property
    def name(self) -> str:
        return "ifft" if self.inverse else "fft"

    def forward(self, x: Array) -> Array:
        return self.compute(np.fft.ifftn if self.inverse else np.fft.fftn, x)

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        return run(ComplexTransform(self.axes, OTHER_NORM[self.norm], not self.inverse), g)


@final
class RealTransform(Transform):
    """From real numbers to the first half of their spectrum, ``n // 2 + 1`` of ``n``."""

    name = "rfft"

    def __init__(self, axes: Sequence[int], norm: Norm, n: int) -> None:
        super().__init__(axes, norm)
        self.n = n

    def forward(self, x: Array) -> Array:
        return self.compute(np.fft.rfftn, x)

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        halved = g * _inner(self.n, 0.5, g, self.axes[-1])  # the inverse doubles them
        return run(RealInverse(self.axes, OTHER_NORM[self.norm], self.n), halved)


@final
class RealInverse(Transform):
    """From half a spectrum to the ``n`` real numbers that have it."""

    name = "irfft"

    def __init__(self, axes: Sequence[int], norm: Norm, n: int) -> None:
        super().__init__(axes, norm)
        self.n = n

    def forward(self, x: Array) -> Array:
        sizes = (*(x.shape[a] for a in self.axes[:-1]), self.n)
        return self.compute(np.fft.irfftn, x, s=sizes)

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        back = run(RealTransform(self.axes, OTHER_NORM[self.norm], self.n), g)
        return back * _inner(self.n, 2.0, back, self.axes[-1])


def _inner(n: int, weight: float, like: Tensor, axis: int) -> Tensor:
    """``weight`` along ``axis`` for the frequencies of half a spectrum that stand for two of the
    whole one, 1 for the others: 0, and n / 2 for even n."""
    weights = np.ones(n // 2 + 1)
    weights[1 : (n + 1) // 2] = weight
    shape = [-1 if a == axis else 1 for a in range(like.ndim)]
    return asarray(weights.reshape(shape), dtype=like.dtype, device=like.device)
