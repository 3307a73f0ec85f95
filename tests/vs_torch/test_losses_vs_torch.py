"""Losses agree with PyTorch's in float64: values and gradients for inputs and targets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from against_torch import FEW, SEED, Case, Layer, batch, compare, normal, sizes
from hypothesis import given
from hypothesis import strategies as st

from polyback import nn

REDUCTIONS = st.sampled_from(["mean", "sum", "none"])


@st.composite
def pair(draw: Any, extra: dict[str, st.SearchStrategy[Any]] | None = None) -> Case:
    shape = draw(batch(3))
    options = {"reduction": draw(REDUCTIONS)}
    options |= {k: draw(v) for k, v in (extra or {}).items()}
    return Case((), options, (normal(draw, *shape), normal(draw, *shape)))


@st.composite
def classes(draw: Any, nll: bool = False) -> Case:
    c, rng = draw(sizes()), np.random.default_rng(draw(SEED))
    n = draw(st.sampled_from([(), (4,), (1,)]))
    tail = draw(batch(2)) if n else ()
    options: dict[str, Any] = {"reduction": draw(REDUCTIONS)}
    if draw(st.booleans()):
        options["weight"] = rng.uniform(0.1, 2.0, c)
    if not nll:
        options["label_smoothing"] = draw(st.sampled_from([0.0, 0.1, 1.0]))
    scores = normal(draw, *n, c, *tail, scale=3.0)
    if not nll and draw(st.booleans()):
        q = rng.exponential(1.0, scores.shape)
        return Case((), options, (scores, q / q.sum(axis=1 if n else 0, keepdims=True)))
    labels = np.array(rng.integers(0, c, (*n, *tail)))
    if draw(st.booleans()):
        ignored = draw(st.sampled_from([-100, 0, -1]))
        options["ignore_index"] = ignored
        labels = np.where(rng.random(labels.shape) < 0.3, ignored, labels)
    return Case((), options, (scores, np.array(labels)))


@st.composite
def binary(draw: Any, logits: bool) -> Case:
    n, c, rng = draw(sizes(0)), draw(sizes()), np.random.default_rng(draw(SEED))
    options: dict[str, Any] = {"reduction": draw(REDUCTIONS)}
    if draw(st.booleans()):
        options["weight"] = rng.uniform(0.1, 2.0, draw(st.sampled_from([(c,), (n, 1), (n, c)])))
    if logits and draw(st.booleans()):
        options["pos_weight"] = rng.uniform(0.1, 2.0, c)
    x = rng.normal(0.0, 20.0, (n, c)) if logits else rng.uniform(0.001, 0.999, (n, c))
    return Case((), options, (x, rng.choice([0.0, 1.0, rng.random()], (n, c))))


@st.composite
def divergence(draw: Any) -> Case:
    shape = (draw(sizes()), draw(sizes()))
    log_target = draw(st.booleans())
    target = np.random.default_rng(draw(SEED)).uniform(0.01, 1.0, shape)
    options = {
        "reduction": draw(st.sampled_from(["mean", "sum", "none", "batchmean"])),
        "log_target": log_target,
    }
    return Case((), options, (normal(draw, *shape), np.log(target) if log_target else target))


@st.composite
def similarity(draw: Any) -> Case:
    shape = tuple(draw(st.lists(sizes(), min_size=1, max_size=3)))
    other = tuple(draw(st.sampled_from([n, 1])) for n in shape)
    x = normal(draw, *shape), normal(draw, *other)
    return Case((), {"dim": draw(st.integers(-len(shape), len(shape) - 1))}, x)


@st.composite
def embedding(draw: Any) -> Case:
    lead, d = draw(st.sampled_from([(), (1,), (4,)])), draw(sizes())
    y = np.array(np.random.default_rng(draw(SEED)).choice([-1, 1], lead))
    options = {
        "margin": draw(st.sampled_from([0.0, 0.3, -0.5])),
        "reduction": draw(REDUCTIONS),
    }
    return Case((), options, (normal(draw, *lead, d), normal(draw, *lead, d), y))


DELTA = st.sampled_from([0.5, 1.0, 2.0])
LOSSES = [
    Layer("MSELoss", nn.MSELoss, torch.nn.MSELoss, pair()),
    Layer("L1Loss", nn.L1Loss, torch.nn.L1Loss, pair()),
    Layer("HuberLoss", nn.HuberLoss, torch.nn.HuberLoss, pair({"delta": DELTA})),
    Layer("SmoothL1Loss", nn.SmoothL1Loss, torch.nn.SmoothL1Loss,
          pair({"beta": st.sampled_from([0.0, 0.5, 2.0])})),
    Layer("CrossEntropyLoss", nn.CrossEntropyLoss, torch.nn.CrossEntropyLoss, classes()),
    Layer("NLLLoss", nn.NLLLoss, torch.nn.NLLLoss, classes(nll=True)),
    Layer("BCEWithLogitsLoss", nn.BCEWithLogitsLoss, torch.nn.BCEWithLogitsLoss, binary(True)),
    Layer("BCELoss", nn.BCELoss, torch.nn.BCELoss, binary(False)),
    Layer("KLDivLoss", nn.KLDivLoss, torch.nn.KLDivLoss, divergence()),
    Layer("CosineSimilarity", nn.CosineSimilarity, torch.nn.CosineSimilarity, similarity()),
    Layer("CosineEmbeddingLoss", nn.CosineEmbeddingLoss, torch.nn.CosineEmbeddingLoss, embedding()),
]  # fmt: skip


@pytest.mark.parametrize("row", LOSSES, ids=str)
@pytest.mark.filterwarnings("ignore::UserWarning:torch")
@given(data=st.data())
@FEW
def test_loss(row: Layer, data: st.DataObject, device: str) -> None:
    compare(row, data.draw(row.cases), device)
