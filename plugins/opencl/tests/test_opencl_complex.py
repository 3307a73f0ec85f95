"""Complex numbers on the kernels for CPUs and those for GPUs, where generated cases leave values or
layouts open. NumPy in a wider type decides."""

from __future__ import annotations

import re
from dataclasses import replace
from math import prod

import numpy as np
import pytest
from opencl_lab import available, blank, get, open_as_gpu, open_device, put

from polyback import scalar
from polyback.device import Operand
from polyback.dtype import complex64, complex128, dtype_of
from polyback.program import Input, copy_program, fill_program, program
from polyback.simt.elementwise import Spec, kernels
from polyback.view import View
from polyback_opencl.device import claims
from polyback_opencl.dialect import dialect

pytestmark = pytest.mark.skipif(not available(), reason="no OpenCL device")
BY_TYPE = pytest.mark.parametrize("dtype", [complex64, complex128], ids=str)
WIDE = {complex64: np.complex128, complex128: np.clongdouble}


@pytest.fixture(scope="module", params=["cpu", "gpu"])
def device(request):
    opened = open_device() if request.param == "cpu" else open_as_gpu()
    yield opened
    opened.close()


def apply(device, row, *operands):
    """``row`` on arrays."""
    code = program(lambda *x: row(*x), *[dtype_of(x.dtype) for x in operands])
    out = blank(device, operands[0].shape, code.dtypes[-1].numpy)
    device.elementwise(code, [out], [put(device, x) for x in operands])
    return get(device, out)


def numbers(dtype, *shape, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(0, 1, shape) + 1j * rng.normal(0, 1, shape)).astype(dtype.numpy)


def joined(dtype, real, imag):
    z = np.empty(np.broadcast_shapes(np.shape(real), np.shape(imag)), dtype.numpy)
    z.real, z.imag = real, imag
    return z


def error(got, want, dtype):
    """In units of the last place of 1, relative to the modulus."""
    return np.abs(got.astype(WIDE[dtype]) - want) / np.abs(want) / np.finfo(dtype.numpy).eps


# --- special values (those of the standard: tests/test_array_api_special_cases.py) -------------


@BY_TYPE
def test_products_and_quotients_part_by_part(device, dtype):
    parts = np.array([0.0, -0.0, 1.0, -2.5, np.inf, -np.inf, np.nan])
    z = joined(dtype, parts[:, None], parts).ravel()
    operands = [g.ravel().copy() for g in np.meshgrid(z, z)]
    for row in (scalar.ADD, scalar.SUBTRACT, scalar.MULTIPLY, scalar.DIVIDE):
        with np.errstate(all="ignore"):
            want = row.numpy(*operands)
        got = apply(device, row, *operands)
        for part in (np.real, np.imag):
            np.testing.assert_allclose(part(got), part(want), rtol=1e-6)


@BY_TYPE
def test_branch_cuts(device, dtype):
    """The sign of a zero says on which side of the cut a number lies."""
    for name, points in (
        ("sqrt", [-4]), ("log", [-4]), ("asin", [3, -3]), ("acos", [3, -3]), ("acosh", [-3, 0.5]),
        ("atanh", [3, -3]), ("asinh", [3j, -3j]), ("atan", [3j, -3j]),
    ):  # fmt: skip
        for point in points:
            zero = np.array([0.0, -0.0])
            turned = isinstance(point, complex)
            z = joined(dtype, zero, point.imag) if turned else joined(dtype, point, zero)
            row = scalar.row_named(name)
            want = row.numpy(z.astype(np.complex128))
            assert abs(want[0] - want[1]) > 1
            np.testing.assert_allclose(apply(device, row, z), want, rtol=1e-6)


# --- ordinary, large and small values -------------------------------------------------------------

FUNCTIONS = [r.name for r in scalar.TABLE if r.arity == 1 and r.ulp and complex64 in r.takes]


@BY_TYPE
@pytest.mark.parametrize("name", FUNCTIONS)
def test_accuracy(device, name, dtype):
    """Within 4.5 units of the modulus, also near 0, 1, i and the unit circle."""
    n, row = 2000, scalar.row_named(name)
    rng = np.random.default_rng(1)
    phase, small = np.exp(1j * rng.uniform(-np.pi, np.pi, n)), 2.0 ** -rng.uniform(0, 20, n)
    for z in (numbers(dtype, n) * 3, phase * small, (1 + 0.1 * small) * phase, 1 + phase * small,
              1j + phase * small):  # fmt: skip
        z = z.astype(dtype.numpy)
        with np.errstate(all="ignore"):
            want = row.numpy(z.astype(WIDE[dtype]))
        if name in ("log1p", "expm1"):  # NumPy's own cancel near 0
            want = exact_near_zero(name, z.astype(np.clongdouble))
        assert error(apply(device, row, z), want, dtype)[want != 0].max() <= 4.5


