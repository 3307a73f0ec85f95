"""Derivatives of polyback.linalg: first, second and forward, against differences and PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from against_numpy import sample

import polyback as pb
from polyback import linalg

DEVICE = "numpy_ref"  # level 6 of conformance compares the others with it
BOTH = pytest.mark.parametrize("dtype", [pb.float64, pb.complex128], ids=str)


@pytest.fixture(autouse=True)
def _on() -> Iterator[None]:
    with pb.default_device(DEVICE):
        yield


def adjoint(x: pb.Tensor) -> pb.Tensor:
    return pb.conj(x.mT)


def hermitian(x: pb.Tensor) -> pb.Tensor:
    return x + adjoint(x)


def positive(x: pb.Tensor) -> pb.Tensor:
    return x @ adjoint(x) + 2.0 * pb.eye(x.shape[-1], dtype=pb.float64)


def projectors(v: pb.Tensor) -> pb.Tensor:
    """The same for columns of any phase."""
    return v[..., :, None, :] * pb.conj(v)[..., None, :, :]


def rebuilt(x: pb.Tensor) -> pb.Tensor:
    u, s, vh = linalg.svd(x, full_matrices=False)
    return (u * (s**3)[..., None, :]) @ vh


CASES: dict[str, tuple[Any, ...]] = {
    "inv": (linalg.inv, (2, 3, 3)),
    "solve": (linalg.solve, (2, 3, 3), (2, 3, 2)),
    "solve a vector": (linalg.solve, (3, 3), (3,)),
    "solve broadcast": (linalg.solve, (2, 1, 2, 2), (3, 2, 1)),
    "det": (linalg.det, (2, 3, 3)),
    "logabsdet": (lambda x: linalg.slogdet(x).logabsdet, (2, 3, 3)),
    "sign of det": (lambda x: linalg.slogdet(x).sign, (3, 3)),
    "cholesky": (lambda x: linalg.cholesky(positive(x)), (2, 3, 3)),
    "cholesky, upper": (lambda x: linalg.cholesky(positive(x), upper=True), (3, 3)),
    "Q": (lambda x: linalg.qr(x).Q, (2, 3, 3)),
    "Q, tall": (lambda x: linalg.qr(x).Q, (4, 3)),
    "R, tall": (lambda x: linalg.qr(x).R, (4, 3)),
    "Q, wide": (lambda x: linalg.qr(x).Q, (2, 4)),
    "R, wide, complete": (lambda x: linalg.qr(x, mode="complete").R, (2, 4)),
    "svdvals": (linalg.svdvals, (2, 4, 3)),
    "S, full": (lambda x: linalg.svd(x).S, (3, 4)),
    "U": (lambda x: projectors(linalg.svd(x, full_matrices=False).U), (4, 3)),
    "Vh": (lambda x: projectors(adjoint(linalg.svd(x, full_matrices=False).Vh)), (4, 3)),
    "U, wide": (lambda x: projectors(linalg.svd(x).U), (2, 3)),
    "Vh, wide": (lambda x: projectors(adjoint(linalg.svd(x, full_matrices=False).Vh)), (2, 3)),
    "U, S and Vh": (rebuilt, (2, 3, 2)),
    "U, S and Vh, wide": (rebuilt, (2, 4)),
    "eigvalsh": (lambda x: linalg.eigvalsh(hermitian(x)), (2, 3, 3)),
    "eigh": (lambda x: projectors(linalg.eigh(hermitian(x)).eigenvectors), (3, 3)),
    "eigvals": (lambda x: pb.sum(linalg.eigvals(x) ** 3, axis=-1), (2, 3, 3)),
    "eig": (lambda x: projectors(linalg.eig(x).eigenvectors), (3, 3)),
    "pinv": (linalg.pinv, (4, 2)),
    "pinv, wide": (linalg.pinv, (2, 4)),
    "pinv, low rank": (lambda x, y: linalg.pinv(x @ y), (3, 2), (2, 4)),
    "norm": (linalg.matrix_norm, (2, 3, 2)),
    "norm nuc": (lambda x: linalg.matrix_norm(x, ord="nuc"), (3, 2)),
    "norm 2": (lambda x: linalg.matrix_norm(x, ord=2), (3, 2)),
    "norm 1": (lambda x: linalg.matrix_norm(x, ord=1), (3, 2)),
    "norm -inf": (lambda x: linalg.matrix_norm(x, ord=-math.inf), (3, 2)),
    "vector norm": (lambda x: linalg.vector_norm(x, axis=-1), (3, 2)),
    "vector norm 3": (lambda x: linalg.vector_norm(x, ord=3), (3, 2)),
    "vector norm -2": (lambda x: linalg.vector_norm(x, ord=-2), (3, 2)),
    "vector norm inf": (lambda x: linalg.vector_norm(x, ord=math.inf), (3, 2)),
    "power": (lambda x: linalg.matrix_power(x, 5), (2, 2, 2)),
    "power -3": (lambda x: linalg.matrix_power(x, -3), (2, 2)),
    "cross": (lambda x, y: linalg.cross(x, y), (2, 3), (3,)),
    "trace": (lambda x: linalg.trace(x, offset=1) ** 2, (2, 3)),
    "diagonal": (lambda x: linalg.diagonal(x, offset=-1) ** 2, (3, 2)),
}


@BOTH
@pytest.mark.parametrize("name", CASES)
def test_derivatives_first_and_second(name: str, dtype: Any) -> None:
    function, *shapes = CASES[name]
    inputs = [pb.asarray(sample(s, dtype, k)) for k, s in enumerate(shapes)]
    pb.testing.check_grad(function, *inputs, atol=1e-4)
    y = function(*inputs)
    weight = y * 0.0 + (1.5 - 0.5j if y.dtype is pb.complex128 else 1.5)
    for k in range(len(inputs)):
        pb.testing.check_grad(
            lambda *xs, k=k: pb.vjp(function, *xs)[1](weight)[k], *inputs, atol=1e-3
        )


# --- where it gets difficult --------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("rank", [2, 1, 0])
def test_the_determinant_of_a_singular_matrix_has_its_cofactors_as_gradient(
    rank: int, dtype: Any
) -> None:
    diagonal = np.array([2.0, 3.0, 4.0]) * (np.arange(3) < rank)
    u = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1.0]])  # a product that is singular to the last bit
    x = pb.asarray((u * diagonal).astype(dtype.numpy))
    assert linalg.det(x).item() == 0
    pb.testing.check_grad(linalg.det, x)
    regular = pb.stack([x, pb.asarray(sample((3, 3), dtype))])
    pb.testing.check_grad(linalg.det, regular)


def test_norms_at_0_have_gradient_0() -> None:
    zero = pb.zeros((2, 2))
    for f in (linalg.vector_norm, linalg.matrix_norm, lambda x: linalg.vector_norm(x, ord=3)):
        assert pb.grad(f)(zero).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_the_sign_of_a_real_determinant_is_constant() -> None:
    x = pb.asarray(sample((3, 3), pb.float64))
    assert not pb.grad(lambda x: linalg.slogdet(x).sign)(x).numpy().any()


@pytest.mark.parametrize(
    ("f", "says"),
    [
        (lambda x: linalg.svd(x).U, r"\[svd\] .*want full_matrices=False"),
        (lambda x: linalg.svd(x.mT).Vh, r"\[svd\] .*want full_matrices=False"),
        (lambda x: linalg.qr(x, mode="complete").Q, r"\[qr\] mode='complete' .*want 'reduced'"),
        (lambda x: linalg.qr(x, mode="complete").R, r"\[qr\] mode='complete' .*want 'reduced'"),
    ],
)
def test_what_has_no_derivative_says_so(f: Callable[[pb.Tensor], pb.Tensor], says: str) -> None:
    x = pb.asarray(sample((4, 3), pb.float64))
    with pytest.raises(pb.GradientError, match=says):
        pb.grad(lambda x: pb.sum(f(x)))(x)
    with pytest.raises(pb.GradientError, match=says):
        pb.jvp(f, (x,), (x,))
    assert f(x.detach()).node is None


def test_a_factor_that_was_written_to_is_an_error() -> None:
    x = pb.asarray(sample((3, 3), pb.float64), requires_grad=True)
    u, s, _ = linalg.svd(x)
    with pb.no_grad():
        u[...] = 0.0
    with pytest.raises(pb.GradientError, match="svd needs was modified in place"):
        pb.sum(s).backward()


def test_the_graph_of_a_decomposition_is_freed_at_once() -> None:
    import gc
    import weakref

    x = pb.asarray(sample((3, 3), pb.float64), requires_grad=True)
    y = pb.sum(linalg.svd(x).S * 2.0)
    node = weakref.ref(y.node)
    gc.disable()
    try:
        pb.vjp(lambda x: pb.sum(linalg.svd(x).S), x)[1](pb.asarray(1.0, dtype=pb.float64))
        del y
        assert node() is None
    finally:
        gc.enable()
