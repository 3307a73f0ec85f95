"""Level 6: the frontend on the device, with fallback to the host forbidden.

Gradients are judged on well-conditioned operands: a rule is at most about ten rounded operations,
so its result must be within 64 ULP of the exact derivative, measured on numbers of at least 1/8.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from polyback.dtype import DType, float32, float64
from polyback.scalar import Scalar
from polyback_conformance import gradients
from polyback_conformance.cases import FLOATS
from polyback_conformance.compare import Mismatch, check_exact, check_ulp
from polyback_conformance.front import Front, check_losses

pytestmark = pytest.mark.conformance_level(6)

GRADIENT_LIMIT = 64.0


def row_gradients(
    front: Front, row: Scalar, given: list[Any], dtype: DType, device: str
) -> list[Any]:
    """Gradient of ``sum(row(...))`` for every operand with a rule (None: not differentiable)."""
    rules = row.grad or ()
    spots = [k for k, rule in enumerate(rules) if rule is not None]
    tensors = [front.tensor(x, dtype, device) for x in given]
    found = front.pb.grad(lambda *xs: front.pb.sum(row(*xs)), argnums=spots)(*tensors)
    result: list[Any] = [None] * row.arity
    for spot, tensor in zip(spots, found, strict=True):
        result[spot] = tensor.numpy()
    return result


def check_gradient(got: Any, want: Any, dtype: DType, given: list[Any], note: str) -> float:
    """Within the limit of this module."""
    scale = np.maximum(np.abs(want), 0.125)
    wide = np.asarray(want).astype(np.longdouble if dtype is float64 else np.float64)
    return check_ulp(got, wide, dtype, GRADIENT_LIMIT, given, scale=scale, note=note)


@FLOATS
@pytest.mark.parametrize("row", gradients.differentiable_rows(), ids=str)
def test_row_gradient(front: Front, row: Scalar, dtype: DType) -> None:
    """Against the reference's float64 gradient, and against the closed form."""
    front.need(dtype)
    given = gradients.operands(row, front.lab.rng("gradient", row.name), 60)
    got = row_gradients(front, row, given, dtype, front.device)
    reference = row_gradients(front, row, given, float64, front.reference)
    exact = gradients.first_derivatives(row, given)
    for k, value in enumerate(got):
        if value is None:
            continue
        note = f"gradient of {row.name} for operand {k} in {dtype}"
        check_gradient(value, reference[k], dtype, given, f"{note}; want: {front.reference}")
        if exact[k] is not None:
            check_gradient(value, exact[k], dtype, given, f"{note}; want: the closed form")


@pytest.mark.parametrize("row", gradients.differentiable_rows(), ids=str)
def test_differences(front: Front, row: Scalar) -> None:
    """The gradient check against central differences, on the device, forward mode too."""
    front.need(float64)
    given = gradients.operands(row, front.lab.rng("differences", row.name), 3)
    spots = [k for k, rule in enumerate(row.grad or ()) if rule is not None]
    tensors = [front.tensor(x) for x in given]

    def f(*inputs: Any) -> Any:
        filled = list(tensors)
        for spot, tensor in zip(spots, inputs, strict=True):
            filled[spot] = tensor
        return row(*filled)

    front.pb.testing.check_grad(f, *(tensors[k] for k in spots))


@FLOATS
@pytest.mark.parametrize("name", sorted(gradients.SECOND))
def test_second_derivative(front: Front, name: str, dtype: DType) -> None:
    """The gradient of the gradient, against the closed form."""
    front.need(dtype)
    row = next(r for r in gradients.differentiable_rows() if r.name == name)
    (x,) = gradients.operands(row, front.lab.rng("second", name), 40)
    pb = front.pb
    first = pb.grad(lambda t: pb.sum(row(t)))
    got = pb.grad(lambda t: pb.sum(first(t)))(front.tensor(x, dtype)).numpy()
    check_gradient(got, gradients.SECOND[name](x), dtype, [x], f"second derivative of {name}")


STRUCTURED: dict[str, Callable[[Any, Any], Any]] = {
    "matmul": lambda pb, x: x @ pb.permute_dims(x, (1, 0)),
    "sum": lambda pb, x: pb.sum(x, axis=0),
    "mean": lambda pb, x: pb.mean(x, axis=1, keepdims=True),
    "var": lambda pb, x: pb.var(x, axis=1),
    "max": lambda pb, x: pb.max(x, axis=1),
    "min": lambda pb, x: pb.min(x, axis=0),
    "prod": lambda pb, x: pb.prod(x, axis=1),
    "softmax": lambda pb, x: pb.softmax(x, axis=1),
    "log_softmax": lambda pb, x: pb.log_softmax(x, axis=1),
    "slice": lambda pb, x: x[1:, ::2] * 2.0,
    "flip": lambda pb, x: pb.flip(x, axis=1) * x,
    "broadcast": lambda pb, x: x[:1] * x,
    "concat": lambda pb, x: pb.concat([x, x * x], axis=0),
    "take": lambda pb, x: pb.take(x, pb.asarray([2, 0, 2], device=x.device), axis=0),
    "where": lambda pb, x: pb.where(x > 0.0, x * x, -x),
    "reshape": lambda pb, x: pb.reshape(x, (-1,)) * 3.0,
}


