"""Every instruction set gives the same results, within the limits of the scalar table."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from cpu_c_lab import (
    get,
    layouts,
    open_device,
    product,
    put,
    put_strided,
    reduced,
    run,
    sum_bound,
    supported_isas,
)

from polyback import scalar
from polyback.dtype import DTYPES, bool_, dtype_of
from polyback.errors import InvalidArgument
from polyback.program import Input, Instr, Program
from polyback.scalar import REDUCTIONS, SUM, TABLE

ISAS = supported_isas()
COMPUTE = [d for d in DTYPES if d.compute is d]


def values(dtype, n, seed):
    rng = np.random.default_rng(seed)
    if dtype.kind == "bool":
        return rng.integers(0, 2, n).astype(bool)
    if dtype.kind == "float":
        special = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 0.5, 1e-30, 1e30]
        given = np.concatenate([special, rng.standard_normal(n - 10) * 3])
        return rng.permutation(given).astype(dtype.numpy)
    if dtype.kind == "complex":
        parts = rng.standard_normal((2, n)) * 3
        return (parts[0] + 1j * parts[1]).astype(dtype.numpy)
    info = np.iinfo(dtype.numpy)
    low, high = max(info.min, -9), min(info.max, 9)
    return rng.integers(low, high, n, endpoint=True).astype(dtype.numpy)


def cases():
    for row in TABLE:
        if row not in (scalar.CONST, scalar.IOTA, scalar.CAST):
            yield from ((row, d) for d in COMPUTE if d in row.takes)


def row_program(row, dtype):
    inputs = [Input(dtype)] * row.arity
    if row is scalar.WHERE:
        inputs[0] = Input(bool_)
    instr = Instr(row, tuple(range(row.arity)), row.result_dtype(dtype))
    return Program(tuple(inputs), (instr,), (row.arity,)).check()


def ulps(a, b):
    """The difference in units in the last place, by the order of the bits."""
    bits = np.int32 if a.dtype == np.float32 else np.int64

    def key(x):
        i = x.view(bits).astype(np.longdouble)
        return np.where(i < 0, -(i + 2.0 ** (8 * x.itemsize - 1)), i)

    both_nan = np.isnan(a) & np.isnan(b)
    return np.where(both_nan, 0, np.abs(key(a) - key(b)))


@pytest.mark.parametrize(("row", "dtype"), list(cases()), ids=str)
def test_rows_agree(row, dtype):
    program = row_program(row, dtype)
    arrays = [values(i.dtype, 1027, k) for k, i in enumerate(program.inputs)]
    first, *others = (run(open_device(isa=isa), program, *arrays)[0] for isa in ISAS)
    for other in others:
        if first.dtype.kind == "c" or dtype.kind == "complex":
            np.testing.assert_allclose(first, other, rtol=1e-6 if dtype.itemsize == 8 else 1e-14)
        elif row.ulp == 0 or first.dtype.kind != "f":
            np.testing.assert_array_equal(first, other)
        elif row.ulp_of == "result":
            assert ulps(first, other).max() <= 2 * row.ulp
        else:
            np.testing.assert_allclose(first, other, rtol=1e-6, atol=1e-6)


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_casts_agree():
    for source in DTYPES:
        for target in DTYPES:
            halves = source.compute is not source or target.compute is not target
            if halves and "float32" not in (source.name, target.name):
                continue
            if source.kind in ("float", "complex") and target.kind in ("int", "uint"):
                continue  # out of range is left open
            program = Program((Input(source),), (Instr(scalar.CAST, (0,), target),), (1,))
            x = values(source, 333, 0)
            with np.errstate(all="ignore"):
                real = source.kind == "complex" and target.kind == "float"
                want = (x.real if real else x).astype(target.numpy)
            for isa in ISAS:
                got = run(open_device(isa=isa), program, x)[0]
                if target.name == "bfloat16":  # NumPy's comparison does not know its NaN
                    got, want = got.astype(np.float32), want.astype(np.float32)
                np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("op", REDUCTIONS, ids=str)
def test_reductions_agree(op):
    for dtype in sorted(op.takes & frozenset(COMPUTE), key=str):
        x = values(dtype, 60 * 70, 1).reshape(60, 70)
        x = np.nan_to_num(x, posinf=2, neginf=-2).clip(-2, 2) if dtype.kind == "float" else x
        for axes in ((0,), (1,), (0, 1)):
            with np.errstate(all="ignore"):
                first, *others = (reduced(open_device(isa=i), op, x, axes) for i in ISAS)
            for other in others:
                np.testing.assert_array_equal(first, other)  # one tree for all


def test_sums_keep_their_bound():
    x = np.full((3000, 40), 0.1, np.float32)  # every rounding goes the same way
    for isa in ISAS:
        for axes in ((0,), (1,), (0, 1)):
            n = int(np.prod([x.shape[a] for a in axes]))
            want = x.astype(np.float64).sum(axes, keepdims=True)
            got = reduced(open_device(isa=isa), SUM, x, axes)
            assert (np.abs(got - want) <= sum_bound(n) * 2.0**-24 * want).all()


def test_products_agree():
    rng = np.random.default_rng(2)
    for dtype in (np.float32, np.float64):
        a, b = rng.random((57, 300)).astype(dtype), rng.random((300, 45)).astype(dtype)
        for isa in ISAS:
            got = product(open_device(isa=isa), a, b)
            np.testing.assert_allclose(got, a @ b, rtol=sum_bound(300) * np.finfo(dtype).eps)


@pytest.mark.parametrize("isa", ISAS)
def test_forced_by_the_environment(isa):
    code = (
        "from polyback.config import config; from polyback_cpu_c.backend import CpuBackend; "
        "print(CpuBackend().open(0, config()).isa)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "POLYBACK_ISA": isa},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == isa


def test_unknown_isa_is_refused():
    with pytest.raises(InvalidArgument, match="sse9"):
        open_device(isa="sse9")


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("row", [scalar.EXP, scalar.SIGMOID, scalar.SIN, scalar.COS], ids=str)
def test_an_element_does_not_depend_on_its_neighbours(row, isa):
    """A block with elements that the fast form cannot compute, and the same block without them."""
    rng = np.random.default_rng(5)
    x = rng.uniform(-80, 80, 1000).astype(np.float32)
    bits = rng.integers(0x7F800001, 0x7FFFFFFF, 200, np.uint32)  # NaN of every kind
    far = np.float32([np.inf, -np.inf, -1e9, 1e30, -100, 88.9] * 5)
    odd = np.concatenate([bits.view(np.float32), far])
    mixed = x.copy()
    places = rng.permutation(1000)[: odd.size]
    mixed[places] = odd
    device, program = open_device(isa=isa), row_program(row, dtype_of(np.float32))
    plain, got = run(device, program, x)[0], run(device, program, mixed)[0]
    others = np.setdiff1d(np.arange(1000), places)
    np.testing.assert_array_equal(got[others], plain[others])
    undefined = np.isnan if row in (scalar.EXP, scalar.SIGMOID) else lambda v: ~np.isfinite(v)
    np.testing.assert_array_equal(np.isnan(got), undefined(mixed))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("threads", [1, 3])
def test_a_few_rows_times_a_transpose(isa, threads):
    """Has the bits of the product with the transpose stored by rows, where C is strided too."""
    device = open_device(isa=isa, threads=threads)
    rng = np.random.default_rng(11)
    for dtype, m, k, n in [("f4", 32, 256, 1024), ("f4", 50, 700, 201), ("f8", 9, 16, 40)]:
        a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
        want = product(device, a, b)
        np.testing.assert_allclose(want, a.astype("f8") @ b.astype("f8"), rtol=2e-3, atol=1e-3)
        for order, step in layouts(2):
            out = put_strided(device, np.zeros((m, n), dtype), order, step)
            device.matmul(out, put(device, a), put_strided(device, b, (1, 0), 1))
            np.testing.assert_array_equal(get(device, out), want)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(
    ("dtype", "m", "k", "n"),
    [("f4", 16, 1024, 1024), ("f4", 33, 700, 1501), ("f4", 3, 20_000, 40), ("f8", 9, 300, 1003)],
)
def test_few_rows_times_a_large_matrix(isa, dtype, m, k, n):
    """Swept over: the bound of a sum holds for terms that a long chain would lose."""
    rng = np.random.default_rng(12)
    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    u = np.finfo(dtype).eps / 2
    a[0], b[:, 0] = u, 1
    a[0, 0] = 1  # each of the others is lost if it is added alone
    wide = np.longdouble if dtype == "f8" else np.float64
    want, size = a.astype(wide) @ b.astype(wide), abs(a).astype(wide) @ abs(b).astype(wide)
    first, *others = (product(open_device(isa=isa, threads=t), a, b) for t in (1, 3))
    assert (abs(first - want) <= sum_bound(k) * u * size).all()
    for other in others:
        np.testing.assert_array_equal(first, other)
