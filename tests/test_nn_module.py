"""Modules as trees: names, state, moving, hooks, the summary; and the containers."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import polyback as pb
from polyback import nn


def data(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal(shape)


def on(device: str, values: Any) -> pb.Tensor:
    return pb.asarray(np.asarray(values), device=device)


class Net(nn.Module):
    def __init__(self, **place: Any) -> None:
        self.scale = nn.Parameter(pb.ones((), **place))
        self.first = nn.Linear(3, 4, **place)
        self.blocks = [nn.Linear(4, 4, **place), nn.BatchNorm1d(4, **place)]
        self.note = "no module"
        self.register_buffer("count", pb.zeros((), dtype=pb.int64, device=place.get("device")))

    def forward(self, x: pb.Tensor) -> pb.Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return self.scale * x


def test_names_come_in_definition_order(device):
    net = Net(device=device)
    assert list(net.state_dict()) == [
        "scale", "count", "first.weight", "first.bias", "blocks.0.weight", "blocks.0.bias",
        "blocks.1.weight", "blocks.1.bias", "blocks.1.running_mean", "blocks.1.running_var",
        "blocks.1.num_batches_tracked",
    ]  # fmt: skip
    assert [n for n, _ in net.named_parameters()] == [
        "scale", "first.weight", "first.bias", "blocks.0.weight", "blocks.0.bias",
        "blocks.1.weight", "blocks.1.bias",
    ]  # fmt: skip
    assert [n for n, _ in net.named_modules()] == ["", "first", "blocks.0", "blocks.1"]
    assert net.num_parameters() == 1 + 16 + 20 + 8
    assert repr(net).splitlines()[:2] == [
        "Net(",
        "  (first): Linear(in_features=3, out_features=4, bias=True)",
    ]


def test_attributes_follow_the_rule(device):
    net = Net(device=device)
    net.scale.requires_grad = False  # frozen, and still a parameter
    assert "scale" in dict(net.named_parameters())
    net.constant = pb.ones(3, device=device)  # a plain tensor is not a parameter
    assert "constant" not in net.state_dict()
    net.first.bias = None
    assert "first.bias" not in net.state_dict()
    with pytest.raises(pb.GradientError, match="result of an operation"):
        net.first.weight = net.first.weight * 2
    with pytest.raises(pb.InvalidArgument, match="an attribute already"):
        net.register_buffer("note", pb.ones(1, device=device))
    del net.scale
    assert "scale" not in net.state_dict()
    with pytest.raises(TypeError, match="abstract"):
        nn.Module()


def test_shared_parts_count_once_and_cycles_are_refused(device):
    layer = nn.Linear(2, 2, device=device)
    net = nn.Sequential(layer, nn.Tanh(), layer)
    assert len(list(net.parameters())) == 2
    assert len(list(net.modules())) == 3
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    tied = nn.Linear(2, 2, device=device)
    tied.weight = layer.weight
    assert nn.Sequential(layer, tied).num_parameters() == 4 + 2 + 2
    loop = nn.ModuleList([layer])
    loop.self = loop
    with pytest.raises(pb.InvalidArgument, match="contains itself"):
        list(loop.parameters())


def test_train_eval_and_zero_grad_reach_everything(device):
    net = Net(device=device)
    assert all(m.training for m in net.modules())
    assert not any(m.training for m in net.eval().modules())
    pb.sum(net.train()(pb.ones((2, 3), device=device))).backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    assert not any(p.requires_grad for p in net.requires_grad_(False).parameters())


def test_to_moves_and_converts_in_place(device):
    net = Net(device=pb.devices()[0])
    before = list(net.parameters())
    pb.sum(net(pb.ones((2, 3), device=pb.devices()[0]))).backward()
    values = {k: v.numpy() for k, v in net.state_dict().items()}
    net.to(device, dtype=pb.float64)
    assert all(a is b for a, b in zip(before, net.parameters(), strict=True))
    for name, tensor in net.state_dict().items():
        assert tensor.device == device
        assert tensor.dtype is (pb.int64 if values[name].dtype == np.int64 else pb.float64)
        assert np.array_equal(tensor.numpy(), values[name])
    assert all(p.grad.dtype is pb.float64 and p.grad.device == device for p in before)
    net(pb.ones((2, 3), device=device, dtype=pb.float64))
    with pytest.raises(pb.DTypeError, match="want a floating-point type"):
        net.to(dtype=pb.int32)


def test_state_goes_round(device):
    source, target = Net(device=device), Net(device=device)
    source(on(device, data(4, 3).astype("f")))
    saved = copy.deepcopy(source.state_dict())
    result = target.load_state_dict(saved)
    assert result == ([], [])
    for name, tensor in target.state_dict().items():
        assert np.array_equal(tensor.numpy(), saved[name].numpy()), name
    x = on(device, data(4, 3).astype("f"))
    assert np.array_equal(source.eval()(x).numpy(), target.eval()(x).numpy())
    for clone in (copy.deepcopy(source), pickle.loads(pickle.dumps(source))):
        assert np.array_equal(source(x).numpy(), clone(x).numpy())
        assert [n for n, _ in clone.named_parameters()] == [n for n, _ in source.named_parameters()]
        with pb.no_grad():
            clone.first.weight += 1.0
        assert not np.array_equal(source.first.weight.numpy(), clone.first.weight.numpy())


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (lambda s, d: s.pop("first.bias"), pb.InvalidArgument, r"missing \['first.bias'\]"),
        (
            lambda s, d: s.update(extra=pb.ones(1, device=d)),
            pb.InvalidArgument,
            r"unexpected \['extra'\]",
        ),
        (
            lambda s, d: s.update({"blocks.1.bias": pb.ones(3, device=d)}),
            pb.ShapeError,
            r"blocks.1.bias: got \(3,\); want \(4,\)",
        ),
        (
            lambda s, d: s.update({"blocks.1.bias": pb.ones(4, dtype=pb.float64, device=d)}),
            pb.DTypeError,
            r"got float64; want float32",
        ),
        (
            lambda s, d: s.update({"blocks.1.bias": np.ones(4, "f")}),
            pb.DTypeError,
            r"got ndarray; want a tensor",
        ),
    ],
)
def test_a_wrong_state_changes_nothing(device, change, error, text):
    net = Net(device=device)
    before = {k: v.numpy() for k, v in net.state_dict().items()}
    state = {k: v + 1 for k, v in net.state_dict().items()}
    change(state, device)
    with pytest.raises(error, match=text):
        net.load_state_dict(state)
    assert all(np.array_equal(v.numpy(), before[k]) for k, v in net.state_dict().items())


def test_loading_part_of_a_state(device):
    net = Net(device=device)
    one = pb.full((), 7.0, device=pb.devices()[0])  # another device will do
    result = net.load_state_dict({"scale": one, "extra": one}, strict=False)
    assert net.scale.item() == 7.0
    assert result.unexpected_keys == ["extra"]
    assert "scale" not in result.missing_keys


def test_a_buffer_that_is_not_persistent_moves_and_is_not_saved(device):
    layer = nn.Linear(2, 2, device=pb.devices()[0])
    layer.register_buffer("table", pb.zeros(3, device=pb.devices()[0]), persistent=False)
    layer.to(device, dtype=pb.float64)
    assert (layer.table.dtype, layer.table.device) == (pb.float64, pb.get_device(device))
    assert list(layer.state_dict()) == ["weight", "bias"]
    assert [name for name, _ in layer.named_buffers()] == ["table"]
    assert layer.load_state_dict(layer.state_dict()) == ([], [])


def test_apply_reaches_the_deepest_first(device):
    names = []
    net = Net(device=device)
    assert net.apply(lambda m: names.append(type(m).__name__)) is net
    assert names == ["Linear", "Linear", "BatchNorm1d", "Net"]


def test_functional_call_makes_a_module_a_function_of_its_parameters(device):
    layer = nn.Sequential(nn.Linear(2, 3, device=device, dtype=pb.float64), nn.Tanh())
    x, kept = on(device, data(4, 2)), layer[0].weight
    w = on(device, data(3, 2, seed=1))

    def f(weight: pb.Tensor) -> pb.Tensor:
        return nn.functional_call(layer, {"0.weight": weight}, x)

    want = np.tanh(x.numpy() @ w.numpy().T + layer[0].bias.numpy())
    np.testing.assert_allclose(f(w).numpy(), want)
    pb.testing.check_grad(f, w)
    pb.testing.check_grad(pb.grad(lambda v: pb.sum(f(v) ** 2)), w)
    assert layer[0].weight is kept
    with pytest.raises(pb.ShapeError, match=r"0.weight: got \(2, 3\); want \(3, 2\)"):
        f(pb.transpose(w))
    with pytest.raises(pb.InvalidArgument, match=r"got \['1.weight'\]; want names of"):
        nn.functional_call(layer, {"1.weight": w}, x)
    with pytest.raises(pb.ShapeError, match="Linear"):
        nn.functional_call(layer, {"0.weight": w}, (on(device, data(4, 3)),))
    assert layer[0].weight is kept


# --- containers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [nn.Sequential, lambda *m: nn.ModuleList(m)])
def test_series_behave_as_lists(make):
    a, b, c, d = (nn.LeakyReLU(k / 10) for k in range(4))
    parts = make(a, b)
    assert parts.append(c) is parts
    assert list(parts) == [a, b, c]
    assert list(parts.insert(1, d)) == [a, d, b, c]
    assert [name for name, _ in parts.named_children()] == ["0", "1", "2", "3"]
    assert list(parts[1:3]) == [d, b]
    assert list(parts[::-1]) == [c, b, d, a]
    assert type(parts[:0]) is type(parts)
    assert [name for name, _ in parts[2:].named_children()] == ["0", "1"]
    del parts[1]
    assert list(parts.extend([d, d])) == [a, b, c, d, d]
    parts[-1] = a
    assert (len(parts), parts[4], parts[-2]) == (5, a, d)
    with pytest.raises(pb.IndexOutOfBounds, match="5 is outside its 5 modules"):
        parts[5]
    with pytest.raises(pb.InvalidArgument, match=r"got int; want a Module"):
        parts.append(3)
    assert len(parts) == 5


def test_sequential_with_names(device):
    net = nn.Sequential({"first": nn.Linear(2, 3, device=device), "act": nn.Tanh()})
    assert list(net.state_dict()) == ["first.weight", "first.bias"]
    net.append(nn.Linear(3, 1, device=device))
    assert [name for name, _ in net.named_children()] == ["first", "act", "2"]
    assert net.first is net[0]
    assert net(pb.ones((5, 2), device=device)).shape == (5, 1)
    with pytest.raises(pb.InvalidArgument, match="'forward' cannot name a module"):
        nn.Sequential({"forward": nn.Tanh()})
    with pytest.raises(pb.InvalidArgument, match="one by one"):
        nn.ModuleList([nn.Tanh()])(pb.ones(1, device=device))


def test_module_dict(device):
    heads = nn.ModuleDict({"a": nn.Linear(2, 3, device=device)})
    heads.update({"b": nn.Tanh()})
    heads["c"] = nn.ReLU()
    assert (len(heads), list(heads), heads.keys()) == (3, ["a", "b", "c"], ["a", "b", "c"])
    assert list(heads.state_dict()) == ["a.weight", "a.bias"]
    assert heads.items()[1] == ("b", heads["b"])
    del heads["b"]
    assert "b" not in heads
    assert heads.values() == [heads["a"], heads["c"]]
    for key in ("keys", "forward", "x.y", "training"):
        with pytest.raises(pb.InvalidArgument, match="cannot name a module"):
            heads[key] = nn.ReLU()
    with pytest.raises(pb.InvalidArgument, match=r"no module 'b'; want one of \['a', 'c'\]"):
        heads["b"]
    with pytest.raises(pb.InvalidArgument, match="not a function"):
        heads(pb.ones(1, device=device))


# --- hooks ----------------------------------------------------------------------------------------


def test_forward_hooks_see_and_replace(device):
    layer, x = nn.Identity(), pb.ones(2, device=device)
    seen = []
    look = layer.register_forward_hook(lambda m, args, y: seen.append((m, args, y)))
    assert layer(x) is x
    assert (seen[0][0], seen[0][1][0], seen[0][2]) == (layer, x, x)
    first = layer.register_forward_pre_hook(lambda m, args: args[0] * 2.0)
    second = layer.register_forward_pre_hook(lambda m, args: (args[0] + 1.0,))
    third = layer.register_forward_hook(lambda m, args, y: y * 10.0)
    assert layer(x).tolist() == [30.0, 30.0]  # in the order in which they were registered
    first.remove()
    assert layer(x).tolist() == [20.0, 20.0]
    for handle in (second, third, look, third):
        handle.remove()
    assert layer(x) is x
    assert len(seen) == 3
    with pytest.raises(pb.InvalidArgument, match=r"\[hook\] got int; want a function"):
        layer.register_forward_hook(3)


def test_forward_hooks_with_keywords(device):
    class Scale(nn.Module):
        def forward(self, x, by=1.0):
            return x * by

    layer, x = Scale(), pb.ones(1, device=device)
    before = layer.register_forward_pre_hook(
        lambda m, args, kwargs: (args, {"by": kwargs["by"] + 1.0}), with_kwargs=True
    )
    after = layer.register_forward_hook(
        lambda m, args, kwargs, y: y + kwargs["by"], with_kwargs=True
    )
    assert layer(x, by=2.0).tolist() == [6.0]
    with before, after:
        pass
    assert layer(x, by=2.0).tolist() == [2.0]


def test_backward_hooks_see_and_replace_gradients(device):
    layer = nn.Linear(3, 2, device=device, dtype=pb.float64)
    x = pb.asarray(data(4, 3), device=device, requires_grad=True)
    seen = []
    handle = layer.register_full_backward_hook(lambda m, gi, go: seen.append((m, gi, go)))
    pb.sum(layer(x) * 2.0).backward()
    (module, (inner,), (outer,)) = seen.pop()
    assert module is layer
    assert outer.tolist() == [[2.0, 2.0]] * 4
    np.testing.assert_allclose(inner.numpy(), outer.numpy() @ layer.weight.numpy())
    assert np.array_equal(inner.numpy(), x.grad.numpy())
    handle.remove()
    x.grad = None
    layer.register_full_backward_hook(lambda m, gi, go: (gi[0] * 3.0,))
    pb.sum(layer(x) * 2.0).backward()
    np.testing.assert_allclose(x.grad.numpy(), 3.0 * inner.numpy())


def test_backward_hooks_take_one_tensor_to_one_tensor(device):
    layer = nn.Bilinear(2, 2, 2, device=device)
    seen = []
    layer.register_full_backward_hook(lambda m, gi, go: seen.append(gi))
    a, b = (pb.ones((1, 2), device=device, requires_grad=k) for k in (True, False))
    pb.sum(layer(b, b)).backward()
    assert seen == [(None,)]
    pb.sum(layer(a, b)).backward()
    assert len(seen) == 2
    with pytest.raises(pb.InvalidArgument, match="Bilinear has 2 inputs with gradients"):
        layer(a, a)


def test_hooks_are_copied_with_their_module(device):
    layer = nn.Identity()
    layer.register_forward_hook(lambda m, args, y: y + 1.0)
    clone = copy.deepcopy(layer)
    x = pb.zeros(1, device=device)
    clone.register_forward_hook(lambda m, args, y: y + 1.0)
    assert (layer(x).tolist(), clone(x).tolist()) == ([1.0], [2.0])


# --- the summary ----------------------------------------------------------------------------------


def test_summary_counts_every_parameter_once_and_leaves_the_module_as_it_was(device):
    shared = nn.Linear(4, 4, device=device)
    net = nn.Sequential(shared, nn.BatchNorm1d(4, device=device), nn.Dropout(0.5), shared)
    net[1].eval()
    net[1].requires_grad_(False)
    x = pb.ones((5, 4), device=device)
    before = {k: v.numpy() for k, v in net.state_dict().items()}
    lines = nn.summary(net, x).splitlines()
    assert lines[1].split() == ["Sequential", "(5,", "4)", "0"]
    assert [line.split()[-1] for line in lines[2:]] == ["20", "8", "0", "0", "28", "20"]
    assert len({len(line) for line in lines}) == 1
    assert [m.training for m in net] == [True, False, True, True]
    assert all(np.array_equal(v.numpy(), before[k]) for k, v in net.state_dict().items())
    assert nn.summary(net, x).splitlines() == lines
    with pytest.raises(pb.ShapeError):
        nn.summary(net, pb.ones((5, 3), device=device))
    assert net.training


def test_parameters_in_lists_and_dictionaries(device):
    class Scales(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rows = nn.ParameterList(pb.ones(2, device=device) for _ in range(2))
            self.named = nn.ParameterDict({"top": pb.zeros(1, device=device)})
            self.parts = {"a": nn.Tanh(), "b": nn.Linear(1, 1, device=device)}

        def forward(self, x: pb.Tensor) -> pb.Tensor:
            return x * self.rows[0] + self.named["top"]

    scales = Scales()
    want = ["rows.0", "rows.1", "named.top", "parts.b.weight", "parts.b.bias"]
    assert list(scales.state_dict()) == want
    assert (len(scales.rows), len(list(scales.rows)), len(scales.named)) == (2, 2, 1)
    scales.rows[-1] = pb.zeros(2, device=device)
    pb.sum(scales(pb.ones(2, device=device))).backward()
    assert [p.grad is None for p in scales.rows] == [False, True]
    with pytest.raises(pb.IndexOutOfBounds, match="2 is outside its 2"):
        scales.rows[2]
    for key in ("a.b", "forward"):
        with pytest.raises(pb.InvalidArgument, match="cannot name"):
            scales.named[key] = pb.ones(1)
    with pytest.raises(pb.InvalidArgument, match=r"want nn\.ParameterList"):
        scales.more = [nn.Parameter(pb.ones(1))]


def test_names_known_only_at_run_time():
    net = nn.Sequential()
    net.add_module("first", nn.Linear(2, 3))
    net.register_parameter("scale", nn.Parameter(pb.ones(1)))
    net.register_buffer("later", None)
    assert list(net.state_dict()) == ["scale", "first.weight", "first.bias"]
    net.later = pb.zeros(1)
    assert "later" in net.state_dict()
    assert [n for n, _ in net.named_parameters("net", recurse=False)] == ["net.scale"]
    assert net.get_submodule("first") is net.first
    for wrong in (
        lambda: net.get_submodule("second"), lambda: net.add_module("a.b", nn.Tanh()),
        lambda: net.register_parameter("forward", None), lambda: net["first"],
        lambda: net.load_state_dict(None),
    ):  # fmt: skip
        with pytest.raises(pb.InvalidArgument):
            wrong()


def test_options_that_a_layer_lacks_are_errors():
    for make in (lambda: nn.Tanh(3), lambda: nn.Sigmoid(slope=2.0)):
        with pytest.raises(TypeError):
            make()


def test_imports_as_in_other_libraries():
    import polyback.nn as other
    from polyback.optim import Adam
    from polyback.optim.lr_scheduler import StepLR

    assert (other, Adam, StepLR) == (pb.nn, pb.optim.Adam, pb.optim.StepLR)
    with pytest.raises(AttributeError, match="functions are here"):
        pb.nn.functional  # noqa: B018
    with pytest.raises(AttributeError, match=r"want polyback\.relu"):
        pb.nn.relu  # noqa: B018
