"""Embeddings and positional encodings: rows of tables, their gradients, padding, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import polyback as pb
from polyback import nn

F64 = {"rtol": 1e-12, "atol": 1e-12}


def on(device: str, values: Any) -> pb.Tensor:
    return pb.asarray(np.asarray(values), device=device)


def test_embedding_looks_rows_up_and_adds_their_gradients(device):
    layer = nn.Embedding(5, 3, device=device, dtype=pb.float64)
    x = np.array([[4, 0, 4], [1, 4, 0]])
    y = layer(on(device, x))
    assert np.array_equal(y.numpy(), layer.weight.numpy()[x])
    pb.sum(y).backward()
    assert layer.weight.grad[:, 0].tolist() == [2.0, 1.0, 0.0, 0.0, 3.0]
    for kind in (np.int32, np.uint8):
        assert np.array_equal(layer(on(device, x.astype(kind))).numpy(), y.numpy())
    assert layer(on(device, np.zeros((0, 2), int))).shape == (0, 2, 3)
    pb.testing.check_grad(lambda w: nn.embedding(on(device, x), w), layer.weight.detach())
    with pytest.raises(pb.IndexOutOfBounds, match="5"):
        layer(on(device, [5]))
    with pytest.raises(pb.DTypeError, match="want an integer"):
        layer(on(device, [0.5]))
    with pytest.raises(pb.ShapeError, match=r"the table is \(5,\)"):
        nn.embedding(on(device, [0]), layer.weight[:, 0])


@pytest.mark.parametrize("padding", [1, -4])
def test_padding_starts_at_zero_and_gets_no_gradient(device, padding):
    layer = nn.Embedding(5, 3, padding_idx=padding, device=device)
    assert (layer.weight.numpy()[1] == 0).all()
    assert (layer.weight.numpy()[[0, 2, 3, 4]] != 0).all()
    pb.sum(layer(on(device, [1, 0, 1, -4, 1]))).backward()
    assert layer.weight.grad[:, 0].tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert repr(layer) == "Embedding(5, 3, padding_idx=1)"
    with pytest.raises(pb.InvalidArgument, match="padding_idx=5 is none of 5 rows"):
        nn.Embedding(5, 3, padding_idx=5)


def test_pretrained_rows_are_copied_and_frozen(device):
    rows = on(device, np.arange(6.0).reshape(3, 2))
    layer = nn.Embedding.from_pretrained(rows)
    assert not layer.weight.requires_grad
    assert list(layer.state_dict()) == ["weight"]
    trained = nn.Embedding.from_pretrained(rows, freeze=False, padding_idx=0)
    assert trained.weight.requires_grad
    with pb.no_grad():
        trained.weight += 1.0
    assert rows.tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    assert trained(on(device, [0])).tolist() == [[1.0, 2.0]]
    with pytest.raises(pb.ShapeError, match=r"got \(2,\); want \(n, d\)"):
        nn.Embedding.from_pretrained(rows[0])


@pytest.mark.parametrize("width", [6, 5])
def test_sinusoidal_encoding(device, width):
    want = np.zeros((7, width))
    for t in range(7):
        for k in range(width):
            angle = t * 10000.0 ** (-2 * (k // 2) / width)
            want[t, k] = np.cos(angle) if k % 2 else np.sin(angle)
    got = nn.sinusoidal_encoding(7, width, device=device, dtype=pb.float64).numpy()
    np.testing.assert_allclose(got, want, **F64)
    layer = nn.PositionalEncoding(width, max_len=7, device=device, dtype=pb.float64)
    x = np.random.default_rng(0).standard_normal((5, 2, width))
    np.testing.assert_allclose(layer(on(device, x)).numpy(), x + want[:5, None], **F64)
    np.testing.assert_allclose(layer(on(device, x[:, 0])).numpy(), x[:, 0] + want[:5], **F64)
    layer = nn.PositionalEncoding(width, 0.0, 7, True, device=device, dtype=pb.float64)
    np.testing.assert_allclose(layer(on(device, x)).numpy(), x + want[:2], **F64)
    assert layer.state_dict() == {}
    with pytest.raises(pb.ShapeError, match=r"want \(N, L, \d\) or \(L, \d\) with L <= 7"):
        layer(on(device, np.zeros((2, 8, width))))


def test_learned_positional_encoding(device):
    layer = nn.LearnedPositionalEncoding(3, max_len=4, device=device, dtype=pb.float64)
    x = np.random.default_rng(0).standard_normal((2, 5, 3))
    got = layer(on(device, x)).numpy()
    np.testing.assert_allclose(got, x + layer.weight.numpy()[:2, None], **F64)
    pb.sum(layer(on(device, x))).backward()
    assert layer.weight.grad[:, 0].tolist() == [5.0, 5.0, 0.0, 0.0]
    assert 0 < np.abs(layer.weight.numpy()).max() < 0.1
    dropped = nn.LearnedPositionalEncoding(3, dropout=1.0, max_len=4, device=device)
    assert (dropped(pb.ones((2, 3), device=device)).numpy() == 0).all()


def test_dropout_as_a_function(device):
    x = pb.ones(100, device=device)
    assert nn.dropout(x, 0.5, training=False) is x
    got = nn.dropout(x, 0.5, generator=pb.random.Generator(1)).numpy()
    layer = nn.Dropout(0.5, generator=pb.random.Generator(1))
    assert np.array_equal(got, layer(x).numpy())
    with pytest.raises(pb.InvalidArgument, match=r"\[dropout\] got p=2"):
        nn.dropout(x, 2)
