"""Attention and transformers against NumPy in float64: masks, causality, gradients, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import polyback as pb
from polyback import nn

F64 = {"rtol": 1e-12, "atol": 1e-12}


def data(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal(shape)


def on(device: str, values: Any) -> pb.Tensor:
    return pb.asarray(np.asarray(values), device=device)


def averages(q: Any, k: Any, v: Any, taken: Any = True, added: Any = 0.0) -> Any:
    scores = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1]) + added
    weights = np.where(taken, np.exp(scores - scores.max(-1, keepdims=True)), 0.0)
    total = weights.sum(-1, keepdims=True)
    return weights / np.where(total > 0, total, 1.0) @ v


# --- the function ---------------------------------------------------------------------------------


def test_averages_with_every_kind_of_mask(device):
    q, k, v = data(2, 3, 4, 5), data(2, 1, 6, 5, seed=1), data(6, 2, seed=2)
    taken = np.random.default_rng(3).random((2, 1, 4, 6)) < 0.5
    taken[0, 0, 1] = False  # a query that may take nothing
    added, below = data(4, 6, seed=4), np.tri(4, 6, dtype=bool)
    q_, k_, v_ = (on(device, x) for x in (q, k, v))
    cases = [
        ({}, {}),
        ({"attn_mask": on(device, taken)}, {"taken": taken}),
        ({"attn_mask": on(device, added)}, {"added": added}),
        ({"attn_mask": on(device, np.where(taken, added, -np.inf))},
         {"taken": taken, "added": added}),
        ({"is_causal": True}, {"taken": below}),
        ({"is_causal": True, "attn_mask": on(device, taken)}, {"taken": taken & below}),
    ]  # fmt: skip
    for options, meaning in cases:
        got = nn.scaled_dot_product_attention(q_, k_, v_, **options)
        np.testing.assert_allclose(got.numpy(), averages(q, k, v, **meaning), **F64)
    got = nn.scaled_dot_product_attention(q_, k_, v_, scale=1.0)
    np.testing.assert_allclose(got.numpy(), averages(q * np.sqrt(5), k, v), **F64)


def test_gradients_of_attention(device):
    q, k, v = (on(device, data(2, 3, 2, seed=s)) for s in range(3))
    taken = on(device, np.array([[True, False, True], [False, False, False], [True, True, True]]))
    for options in ({}, {"is_causal": True}, {"attn_mask": taken}):

        def f(*x: pb.Tensor, options: Any = options) -> pb.Tensor:
            return nn.scaled_dot_product_attention(*x, **options)

        pb.testing.check_grad(f, q, k, v)


@pytest.mark.parametrize("floating", [False, True])
@pytest.mark.parametrize("dtype", [pb.float32, pb.float16, pb.bfloat16], ids=str)
def test_a_query_that_may_take_nothing_gets_zeros_and_harms_no_gradient(device, dtype, floating):
    taken = np.array([[True, False], [False, False]])
    mask = on(device, np.where(taken, 0.0, -np.inf)) if floating else on(device, taken)
    mask = pb.astype(mask, dtype) if floating else mask
    q, k, v = (
        pb.asarray(data(2, 3, seed=s), dtype=dtype, device=device, requires_grad=True)
        for s in range(3)
    )
    y = nn.scaled_dot_product_attention(q, k, v, mask)
    assert y.dtype is dtype
    assert y[1].tolist() == [0.0, 0.0, 0.0]
    assert np.array_equal(y[0].numpy(), v[0].numpy())
    pb.sum(y * y).backward()
    assert all(np.isfinite(x.grad.numpy().astype("f")).all() for x in (q, k, v))
    assert (q.grad[1].numpy() == 0).all()


def test_a_floating_mask_is_trained(device):
    q, k, v = (on(device, data(3, 2, seed=s)) for s in range(3))
    pb.testing.check_grad(
        lambda m: nn.scaled_dot_product_attention(q, k, v, m), on(device, data(3, 3, seed=4))
    )


def test_dropped_weights_are_scaled(device):
    x = pb.ones((1, 1000, 4), device=device)
    y = nn.scaled_dot_product_attention(x, x, x, None, 0.5, generator=pb.random.Generator(1))
    assert abs(float(pb.mean(y)) - 1.0) < 0.01
    assert 0.01 < float(pb.std(y[..., 0])) < 0.1
    assert (nn.scaled_dot_product_attention(x, x, x, None, 1.0).numpy() == 0).all()


def test_attention_refuses_wrong_shapes_and_types(device):
    x = on(device, data(4, 3))
    flags = on(device, np.ones((4, 4), int))
    cases = [
        (pb.ShapeError, lambda: nn.scaled_dot_product_attention(x, x[:, :2], x), "a query of"),
        (pb.ShapeError, lambda: nn.scaled_dot_product_attention(x, x, x[:3]), "values of"),
        (pb.ShapeError, lambda: nn.scaled_dot_product_attention(x[0], x, x), "want"),
        (pb.DTypeError, lambda: nn.scaled_dot_product_attention(x, x, x, flags), "attn_mask"),
        (pb.ShapeError, lambda: nn.scaled_dot_product_attention(x, x, x, x), "attn_mask"),
        (pb.ShapeError,
         lambda: nn.scaled_dot_product_attention(x, x, x, flags[None] > 0), "attn_mask"),
        (pb.DTypeError, lambda: nn.scaled_dot_product_attention(flags, flags, flags), "floating"),
        (pb.InvalidArgument,
         lambda: nn.scaled_dot_product_attention(x, x, x, dropout_p=2.0), r"p=2\.0"),
    ]  # fmt: skip
    for error, call, text in cases:
        with pytest.raises(error, match=text):
            call()


# --- several heads --------------------------------------------------------------------------------


def heads(layer: nn.MultiheadAttention, q: Any, k: Any, v: Any, **masks: Any) -> Any:
    """One sequence, head by head, from the layer's own numbers."""
    state = {name: t.numpy() for name, t in layer.state_dict().items()}
    weights = np.split(state["in_proj_weight"], 3)
    shifts = np.split(state["in_proj_bias"], 3)
    images = [x @ w.T + b for x, w, b in zip((q, k, v), weights, shifts, strict=True)]
    parts = [np.split(x, layer.num_heads, axis=-1) for x in images]
    joined = np.concatenate([averages(*one, **masks) for one in zip(*parts, strict=True)], -1)
    return joined @ state["out_proj.weight"].T + state["out_proj.bias"]


