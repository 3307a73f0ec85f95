"""Recurrent layers against a step-by-step NumPy formula in float64; gradients of every order."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import polyback as pb
from polyback import nn

F64 = {"rtol": 1e-12, "atol": 1e-12}
LAYERS = [nn.RNN, nn.LSTM, nn.GRU]
CELLS = [nn.RNNCell, nn.LSTMCell, nn.GRUCell]


def data(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal(shape)


def on(device: str, values: Any) -> pb.Tensor:
    return pb.asarray(np.asarray(values), device=device)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def step(kind: str, x: Any, h: Any, c: Any, w: dict[str, Any]) -> tuple[Any, Any]:
    """One step as PyTorch documents it."""
    p, q = x @ w["weight_ih"].T + w["bias_ih"], h @ w["weight_hh"].T + w["bias_hh"]
    if kind == "RNN":
        return np.tanh(p + q), c
    if kind == "LSTM":
        i, f, g, o = np.split(p + q, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c
    (pr, pz, pn), (qr, qz, qn) = np.split(p, 3, axis=-1), np.split(q, 3, axis=-1)
    r, z = sigmoid(pr + qr), sigmoid(pz + qz)
    return (1 - z) * np.tanh(pn + r * qn) + z * h, c


def expected(kind: str, layer: nn.Module, x: Any, layers: int, ways: int, hidden: int) -> Any:
    """Outputs and last states of a stack that starts at zero."""
    state, ends = {k: v.numpy() for k, v in layer.state_dict().items()}, []
    for k in range(layers):
        outputs = []
        for way in range(ways):
            suffix = f"_l{k}" + "_reverse" * way
            w = {n.removesuffix(suffix): v for n, v in state.items() if n.endswith(suffix)}
            h = c = np.zeros((x.shape[1], hidden))
            steps = []
            for row in x[::-1] if way else x:
                h, c = step(kind, row, h, c, w)
                steps.append(h)
            outputs.append(np.stack(steps[::-1] if way else steps))
            ends.append((h, c))
        x = np.concatenate(outputs, axis=-1)
    return x, np.stack([h for h, _ in ends]), np.stack([c for _, c in ends])


@pytest.mark.parametrize("ways", [1, 2])
@pytest.mark.parametrize("make", LAYERS)
def test_layers_follow_the_formula(device, make, ways):
    options = {"num_layers": 2, "bidirectional": ways == 2}
    layer = make(3, 4, **options, device=device, dtype=pb.float64)
    x = data(5, 2, 3)
    y, h, c = expected(make.__name__, layer, x, 2, ways, 4)
    output, last = layer(on(device, x))
    last = last if isinstance(last, tuple) else (last,)
    np.testing.assert_allclose(output.numpy(), y, **F64)
    for got, want in zip(last, (h, c), strict=False):
        np.testing.assert_allclose(got.numpy(), want, **F64)
    across = make(3, 4, **options, batch_first=True, device=device, dtype=pb.float64)
    across.load_state_dict(layer.state_dict())
    output, _ = across(on(device, x.swapaxes(0, 1)))
    np.testing.assert_allclose(output.numpy(), y.swapaxes(0, 1), **F64)
    output, _ = layer(on(device, x[:, 0]))  # without a batch axis
    np.testing.assert_allclose(output.numpy(), y[:, 0], **F64)


def functional(layer: nn.Module) -> tuple[Any, list[pb.Tensor]]:
    """The outputs, joined, as a function of input, states and parameters."""
    names = [name for name, _ in layer.named_parameters()]
    count = layer.cell.states

    def f(x: pb.Tensor, *rest: pb.Tensor) -> pb.Tensor:
        states = rest[0] if count == 1 else rest[:count]
        weights = dict(zip(names, rest[count:], strict=True))
        result = nn.functional_call(layer, weights, (x, states))
        parts: list[pb.Tensor] = []
        stack = [result]
        while stack:
            part = stack.pop()
            stack.extend(part) if isinstance(part, tuple) else parts.append(part)
        return pb.concat([pb.reshape(p, -1) for p in parts])

    return f, [p.detach() for p in layer.parameters()]


@pytest.mark.parametrize("make", [*LAYERS, *CELLS])
def test_gradients_and_their_gradients(device, make):
    for bias in (False, True):
        layer = make(1, 2, bias=bias, device=device, dtype=pb.float64)
        f, weights = functional(layer)
        lead = (3, 2) if make in LAYERS else (2,)
        x = on(device, data(*lead, 1))
        shape = (1, 2, 2) if make in LAYERS else (2, 2)
        states = [on(device, data(*shape, seed=k)) for k in range(layer.cell.states)]
        pb.testing.check_grad(f, x, *states, *weights)  # both modes
    slope = pb.grad(lambda *v: pb.sum(pb.square(f(*v))), argnums=(0, 1, 1 + len(states)))

    def second(a: pb.Tensor, h: pb.Tensor, w: pb.Tensor) -> pb.Tensor:
        found = slope(a, h, *states[1:], w, *weights[1:])
        return pb.concat([pb.reshape(part, -1) for part in found])

    pb.testing.check_grad(second, x, states[0], weights[0], forward=False)


@pytest.mark.parametrize("make", LAYERS)
def test_backward_again_with_another_gradient(device, make):
    layer = make(2, 3, device=device, dtype=pb.float64)
    x = pb.asarray(data(4, 2, 2), device=device, requires_grad=True)
    output, _ = layer(x)
    gradients = []
    for scale in (1.0, 2.0):
        x.grad = None
        output.backward(pb.full(output.shape, scale, dtype=pb.float64, device=device),
                        retain_graph=True)  # fmt: skip
        gradients.append(x.grad.numpy())
    np.testing.assert_allclose(2 * gradients[0], gradients[1], **F64)
    one = pb.ones_like(output)
    output.backward(one, retain_graph=True)
    x.grad = None
    output.backward(one, create_graph=True)
    assert x.grad.requires_grad


@pytest.mark.parametrize("make", LAYERS)
def test_states_carry_a_sequence_on_and_detached_ones_cut_the_gradient(device, make):
    layer = make(3, 4, num_layers=2, device=device, dtype=pb.float64)
    x = on(device, data(6, 2, 3))
    whole, end = layer(x)
    first, middle = layer(x[:4])
    second, last = layer(x[4:], middle)
    np.testing.assert_allclose(pb.concat([first, second]).numpy(), whole.numpy(), **F64)
    for a, b in zip(end, last, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), **F64)
    leaf = pb.asarray(x, requires_grad=True)
    _, middle = layer(leaf[:4])
    cut = tuple(s.detach() for s in middle) if isinstance(middle, tuple) else middle.detach()
    pb.sum(layer(leaf[4:], cut)[0]).backward()
    assert (leaf.grad[:4].numpy() == 0).all()
    assert (leaf.grad[4:].numpy() != 0).all()


@pytest.mark.parametrize("make", LAYERS)
def test_a_cell_is_one_step_of_its_layer(device, make):
    layer = make(3, 4, device=device, dtype=pb.float64)
    cell = getattr(nn, f"{make.__name__}Cell")(3, 4, device=device, dtype=pb.float64)
    names = [name.removesuffix("_l0") for name in layer.state_dict()]
    cell.load_state_dict(dict(zip(names, layer.state_dict().values(), strict=True)))
    x, state = on(device, data(5, 2, 3)), None
    output, _ = layer(x)
    for t in range(5):
        state = cell(x[t], state)
        h = state[0] if isinstance(state, tuple) else state
        np.testing.assert_allclose(h.numpy(), output[t].numpy(), **F64)
    alone, batch = cell(x[0, 0]), cell(x[0])
    alone, batch = (alone[0], batch[0]) if make is nn.LSTM else (alone, batch)
    np.testing.assert_allclose(alone.numpy(), batch[0].numpy(), **F64)


def test_dropout_acts_between_layers_while_training(device):
    pb.random.manual_seed(3)
    layer = nn.GRU(3, 4, num_layers=2, dropout=1.0, device=device, dtype=pb.float64)
    other = nn.GRU(3, 4, num_layers=2, device=device, dtype=pb.float64)
    other.load_state_dict(layer.state_dict())
    x = on(device, data(5, 2, 3))
    assert np.array_equal(layer.eval()(x)[0].numpy(), other(x)[0].numpy())
    (dropped, h), (_, plain) = layer.train()(x), other(x)
    assert np.array_equal(h[0].numpy(), plain[0].numpy())  # the first layer's own end
    assert np.array_equal(dropped[:, 0].numpy(), dropped[:, 1].numpy())  # nothing came through
    half = nn.GRU(3, 4, num_layers=2, dropout=0.5, device=device)
    results = []
    for _ in range(2):
        pb.random.manual_seed(3)
        results.append(half(pb.asarray(x, dtype=pb.float32))[0].numpy())
    assert np.array_equal(*results)


@pytest.mark.parametrize("make", LAYERS)
def test_half_precision_is_computed_in_float32(device, make):
    layer = make(3, 4, device=device)
    x = pb.asarray(data(5, 2, 3), dtype=pb.float16, device=device)
    for p in layer.parameters():
        p.array = pb.astype(pb.astype(p.detach(), pb.float16), pb.float32).array
    want = layer(pb.astype(x, pb.float32))[0].numpy()
    low = layer.to(dtype=pb.float16)
    got, _ = low(x)
    assert got.dtype is pb.float16
    np.testing.assert_allclose(got.numpy().astype("f"), want, atol=2e-3)
    pb.sum(got).backward()
    assert all(p.grad.dtype is pb.float16 for p in low.parameters())


@pytest.mark.parametrize("make", LAYERS)
def test_recurrent_layers_are_copied_and_pickled(device, make):
    layer = make(3, 4, bidirectional=True, device=device)
    x = pb.asarray(data(5, 2, 3), dtype=pb.float32, device=device)
    for clone in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert np.array_equal(layer(x)[0].numpy(), clone(x)[0].numpy())
    assert repr(layer).startswith(f"{make.__name__}(3, 4, num_layers=1, batch_first=False")


def test_nothing_to_do_in_an_empty_batch(device):
    layer = nn.LSTM(3, 4, device=device)
    x = pb.zeros((5, 0, 3), device=device, requires_grad=True)
    output, (h, c) = layer(x)
    assert (output.shape, h.shape, c.shape) == ((5, 0, 4), (1, 0, 4), (1, 0, 4))
    pb.sum(output).backward()
    assert x.grad.shape == x.shape
    assert (layer.weight_hh_l0.grad.numpy() == 0).all()


def test_wrong_sizes_and_states(device):
    layer, cell = nn.LSTM(3, 4, device=device), nn.GRUCell(3, 4, device=device)
    x = pb.zeros((5, 2, 3), device=device)
    h = pb.zeros((1, 2, 4), device=device)
    cases = [
        (
            pb.ShapeError,
            lambda: layer(x[..., :2]),
            r"got \(5, 2, 2\); want \(L, N, 3\) or",
        ),
        (pb.ShapeError, lambda: layer(x[:0]), "want one step or more"),
        (pb.InvalidArgument, lambda: layer(x, h), r"got 1 states; want a tuple \(h, c\)"),
        (pb.ShapeError, lambda: layer(x, (h, h[:, :1])), r"a state is \(1, 1, 4\); want \(1, 2, 4"),
        (pb.ShapeError, lambda: cell(x), r"\[GRUCell\] got \(5, 2, 3\); want \(N, 3\) or \(3,\)"),
        (pb.InvalidArgument, lambda: cell(x[0], (h, h)), "got 2 states; want one tensor"),
        (pb.InvalidArgument, lambda: nn.RNN(3, 4, nonlinearity="gelu"), "want 'tanh' or 'relu'"),
        (pb.InvalidArgument, lambda: nn.GRU(3, 0), "want sizes >= 1"),
        (pb.InvalidArgument, lambda: nn.GRU(3, 4, dropout=2.0), r"dropout=2\.0"),
    ]
    for error, call, text in cases:
        with pytest.raises(error, match=text):
            call()


@pytest.mark.parametrize("make", LAYERS)
def test_weights_and_states_that_do_not_fit_never_reach_a_kernel(device, make):
    layer = make(3, 4, device=device)
    x = pb.zeros((5, 2, 3), device=device)
    elsewhere = next(d for d in ("numpy_ref", "cpu_c") if x.device != d)
    h = pb.zeros((1, 2, 4), device=elsewhere)
    with pytest.raises(pb.DeviceMismatch):
        layer(x, (h, h) if make is nn.LSTM else h)
    layer.weight_hh_l0 = nn.Parameter(pb.zeros((4, 3), device=device))
    with pytest.raises(pb.ShapeError, match=r"\[recurrence\] inputs, weight, states"):
        layer(x)


def test_sequences_of_several_lengths(device):
    rng = np.random.default_rng(0)
    parts = [pb.asarray(rng.normal(0, 1, (n, 3)), device=device) for n in (2, 4, 1)]
    table = nn.pad_sequence(parts, batch_first=True, padding_value=9.0)
    filled = np.full((3, 4, 3), 9.0)
    for row, part in zip(filled, parts, strict=True):
        row[: len(part)] = part.numpy()
    assert np.array_equal(table.numpy(), filled)
    packed = nn.pack_padded_sequence(table, [2, 4, 1], batch_first=True, enforce_sorted=False)
    assert packed.batch_sizes.tolist() == [3, 2, 1, 1]
    assert packed.sorted_indices.tolist() == [1, 0, 2]
    by_time = [filled[k, t] for t in range(4) for k in (1, 0, 2) if t < len(parts[k])]
    assert np.array_equal(packed.data.numpy(), by_time)
    wide, lengths = nn.pad_packed_sequence(packed, padding_value=9.0, total_length=5)
    assert np.array_equal(wide.numpy()[:4], filled.swapaxes(0, 1))
    assert (wide.shape, lengths.tolist()) == ((5, 3, 3), [2, 4, 1])
    layer = nn.GRU(3, 2, device=device, dtype=pb.float64)
    output, last = layer(packed)
    ends, _ = nn.pad_packed_sequence(output, batch_first=True)
    for k, part in enumerate(parts):  # as each sequence alone
        alone, final = layer(part)
        np.testing.assert_allclose(ends[k, : len(part)].numpy(), alone.numpy(), rtol=1e-12)
        np.testing.assert_allclose(last[:, k].numpy(), final.numpy(), rtol=1e-12)


def test_errors_of_packing():
    x, layer = pb.ones((4, 2, 3)), nn.LSTM(3, 5)
    short = nn.pack_padded_sequence(x, [4, 2])
    cases = [
        (pb.InvalidArgument, "enforce_sorted=False", lambda: nn.pack_padded_sequence(x, [1, 2])),
        (pb.InvalidArgument, "1 to 4", lambda: nn.pack_padded_sequence(x, [5, 2])),
        (pb.InvalidArgument, "1 to 4", lambda: nn.pack_padded_sequence(x, [4, 0])),
        (pb.ShapeError, r"\(3,\) lengths", lambda: nn.pack_padded_sequence(x, [4, 2, 1])),
        (pb.InvalidArgument, "4 or more", lambda: nn.pad_packed_sequence(short, total_length=3)),
        (pb.InvalidArgument, "want a PackedSequence", lambda: nn.pad_packed_sequence(x)),
        (pb.ShapeError, "want sequences", lambda: nn.pad_sequence([x, pb.ones(3)])),
        (pb.ShapeError, r"packed elements of \(3,\); want \(2,\)", lambda: nn.RNN(2, 5)(short)),
        (pb.ShapeError, "a state is", lambda: layer(short, (pb.ones((1, 3, 5)),) * 2)),
        (pb.InvalidArgument, "want a tuple", lambda: layer(x, 3)),
        (pb.DTypeError, "want a tensor", lambda: layer([1.0])),
    ]  # fmt: skip
    for error, text, wrong in cases:
        with pytest.raises(error, match=text):
            wrong()
