"""Optimizers against updates written by hand in NumPy; state; memory."""

from __future__ import annotations

import copy
import gc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import polyback as pb
from polyback import nn, optim
from polyback.fusion import _PROGRAMS


def sgd(
    p: Any, grads: Any, lr: float, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False
):
    m = None
    for g in grads:
        g = g + weight_decay * p
        if momentum:
            m = g if m is None else momentum * m + (1 - dampening) * g
            g = g + momentum * m if nesterov else m
        p = p - lr * g
    return p


def adam(p: Any, grads: Any, lr: float, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
    m, v = np.zeros_like(p), np.zeros_like(p)
    for t, g in enumerate(grads, 1):
        g = g + weight_decay * p
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        m_hat, v_hat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
        p = p - lr * m_hat / (np.sqrt(v_hat) + eps)
    return p


def adamw(p: Any, grads: Any, lr: float, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2):
    shift = 0.0
    for t in range(1, len(grads) + 1):  # Adam's step does not see p, so decay can go first
        moved = adam(p * 0, grads[:t], lr, betas, eps)
        p, shift = p * (1 - lr * weight_decay) + moved - shift, moved
    return p


def unbiased(p: Any, grads: Any, lr: float, momentum: float, bias_correction: bool):
    m = np.zeros_like(p)
    for t, g in enumerate(grads, 1):
        m = momentum * m + (1 - momentum) * g
        p = p - lr * m / (1 - momentum**t)
    return p


def rmsprop(
    p: Any, grads: Any, lr: float, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0,
    centered=False,
):  # fmt: skip
    v, a, m = np.zeros_like(p), np.zeros_like(p), np.zeros_like(p)
    for g in grads:
        g = g + weight_decay * p
        v = alpha * v + (1 - alpha) * g * g
        a = alpha * a + (1 - alpha) * g
        size = v - a * a if centered else v
        m = momentum * m + g / (np.sqrt(size) + eps)
        p = p - lr * m
    return p


def adagrad(
    p: Any, grads: Any, lr: float, lr_decay=0.0, weight_decay=0.0, initial_accumulator_value=0.0,
    eps=1e-10,
):  # fmt: skip
    s = np.full_like(p, initial_accumulator_value)
    for t, g in enumerate(grads):
        g = g + weight_decay * p
        s = s + g * g
        p = p - lr / (1 + t * lr_decay) * g / (np.sqrt(s) + eps)
    return p


CASES = [
    (optim.SGD, sgd, {"lr": 0.1}),
    (optim.SGD, sgd, {"lr": 0.1, "weight_decay": 0.3}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.9}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.9, "dampening": 0.4, "weight_decay": 0.3}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.3, "nesterov": True}),
    (optim.Adam, adam, {"lr": 0.1}),
    (optim.Adam, adam, {"lr": 0.1, "betas": (0.5, 0.7), "eps": 0.1, "weight_decay": 0.3}),
    (optim.AdamW, adamw, {"lr": 0.1}),
    (optim.AdamW, adamw, {"lr": 0.1, "betas": (0.5, 0.7), "eps": 0.1, "weight_decay": 0.3}),
    (optim.SGD, unbiased, {"lr": 0.1, "momentum": 0.8, "bias_correction": True}),
    (optim.RMSprop, rmsprop, {"lr": 0.1}),
    (optim.RMSprop, rmsprop, {"lr": 0.1, "alpha": 0.5, "eps": 0.1, "momentum": 0.9}),
    (
        optim.RMSprop,
        rmsprop,
        {
            "lr": 0.1,
            "alpha": 0.7,
            "eps": 0.1,
            "centered": True,
            "momentum": 0.5,
            "weight_decay": 0.2,
        },
    ),
    (optim.Adagrad, adagrad, {"lr": 0.1}),
    (
        optim.Adagrad,
        adagrad,
        {
            "lr": 0.1,
            "lr_decay": 0.2,
            "weight_decay": 0.3,
            "eps": 0.1,
            "initial_accumulator_value": 0.5,
        },
    ),
]


@pytest.mark.parametrize(("make", "by_hand", "options"), CASES)
def test_steps_match_the_formula(device, make, by_hand, options):
    rng = np.random.default_rng(0)
    start = [rng.standard_normal(s) for s in ((3, 4), (5,), ())]
    grads = [[rng.standard_normal(p.shape) for p in start] for _ in range(6)]
    parameters = [pb.asarray(p, device=device, requires_grad=True) for p in start]
    optimizer = make(parameters, **options)
    for step in grads:
        for p, g in zip(parameters, step, strict=True):
            p.grad = pb.asarray(g, device=device)
        optimizer.step()
    for k, p in enumerate(parameters):
        want = by_hand(start[k], [step[k] for step in grads], **options)
        np.testing.assert_allclose(p.numpy(), want, rtol=1e-11, atol=1e-13)
        assert p.is_leaf
        assert p.requires_grad


