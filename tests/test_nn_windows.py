"""Convolution, pooling and the norms beside them: values by hand, half types, ends, errors."""

from __future__ import annotations

import numpy as np
import pytest
from against_numpy import close, sample, stored

import polyback as pb
from polyback import nn
from polyback.errors import DeviceMismatch, DTypeError, InvalidArgument, ShapeError


def naive_conv2d(x, w, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
    """By the formula, one element after the other."""
    (n, c, height, width), (outs, each, p, q) = x.shape, w.shape
    wide = np.zeros((n, c, height + 2 * padding[0], width + 2 * padding[1]))
    wide[:, :, padding[0] : padding[0] + height, padding[1] : padding[1] + width] = x
    rows = (wide.shape[2] - dilation[0] * (p - 1) - 1) // stride[0] + 1
    columns = (wide.shape[3] - dilation[1] * (q - 1) - 1) // stride[1] + 1
    y = np.zeros((n, outs, rows, columns))
    for o in range(outs):
        first = o // (outs // groups) * each
        for i in range(rows):
            for j in range(columns):
                top, left = i * stride[0], j * stride[1]
                down = slice(top, top + dilation[0] * (p - 1) + 1, dilation[0])
                across = slice(left, left + dilation[1] * (q - 1) + 1, dilation[1])
                part = wide[:, first : first + each, down, across]
                y[:, o, i, j] = np.sum(part * w[o], axis=(1, 2, 3))
    return y


def test_conv2d_by_its_formula(device):
    x, w = sample((2, 4, 7, 6), pb.float64), sample((6, 2, 3, 2), pb.float64, 1)
    a, b = (pb.asarray(v, device=device) for v in (x, w))
    for stride, padding, dilation in (((1, 1), (0, 0), (1, 1)), ((2, 1), (1, 2), (1, 3)),
                                      ((3, 2), (2, 0), (2, 1))):  # fmt: skip
        got = nn.conv2d(a, b, None, stride, padding, dilation, 2)
        close(got, naive_conv2d(x, w, stride, padding, dilation, 2), pb.float64)
    one = nn.conv2d(a[0], b, pb.asarray(np.arange(6.0), device=device), groups=2)
    close(one, naive_conv2d(x[:1], w, groups=2)[0] + np.arange(6.0)[:, None, None], pb.float64)


def test_same_padding_puts_the_odd_one_at_the_end(device):
    x = pb.asarray([[1.0, 2.0, 3.0]], device=device)
    w = pb.asarray([[[1.0, 10.0]]], device=device)
    assert nn.conv1d(x, w, padding="same").tolist() == [[21.0, 32.0, 3.0]]
    assert nn.conv1d(x, w, padding="valid").tolist() == [[21.0, 32.0]]


def test_a_transposed_convolution_is_the_gradient(device):
    w = pb.asarray(sample((4, 2, 3, 3), pb.float64), device=device)
    g = pb.asarray(sample((2, 4, 3, 4), pb.float64, 1), device=device)
    x = pb.zeros((2, 2, 6, 8), dtype=pb.float64, device=device)
    _, pull = pb.vjp(lambda t: nn.conv2d(t, w, stride=2, padding=1), x)
    got = nn.conv_transpose2d(g, w, stride=2, padding=1, output_padding=1)
    close(got, pull(g)[0].numpy(), pb.float64)


@pytest.mark.parametrize("dtype", [pb.float16, pb.bfloat16], ids=str)
def test_half_types(device, dtype):
    stored(device, dtype)
    x, w = (pb.asarray(sample(s), device=device) for s in ((1, 3, 6, 6), (4, 3, 3, 3)))
    half, small = x.astype(dtype), w.astype(dtype)
    for run in (lambda a, b: nn.conv2d(a, b, padding=1), lambda a, b: nn.max_pool2d(a, 2),
                lambda a, b: nn.avg_pool2d(a, 3, 2, 1), lambda a, b: nn.layer_norm(a, (6, 6)),
                lambda a, b: nn.adaptive_avg_pool2d(a, 2), lambda a, b: nn.rms_norm(a, 6),
                lambda a, b: nn.group_norm(a, 3)):  # fmt: skip
        got = run(half, small)
        want = run(half.astype(pb.float32), small.astype(pb.float32))
        close(got, want.numpy(), dtype, ulp=1)
        slope = pb.grad(lambda t, run=run: pb.sum(run(t, small) ** 2))(half)
        assert slope.dtype is dtype
        assert bool(pb.all(pb.isfinite(slope)))


def test_pooling_of_special_numbers(device):
    x = pb.asarray(
        [[[-np.inf, -np.inf, 1.0, np.nan], [-np.inf, -np.inf, 2.0, np.nan]]], device=device
    )
    y, at = nn.max_pool2d(x, 2, return_indices=True)
    np.testing.assert_array_equal(y.numpy(), [[[-np.inf, np.nan]]])
    assert at.tolist() == [[[0, 3]]]
    padded, at = nn.max_pool2d(x[:, :, :1], (2, 1), (1, 1), (1, 0), return_indices=True)
    assert padded.tolist() == [[[-np.inf]] * 3]  # never the padding
    assert at.tolist() == [[[0], [0], [1]]]


def test_the_first_of_equal_maxima_gets_the_gradient(device):
    x = pb.zeros((1, 2, 4), device=device)
    got = pb.grad(lambda t: pb.sum(nn.max_pool2d(t, 2)))(x)
    assert got.tolist() == [[[1.0, 0.0, 1.0, 0.0], [0.0] * 4]]


def test_writing_to_the_places_does_not_move_the_gradient(device):
    x = pb.asarray([[[1.0, 2.0], [4.0, 3.0]]], device=device, requires_grad=True)
    y, at = nn.max_pool2d(x, 2, return_indices=True)
    at[...] = 0
    pb.sum(y).backward()
    assert x.grad.tolist() == [[[0.0, 0.0], [1.0, 0.0]]]


def test_overlapping_windows_add_up_in_the_gradient(device):
    x = pb.asarray([[0.0, 5.0, 1.0, 2.0]], device=device)
    assert pb.grad(lambda t: pb.sum(nn.max_pool1d(t, 2, 1)))(x).tolist() == [[0.0, 2.0, 0.0, 1.0]]
    assert pb.grad(lambda t: pb.sum(nn.avg_pool1d(t, 2, 1)))(x).tolist() == [[0.5, 1.0, 1.0, 0.5]]


def test_empty_batches(device):
    x = pb.zeros((0, 2, 5, 5), device=device, requires_grad=True)
    w = pb.ones((3, 2, 3, 3), device=device, requires_grad=True)
    for y in (nn.conv2d(x, w), nn.max_pool2d(x, 2), nn.avg_pool2d(x, 2), nn.layer_norm(x, 5),
              nn.group_norm(x, 2), nn.rms_norm(x, 5), nn.adaptive_avg_pool2d(x, 1)):  # fmt: skip
        assert y.shape[0] == 0
        pb.sum(y).backward()
    assert w.grad is not None
    assert not w.grad.numpy().any()


def test_a_layer_norm_of_one_value(device):
    x = pb.asarray([[0.1] * 7], device=device)
    row = pb.asarray([2.0] * 7, device=device)
    close(nn.layer_norm(x, 7, row, row), np.full((1, 7), 2.0), ulp=64)


def test_a_mean_far_from_zero(device):
    """Squares are taken after the mean is, so nothing cancels."""
    x = 10_000 + sample((4, 500))
    wide = x.astype(np.float32).astype(np.float64)
    z = (wide - wide.mean(1, keepdims=True)) / np.sqrt(wide.var(1, keepdims=True) + 1e-5)
    got = nn.layer_norm(pb.asarray(x.astype(np.float32), device=device), 500).numpy()
    assert np.max(np.abs(got - z)) < 0.01


def test_types_promote_and_integers_are_refused(device):
    x, w = pb.ones((1, 3, 3), device=device), pb.ones((1, 1, 2, 2), device=device)
    assert nn.conv2d(x, w.astype(pb.float64)).dtype is pb.float64
    for call in (
        lambda t: nn.conv2d(t, t[None]), lambda t: nn.max_pool2d(t, 2),
        lambda t: nn.avg_pool2d(t, 2),
        lambda t: nn.layer_norm(t, 3), lambda t: nn.rms_norm(t, 3), lambda t: nn.group_norm(t, 1),
        lambda t: nn.adaptive_avg_pool2d(t, 1), lambda t: nn.conv_transpose2d(t, t[None]),
    ):  # fmt: skip
        with pytest.raises(DTypeError, match=r"does not take .*want a real floating type"):
            call(x.astype(pb.int32))
    for call in (lambda: nn.conv2d(x, 1.0), lambda: nn.max_pool2d([1.0], 2),
                 lambda: nn.layer_norm([1.0], 1), lambda: nn.group_norm([1.0], 1)):  # fmt: skip
        with pytest.raises(DTypeError, match="want a tensor"):
            call()


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda x, w: nn.conv2d(x[0, 0], w), ShapeError, r"\[conv2d\] got \(5, 5\); want"),
        (lambda x, w: nn.conv2d(x, w[:, :1]), ShapeError, "channels / groups"),
        (lambda x, w: nn.conv2d(x, w, groups=3), ShapeError, "3 groups"),
        (lambda x, w: nn.conv2d(x, w, groups=0), ShapeError, "0 groups"),
        (lambda x, w: nn.conv2d(x, w, w[0, 0, 0]), ShapeError, r"bias \(3,\); want \(4,\)"),
        (lambda x, w: nn.conv2d(x, w, dilation=3), ShapeError, "at least as large as a window"),
        (lambda x, w: nn.conv2d(x, w, stride=0), InvalidArgument, "stride=0; want an integer or 2"),
        (lambda x, w: nn.conv2d(x, w, padding=(1, 1, 1)), InvalidArgument, "padding="),
        (lambda x, w: nn.conv2d(x, w, padding="full"), InvalidArgument, "same or valid"),
        (lambda x, w: nn.conv2d(x, w, stride=2, padding="same"), InvalidArgument, "stride 1"),
        (lambda x, w: nn.conv1d(x, w), ShapeError, r"\[conv1d\].*want \(N, C, L\)"),
        (lambda x, w: nn.conv_transpose2d(x, w), ShapeError, "results / groups"),
        (lambda x, w: nn.conv_transpose2d(x, w.mT[:2], padding=9), ShapeError, "nothing"),
        (lambda x, w: nn.conv_transpose2d(x, w[:2], None, 1, 0, 1), InvalidArgument, "less than"),
        (lambda x, w: nn.max_pool2d(x, 6), ShapeError, "at least as large"),
        (lambda x, w: nn.max_pool2d(x, 2, padding=2), InvalidArgument, "at most half"),
        (lambda x, w: nn.max_pool2d(x[:, :, :1], (2, 1), 1, (1, 0), (2, 1)), ShapeError, "steps"),
        (lambda x, w: nn.max_pool2d(x, 0), InvalidArgument, "kernel_size=0"),
        (lambda x, w: nn.avg_pool2d(x, 2, divisor_override=0), InvalidArgument, "divisor"),
        (lambda x, w: nn.adaptive_avg_pool2d(x, (1, 2, 3)), InvalidArgument, "output_size"),
        (lambda x, w: nn.adaptive_avg_pool2d(x, 0), InvalidArgument, "output_size"),
        (lambda x, w: nn.layer_norm(x, 4), ShapeError, r"\(\.\.\., 4\)"),
        (lambda x, w: nn.layer_norm(x, ()), InvalidArgument, "at least one"),
        (lambda x, w: nn.layer_norm(x, 5, w[0, 0, 0]), ShapeError, "weight or bias"),
        (lambda x, w: nn.group_norm(x, 3), ShapeError, "multiple"),
        (lambda x, w: nn.Conv2d(3, 4, 2, groups=2), InvalidArgument, "multiples of groups"),
        (lambda x, w: nn.GroupNorm(2, 3), InvalidArgument, "multiple"),
        (lambda x, w: nn.BatchNorm2d(2)(x[0]), ShapeError, r"\(N, 2, H, W\)"),
        (lambda x, w: nn.RMSNorm(()), InvalidArgument, "at least one"),
    ],
)  # fmt: skip
def test_errors(device, call, error, says):
    x, w = pb.ones((1, 2, 5, 5), device=device), pb.ones((4, 2, 3, 3), device=device)
    with pb.default_device(device), pytest.raises(error, match=says):
        call(x, w)


