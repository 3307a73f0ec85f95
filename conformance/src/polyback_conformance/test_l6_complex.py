"""Level 6: gradients of complex numbers on the device, where it claims complex arithmetic.

The gradient of a real number L for z = x + iy is dL/dx + i dL/dy; the limits are those of the real
gradients, on the magnitude.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from polyback.dtype import DType, complex64, complex128
from polyback.scalar import TABLE, WHERE, Scalar
from polyback_conformance.compare import Mismatch
from polyback_conformance.front import Front

pytestmark = pytest.mark.conformance_level(6)

LIMIT = 64.0  # ULP of the magnitude, or of 1/8
COMPLEX = pytest.mark.parametrize("dtype", [complex64, complex128], ids=str)
ROWS = pytest.mark.parametrize(
    "row",
    [r for r in TABLE if complex128 in r.takes and (r.grad or r.wirtinger) and r is not WHERE],
    ids=str,
)


def draw(front: Front, name: str, shape: tuple[int, ...]) -> Any:
    """Exact in complex64, away from zeros, poles and branch cuts of the rows."""
    rng = front.lab.rng("complex", name)
    radius, angle = rng.uniform(0.3, 0.9, shape), rng.uniform(-1.2, 1.2, shape)
    return (radius * np.exp(1j * angle)).astype(np.complex64).astype(np.complex128)


def check_near(got: Any, want: Any, scale: Any, dtype: DType, note: str) -> None:
    """Raises Mismatch where the distance is above LIMIT ULP of ``scale``."""
    error = np.abs(got.astype(np.complex128) - want) / (scale * np.finfo(dtype.numpy).eps)
    if not bool(np.all(error <= LIMIT)):
        k = np.unravel_index(int(np.argmax(np.where(np.isnan(error), np.inf, error))), error.shape)
        raise Mismatch(f"{note}: got {got[k]}, want {want[k]}: {error[k]:.3g} ULP, limit {LIMIT}")


def weighted(front: Front, y: Any) -> Any:
    """A real number with a different complex weight for each element of ``y``."""
    pb = front.pb
    angles = np.linspace(0, 2, y.size).reshape(y.shape)
    weights = pb.asarray(np.exp(1j * angles), dtype=complex128, device=y.device)
    return pb.sum(pb.real(y * pb.astype(weights, pb.result_type(y, complex64))))


def claimed(front: Front, row: Scalar, dtype: DType) -> None:
    """Skip where the device does not take the row for this type."""
    front.need(dtype)
    if dtype.name not in front.lab.caps.scalars.get(row.name, frozenset()):
        pytest.skip(f"L6: the device has no {row} of {dtype}")


@COMPLEX
@ROWS
def test_row_gradient(front: Front, row: Scalar, dtype: DType) -> None:
    """Against the reference's complex128 gradient."""
    claimed(front, row, dtype)
    given = [draw(front, f"{row}{k}", (40,)) for k in range(row.arity)]
    spots = list(range(row.arity))

    def found(kind: DType, device: str) -> list[Any]:
        tensors = [front.tensor(x, kind, device) for x in given]
        slopes = front.pb.grad(lambda *xs: weighted(front, row(*xs)), argnums=spots)(*tensors)
        return [g.numpy() for g in slopes]

    wanted = found(complex128, front.reference)
    for k, (got, want) in enumerate(zip(found(dtype, front.device), wanted, strict=True)):
        scale = np.maximum(np.abs(want), 0.125)
        check_near(got, want, scale, dtype, f"gradient of {row} for operand {k} in {dtype}")


@ROWS
def test_differences(front: Front, row: Scalar) -> None:
    """The gradient check against central differences in both parts, forward mode too."""
    claimed(front, row, complex128)
    front.pb.testing.check_grad(
        row, *(front.tensor(draw(front, f"{row}{k}", (3,))) for k in range(row.arity))
    )


STRUCTURED: dict[str, Callable[[Any, Any], Any]] = {
    "matmul": lambda pb, x: x @ pb.permute_dims(x, (1, 0)),
    "product with the conjugate": lambda pb, x: pb.conj(x) @ pb.permute_dims(x, (1, 0)),
    "sum": lambda pb, x: pb.sum(x, axis=0) ** 2,
    "prod": lambda pb, x: pb.prod(x, axis=1),
    "var": lambda pb, x: pb.var(x, axis=1),
    "slice": lambda pb, x: x[1:, ::2] * 2.0j,
    "take": lambda pb, x: pb.take(x, pb.asarray([2, 0, 2], device=x.device), axis=0) ** 2,
    "where": lambda pb, x: pb.where(pb.real(x) > 0.4, x * x, -x),
    "real part": lambda pb, x: pb.exp(1j * pb.imag(x)) * pb.real(x),
}


@pytest.mark.parametrize("name", sorted(STRUCTURED))
def test_structured_gradient(front: Front, name: str) -> None:
    """complex64 on the device against the complex128 reference; also forward mode."""
    front.need(complex64)
    if "complex64" not in front.lab.caps.matmul:
        pytest.skip("L6: the device has no product of complex64")
    pb, body, x = front.pb, STRUCTURED[name], draw(front, name, (4, 6))
    tangent = draw(front, name + " tangent", (4, 6))

    def both(dtype: DType, device: str) -> tuple[Any, Any]:
        t, along = (front.tensor(v, dtype, device) for v in (x, tangent))
        slope = pb.grad(lambda t: weighted(front, body(pb, t)))(t)
        return slope.numpy(), pb.jvp(lambda t: body(pb, t), (t,), (along,))[1].numpy()

    wanted = both(complex128, front.reference)
    for what, got, want in zip(("grad", "jvp"), both(complex64, front.device), wanted, strict=True):
        check_near(got, want, np.abs(want).max() + 1, complex64, f"{what} of {name}")
