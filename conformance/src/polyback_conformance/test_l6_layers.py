"""Level 6: every layer and loss of the library on the device: outputs, all gradients, and what a
layer remembers.

In float32 and, where the device has it, in float64, against the reference in float64. One row a
layer: how it is made, and what it is called with (shapes of normal numbers, or arrays).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from polyback.dtype import DType, float32, float64
from polyback.frontend.optim import SGD
from polyback_conformance.compare import Mismatch
from polyback_conformance.front import Front

pytestmark = pytest.mark.conformance_level(6)

LIMITS = {"float32": 2e-5, "float64": 1e-12}  # of |got - want| / (1 + the largest |want|)
LABELS = np.array([2, 0, 1, 2])
TRUTH = np.linspace(0.05, 0.95, 20).reshape(4, 5)  # probabilities
DISTRIBUTIONS = TRUTH / TRUTH.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class Row:
    """A layer ``make(nn, placed)`` and its inputs; ``placed`` holds device and dtype."""

    make: Callable[[Any, dict[str, Any]], Any]
    inputs: tuple[Any, ...]
    options: dict[str, Any]

    @staticmethod
    def of(make: Callable[[Any, dict[str, Any]], Any], *inputs: Any, **options: Any) -> Row:
        return Row(make, inputs, options)


X = (4, 5)  # a batch of rows
S = (3, 2, 4)  # a sequence of batches, or a batch of series of two channels
P = (2, 4, 6, 4)  # a batch of pictures


def gan_loss(nn: Any, judge: Any) -> Any:
    """The generator's loss, after a step of the other player."""
    return nn.GANLoss(judge, SGD(judge.parameters(), lr=0.1))


