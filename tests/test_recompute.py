"""Activation checkpointing: the same numbers and gradients, less memory."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import polyback as pb
from polyback import nn
from polyback.testing import check_grad


def network(device: str, depth: int = 8, width: int = 16) -> nn.Sequential:
    pb.random.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(width, width, device=device), nn.BatchNorm1d(width, device=device),
                   nn.Tanh(), nn.Dropout(0.2)]  # fmt: skip
    return nn.Sequential(*layers)


def step(net: nn.Sequential, run, device: str, rows: int = 6, width: int = 16):
    """(loss, gradients, buffers) of one step."""
    pb.random.manual_seed(3)
    values = np.random.default_rng(1).standard_normal((rows, width)).astype(np.float32)
    x = pb.asarray(values, device=device, requires_grad=True)
    loss = pb.mean(run(net, x) ** 2)
    loss.backward()
    state = [p.grad.numpy() for p in net.parameters()] + [x.grad.numpy()]
    return loss.item(), state + [b.numpy() for _, b in net.named_buffers()]


@pytest.mark.parametrize("segments", [None, 1, 32])
def test_same_numbers_gradients_masks_and_statistics(device, segments):
    plain = step(network(device), lambda net, x: net(x), device)
    saved = step(network(device), lambda net, x: nn.checkpoint_sequential(net, segments, x), device)
    assert plain[0] == saved[0]
    for a, b in zip(plain[1], saved[1], strict=True):
        np.testing.assert_array_equal(a, b)


PEAK = """
import polyback as pb
from polyback import nn

device = pb.get_device("numpy_ref")
net = nn.Sequential(*(nn.Tanh() for _ in range(64)))
x = pb.zeros((256, 256), device=device, requires_grad=True)
with pb.configure(fuse=False):  # or fusion would keep most of them out of memory anyway
    pb.sum({run}).backward()
print(device.memory_stats().peak // (x.size * 4))
"""


def test_the_peak_is_lower():
    def peak(run: str) -> int:
        """Activations that are held at once, in a process of its own: a peak never falls."""
        command = [sys.executable, "-c", PEAK.replace("{run}", run)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    plain = peak("net(x)")
    saved = peak("nn.checkpoint_sequential(net, None, x)")
    assert plain >= 64
    assert saved <= 30, f"{saved} activations"


def test_results_that_are_several_and_tensors_from_outside(device):
    w = pb.asarray([1.0, 2.0], device=device, requires_grad=True)
    x = pb.asarray([0.5, -1.0], device=device, requires_grad=True)
    outside = x * 3.0  # neither an argument nor a leaf

    def f(a: pb.Tensor, scale: float) -> tuple[pb.Tensor, pb.Tensor, pb.Tensor]:
        return a * w * scale, pb.exp(outside) * a, pb.ones(2, device=device)

    def loss(results) -> pb.Tensor:
        p, q, r = results
        return pb.sum(p * q + r)

    loss(f(x * 1.0, scale=2.0)).backward(retain_graph=True)
    want = w.grad.numpy(), x.grad.numpy()
    w.grad = x.grad = None
    results = nn.checkpoint(f, x * 1.0, scale=2.0)
    assert not results[2].requires_grad
    loss(results).backward()
    for g, known in zip((w.grad, x.grad), want, strict=True):
        np.testing.assert_allclose(g.numpy(), known, rtol=1e-6)


def test_second_derivatives_and_forward_mode(device):
    def f(x: pb.Tensor) -> pb.Tensor:
        return nn.checkpoint(lambda x: pb.sin(x) * pb.exp(x), x)

    x = pb.asarray([0.3, -0.7], dtype=pb.float64, device=device)
    check_grad(f, x)
    check_grad(pb.grad(lambda x: pb.sum(f(x))), x)
    y, t = pb.jvp(f, (x,), (pb.ones_like(x),))
    plain = pb.jvp(lambda x: pb.sin(x) * pb.exp(x), (x,), (pb.ones_like(x),))
    np.testing.assert_allclose(y.numpy(), plain[0].numpy(), rtol=1e-12)
    np.testing.assert_allclose(t.numpy(), plain[1].numpy(), rtol=1e-12)


def test_nested(device):
    x = pb.asarray([0.3, -0.7], dtype=pb.float64, device=device, requires_grad=True)
    dropout = nn.Dropout(0.5, generator=pb.random.Generator(5))

    def inner(x: pb.Tensor) -> pb.Tensor:
        return pb.exp(dropout(x))

    def outer(x: pb.Tensor) -> pb.Tensor:
        return nn.checkpoint(inner, pb.sin(x)) * x

    y = nn.checkpoint(outer, x)
    position = dropout.generator.position
    pb.sum(y).backward()
    assert dropout.generator.position == position
    got = x.grad.numpy()
    x.grad = None
    dropout.generator.position = 0
    pb.sum(outer(x)).backward()
    np.testing.assert_allclose(got, x.grad.numpy(), rtol=1e-12)


def test_what_cannot_be_repeated_is_an_error():
    x = pb.ones(2, requires_grad=True)
    y = x * 2.0
    z = nn.checkpoint(pb.exp, y)
    with pb.no_grad():
        y.detach()[...] = 5.0
    with pytest.raises(pb.GradientError, match="in place"):
        pb.sum(z).backward()
    with pytest.raises(pb.GradientError, match="tensor"):
        nn.checkpoint(lambda x: [x], x)
    with pytest.raises(pb.InvalidArgument, match="segments"):
        nn.checkpoint_sequential([nn.Tanh()], 2, x)
    with pb.no_grad():
        assert not nn.checkpoint(pb.exp, x).requires_grad


def test_a_repetition_has_the_same_types():
    layer = nn.Linear(3, 4)
    x = pb.asarray(np.random.default_rng(0).standard_normal((5, 3)), dtype=pb.float32)
    found = []
    for run in (nn.checkpoint, lambda f, x: f(x)):
        leaf = pb.asarray(x, copy=True, requires_grad=True)
        with pb.autocast("bfloat16"):
            y = pb.sum(run(layer, leaf))
        y.backward()  # outside autocast
        found.append(leaf.grad.numpy())
    np.testing.assert_array_equal(*found)
