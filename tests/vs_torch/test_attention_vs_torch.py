"""Attention and transformer layers agree with PyTorch's in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from against_torch import COMPARED, FEW, SEED, Case, Layer, compare, compare_calls, normal, sizes
from hypothesis import given
from hypothesis import strategies as st

from polyback import nn


def mask(draw: Any, *shape: int, keep: bool) -> Any:
    """A bool or floating mask (or none) that lets every query take something: ``keep`` says
    whether True keeps or forbids."""
    kind = draw(st.sampled_from(["none", "bool", "float"]))
    rng = np.random.default_rng(draw(SEED))
    allowed = rng.random(shape) < 0.6
    allowed[..., 0] = True  # PyTorch answers NaN where nothing is taken
    if kind == "none":
        return None
    if kind == "bool":
        return allowed if keep else ~allowed
    return np.where(allowed, rng.standard_normal(shape), -np.inf)


@st.composite
def attention(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    lead = tuple(draw(st.lists(sizes(1, 3), min_size=1, max_size=2)))
    length, keys, e, v = (draw(sizes()) for _ in range(4))
    q, k, w = (
        normal(draw, *lead, length, e),
        normal(draw, *lead, keys, e),
        normal(draw, *lead, keys, v),
    )
    options: dict[str, Any] = {"scale": draw(st.sampled_from([None, 0.3]))}
    if draw(st.booleans()):
        options["is_causal"] = True
    else:
        shape = draw(st.sampled_from([(length, keys), (*lead, length, keys), (1, keys)]))
        options["attn_mask"] = mask(draw, *shape, keep=True)
    return (q, k, w), options


@given(case=attention())
@FEW
def test_scaled_dot_product_attention(case: Any, device: str) -> None:
    theirs = torch.nn.functional.scaled_dot_product_attention
    ours = nn.scaled_dot_product_attention
    compare_calls(ours, theirs, case[0], case[1], device, np.random.default_rng(1))
    COMPARED["scaled_dot_product_attention"] += 1


@st.composite
def multihead(draw: Any) -> Case:
    heads, size, length, keys = (draw(sizes(1, 3)), draw(sizes(1, 3)), draw(sizes()), draw(sizes()))
    width = heads * size
    options: dict[str, Any] = {
        "bias": draw(st.booleans()),
        "batch_first": draw(st.booleans()),
        "kdim": draw(st.sampled_from([None, width, 3])),
        "vdim": draw(st.sampled_from([None, width, 2])),
    }
    n = draw(st.sampled_from([None, 1, 3]))

    def sequence(steps: int, across: int) -> Any:
        lead = (steps,) if n is None else (n, steps) if options["batch_first"] else (steps, n)
        return normal(draw, *lead, across)

    q = sequence(length, width)
    k, v = sequence(keys, options["kdim"] or width), sequence(keys, options["vdim"] or width)
    rows = 1 if n is None else n
    shape = draw(st.sampled_from([(length, keys), (rows * heads, length, keys)]))
    padding = mask(draw, *(() if n is None else (n,)), keys, keep=False)
    both = mask(draw, *shape, keep=False)
    if padding is not None and both is not None and padding.dtype != both.dtype:
        both = None  # PyTorch wants one type
    call = {
        "key_padding_mask": padding,
        "attn_mask": both,
        "need_weights": draw(st.booleans()),
        "average_attn_weights": draw(st.booleans()),
    }
    return Case((width, heads), options, (q, k, v), call)


def stack(make: Any, layer: Any) -> Any:
    """A stack as a function of the options of its layers."""

    def build(*args: Any, count: int, final: bool, **options: Any) -> Any:
        # What both libraries call the same: PyTorch's fast path is for other cases than these.
        place = {k: options[k] for k in ("device", "dtype") if k in options}
        norm = (nn if make.__module__.startswith("polyback") else torch.nn).LayerNorm
        extra = {} if make is not torch.nn.TransformerEncoder else {"enable_nested_tensor": False}
        last = norm(args[0], **place) if final else None
        return make(layer(*args, **options), count, norm=last, **extra)

    def with_place(*args: Any, device: Any = None, dtype: Any = None, **options: Any) -> Any:
        return build(*args, device=device, dtype=dtype, **options)

    return with_place if make.__module__.startswith("polyback") else build


@st.composite
def transformer(draw: Any, decoder: bool = False, stacked: bool = False) -> Case:
    heads = draw(sizes(1, 3))
    width = heads * draw(sizes(1, 2))
    options: dict[str, Any] = {
        "dropout": 0.0,
        "activation": draw(st.sampled_from(["relu", "gelu"])),
        "layer_norm_eps": draw(st.sampled_from([1e-5, 1e-2])),
        "batch_first": draw(st.booleans()),
        "norm_first": draw(st.booleans()),
        "bias": draw(st.booleans()),
    }
    if stacked:
        options |= {"count": draw(sizes(1, 2)), "final": draw(st.booleans())}
    n, length, keys = draw(sizes(1, 3)), draw(sizes(1, 4)), draw(sizes(1, 4))

    def sequence(steps: int) -> Any:
        return normal(draw, *((n, steps) if options["batch_first"] else (steps, n)), width)

    x = (sequence(length), sequence(keys)) if decoder else (sequence(length),)
    inner = mask(draw, length, length, keep=False)
    names = ("tgt_mask", "memory_mask") if decoder else ("mask" if stacked else "src_mask",)
    call = {names[0]: inner}
    if decoder:
        call[names[1]] = mask(draw, length, keys, keep=False)
    elif inner is None or inner.dtype == bool:
        padding = mask(draw, n, length, keep=False)
        call["src_key_padding_mask"] = None if padding is None else padding == -np.inf
        if padding is not None and padding.dtype == bool:
            call["src_key_padding_mask"] = padding
    return Case((width, heads, draw(sizes(1, 6))), options, x, call)


LAYERS = [
    Layer("MultiheadAttention", nn.MultiheadAttention, torch.nn.MultiheadAttention, multihead()),
    Layer("TransformerEncoderLayer", nn.TransformerEncoderLayer, torch.nn.TransformerEncoderLayer,
          transformer()),
    Layer("TransformerDecoderLayer", nn.TransformerDecoderLayer, torch.nn.TransformerDecoderLayer,
          transformer(decoder=True)),
    Layer("TransformerEncoder", stack(nn.TransformerEncoder, nn.TransformerEncoderLayer),
          stack(torch.nn.TransformerEncoder, torch.nn.TransformerEncoderLayer),
          transformer(stacked=True)),
    Layer("TransformerDecoder", stack(nn.TransformerDecoder, nn.TransformerDecoderLayer),
          stack(torch.nn.TransformerDecoder, torch.nn.TransformerDecoderLayer),
          transformer(decoder=True, stacked=True)),
]  # fmt: skip


@pytest.mark.parametrize("row", LAYERS, ids=str)
@pytest.mark.filterwarnings("ignore::UserWarning:torch")
@given(data=st.data())
@FEW
def test_layer(row: Layer, data: st.DataObject, device: str) -> None:
    compare(row, data.draw(row.cases), device)