def test_multihead_attention_is_attention_of_its_heads(device):
    layer = nn.MultiheadAttention(6, 3, device=device, dtype=pb.float64)
    with pb.no_grad():
        layer.in_proj_bias += on(device, data(18))
    q, k, v = data(4, 2, 6), data(5, 2, 6, seed=1), data(5, 2, 6, seed=2)
    forbidden = np.random.default_rng(3).random((4, 5)) < 0.3
    padding = np.array([[False, False, False, True, True], [False, True, False, True, False]])
    got, weights = layer(
        on(device, q), on(device, k), on(device, v), on(device, padding), True,
        on(device, forbidden), is_causal=True,
    )  # fmt: skip
    for n in range(2):
        taken = ~forbidden & ~padding[n] & np.tri(4, 5, dtype=bool)
        want = heads(layer, q[:, n], k[:, n], v[:, n], taken=taken)
        np.testing.assert_allclose(got[:, n].numpy(), want, **F64)
        assert (weights[n].numpy()[~taken] == 0).all()
    alone, one = layer(*(on(device, x[:, 0]) for x in (q, k, v)), average_attn_weights=False)
    np.testing.assert_allclose(alone.numpy(), heads(layer, q[:, 0], k[:, 0], v[:, 0]), **F64)
    assert one.shape == (3, 4, 5)
    np.testing.assert_allclose(one.numpy().sum(-1), 1.0)
    assert layer(on(device, q), on(device, k), on(device, v), need_weights=False)[1] is None


def test_multihead_attention_gradients(device):
    layer = nn.MultiheadAttention(4, 2, kdim=3, vdim=2, device=device, dtype=pb.float64)
    names = [name for name, _ in layer.named_parameters()]
    assert names[:3] == ["q_proj_weight", "k_proj_weight", "v_proj_weight"]

    def f(q: pb.Tensor, k: pb.Tensor, v: pb.Tensor, *weights: pb.Tensor) -> pb.Tensor:
        named = dict(zip(names, weights, strict=True))
        y, w = nn.functional_call(layer, named, (q, k, v))
        return pb.concat([pb.reshape(y, -1), pb.reshape(w, -1)])

    x = (on(device, data(2, 1, n, seed=n)) for n in (4, 3, 2))
    pb.testing.check_grad(f, *x, *(p.detach() for p in layer.parameters()))


def test_dropout_of_weights_only_while_training(device):
    layer = nn.MultiheadAttention(4, 2, dropout=1.0, device=device)
    x = pb.asarray(data(3, 2, 4), dtype=pb.float32, device=device)
    assert (layer(x, x, x)[1].numpy() == 0).all()
    np.testing.assert_allclose(layer.eval()(x, x, x)[1].numpy().sum(-1), 1.0, rtol=1e-6)


