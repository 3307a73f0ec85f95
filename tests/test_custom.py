"""Gradients that the user states."""

from __future__ import annotations

import numpy as np
import pytest

import polyback as pb


@pb.custom_gradient(lambda g, y, x: 3.0 * x * x * g)
def cube(x: pb.Tensor) -> pb.Tensor:
    return x * x * x


@pb.custom_gradient(lambda g, y, a, b: (g * b, None))
def product(a: pb.Tensor, b: pb.Tensor) -> pb.Tensor:
    return a * b


def test_the_stated_gradient_is_taken_and_differentiated(device):
    x = pb.asarray([1.0, -2.0], dtype=pb.float64, device=device)
    slope = pb.grad(lambda x: pb.sum(cube(x)))
    assert slope(x).tolist() == [3.0, 12.0]
    assert pb.grad(lambda x: pb.sum(slope(x)))(x).tolist() == [6.0, -12.0]
    a, b = (pb.asarray([v, v], device=device, requires_grad=True) for v in (2.0, 3.0))
    pb.sum(pb.nn.checkpoint(product, a, b)).backward()
    assert (a.grad.tolist(), b.grad.tolist()) == ([3.0, 3.0], [0.0, 0.0])


def test_what_does_not_fit():
    x = pb.ones(2, requires_grad=True)
    cases = {
        "gave 1 tensors; want one for each of 2": (lambda g, y, a, b: g, (x, x)),
        r"argument 0 is \(\); want \(2,\)": (lambda g, y, a: pb.sum(g), (x,)),
        "list": (lambda g, y, a: [[1.0]], (x,)),
    }
    for text, (gradient, given) in cases.items():
        y = pb.custom_gradient(gradient)(lambda *xs: xs[0] * 2.0)(*given)
        with pytest.raises(pb.PolybackError, match=text):
            pb.sum(y).backward()
    with pytest.raises(pb.GradientError, match="no forward mode"):
        pb.jvp(cube, (pb.ones(2),), (pb.ones(2),))
    with pytest.raises(pb.DTypeError, match="cube"):
        cube(np.ones(2))
