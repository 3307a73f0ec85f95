"""Initial values: their spread, the same on every device; errors."""

from __future__ import annotations

import math
import statistics
from typing import Any

import numpy as np
import pytest

import polyback as pb
from polyback import nn
from polyback.frontend.nn.quantile import normal_quantile


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


@pytest.mark.parametrize(
    "make",
    [
        "zeros", "ones", "eye", "uniform", "normal", "xavier_uniform", "xavier_normal",
        "kaiming_uniform", "kaiming_normal", "trunc_normal", "orthogonal",
    ],
)  # fmt: skip
def test_initial_values_have_the_type_that_was_asked_for(make: str, device: str) -> None:
    function = getattr(nn.init, make)
    for given, want in ((None, pb.float32), (pb.float64, pb.float64)):
        assert function((3, 2), dtype=given, device=device).dtype is want
    target = pb.full((3, 2), 7.0, dtype=pb.float64, device=device)
    assert not (getattr(nn.init, f"{make}_")(target).numpy() == 7.0).any()


def test_initial_values_of_a_window_and_errors(device):
    seeded = pb.random.Generator(5)
    values = nn.init.kaiming_normal((8, 16, 5, 5), generator=seeded, device=device).numpy()
    assert abs(values.std() / np.sqrt(2 / (16 * 25)) - 1) < 0.05
    weight = pb.zeros((2, 2), device=device, requires_grad=True)
    assert nn.init.constant_(weight, 0.5).tolist() == [[0.5, 0.5], [0.5, 0.5]]
    with pytest.raises(pb.ShapeError, match=r"\[xavier_uniform\] got shape \(3,\)"):
        nn.init.xavier_uniform((3,))
    with pytest.raises(pb.InvalidArgument, match="want 'fan_in' or 'fan_out'"):
        nn.init.kaiming_normal((2, 2), mode="fan")
    with pytest.raises(pb.InvalidArgument, match=r"want one of: .*leaky_relu, linear"):
        nn.init.calculate_gain("gelu")


# --- values that are made on the host -------------------------------------------------------------


def test_the_quantiles_are_those_of_the_standard_library():
    tails = 2.0 ** -np.arange(1.0, 1000.0, 7.0)
    p = np.concatenate([np.linspace(0.001, 0.999, 997), tails, 1 - tails[1:7]])
    want = [statistics.NormalDist().inv_cdf(x) for x in p]
    np.testing.assert_allclose(normal_quantile(p), want, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("dtype", [pb.float32, pb.float64, pb.float16], ids=str)
@pytest.mark.parametrize(
    ("mean", "std", "a", "b"), [(0, 1, -2, 2), (1, 0.5, 0, 1.25), (0, 1, 6, 7), (0, 1, -9, -8)]
)
def test_truncated_normal_values_keep_their_distribution(device, mean, std, a, b, dtype):
    place = {"device": device, "dtype": dtype, "generator": pb.random.Generator(1)}
    x = nn.init.trunc_normal((4000,), mean, std, a, b, **place).numpy().astype(np.float64)
    assert ((x >= a) & (x <= b)).all()
    if dtype is pb.float16:
        return  # too coarse for what follows
    erfc = np.vectorize(lambda z: math.erfc(z / math.sqrt(2)))
    sign = -1 if a + b > 2 * mean else 1  # the lower tail has the digits
    low, high = sorted(sign * (np.array([a, b]) - mean) / std)
    share = (erfc(-sign * (x - mean) / std) - erfc(-low)) / (erfc(-high) - erfc(-low))
    steps = np.abs(np.sort(share) - (np.arange(4000) + 0.5) / 4000)
    assert steps.max() < 1.95 / math.sqrt(4000)  # Kolmogorov and Smirnov, 0.1 %


@pytest.mark.parametrize("shape", [(5, 5), (3, 7), (7, 3), (4, 2, 3), (1, 1)])
def test_orthogonal_values_are_orthogonal(device, shape):
    place = {"device": device, "dtype": pb.float64, "generator": pb.random.Generator(1)}
    x = nn.init.orthogonal(shape, 2.0, **place).numpy().reshape(shape[0], -1)
    product = x @ x.T if x.shape[0] <= x.shape[1] else x.T @ x
    np.testing.assert_allclose(product, 4 * np.eye(min(x.shape)), atol=1e-13)


@pytest.mark.parametrize("dtype", [pb.float32, pb.float64], ids=str)
@pytest.mark.parametrize("make", ["trunc_normal", "orthogonal", "uniform", "kaiming_uniform"])
def test_these_values_have_the_same_bits_on_every_device(device, make, dtype):
    def values(place: str) -> Any:
        return getattr(nn.init, make)(
            (30, 20), device=place, dtype=dtype, generator=pb.random.Generator(3)
        ).numpy()

    assert np.array_equal(values(device), values(pb.devices()[0]))
    target = pb.zeros((30, 20), device=device, dtype=dtype)
    getattr(nn.init, f"{make}_")(target, generator=pb.random.Generator(3))
    assert np.array_equal(target.numpy(), values(device))


def test_constants_and_errors_of_the_host_values(device):
    target = pb.full((2, 3), 7.0, device=device)
    assert nn.init.zeros_(target).tolist() == [[0.0] * 3] * 2
    assert nn.init.ones_(target).tolist() == [[1.0] * 3] * 2
    assert nn.init.eye_(target).tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    with pytest.raises(pb.ShapeError, match=r"\[eye\] got shape \(3,\); want two axes"):
        nn.init.eye((3,))
    with pytest.raises(pb.ShapeError, match=r"\[orthogonal\] got shape \(3,\)"):
        nn.init.orthogonal((3,))
    with pytest.raises(pb.InvalidArgument, match=r"std=0\.0, \[-2\.0, 2\.0\]"):
        nn.init.trunc_normal((3,), std=0.0)


def test_what_is_filled_is_a_tensor():
    with pytest.raises(pb.DTypeError, match=r"\[uniform_\] got list"):
        pb.nn.init.uniform_([1.0, 2.0])
