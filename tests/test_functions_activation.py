"""Activations on every device: values against their formulas in float64, extremes, gradients."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from against_numpy import FLOATS, close, same

import polyback as pb
from polyback.dtype import DType

X = np.linspace(-6, 6, 41)
ERF = np.vectorize(math.erf)
FORMULAS: dict[str, tuple[Callable[..., pb.Tensor], Callable[[np.ndarray], np.ndarray]]] = {
    "relu": (pb.relu, lambda x: np.maximum(x, 0)),
    "leaky_relu": (pb.leaky_relu, lambda x: np.where(x > 0, x, 0.01 * x)),
    "leaky_relu 0.3": (lambda x: pb.leaky_relu(x, 0.3), lambda x: np.where(x > 0, x, 0.3 * x)),
    "silu": (pb.silu, lambda x: x / (1 + np.exp(-x))),
    "sigmoid": (pb.sigmoid, lambda x: 1 / (1 + np.exp(-x))),
    "gelu": (pb.gelu, lambda x: x / 2 * (1 + ERF(x / math.sqrt(2)))),
    "gelu tanh": (
        lambda x: pb.gelu(x, "tanh"),
        lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    ),
    "elu": (pb.elu, lambda x: np.where(x > 0, x, np.expm1(x))),
    "elu 0.5": (lambda x: pb.elu(x, 0.5), lambda x: np.where(x > 0, x, 0.5 * np.expm1(x))),
    "selu": (
        pb.selu,
        lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
    ),
    "softplus": (pb.softplus, lambda x: np.log1p(np.exp(x))),
    "softplus 2": (lambda x: pb.softplus(x, 2.0), lambda x: np.log1p(np.exp(2 * x)) / 2),
    "log_sigmoid": (pb.log_sigmoid, lambda x: -np.log1p(np.exp(-x))),
    "mish": (pb.mish, lambda x: x * np.tanh(np.log1p(np.exp(x)))),
    "hardtanh": (lambda x: pb.hardtanh(x, -0.5, 3.0), lambda x: np.clip(x, -0.5, 3.0)),
    "relu6": (pb.relu6, lambda x: np.clip(x, 0, 6)),
    "hardsigmoid": (pb.hardsigmoid, lambda x: np.clip(x + 3, 0, 6) / 6),
    "hardswish": (pb.hardswish, lambda x: x * np.clip(x + 3, 0, 6) / 6),
    "softsign": (pb.softsign, lambda x: x / (1 + np.abs(x))),
    "erf": (pb.erf, ERF),
    "clip": (lambda x: pb.clip(x, -1.0, 2.5), lambda x: np.clip(x, -1, 2.5)),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_values(device: str, name: str) -> None:
    f, want = FORMULAS[name]
    for dtype in (pb.float32, pb.float64):
        x = X.astype(dtype.numpy)
        close(f(pb.asarray(x, device=device)), want(x.astype(np.float64)), dtype)


@pytest.mark.parametrize("name", FORMULAS)
def test_gradients(device: str, name: str) -> None:
    x = pb.asarray(X + 0.01, device=device)  # off the kinks
    pb.testing.check_grad(FORMULAS[name][0], x)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_types_are_kept(device: str, dtype: DType) -> None:
    x = pb.asarray([-1.0, 0.0, 2.0], dtype=dtype, device=device)
    for f, _ in FORMULAS.values():
        assert f(x).dtype is dtype


def test_large_arguments_neither_overflow_nor_turn_into_nan(device: str) -> None:
    x = pb.asarray([-1000.0, 1000.0, -np.inf, np.inf], device=device)
    inf = np.inf
    assert pb.sigmoid(x).tolist() == [0.0, 1.0, 0.0, 1.0]
    assert pb.softplus(x).tolist() == [0.0, 1000.0, 0.0, inf]
    assert pb.elu(x).tolist() == [-1.0, 1000.0, -1.0, inf]
    assert pb.relu(x).tolist() == [0.0, 1000.0, 0.0, inf]
    assert pb.gelu(x[:2]).tolist() == [0.0, 1000.0]
    assert pb.sigmoid(pb.asarray([-100.0], device=device)).item() == pytest.approx(np.exp(-100.0))
    for f in (pb.elu, pb.softplus, pb.sigmoid, pb.silu):
        assert np.isfinite(pb.grad(lambda x, f=f: pb.sum(f(x)))(x[:2]).numpy()).all()


def test_nan_stays_nan(device: str) -> None:
    x = pb.asarray([np.nan], device=device)
    for name, (f, _) in FORMULAS.items():
        assert np.isnan(f(x).item()), name


def test_clip_leaves_sides_open_and_takes_tensors(device: str) -> None:
    x = pb.asarray([-5, 0, 5], device=device)
    assert pb.clip(x).tolist() == [-5, 0, 5]
    assert pb.clip(x, min=-1).tolist() == [-1, 0, 5]
    assert pb.clip(x, max=1).tolist() == [-5, 0, 1]
    low = pb.asarray([[0], [1]], device=device)
    same(pb.clip(x, low, 4), np.clip(np.array([-5, 0, 5]), [[0], [1]], 4))
    assert pb.clip(x, 3, -3).tolist() == [-3, -3, -3]  # the upper end wins
    assert pb.relu(pb.asarray([-3, 3], device=device)).tolist() == [0, 3]


def test_an_unknown_approximation_is_an_error(device: str) -> None:
    with pytest.raises(pb.InvalidArgument, match=r"\[gelu\] approximate='fast'; want 'none' or"):
        pb.gelu(pb.ones(1, device=device), "fast")


@pytest.mark.parametrize(
    ("f", "at", "slope"),
    [
        (pb.relu, 0.0, 0.0),
        (pb.leaky_relu, 0.0, 0.01),
        (pb.elu, 0.0, 1.0),
        (pb.selu, 0.0, 1.0507009873554805 * 1.6732632423543772),
        (pb.hardtanh, 1.0, 0.0),
        (pb.hardtanh, -1.0, 0.0),
        (pb.relu6, 6.0, 0.0),
    ],
)
def test_slopes_at_the_kinks_are_those_of_the_side_that_the_docstring_names(device, f, at, slope):
    x = pb.asarray(at, dtype=pb.float64, device=device)
    assert float(pb.grad(f)(x)) == pytest.approx(slope, rel=1e-15)
