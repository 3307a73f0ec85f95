"""Learning-rate schedules and Newton's method."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import polyback as pb
from polyback import optim


def rates(make, steps: int, lr: float = 0.5) -> list[float]:
    optimizer = optim.SGD([pb.ones(1, requires_grad=True)], lr=lr)
    schedule = make(optimizer)
    found = []
    for _ in range(steps):
        found += schedule.get_last_lr()
        schedule.step()
    return found


def test_rates():
    assert rates(lambda o: optim.StepLR(o, 2, 0.5), 5) == [0.5, 0.5, 0.25, 0.25, 0.125]
    assert rates(lambda o: optim.MultiStepLR(o, [1, 3], 0.5), 4) == [0.5, 0.25, 0.25, 0.125]
    assert rates(lambda o: optim.ExponentialLR(o, 0.5), 3) == [0.5, 0.25, 0.125]
    assert rates(lambda o: optim.LambdaLR(o, lambda k: k), 3) == [0.0, 0.5, 1.0]
    assert rates(lambda o: optim.LinearLR(o, 0.5, total_iters=2), 4) == [0.25, 0.375, 0.5, 0.5]
    found = rates(lambda o: optim.CosineAnnealingLR(o, 4, eta_min=0.1), 5)
    want = [0.1 + 0.4 * (1 + math.cos(math.pi * k / 4)) / 2 for k in range(5)]
    np.testing.assert_allclose(found, want)


def test_warm_restarts_come_after_ever_more_steps():
    found = rates(lambda o: optim.CosineAnnealingWarmRestarts(o, 2, T_mult=2), 15, lr=1.0)
    want = [(1 + math.cos(math.pi * k / length)) / 2 for length in (2, 4, 8) for k in range(length)]
    np.testing.assert_allclose(found[:14], want)
    assert found[14] == 1.0


def test_one_cycle_goes_up_and_down():
    found = rates(lambda o: optim.OneCycleLR(o, 1.0, 10), 10 - 1)
    assert found[0] == pytest.approx(1 / 25)
    assert max(found) == pytest.approx(1.0)
    assert found.index(max(found)) == 2  # pct_start * total_steps - 1
    assert found[2:] == sorted(found[2:], reverse=True)
    with pytest.raises(pb.InvalidArgument, match="total_steps"):
        rates(lambda o: optim.OneCycleLR(o, 1.0, 3), 4)


def test_one_cycle_of_any_shape():
    found = rates(lambda o: optim.OneCycleLR(o, 1.0, 10, pct_start=0.1), 9)
    assert found == sorted(found, reverse=True)
    assert found[0] == 1.0  # the peak is the first step
    assert rates(lambda o: optim.OneCycleLR(o, 1.0, 1, pct_start=1.0), 0) == []
    per_epoch = rates(lambda o: optim.OneCycleLR(o, 1.0, epochs=2, steps_per_epoch=5), 9)
    assert per_epoch == rates(lambda o: optim.OneCycleLR(o, 1.0, 10), 9)
    with pytest.raises(pb.InvalidArgument, match="total_steps=0"):
        rates(lambda o: optim.OneCycleLR(o, 1.0, epochs=2), 1)


def test_a_chain_multiplies():
    found = rates(
        lambda o: optim.ChainedScheduler([optim.ConstantLR(o, 0.5, 2), optim.StepLR(o, 1, 0.5)]),
        4, lr=1.0,
    )  # fmt: skip
    assert found == [0.5, 0.25, 0.25, 0.125]


def test_a_plateau_goes_on_where_it_was():
    def make() -> optim.ReduceLROnPlateau:
        p = pb.ones(1, requires_grad=True)
        return optim.ReduceLROnPlateau(optim.SGD([p], lr=1.0), factor=0.5, patience=1)

    first, second = make(), make()
    for loss in (2.0, 3.0):
        first.step(loss)
    second.load_state_dict(first.state_dict())
    for schedule in (first, second):
        schedule.step(pb.asarray(2.5))
        assert schedule.get_last_lr() == [0.5]


def test_schedules_of_what_is_none():
    optimizer = optim.SGD([pb.ones(1, requires_grad=True)], lr=1.0)
    for make in (
        lambda: optim.StepLR(3, 1), lambda: optim.LambdaLR(optimizer, [abs]),
        lambda: optim.MultiStepLR(optimizer, 3), lambda: optim.ReduceLROnPlateau(3),
        lambda: optim.ReduceLROnPlateau(optimizer, "best"), lambda: optim.ChainedScheduler([]),
        lambda: optim.StepLR(optimizer, 1).load_state_dict(3),
    ):  # fmt: skip
        with pytest.raises(pb.InvalidArgument, match="want"):
            make()


def test_a_sequence_starts_each_schedule_at_its_own_step_0():
    found = rates(
        lambda o: optim.SequentialLR(
            o, [optim.LinearLR(o, 0.1, total_iters=3), optim.ExponentialLR(o, 0.5)], [3]
        ),
        6, lr=1.0,
    )  # fmt: skip
    np.testing.assert_allclose(found, [0.1, 0.4, 0.7, 1.0, 0.5, 0.25])


def test_a_schedule_continues_exactly():
    optimizer = optim.SGD([pb.ones(1, requires_grad=True)], lr=0.3)
    schedule = optim.CosineAnnealingLR(optimizer, 100)
    for _ in range(37):
        schedule.step()
    again = optim.SGD([pb.ones(1, requires_grad=True)], lr=0.9)
    other = optim.CosineAnnealingLR(again, 100)
    other.load_state_dict(schedule.state_dict())
    for _ in range(5):
        assert other.get_last_lr() == schedule.get_last_lr()
        schedule.step()
        other.step()
    with pytest.raises(pb.InvalidArgument, match="last_epoch"):
        other.load_state_dict({"epoch": 1})


def test_groups_keep_their_own_rates():
    a, b = pb.ones(1, requires_grad=True), pb.ones(1, requires_grad=True)
    optimizer = optim.SGD([{"params": [a], "lr": 1.0}, {"params": [b], "lr": 0.1}])
    schedule = optim.StepLR(optimizer, 1, 0.5)
    schedule.step()
    assert schedule.get_last_lr() == [0.5, 0.05]


def test_newton_solves_a_quadratic_in_one_step(device):
    rng = np.random.default_rng(0)
    m = rng.standard_normal((6, 6))
    h, b = m @ m.T + np.eye(6), rng.standard_normal(6)
    matrix, vector = pb.asarray(h, device=device), pb.asarray(b, device=device)
    x = pb.zeros(6, dtype=pb.float64, device=device, requires_grad=True)
    optimizer = optim.NewtonCG([x])
    optimizer.step(lambda: 0.5 * (x @ (matrix @ x)) - pb.sum(vector * x))
    np.testing.assert_allclose(x.numpy(), np.linalg.solve(h, b), rtol=1e-6)


def test_newton_minimises_rosenbrock(device):
    x = pb.asarray([-1.2, 1.0], dtype=pb.float64, device=device, requires_grad=True)
    optimizer = optim.NewtonCG([x])

    def loss() -> pb.Tensor:
        return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2

    history = [float(optimizer.step(loss)) for _ in range(30)]
    assert all(b <= a for a, b in itertools.pairwise(history))
    np.testing.assert_allclose(x.numpy(), [1, 1], atol=1e-6)


def test_newton_fits_logistic_regression_with_two_parameters_groups():
    rng = np.random.default_rng(1)
    points = rng.standard_normal((200, 3))
    labels = (points @ [1.0, -2.0, 0.5] + 0.3 + rng.standard_normal(200) > 0) * 2.0 - 1.0
    x, y = pb.asarray(points), pb.asarray(labels)
    w = pb.zeros(3, dtype=pb.float64, requires_grad=True)
    c = pb.zeros((), dtype=pb.float64, requires_grad=True)
    optimizer = optim.NewtonCG([{"params": [w]}, {"params": [c]}])

    def loss() -> pb.Tensor:
        return pb.mean(pb.softplus(-y * (x @ w + c)))

    for _ in range(8):
        optimizer.step(loss)
    g = pb.value_and_grad(lambda w, c: pb.mean(pb.softplus(-y * (x @ w + c))), (0, 1))(
        w.detach(), c.detach()
    )[1]
    assert max(float(pb.max(pb.abs(part))) for part in g) < 1e-9


def test_newton_goes_down_where_the_curvature_is_negative():
    x = pb.asarray([0.1], dtype=pb.float64, requires_grad=True)
    optimizer = optim.NewtonCG([x], lr=0.5)
    for _ in range(40):
        optimizer.step(lambda: pb.sum(x**4 - x**2))
    assert abs(abs(x.item()) - math.sqrt(0.5)) < 1e-6


def test_newton_says_what_it_wants():
    x = pb.ones(2, requires_grad=True)
    with pytest.raises(pb.GradientError, match="closure"):
        optim.NewtonCG([x]).step()
    with pytest.raises(pb.GradientError, match="depends"):
        optim.NewtonCG([x]).step(lambda: pb.ones(()))
