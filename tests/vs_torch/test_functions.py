"""Gradients of complex numbers, linalg, fft and einsum against PyTorch's, in double precision."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from against_numpy import sample
from against_torch import COMPARED

import polyback as pb
from polyback import linalg

BOTH = pytest.mark.parametrize("dtype", [pb.float64, pb.complex128], ids=str)


@pytest.fixture(autouse=True)
def _on(device: str) -> Iterator[None]:
    with pb.default_device(device):
        yield


def adjoint(x: pb.Tensor) -> pb.Tensor:
    return pb.conj(x.mT)


def compare(mine: Any, theirs: Any, arrays: list[Any]) -> None:
    """Results (unless only their magnitude is defined) and gradients for one random cotangent."""
    leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, pull = pb.vjp(mine, *(pb.asarray(a) for a in arrays))
    expected = theirs(*leaves)
    np.testing.assert_allclose(y.numpy(), expected.detach().resolve_conj().numpy(), atol=1e-10)
    weight = sample(y.shape, y.dtype, 9)
    expected.backward(torch.tensor(weight))
    for got, leaf in zip(pull(pb.asarray(weight)), leaves, strict=True):
        want = leaf.grad.resolve_conj().numpy()
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-9, atol=1e-9)


FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "inv": (linalg.inv, lambda x: torch.linalg.inv(x), (2, 3, 3)),
    "solve": (linalg.solve, lambda x, y: torch.linalg.solve(x, y), (2, 3, 3), (2, 3, 2)),
    "det": (linalg.det, lambda x: torch.linalg.det(x), (2, 3, 3)),
    "slogdet": (lambda x: linalg.slogdet(x)[1], lambda x: torch.linalg.slogdet(x)[1], (3, 3)),
    "cholesky": (
        lambda x: linalg.cholesky(x @ adjoint(x)),
        lambda x: torch.linalg.cholesky(x @ x.mH), (2, 3, 3)),
    "qr": (lambda x: pb.abs(linalg.qr(x).R), lambda x: abs(torch.linalg.qr(x).R), (4, 3)),
    "svdvals": (linalg.svdvals, lambda x: torch.linalg.svdvals(x), (2, 4, 3)),
    "svd": (
        lambda x: pb.abs(linalg.svd(x, full_matrices=False).U),
        lambda x: abs(torch.linalg.svd(x, full_matrices=False).U), (4, 3)),
    "eigh": (
        lambda x: pb.abs(linalg.eigh(x).eigenvectors),
        lambda x: abs(torch.linalg.eigh(x).eigenvectors), (3, 3)),
    "eigvalsh": (linalg.eigvalsh, lambda x: torch.linalg.eigvalsh(x), (2, 3, 3)),
    "eig": (
        lambda x: pb.sum(pb.abs(linalg.eig(x).eigenvectors) ** 3, axis=-1),
        lambda x: (abs(torch.linalg.eig(x).eigenvectors) ** 3).sum(-1), (3, 3)),
    "pinv": (linalg.pinv, lambda x: torch.linalg.pinv(x), (4, 3)),
    "norm": (linalg.matrix_norm, lambda x: torch.linalg.matrix_norm(x), (2, 3, 2)),
    "power": (
        lambda x: linalg.matrix_power(x, -3), lambda x: torch.linalg.matrix_power(x, -3), (3, 3)),
    "abs and angle": (
        lambda x: pb.abs(x) * pb.sign(x) ** 2, lambda x: abs(x) * x.sgn() ** 2, (5,)),
    "holomorphic": (
        lambda x: pb.tanh(x) / pb.exp(x * x), lambda x: torch.tanh(x) / torch.exp(x * x), (5,)),
    "prod": (lambda x: pb.prod(x, axis=0), lambda x: torch.prod(x, 0), (3, 2)),
}  # fmt: skip


@BOTH
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str, dtype: Any) -> None:
    mine, theirs, *shapes = FUNCTIONS[name]
    arrays = [sample(s, dtype, k) for k, s in enumerate(shapes)]
    if name.startswith("eig") and "h" in name:
        arrays = [a + a.mT.conj() for a in arrays]
    compare(mine, theirs, arrays)
    COMPARED[name] += 1


@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"])
@pytest.mark.parametrize("norm", ["backward", "ortho", "forward"])
def test_transforms(name: str, norm: str) -> None:
    for n in (None, 3, 6):
        x = sample((2, 4), pb.float64 if name in ("rfft", "ihfft") else pb.complex128)
        options = {"n": n, "norm": norm}
        mine, theirs = getattr(pb.fft, name), getattr(torch.fft, name)
        compare(partial(mine, **options), partial(theirs, **options), [x])
        COMPARED[name] += 1


@BOTH
@pytest.mark.parametrize("equation", ["ij,jk,kl->li", "iij,j->i", "...i,...i->...", "ij,kl->jk"])
def test_einsum(equation: str, dtype: Any) -> None:
    shapes = [
        (3,) * (len(part) if "." not in part else 3) for part in equation.split("->")[0].split(",")
    ]
    arrays = [sample(s, dtype, k) for k, s in enumerate(shapes)]
    compare(lambda *xs: pb.einsum(equation, *xs), lambda *xs: torch.einsum(equation, *xs), arrays)
    COMPARED["einsum"] += 1
