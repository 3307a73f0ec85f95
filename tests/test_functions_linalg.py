"""Matrix products and softmax on every device, against NumPy in a wider type."""

from __future__ import annotations

import numpy as np
import pytest
from against_numpy import close, same, sample, stored

import polyback as pb
from polyback.dtype import DTYPES, DType

PAIRS = [
    ((2, 3), (3, 4)), ((3,), (3,)), ((3,), (3, 4)), ((2, 3), (3,)), ((5, 2, 3), (3, 4)),
    ((5, 2, 3), (5, 3, 4)), ((5, 1, 2, 3), (4, 3, 2)), ((2, 3), (5, 3, 1)), ((4, 2, 3), (3,)),
    ((3,), (4, 3, 2)), ((1, 1), (1, 1)), ((2, 0), (0, 3)), ((0, 3), (3, 2)), ((0,), (0,)),
    ((3, 0, 2), (2, 4)), ((0, 2, 3), (3, 4)), ((17, 33), (33, 9)),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_matmul_agrees_with_numpy(device: str, a: tuple[int, ...], b: tuple[int, ...]) -> None:
    x, y = sample(a, pb.float32, 1), sample(b, pb.float32, 2)
    s, t = pb.asarray(x, device=device), pb.asarray(y, device=device)
    close(s @ t, x @ y, pb.float32, ulp=64)
    close(pb.matmul(s, t), x @ y, pb.float32, ulp=64)
    strided = pb.flip(s, axis=-1) @ (t[::-1] if len(b) == 1 else pb.flip(t, axis=-2))
    close(strided, x @ y, pb.float32, ulp=64)


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d is not pb.bool], ids=str)
def test_matmul_of_every_numeric_type(device: str, dtype: DType) -> None:
    x, y = sample((3, 5), stored(device, dtype), 1), sample((5, 2), dtype, 2)
    wide = dtype.compute.numpy
    want = (x.astype(wide) @ y.astype(wide)).astype(dtype.numpy)
    got = pb.asarray(x, device=device) @ pb.asarray(y, device=device)
    if dtype.is_integer:
        same(got, want, dtype)
    else:
        close(got, want, dtype)


def test_matmul_of_integers_wraps_and_mixed_types_promote(device: str) -> None:
    x = pb.full((1, 3), 100, dtype=pb.int8, device=device)
    assert (x @ x.T).tolist() == [[(30000 + 128) % 256 - 128]]
    assert (x @ pb.ones((3, 1), device=device)).dtype is pb.float32


def test_a_transposed_product_is_the_product_of_transposes(device: str) -> None:
    x, y = sample((4, 6), pb.float64, 1), sample((6, 3), pb.float64, 2)
    a, b = pb.asarray(x, device=device), pb.asarray(y, device=device)
    close(b.T @ a.T, (x @ y).T, pb.float64)
    close(pb.broadcast_to(a, (2, 4, 6)) @ b, np.broadcast_to(x @ y, (2, 4, 3)), pb.float64)


@pytest.mark.parametrize(("a", "b"), [p for p in PAIRS if 17 not in p[0]])
def test_gradients_of_matmul(device: str, a: tuple[int, ...], b: tuple[int, ...]) -> None:
    x, y = (pb.asarray(sample(s, pb.float64), device=device) for s in (a, b))
    pb.testing.check_grad(pb.matmul, x, y)


def test_second_derivative_of_matmul(device: str) -> None:
    x = pb.asarray(sample((3, 3), pb.float64), device=device)
    pb.testing.check_grad(pb.grad(lambda x: pb.sum(x @ x @ x)), x, atol=1e-4)


@pytest.mark.parametrize(
    ("a", "b", "axis"), [((3,), (3,), -1), ((2, 3), (3,), -1), ((3, 2), (3, 2), 0),
                         ((4, 1, 3), (2, 3), -1), ((0,), (0,), -1), ((2, 3), (2, 1, 3), -1)],
)  # fmt: skip
def test_vecdot(device: str, a: tuple[int, ...], b: tuple[int, ...], axis: int) -> None:
    for dtype in (pb.float32, pb.int8):
        x, y = sample(a, dtype, 1), sample(b, dtype, 2)
        got = pb.vecdot(pb.asarray(x, device=device), pb.asarray(y, device=device), axis=axis)
        close(got, np.vecdot(x, y, axis=axis), dtype)


