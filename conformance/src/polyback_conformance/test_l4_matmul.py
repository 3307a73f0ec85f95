"""Level 4: matrix products around tile edges, on every layout and type."""

from __future__ import annotations

import numpy as np
import pytest

from polyback.dtype import DTYPES, DType
from polyback_conformance import values
from polyback_conformance.cases import FLOATS
from polyback_conformance.compare import Array, check_exact, check_rounded, check_sum
from polyback_conformance.lab import Done, Given, Lab
from polyback_conformance.layouts import CONTIGUOUS, OFFSET, inputs_for, outputs_for
from polyback_conformance.reference import matmul_wide

pytestmark = pytest.mark.conformance_level(4)
BY_DTYPE = pytest.mark.parametrize("dtype", DTYPES, ids=str)
REAL = pytest.mark.parametrize("dtype", [d for d in DTYPES if d.kind == "float"], ids=str)
EDGES = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 65)


def claimed(lab: Lab, dtype: DType) -> bool:
    """Is the type claimed? If not, the device must refuse it and write nothing."""
    if lab.claims(4, "matmul", "matmul", dtype):
        return True
    some = values.smooth(dtype, lab.rng("refused"), (4, 4))
    lab.refuses(lambda outs, ins: lab.device.matmul(outs[0], *ins), [((4, 4), dtype)], [some, some])
    return False


def data(lab: Lab, dtype: DType, shape: tuple[int, ...], *key: object) -> Array:
    """Ordinary values; integers over the whole range, so that products wrap."""
    rng = lab.rng("matmul", shape, *key)
    if dtype.is_integer:
        info = np.iinfo(dtype.numpy)
        return rng.integers(info.min, info.max, shape, dtype.numpy, endpoint=True)
    return values.smooth(dtype, rng, shape)


def check(lab: Lab, done: Done, dtype: DType) -> None:
    """Judge a finished product: integers wrap exactly, floats keep K(n)."""
    (got,), (a, b) = done.outs, done.ins
    if dtype.is_integer:
        with np.errstate(all="ignore"):
            check_exact(got, np.matmul(a, b), note=done.note)
        return
    want, magnitude = matmul_wide(a, b, dtype)
    if dtype.compute is not dtype:
        check_rounded(got, want, magnitude, a.shape[-1], dtype, done.note)
        return
    relaxed = 3.0 if dtype.kind == "complex" else 1.0  # a complex product is four real ones
    n = a.shape[-1]
    k = check_sum(got, want, magnitude, n, dtype, done.note, relaxed=relaxed)
    lab.score.saw_k("matmul", dtype.name, k)


def both(lab: Lab, dtype: DType, m: int, k: int, n: int) -> tuple[Array, Array]:
    """Two matrices of ordinary values."""
    return data(lab, dtype, (m, k), "a"), data(lab, dtype, (k, n), "b")


@BY_DTYPE
def test_sizes(lab: Lab, dtype: DType) -> None:
    """Every size around tile edges in each of m, k and n; empty ones too."""
    if not claimed(lab, dtype):
        return
    sizes = {(e, 5, 6) for e in EDGES} | {(6, e, 5) for e in EDGES} | {(5, 6, e) for e in EDGES}
    sizes |= {(e, e, e) for e in EDGES} | {(1, 100, 1), (100, 1, 100), (1, 1, 200), (200, 1, 1)}
    sizes |= {(0, 3, 4), (3, 0, 4), (3, 4, 0), (0, 0, 0), (1, 0, 1)}
    for m, k, n in sorted(sizes):
        check(lab, lab.matmul(*both(lab, dtype, m, k, n)), dtype)


@BY_DTYPE
def test_layouts(lab: Lab, dtype: DType) -> None:
    """Transposed, stepped, flipped and broadcast operands in every pair; every output layout."""
    if not claimed(lab, dtype):
        return
    sources, targets = inputs_for(lab.caps), outputs_for(lab.caps)
    turn = 0
    for left in sources:
        for right in sources:
            turn += 1
            a, b = both(lab, dtype, 5, 7, 9)
            out = targets[turn % len(targets)]
            check(lab, lab.matmul(Given(a, left), Given(b, right), out), dtype)
    for left in sources:
        a, b = both(lab, dtype, 33, 17, 20)
        for out in targets[::2]:
            check(lab, lab.matmul(Given(a, left), Given(b, sources[0]), out), dtype)
            check(lab, lab.matmul(Given(a, sources[0]), Given(b, left), out), dtype)


