"""How weights of layers start, where PyTorch's do not say otherwise."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from polyback.frontend.functions.creation import Where
from polyback.frontend.nn import init
from polyback.frontend.nn.module import Parameter
from polyback.frontend.random import Generator
from polyback.frontend.tensor import Tensor


def uniform_start(
    fan: int, *, generator: Generator | None, device: Where, dtype: Any
) -> Callable[..., Tensor]:
    """A function from sizes to a parameter uniform in [-b, b) with ``b = 1 / sqrt(fan)``.

    With the fan_in of a weight this is kaiming_uniform with a = sqrt 5.
    """
    bound = 1.0 / math.sqrt(max(fan, 1))

    def parameter(*sizes: int) -> Tensor:
        return Parameter(
            init.uniform(sizes, -bound, bound, generator=generator, device=device, dtype=dtype)
        )

    return parameter
