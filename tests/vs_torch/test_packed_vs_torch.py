"""Sequences of several lengths agree with PyTorch's: outputs, states, gradients, in float64."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import torch
from against_torch import COMPARED, FEW, Case, Layer, compare, compare_calls, normal, sizes
from hypothesis import given
from hypothesis import strategies as st

from polyback import nn

theirs = torch.nn.utils.rnn
LENGTHS = st.lists(st.integers(1, 5), min_size=1, max_size=4)


def padded(layer: Any, functions: Any) -> Any:
    """A recurrent layer as a function of padded sequences; both libraries call it alike."""

    def forward(self: Any, x: Any, lengths: list[int], *state: Any) -> Any:
        first = self.batch_first
        packed = functions.pack_padded_sequence(x, lengths, first, enforce_sorted=False)
        y, last = layer.forward(self, packed, *state)
        table, counts = functions.pad_packed_sequence(y, first, padding_value=0.5)
        return table, counts, y.data, y.batch_sizes, last

    made = type(layer.__name__, (layer,), {"forward": forward})
    made.__signature__ = inspect.signature(layer)
    return made


@st.composite
def packed(draw: Any, count: int = 1) -> Case:
    width, hidden, lengths = draw(sizes(1, 3)), draw(sizes(1, 3)), draw(LENGTHS)
    options = {
        "num_layers": draw(sizes(1, 2)),
        "batch_first": draw(st.booleans()),
        "bidirectional": draw(st.booleans()),
    }
    lead = (max(lengths), len(lengths))
    x = normal(draw, *(lead[::-1] if options["batch_first"] else lead), width)
    inputs: tuple[Any, ...] = (x, lengths)
    if draw(st.booleans()):
        shape = (options["num_layers"] * (1 + options["bidirectional"]), lead[1], hidden)
        start = tuple(normal(draw, *shape) for _ in range(count))
        inputs += (start if count > 1 else start[0],)
    return Case((width, hidden), options, inputs)


LAYERS = [
    Layer(f"packed {name}", padded(getattr(nn, name), nn), padded(getattr(torch.nn, name), theirs),
          packed(2 if name == "LSTM" else 1))
    for name in ("RNN", "LSTM", "GRU")
]  # fmt: skip


@pytest.mark.parametrize("row", LAYERS, ids=str)
@given(data=st.data())
@FEW
def test_layer(row: Layer, data: st.DataObject, device: str) -> None:
    compare(row, data.draw(row.cases), device)


@given(data=st.data())
@FEW
def test_padding(data: st.DataObject, device: str) -> None:
    parts = tuple(normal(data.draw, n, 2) for n in data.draw(LENGTHS))
    first = data.draw(st.booleans())

    def run(functions: Any) -> Any:
        return lambda *xs: [
            functions.pad_sequence(xs, first, -1.0),
            functions.pack_sequence(xs, enforce_sorted=False).data,
        ]

    compare_calls(run(nn), run(theirs), parts, {}, device, np.random.default_rng(1))
    COMPARED["pad_sequence"] += 1
