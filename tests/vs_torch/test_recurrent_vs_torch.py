"""Recurrent layers, cells and embeddings agree with PyTorch's in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from against_torch import FEW, SEED, Case, Layer, batch, compare, normal, sizes
from hypothesis import given
from hypothesis import strategies as st

from polyback import nn


def states(draw: Any, count: int, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """No states, or one of a layer with one, or a tuple."""
    if draw(st.booleans()):
        return ()
    found = tuple(normal(draw, *shape) for _ in range(count))
    return (found if count > 1 else found[0],)


@st.composite
def layer(draw: Any, count: int = 1, plain: bool = False) -> Case:
    width, hidden = draw(sizes(1, 4)), draw(sizes(1, 4))
    options = {
        "num_layers": draw(sizes(1, 3)),
        "bias": draw(st.booleans()),
        "batch_first": draw(st.booleans()),
        "bidirectional": draw(st.booleans()),
    }
    if plain:
        options["nonlinearity"] = draw(st.sampled_from(["tanh", "relu"]))
    length, rows = draw(sizes(1, 5)), draw(st.sampled_from([None, 1, 3]))
    lead = (length,) if rows is None else (length, rows)
    x = normal(draw, *(lead[::-1] if options["batch_first"] else lead), width)
    shape = (options["num_layers"] * (1 + options["bidirectional"]), *lead[1:], hidden)
    return Case((width, hidden), options, (x, *states(draw, count, shape)))


@st.composite
def cell(draw: Any, count: int = 1, plain: bool = False) -> Case:
    width, hidden, lead = draw(sizes()), draw(sizes()), draw(st.sampled_from([(), (1,), (3,)]))
    options = {"bias": draw(st.booleans())}
    if plain:
        options["nonlinearity"] = draw(st.sampled_from(["tanh", "relu"]))
    x = normal(draw, *lead, width)
    return Case((width, hidden), options, (x, *states(draw, count, (*lead, hidden))))


@st.composite
def embedding(draw: Any) -> Case:
    n, d = draw(sizes()), draw(sizes())
    options = {}
    if draw(st.booleans()):
        options["padding_idx"] = draw(st.integers(-n, n - 1))
    x = np.array(np.random.default_rng(draw(SEED)).integers(0, n, draw(batch(3))))
    return Case((n, d), options, (x,))


LAYERS = [
    Layer("RNN", nn.RNN, torch.nn.RNN, layer(plain=True)),
    Layer("LSTM", nn.LSTM, torch.nn.LSTM, layer(2)),
    Layer("GRU", nn.GRU, torch.nn.GRU, layer()),
    Layer("RNNCell", nn.RNNCell, torch.nn.RNNCell, cell(plain=True)),
    Layer("LSTMCell", nn.LSTMCell, torch.nn.LSTMCell, cell(2)),
    Layer("GRUCell", nn.GRUCell, torch.nn.GRUCell, cell()),
    Layer("Embedding", nn.Embedding, torch.nn.Embedding, embedding()),
]


@pytest.mark.parametrize("row", LAYERS, ids=str)
@given(data=st.data())
@FEW
def test_layer(row: Layer, data: st.DataObject, device: str) -> None:
    compare(row, data.draw(row.cases), device)