def exact_near_zero(name, z):
    if name == "expm1":
        half = np.sin(z.imag / 2)
        real = np.expm1(z.real) * np.cos(z.imag) - 2 * half * half
        return real + 1j * np.exp(z.real) * np.sin(z.imag)
    modulus = np.log1p(z.real * (2 + z.real) + z.imag * z.imag) / 2
    near = modulus + 1j * np.arctan2(z.imag, 1 + z.real)
    return np.where(np.abs(1 + z) < 0.5, np.log(1 + z), near)


@BY_TYPE
def test_no_overflow_on_the_way(device, dtype):
    """Scaling by a power of two scales results exactly, near both ends of the range."""
    far = 124 if dtype is complex64 else 1020
    z = numbers(dtype, 300)
    for step in (far, -far + 12):
        up = dtype.numpy.type(2.0**step)
        large = z * up
        np.testing.assert_array_equal(apply(device, scalar.ABS, large),
                                      apply(device, scalar.ABS, z) * up.real)  # fmt: skip
        root = apply(device, scalar.SQRT, z) * dtype.numpy.type(2.0 ** (step // 2))
        np.testing.assert_array_equal(apply(device, scalar.SQRT, large), root)
        for a, b in ((large, large[::-1]), (large[::-1] * 0.5, large), (z, z[::-1])):
            want = a.astype(np.clongdouble) / b.astype(np.clongdouble)
            assert error(apply(device, scalar.DIVIDE, a.copy(), b.copy()), want, dtype).max() < 3
        want = large.astype(np.clongdouble)
        want /= np.abs(want)
        assert error(apply(device, scalar.SIGN, large), want, dtype).max() < 3
        want = np.log(large.astype(np.clongdouble))
        assert error(apply(device, scalar.LOG, large), want, dtype).max() < 3
    most = float(np.log(np.finfo(dtype.numpy).max))
    edge = joined(dtype, [8 - most, most + 1, most + 5], 1.57)
    with np.errstate(over="ignore"):  # e^x overflows, e^x cos y does not
        want = np.exp(edge.astype(np.clongdouble)).astype(dtype.numpy)
    got = apply(device, scalar.EXP, edge)
    for part in (np.real, np.imag):
        np.testing.assert_allclose(part(got), part(want), rtol=1e-5)


@BY_TYPE
def test_powers(device, dtype):
    a = numbers(dtype, 400)
    b = np.concatenate([numbers(dtype, 200, seed=1) * 8, np.arange(-100, 100)]).astype(dtype.numpy)
    want = np.power(a.astype(np.clongdouble), b.astype(np.clongdouble))
    ordinary = (np.abs(want) < 1e30) & (np.abs(want) > 1e-30)
    assert error(apply(device, scalar.POW, a, b), want, dtype)[ordinary].max() <= 16
    zeros, powers = np.zeros(5, dtype.numpy), np.array([0, 2, 1 + 1j, -1, 1j], dtype.numpy)
    with np.errstate(all="ignore"):
        want = np.power(zeros, powers)
    np.testing.assert_array_equal(apply(device, scalar.POW, zeros, powers), want)
    whole = np.array([1 + 2j, -3, 2 - 1j, 1j], dtype.numpy)
    np.testing.assert_array_equal(
        apply(device, scalar.POW, whole, np.full(4, 3, dtype.numpy)), whole * whole * whole
    )


# --- numbers, movement, reductions, products ------------------------------------------------------


@BY_TYPE
def test_numbers_at_launch(device, dtype):
    """Given at the launch, written in, and out of range."""
    x = numbers(dtype, 1000)
    code = program(lambda a, s: a * s + (1 - 2j), dtype, Input(dtype, scalar=True))
    out = blank(device, (1000,), dtype.numpy)
    for number in (2 - 3j, 5, 0.5, True):
        device.elementwise(code, [out], [put(device, x), number])
        np.testing.assert_allclose(get(device, out), x * dtype.numpy.type(number) + (1 - 2j), 1e-5)
    device.elementwise(fill_program(dtype), [out], [complex(1e300, -0.0)])
    got = get(device, out)
    assert (got.real == (1e300 if dtype is complex128 else np.inf)).all()
    assert (np.signbit(got.imag) & (got.imag == 0)).all()
    total = blank(device, (1,), dtype.numpy)
    shifted = program(lambda a, s: a * s, dtype, Input(dtype, scalar=True))
    device.reduce_fused(scalar.SUM, total, shifted, [put(device, x), 2j], (0,))
    np.testing.assert_allclose(get(device, total), [(x * 2j).sum()], rtol=1e-4)


@BY_TYPE
def test_programs_that_differ_in_their_numbers_share_a_kernel(dtype):
    device = open_device()
    x, out = put(device, numbers(dtype, 9)), blank(device, (9,), dtype.numpy)
    for value in (1.5j, 2, complex("inf"), -0.0):
        device.elementwise(program(lambda v, c=value: v * c, dtype), [out], [x])
    assert len(device._driver._programs) == 1
    device.close()


@BY_TYPE
def test_movement(device, dtype):
    """Every bit of 8 and 16 bytes: gather, scatter, transposed copies; sums of scattered items."""
    x = numbers(dtype, 50, 7)
    x[3, 2], x[4, 4] = complex(np.nan, -0.0), complex(-np.inf, np.nan)
    places = np.random.default_rng(2).integers(0, 50, (30, 7))
    out, index = blank(device, (30, 7), dtype.numpy), put(device, places)
    device.gather(out, put(device, x), index, 0)
    taken = np.take_along_axis(x, places, 0)
    assert get(device, out).tobytes() == taken.tobytes()
    target = put(device, x)
    device.scatter(target, index, out, 0, "set")
    assert get(device, target).tobytes() == x.tobytes()
    base = numbers(dtype, 50, 7, seed=4)
    target, want = put(device, base), base.copy()
    device.scatter(target, index, out, 0, "add")
    for i, j in np.ndindex(30, 7):
        want[places[i, j], j] += taken[i, j]
    np.testing.assert_array_equal(get(device, target), want)
    turned = blank(device, (7, 50), dtype.numpy)
    view = View((50, 7), (1, 50))
    device.elementwise(copy_program(dtype, dtype), [replace(turned, view=view)], [put(device, x)])
    np.testing.assert_array_equal(get(device, turned), x.T)


@BY_TYPE
@pytest.mark.parametrize("shape", [(3, 50_000), (50_000, 3), (700, 300)])
def test_large_sums(device, dtype, shape):
    x = numbers(dtype, *shape)
    wide, u = x.astype(WIDE[dtype]), np.finfo(dtype.numpy).eps / 2
    for axes in ((0,), (1,), (0, 1)):
        kept = tuple(1 if k in axes else n for k, n in enumerate(shape))
        out = blank(device, kept, dtype.numpy)
        device.reduce(scalar.SUM, out, put(device, x), axes)
        limit = min(n := prod(shape[a] for a in axes), 8 + 2 * n**0.5)
        got, magnitude = get(device, out), np.abs(wide).sum(axes, keepdims=True)
        assert (np.abs(got - wide.sum(axes, keepdims=True)) <= limit * u * magnitude).all()


def laid_out(device, x, turned):
    """An operand with the elements of ``x``, its last two axes in memory as they are or turned."""
    if not turned:
        return put(device, x)
    held = put(device, np.ascontiguousarray(np.swapaxes(x, -1, -2)))
    strides = held.view.strides
    view = View(x.shape, (*strides[:-2], strides[-1], strides[-2]))
    return Operand(held.buffer, held.dtype, view)


@BY_TYPE
@pytest.mark.parametrize("lead", [(), (2, 3)], ids=str)
@pytest.mark.parametrize(
    ("m", "k", "n"), [(5, 7, 9), (13, 66, 33), (130, 70, 65), (1, 40, 6), (6, 4, 1), (2, 0, 3)]
)
def test_products(device, dtype, lead, m, k, n):
    a, b = numbers(dtype, *lead, m, k), numbers(dtype, *lead, k, n, seed=1)
    wide = [x.astype(WIDE[dtype]) for x in (a, b)]
    want = np.matmul(*wide)
    limit = 3 * (k + 2) * np.finfo(dtype.numpy).eps / 2 * np.matmul(*map(np.abs, wide))
    for turned in range(8):
        out = laid_out(device, np.full(want.shape, 77, dtype.numpy), turned & 4)
        device.matmul(out, laid_out(device, a, turned & 1), laid_out(device, b, turned & 2))
        copied = blank(device, want.shape, dtype.numpy)
        device.elementwise(copy_program(dtype, dtype), [copied], [out])
        assert (np.abs(get(device, copied) - want) <= limit).all()


# --- devices without float64 ----------------------------------------------------------------------


def test_complex64_needs_no_double():
    """What a device without float64 claims, and that its sources are free of it."""
    traits = open_device()._driver.traits
    caps = claims(replace(traits, double=False))
    assert "complex64" in caps.storage & caps.matmul & caps.scalars["exp"] & caps.reductions["sum"]
    assert "complex128" not in caps.storage | caps.scalars["cast"] | caps.matmul
    words = dialect(double=False, is_cpu=True)
    for row in scalar.TABLE:
        if complex64 not in row.takes or row.arity == 0 or row in (scalar.CAST, scalar.WHERE):
            continue
        code = program(lambda *x, r=row: r(*x), *[complex64] * row.arity)
        specs = {"dense": Spec((-1,), ("dense",) * (row.arity + 1), True)}
        source = kernels(code, specs, words, 1)["dense"].source
        text = "\n".join(line.partition("//")[0] for line in source.splitlines())
        assert "double" not in text
        assert re.findall(r"(?<![\w.])\d+\.\d+(?:e[-+]?\d+)?(?![\w.])", text) == []