def test_devices_must_agree():
    x = pb.ones((1, 2, 5, 5), device="numpy_ref")
    w = pb.ones((4, 2, 3, 3), device="cpu_c")
    with pytest.raises(DeviceMismatch):
        nn.conv2d(x, w)
    with pytest.raises(DeviceMismatch):
        nn.layer_norm(x, 5, pb.ones(5, device="cpu_c"))


def test_how_layers_are_shown():
    with pb.default_device("numpy_ref"):
        assert repr(nn.Conv2d(2, 4, 3, padding=1, bias=False)) == (
            "Conv2d(2, 4, kernel_size=(3, 3), padding=1, bias=False)"
        )
        assert repr(nn.ConvTranspose2d(2, 4, 2, 2)) == (
            "ConvTranspose2d(2, 4, kernel_size=(2, 2), stride=2)"
        )
        assert "kernel_size=2, stride=2" in repr(nn.MaxPool2d(2))
        assert repr(nn.GroupNorm(2, 4)) == "GroupNorm(2, 4, eps=1e-05)"


def test_forward_mode_through_a_small_network(device):
    """jvp agrees with differences; nothing falls back."""
    with pb.default_device(device):
        generator = pb.random.Generator(3, device=device)
        conv = nn.Conv2d(1, 2, 3, padding=1, generator=generator, dtype=pb.float64)
        x = pb.asarray(sample((1, 1, 4, 4), pb.float64))

        def network(t):
            y = nn.max_pool2d(pb.relu(nn.group_norm(conv(t), 2)), 2)
            return pb.log_softmax(pb.reshape(nn.avg_pool2d(y, 2, 1, 1), (1, -1)))

        pb.testing.check_grad(network, x)
