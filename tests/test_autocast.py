"""Mixed precision: which results have which type, gradients in float32, scaled losses."""

from __future__ import annotations

import numpy as np
import pytest

import polyback as pb
from polyback import nn, optim


@pytest.mark.parametrize("dtype", [pb.float16, pb.bfloat16], ids=str)
def test_products_are_half_and_sums_are_not(device, dtype):
    x, w = pb.ones((4, 3), device=device), pb.ones((3, 2), device=device)
    layer = nn.Linear(3, 2, device=device)
    with pb.autocast(dtype):
        y = x @ w
        assert y.dtype is dtype
        assert layer(x).dtype is dtype
        assert (y * y).dtype is dtype
        for f in (pb.sum, pb.mean, pb.var, pb.prod, pb.softmax, pb.log_softmax, pb.logsumexp):
            assert f(y).dtype is pb.float32, f.__name__
        assert pb.max(y).dtype is dtype
        assert (x.astype(pb.float64) @ w).dtype is pb.float64
        with pb.autocast(enabled=False):
            assert (x @ w).dtype is pb.float32
            assert pb.sum(y).dtype is dtype
    assert (x @ w).dtype is pb.float32
    assert pb.sum(y).dtype is dtype


def test_convolutions_are_half_and_norms_are_not(device):
    x = pb.ones((1, 2, 4, 4), device=device)
    norms = (lambda t: nn.layer_norm(t, 4), lambda t: nn.rms_norm(t, 4),
             lambda t: nn.group_norm(t, 1), nn.BatchNorm2d(3, device=device))  # fmt: skip
    with pb.autocast(pb.bfloat16):
        y = nn.Conv2d(2, 3, 1, device=device)(x)
        assert y.dtype is pb.bfloat16
        assert nn.ConvTranspose2d(2, 3, 1, device=device)(x).dtype is pb.bfloat16
        assert nn.max_pool2d(y, 2).dtype is pb.bfloat16
        assert pb.cumulative_sum(y, axis=0).dtype is pb.float32
        for norm in norms:
            assert norm(y).dtype is pb.float32
        conv = nn.Conv2d(2, 3, 1, device=device)
        pb.sum(conv(x) ** 2).backward()
    assert conv.weight.grad.dtype is pb.float32
    assert conv.bias.grad.dtype is pb.float32


def test_gradients_of_parameters_are_float32(device):
    pb.random.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8, device=device), nn.Tanh(), nn.Linear(8, 1, device=device))
    x = pb.random.default_generator().normal((16, 4), device=device)

    def loss() -> pb.Tensor:
        return pb.mean(model(x) ** 2)

    loss().backward()
    want = [p.grad.numpy() for p in model.parameters()]
    model.zero_grad()
    with pb.autocast(pb.float16):
        value = loss()
    value.backward()
    for p, g in zip(model.parameters(), want, strict=True):
        assert p.grad.dtype is pb.float32
        np.testing.assert_allclose(p.grad.numpy(), g, rtol=0.02, atol=0.002)


def test_only_half_types():
    with pytest.raises(pb.DTypeError, match="float16 or bfloat16"), pb.autocast(pb.float32):
        pass


def test_scaling_saves_small_gradients(device):
    x = pb.full((1, 1), 1e-5, device=device)
    w = pb.ones((1, 1), device=device, requires_grad=True)

    def gradient(factor: float) -> float:
        w.grad = None
        with pb.autocast(pb.float16):
            y = (x @ w) * 1e-4  # its gradient, 1e-9, is below the range of float16
        pb.sum(y.astype(pb.float32) * factor).backward()
        return w.grad.item() / factor

    assert gradient(1.0) != pytest.approx(1e-9, rel=0.1)
    assert gradient(2.0**12) == pytest.approx(1e-9, rel=0.1)


def test_scaler_leaves_out_steps_that_overflow():
    p = pb.asarray([1.0], requires_grad=True)
    optimizer = optim.SGD([p], lr=1.0)
    scaler = optim.GradScaler(init_scale=4.0, growth_interval=2)
    scales, taken = [], []
    for g in (1.0, float("inf"), 1.0, 1.0, float("nan"), 1.0):
        scales.append(scaler.get_scale())
        p.grad = pb.asarray([g * scaler.get_scale()])
        taken.append(scaler.step(optimizer))
        scaler.update()
    assert scales == [4.0, 4.0, 2.0, 2.0, 4.0, 2.0]
    assert taken == [True, False, True, True, False, True]
    assert p.item() == 1.0 - 4.0
    other = optim.GradScaler()
    other.load_state_dict(scaler.state_dict())
    assert other.get_scale() == scaler.get_scale()


def test_unscale_comes_before_clipping_and_only_once():
    p = pb.asarray([1.0], requires_grad=True)
    optimizer = optim.SGD([p], lr=1.0)
    scaler = optim.GradScaler(init_scale=8.0)
    scaler.scale(pb.sum(p * 3.0)).backward()
    scaler.unscale_(optimizer)
    assert p.grad.item() == 3.0
    with pytest.raises(pb.InvalidArgument, match="already"):
        scaler.unscale_(optimizer)
    assert scaler.step(optimizer)
    scaler.update()
    assert p.item() == -2.0
    off = optim.GradScaler(enabled=False)
    p.grad = None
    off.scale(pb.sum(p * 3.0)).backward()
    assert off.step(optimizer)
    assert p.item() == -5.0


def test_training_in_half_precision_learns(device):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 4)).astype(np.float32)
    y = (x.sum(1) > 0).astype(np.int64)
    pb.random.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(4, 16, device=device), nn.Tanh(), nn.Linear(16, 2, device=device)
    )
    optimizer, scaler = optim.Adam(model.parameters(), lr=0.02), optim.GradScaler()
    inputs, labels = pb.asarray(x, device=device), pb.asarray(y, device=device)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        with pb.autocast(pb.float16):
            loss = nn.cross_entropy(model(inputs), labels)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
