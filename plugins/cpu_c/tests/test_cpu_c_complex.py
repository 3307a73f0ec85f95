"""Complex numbers, where conformance leaves values or layouts open: NumPy decides."""

from __future__ import annotations

import math

import numpy as np
import pytest
from cpu_c_lab import get, new, open_device, product, put, reduced, run, sum_bound, supported_isas

from polyback import scalar
from polyback.device import Operand
from polyback.dtype import complex64, complex128, dtype_of
from polyback.program import Input, fill_program, program
from polyback.view import View

COMPLEX = [complex64, complex128]
BY_DTYPE = pytest.mark.parametrize("dtype", COMPLEX, ids=str)
PARTS = [0.0, -0.0, 1.0, -2.5, np.inf, -np.inf, np.nan]


def numbers(dtype, *shape, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype.numpy)


def special(dtype):
    """Every pair of parts."""
    grid = np.empty((len(PARTS), len(PARTS)), dtype.numpy)
    grid.real, grid.imag = np.array(PARTS)[:, None], np.array(PARTS)
    return grid.ravel()


def row_program(row, dtype):
    return program(lambda *x: row(*x), *[dtype] * row.arity)


@BY_DTYPE
@pytest.mark.parametrize("name", ["multiply", "divide", "square", "sign", "abs", "sqrt", "exp"])
def test_special_values_are_those_of_numpy(name, dtype):
    row, values = scalar.row_named(name), special(dtype)
    operands = [values]
    if row.arity == 2:
        operands = [g.ravel().copy() for g in np.meshgrid(values, values)]
    with np.errstate(all="ignore"):
        want = row.numpy(*operands)
    for isa in supported_isas():
        (got,) = run(open_device(isa=isa), row_program(row, dtype), *operands)
        for part in (np.real, np.imag):
            np.testing.assert_allclose(part(got), part(want), rtol=1e-6)


@BY_DTYPE
@pytest.mark.parametrize("name", ["expm1", "log1p"])
def test_no_cancellation_near_zero(name, dtype):
    x = numbers(dtype, 500) * np.logspace(-30, 0, 500).astype(dtype.numpy)
    (got,) = run(open_device(), row_program(scalar.row_named(name), dtype), x)
    z, want = x.astype(np.clongdouble), np.zeros(500, np.clongdouble)
    if name == "expm1":  # the series of e^z - 1, and of log(1 + z)
        for n in range(40, 0, -1):
            want = (want + 1) * z / n
    else:
        want, small = np.log(1 + z), np.abs(z) < 1e-3
        want[small] = sum((-1) ** (n + 1) * z[small] ** n / n for n in range(9, 0, -1))
    assert (np.abs(got - want) <= 4 * np.finfo(dtype.numpy).eps * np.abs(want)).all()


@BY_DTYPE
def test_powers(dtype):
    a = numbers(dtype, 400)
    b = np.concatenate([numbers(dtype, 200, seed=1) * 8, np.arange(-100, 100)]).astype(dtype.numpy)
    (got,) = run(open_device(), row_program(scalar.POW, dtype), a, b)
    want = np.power(a.astype(np.clongdouble), b.astype(np.clongdouble))
    room = 40 * np.finfo(dtype.numpy).eps
    ordinary = (np.abs(want) < 1e30) & (np.abs(want) > 1e-30)
    assert (np.abs(got - want) <= room * np.abs(want))[ordinary].all()
    zeros, powers = np.zeros(5, dtype.numpy), np.array([0, 2, 1 + 1j, -1, 1j], dtype.numpy)
    (got,) = run(open_device(), row_program(scalar.POW, dtype), zeros, powers)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(got, np.power(zeros, powers))


@BY_DTYPE
def test_numbers_at_launch(dtype):
    """As wide as a word, beside an array and alone; what complex64 does not hold is infinite."""
    device, x = open_device(), numbers(dtype, 1000)
    body = program(lambda a, s, r: a * s + r, dtype, Input(dtype, scalar=True), dtype)
    (got,) = run(device, body, x, 2 - 3j, x)
    np.testing.assert_allclose(got, x * dtype.numpy.type(2 - 3j) + x, rtol=1e-6)
    for number in (3, 2.5, True, 1 - 1j):
        out = new(device, (7, 3), dtype)
        device.elementwise(fill_program(dtype), (out,), (number,))
        np.testing.assert_array_equal(get(device, out), np.full((7, 3), number, dtype.numpy))
    out = new(device, (3,), dtype)
    device.elementwise(fill_program(dtype), (out,), (complex(1e300, -1),))
    want = complex(1e300 if dtype is complex128 else math.inf, -1)
    np.testing.assert_array_equal(get(device, out), [want] * 3)


@BY_DTYPE
@pytest.mark.parametrize("shape", [(1000, 3), (300, 257), (70, 9, 65)])
def test_transposed_copies(dtype, shape):
    device, x = open_device(), numbers(dtype, *shape)
    operand = put(device, x)
    axes = tuple(reversed(range(x.ndim)))
    view = View(tuple(shape[a] for a in axes), tuple(operand.view.strides[a] for a in axes))
    out = new(device, view.shape, dtype)
    copy = program(lambda a: a, dtype)
    device.elementwise(copy, (out,), (Operand(operand.buffer, dtype, view),))
    np.testing.assert_array_equal(get(device, out), x.T)
    device.elementwise(
        program(lambda a: -a, dtype), (out,), (Operand(out.buffer, dtype, out.view),)
    )
    np.testing.assert_array_equal(get(device, out), -x.T)


