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
    "Adam": {"betas": st.tuples(fraction, fraction), "eps": rate, "weight_decay": fraction},
    "AdamW": {"betas": st.tuples(fraction, fraction), "eps": rate, "weight_decay": fraction},
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
    "OneCycleLR": {"max_lr": rate, "total_steps": st.integers(13, 40),
                   "pct_start": st.floats(0.1, 0.9)},
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
    options = data.draw(st.fixed_dictionaries({"lr": rate, **OPTIMIZERS[name]}))
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
