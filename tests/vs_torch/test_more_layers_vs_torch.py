"""Padding, resizing, unfolding, adaptive pooling, gates, instance norms, distances and the whole
transformer agree with PyTorch's in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from against_torch import FEW, SEED, Case, Layer, compare, normal, sizes
from hypothesis import assume, given
from hypothesis import strategies as st

from polyback import nn


def image(draw: Any, channels: int, *tail: int) -> Any:
    """(N, C, ...) or (C, ...)"""
    lead = (draw(sizes(1, 2)),) if draw(st.booleans()) else ()
    return normal(draw, *lead, channels, *tail)


@st.composite
def padded_convolution(draw: Any, axes: int) -> Case:
    padding = draw(st.sampled_from([0, 1, 2, "same", "valid"]))
    options = {
        "padding": padding,
        "stride": 1 if isinstance(padding, str) else draw(sizes(1, 2)),
        "dilation": draw(sizes(1, 2)),
        "padding_mode": draw(st.sampled_from(["reflect", "replicate", "circular"])),
    }
    x = image(draw, 2, *(draw(sizes(5, 7)) for _ in range(axes)))
    return Case((2, 3, draw(sizes(1, 3))), options, (x,))


@st.composite
def to_size(draw: Any) -> Case:
    stride, k, p = draw(sizes(1, 3)), draw(sizes(1, 3)), draw(sizes(0, 1))
    n = [draw(sizes(2, 4)) for _ in "HW"]
    least = [(m - 1) * stride - 2 * p + k for m in n]
    assume(min(least) > 0)
    wanted = [m + draw(st.integers(0, stride - 1)) for m in least]
    x = normal(draw, draw(sizes(1, 2)), 2, *n)
    return Case((2, 3, k, stride, p), {}, (x,), {"output_size": wanted})


@st.composite
def adaptive(draw: Any, axes: int) -> Case:
    one = st.one_of(sizes(1, 8), st.none())
    size = draw(sizes(1, 8)) if axes == 1 else draw(st.one_of(sizes(), st.tuples(one, one)))
    return Case((size,), {}, (image(draw, 2, *(draw(sizes(1, 8)) for _ in range(axes))),))


@st.composite
def around(draw: Any) -> Case:
    ends = draw(st.one_of(sizes(0, 2), st.tuples(*[sizes(0, 2)] * 4)))
    return Case((ends,), {}, (image(draw, 2, draw(sizes(3, 5)), draw(sizes(3, 5))),))


@st.composite
def upsample(draw: Any) -> Case:
    mode = draw(st.sampled_from(["nearest", "linear", "bilinear"]))
    axes = {"linear": 1, "bilinear": 2}.get(mode) or draw(sizes(1, 2))
    options: dict[str, Any] = {"mode": mode}
    if draw(st.booleans()):
        options["size"] = tuple(draw(sizes(1, 9)) for _ in range(axes))
    else:
        options["scale_factor"] = draw(st.sampled_from([0.5, 1.0, 1.5, 2.0, 3.0]))
    if mode != "nearest":
        options["align_corners"] = draw(st.booleans())
    return Case((), options, (normal(draw, 2, 2, *(draw(sizes(2, 6)) for _ in range(axes))),))


@st.composite
def windows(draw: Any, fold: bool) -> Case:
    k, d, p, s = (tuple(draw(sizes(*r)) for _ in "HW") for r in ((1, 3), (1, 2), (0, 1), (1, 2)))
    n = tuple(g * (m - 1) + draw(sizes(1, 4)) for g, m in zip(d, k, strict=True))
    if not fold:
        return Case((k, d, p, s), {}, (normal(draw, 2, 2, *n),))
    count = np.prod(
        [(a + 2 * e - g * (m - 1) - 1) // t + 1 for a, e, g, m, t in zip(n, p, d, k, s)]
    )
    return Case((n, k, d, p, s), {}, (normal(draw, 2, 2 * k[0] * k[1], int(count)),))


@st.composite
def pixels(draw: Any, down: bool) -> Case:
    r, h, w = draw(sizes(1, 3)), draw(sizes(1, 3)), draw(sizes(1, 3))
    shape = (2, h * r, w * r) if down else (2 * r * r, h, w)
    return Case((r,), {}, (image(draw, *shape),))


@st.composite
def instance_norm(draw: Any, axes: int) -> Case:
    options = {
        "momentum": draw(st.sampled_from([0.1, 0.7])),
        "affine": draw(st.booleans()),
        "track_running_stats": draw(st.booleans()),
    }
    x = image(draw, 3, *(draw(sizes(2, 4)) for _ in range(axes)))
    return Case((3,), options, (x,), training=draw(st.booleans()))


@st.composite
def plain(draw: Any, dim: bool = False, slopes: bool = False) -> Case:
    x = normal(draw, draw(sizes()), 2 * draw(sizes(1, 3)), draw(sizes()), scale=4.0)
    count = (draw(st.sampled_from([1, x.shape[1]])),) if slopes else ()
    return Case(count, {"dim": draw(st.sampled_from([1, -2]))} if dim else {}, (x,))


@st.composite
def triplet(draw: Any) -> Case:
    options = {
        "margin": draw(st.sampled_from([0.3, 2.0])), "p": draw(st.sampled_from([1.0, 2.0, 3.0])),
        "swap": draw(st.booleans()), "reduction": draw(st.sampled_from(["mean", "sum", "none"])),
    }  # fmt: skip
    shape = (draw(sizes()), draw(sizes()))
    return Case((), options, tuple(normal(draw, *shape) for _ in range(3)))


@st.composite
def ranking(draw: Any) -> Case:
    n = draw(sizes())
    signs = np.random.default_rng(draw(SEED)).choice([-1, 1], n)
    options = {"margin": draw(st.sampled_from([0.0, 0.5]))}
    return Case((), options, (normal(draw, n), normal(draw, n), signs))


@st.composite
def short_rows(draw: Any) -> Case:
    options = {
        "max_norm": draw(st.sampled_from([0.3, 2.0])),
        "norm_type": draw(st.sampled_from([1.0, 2.0])),
    }
    x = np.array(np.random.default_rng(draw(SEED)).integers(0, 4, (2, 3)))
    return Case((4, 3), options, (x,))


@st.composite
def transformer(draw: Any) -> Case:
    options = {
        "dropout": 0.0, "activation": draw(st.sampled_from(["relu", "gelu"])),
        "batch_first": draw(st.booleans()), "norm_first": draw(st.booleans()),
        "bias": draw(st.booleans()),
    }  # fmt: skip
    n, length, keys = (draw(sizes(1, 3)) for _ in range(3))

    def sequence(steps: int) -> Any:
        return normal(draw, *((n, steps) if options["batch_first"] else (steps, n)), 4)

    later = np.triu(np.ones((length, length), bool), 1)
    args = (4, 2, draw(sizes(1, 2)), draw(sizes(1, 2)), 5)
    return Case(args, options, (sequence(keys), sequence(length)), {"tgt_mask": later})


LAYERS = {
    "Conv1d": padded_convolution(1), "Conv2d": padded_convolution(2), "ConvTranspose2d": to_size(),
    "AdaptiveAvgPool1d": adaptive(1), "AdaptiveMaxPool1d": adaptive(1),
    "AdaptiveMaxPool2d": adaptive(2), "ZeroPad2d": around(), "ReflectionPad2d": around(),
    "ReplicationPad2d": around(), "Upsample": upsample(), "Unfold": windows(False),
    "Fold": windows(True), "PixelShuffle": pixels(False), "PixelUnshuffle": pixels(True),
    "InstanceNorm1d": instance_norm(1), "InstanceNorm2d": instance_norm(2), "Hardswish": plain(),
    "Softsign": plain(), "GLU": plain(dim=True), "PReLU": plain(slopes=True),
    "TripletMarginLoss": triplet(), "MarginRankingLoss": ranking(), "Embedding": short_rows(),
    "Transformer": transformer(),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.filterwarnings("ignore::UserWarning:torch")
@given(data=st.data())
@FEW
def test_layer(name: str, data: st.DataObject, device: str) -> None:
    row = Layer(name, getattr(nn, name), getattr(torch.nn, name), LAYERS[name])
    compare(row, data.draw(row.cases), device)
