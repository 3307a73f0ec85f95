"""Every structured function: first and second derivatives against differences, in both modes.

The rows of the scalar table are checked in test_scalar.py.
"""

from __future__ import annotations

import numpy as np
import pytest

import polyback as pb


def index(*values: int) -> pb.Tensor:
    return pb.asarray(values)


def assigned(x: pb.Tensor, v: pb.Tensor) -> pb.Tensor:
    y = x * 2.0
    y[0, 1:] = v
    return y * y


def masked(x: pb.Tensor, v: pb.Tensor) -> pb.Tensor:
    y = x * 2.0
    y[x > 0.5] = v
    return y * y


CASES = {
    "matmul": (lambda a, b: a @ b, (2, 3), (3, 4)),
    "matmul batch by matrix": (lambda a, b: a @ b, (2, 2, 3), (3, 4)),
    "matmul broadcast batches": (lambda a, b: a @ b, (2, 1, 2, 3), (3, 3, 4)),
    "matmul matrix by vector": (lambda a, b: a @ b, (2, 3), (3,)),
    "matmul vector by matrix": (lambda a, b: a @ b, (2,), (2, 3)),
    "matmul with itself": (lambda a: a @ a.mT, (2, 3)),
    "vecdot": (pb.vecdot, (2, 3), (2, 3)),
    "outer": (pb.outer, (3,), (2,)),
    "tensordot": (lambda a, b: pb.tensordot(a, b, axes=([1, 0], [0, 2])), (2, 3), (3, 4, 2)),
    "sum": (lambda x: pb.sum(x, axis=0) ** 2, (2, 3)),
    "sum of all": (lambda x: pb.sum(x * x), (2, 3)),
    "prod": (lambda x: pb.prod(x, axis=1), (2, 3)),
    "max": (lambda x: pb.max(x, axis=1) ** 2, (2, 3)),
    "min": (lambda x: pb.min(x) * x, (2, 3)),
    "mean": (lambda x: pb.mean(x, axis=(0, 2)) ** 3, (2, 3, 2)),
    "var": (lambda x: pb.var(x, axis=0, correction=1), (3, 2)),
    "std": (lambda x: pb.std(x, axis=1), (2, 3)),
    "cumulative_sum": (lambda x: pb.cumulative_sum(x, axis=1) ** 2, (2, 4)),
    "cumulative_prod": (lambda x: pb.cumulative_prod(x, axis=0), (4, 2)),
    "cumulative_prod of zeros": (
        lambda x: pb.cumulative_prod(x * pb.asarray([1.0, 0.0, 1.0, 0.0])),
        (4,),
    ),
    "cumulative_prod with an initial element": (
        lambda x: pb.cumulative_prod(x, include_initial=True) ** 2,
        (3,),
    ),
    "logsumexp": (lambda x: pb.logsumexp(x, axis=1), (2, 3)),
    "softmax": (pb.softmax, (2, 3)),
    "softmax of axis 0": (lambda x: pb.softmax(x, axis=0), (2, 3)),
    "log_softmax": (pb.log_softmax, (2, 3)),
    "conv1d": (lambda x, w, b: pb.nn.conv1d(x, w, b, padding=1), (1, 2, 4), (2, 2, 2), (2,)),
    "conv2d": (
        lambda x, w: pb.nn.conv2d(x, w, None, (2, 1), (1, 0), (1, 2), 2),
        (1, 2, 3, 4),
        (2, 1, 2, 2),
    ),
    "conv2d same": (lambda x, w: pb.nn.conv2d(x, w, padding="same") ** 2, (1, 3, 3), (1, 1, 2, 2)),
    "conv_transpose2d": (
        lambda x, w, b: pb.nn.conv_transpose2d(x, w, b, 2, 1, 1),
        (1, 2, 2, 2),
        (2, 1, 3, 2),
        (1,),
    ),
    "max_pool2d": (lambda x: pb.nn.max_pool2d(x, 2, 1, 1) ** 2, (1, 2, 3, 3)),
    "max_pool1d": (lambda x: pb.nn.max_pool1d(x, 3) ** 2, (2, 7)),
    "avg_pool2d": (
        lambda x: pb.nn.avg_pool2d(x, 2, 1, 1, count_include_pad=False) ** 2,
        (1, 1, 3, 3),
    ),
    "adaptive_avg_pool2d": (lambda x: pb.nn.adaptive_avg_pool2d(x, (2, 1)) ** 2, (1, 3, 2)),
    "layer_norm": (lambda x, w, b: pb.nn.layer_norm(x, 3, w, b), (2, 3), (3,), (3,)),
    "layer_norm of two axes": (lambda x: pb.nn.layer_norm(x, (2, 2)) ** 2, (2, 2, 2)),
    "layer_norm's bias": (lambda b: pb.nn.layer_norm(pb.ones((2, 3)), 3, bias=b) ** 2, (3,)),
    "group_norm": (lambda x, w: pb.nn.group_norm(x, 2, w), (1, 4, 2), (4,)),
    "rms_norm": (lambda x, w: pb.nn.rms_norm(x, 3, w), (2, 3), (3,)),
    "reshape of a transpose": (lambda x: pb.reshape(x.mT, (6,)) ** 2, (2, 3)),
    "permute_dims": (lambda x: pb.permute_dims(x, (2, 0, 1)) * x[0, 0, 0], (2, 3, 4)),
    "moveaxis": (lambda x: pb.moveaxis(x, 0, -1) ** 2, (2, 3, 2)),
    "expand_dims, squeeze": (lambda x: pb.squeeze(pb.expand_dims(x, 1), 1) ** 2, (2, 3)),
    "broadcast_to": (lambda x: pb.broadcast_to(x, (4, 2, 3)) ** 2, (2, 3)),
    "flip": (lambda x: pb.flip(x, axis=1) * x, (2, 3)),
    "concat": (lambda a, b: pb.concat([a, b, a], axis=1) ** 2, (2, 3), (2, 1)),
    "stack": (lambda a, b: pb.stack([a, b], axis=1) ** 2, (2, 3), (2, 3)),
    "unstack": (lambda x: pb.unstack(x)[1] * pb.unstack(x)[0], (2, 3)),
    "roll": (lambda x: pb.roll(x, (1, 2), axis=(0, 1)) * x, (2, 3)),
    "tile": (lambda x: pb.tile(x, (2, 2)) ** 2, (2, 3)),
    "repeat": (lambda x: pb.repeat(x, 2, axis=1) ** 2, (2, 3)),
    "tril": (lambda x: pb.tril(x) ** 2, (3, 3)),
    "triu": (lambda x: pb.triu(x, k=1) ** 2, (3, 3)),
    "index": (lambda x: x[1:, ::-2] * x[0, 0], (3, 5)),
    "index with new axes": (lambda x: x[None, ..., 1] ** 2, (3, 5)),
    "index twice": (lambda x: x[1:][0] * x[0], (3, 2)),
    "index by a tensor": (lambda x: x[index(2, 0, 2)] ** 2, (3, 2)),
    "index by a mask": (lambda x: x[x > 0.5] ** 2, (3, 4)),
    "take": (lambda x: pb.take(x, index(2, 0, -1), axis=1) ** 2, (2, 3)),
    "take_along_axis": (
        lambda x: pb.take_along_axis(x, pb.asarray([[1, 1], [0, 2]]), axis=1) ** 2,
        (2, 3),
    ),
    "assignment": (assigned, (2, 3), (2,)),
    "assignment by a mask": (masked, (2, 3), ()),
    "sort": (lambda x: pb.sort(x, axis=0) ** 2, (4, 2)),
    "where": (lambda a, b: pb.where(a > b, a * b, b), (2, 3), (3,)),
    "clip": (lambda x: pb.clip(x, 0.3, 0.6) ** 2, (9,)),
    "gelu": (pb.gelu, (5,)),
    "gelu by tanh": (lambda x: pb.gelu(x, approximate="tanh"), (5,)),
    "silu": (pb.silu, (5,)),
    "elu": (lambda x: pb.elu(x - 0.5), (5,)),
    "softplus": (pb.softplus, (5,)),
    "leaky_relu": (lambda x: pb.leaky_relu(x - 0.5) ** 2, (5,)),
    "astype": (lambda x: pb.astype(pb.astype(x, pb.float64), pb.float64) ** 2, (5,)),
}


@pytest.fixture
def draw(device):
    """Distinct numbers in (0.2, 0.9), far from each other and from the kinks of the cases."""
    rng = np.random.default_rng(0)

    def make(shape: tuple[int, ...]) -> pb.Tensor:
        n = int(np.prod(shape))
        values = (np.arange(n) + 0.5) / n * 0.7 + 0.2
        return pb.asarray(rng.permutation(values).reshape(shape), device=device)

    with pb.default_device(device):
        yield make


@pytest.mark.parametrize("name", CASES)
def test_first_derivatives(draw, name):
    function, *shapes = CASES[name]
    pb.testing.check_grad(function, *(draw(s) for s in shapes))


@pytest.mark.parametrize("name", CASES)
def test_second_derivatives(draw, name):
    function, *shapes = CASES[name]
    inputs = [draw(s) for s in shapes]
    weight = function(*inputs) * 0.0 + 1.5

    def gradient(*tensors: pb.Tensor) -> pb.Tensor:
        return pb.vjp(function, *tensors)[1](weight)[0]

    pb.testing.check_grad(gradient, *inputs)
