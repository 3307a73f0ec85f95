"""Initial values: their spread, the same on every device; errors."""

from __future__ import annotations

import numpy as np
import pytest

import polyback as pb
from polyback import nn


@pytest.mark.parametrize(
    ("make", "options", "std"),
    [
        ("xavier_uniform", {"gain": 2.0}, 2.0 * np.sqrt(2 / (300 + 200))),
        ("xavier_normal", {}, np.sqrt(2 / (300 + 200))),
        ("kaiming_uniform", {"nonlinearity": "relu"}, np.sqrt(2 / 300)),
        ("kaiming_normal", {"nonlinearity": "relu", "mode": "fan_out"}, np.sqrt(2 / 200)),
        ("kaiming_normal", {"a": 2.0}, np.sqrt(2 / 5 / 300)),
        ("uniform", {"a": -1.0, "b": 3.0}, 4 / np.sqrt(12)),
        ("normal", {"std": 0.5}, 0.5),
    ],
)
def test_initial_values_have_their_spread(device, make, options, std):
    function = getattr(nn.init, make)
    seeded = pb.random.Generator(5)
    values = function((200, 300), **options, generator=seeded, device=device).numpy()
    assert abs(values.std() / std - 1) < 0.02
    if "uniform" in make:
        half = std * np.sqrt(3)
        middle = 1.0 if make == "uniform" else 0.0
        assert (np.abs(values - middle) <= half * 1.000001).all()
    target = pb.zeros((200, 300), device=device)
    filled = getattr(nn.init, f"{make}_")(target, **options, generator=pb.random.Generator(5))
    assert filled is target
    assert np.array_equal(target.numpy(), values)


def test_initial_values_of_a_window_and_errors(device):
    seeded = pb.random.Generator(5)
    values = nn.init.kaiming_normal((8, 16, 5, 5), generator=seeded, device=device).numpy()
    assert abs(values.std() / np.sqrt(2 / (16 * 25)) - 1) < 0.05
    weight = pb.zeros((2, 2), device=device, requires_grad=True)
    assert nn.init.constant_(weight, 0.5).tolist() == [[0.5, 0.5], [0.5, 0.5]]
    with pytest.raises(pb.ShapeError, match=r"\[xavier_uniform\] got shape \(3,\)"):
        nn.init.xavier_uniform((3,))
    with pytest.raises(pb.InvalidArgument, match="want 'fan_in' or 'fan_out'"):
        nn.init.kaiming_normal((2, 2), mode="fan")  # type: ignore[arg-type]
    with pytest.raises(pb.InvalidArgument, match="want one of: leaky_relu, linear"):
        nn.init.calculate_gain("gelu")
