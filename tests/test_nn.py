"""Layers against closed formulas in float64; errors."""

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


def check_layer(layer: nn.Module, *inputs: pb.Tensor) -> None:
    """Gradients for inputs and parameters against central differences."""
    names = [(m, name, p) for m in layer.modules() for name, p in m._own("parameter")]

    def f(*values: pb.Tensor) -> pb.Tensor:
        for (module, name, _), value in zip(names, values[len(inputs) :], strict=True):
            setattr(module, name, value)
        return layer(*values[: len(inputs)])

    parameters = [p.detach() for _, _, p in names]
    pb.testing.check_grad(f, *inputs, *parameters, forward=False)


# --- layers ---------------------------------------------------------------------------------------


def test_linear_is_x_times_weight_transposed_plus_bias(device):
    layer = nn.Linear(3, 2, device=device, dtype=pb.float64)
    x = data(5, 4, 3)
    want = x @ layer.weight.numpy().T + layer.bias.numpy()
    np.testing.assert_allclose(layer(on(device, x)).numpy(), want, **F64)
    assert nn.Linear(3, 2, bias=False, device=device).bias is None
    check_layer(layer, on(device, data(4, 3)))
    with pytest.raises(pb.ShapeError, match=r"\[Linear\] got \(5, 2\); want \(\.\.\., 3\)"):
        layer(on(device, data(5, 2)))


def test_linear_starts_as_pytorch_does_and_the_same_on_every_device(device):
    layer = nn.Linear(100, 50, device=device, generator=pb.random.Generator(3))
    for values in (layer.weight.numpy(), layer.bias.numpy()):
        assert -0.1 <= values.min() < -0.09
        assert 0.09 < values.max() <= 0.1
    first = nn.Linear(100, 50, device=pb.devices()[0], generator=pb.random.Generator(3))
    assert np.array_equal(first.weight.numpy(), layer.weight.numpy())


@pytest.mark.parametrize("eps", [None, 1e-3])
def test_rms_norm(device, eps):
    layer = nn.RMSNorm((3, 4), eps, device=device, dtype=pb.float64)
    w, x = data(3, 4, seed=1), 3.0 * data(5, 3, 4)
    layer.load_state_dict({"weight": on(device, w)})
    least = np.finfo(np.float64).eps if eps is None else eps
    want = x / np.sqrt((x * x).mean((1, 2), keepdims=True) + least) * w
    np.testing.assert_allclose(layer(on(device, x)).numpy(), want, **F64)


def test_layer_norm(device):
    layer = nn.LayerNorm((3, 4), eps=1e-3, device=device, dtype=pb.float64)
    w, b, x = data(3, 4, seed=1), data(3, 4, seed=2), data(5, 3, 4)
    layer.load_state_dict({"weight": on(device, w), "bias": on(device, b)})
    mean = x.mean((1, 2), keepdims=True)
    want = (x - mean) / np.sqrt(x.var((1, 2), keepdims=True) + 1e-3) * w + b
    np.testing.assert_allclose(layer(on(device, x)).numpy(), want, **F64)
    check_layer(layer, on(device, data(2, 3, 4)))
    assert [n for n, _ in nn.LayerNorm(2, bias=False, device=device).named_parameters()] == [
        "weight"
    ]
    with pytest.raises(pb.ShapeError, match=r"want \(\.\.\., 3, 4\)"):
        layer(on(device, data(3, 5)))


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5)])
def test_batch_norm_learns_unbiased_statistics_and_uses_them(device, shape):
    layer = nn.BatchNorm1d(3, momentum=0.2, device=device, dtype=pb.float64)
    w, b = data(3, seed=1), data(3, seed=2)
    layer.load_state_dict({"weight": on(device, w), "bias": on(device, b)}, strict=False)
    axes = (0, *range(2, len(shape)))
    row = (1, 3) + (1,) * (len(shape) - 2)
    running_mean, running_var = np.zeros(3), np.ones(3)
    for step in range(3):
        x = data(*shape, seed=step) * 2 + 1
        mean, var = x.mean(axes), x.var(axes)
        want = (x - mean.reshape(row)) / np.sqrt(var.reshape(row) + 1e-5)
        want = want * w.reshape(row) + b.reshape(row)
        np.testing.assert_allclose(layer(on(device, x)).numpy(), want, **F64)
        running_mean = 0.8 * running_mean + 0.2 * mean
        running_var = 0.8 * running_var + 0.2 * x.var(axes, ddof=1)
    np.testing.assert_allclose(layer.running_mean.numpy(), running_mean, **F64)
    np.testing.assert_allclose(layer.running_var.numpy(), running_var, **F64)
    assert int(layer.num_batches_tracked) == 3
    layer.eval()
    want = (x - running_mean.reshape(row)) / np.sqrt(running_var.reshape(row) + 1e-5)
    want = want * w.reshape(row) + b.reshape(row)
    np.testing.assert_allclose(layer(on(device, x)).numpy(), want, **F64)
    assert int(layer.num_batches_tracked) == 3


