"""Layers agree with PyTorch's in float64: outputs, all gradients, names and values of the state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from against_torch import FEW, Case, Layer, batch, compare, normal, sizes
from hypothesis import given
from hypothesis import strategies as st

from polyback import nn


@st.composite
def linear(draw: Any) -> Case:
    fan_in, fan_out = draw(sizes()), draw(sizes())
    x = normal(draw, *draw(batch()), fan_in)
    return Case((fan_in, fan_out), {"bias": draw(st.booleans())}, (x,))


@st.composite
def bilinear(draw: Any) -> Case:
    a, b, c = (draw(sizes()) for _ in range(3))
    lead = draw(batch())
    x = normal(draw, *lead, a), normal(draw, *lead, b)
    return Case((a, b, c), {"bias": draw(st.booleans())}, x)


@st.composite
def batch_norm(draw: Any) -> Case:
    n, c = draw(sizes(2)), draw(sizes())
    tail = draw(st.sampled_from([(), (1,), (3,)]))
    options = {
        "eps": draw(st.sampled_from([1e-5, 1e-2])),
        "momentum": draw(st.sampled_from([0.1, 0.7, None])),
        "affine": draw(st.booleans()),
        "track_running_stats": draw(st.booleans()),
    }
    x = normal(draw, n, c, *tail)
    return Case((c,), options, (x,), training=draw(st.booleans()))


@st.composite
def layer_norm(draw: Any) -> Case:
    shape = tuple(draw(st.lists(sizes(), min_size=1, max_size=2)))
    options = {
        "eps": draw(st.sampled_from([1e-5, 1e-2])),
        "elementwise_affine": draw(st.booleans()),
        "bias": draw(st.booleans()),
    }
    return Case((shape,), options, (normal(draw, *draw(batch(1)), *shape),))


def activation(**options: st.SearchStrategy[Any]) -> st.SearchStrategy[Case]:
    @st.composite
    def cases(draw: Any) -> Case:
        x = normal(draw, *draw(batch(3)), scale=draw(st.sampled_from([1.0, 8.0])))
        x = np.where(draw(st.booleans()) and x < 0, 0.0, x)  # the kink is a number too
        return Case((), {k: draw(v) for k, v in options.items()}, (x,))

    return cases()


@st.composite
def softmax(draw: Any) -> Case:
    x = normal(draw, *draw(st.lists(sizes(), min_size=1, max_size=3)), scale=3.0)
    return Case((), {"dim": draw(st.integers(-x.ndim, x.ndim - 1))}, (x,))


@st.composite
def flatten(draw: Any) -> Case:
    x = normal(draw, *draw(st.lists(sizes(), min_size=1, max_size=4)))
    first = draw(st.integers(0, x.ndim - 1))
    last = draw(st.integers(first, x.ndim - 1)) - draw(st.sampled_from([0, x.ndim]))
    return Case((first, last), {}, (x,))


@st.composite
def unflatten(draw: Any) -> Case:
    cut = draw(st.lists(sizes(1, 3), min_size=1, max_size=3))
    before, after = draw(batch(1)), draw(batch(1))
    x = normal(draw, *before, int(np.prod(cut)), *after)
    if draw(st.booleans()) and x.size:
        cut[draw(st.integers(0, len(cut) - 1))] = -1
    return Case((len(before), tuple(cut)), {}, (x,))


SLOPE = st.sampled_from([0.01, 0.3, 1.5])
FORMS = st.sampled_from(["none", "tanh"])
HIGH = st.sampled_from([0.5, 3.0])
LAYERS = [
    Layer("Linear", nn.Linear, torch.nn.Linear, linear()),
    Layer("Bilinear", nn.Bilinear, torch.nn.Bilinear, bilinear()),
    Layer("BatchNorm1d", nn.BatchNorm1d, torch.nn.BatchNorm1d, batch_norm()),
    Layer("LayerNorm", nn.LayerNorm, torch.nn.LayerNorm, layer_norm()),
    Layer("ReLU", nn.ReLU, torch.nn.ReLU, activation()),
    Layer("ReLU6", nn.ReLU6, torch.nn.ReLU6, activation()),
    Layer("LeakyReLU", nn.LeakyReLU, torch.nn.LeakyReLU, activation(negative_slope=SLOPE)),
    Layer("ELU", nn.ELU, torch.nn.ELU, activation(alpha=SLOPE)),
    Layer("SELU", nn.SELU, torch.nn.SELU, activation()),
    Layer("GELU", nn.GELU, torch.nn.GELU, activation(approximate=FORMS)),
    Layer("SiLU", nn.SiLU, torch.nn.SiLU, activation()),
    Layer("Mish", nn.Mish, torch.nn.Mish, activation()),
    Layer("Sigmoid", nn.Sigmoid, torch.nn.Sigmoid, activation()),
    Layer("LogSigmoid", nn.LogSigmoid, torch.nn.LogSigmoid, activation()),
    Layer("Tanh", nn.Tanh, torch.nn.Tanh, activation()),
    Layer("Hardtanh", nn.Hardtanh, torch.nn.Hardtanh, activation(max_val=HIGH)),
    Layer("Softplus", nn.Softplus, lambda beta: torch.nn.Softplus(beta, threshold=1e3),
          activation(beta=st.sampled_from([1.0, 0.5, 3.0]))),
    Layer("Softmax", nn.Softmax, torch.nn.Softmax, softmax()),
    Layer("LogSoftmax", nn.LogSoftmax, torch.nn.LogSoftmax, softmax()),
    Layer("Flatten", nn.Flatten, torch.nn.Flatten, flatten()),
    Layer("Unflatten", nn.Unflatten, torch.nn.Unflatten, unflatten()),
]  # fmt: skip


@pytest.mark.parametrize("row", LAYERS, ids=str)
@given(data=st.data())
@FEW
def test_layer(row: Layer, data: st.DataObject, device: str) -> None:
    compare(row, data.draw(row.cases), device)
