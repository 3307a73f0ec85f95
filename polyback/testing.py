"""Checks for code built on polyback: gradients against differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from polyback.dtype import DType, complex128, float64
from polyback.errors import DTypeError, GradientError
from polyback.frontend.functions import asarray
from polyback.frontend.tensor import Tensor
from polyback.frontend.transforms import jvp, vjp


def check_grad(
    f: Callable[..., Tensor],
    *inputs: Tensor,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    forward: bool = True,
    seed: int = 0,
) -> None:
    """Compare the gradients of ``f`` at ``inputs`` (float64, complex128) with central differences.

    A random cotangent c turns the result into one number, ``Re(sum(conj(c) * f(x)))``; every
    element of every input is moved by +-``eps``, and of complex ones by +-``i eps`` too, which
    gives the imaginary part. ``forward`` also checks :func:`polyback.jvp` along a random
    direction. Raises GradientError with the worst element if
    ``|analytic - numeric| <= atol + rtol * |numeric|`` fails anywhere, DTypeError for other types.

    >>> import polyback as pb
    >>> pb.testing.check_grad(pb.sin, pb.asarray([0.5, 1.5], dtype=pb.float64))
    """
    for x in inputs:
        if x.dtype not in (float64, complex128):
            raise DTypeError(f"[check_grad] got {x.dtype}; differences need float64 or complex128")
    y, pull = vjp(f, *inputs)
    random = np.random.default_rng(seed)
    weight = _draw(random, y.shape, y.dtype)
    cotangent = asarray(weight, dtype=y.dtype, device=y.device)
    values = [x.numpy() for x in inputs]

    def number(arrays: Sequence[Any]) -> float:
        moved = [asarray(a, dtype=x.dtype, device=x.device) for a, x in zip(arrays, inputs)]
        return float(np.sum(weight.conj() * f(*moved).numpy()).real)

    slopes = [_differences(number, values, k, eps) for k in range(len(values))]
    for k, (analytic, numeric) in enumerate(zip(pull(cotangent), slopes)):
        _compare(f"gradient of input {k}", analytic.numpy(), numeric, atol, rtol)
    if forward:
        directions = [_draw(random, x.shape, x.dtype) for x in inputs]
        tangents = [asarray(d, dtype=x.dtype, device=x.device) for d, x in zip(directions, inputs)]
        along = float(np.sum(weight.conj() * jvp(f, inputs, tangents)[1].numpy()).real)
        expected = float(np.sum([np.sum(d.conj() * s).real for d, s in zip(directions, slopes)]))
        _compare(
            "directional derivative (jvp)", np.asarray(along), np.asarray(expected), atol, rtol
        )


def _draw(random: np.random.Generator, shape: tuple[int, ...], dtype: DType) -> Any:
    values = random.standard_normal(shape)
    return values + 1j * random.standard_normal(shape) if dtype.kind == "complex" else values


def _differences(
    number: Callable[[Sequence[Any]], float], values: Sequence[Any], which: int, eps: float
) -> Any:
    result = np.zeros_like(values[which])
    units = (1, 1j) if np.iscomplexobj(result) else (1,)
    for index in np.ndindex(*result.shape):
        for unit in units:
            sides = []
            for step in (eps, -eps):
                moved = [v.copy() if k == which else v for k, v in enumerate(values)]
                moved[which][index] += step * unit
                sides.append(number(moved))
            result[index] += unit * (sides[0] - sides[1]) / (2 * eps)
    return result


def _compare(what: str, got: Any, want: Any, atol: float, rtol: float) -> None:
    excess = np.abs(got - want) - (atol + rtol * np.abs(want))
    excess = np.where(np.isnan(excess), np.inf, excess)
    if excess.size and excess.max() > 0:
        worst = np.unravel_index(int(np.argmax(excess)), excess.shape)
        raise GradientError(
            f"[check_grad] {what} at {tuple(int(k) for k in worst)}: got {got[worst]}, want "
            f"{want[worst]} (central difference); limit {atol} + {rtol} * |want|"
        )