def test_batch_norm_gradients_and_options(device):
    for mode in (True, False):
        layer = nn.BatchNorm1d(3, device=device, dtype=pb.float64).train(mode)
        check_layer(layer, on(device, data(5, 3)))
    average = nn.BatchNorm1d(2, momentum=None, device=device, dtype=pb.float64)
    batches = [data(4, 2, seed=k) for k in range(3)]
    for x in batches:
        average(on(device, x))
    want = np.mean([x.mean(0) for x in batches], axis=0)
    np.testing.assert_allclose(average.running_mean.numpy(), want, **F64)
    plain = nn.BatchNorm1d(2, affine=False, track_running_stats=False, device=device)
    assert plain.state_dict() == {}
    assert np.isfinite(plain.eval()(on(device, data(4, 2).astype("f"))).numpy()).all()
    with pytest.raises(pb.InvalidArgument, match="more than one value per channel"):
        average.train()(on(device, data(1, 2)))
    with pytest.raises(pb.ShapeError, match=r"want \(N, 2\) or \(N, 2, L\)"):
        average(on(device, data(4, 3)))


def test_dropout_is_the_same_on_every_device_and_off_in_use(device):
    x = data(40, 50)
    layer = nn.Dropout(0.25, generator=pb.random.Generator(11))
    got = layer(on(device, x)).numpy()
    dropped = got == 0
    assert 0.2 < dropped.mean() < 0.3
    np.testing.assert_allclose(got[~dropped], x[~dropped] / 0.75, **F64)
    other = nn.Dropout(0.25, generator=pb.random.Generator(11))
    assert np.array_equal(other(on(pb.devices()[0], x)).numpy() == 0, dropped)
    assert not np.array_equal(layer(on(device, x)).numpy() == 0, dropped)  # the stream goes on
    assert np.array_equal(layer.eval()(on(device, x)).numpy(), x)
    assert (nn.Dropout(1.0)(on(device, x)).numpy() == 0).all()
    leaf = pb.asarray(x, device=device, requires_grad=True)
    again = nn.Dropout(0.25, generator=pb.random.Generator(11))
    pb.sum(again(leaf)).backward()
    np.testing.assert_allclose(leaf.grad.numpy(), np.where(dropped, 0, 1 / 0.75), **F64)
    with pytest.raises(pb.InvalidArgument, match=r"p=1\.5; want 0 to 1"):
        nn.Dropout(1.5)


def test_activations_are_the_functions_of_their_names(device):
    x = on(device, data(3, 4))
    pairs = [
        (nn.ReLU(), pb.relu(x)),
        (nn.LeakyReLU(0.2), pb.leaky_relu(x, 0.2)),
        (nn.ELU(0.5), pb.elu(x, 0.5)),
        (nn.Sigmoid(), pb.sigmoid(x)),
        (nn.Tanh(), pb.tanh(x)),
        (nn.GELU(), pb.gelu(x)),
        (nn.GELU("tanh"), pb.gelu(x, "tanh")),
        (nn.SiLU(), pb.silu(x)),
        (nn.Softplus(), pb.softplus(x)),
        (nn.Softmax(dim=0), pb.softmax(x, axis=0)),
        (nn.LogSoftmax(), pb.log_softmax(x)),
        (nn.Flatten(0), pb.reshape(x, -1)),
        (nn.Identity(), x),
        (nn.Residual(nn.Tanh()), x + pb.tanh(x)),
        (nn.Sequential(nn.Tanh(), nn.ReLU()), pb.relu(pb.tanh(x))),
        (nn.Sequential(), x),
    ]
    for layer, want in pairs:
        np.testing.assert_allclose(layer(x).numpy(), want.numpy(), **F64, err_msg=repr(layer))
    with pytest.raises(pb.ShapeError, match="same shape"):
        nn.Residual(nn.Flatten(0))(x)


def test_channels_are_dropped_as_a_whole(device):
    pb.random.manual_seed(0)
    for layer, tail in ((pb.nn.Dropout1d(0.5), (3,)), (pb.nn.Dropout2d(0.5, inplace=True), (2, 3))):
        y = layer(pb.ones((4, 16, *tail), device=device)).numpy().reshape(64, -1)
        assert ((y == 0).all(1) | (y == 2).all(1)).all()
        assert 10 < (y[:, 0] == 0).sum() < 54
        x = pb.ones((16, *tail), device=device)
        assert layer.eval()(x) is x
        with pytest.raises(pb.ShapeError, match="want"):
            layer(pb.ones(3, device=device))