def test_multihead_attention_refuses_what_does_not_fit(device):
    layer = nn.MultiheadAttention(4, 2, device=device)
    x = pb.ones((3, 2, 4), device=device)
    flags = pb.zeros((3, 3), dtype=pb.bool, device=device)
    cases = [
        (lambda: layer(x[..., :2], x, x), r"got \(3, 2, 2\).*want \(L, N, 4\), \(S, N, 4\)"),
        (lambda: layer(x, x[:, :1], x[:, :1]), "MultiheadAttention"),
        (lambda: layer(x, x[:2], x), "MultiheadAttention"),
        (lambda: layer(x[:, 0], x, x), "or all without N"),
        (lambda: layer(x, x, x, flags), r"key_padding_mask is \(3, 3\); want \(2, 3\)"),
        (lambda: layer(x, x, x, attn_mask=flags[:2]), r"want \(3, 3\) or \(4, 3, 3\)"),
    ]
    for call, text in cases:
        with pytest.raises(pb.ShapeError, match=text):
            call()
    with pytest.raises(pb.InvalidArgument, match="got 5 in 2 heads"):
        nn.MultiheadAttention(5, 2)


# --- transformers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("norm_first", [False, True])
def test_an_encoder_layer_is_its_parts(device, norm_first):
    layer = nn.TransformerEncoderLayer(
        4, 2, 8, activation="gelu", norm_first=norm_first, device=device, dtype=pb.float64
    ).eval()
    x = on(device, data(3, 2, 4))

    def attend(y: pb.Tensor) -> pb.Tensor:
        return layer.self_attn(y, y, y)[0]

    def network(y: pb.Tensor) -> pb.Tensor:
        return layer.linear2(pb.gelu(layer.linear1(y)))

    if norm_first:
        y = x + attend(layer.norm1(x))
        want = y + network(layer.norm2(y))
    else:
        y = layer.norm1(x + attend(x))
        want = layer.norm2(y + network(y))
    np.testing.assert_allclose(layer(x).numpy(), want.numpy(), **F64)
    pb.testing.check_grad(layer, x, forward=False)


def test_causal_stacks_do_not_look_ahead(device):
    place = {"device": device, "dtype": pb.float64}
    layer = nn.TransformerEncoderLayer(4, 2, 8, **place)
    encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(4, **place)).eval()
    decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(4, 2, 8, **place), 2).eval()
    x, memory = data(5, 2, 4), on(device, data(3, 2, 4, seed=1))
    changed = x.copy()
    changed[3:] += data(2, 2, 4, seed=2)
    for model in (
        lambda t: encoder(t, is_causal=True),
        lambda t: encoder(t, mask=pb.logical_not(nn.causal_mask(5, device=device))),
        lambda t: decoder(t, memory, tgt_is_causal=True),
    ):
        before, after = (model(on(device, values)).numpy() for values in (x, changed))
        np.testing.assert_allclose(before[:3], after[:3], **F64)
        assert not np.allclose(before[3:], after[3:])


def test_the_copies_of_a_stack_are_trained_apart(device):
    layer = nn.TransformerEncoderLayer(4, 2, 8, device=device)
    encoder = nn.TransformerEncoder(layer, 2)
    first, second = (part.linear1.weight for part in encoder.layers)
    assert np.array_equal(first.numpy(), second.numpy())
    assert first is not second
    assert first is not layer.linear1.weight
    assert len(encoder.state_dict()) == 2 * len(layer.state_dict())
    with pytest.raises(pb.InvalidArgument, match="got 0 of TransformerEncoderLayer"):
        nn.TransformerEncoder(layer, 0)
    with pytest.raises(pb.InvalidArgument, match="want 'relu', 'gelu' or a function"):
        nn.TransformerEncoderLayer(4, 2, activation="swish")
    own = nn.TransformerEncoderLayer(4, 2, activation=pb.silu, device=device)
    assert own(pb.zeros((3, 1, 4), device=device)).shape == (3, 1, 4)


def test_dropout_in_a_transformer_follows_the_seed(device):
    layer = nn.TransformerDecoderLayer(4, 2, 8, dropout=0.5, device=device)
    x, memory = (pb.asarray(data(3, 2, 4, seed=s), dtype=pb.float32, device=device) for s in (0, 1))
    results = []
    for seed in (1, 1, 2):
        pb.random.manual_seed(seed)
        results.append(layer(x, memory).numpy())
    assert np.array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])
    assert np.array_equal(layer.eval()(x, memory).numpy(), layer(x, memory).numpy())
