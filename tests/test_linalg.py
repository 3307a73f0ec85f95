# ruff: noqa: E501  (one case a line)
"""polyback.linalg: values against NumPy, defining equations, empty stacks, errors, the ledger."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from against_numpy import close, same, sample, stored
from extra_devices import caps, extra_device

import polyback as pb
from polyback import linalg
from polyback.dtype import DType
from polyback.scalar import ABS

FLOATS = (pb.float32, pb.float64, pb.complex64, pb.complex128)
BY_DTYPE = pytest.mark.parametrize("dtype", FLOATS, ids=str)
STACKS = pytest.mark.parametrize("stack", [(), (2,), (0,), (3, 1)], ids=str)


@pytest.fixture(autouse=True)
def _on(device: str) -> Iterator[None]:
    pb.clear_ledger()
    with pb.default_device(device):
        yield
    pb.clear_ledger()


def matrices(*shape: int, dtype: DType = pb.float64, seed: int = 0) -> np.ndarray[Any, Any]:
    """Well-conditioned: the identity, three times, is added."""
    return sample(shape, dtype, seed) + 3 * np.eye(*shape[-2:], dtype=dtype.numpy)


def symmetric(*shape: int, dtype: DType = pb.float64) -> np.ndarray[Any, Any]:
    x = matrices(*shape, dtype=dtype)
    return np.asarray((x + x.mT.conj()) / 2)


def positive(*shape: int, dtype: DType = pb.float64) -> np.ndarray[Any, Any]:
    x = matrices(*shape, dtype=dtype)
    return np.asarray(x @ x.mT.conj())


# --- values -------------------------------------------------------------------------------------

LIKE_NUMPY: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "inv": (linalg.inv, np.linalg.inv),
    "det": (linalg.det, np.linalg.det),
    "slogdet": (linalg.slogdet, np.linalg.slogdet),
    "pinv": (linalg.pinv, np.linalg.pinv),
    "svdvals": (linalg.svdvals, np.linalg.svdvals),
    "matrix_norm": (linalg.matrix_norm, np.linalg.matrix_norm),
    "power": (lambda x: linalg.matrix_power(x, 3), lambda x: np.linalg.matrix_power(x, 3)),
    "power 0": (lambda x: linalg.matrix_power(x, 0), lambda x: np.linalg.matrix_power(x, 0)),
    "power -2": (lambda x: linalg.matrix_power(x, -2), lambda x: np.linalg.matrix_power(x, -2)),
    "trace": (linalg.trace, np.linalg.trace),
    "diagonal": (linalg.diagonal, np.linalg.diagonal),
    "vector_norm": (linalg.vector_norm, np.linalg.vector_norm),
    "matrix_transpose": (linalg.matrix_transpose, np.linalg.matrix_transpose),
}


@pytest.mark.parametrize("name", LIKE_NUMPY)
@BY_DTYPE
@STACKS
def test_values_and_types_are_numpys(name: str, dtype: DType, stack: tuple[int, ...]) -> None:
    f, theirs = LIKE_NUMPY[name]
    x = matrices(*stack, 3, 3, dtype=dtype)
    got, want = f(pb.asarray(x)), theirs(x)
    pairs = zip(got, want, strict=True) if isinstance(got, tuple) else [(got, want)]
    for mine, expected in pairs:
        close(mine, expected, pb.asarray(np.asarray(expected)).dtype, ulp=64)


@BY_DTYPE
@STACKS
def test_decompositions_put_together_give_the_matrix(dtype: DType, stack: tuple[int, ...]) -> None:
    real = ABS.result_dtype(dtype)
    for rows, columns in ((3, 3), (4, 2), (2, 4)):
        x = sample((*stack, rows, columns), dtype)
        t = pb.asarray(x)
        for full in (False, True):
            u, s, vh = linalg.svd(t, full_matrices=full)
            assert (u.dtype, s.dtype, vh.dtype) == (dtype, real, dtype)
            k = min(rows, columns)
            assert (u.shape[-1], vh.shape[-2]) == ((rows, columns) if full else (k, k))
            close((u[..., :k] * s[..., None, :]) @ vh[..., :k, :], x, dtype, ulp=64)
        for mode in ("reduced", "complete"):
            q, r = linalg.qr(t, mode=mode)
            assert q.shape[-1] == (rows if mode == "complete" else min(rows, columns))
            close(q @ r, x, dtype, ulp=64)
            close(
                pb.conj(q.mT) @ q,
                np.broadcast_to(np.eye(q.shape[-1]), (*stack, *q.shape[-1:] * 2)),
                dtype,
            )
            close(pb.tril(r, k=-1), np.zeros(r.shape), dtype)
    x = positive(*stack, 3, 3, dtype=dtype)
    low, up = linalg.cholesky(pb.asarray(x)), linalg.cholesky(pb.asarray(x), upper=True)
    close(low @ pb.conj(low.mT), x, dtype, ulp=64)
    close(pb.conj(up.mT) @ up, x, dtype, ulp=64)
    same(pb.triu(low, k=1), np.zeros(x.shape), dtype)
    x = symmetric(*stack, 3, 3, dtype=dtype)
    w, v = linalg.eigh(pb.asarray(x))
    assert (w.dtype, v.dtype) == (real, dtype)
    close((v * w[..., None, :]) @ pb.conj(v.mT), x, dtype, ulp=64)
    close(linalg.eigvalsh(pb.asarray(x)), np.linalg.eigvalsh(x), real, ulp=64)


@BY_DTYPE
@STACKS
def test_eig(dtype: DType, stack: tuple[int, ...]) -> None:
    x = sample((*stack, 4, 4), dtype)
    w, v = linalg.eig(pb.asarray(x))
    wide = pb.complex64 if dtype.itemsize == 4 or dtype is pb.complex64 else pb.complex128
    assert w.dtype is v.dtype is wide
    close(pb.asarray(x) @ v, (v * w[..., None, :]).numpy(), wide, ulp=64)
    values = np.sort_complex(linalg.eigvals(pb.asarray(x)).numpy())
    np.testing.assert_allclose(values, np.sort_complex(w.numpy()), rtol=1e-4)
    assert linalg.eigvals(pb.asarray(np.diag([2.0, 1.0]))).dtype is pb.complex128


@BY_DTYPE
@pytest.mark.parametrize(
    ("a", "b"),
    [((3, 3), (3,)), ((3, 3), (3, 2)), ((2, 3, 3), (3,)), ((2, 1, 3, 3), (4, 3, 2)),
     ((3, 3), (5, 3, 1)), ((0, 3, 3), (3, 2)), ((0, 0), (0,)), ((2, 3, 3), (2, 3, 0))],
)  # fmt: skip
def test_solve(dtype: DType, a: tuple[int, ...], b: tuple[int, ...]) -> None:
    x, y = matrices(*a, dtype=dtype), sample(b, dtype, 1)
    close(linalg.solve(pb.asarray(x), pb.asarray(y)), np.linalg.solve(x, y), dtype, ulp=64)
    mixed = linalg.solve(pb.asarray(x), pb.asarray(y.astype(np.complex64)))
    assert mixed.dtype is pb.result_type(dtype, pb.complex64)


@pytest.mark.parametrize("f", [linalg.inv, linalg.det, linalg.cholesky, linalg.svdvals,
                               linalg.eigvalsh, linalg.pinv, linalg.matrix_norm], ids=str)  # fmt: skip
def test_halves_are_computed_in_float32_and_integers_as_floats(f: Callable[..., pb.Tensor]) -> None:
    x = positive(3, 3)
    want = f(pb.asarray(x.astype(np.float16).astype(np.float32)))
    got = f(pb.asarray(x, dtype=pb.float16))
    assert got.dtype is pb.float16
    np.testing.assert_array_equal(got.numpy(), want.numpy().astype(np.float16))
    assert f(pb.asarray([[2, 0], [0, 3]])).dtype is pb.float32
    assert linalg.eigvals(pb.asarray(x, dtype=pb.float16)).dtype is pb.complex64


NORMS: list[Any] = [0, 1, 2, 3, 2.5, -1, -2, math.inf, -math.inf]


@BY_DTYPE
@pytest.mark.parametrize("order", NORMS)
def test_norms_of_vectors(dtype: DType, order: float) -> None:
    x = sample((2, 3, 4), dtype)
    real = ABS.result_dtype(dtype)
    for axis in (None, 0, -1, (0, 2)):
        for keepdims in (False, True):
            got = linalg.vector_norm(pb.asarray(x), axis=axis, keepdims=keepdims, ord=order)
            want = np.linalg.vector_norm(x, axis=axis, keepdims=keepdims, ord=order)
            close(got, want, real, ulp=64)


@BY_DTYPE
@pytest.mark.parametrize("order", ["fro", "nuc", None, 1, -1, 2, -2, math.inf, -math.inf])
def test_norms_of_matrices(dtype: DType, order: Any) -> None:
    x = sample((2, 3, 4), dtype)
    for keepdims in (False, True):
        got = linalg.matrix_norm(pb.asarray(x), keepdims=keepdims, ord=order)
        want = np.linalg.matrix_norm(x, keepdims=keepdims, ord=order or "fro")
        close(got, want, ABS.result_dtype(dtype), ulp=64)


@pytest.mark.parametrize("rtol", [None, 0.1, "each"])
def test_rank_and_pseudo_inverse(rtol: Any) -> None:
    u, _, vh = np.linalg.svd(sample((2, 4, 3), pb.float64), full_matrices=False)
    x = u * np.array([[3.0, 1.0, 1e-20], [5.0, 0.2, 0.01]])[:, None, :] @ vh
    limit = np.array([0.5, 1e-3]) if rtol == "each" else rtol
    given = pb.asarray(limit) if rtol == "each" else rtol
    ranks = {None: [2, 3], 0.1: [2, 1], "each": [1, 3]}[rtol]
    got = linalg.matrix_rank(pb.asarray(x), rtol=given)
    assert (got.dtype, got.tolist()) == (pb.int64, ranks)
    close(
        linalg.pinv(pb.asarray(x), rtol=given), np.linalg.pinv(x, rtol=limit), pb.float64, ulp=256
    )
    assert linalg.matrix_rank(pb.zeros((2, 0, 3))).tolist() == [0, 0]
    assert linalg.matrix_rank(pb.zeros((3, 3))).item() == 0


@pytest.mark.parametrize("dtype", [pb.int8, pb.float32, pb.complex64], ids=str)
@pytest.mark.parametrize(
    ("a", "b", "axis"),
    [((3,), (3,), -1), ((2, 3), (3,), -1), ((4, 3, 1), (3, 5), -2), ((0, 3), (1, 3), -1)],
)
def test_cross(dtype: DType, a: tuple[int, ...], b: tuple[int, ...], axis: int) -> None:
    x, y = sample(a, stored(str(pb.get_device()), dtype), 1), sample(b, dtype, 2)
    want = np.moveaxis(np.cross(np.moveaxis(x, axis, -1), np.moveaxis(y, axis, -1)), -1, axis)
    close(linalg.cross(pb.asarray(x), pb.asarray(y), axis=axis), want, dtype)


@pytest.mark.parametrize("offset", [0, 1, -2, 3, 4, -3, 9])
def test_diagonals_are_views_and_traces_their_sums(offset: int) -> None:
    x = sample((2, 3, 4), pb.float32)
    base = pb.asarray(x)
    for mine, theirs in (
        (base, x),
        (base.mT[:, ::-1], np.flip(x.mT, 1)),
        (base[:, 1:, ::2], x[:, 1:, ::2]),
    ):
        got = linalg.diagonal(mine, offset=offset)
        same(got, np.linalg.diagonal(theirs, offset=offset))
        close(linalg.trace(mine, offset=offset), np.linalg.trace(theirs, offset=offset), pb.float32)
    diagonal = linalg.diagonal(base)
    diagonal[...] = 0.0
    assert pb.sum(pb.abs(linalg.diagonal(base))).item() == 0.0
    assert linalg.trace(pb.full((3, 3), 100, dtype=pb.int8)).dtype is pb.int64
    assert linalg.trace(pb.ones((3, 3)), dtype=pb.float64).dtype is pb.float64


def test_a_stack_of_nothing_and_matrices_of_nothing() -> None:
    empty = pb.zeros((2, 0, 0))
    assert linalg.det(empty).tolist() == [1.0, 1.0]
    assert [t.tolist() for t in linalg.slogdet(empty)] == [[1.0, 1.0], [0.0, 0.0]]
    for f in (linalg.inv, linalg.cholesky, linalg.pinv, lambda x: linalg.matrix_power(x, 3)):
        assert f(empty).shape == (2, 0, 0)
    assert [t.shape for t in linalg.eigh(empty)] == [(2, 0), (2, 0, 0)]
    assert [t.shape for t in linalg.eig(empty)] == [(2, 0), (2, 0, 0)]
    flat = pb.zeros((2, 0, 3))
    assert [t.shape for t in linalg.svd(flat)] == [(2, 0, 0), (2, 0), (2, 3, 3)]
    assert [t.shape for t in linalg.svd(flat, full_matrices=False)] == [
        (2, 0, 0),
        (2, 0),
        (2, 0, 3),
    ]
    assert [t.shape for t in linalg.qr(flat)] == [(2, 0, 0), (2, 0, 3)]
    assert linalg.pinv(flat).shape == (2, 3, 0)
    assert linalg.trace(flat).tolist() == [0.0, 0.0]
    assert linalg.matrix_norm(flat).tolist() == [0.0, 0.0]
    assert linalg.vector_norm(flat).item() == 0.0


def test_infinities_and_nan_are_numbers() -> None:
    x = pb.asarray([[np.nan, 1.0], [0.0, np.inf]])
    assert math.isnan(linalg.det(x).item())
    assert np.isnan(linalg.inv(x).numpy()).any()
    assert linalg.slogdet(pb.zeros((2, 2)))[1].item() == -math.inf
    assert linalg.vector_norm(pb.asarray([1.0, np.inf])).item() == math.inf


# --- results as tuples --------------------------------------------------------------------------


def test_results_have_the_names_of_the_standard() -> None:
    x = pb.asarray(positive(2, 2))
    assert linalg.svd(x)._fields == ("U", "S", "Vh")
    assert linalg.qr(x)._fields == ("Q", "R")
    assert linalg.eigh(x)._fields == linalg.eig(x)._fields == ("eigenvalues", "eigenvectors")
    assert linalg.slogdet(x)._fields == ("sign", "logabsdet")


# --- errors -------------------------------------------------------------------------------------

ERRORS: dict[str, tuple[Callable[[], Any], type, str]] = {
    "inv": (lambda: linalg.inv(pb.zeros((2, 2))), pb.LinAlgError,
        r"\[inv\] Singular matrix: got \(2, 2\); want matrices of full rank"),
    "solve": (lambda: linalg.solve(pb.zeros((2, 2)), pb.zeros(2)), pb.LinAlgError,
        r"\[solve\] Singular matrix: got \(2, 2\) and \(2, 1\)"),
    "power": (lambda: linalg.matrix_power(pb.zeros((2, 2)), -1), pb.LinAlgError, r"\[inv\] Singular"),
    "cholesky": (lambda: linalg.cholesky(-pb.eye(2)), pb.LinAlgError,
        r"\[cholesky\] Matrix is not positive definite: got \(2, 2\); want Hermitian"),
    "svd": (lambda: linalg.svd(pb.full((2, 2), math.nan)), pb.LinAlgError, r"\[svd\] SVD did not"),
    "not square": (lambda: linalg.det(pb.zeros((2, 3))), pb.ShapeError,
        r"\[det\] got shape \(2, 3\); want square matrices"),
    "a vector": (lambda: linalg.svd(pb.zeros(3)), pb.ShapeError, r"\[svd\] got shape \(3,\); want mat"),
    "rows": (lambda: linalg.solve(pb.eye(2), pb.zeros(3)), pb.ShapeError, r"\[solve\] .* as many rows"),
    "stacks": (lambda: linalg.solve(pb.ones((2, 1, 1)), pb.ones((3, 1, 1))), pb.ShapeError,
        r"\[solve\] shapes \(2,\) and \(3,\) do not broadcast"),
    "mode": (lambda: linalg.qr(pb.eye(2), mode="r"), pb.InvalidArgument, r"\[qr\] mode='r'; want 'red"),
    "cross": (lambda: linalg.cross(pb.ones(2), pb.ones(2)), pb.ShapeError, r"\[cross\] .*want size 3"),
    "cross axis": (lambda: linalg.cross(pb.ones((3, 1)), pb.ones((3, 3)), axis=-1), pb.ShapeError,
        r"\[cross\] got \(3, 1\) and \(3, 3\); want size 3 along axis -1"),
    "power n": (lambda: linalg.matrix_power(pb.eye(2), 0.5), pb.InvalidArgument,
        r"\[matrix_power\] got n = 0.5; want an integer"),
    "norm": (lambda: linalg.matrix_norm(pb.eye(2), ord=3), pb.InvalidArgument, r"\[matrix_norm\] ord=3"),
    "vector norm": (lambda: linalg.vector_norm(pb.ones(2), ord="fro"), pb.InvalidArgument,
        r"\[vector_norm\] ord='fro'; want a number"),
    "norm of nothing": (lambda: linalg.vector_norm(pb.zeros(0), ord=math.inf), pb.InvalidArgument,
        r"nothing to reduce"),
    "offset": (lambda: linalg.diagonal(pb.eye(2), offset=0.5), pb.InvalidArgument, r"offset 0.5"),
    "diagonal": (lambda: linalg.diagonal(pb.ones(2)), pb.ShapeError, r"\[diagonal\] .*2 axes"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_mistakes_are_typed_errors(name: str) -> None:
    call, error, says = ERRORS[name]
    with pytest.raises(error, match=says):
        call()


@pytest.mark.parametrize("name", [n for n, f in vars(linalg).items() if inspect.isfunction(f)])
def test_lists_are_no_tensors(name: str) -> None:
    f = getattr(linalg, name)
    given = [p for p in inspect.signature(f).parameters.values() if p.kind is p.POSITIONAL_ONLY]
    with pytest.raises(pb.DTypeError, match=rf"\[{name}\] got list; want a tensor"):
        f(*([[1.0]] for p in given))


# --- host work by design ------------------------------------------------------------------------


def test_host_work_is_counted_with_its_bytes_and_not_refused(device: str) -> None:
    x = pb.asarray(matrices(2, 3, 3), dtype=pb.float32)
    with pb.configure(fallback="forbid"):
        linalg.inv(x)
        linalg.inv(x)
        linalg.svd(x, full_matrices=False)
    entries = {e.op: e for e in pb.fallback_ledger()}
    assert list(entries) == ["inv float32", "svd float32"]
    inverse = entries["inv float32"]
    assert (inverse.device, inverse.count, inverse.nbytes) == (device, 2, 2 * 2 * 72)
    assert inverse.by_design
    assert entries["svd float32"].nbytes == 72 + 72 + 24 + 72


def test_products_norms_traces_and_powers_stay_on_the_device() -> None:
    x = pb.asarray(matrices(3, 3))
    linalg.matrix_norm(x, ord=1)
    linalg.vector_norm(x)
    linalg.trace(x)
    linalg.cross(x, x)
    linalg.matrix_power(x, 5)
    linalg.outer(x[0], x[1])
    linalg.diagonal(x)
    assert not pb.fallback_ledger()


@pytest.mark.fallback
def test_results_of_a_type_that_the_device_does_not_store() -> None:
    with extra_device(caps(storage=["bool", "int64", "float32"])) as name:
        x = pb.asarray([[0.0, -1.0], [1.0, 0.0]], device=name)
        says = rf"\[eigvals\] {name} does not store complex64"
        with pb.configure(fallback="forbid"), pytest.raises(pb.UnsupportedOp, match=says):
            linalg.eigvals(x)
        with pb.configure(fallback="allow"):
            assert linalg.eigvals(x).tolist() == [1j, -1j]


def test_nobody_is_warned() -> None:
    with pb.configure(fallback="warn"):  # a warning is an error here
        linalg.det(pb.asarray(matrices(3, 3)))
