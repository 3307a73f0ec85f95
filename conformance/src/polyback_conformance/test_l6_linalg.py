"""Level 6: linear algebra, Fourier transforms and Einstein sums on the device.

Decompositions and transforms run on the host for every device, so their results are the
reference's to the bit; what they are combined with, and their gradients, run on the device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from polyback.dtype import DType, complex64, float32, float64
from polyback_conformance.compare import Mismatch, check_exact, check_sum
from polyback_conformance.front import Front

pytestmark = pytest.mark.conformance_level(6)

Case = Callable[[Any, Any], Any]


def matrices(front: Front, name: str, dtype: DType) -> Any:
    """Two well-conditioned 4 x 4 matrices, exact in float32."""
    rng = front.lab.rng("linalg", name)
    x = rng.normal(0, 1, (2, 4, 4)) + 4 * np.eye(4)
    if dtype.kind == "complex":
        x = x + 1j * rng.normal(0, 1, (2, 4, 4))
    return x.astype(np.complex64 if dtype.kind == "complex" else np.float32).astype(dtype.numpy)


def hermitian(pb: Any, x: Any) -> Any:
    """The matrices with their adjoints."""
    return x + pb.conj(x.mT)


def positive(pb: Any, x: Any) -> Any:
    """Hermitian and positive definite."""
    return x @ pb.conj(x.mT)


ON_HOST: dict[str, Case] = {
    "inv": lambda pb, x: pb.linalg.inv(x),
    "solve": lambda pb, x: pb.linalg.solve(x, x[:, ::-1, :2]),
    "det": lambda pb, x: pb.linalg.det(x),
    "logabsdet": lambda pb, x: pb.linalg.slogdet(x).logabsdet,
    "svdvals": lambda pb, x: pb.linalg.svdvals(x[:, :3]),
    "svd": lambda pb, x: pb.linalg.svd(x[:, :, 1:]).U,
    "qr": lambda pb, x: pb.linalg.qr(x.mT).R,
    "eigvalsh": lambda pb, x: pb.linalg.eigvalsh(x),
    "pinv": lambda pb, x: pb.linalg.pinv(x[:, 1:]),
}
OF_COMPLEX: dict[str, Case] = {
    "eigvals": lambda pb, x: pb.linalg.eigvals(x),
    "fft": lambda pb, x: pb.fft.fft(x, n=6),
    "ifftn": lambda pb, x: pb.fft.ifftn(x, axes=(1, 0), norm="ortho"),
    "rfft": lambda pb, x: pb.fft.rfft(pb.real(x), axis=1),
    "irfft": lambda pb, x: pb.fft.irfft(x[::-1], n=5),
}


def same_as_reference(front: Front, name: str, case: Case, dtype: DType) -> None:
    """The same bits, of an array that is not contiguous, with nothing but host work by design."""
    pb, x = front.pb, matrices(front, name, dtype)
    pb.clear_ledger()
    got, want = (
        case(pb, front.tensor(np.swapaxes(x, 1, 2), device=where).mT)
        for where in (front.device, front.reference)
    )
    assert got.device == front.device
    assert got.dtype is want.dtype
    check_exact(got.numpy(), want.numpy(), note=f"{name} of {dtype}")
    entries = [e for e in pb.fallback_ledger() if e.device == front.device]
    if len(entries) != 1 or not entries[0].by_design or not entries[0].nbytes:
        raise Mismatch(f"{name}: want one entry of host work by design in the ledger: {entries}")


@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
@pytest.mark.parametrize("name", sorted(ON_HOST))
def test_host_work(front: Front, name: str, dtype: DType) -> None:
    """Decompositions of real matrices."""
    front.need(dtype)
    same_as_reference(front, name, ON_HOST[name], dtype)


@pytest.mark.parametrize("name", sorted(ON_HOST | OF_COMPLEX))
def test_host_work_on_complex_numbers(front: Front, name: str) -> None:
    """Decompositions of complex matrices, and transforms."""
    front.need(complex64)
    same_as_reference(front, name, (ON_HOST | OF_COMPLEX)[name], complex64)


GRADIENTS: dict[str, Case] = {
    "inv": ON_HOST["inv"],
    "solve": ON_HOST["solve"],
    "logabsdet": ON_HOST["logabsdet"],
    "cholesky": lambda pb, x: pb.linalg.cholesky(positive(pb, x)),
    "Q": lambda pb, x: pb.abs(pb.linalg.qr(x).Q),
    "eigh": lambda pb, x: pb.abs(pb.linalg.eigh(hermitian(pb, x)).eigenvectors),
    "svd": lambda pb, x: pb.abs(pb.linalg.svd(x).U),
    "svdvals": ON_HOST["svdvals"],
    "pinv": ON_HOST["pinv"],
    "norms": lambda pb, x: pb.linalg.matrix_norm(x) * pb.linalg.vector_norm(x, ord=3, axis=(1, 2)),
    "norm 1": lambda pb, x: pb.linalg.matrix_norm(x, ord=1),
    "matrix_power": lambda pb, x: pb.linalg.matrix_power(x * 0.2, 3),
    "cross": lambda pb, x: pb.linalg.cross(x[..., 1:], x[:1, :, :3]),
    "trace": lambda pb, x: pb.linalg.trace(x, offset=-1) ** 2,
    "einsum": lambda pb, x: pb.einsum("bij,bjj,cik->bk", x, x, x) * 0.01,
    "tensordot": lambda pb, x: pb.tensordot(x, x, axes=([0, 2], [0, 1])),
}
OF_COMPLEX_GRADIENTS: dict[str, Case] = {
    "eig": lambda pb, x: pb.abs(pb.linalg.eig(x).eigenvectors),
    "fft": lambda pb, x: pb.abs(pb.fft.fft(x, n=6)),
    "rfftn": lambda pb, x: pb.abs(pb.fft.rfftn(pb.real(x))),
    "irfft": lambda pb, x: pb.fft.irfft(x, n=5, norm="ortho"),
    "vecdot": lambda pb, x: pb.vecdot(x, x[:, ::-1]),
}


def check_gradient(front: Front, name: str, case: Case, dtype: DType) -> None:
    """Single precision on the device against double precision on the reference."""
    pb, x = front.pb, matrices(front, name, dtype)
    wide = np.complex128 if dtype.kind == "complex" else np.float64

    def loss(t: Any) -> Any:
        y = case(pb, t)
        weights = np.linspace(-1, 1, y.size).reshape(y.shape)
        real = pb.real(y * (1 - 0.5j)) if y.dtype.kind == "complex" else y
        return pb.sum(real * pb.asarray(weights, dtype=real.dtype, device=y.device))

    slope = pb.grad(loss)
    got = slope(front.tensor(x)).numpy()
    want = slope(front.tensor(x.astype(wide), device=front.reference)).numpy()
    scale = np.full(got.shape, np.abs(want).max() + 1)
    for mine, theirs in ((got.real, want.real), (got.imag, want.imag)):
        check_sum(mine, theirs, scale, 16, float32, f"gradient of {name}", relaxed=32)


@pytest.mark.parametrize("name", sorted(GRADIENTS))
def test_gradients(front: Front, name: str) -> None:
    """Of real matrices."""
    check_gradient(front, name, GRADIENTS[name], float32)


@pytest.mark.parametrize("name", sorted(GRADIENTS | OF_COMPLEX_GRADIENTS))
def test_gradients_of_complex_numbers(front: Front, name: str) -> None:
    """Of complex matrices."""
    front.need(complex64)
    if "complex64" not in front.lab.caps.matmul:
        pytest.skip("L6: the device has no product of complex64")
    check_gradient(front, name, (GRADIENTS | OF_COMPLEX_GRADIENTS)[name], complex64)
