"""Activations, and other formulas over the scalar functions; each fuses into one program."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, Literal, final

from polyback import scalar
from polyback.array import Array
from polyback.errors import InvalidArgument
from polyback.frontend.checks import check_tensors
from polyback.frontend.formula import Formula
from polyback.frontend.functions.elementwise import apply
from polyback.frontend.functions.exponential import erf, expm1, logaddexp, sigmoid
from polyback.frontend.functions.trigonometry import tanh
from polyback.frontend.op import Op, run
from polyback.frontend.tensor import Tensor


@final
class Activation(Op):
    """y = f(x); dx = slope(g, x)"""

    def __init__(self, f: Formula, slope: Formula) -> None:
        self.f, self.slope = f, slope

    @property
    def name(self) -> str:
        return self.f.name

    def forward(self, x: Array) -> Array:
        return self.f.on(x)

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        result: Tensor = self.slope(g, *operands)
        return result

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        (t,) = tangents
        assert t is not None
        return self.gradient(0, t, y, *operands)

    def saves(self, operand: int) -> frozenset[int]:
        return frozenset({0})


def _silu_slope(g: Any, x: Any) -> Any:
    s = scalar.SIGMOID(x)
    return g * s + (g * x) * (s * (1.0 - s))


SILU: Final = Formula("silu", lambda x: x * scalar.SIGMOID(x), 1)
SILU_SLOPE: Final = Formula("silu_slope", _silu_slope, 2)


def relu(x: Tensor, /) -> Tensor:
    """``max(x, 0)``. Real types; the gradient at 0 is 0.

    >>> import polyback as pb
    >>> pb.relu(pb.asarray([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    return apply(scalar.RELU, x)


def leaky_relu(x: Tensor, /, negative_slope: float = 0.01) -> Tensor:
    """``x`` above 0, ``negative_slope * x`` below.

    >>> import polyback as pb
    >>> pb.leaky_relu(pb.asarray([-1.0, 2.0]), 0.5).tolist()
    [-0.5, 2.0]
    """
    check_tensors("leaky_relu", x)
    return where(x > 0, x, x * negative_slope)


def silu(x: Tensor, /) -> Tensor:
    """``x * sigmoid(x)``, also called swish (Elfwing et al., 2018).

    >>> import polyback as pb
    >>> pb.silu(pb.asarray([0.0])).tolist()
    [0.0]
    """
    check_tensors("silu", x)
    return run(Activation(SILU, SILU_SLOPE), x) if x.dtype.kind == "float" else x * sigmoid(x)


def gelu(x: Tensor, /, approximate: Literal["none", "tanh"] = "none") -> Tensor:
    """``x * Phi(x)`` with the normal distribution function Phi (Hendrycks and Gimpel, 2016).

    ``"none"``: ``x/2 * (1 + erf(x / sqrt 2))``; ``"tanh"``: the paper's approximation
    ``x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x**3)))``.

    >>> import polyback as pb
    >>> pb.gelu(pb.asarray([0.0])).tolist()
    [0.0]
    """
    check_tensors("gelu", x)
    if approximate == "none":
        return 0.5 * x * (1.0 + erf(x * math.sqrt(0.5)))
    if approximate == "tanh":
        return 0.5 * x * (1.0 + tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))))
    raise InvalidArgument(f"[gelu] approximate={approximate!r}; want 'none' or 'tanh'")