LAYERS: dict[str, Row] = {
    "ELU": Row.of(lambda nn, at: nn.ELU(0.5), X),
    "GELU": Row.of(lambda nn, at: nn.GELU(), X),
    "GELU tanh": Row.of(lambda nn, at: nn.GELU("tanh"), X),
    "Hardtanh": Row.of(lambda nn, at: nn.Hardtanh(), X),
    "LeakyReLU": Row.of(lambda nn, at: nn.LeakyReLU(0.2), X),
    "LogSigmoid": Row.of(lambda nn, at: nn.LogSigmoid(), X),
    "LogSoftmax": Row.of(lambda nn, at: nn.LogSoftmax(0), X),
    "Mish": Row.of(lambda nn, at: nn.Mish(), X),
    "ReLU": Row.of(lambda nn, at: nn.ReLU(), X),
    "ReLU6": Row.of(lambda nn, at: nn.ReLU6(), X),
    "SELU": Row.of(lambda nn, at: nn.SELU(), X),
    "SiLU": Row.of(lambda nn, at: nn.SiLU(), X),
    "Sigmoid": Row.of(lambda nn, at: nn.Sigmoid(), X),
    "Hardsigmoid": Row.of(lambda nn, at: nn.Hardsigmoid(), X),
    "Hardswish": Row.of(lambda nn, at: nn.Hardswish(), X),
    "Softsign": Row.of(lambda nn, at: nn.Softsign(), X),
    "PReLU": Row.of(lambda nn, at: nn.PReLU(5, **at), X),
    "GLU": Row.of(lambda nn, at: nn.GLU(), S),
    "PixelShuffle": Row.of(lambda nn, at: nn.PixelShuffle(2), (4, 2, 3)),
    "PixelUnshuffle": Row.of(lambda nn, at: nn.PixelUnshuffle(2), P),
    "Upsample": Row.of(lambda nn, at: nn.Upsample(scale_factor=2), P),
    "Upsample bilinear": Row.of(lambda nn, at: nn.Upsample((5, 3), mode="bilinear"), P),
    "Unfold": Row.of(lambda nn, at: nn.Unfold(3, padding=1), P),
    "Fold": Row.of(lambda nn, at: nn.Fold((4, 6), 2, stride=2), (2, 12, 6)),
    "ZeroPad2d": Row.of(lambda nn, at: nn.ZeroPad2d((1, 0, 2, -1)), P),
    "ReflectionPad2d": Row.of(lambda nn, at: nn.ReflectionPad2d(2), P),
    "ReplicationPad2d": Row.of(lambda nn, at: nn.ReplicationPad2d(1), P),
    "Conv2d circular": Row.of(
        lambda nn, at: nn.Conv2d(4, 2, 3, padding=1, padding_mode="circular", **at), P
    ),
    "InstanceNorm1d": Row.of(lambda nn, at: nn.InstanceNorm1d(2, **at), S),
    "AdaptiveMaxPool1d": Row.of(lambda nn, at: nn.AdaptiveMaxPool1d(3), S),
    "InstanceNorm2d": Row.of(lambda nn, at: nn.InstanceNorm2d(4, affine=True, **at), P),
    "AdaptiveAvgPool1d": Row.of(lambda nn, at: nn.AdaptiveAvgPool1d(3), S),
    "AdaptiveMaxPool2d": Row.of(lambda nn, at: nn.AdaptiveMaxPool2d((3, 4)), P),
    "Softmax": Row.of(lambda nn, at: nn.Softmax(), X),
    "Softplus": Row.of(lambda nn, at: nn.Softplus(2.0), X),
    "Tanh": Row.of(lambda nn, at: nn.Tanh(), X),
    "Flatten": Row.of(lambda nn, at: nn.Flatten(), S),
    "Unflatten": Row.of(lambda nn, at: nn.Unflatten(2, (2, -1)), S),
    "Linear": Row.of(lambda nn, at: nn.Linear(4, 3, **at), S),
    "Bilinear": Row.of(lambda nn, at: nn.Bilinear(5, 5, 3, **at), X, X),
    "BatchNorm1d": Row.of(lambda nn, at: nn.BatchNorm1d(5, **at), X),
    "BatchNorm1d in use": Row.of(lambda nn, at: nn.BatchNorm1d(5, **at).eval(), X),
    "LayerNorm": Row.of(lambda nn, at: nn.LayerNorm(5, **at), X),
    "Residual": Row.of(lambda nn, at: nn.Residual(nn.Sequential(nn.Linear(5, 5, **at))), X),
    "BatchNorm2d": Row.of(lambda nn, at: nn.BatchNorm2d(4, **at), P),
    "GroupNorm": Row.of(lambda nn, at: nn.GroupNorm(2, 4, **at), P),
    "RMSNorm": Row.of(lambda nn, at: nn.RMSNorm((6, 4), **at), P),
    "Conv1d": Row.of(lambda nn, at: nn.Conv1d(2, 4, 3, padding=1, groups=2, **at), S),
    "Conv2d": Row.of(lambda nn, at: nn.Conv2d(4, 3, (3, 2), (2, 1), 1, (1, 2), **at), P),
    "ConvTranspose1d": Row.of(lambda nn, at: nn.ConvTranspose1d(2, 3, 3, 2, 1, 1, **at), S),
    "ConvTranspose2d": Row.of(
        lambda nn, at: nn.ConvTranspose2d(4, 2, 3, 2, 1, 1, groups=2, **at), P
    ),
    "MaxPool1d": Row.of(lambda nn, at: nn.MaxPool1d(2, 1), S),
    "MaxPool2d": Row.of(lambda nn, at: nn.MaxPool2d((3, 2), 2, 1), P),
    "AvgPool1d": Row.of(lambda nn, at: nn.AvgPool1d(3, 2, 1), S),
    "AvgPool2d": Row.of(lambda nn, at: nn.AvgPool2d(2, 2, 1, count_include_pad=False), P),
    "AdaptiveAvgPool2d": Row.of(lambda nn, at: nn.AdaptiveAvgPool2d((4, 2)), P),
    "Dropout": Row.of(lambda nn, at: nn.Dropout(0.4), X),
    "Dropout1d": Row.of(lambda nn, at: nn.Dropout1d(0.4), S),
    "Dropout2d": Row.of(lambda nn, at: nn.Dropout2d(0.4), P),
    "Identity": Row.of(lambda nn, at: nn.Identity(), X),
    "Embedding": Row.of(lambda nn, at: nn.Embedding(3, 2, padding_idx=1, **at), LABELS),
    "PositionalEncoding": Row.of(lambda nn, at: nn.PositionalEncoding(4, max_len=6, **at), S),
    "LearnedPositionalEncoding": Row.of(
        lambda nn, at: nn.LearnedPositionalEncoding(4, max_len=6, **at), S
    ),
    "RNN": Row.of(lambda nn, at: nn.RNN(4, 3, 2, "relu", bidirectional=True, **at), S),
    "LSTM": Row.of(lambda nn, at: nn.LSTM(4, 3, 2, bidirectional=True, **at), S),
    "GRU": Row.of(lambda nn, at: nn.GRU(4, 3, 2, batch_first=True, **at), S),
    "RNNCell": Row.of(lambda nn, at: nn.RNNCell(5, 3, **at), X, (4, 3)),
    "LSTMCell": Row.of(lambda nn, at: nn.LSTMCell(5, 3, **at), X),
    "GRUCell": Row.of(lambda nn, at: nn.GRUCell(5, 3, **at), X, (4, 3)),
    "MultiheadAttention": Row.of(
        lambda nn, at: nn.MultiheadAttention(4, 2, **at), S, S, S, is_causal=True
    ),
    "MultiheadAttention padded": Row.of(
        lambda nn, at: nn.MultiheadAttention(4, 2, **at), S, S, S,
        np.array([[False, True, False], [True, True, True]]),
    ),
    "TransformerEncoder": Row.of(
        lambda nn, at: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(4, 2, 6, 0.0, norm_first=True, **at), 2
        ), S,
    ),
    "TransformerDecoder": Row.of(
        lambda nn, at: nn.TransformerDecoder(
            nn.TransformerDecoderLayer(4, 2, 6, 0.0, "gelu", **at), 2
        ), S, S,
    ),
    "MSELoss": Row.of(lambda nn, at: nn.MSELoss(), X, X),
    "L1Loss": Row.of(lambda nn, at: nn.L1Loss(), X, X),
    "HuberLoss": Row.of(lambda nn, at: nn.HuberLoss(delta=0.5), X, X),
    "SmoothL1Loss": Row.of(lambda nn, at: nn.SmoothL1Loss("none"), X, X),
    "CrossEntropyLoss": Row.of(
        lambda nn, at: nn.CrossEntropyLoss(None, 1, label_smoothing=0.1), X, LABELS
    ),
    "CrossEntropyLoss of probabilities": Row.of(
        lambda nn, at: nn.CrossEntropyLoss(), X, DISTRIBUTIONS
    ),
    "NLLLoss": Row.of(lambda nn, at: nn.NLLLoss(), X, LABELS),
    "BCELoss": Row.of(lambda nn, at: nn.BCELoss(), TRUTH, TRUTH[::-1]),
    "BCEWithLogitsLoss": Row.of(lambda nn, at: nn.BCEWithLogitsLoss(), X, TRUTH),
    "KLDivLoss": Row.of(lambda nn, at: nn.KLDivLoss("batchmean"), X, DISTRIBUTIONS),
    "CosineSimilarity": Row.of(lambda nn, at: nn.CosineSimilarity(), X, X),
    "Transformer": Row.of(
        lambda nn, at: nn.Transformer(4, 2, 1, 1, 6, 0.0, **at), S, S, tgt_is_causal=True
    ),
    "TripletMarginLoss": Row.of(lambda nn, at: nn.TripletMarginLoss(), X, X, X),
    "MarginRankingLoss": Row.of(lambda nn, at: nn.MarginRankingLoss(0.5), X, X, X),
    "CosineEmbeddingLoss": Row.of(
        lambda nn, at: nn.CosineEmbeddingLoss(), X, X, np.array([1, -1, -1, 1])
    ),
    "GANLoss": Row.of(lambda nn, at: gan_loss(nn, nn.Linear(5, 1, **at)), X, X),
}  # fmt: skip