def test_vecdot_conjugates_the_first_and_sums_halves_in_float32(device: str) -> None:
    half = pb.full(3, 200.0, dtype=pb.float16, device=device)
    assert pb.vecdot(half, half / 100.0).item() == 1200.0
    assert pb.vecdot(half, -half).item() == -np.inf
    stored(device, pb.complex64)
    x = pb.asarray([1 + 2j, 3j], device=device)
    assert pb.vecdot(x, x).item() == 14


@pytest.mark.parametrize(
    ("a", "b", "axes"),
    [((2, 3), (3, 4), 1), ((2, 3), (2, 3), 2), ((2,), (3,), 0),
     ((2, 3, 4), (4, 3, 5), ([1, 2], [1, 0])),
     ((2, 3), (4, 3), ((-1,), (-1,))), ((2, 0), (0, 3), 1), ((), (), 0)],
)  # fmt: skip
def test_tensordot(device: str, a: tuple[int, ...], b: tuple[int, ...], axes: object) -> None:
    x, y = sample(a, pb.float64, 1), sample(b, pb.float64, 2)
    s, t = pb.asarray(x, device=device), pb.asarray(y, device=device)
    close(pb.tensordot(s, t, axes=axes), np.tensordot(x, y, axes), pb.float64)


def test_outer(device: str) -> None:
    x, y = sample((3,), pb.int32), sample((2,), pb.int32, 1)
    same(pb.outer(pb.asarray(x, device=device), pb.asarray(y, device=device)), np.outer(x, y))


# --- softmax ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 2), (1, 1)])
@pytest.mark.parametrize("axis", [0, -1])
def test_softmax_and_its_logarithm(device: str, shape: tuple[int, ...], axis: int) -> None:
    x = sample(shape, pb.float64) * 3
    e = np.exp(x - x.max(axis, keepdims=True))
    want = e / e.sum(axis, keepdims=True)
    t = pb.asarray(x, device=device)
    close(pb.softmax(t, axis=axis), want, pb.float64)
    close(pb.log_softmax(t, axis=axis), np.log(want), pb.float64)
    pb.testing.check_grad(lambda t: pb.softmax(t, axis=axis), t)
    pb.testing.check_grad(lambda t: pb.log_softmax(t, axis=axis), t)


def test_softmax_of_large_numbers_infinities_and_nothing(device: str) -> None:
    x = pb.asarray([[1000.0, 1000.0], [-1000.0, 0.0], [-np.inf, 0.0]], device=device)
    assert pb.softmax(x).tolist() == [[0.5, 0.5], [0.0, 1.0], [0.0, 1.0]]
    assert pb.log_softmax(x).tolist()[1:] == [[-1000.0, 0.0], [-np.inf, 0.0]]
    for shape in ((0,), (2, 0), (0, 2)):
        for f in (pb.softmax, pb.log_softmax):
            assert f(pb.zeros(shape, device=device)).shape == shape
    assert pb.softmax(pb.asarray([0, 0], device=device)).tolist() == [0.5, 0.5]


def test_softmax_of_halves_is_computed_in_float32(device: str) -> None:
    n = 70_000
    assert pb.softmax(pb.zeros(n, dtype=pb.float16, device=device))[0].item() == np.float16(1 / n)
    x = np.linspace(-4, 4, 40).astype(np.float16)
    e = np.exp(x.astype(np.float64))
    got = pb.softmax(pb.asarray(x, device=device))
    np.testing.assert_allclose(got.numpy(), e / e.sum(), rtol=2**-10)
    got = pb.log_softmax(pb.asarray(x, device=device))
    np.testing.assert_allclose(got.numpy(), np.log(e / e.sum()), rtol=2**-10)