def leaf(device: str, *values: float) -> pb.Tensor:
    return pb.asarray(list(values), device=device, requires_grad=True)


def test_updates_are_written_in_place_and_leave_gradients_alone(device):
    p, idle = leaf(device, 1.0, 2.0), leaf(device, 5.0)
    storage = p.array.storage
    pb.sum(p * p).backward()
    optimizer = optim.SGD([p, idle], lr=0.5)
    optimizer.step()
    assert p.array.storage is storage
    assert p.tolist() == [0.0, 0.0]
    assert p.grad.tolist() == [2.0, 4.0]
    assert idle.tolist() == [5.0]
    optimizer.zero_grad()
    assert p.grad is None


def test_a_graph_from_before_the_step_cannot_be_used(device):
    p = leaf(device, 1.0, 2.0)
    loss = pb.sum(p * p)
    p.grad = pb.ones(2, device=device)
    optim.SGD([p], lr=0.5).step()
    with pytest.raises(pb.GradientError, match="modified in place"):
        loss.backward()


def test_groups_have_options_of_their_own(device):
    a, b, c = leaf(device, 1.0), leaf(device, 1.0), leaf(device, 1.0)
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.1)
    optimizer.add_param_group({"params": (c,), "weight_decay": 1.0})
    for p in (a, b, c):
        p.grad = pb.ones(1, device=device)
    optimizer.step()
    np.testing.assert_allclose([float(p) for p in (a, b, c)], [0.9, 0.5, 0.8], rtol=1e-6)
    optimizer.param_groups[0]["lr"] = 1.0  # a schedule is an assignment
    optimizer.step()
    np.testing.assert_allclose(float(a), -0.1, rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "options"),
    [(optim.SGD, {"lr": 0.1, "momentum": 0.9}), (optim.Adam, {"lr": 0.1})],
)
def test_state_goes_round(device, make, options):
    def run(optimizer: optim.Optimizer, p: pb.Tensor, steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            pb.sum(pb.square(p - 3.0)).backward()
            optimizer.step()

    whole = leaf(device, 1.0, 2.0)
    run(make([whole], **options), whole, 7)
    first = leaf(device, 1.0, 2.0)
    optimizer = make([first], **options)
    run(optimizer, first, 3)
    saved, middle = copy.deepcopy(optimizer.state_dict()), first.numpy()
    run(optimizer, first, 4)  # the snapshot does not follow
    second = leaf(device, *middle)
    again = make([second], lr=7.0)
    again.load_state_dict(saved)
    run(again, second, 4)
    assert np.array_equal(second.numpy(), whole.numpy())
    assert np.array_equal(first.numpy(), whole.numpy())


def test_a_wrong_state_changes_nothing(device):
    p = leaf(device, 1.0, 2.0)
    p.grad = pb.ones(2, device=device)
    optimizer = optim.Adam([p])
    optimizer.step()
    good = optimizer.state_dict()
    bad = [
        {},
        {**good, "state": {3: {}}},
        {**good, "param_groups": good["param_groups"] * 2},
        {**good, "param_groups": [{**good["param_groups"][0], "lr": -1.0}]},
        {**good, "state": {0: {"exp_avg": pb.ones(3, device=device)}}},
        optim.SGD([p]).state_dict(),
    ]
    for state in bad:
        with pytest.raises(pb.InvalidArgument, match=r"\[Adam\]"):
            optimizer.load_state_dict(state)
        assert optimizer.state[0]["step"] == 1
        assert optimizer.param_groups[0]["lr"] == 1e-3


def test_wrong_arguments(device):
    p = leaf(device, 1.0)
    cases = [
        (pb.InvalidArgument, lambda: optim.SGD([], lr=0.1), r"\[SGD\] got no parameters"),
        (pb.InvalidArgument, lambda: optim.SGD([p, p]), "given twice"),
        (pb.InvalidArgument, lambda: optim.SGD([p], lr=-0.1), r"lr=-0\.1; want"),
        (pb.InvalidArgument, lambda: optim.SGD([p], lr=float("nan")), "lr=nan"),
        (pb.InvalidArgument, lambda: optim.SGD([p], momentum=-1.0), "momentum"),
        (pb.InvalidArgument, lambda: optim.SGD([p], nesterov=True), "nesterov=True wants"),
        (pb.InvalidArgument, lambda: optim.Adam([p], betas=(0.9, 1.0)), "betas"),
        (pb.InvalidArgument, lambda: optim.Adam([p], betas=0.9), "betas"),
        (pb.InvalidArgument, lambda: optim.Adam([p], eps="small"), "eps='small'"),
        (pb.InvalidArgument, lambda: optim.Adam([{"params": [p], "speed": 1}]), "'speed'"),
        (pb.InvalidArgument, lambda: optim.Adam([{"lr": 1.0}]), "want 'params'"),
        (pb.GradientError, lambda: optim.SGD([p * 2]), "want a leaf"),
        (pb.DTypeError, lambda: optim.SGD([pb.arange(3, device=device)]), "floating-point"),
        (pb.DTypeError, lambda: optim.SGD([np.ones(3)]), "got ndarray"),
    ]
    for error, call, text in cases:
        with pytest.raises(error, match=text):
            call()


def test_training_does_not_grow(device):
    """Live graph nodes, programs and device memory stay as they are over 200 steps."""
    net = nn.Sequential(
        nn.Linear(4, 8, device=device), nn.BatchNorm1d(8, device=device), nn.SiLU(),
        nn.Dropout(0.1), nn.Linear(8, 3, device=device),
    )  # fmt: skip
    optimizer = optim.Adam(net.parameters(), lr=0.01, weight_decay=0.01)
    x = pb.asarray(np.random.default_rng(0).standard_normal((16, 4), "f"), device=device)
    y = pb.asarray(np.arange(16) % 3, device=device)

    def steps(count: int, first: int) -> tuple[int, int, int]:
        for k in range(count):
            optimizer.param_groups[0]["lr"] = 0.01 / (1 + first + k)
            optimizer.zero_grad()
            nn.cross_entropy(net(x), y).backward()
            optimizer.step()
        optimizer.zero_grad()
        gc.collect()
        kinds = (pb.frontend.autograd.Node, pb.Tensor, pb.array.Array)
        live = sum(type(o) in kinds for o in gc.get_objects())
        stats = x.device.memory_stats()
        return live, len(_PROGRAMS), 0 if stats is None else stats.live

    warm = steps(10, 0)
    assert steps(200, 10) == warm


@pytest.mark.parametrize(
    ("make", "options"),
    [(optim.SGD, {}), (optim.SGD, {"momentum": 0.9, "nesterov": True}), (optim.Adam, {})],
)
def test_a_step_is_one_launch_per_parameter(device, monkeypatch, make, options):
    p = leaf(device, 1.0, 2.0)
    optimizer = make([p], weight_decay=0.1, **options)
    p.grad = pb.ones(2, device=device)
    optimizer.step()
    launched: list[Any] = []

    def counted(run: Any) -> Any:
        return lambda outs, ins: (launched.append(run), run(outs, ins))

    known = p.device.prepared.items()  # by the first step
    prepared = {key: replace(found, run=counted(found.run)) for key, found in known}
    monkeypatch.setattr(p.device, "prepared", prepared)
    optimizer.step()
    assert len(launched) == 1


@pytest.mark.parametrize("dtype", [pb.float16, pb.bfloat16])
def test_half_parameters_are_updated_in_float32(device, dtype):
    for make, by_hand, options in CASES:
        p = pb.asarray([1.0, -2.0, 0.5], dtype=dtype, device=device, requires_grad=True)
        p.grad = pb.asarray([0.25, 0.5, -1.0], dtype=dtype, device=device)
        make([p], **options).step()
        want = by_hand(np.array([1.0, -2.0, 0.5]), [np.array([0.25, 0.5, -1.0])], **options)
        np.testing.assert_allclose(p.astype(pb.float32).numpy(), want, rtol=0.02, atol=0.005)


def test_lazy_readers_see_the_values_from_before_the_step(device):
    p = leaf(device, 1.0, 2.0)
    later = p.detach() * 10.0
    p.grad = p.detach() + 0.0
    optim.SGD([p], lr=1.0).step()
    assert later.tolist() == [10.0, 20.0]
    assert p.tolist() == [0.0, 0.0]


def test_gradients_that_share_the_parameters_memory(device):
    p = leaf(device, 1.0, 2.0, 3.0)
    p.grad = pb.flip(p.detach())
    optim.SGD([p], lr=1.0).step()
    assert p.tolist() == [-2.0, 0.0, 2.0]
    p.grad = p.detach()
    optim.SGD([p], lr=1.0, momentum=0.5).step()
    assert p.tolist() == [0.0, 0.0, 0.0]


def test_steps_that_cannot_be(device):
    wide = pb.broadcast_to(pb.ones(1, device=device), (3,)).detach()
    wide.requires_grad = True
    wide.grad = pb.ones(3, device=device)
    with pytest.raises(pb.InvalidArgument, match="broadcast"):
        optim.SGD([wide]).step()
    p = leaf(device, 1.0, 2.0)
    p.grad = pb.ones(3, device=device)
    with pytest.raises(pb.ShapeError, match=r"\(3,\); want \(2,\)"):
        optim.SGD([p]).step()
    empty = pb.zeros((0, 3), device=device, requires_grad=True)
    empty.grad = pb.zeros((0, 3), device=device)
    optim.Adam([empty]).step()


def test_clipping(device):
    a, b = leaf(device, 0.0, 0.0), leaf(device, 0.0)
    a.grad, b.grad = pb.asarray([3.0, 0.0], device=device), pb.asarray([4.0], device=device)
    assert abs(optim.clip_grad_norm_([a, b], 1.0) - 5.0) < 1e-6
    np.testing.assert_allclose(a.grad.tolist() + b.grad.tolist(), [0.6, 0.0, 0.8], rtol=1e-5)
    assert abs(optim.clip_grad_norm_([a, b, leaf(device, 1.0)], 10.0) - 1.0) < 1e-5
    np.testing.assert_allclose(a.grad.tolist(), [0.6, 0.0], rtol=1e-5)
    optim.clip_grad_value_([a, b], 0.7)
    np.testing.assert_allclose(a.grad.tolist() + b.grad.tolist(), [0.6, 0.0, 0.7], rtol=1e-5)
    shared = pb.sum(a + b)
    optim.SGD([a, b]).zero_grad()
    shared.backward()
    optim.clip_grad_value_([a, b], 0.5)
    assert a.grad.tolist() == [0.5, 0.5]
    with pytest.raises(pb.InvalidArgument, match="a number of 0 or more"):
        optim.clip_grad_norm_([a], -1.0)


def test_a_closure_computes_the_loss_and_zeroed_gradients_stay():
    p = pb.asarray([1.0], requires_grad=True)
    optimizer = optim.SGD([p], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = pb.sum(p * p)
        loss.backward()
        return loss

    with pb.no_grad():
        assert optimizer.step(closure).item() == 1.0
    assert p.tolist() == [0.5]
    optimizer.zero_grad(set_to_none=False)
    assert p.grad.tolist() == [0.0]


def test_state_that_does_not_fit_changes_nothing():
    p = pb.asarray([1.0, 2.0], requires_grad=True)
    optimizer = optim.Adam([p])
    p.grad = pb.ones(2)
    optimizer.step()
    whole = optimizer.state_dict()
    for change in ({"exp_avg": 3}, {"step": "x"}, {"exp_avg": pb.ones(3)}, None):
        state = {0: {**whole["state"][0], **change} if change else {"step": 1}}
        with pytest.raises((pb.InvalidArgument, pb.ShapeError), match=r"\[Adam\]"):
            optimizer.load_state_dict({**whole, "state": state})
    for wrong in ({}, None, {"state": 3, "param_groups": 3}, {"state": {}, "param_groups": [1]}):
        with pytest.raises(pb.InvalidArgument, match=r"want the result of state_dict"):
            optimizer.load_state_dict(wrong)
    wide = {k: v.astype(pb.float64) if k != "step" else v for k, v in whole["state"][0].items()}
    optimizer.load_state_dict({**whole, "state": {0: wide}})
    assert optimizer.state[0]["exp_avg"].dtype is pb.float32  # as the parameter is
    optimizer.step()


def test_a_norm_that_is_not_finite():
    p = pb.ones(2, requires_grad=True)
    p.grad = pb.asarray([np.inf, 1.0])
    with pytest.raises(pb.GradientError, match="inf"):
        optim.clip_grad_norm_([p], 1.0, error_if_nonfinite=True)
    assert p.grad.tolist() == [np.inf, 1.0]


def test_an_optimizer_with_a_step_of_its_own():
    class Decay(optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {})

        def step(self):
            with pb.no_grad():
                for p in self.param_groups[0]["params"]:
                    p *= 0.5

    p = pb.asarray([1.0], requires_grad=True)
    Decay([p]).step()
    assert p.tolist() == [0.5]
    for nothing in (None, 5, []):
        with pytest.raises(pb.InvalidArgument, match="no parameters"):
            Decay(nothing)
