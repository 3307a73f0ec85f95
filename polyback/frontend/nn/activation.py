"""Activations as layers: the functions of the same names, with PyTorch's names for the options."""

from __future__ import annotations

from typing import Literal, final

from polyback.errors import InvalidArgument
from polyback.frontend import functions as f
from polyback.frontend.nn.module import Module
from polyback.frontend.tensor import Tensor


class Rectifier(Module):
    """An activation that takes PyTorch's ``inplace``, which changes nothing: what is fused into one
    program needs no memory for its steps, and x stays as it was."""

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace


@final
class ReLU(Rectifier):
    """``max(x, 0)``.

    >>> import polyback as pb
    >>> pb.nn.ReLU()(pb.asarray([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    def forward(self, x: Tensor) -> Tensor:
        return f.relu(x)


@final
class LeakyReLU(Rectifier):
    """``x`` above 0, ``negative_slope * x`` below.

    >>> import polyback as pb
    >>> pb.nn.LeakyReLU(0.5)(pb.asarray([-1.0, 2.0])).tolist()
    [-0.5, 2.0]
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        return f.leaky_relu(x, self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


@final
class ELU(Rectifier):
    """``x`` above 0, ``alpha * (exp(x) - 1)`` below.

    >>> import polyback as pb
    >>> pb.nn.ELU()(pb.asarray([0.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        return f.elu(x, self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


@final
class Sigmoid(Module):
    """``1 / (1 + exp(-x))``.

    >>> import polyback as pb
    >>> pb.nn.Sigmoid()(pb.zeros(1)).tolist()
    [0.5]
    """

    def forward(self, x: Tensor) -> Tensor:
        return f.sigmoid(x)


@final
class Tanh(Module):
    """The hyperbolic tangent.

    >>> import polyback as pb
    >>> pb.nn.Tanh()(pb.zeros(1)).tolist()
    [0.0]
    """

    def forward(self, x: Tensor) -> Tensor:
        return f.tanh(x)


@final
class GELU(Module):
    """``x * Phi(x)`` with the normal distribution function Phi, or its ``"tanh"`` approximation.

    >>> import polyback as pb
    >>> pb.nn.GELU()(pb.zeros(1)).tolist()
    [0.0]
    """

    def __init__(self, approximate: Literal["none", "tanh"] = "none") -> None:
        if approximate not in ("none", "tanh"):
            raise InvalidArgument(f"[GELU] got approximate={approximate!r}; want 'none' or 'tanh'")
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        return f.gelu(x, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


@final
class SiLU(Rectifier):
    """``x * sigmoid(x)``.

    >>> import polyback as pb
    >>> pb.nn.SiLU()(pb.zeros(1)).tolist()
    [0.0]
    """

    def forward(self, x: Tensor) -> Tensor:
        return f.silu(x)


@final
class Softplus(Module):
    """``log(1 + exp(beta * x)) / beta``, exact everywhere (PyTorch: ``x`` where large).

    >>> import polyback as pb
    >>> pb.nn.Softplus()(pb.asarray([1000.0])).tolist()
    [1000.0]
    """

    def __init__(self, beta: float = 1.0) -> None:
        self.beta = beta

    def forward(self, x: Tensor) -> Tensor:
        return f.softplus(x, self.beta)

    def extra_repr(self) -> str:
        return f"beta={self.beta}"


@final
class LogSigmoid(Module):
    """``log(sigmoid(x))``.

    >>> import polyback as pb
    >>> pb.nn.LogSigmoid()(pb.asarray([-1000.0])).tolist()
    [-1000.0]
    """

    def forward(self, x: Tensor) -> Tensor:
        return f.log_sigmoid(x)


@final
class SELU(Rectifier):
    """``s * elu(x, a)`` with the s and a that keep mean 0 and variance 1.

    >>> import polyback as pb
    >>> pb.nn.SELU()(pb.zeros(1)).tolist()
    [0.0]
    """

    def forward(self, x: Tensor) -> Tensor:
        return f.selu(x)


@final
class Mish(Rectifier):
    """``x * tanh(softplus(x))``.

    >>> import polyback as pb
    >>> pb.nn.Mish()(pb.zeros(1)).tolist()
    [0.0]
    """

    def forward(self, x: Tensor) -> Tensor:
        return f.mish(x)


@final
class Hardtanh(Rectifier):
    """``x`` limited to [``min_val``, ``max_val``].

    >>> import polyback as pb
    >>> pb.nn.Hardtanh()(pb.asarray([-5.0, 0.5])).tolist()
    [-1.0, 0.5]
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        if not min_val < max_val:
            raise InvalidArgument(f"[Hardtanh] got {min_val} to {max_val}; want min_val < max_val")
        self.min_val, self.max_val = min_val, max_val

    def forward(self, x: Tensor) -> Tensor:
        return f.hardtanh(x, self.min_val, self.max_val)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}"


@final
class ReLU6(Rectifier):
    """``min(max(x, 0), 6)``.

    >>> import polyback as pb
    >>> pb.nn.ReLU6()(pb.asarray([-5.0, 8.0])).tolist()
    [0.0, 6.0]
    """

    def forward(self, x: Tensor) -> Tensor:
        return f.relu6(x)


@final
class Hardsigmoid(Rectifier):
    """``min(max(x + 3, 0), 6) / 6``.

    >>> import polyback as pb
    >>> pb.nn.Hardsigmoid()(pb.zeros(1)).tolist()
    [0.5]
    """

    def forward(self, x: Tensor) -> Tensor:
        return f.hardsigmoid(x)


@final
class Hardswish(Rectifier):
    """``x * hardsigmoid(x)``.

    >>> import polyback as pb
    >>> pb.nn.Hardswish()(pb.asarray([5.0])).tolist()
    [5.0]
    """

    def forward(self, x: Tensor) -> Tensor:
        return f.hardswish(x)


@final
class Softsign(Module):
    """``x / (1 + |x|)``.

    >>> import polyback as pb
    >>> pb.nn.Softsign()(pb.asarray([3.0])).tolist()
    [0.75]
    """

    def forward(self, x: Tensor) -> Tensor:
        return f.softsign(x)


@final
class Softmax(Module):
    """``exp(x) / sum(exp(x))`` along the axis ``dim``.

    >>> import polyback as pb
    >>> pb.nn.Softmax()(pb.zeros((1, 2))).tolist()
    [[0.5, 0.5]]
    """

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return f.softmax(x, axis=self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


@final
class LogSoftmax(Module):
    """``x - log(sum(exp(x)))`` along the axis ``dim``.

    >>> import polyback as pb
    >>> pb.nn.LogSoftmax()(pb.zeros(1)).tolist()
    [0.0]
    """

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return f.log_softmax(x, axis=self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"