@BY_DTYPE
def test_gather_and_scatter(dtype):
    device, x = open_device(), numbers(dtype, 50, 7)
    index = np.random.default_rng(1).integers(0, 50, (90, 7))
    table, places = put(device, x), put(device, index)
    out = new(device, (90, 7), dtype)
    device.gather(out, table, places, 0)
    taken = get(device, out)
    np.testing.assert_array_equal(taken, np.take_along_axis(x, index, 0))
    columns = np.broadcast_to(np.arange(7), index.shape)
    for mode in ("set", "add"):
        target, want = put(device, x), x.copy()
        device.scatter(target, places, out, 0, mode)
        if mode == "set":
            want[index, columns] = taken
        else:
            np.add.at(want, (index, columns), taken)
        np.testing.assert_allclose(get(device, target), want, rtol=1e-5)


@BY_DTYPE
@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("shape", [(3, 100_000), (100_000, 3), (700, 300)])
def test_large_sums(dtype, shape, axes):
    device, x = open_device(), numbers(dtype, *shape)
    n = math.prod(shape[a] for a in axes)
    wide = x.astype(np.clongdouble)
    want, magnitude = wide.sum(axes, keepdims=True), np.abs(wide).sum(axes, keepdims=True)
    u = np.finfo(dtype.numpy).eps / 2
    got = reduced(device, scalar.SUM, x, axes)
    assert (np.abs(got - want) <= 1.5 * sum_bound(n) * u * magnitude).all()


SIZES = [
    (1, 40, 70), (1, 300, 500), (70, 40, 1), (500, 300, 1), (1, 9, 1), (5, 1, 4), (64, 65, 66),
    (130, 200, 90), (2, 3, 0), (3, 0, 2), (1, 0, 5),
]  # fmt: skip
LAYOUTS = ["C", "F", "step"]


def laid_out(device, x, layout):
    """An operand with the elements of ``x``, and strides of its own in the last two axes."""
    columns = x.shape[-1]
    if layout == "C":
        return put(device, x)
    if layout == "F":
        held = np.ascontiguousarray(np.swapaxes(x, -1, -2))
        strides = [s // x.itemsize for s in np.swapaxes(held, -1, -2).strides]
    else:
        held = np.zeros((*x.shape[:-1], 2 * columns + 1), x.dtype)
        held[..., : 2 * columns : 2] = x
        strides = [s // x.itemsize for s in held.strides]
        strides[-1] *= 2
    return Operand(put(device, held).buffer, dtype_of(x.dtype), View(x.shape, tuple(strides)))


@BY_DTYPE
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_products(dtype, size):
    device, (m, k, n) = open_device(), size
    a, b = numbers(dtype, m, k), numbers(dtype, k, n, seed=1)
    wide = a.astype(np.clongdouble), b.astype(np.clongdouble)
    u = np.finfo(dtype.numpy).eps / 2
    limit = 3 * sum_bound(k) * u * (np.abs(wide[0]) @ np.abs(wide[1]))
    for left in LAYOUTS:
        for right in LAYOUTS:
            for result in LAYOUTS:
                out = laid_out(device, np.full((m, n), 77, dtype.numpy), result)
                device.matmul(out, laid_out(device, a, left), laid_out(device, b, right))
                assert (np.abs(get(device, out) - wide[0] @ wide[1]) <= limit).all()


@BY_DTYPE
def test_batches_of_products(dtype):
    device = open_device()
    for m, k, n in ((3, 4, 5), (1, 6, 7), (7, 6, 1), (20, 30, 40)):
        a, b = numbers(dtype, 6, m, k), numbers(dtype, 6, k, n, seed=1)
        np.testing.assert_allclose(product(device, a, b), a @ b, rtol=1e-4, atol=1e-4)
        out, right = new(device, (6, m, n), dtype), put(device, b[0])
        same = Operand(right.buffer, dtype, View((6, k, n), (0, n, 1)))
        device.matmul(out, put(device, a), same)
        np.testing.assert_allclose(get(device, out), a @ b[0], rtol=1e-4, atol=1e-4)


def test_one_item_is_sixteen_bytes_in_every_kind_of_walk():
    """A row, a column and a number beside a matrix; constants; many temporaries."""
    device = open_device()
    x, row, column = numbers(complex128, 90, 70), numbers(complex128, 70), numbers(complex128, 90)
    operands = [
        put(device, x),
        Operand(put(device, row).buffer, complex128, View((90, 70), (0, 1))),
        Operand(put(device, column).buffer, complex128, View((90, 70), (1, 0))),
    ]
    body = program(
        lambda a, r, c: scalar.WHERE(scalar.REAL_PART(a) > 0, a * r + (1 + 2j), c - a * 2j),
        complex128, complex128, complex128,
    )  # fmt: skip
    out = new(device, (90, 70), complex128)
    device.elementwise(body, (out,), operands)
    want = np.where(x.real > 0, x * row + (1 + 2j), column[:, None] - x * 2j)
    np.testing.assert_allclose(get(device, out), want, rtol=1e-14)
