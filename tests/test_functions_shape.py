"""Shape functions on every device, against NumPy, over strided tensors too."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from against_numpy import same, sample

import polyback as pb

Array = np.ndarray
SHAPES = [(), (1,), (4,), (2, 3), (3, 1, 2), (0, 3), (2, 0), (2, 2, 2, 2)]


def both(device: str, shape: tuple[int, ...], seed: int = 0) -> tuple[pb.Tensor, Array]:
    """A strided tensor (reversed along its first axis) and its NumPy twin."""
    x = sample(shape, pb.int32, seed)
    t = pb.asarray(x, device=device)
    return (t[::-1], x[::-1]) if shape else (t, x)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("axis", [None, 0, -1, (0, -1)])
def test_flip(device: str, shape: tuple[int, ...], axis: object) -> None:
    t, x = both(device, shape)
    if axis is None or len(shape) > (1 if isinstance(axis, tuple) else 0):
        same(pb.flip(t, axis=axis), np.flip(x, axis))


@pytest.mark.parametrize(
    ("shape", "new"),
    [((4,), (2, 2)), ((2, 3), -1), ((2, 3), (3, -1)), ((3, 1, 2), (6,)), ((0, 3), (3, 0)),
     ((0, 3), (-1, 3)), ((), (1, 1)), ((1,), ()), ((2, 2, 2, 2), (4, 4)), ((4,), [4]),
     ((2, 0), -1), ((4,), np.int64(4)), ((2, 3), (np.int8(3), 2))],
)  # fmt: skip
def test_reshape(device: str, shape: tuple[int, ...], new: object) -> None:
    t, x = both(device, shape)
    same(pb.reshape(t, new), np.reshape(x, new))
    same(t.reshape(new), np.reshape(x, new))


def test_reshape_makes_a_view_where_it_can_and_says_so_where_it_must_not(device: str) -> None:
    x = pb.asarray(np.arange(6.0), device=device)
    view, copy = pb.reshape(x, (2, 3)), pb.reshape(x, (2, 3), copy=True)
    x[0] = 9
    assert view[0, 0].item() == 9
    assert copy[0, 0].item() == 0
    assert pb.reshape(x, (3, 2), copy=False).shape == (3, 2)
    with pytest.raises(pb.InvalidArgument, match=r"\[reshape\].*needs a copy"):
        pb.reshape(view.T, 6, copy=False)
    assert pb.reshape(view.T, 6).tolist() == [9.0, 3.0, 1.0, 4.0, 2.0, 5.0]
    minus = pb.reshape(pb.asarray([-0.0], device=device), (1, 1), copy=True)
    same(minus, np.array([[-0.0]], np.float32))


@pytest.mark.parametrize("shape", SHAPES)
def test_permute_dims_and_transposes(device: str, shape: tuple[int, ...]) -> None:
    t, x = both(device, shape)
    order = tuple(np.random.default_rng(0).permutation(len(shape)))
    same(pb.permute_dims(t, order), x.transpose(order))
    same(pb.permute_dims(t, [int(a) - len(shape) for a in order]), x.transpose(order))
    if len(shape) >= 2:
        same(t.mT, np.matrix_transpose(x))
        same(pb.matrix_transpose(t), np.matrix_transpose(x))
    if len(shape) == 2:
        same(t.T, x.T)


@pytest.mark.parametrize(
    ("source", "to"), [(0, -1), (-1, 0), ((0, 1), (-1, -2)), ([2], [0]), (1, 1)]
)
def test_moveaxis(device: str, source: object, to: object) -> None:
    t, x = both(device, (3, 1, 2))
    same(pb.moveaxis(t, source, to), np.moveaxis(x, source, to))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("axis", [0, -1, (0, -1), (0, 1, 2)])
def test_expand_dims_and_squeeze_are_inverse(
    device: str, shape: tuple[int, ...], axis: object
) -> None:
    t, x = both(device, shape)
    if isinstance(axis, tuple) and len(axis) == 3 and not shape:
        return
    wide = pb.expand_dims(t, axis)
    same(wide, np.expand_dims(x, axis))
    same(pb.squeeze(wide, axis), x)


@pytest.mark.parametrize(
    ("shape", "new"),
    [((1,), (3,)), ((3,), (2, 3)), ((2, 1), (4, 2, 5)), ((), (2, 2)), ((1, 3), (0, 3)),
     ((0, 1), (0, 4)), ((2, 3), (2, 3))],
)  # fmt: skip
def test_broadcast_to_copies_nothing(
    device: str, shape: tuple[int, ...], new: tuple[int, ...]
) -> None:
    t, x = both(device, shape)
    got = pb.broadcast_to(t, new)
    same(got, np.broadcast_to(x, new))
    assert got.array.storage is t.array.storage
    again = pb.broadcast_arrays(t, pb.zeros(new, device=device))
    assert [a.shape for a in again] == [new, new]


def test_a_broadcast_tensor_may_be_larger_than_memory(device: str) -> None:
    x = pb.broadcast_to(pb.ones((1, 1), device=device), (2**30, 2**30))
    assert x.size == 2**60
    assert x[5, :: 2**28].tolist() == [1.0] * 4


@pytest.mark.parametrize("axis", [0, 1, -1, None])
@pytest.mark.parametrize("rows", [(2, 3), (1, 1, 4), (0, 2)])
def test_concat(device: str, axis: int | None, rows: tuple[int, ...]) -> None:
    parts = [both(device, (n, 2) if axis in (0, None) else (2, n), n) for n in rows]
    got = pb.concat([t for t, _ in parts], axis=axis)
    same(got, np.concatenate([x for _, x in parts], axis=axis))


def test_concat_and_stack_promote(device: str) -> None:
    a, b = pb.asarray([1], dtype=pb.int8, device=device), pb.asarray([2.5], device=device)
    assert pb.concat([a, b]).dtype is pb.float32
    assert pb.concat([pb.asarray(1, device=device), a], axis=None).tolist() == [1, 1]
    assert pb.stack([a, pb.asarray([True], device=device)]).dtype is pb.int8


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("axis", [0, -1])
def test_stack_and_unstack_are_inverse(device: str, shape: tuple[int, ...], axis: int) -> None:
    pairs = [both(device, shape, seed) for seed in range(3)]
    got = pb.stack([t for t, _ in pairs], axis=axis)
    same(got, np.stack([x for _, x in pairs], axis=axis))
    for part, (_, x) in zip(pb.unstack(got, axis=axis), pairs, strict=True):
        same(part, x)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("shift", "axis"), [(1, None), (-2, 0), (5, -1), ((1, -1), (0, 1)), (2, (0, 1)), ((1, 2), 0)]
)
def test_roll(device: str, shape: tuple[int, ...], shift: object, axis: object) -> None:
    needs = 0 if axis is None else 2 if isinstance(axis, tuple) else 1
    if len(shape) >= needs:
        t, x = both(device, shape)
        same(pb.roll(t, shift, axis=axis), np.roll(x, shift, axis))


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 2)])
@pytest.mark.parametrize("times", [(), (2,), (2, 1), (1, 2, 3), (0,)])
def test_tile(device: str, shape: tuple[int, ...], times: tuple[int, ...]) -> None:
    t, x = both(device, shape)
    same(pb.tile(t, times), np.tile(x, times))


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 2)])
@pytest.mark.parametrize("axis", [None, 0, -1])
@pytest.mark.parametrize("n", [0, 1, 3])
def test_repeat(device: str, shape: tuple[int, ...], axis: int | None, n: int) -> None:
    if shape or axis is None:
        t, x = both(device, shape)
        same(pb.repeat(t, n, axis=axis), np.repeat(x, n, axis))


VIEWS: list[Callable[[pb.Tensor], pb.Tensor]] = [
    lambda t: pb.flip(t), lambda t: t.T, lambda t: pb.reshape(t, -1), lambda t: t[1:, ::2],
    lambda t: pb.expand_dims(t, 1), lambda t: pb.moveaxis(t, 0, 1), lambda t: t[0],
]  # fmt: skip


@pytest.mark.parametrize("view", VIEWS)
def test_views_share_the_buffer_both_ways(
    device: str, view: Callable[[pb.Tensor], pb.Tensor]
) -> None:
    x = pb.zeros((2, 4), device=device)
    part = view(x)
    part[...] = 1
    assert float(pb.sum(x)) == part.size
    x[...] = 2
    assert float(pb.sum(part)) == 2 * part.size


GRADIENTS: list[Callable[[pb.Tensor], pb.Tensor]] = [
    *VIEWS,
    lambda t: pb.concat([t, t * 2, t[:, :0]], axis=1),
    lambda t: pb.stack([t, t * t], axis=1),
    lambda t: pb.roll(t, (1, -1), axis=(0, 1)),
    lambda t: pb.tile(t, (2, 3)),
    lambda t: pb.repeat(t, 3, axis=1),
    lambda t: pb.broadcast_to(t, (3, 2, 4)) * pb.broadcast_to(t[:, :1], (3, 2, 4)),
    lambda t: pb.squeeze(t[:, None, :1], (1, 2)),
    lambda t: pb.unstack(t)[1],
    lambda t: pb.tril(t),
]


@pytest.mark.parametrize("f", GRADIENTS)
def test_gradients_of_shape_functions(device: str, f: Callable[[pb.Tensor], pb.Tensor]) -> None:
    x = pb.asarray(sample((2, 4), pb.float64), device=device)
    pb.testing.check_grad(lambda t: f(t) * f(t), x)
