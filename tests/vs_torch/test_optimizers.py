"""Optimizers and schedules take the steps that PyTorch's take, in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import polyback as pb
from polyback import optim

torch = pytest.importorskip("torch")

rate = st.floats(1e-3, 0.5)
fraction = st.floats(0.0, 0.99)
OPTIMIZERS = {
    "SGD": {"momentum": fraction, "dampening": fraction, "weight_decay": fraction},
    "Adam": {"betas": st.tuples(fraction, fraction), "eps": rate, "weight_decay": fraction,
             "amsgrad": st.booleans()},
    "AdamW": {"betas": st.tuples(fraction, fraction), "eps": rate, "weight_decay": fraction,
              "amsgrad": st.booleans()},
    "RMSprop": {"alpha": st.floats(0.1, 0.95), "eps": rate, "weight_decay": fraction,
                "momentum": fraction, "centered": st.booleans()},
    "Adagrad": {"lr_decay": fraction, "weight_decay": fraction, "eps": rate,
                "initial_accumulator_value": fraction},
}  # fmt: skip
SCHEDULES = {
    "StepLR": {"step_size": st.integers(1, 5), "gamma": fraction},
    "MultiStepLR": {"milestones": st.lists(st.integers(1, 9)), "gamma": fraction},
    "ExponentialLR": {"gamma": fraction},
    "LinearLR": {"start_factor": st.floats(0.01, 1), "total_iters": st.integers(1, 9)},
    "CosineAnnealingLR": {"T_max": st.integers(1, 20), "eta_min": st.floats(0, 0.1)},
    "CosineAnnealingWarmRestarts": {"T_0": st.integers(1, 5), "T_mult": st.integers(1, 3),
                                    "eta_min": st.floats(0, 0.1)},
    "ConstantLR": {"factor": st.floats(0.01, 1.0), "total_iters": st.integers(1, 9)},
    "PolynomialLR": {"total_iters": st.integers(1, 15), "power": st.floats(0.5, 3.0)},
    "OneCycleLR": {"max_lr": rate, "total_steps": st.integers(13, 40),
                   "pct_start": st.floats(0.1, 0.9),
                   "anneal_strategy": st.sampled_from(["cos", "linear"])},
}  # fmt: skip


def steps(module, make, start, gradients, schedule=None):
    """The parameter after each step, and the rates."""
    p = module.asarray(start) * 1.0
    p.requires_grad = True
    optimizer = make([p])
    plan = schedule(optimizer) if schedule else None
    found, rates = [], []
    for g in gradients:
        p.grad = module.asarray(g)
        optimizer.step()
        found.append(np.array(p.tolist()))
        if plan is not None:
            plan.step()
            rates += plan.get_last_lr()
    return found, rates


@pytest.mark.parametrize("name", OPTIMIZERS)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_optimizer(name, data):
    always = {"lr": rate, "maximize": st.booleans()}
    options = data.draw(st.fixed_dictionaries({**always, **OPTIMIZERS[name]}))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    start, gradients = rng.standard_normal((2, 3)), rng.standard_normal((5, 2, 3))
    ours, _ = steps(pb, lambda p: getattr(optim, name)(p, **options), start, gradients)
    theirs, _ = steps(torch, lambda p: getattr(torch.optim, name)(p, **options), start, gradients)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", SCHEDULES)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_schedule(name, data):
    options = data.draw(st.fixed_dictionaries(SCHEDULES[name]))
    gradients = np.ones((12, 1))
    more = {"cycle_momentum": False} if name == "OneCycleLR" else {}
    _, ours = steps(pb, lambda p: optim.SGD(p, lr=0.3), np.ones(1), gradients,
                    lambda o: getattr(optim, name)(o, **options))  # fmt: skip
    _, theirs = steps(
        torch, lambda p: torch.optim.SGD(p, lr=0.3), np.ones(1), gradients,
        lambda o: getattr(torch.optim.lr_scheduler, name)(o, **options, **more),
    )  # fmt: skip
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(
    values=st.lists(st.floats(-2, 2), min_size=1, max_size=20),
    options=st.fixed_dictionaries({
        "mode": st.sampled_from(["min", "max"]), "factor": st.floats(0.1, 0.9),
        "patience": st.integers(0, 3), "threshold": st.sampled_from([0.0, 1e-4, 0.3]),
        "threshold_mode": st.sampled_from(["rel", "abs"]), "cooldown": st.integers(0, 3),
        "min_lr": st.sampled_from([0.0, 0.05]),
    }),
)  # fmt: skip
def test_plateau(values, options):
    values = [abs(v) for v in values]  # PyTorch's relative threshold has the other sign below 0
    ours = optim.SGD([pb.ones(1, requires_grad=True)], lr=0.3)
    theirs = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.3)
    plan = optim.ReduceLROnPlateau(ours, **options)
    their_plan = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **options)
    for value in values:
        plan.step(value)
        their_plan.step(value)
        assert plan.get_last_lr()[0] == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-12)


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.5, float("inf")])
def test_clipping(norm_type):
    rng = np.random.default_rng(0)
    shapes = [(3, 4), (5,), ()]
    ours = [pb.zeros(s, dtype=pb.float64, requires_grad=True) for s in shapes]
    theirs = [torch.zeros(s, dtype=torch.float64, requires_grad=True) for s in shapes]
    for p, q in zip(ours, theirs, strict=True):
        g = np.asarray(rng.standard_normal(p.shape))
        p.grad, q.grad = pb.asarray(g), torch.tensor(g)
    want = torch.nn.utils.clip_grad_norm_(theirs, 0.7, norm_type=norm_type)
    assert optim.clip_grad_norm_(ours, 0.7, norm_type) == pytest.approx(float(want), rel=1e-12)
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-12)