def elu(x: Tensor, /, alpha: float = 1.0) -> Tensor:
    """``x`` above 0, ``alpha * (exp(x) - 1)`` below (Clevert et al., 2016).

    >>> import polyback as pb
    >>> pb.elu(pb.asarray([0.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    check_tensors("elu", x)
    below = expm1(where(x > 0, 0.0, x))  # no overflow in the unused arm
    return where(x > 0, x, alpha * below)


def selu(x: Tensor, /) -> Tensor:
    """``s * elu(x, a)`` with the s and a that keep mean 0, variance 1 (Klambauer et al., 2017).

    >>> import polyback as pb
    >>> round(float(pb.selu(pb.asarray(1.0))), 4)
    1.0507
    """
    check_tensors("selu", x)
    return 1.0507009873554804934193349852946 * elu(x, 1.6732632423543772848170429916717)


def softplus(x: Tensor, /, beta: float = 1.0) -> Tensor:
    """``log(1 + exp(beta * x)) / beta`` without overflow.

    >>> import polyback as pb
    >>> float(pb.softplus(pb.asarray(1000.0)))
    1000.0
    """
    check_tensors("softplus", x)
    return logaddexp(x, 0.0) if beta == 1.0 else logaddexp(x * beta, 0.0) / beta


def log_sigmoid(x: Tensor, /) -> Tensor:
    """``log(sigmoid(x)) = -log(1 + exp(-x))`` without overflow.

    >>> import polyback as pb
    >>> float(pb.log_sigmoid(pb.asarray(-1000.0)))
    -1000.0
    """
    check_tensors("log_sigmoid", x)
    return -logaddexp(-x, 0.0)


def mish(x: Tensor, /) -> Tensor:
    """``x * tanh(softplus(x))`` (Misra, 2019).

    >>> import polyback as pb
    >>> float(pb.mish(pb.asarray(0.0)))
    0.0
    """
    check_tensors("mish", x)
    return x * tanh(logaddexp(x, 0.0))


def hardtanh(x: Tensor, /, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """``x`` limited to [``min_val``, ``max_val``]; the gradient at the limits is 0.

    >>> import polyback as pb
    >>> pb.hardtanh(pb.asarray([-5.0, 0.5, 5.0])).tolist()
    [-1.0, 0.5, 1.0]
    """
    check_tensors("hardtanh", x)
    return where(x <= min_val, min_val, where(x >= max_val, max_val, x))


def relu6(x: Tensor, /) -> Tensor:
    """``min(max(x, 0), 6)`` (Howard et al., 2017); the gradient at 0 and 6 is 0.

    >>> import polyback as pb
    >>> pb.relu6(pb.asarray([-5.0, 0.5, 8.0])).tolist()
    [0.0, 0.5, 6.0]
    """
    check_tensors("relu6", x)
    return hardtanh(x, 0.0, 6.0)


def hardsigmoid(x: Tensor, /) -> Tensor:
    """``min(max(x + 3, 0), 6) / 6``, a sigmoid of straight lines; the gradient at -3 and 3 is 0.

    >>> import polyback as pb
    >>> pb.hardsigmoid(pb.asarray([-5.0, 0.0, 5.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    check_tensors("hardsigmoid", x)
    return relu6(x + 3.0) / 6.0


def hardswish(x: Tensor, /) -> Tensor:
    """``x * hardsigmoid(x)`` (Howard et al., 2019).

    >>> import polyback as pb
    >>> pb.hardswish(pb.asarray([-5.0, 0.0, 5.0])).tolist()
    [0.0, 0.0, 5.0]
    """
    check_tensors("hardswish", x)
    return where(x <= -3.0, 0.0, where(x >= 3.0, x, x * (x + 3.0) / 6.0))


def softsign(x: Tensor, /) -> Tensor:
    """``x / (1 + |x|)``.

    >>> import polyback as pb
    >>> pb.softsign(pb.asarray([-1.0, 3.0])).tolist()
    [-0.5, 0.75]
    """
    check_tensors("softsign", x)
    return x / (1.0 + apply(scalar.ABS, x))


def clip(x: Tensor, /, min: Any = None, max: Any = None) -> Tensor:
    """``x`` limited to [``min``, ``max``]; None leaves a side open. NaN stays NaN. Real types.

    >>> import polyback as pb
    >>> pb.clip(pb.asarray([-5, 0, 5]), -1, 1).tolist()
    [-1, 0, 1]
    """
    check_tensors("clip", x)
    if min is None and max is None:
        return apply(scalar.MAXIMUM, x, x)
    if min is not None:
        x = apply(scalar.MAXIMUM, x, min)
    if max is not None:
        x = apply(scalar.MINIMUM, x, max)
    return x


def where(condition: Tensor, x1: Any, x2: Any, /) -> Tensor:
    """``x1`` where ``condition`` is true, else ``x2``; all three broadcast.

    >>> import polyback as pb
    >>> pb.where(pb.asarray([True, False]), 1, 2).tolist()
    [1, 2]
    """
    return apply(scalar.WHERE, condition, x1, x2)
