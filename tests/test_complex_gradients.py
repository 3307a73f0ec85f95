"""Gradients of complex numbers: the convention, every row, and the structured functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import polyback as pb
from polyback.scalar import TABLE, Scalar, row_named

ROWS = [
    r for r in TABLE
    if pb.complex128 in r.takes and (r.grad or r.wirtinger) and r.name not in ("where", "cast")
]  # fmt: skip


@pytest.fixture(autouse=True)
def _on(device: str) -> Iterator[None]:
    with pb.default_device(device):
        yield


def draw(*shape: int, seed: int = 0) -> pb.Tensor:
    """Numbers of magnitude 0.3 to 0.9 in the right half plane: away from zeros, poles and cuts."""
    rng = np.random.default_rng(seed)
    radius, angle = rng.uniform(0.3, 0.9, shape), rng.uniform(-1.3, 1.3, shape)
    return pb.asarray(radius * np.exp(1j * angle))


# --- the convention -----------------------------------------------------------------------------


def test_the_gradient_is_that_of_the_parts_put_together() -> None:
    z = pb.asarray([3 + 4j, -2j], requires_grad=True)
    pb.sum(pb.real(z) * 2.0 + pb.imag(z) * 5.0).backward()
    assert z.grad is not None
    assert z.grad.dtype is pb.complex64
    assert z.grad.tolist() == [2 + 5j, 2 + 5j]
    assert pb.grad(lambda z: pb.sum(pb.abs(z) ** 2))(z.detach()).tolist() == [6 + 8j, -4j]


def test_a_holomorphic_function_has_the_conjugate_of_its_derivative() -> None:
    z, w = draw(3), draw(3, seed=1)
    _, pull = pb.vjp(lambda z: z * z * z, z)
    np.testing.assert_allclose(pull(w)[0].numpy(), w.numpy() * (3 * z.numpy() ** 2).conj())
    _, push = pb.jvp(lambda z: z * z * z, (z,), (w,))
    np.testing.assert_allclose(push.numpy(), w.numpy() * 3 * z.numpy() ** 2)


def test_steps_along_minus_the_gradient_go_down() -> None:
    target = draw(4)
    z = pb.zeros_like(target)
    for _ in range(60):
        z = z - 0.1 * pb.grad(lambda z: pb.sum(pb.abs(z - target) ** 2))(z)
    np.testing.assert_allclose(z.numpy(), target.numpy(), atol=1e-5)


def test_a_complex_loss_is_an_error_that_says_what_to_do() -> None:
    z = pb.asarray([1j], requires_grad=True)
    with pytest.raises(pb.GradientError, match=r"\[grad\] the function gave complex64.*abs"):
        pb.grad(pb.sum)(z)
    with pytest.raises(pb.GradientError, match=r"\[backward\] got complex64; want a real"):
        pb.sum(z).backward()
    pb.sum(z).backward(pb.asarray(1 + 1j))
    assert z.grad is not None
    assert z.grad.tolist() == [1 + 1j]


def test_real_cotangents_and_tangents_of_complex_numbers_become_complex() -> None:
    z = pb.asarray([1 + 2j, 3j], requires_grad=True)
    pb.conj(z * z).backward(pb.ones(2))
    assert z.grad is not None
    assert z.grad.tolist() == [2 - 4j, -6j]
    assert pb.vjp(pb.conj, z.detach())[1](pb.ones(2))[0].tolist() == [1, 1]
    assert pb.jvp(pb.conj, (z.detach(),), (pb.ones(2),))[1].tolist() == [1, 1]
    with pytest.raises(pb.DTypeError, match="cotangent of type complex64 for float32; want real"):
        pb.abs(z).backward(pb.asarray([1j, 1j]))


def test_a_real_operand_gets_a_real_gradient() -> None:
    x, z = pb.asarray([1.0, 2.0], requires_grad=True), pb.asarray([2 + 3j, 1j])
    pb.sum(pb.imag(x * z)).backward()
    assert x.grad is not None
    assert x.grad.dtype is pb.float32
    assert x.grad.tolist() == [3.0, 1.0]
    y = pb.asarray([1.0, 2.0], dtype=pb.float64)
    pb.testing.check_grad(lambda x, z: pb.exp(1j * x) * z, y, draw(2))
    pb.testing.check_grad(lambda x, z: pb.concat([x, z]) ** 2, y, draw(2))
    pb.testing.check_grad(lambda x, z: x @ z, y, draw(2))


def test_magnitude_and_direction_at_0_have_gradient_0() -> None:
    zero = pb.asarray([0j, 3 + 4j])
    assert pb.grad(lambda z: pb.sum(pb.abs(z)))(zero).tolist() == [0, np.complex64(0.6 + 0.8j)]
    assert pb.grad(lambda z: pb.sum(pb.real(pb.sign(z))))(zero)[0].item() == 0


def test_real_rows_are_untouched_by_complex_rules() -> None:
    """No conjugation is written into real gradients: the graph has the same operations."""
    from polyback.frontend.autograd import subgraph

    def names(dtype: Any) -> list[str]:
        x = pb.ones(2, dtype=dtype, requires_grad=True)
        g = pb.vjp(lambda x: pb.exp(x) * x, x)[1](pb.ones(2, dtype=dtype))[0]
        return [node.op.name for node in subgraph([g], set())[0]]

    assert "conj" not in names(pb.float32)
    assert "conj" in names(pb.complex64)


# --- every row ----------------------------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_the_rules_of_a_row_are_its_derivatives(row: Scalar) -> None:
    xs = [draw(4, seed=k) for k in range(row.arity)]
    pb.testing.check_grad(row, *xs)
    weight = row(*xs) * 0.0 + (1.5 if row.gives == "real" else 1.5 - 0.5j)
    for k in range(row.arity):
        pb.testing.check_grad(lambda *a, k=k: pb.vjp(row, *a)[1](weight)[k], *xs, atol=1e-4)


@pytest.mark.parametrize("name", ["multiply", "divide", "pow", "subtract"])
def test_a_number_as_either_operand(name: str) -> None:
    row, z = row_named(name), draw(3)
    x = pb.asarray([0.5, 1.5], dtype=pb.float64)
    for number in (1.5, 2, 0.5 - 1j):
        pb.testing.check_grad(lambda z, n=number: row(z, n), z)
        pb.testing.check_grad(lambda z, n=number: row(n, z), z)
    pb.testing.check_grad(lambda x: row(x, 0.5 - 1j), x)


def test_where_sends_the_gradient_to_the_arm_that_was_taken() -> None:
    c = pb.asarray([True, False, True])
    pb.testing.check_grad(lambda a, b: pb.where(c, a * a, b), draw(3), draw(3, seed=1))
    pb.testing.check_grad(lambda a: pb.where(c, a, 0.5j), draw(3))


def test_logarithms_of_powers_of_0_stay_finite() -> None:
    zero = pb.asarray([0j], dtype=pb.complex128)
    for n, want in ((1, 1.0), (2, 0.0), (3, 0.0)):
        assert pb.grad(lambda z, n=n: pb.sum(pb.real(z**n)))(zero).item() == want


# --- structured functions -----------------------------------------------------------------------


def assigned(x: pb.Tensor, v: pb.Tensor) -> pb.Tensor:
    y = x * 2j
    y[0, 1:] = v
    return y * y


CASES: dict[str, tuple[Any, ...]] = {
    "matmul": (lambda a, b: a @ b, (2, 3), (3, 4)),
    "matmul of batches": (lambda a, b: a @ b, (2, 1, 2, 3), (3, 3, 1)),
    "matmul matrix by vector": (lambda a, b: a @ b, (2, 3), (3,)),
    "matmul with the conjugate": (lambda a: a @ pb.conj(a).mT, (2, 3)),
    "vecdot": (pb.vecdot, (2, 3), (2, 3)),
    "outer": (pb.outer, (3,), (2,)),
    "tensordot": (lambda a, b: pb.tensordot(a, b, axes=1), (2, 3), (3, 2)),
    "sum": (lambda x: pb.sum(x, axis=0) ** 2, (2, 3)),
    "prod": (lambda x: pb.prod(x, axis=1), (2, 3)),
    "mean": (lambda x: pb.mean(x, axis=(0, 2)) ** 3, (2, 3, 2)),
    "var": (lambda x: pb.var(x, axis=0, correction=1), (3, 2)),
    "std": (lambda x: pb.std(x, axis=1), (2, 3)),
    "reshape of a transpose": (lambda x: pb.reshape(x.mT, (6,)) ** 2, (2, 3)),
    "broadcast_to": (lambda x: pb.broadcast_to(x, (4, 2, 3)) ** 2, (2, 3)),
    "flip, roll, tile": (lambda x: pb.tile(pb.roll(pb.flip(x), 1), (2, 1)) ** 2, (2, 3)),
    "concat, stack": (lambda a, b: pb.stack([pb.concat([a, b])] * 2) ** 2, (2,), (3,)),
    "tril": (lambda x: pb.tril(x) ** 2, (3, 3)),
    "index": (lambda x: x[1:, ::-2] * pb.conj(x[0, 0]), (3, 5)),
    "index by a tensor": (lambda x: x[pb.asarray([2, 0, 2])] ** 2, (3, 2)),
    "index by a mask": (lambda x: x[pb.real(x) > 0.3] ** 2, (3, 4)),
    "take_along_axis": (
        lambda x: pb.take_along_axis(x, pb.asarray([[1, 1], [0, 2]]), axis=1) ** 2, (2, 3)),
    "assignment": (assigned, (2, 3), (2,)),
    "real part and back": (lambda x: pb.astype(pb.real(x), pb.complex128) * x, (3,)),
    "to complex and back": (lambda x: pb.imag(pb.exp(pb.astype(pb.abs(x), x.dtype) * 1j)), (3,)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_derivatives_first_and_second(name: str) -> None:
    function, *shapes = CASES[name]
    inputs = [draw(*s, seed=k) for k, s in enumerate(shapes)]
    pb.testing.check_grad(function, *inputs)
    y = function(*inputs)
    weight = y * 0.0 + (1.5 - 0.5j if y.dtype is pb.complex128 else 1.5)
    pb.testing.check_grad(lambda *xs: pb.vjp(function, *xs)[1](weight)[0], *inputs, atol=1e-4)


def test_products_with_zeros() -> None:
    x = pb.asarray([[1 + 1j, 0, 2j], [0, 0, 1]], dtype=pb.complex128)
    pb.testing.check_grad(lambda x: pb.prod(x, axis=1), x)


def test_the_check_sees_half_a_gradient() -> None:
    with pytest.raises(pb.GradientError, match=r"\[check_grad\] gradient of input 0"):
        pb.testing.check_grad(lambda z: z * pb.conj(z.detach()), draw(2), forward=False)
    with pytest.raises(pb.GradientError, match=r"\[check_grad\] gradient of input 0"):
        pb.testing.check_grad(lambda z: pb.real(z) + 1j * pb.imag(z.detach()), draw(2))