def results(front: Front, name: str, row: Row, device: str, dtype: DType) -> dict[str, Any]:
    """Outputs, gradients for inputs and parameters, and buffers afterwards, as float64 by name."""
    pb, rng = front.pb, front.lab.rng("layers", name)

    def numbers(shape: Any) -> Any:
        return rng.normal(0, 1, shape).astype(np.float32).astype(np.float64)

    def tensor(values: Any) -> Any:
        real = values.dtype.kind == "f"
        return pb.asarray(values, dtype=dtype if real else None, device=device, requires_grad=real)

    pb.random.manual_seed(5)
    layer = row.make(pb.nn, {"device": device, "dtype": dtype})
    with pb.no_grad():
        for parameter in layer.parameters():
            values = 0.5 * numbers(parameter.shape)
            parameter.array.assign(pb.asarray(values, dtype=dtype, device=device).array)
    given = [tensor(numbers(x) if isinstance(x, tuple) else x) for x in row.inputs]
    outputs, stack = [], [layer(*given, **row.options)]
    while stack:
        part = stack.pop()
        if isinstance(part, tuple):
            stack.extend(part)
        elif part is not None:
            outputs.append(part)
    weights = [pb.asarray(numbers(y.shape), dtype=dtype, device=device) for y in outputs]
    total = sum(pb.sum(y * w) for y, w in zip(outputs, weights, strict=True))
    total.backward()
    found = {f"output {k}": y for k, y in enumerate(outputs)}
    found |= {f"gradient of input {k}": x.grad for k, x in enumerate(given) if x.grad is not None}
    found |= {f"gradient of {n}": p.grad for n, p in layer.named_parameters()}
    found |= dict(layer.named_buffers())
    return {k: v.detach().numpy().astype(np.float64) for k, v in found.items()}


@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
@pytest.mark.parametrize("name", sorted(LAYERS))
def test_layer(front: Front, name: str, dtype: DType) -> None:
    """Outputs, gradients and buffers, each within the limit of its type."""
    front.need(dtype)
    got = results(front, name, LAYERS[name], front.device, dtype)
    want = results(front, name, LAYERS[name], front.reference, float64)
    assert got.keys() == want.keys()
    for key, value in want.items():
        assert got[key].shape == value.shape, key
        if value.size:
            error = np.abs(got[key] - value).max() / (1 + np.abs(value).max())
            if not error <= LIMITS[dtype.name]:
                raise Mismatch(f"{name}, {key}: error {error:.3g}, limit {LIMITS[dtype.name]}")


def test_every_layer_is_in_a_table(front: Front) -> None:
    """A layer that is added to the library is added here."""
    nn = front.pb.nn
    parts = {  # of rows above: containers, the layers of the stacks
        "Module", "Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict",
        "TransformerEncoderLayer", "TransformerDecoderLayer",
    }  # fmt: skip
    layers = {
        n for n in nn.__all__
        if isinstance(getattr(nn, n), type) and issubclass(getattr(nn, n), nn.Module)
    }  # fmt: skip
    missing = layers - {name.split()[0] for name in LAYERS} - parts
    assert not missing, f"no row for {sorted(missing)}"
