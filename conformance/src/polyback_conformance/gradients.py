"""Closed forms of derivatives, and where they are well conditioned."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from polyback.scalar import TABLE, WHERE, Scalar

# Where each row is smooth and well conditioned; the others take DOMAIN for every operand.
DOMAIN: Final = (0.2, 1.8)
DOMAINS: Final[dict[str, tuple[tuple[float, float], ...]]] = {
    "asin": ((-0.8, 0.8),), "acos": ((-0.8, 0.8),), "atanh": ((-0.8, 0.8),),
    "acosh": ((1.3, 3.0),), "relu": ((-2, 2),), "abs": ((-2, 2),), "sigmoid": ((-4, 4),),
    "tanh": ((-2, 2),), "erf": ((-1.5, 1.5),), "tan": ((-1, 1),), "sin": ((-3, 3),),
    "cos": ((-3, 3),), "exp": ((-3, 3),), "remainder": ((5.0, 7.0), (2.1, 2.3)),
    "logaddexp": ((-2, 2), (-2, 2)), "atan2": ((0.5, 2), (-2, -0.5)),
    "copysign": ((1, 2), (-2, -1)),
    "maximum": ((-2, 2), (-2, 2)), "minimum": ((-2, 2), (-2, 2)), "multiply": ((-2, 2), (-2, 2)),
    "square": ((-2, 2),), "expm1": ((-1, 2),), "sinh": ((-2, 2),), "cosh": ((-2, 2),),
}  # fmt: skip

Derivatives = Callable[..., tuple[Any, ...]]


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


FIRST: Final[dict[str, Derivatives]] = {
    "add": lambda a, b: (1 + 0 * a, 1 + 0 * b),
    "subtract": lambda a, b: (1 + 0 * a, -1 + 0 * b),
    "multiply": lambda a, b: (b, a),
    "divide": lambda a, b: (1 / b, -a / b**2),
    "remainder": lambda a, b: (1 + 0 * a, -np.floor(a / b)),
    "pow": lambda a, b: (b * a ** (b - 1), a**b * np.log(a)),
    "negative": lambda x: (-1 + 0 * x,),
    "positive": lambda x: (1 + 0 * x,),
    "abs": lambda x: (np.sign(x),),
    "square": lambda x: (2 * x,),
    "reciprocal": lambda x: (-1 / x**2,),
    "sqrt": lambda x: (0.5 / np.sqrt(x),),
    "hypot": lambda a, b: (a / np.hypot(a, b), b / np.hypot(a, b)),
    "maximum": lambda a, b: ((a > b) * 1.0, (b > a) * 1.0),
    "minimum": lambda a, b: ((a < b) * 1.0, (b < a) * 1.0),
    "relu": lambda x: ((x > 0) * 1.0,),
    "exp": lambda x: (np.exp(x),),
    "expm1": lambda x: (np.exp(x),),
    "log": lambda x: (1 / x,),
    "log1p": lambda x: (1 / (1 + x),),
    "log2": lambda x: (1 / (x * math.log(2)),),
    "log10": lambda x: (1 / (x * math.log(10)),),
    "logaddexp": lambda a, b: (_sigmoid(a - b), _sigmoid(b - a)),
    "sigmoid": lambda x: (_sigmoid(x) * _sigmoid(-x),),
    "erf": lambda x: (2 / math.sqrt(math.pi) * np.exp(-(x**2)),),
    "sin": lambda x: (np.cos(x),),
    "cos": lambda x: (-np.sin(x),),
    "tan": lambda x: (1 / np.cos(x) ** 2,),
    "asin": lambda x: (1 / np.sqrt(1 - x**2),),
    "acos": lambda x: (-1 / np.sqrt(1 - x**2),),
    "atan": lambda x: (1 / (1 + x**2),),
    "atan2": lambda a, b: (b / (a**2 + b**2), -a / (a**2 + b**2)),
    "sinh": lambda x: (np.cosh(x),),
    "cosh": lambda x: (np.sinh(x),),
    "tanh": lambda x: (1 / np.cosh(x) ** 2,),
    "asinh": lambda x: (1 / np.sqrt(x**2 + 1),),
    "acosh": lambda x: (1 / np.sqrt(x**2 - 1),),
    "atanh": lambda x: (1 / (1 - x**2),),
    "copysign": lambda a, b: (np.sign(a) * np.sign(b), None),
}
SECOND: Final[dict[str, Callable[[Any], Any]]] = {
    "exp": np.exp,
    "sin": lambda x: -np.sin(x),
    "cos": lambda x: -np.cos(x),
    "log": lambda x: -1 / x**2,
    "sqrt": lambda x: -0.25 * x**-1.5,
    "square": lambda x: 2 + 0 * x,
    "reciprocal": lambda x: 2 / x**3,
    "tanh": lambda x: -2 * np.tanh(x) / np.cosh(x) ** 2,
    "sigmoid": lambda x: _sigmoid(x) * _sigmoid(-x) * (1 - 2 * _sigmoid(x)),
    "atan": lambda x: -2 * x / (1 + x**2) ** 2,
    "erf": lambda x: -4 * x / math.sqrt(math.pi) * np.exp(-(x**2)),
    "log1p": lambda x: -1 / (1 + x) ** 2,
    "sinh": np.sinh,
    "cosh": np.cosh,
}


def differentiable_rows() -> list[Scalar]:
    """Rows that have a gradient on real numbers."""
    return [
        row for row in TABLE if row.grad is not None and any(d.name == "float64" for d in row.takes)
    ]


def operands(row: Scalar, rng: np.random.Generator, n: int) -> list[Any]:
    """Well-conditioned operands, exact in float32, as float64 (the condition of WHERE: bool)."""
    if row is WHERE:
        return [rng.random(n) < 0.5, *(_draw(rng, (-2, 2), n) for _ in range(2))]
    domains = DOMAINS.get(row.name, (DOMAIN,) * row.arity)
    return [_draw(rng, domain, n) for domain in domains]


def _draw(rng: np.random.Generator, domain: tuple[float, float], n: int) -> Any:
    return rng.uniform(*domain, n).astype(np.float32).astype(np.float64)


def first_derivatives(row: Scalar, given: list[Any]) -> list[Any]:
    """The closed forms, one per operand; None where there is none."""
    if row is WHERE:
        cond = given[0]
        return [None, cond * 1.0, ~cond * 1.0]
    found = FIRST.get(row.name)
    return [None] * row.arity if found is None else list(found(*given))
