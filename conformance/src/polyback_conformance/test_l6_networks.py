"""Level 6: convolution, pooling, norms and running sums on the device, and a network of them.

The same whether the device offers the features or the core decomposes them: values and gradients
in float32 against the reference's in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from polyback.dtype import DType, float32
from polyback_conformance.cases import FLOATS
from polyback_conformance.compare import check_exact
from polyback_conformance.front import Front, check_losses

pytestmark = pytest.mark.conformance_level(6)


def _weight(pb: Any, x: Any, *shape: int) -> Any:
    """Weights that are part of the numbers that are differentiated."""
    return pb.reshape(x[:2, :4], shape)


CASES: dict[str, Callable[[Any, Any], Any]] = {
    "cumulative_sum": lambda pb, x: pb.cumulative_sum(x, axis=1),
    "cumulative_prod": lambda pb, x: pb.cumulative_prod(x, axis=0),
    "conv1d": lambda pb, x: pb.nn.conv1d(x, _weight(pb, x, 1, 4, 2), padding=1),
    "conv2d": lambda pb, x: pb.nn.conv2d(x[None], _weight(pb, x, 2, 1, 2, 2), padding="same"),
    "conv2d apart": lambda pb, x: pb.nn.conv2d(
        x[None], _weight(pb, x, 2, 1, 2, 2), None, (2, 1), (1, 2), (1, 2)
    ),
    "conv2d groups": lambda pb, x: pb.nn.conv2d(
        pb.stack([x, x * x]), _weight(pb, x, 4, 1, 1, 2), groups=2
    ),
    "conv_transpose2d": lambda pb, x: pb.nn.conv_transpose2d(
        x[None], _weight(pb, x, 1, 2, 2, 2), None, 2, 1, 1
    ),
    "max_pool2d": lambda pb, x: pb.nn.max_pool2d(x[None], (2, 3), 1, 1),
    "avg_pool2d": lambda pb, x: pb.nn.avg_pool2d(x[None], 2, 2, 1, count_include_pad=False),
    "adaptive_avg_pool2d": lambda pb, x: pb.nn.adaptive_avg_pool2d(x[None], (3, 1)),
    "layer_norm": lambda pb, x: pb.nn.layer_norm(x, x.shape[1], x[0], x[1]),
    "group_norm": lambda pb, x: pb.nn.group_norm(pb.permute_dims(x, (1, 0)), 2),
    "rms_norm": lambda pb, x: pb.nn.rms_norm(x, x.shape[1], x[0]),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_values_and_gradients(front: Front, name: str) -> None:
    """Whether the device offers the features or not."""
    x = front.lab.rng("networks").normal(0, 1, (4, 6))
    front.check_gradients(CASES[name], x, name)


def test_places(front: Front) -> None:
    """The first of several maxima, bit for bit what the reference says."""
    pb = front.pb
    x = front.lab.rng("places").integers(-2, 3, (2, 3, 9, 8)).astype(np.float32)
    mine, theirs = front.tensor(x), front.tensor(x, device=front.reference)
    calls: list[Callable[[Any], Any]] = [
        lambda t: pb.nn.max_pool2d(t, 3, 2, 1, return_indices=True)[1],
        lambda t: pb.argmax(t, axis=2), lambda t: pb.argmin(t), lambda t: pb.argmax(t, axis=1),
    ]  # fmt: skip
    for call in calls:
        check_exact(call(mine).numpy(), call(theirs).numpy())


def train(front: Front, device: str, dtype: DType, steps: int = 12) -> list[float]:
    """The losses of a small network over images."""
    pb = front.pb
    nn, generator = pb.nn, pb.random.Generator(11, device=device)
    placed = {"device": device, "dtype": dtype}
    made = {"generator": generator, **placed}
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, **made),
        nn.BatchNorm2d(4, **placed),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2, **made),
        nn.GroupNorm(2, 8, **placed),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.LayerNorm(32, **placed),
        nn.Linear(32, 3, **made),
    )
    optimizer = pb.optim.SGD(list(model.parameters()), lr=0.1, momentum=0.9)
    rng = np.random.default_rng(5)
    x = rng.normal(0, 1, (24, 1, 10, 8))
    labels = np.stack([x[:, 0, :4].sum((1, 2)), x[:, 0, 4:].sum((1, 2)), x[:, 0, :, 3].sum(1)], 1)
    return front.train(model, optimizer, x, labels.argmax(1), device, dtype, steps)


@FLOATS
def test_training(front: Front, dtype: DType) -> None:
    """Twelve steps: the losses are the reference's, and they fall."""
    front.need(dtype)
    got = train(front, front.device, dtype)
    want = train(front, front.reference, dtype)
    check_losses(got, want, 1e-3 if dtype is float32 else 1e-9, fall=0.7)
