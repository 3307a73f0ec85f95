"""Convolution, pooling and the norms of images agree with PyTorch's in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from against_torch import FEW, Case, Layer, compare, compare_calls, normal, sizes
from hypothesis import assume, given
from hypothesis import strategies as st

import polyback as pb
from polyback import nn


def sides(draw: Any, axes: int, least: int, most: int) -> Any:
    """One number for all axes, or one each."""
    if draw(st.booleans()):
        return draw(sizes(least, most))
    each = tuple(draw(sizes(least, most)) for _ in range(axes))
    return each if axes > 1 else each[0]


def spread(value: Any, axes: int) -> tuple[int, ...]:
    return (value,) * axes if isinstance(value, int) else value


def convolution(axes: int) -> st.SearchStrategy[Case]:
    @st.composite
    def cases(draw: Any) -> Case:
        groups = draw(sizes(1, 3))
        channels, outs = groups * draw(sizes(1, 2)), groups * draw(sizes(1, 2))
        kernel, dilation = sides(draw, axes, 1, 3), sides(draw, axes, 1, 2)
        stride, padding = sides(draw, axes, 1, 3), sides(draw, axes, 0, 3)
        if draw(st.integers(0, 3)) == 0:
            stride, padding = 1, draw(st.sampled_from(["same", "valid"]))
        size = [
            d * (k - 1) + draw(sizes(1, 5))
            for k, d in zip(spread(kernel, axes), spread(dilation, axes), strict=True)
        ]
        lead = (draw(sizes(0, 2)),) if draw(st.booleans()) else ()
        options = {"groups": groups, "bias": draw(st.booleans()), "dilation": dilation}
        x = normal(draw, *lead, channels, *size)
        return Case((channels, outs, kernel, stride, padding), options, (x,))

    return cases()


def transposed(axes: int) -> st.SearchStrategy[Case]:
    @st.composite
    def cases(draw: Any) -> Case:
        groups = draw(sizes(1, 3))
        channels, outs = groups * draw(sizes(1, 2)), groups * draw(sizes(1, 2))
        kernel, dilation = sides(draw, axes, 1, 3), sides(draw, axes, 1, 2)
        stride, padding = sides(draw, axes, 1, 3), sides(draw, axes, 0, 1)
        more = sides(draw, axes, 0, 2)
        size = [draw(sizes(1, 5)) for _ in range(axes)]
        each = zip(*(spread(v, axes) for v in (size, stride, padding, dilation, kernel, more)))
        for n, s, p, d, k, m in each:
            assume(m < max(s, d))
            assume((n - 1) * s - 2 * p + d * (k - 1) + m + 1 > 0)
        lead = (draw(sizes(1, 2)),) if draw(st.booleans()) else ()
        args = (channels, outs, kernel, stride, padding, more, groups, draw(st.booleans()))
        return Case((*args, dilation), {}, (normal(draw, *lead, channels, *size),))

    return cases()


def pooling(axes: int, maxima: bool) -> st.SearchStrategy[Case]:
    @st.composite
    def cases(draw: Any) -> Case:
        kernel = sides(draw, axes, 1, 4)
        dilation = sides(draw, axes, 1, 2) if maxima else 1
        stride = draw(st.sampled_from([None, 1, 2, 3]))
        padding = draw(sizes(0, min(spread(kernel, axes)) // 2))
        options = {"ceil_mode": draw(st.booleans())}
        if maxima:
            options["dilation"] = dilation
            options["return_indices"] = draw(st.booleans())
        else:
            options["count_include_pad"] = draw(st.booleans())
            if axes == 2 and draw(st.booleans()):
                options["divisor_override"] = draw(sizes(1, 5))
        size = [
            d * (k - 1) + draw(sizes(1, 6))
            for k, d in zip(spread(kernel, axes), spread(dilation, axes), strict=True)
        ]
        lead = (draw(sizes(1, 2)),) if draw(st.booleans()) else ()
        x = normal(draw, *lead, draw(sizes(1, 3)), *size)
        x = np.round(x) if draw(st.booleans()) else x  # ties: the first one gets the gradient
        return Case((kernel, stride, padding), options, (x,))

    return cases()


@st.composite
def adaptive(draw: Any) -> Case:
    size = draw(st.one_of(sizes(), st.tuples(sizes(), st.none()), st.tuples(sizes(), sizes())))
    lead = (draw(sizes(1, 2)),) if draw(st.booleans()) else ()
    return Case(
        (size,), {}, (normal(draw, *lead, draw(sizes(1, 3)), *(draw(sizes(1, 7)) for _ in "HW")),)
    )


@st.composite
def batch_norm2d(draw: Any) -> Case:
    n, c = draw(sizes(1)), draw(sizes())
    options = {
        "eps": draw(st.sampled_from([1e-5, 1e-2])),
        "momentum": draw(st.sampled_from([0.1, 0.7, None])),
        "affine": draw(st.booleans()),
        "track_running_stats": draw(st.booleans()),
    }
    x = normal(draw, n, c, draw(sizes(2)), draw(sizes()))
    return Case((c,), options, (x,), training=draw(st.booleans()))


@st.composite
def group_norm(draw: Any) -> Case:
    groups = draw(sizes(1, 3))
    channels = groups * draw(sizes(1, 3))
    tail = draw(st.sampled_from([(3,), (2, 4), (1, 2, 3)]))
    options = {"eps": draw(st.sampled_from([1e-5, 1e-2])), "affine": draw(st.booleans())}
    return Case((groups, channels), options, (normal(draw, draw(sizes(1, 3)), channels, *tail),))


@st.composite
def rms_norm(draw: Any) -> Case:
    shape = tuple(draw(st.lists(sizes(), min_size=1, max_size=2)))
    options = {
        "eps": draw(st.sampled_from([None, 1e-5, 1e-2])),
        "elementwise_affine": draw(st.booleans()),
    }
    lead = draw(st.sampled_from([(), (3,), (0,), (2, 2)]))
    return Case((shape,), options, (normal(draw, *lead, *shape),))


LAYERS = [
    Layer("Conv1d", nn.Conv1d, torch.nn.Conv1d, convolution(1)),
    Layer("Conv2d", nn.Conv2d, torch.nn.Conv2d, convolution(2)),
    Layer("ConvTranspose1d", nn.ConvTranspose1d, torch.nn.ConvTranspose1d, transposed(1)),
    Layer("ConvTranspose2d", nn.ConvTranspose2d, torch.nn.ConvTranspose2d, transposed(2)),
    Layer("MaxPool1d", nn.MaxPool1d, torch.nn.MaxPool1d, pooling(1, True)),
    Layer("MaxPool2d", nn.MaxPool2d, torch.nn.MaxPool2d, pooling(2, True)),
    Layer("AvgPool1d", nn.AvgPool1d, torch.nn.AvgPool1d, pooling(1, False)),
    Layer("AvgPool2d", nn.AvgPool2d, torch.nn.AvgPool2d, pooling(2, False)),
    Layer("AdaptiveAvgPool2d", nn.AdaptiveAvgPool2d, torch.nn.AdaptiveAvgPool2d, adaptive()),
    Layer("BatchNorm2d", nn.BatchNorm2d, torch.nn.BatchNorm2d, batch_norm2d()),
    Layer("GroupNorm", nn.GroupNorm, torch.nn.GroupNorm, group_norm()),
    Layer("RMSNorm", nn.RMSNorm, torch.nn.RMSNorm, rms_norm()),
]


@pytest.mark.parametrize("row", LAYERS, ids=str)
@given(data=st.data())
@FEW
def test_layer(row: Layer, data: st.DataObject, device: str) -> None:
    compare(row, data.draw(row.cases), device)


def test_initial_values_have_pytorchs_bounds(device: str) -> None:
    """Uniform in +-1 / sqrt(fan_in), and as wide as that."""
    pairs = [
        (nn.Conv2d(4, 30, 3, groups=2, device=device), torch.nn.Conv2d(4, 30, 3, groups=2)),
        (nn.ConvTranspose2d(4, 30, 3, device=device), torch.nn.ConvTranspose2d(4, 30, 3)),
        (nn.Conv1d(7, 30, 5, device=device), torch.nn.Conv1d(7, 30, 5)),
    ]
    for ours, theirs in pairs:
        for name, want in theirs.named_parameters():
            got = np.abs(getattr(ours, name).numpy()).max()
            assert getattr(ours, name).shape == tuple(want.shape)
            assert got == pytest.approx(want.detach().abs().max().item(), rel=0.15)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
def test_running(name: str, axis: int, device: str) -> None:
    x = np.random.default_rng(0).normal(size=(4, 5))
    x[1, 2] = x[3, 0] = x[3, 3] = 0.0
    ours = {"cumsum": pb.cumulative_sum, "cumprod": pb.cumulative_prod}[name]
    compare_calls(
        lambda t: ours(t, axis=axis), lambda t: getattr(torch, name)(t, axis), (x,), {}, device,
        np.random.default_rng(1),
    )  # fmt: skip