@BY_DTYPE
def test_batches(lab: Lab, dtype: DType) -> None:
    """Leading axes: several, of size 1, empty, broadcast by stride 0 on either side."""
    if not claimed(lab, dtype):
        return
    sources, targets = inputs_for(lab.caps), outputs_for(lab.caps)
    for lead in ((1,), (3,), (2, 3), (2, 1, 2), (0,), (2, 0)):
        a, b = data(lab, dtype, (*lead, 4, 6)), data(lab, dtype, (*lead, 6, 5))
        for i, source in enumerate(sources):
            out = targets[i % len(targets)]
            check(lab, lab.matmul(Given(a, source), Given(b, CONTIGUOUS), out), dtype)
            check(lab, lab.matmul(Given(a, OFFSET), Given(b, source), CONTIGUOUS), dtype)


@FLOATS
def test_many_products(lab: Lab, dtype: DType) -> None:
    """More of them, rows or columns than the 65,535 groups that many devices have along an axis."""
    if not claimed(lab, dtype):
        return
    for left, right in (((70_001, 2, 3), (70_001, 3, 2)), ((70_001, 2), (2, 3)),
                        ((3, 2), (2, 70_001))):  # fmt: skip
        check(lab, lab.matmul(data(lab, dtype, left), data(lab, dtype, right)), dtype)


@REAL
def test_special_values(lab: Lab, dtype: DType) -> None:
    """A NaN spoils its own row or column only; infinities follow the arithmetic; 0 * inf is NaN."""
    if not claimed(lab, dtype):
        return
    for m, k, n in ((5, 7, 6), (33, 40, 37)):
        for value in (np.nan, np.inf, -np.inf):
            a, b = both(lab, dtype, m, k, n)
            a[m // 2, k // 3] = value
            check(lab, lab.matmul(a, b), dtype)
            b[k // 3, n // 2] = 0
            check(lab, lab.matmul(a, b), dtype)
            a, b = both(lab, dtype, m, k, n)
            b[k - 1, n - 1] = value
            check(lab, lab.matmul(a, b), dtype)


@FLOATS
def test_accuracy(lab: Lab, dtype: DType) -> None:
    """K(k) on long sums of several kinds; narrow multiplication (TF32, bfloat16) cannot pass."""
    if not claimed(lab, dtype):
        return
    rng = lab.rng("accuracy")
    for k in (1, 2, 64, 256, 512, 2048):
        plain = rng.uniform(0.5, 1.5, (2, 9, k))
        sizes = 2.0 ** rng.uniform(-12, 12, (2, 9, k))
        kinds = {
            "positive": plain,
            "signed": rng.normal(0, 1, (2, 9, k)),
            "many sizes": rng.normal(0, 1, (2, 9, k)) * sizes,
            "alternating": plain * np.where(np.arange(k) % 2 == 0, 1, -1),
            "near constant": np.full((2, 9, k), 0.1) + 1e-4 * plain,
        }
        for name, (a, b) in kinds.items():
            left, right = a.astype(dtype.numpy), b.T.astype(dtype.numpy)
            done = lab.matmul(left, Given(np.ascontiguousarray(right), CONTIGUOUS))
            done.note = f"{name}, k = {k}\n{done.note}"
            check(lab, done, dtype)


@BY_DTYPE
def test_larger(lab: Lab, dtype: DType) -> None:
    """A product of several tiles and threads, plain and transposed."""
    if not claimed(lab, dtype):
        return
    m, k, n = (150, 131, 167) if dtype.is_floating else (70, 67, 65)
    a, b = both(lab, dtype, m, k, n)
    check(lab, lab.matmul(a, b), dtype)
    if dtype.name == "float32":
        check(lab, lab.matmul(*both(lab, dtype, 401, 513, 390)), dtype)
        check(lab, lab.matmul(*both(lab, dtype, 3, 700, 1025)), dtype)
    if lab.caps.layouts == "strided":
        column = inputs_for(lab.caps)[2]
        check(lab, lab.matmul(Given(a, column), Given(b, column), column), dtype)


@pytest.mark.slow
@FLOATS
def test_sweep(lab: Lab, dtype: DType) -> None:
    """Random sizes up to 300 in each direction."""
    if not claimed(lab, dtype):
        return
    rng = lab.rng("sweep")
    for _ in range(150):
        m, k, n = (int(v) for v in rng.integers(1, 300, 3))
        check(lab, lab.matmul(*both(lab, dtype, m, k, n)), dtype)