def test_options_for_other_libraries_sake(device):
    x = pb.asarray([-1.0, 2.0], device=device)
    assert pb.nn.ReLU(inplace=True)(x).tolist() == [0.0, 2.0]
    assert x.tolist() == [-1.0, 2.0]
    with pytest.raises(pb.InvalidArgument, match=r"the class ReLU; want a Module: ReLU\(\.\.\.\)"):
        pb.nn.Sequential(pb.nn.ReLU)


def test_errors_of_layers_for_images():
    nn, image = pb.nn, pb.ones((1, 3, 4, 4))
    cases = [
        (pb.ShapeError, "at most 3", lambda: nn.pad(image, (4, 0), "reflect")),
        (pb.InvalidArgument, "two integers", lambda: nn.pad(image, (1,))),
        (pb.InvalidArgument, "mode='edge'", lambda: nn.pad(image, (1, 1), "edge")),
        (pb.ShapeError, "want", lambda: nn.interpolate(image, 3, mode="linear")),
        (pb.InvalidArgument, "either", lambda: nn.Upsample()),
        (pb.ShapeError, "one window", lambda: nn.unfold(image, 5)),
        (pb.ShapeError, r"C \* 4, 9", lambda: nn.fold(pb.ones((1, 4, 5)), 4, 2)),
        (pb.ShapeError, "even", lambda: nn.glu(pb.ones(3))),
        (pb.ShapeError, "its square", lambda: nn.pixel_shuffle(image, 2)),
        (pb.InvalidArgument, "more than one", lambda: nn.InstanceNorm2d(3)(image[..., :1, :1])),
        (pb.InvalidArgument, "padding_mode", lambda: nn.Conv2d(3, 1, 3, padding_mode="edge")),
        (pb.InvalidArgument, "output_size",
         lambda: nn.ConvTranspose2d(3, 1, 3, 2)(image, output_size=(20, 20))),
    ]  # fmt: skip
    for error, text, wrong in cases:
        with pytest.raises(error, match=text):
            wrong()


def _written_out(name: str, x: pb.Tensor, weight: pb.Tensor, bias: pb.Tensor) -> pb.Tensor:
    """A layer of one operation as several, whose gradients are their own."""
    if name == "linear":
        return x @ weight.T + bias
    axes, row = (0, *range(2, x.ndim)), (1, -1) + (1,) * (x.ndim - 2)
    z = x - pb.mean(x, axis=axes, keepdims=True)
    z = z / pb.sqrt(pb.mean(z * z, axis=axes, keepdims=True) + 1e-5)
    return z * pb.reshape(weight, row) + pb.reshape(bias, row)


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("linear", [(5, 3), (2, 3), (2,)]),
        ("norm", [(5, 3), (3,), (3,)]),
        ("norm", [(2, 3, 2, 2), (3,), (3,)]),
    ],
)
def test_layers_of_one_operation_have_derivatives_of_every_order(device, name, shapes):
    rng = np.random.default_rng(3)
    given = [pb.asarray(rng.standard_normal(s), device=device) for s in shapes]
    directions = [pb.asarray(rng.standard_normal(s), device=device) for s in shapes]
    make = nn.BatchNorm1d if len(shapes[0]) == 2 else nn.BatchNorm2d
    norm = make(3, device=device, dtype=pb.float64)

    def layer(x: pb.Tensor, weight: pb.Tensor, bias: pb.Tensor) -> pb.Tensor:
        if name == "linear":
            return nn.linear(x, weight, bias)
        return nn.functional_call(norm, {"weight": weight, "bias": bias}, x)

    def derivatives(call) -> list[np.ndarray]:
        def loss(*args: pb.Tensor) -> pb.Tensor:
            return pb.sum(call(*args) ** 3)

        def steepness(*args: pb.Tensor) -> pb.Tensor:
            a, b, c = (pb.sum(g * g) for g in pb.grad(loss, argnums=(0, 1, 2))(*args))
            return a + b + c

        found = [*pb.grad(loss, argnums=(0, 1, 2))(*given)]
        found += pb.grad(steepness, argnums=(0, 1, 2))(*given)
        for k in range(3):  # forwards, along each operand alone

            def along(x: pb.Tensor, k: int = k) -> pb.Tensor:
                return call(*given[:k], x, *given[k + 1 :])

            found.append(pb.jvp(along, (given[k],), (directions[k],))[1])
        return [x.numpy() for x in found]

    plain = derivatives(lambda *args: _written_out(name, *args))
    for got, want in zip(derivatives(layer), plain, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9 * np.abs(want).max())