@pytest.mark.parametrize("name", sorted(STRUCTURED))
def test_structured_gradient(front: Front, name: str) -> None:
    """Reductions, products, movement."""
    x = front.lab.rng("structured").normal(0, 1, (4, 6))
    front.check_gradients(STRUCTURED[name], x, name)


# --- random numbers -------------------------------------------------------------------------------

DRAWS: dict[str, Callable[[Any], Any]] = {
    "uniform": lambda g: g.uniform((37, 11)),
    "uniform range": lambda g: g.uniform(1000, -3.0, 5.0),
    "uniform float64": lambda g: g.uniform(501, dtype="float64"),
    "integers": lambda g: g.integers(-5, 1000, (400,)),
    "integers wide": lambda g: g.integers(2**32, None, 100),
    "integers int32": lambda g: g.integers(0, 7, 333, dtype="int32"),
    "permutation": lambda g: g.permutation(257),
    "bernoulli": lambda g: g.bernoulli(0.3, (1001,)),
}


@pytest.mark.parametrize("name", sorted(DRAWS))
def test_random_bits(front: Front, name: str) -> None:
    """Bit-identical to the reference, draw after draw."""
    if "float64" in name:
        front.need(float64)
    if ("integers" in name or name == "permutation") and "uint64" not in front.lab.caps.storage:
        pytest.skip("L6: the device has no uint64")
    make = front.pb.random.Generator
    mine, theirs = make(2024, device=front.device), make(2024, device=front.reference)
    for turn in range(3):
        got, want = DRAWS[name](mine).numpy(), DRAWS[name](theirs).numpy()
        check_exact(got, want, note=f"{name}, draw {turn + 1} of seed 2024")


@FLOATS
def test_random_normals(front: Front, dtype: DType) -> None:
    """Within 2 ULP of the reference (of numbers of at least 1/8)."""
    front.need(dtype)
    make = front.pb.random.Generator
    draws = [
        make(7, device=where).normal((1001,), dtype=dtype).numpy()
        for where in (front.device, front.reference)
    ]
    scale = np.maximum(np.abs(draws[1].astype(np.float64)), 0.125)
    error = np.abs(draws[0].astype(np.float64) - draws[1]) / (scale * np.finfo(dtype.numpy).eps)
    if not bool(np.all(error <= 2.0)):
        raise Mismatch(f"normals differ by {error.max()} ULP at {int(np.argmax(error))}; limit 2")


# --- training -------------------------------------------------------------------------------------


def train(front: Front, device: str, dtype: DType, adam: bool, steps: int = 30) -> list[float]:
    """The losses of a small network with every layer that has state or random numbers.

    No bias in front of the batch norm: where all of a batch passes the ReLU its gradient is zero
    but for rounding, and Adam would make whole steps of that rounding.
    """
    pb = front.pb
    nn, generator = pb.nn, pb.random.Generator(11, device=device)
    options = {"device": device, "dtype": dtype}
    model = nn.Sequential(
        nn.Flatten(),
        nn.Linear(20, 24, generator=generator, **options),
        nn.LayerNorm(24, **options),
        nn.ReLU(),
        nn.Residual(
            nn.Sequential(nn.Linear(24, 24, bias=False, generator=generator, **options), nn.ReLU())
        ),
        nn.BatchNorm1d(24, **options),
        nn.Dropout(0.1, generator=pb.random.Generator(5, device=device)),
        nn.Linear(24, 3, generator=generator, **options),
    )
    parameters = list(model.parameters())
    optimizer = (
        pb.optim.Adam(parameters, lr=5e-3) if adam
        else pb.optim.SGD(parameters, lr=0.05, momentum=0.9)
    )  # fmt: skip
    rng = np.random.default_rng(3)
    x = rng.normal(0, 1, (64, 4, 5))
    labels = (x.reshape(64, 20) @ rng.normal(0, 1, (20, 3))).argmax(1)
    return front.train(model, optimizer, x, labels, device, dtype, steps)


@pytest.mark.parametrize("adam", [False, True], ids=["sgd", "adam"])
@FLOATS
def test_training(front: Front, dtype: DType, adam: bool) -> None:
    """Thirty steps: the losses are the reference's, and they fall."""
    front.need(dtype)
    got = train(front, front.device, dtype, adam)
    want = train(front, front.reference, dtype, adam)
    check_losses(got, want, 1e-5 if dtype is float32 else 1e-12, fall=0.6)


def test_nothing_fell_back(front: Front) -> None:
    """The switch works: with fallback forbidden the ledger of host fallbacks stays empty."""
    front.pb.clear_ledger()
    train(front, front.device, float32, adam=True, steps=2)
    ledger = front.pb.fallback_ledger()
    assert not ledger, f"ran on the host: {ledger}"
