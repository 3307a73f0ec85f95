"""The interpreter: fused equals step by step, on every path that a layout can take."""

from __future__ import annotations

import numpy as np
import pytest
from cpu_c_lab import get, new, open_device, put, run
from hypothesis import given, settings
from hypothesis import strategies as st

from polyback import scalar
from polyback.device import Operand
from polyback.dtype import bool_, float32, float64, int32, int64, uint8
from polyback.program import Input, Instr, Program, copy_program, program
from polyback.scalar import MAXIMUM, SUM, WHERE
from polyback.view import View
from polyback_cpu_c import layout

DEVICE = open_device()


def test_fused_equals_step_by_step():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 5000)).astype(np.float32)
    fused = program(lambda a, b: MAXIMUM((a + b) * a - 0.5, b) / 3.0, float32, float32)
    (got,) = run(DEVICE, fused, x, y)
    third, half = np.float32(3), np.float32(0.5)
    np.testing.assert_array_equal(got, np.maximum((x + y) * x - half, y) / third)


def test_long_programs_reuse_registers():
    def body(a):
        values = [a + k for k in range(20)]
        total = values[0]
        for value in values[1:]:
            total = total * 0.5 + value
        return total

    x = np.random.default_rng(0).random(3000).astype(np.float32)
    want, half = x + np.float32(0), np.float32(0.5)
    for k in range(1, 20):
        want = want * half + (x + np.float32(k))
    np.testing.assert_array_equal(run(DEVICE, program(body, float32), x)[0], want)


def test_an_output_that_is_an_input_is_read_first():
    x = np.arange(5000, dtype=np.float32)
    both = program(lambda a: (a + 1.0, a * 2.0), float32)
    a, other = put(DEVICE, x), new(DEVICE, x.shape, "float32")
    DEVICE.elementwise(both, (a, other), (a,))
    np.testing.assert_array_equal(get(DEVICE, a), x + 1)
    np.testing.assert_array_equal(get(DEVICE, other), x * 2)


def test_outputs_that_are_inputs_constants_or_the_same():
    x = np.arange(7, dtype=np.int64)
    instrs = (Instr(scalar.CONST, (), int64, 5), Instr(scalar.IOTA, (), int64))
    three = Program((Input(int64),), instrs, (0, 1, 2, 2))
    a, b, c, d = run(DEVICE, three, x)
    np.testing.assert_array_equal(np.stack([a, b, c, d]), [x, x * 0 + 5, x, x])


@st.composite
def strided(draw, shape, writable):
    """A view of ``shape`` that does not overlap itself if it is to be written."""
    order = draw(st.permutations(range(len(shape))))
    strides, step, offset = [0] * len(shape), 1, draw(st.integers(0, 3))
    for a in order:
        if not writable and draw(st.integers(0, 4)) == 0:
            continue
        step *= draw(st.sampled_from((1, 1, 1, 2)))
        strides[a] = step
        step *= shape[a] + draw(st.sampled_from((0, 0, 2)))
        if draw(st.integers(0, 4)) == 0:
            offset += strides[a] * (shape[a] - 1)
            strides[a] = -strides[a]
    return View(shape, tuple(strides), offset)


def operand(view, dtype, seed):
    length = max(view.bounds[1], 1)
    data = np.random.default_rng(seed).integers(0, 2 if dtype is bool_ else 99, length)
    return Operand(put(DEVICE, data.astype(dtype.numpy)).buffer, dtype, view)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_layout(data):
    sizes = st.sampled_from((1, 2, 3, 5, 16, 33, 70))
    shape = tuple(data.draw(st.lists(sizes, min_size=0, max_size=3)))
    dtype = data.draw(st.sampled_from((float32, float64, int32, uint8)))
    a, b = (operand(data.draw(strided(shape, False)), dtype, k) for k in range(2))
    c = operand(data.draw(strided(shape, False)), bool_, 2)
    out, copied = (operand(data.draw(strided(shape, True)), dtype, k) for k in (3, 4))
    x, y, cond = (get(DEVICE, o) for o in (a, b, c))
    DEVICE.elementwise(program(lambda c, x, y: WHERE(c, x + y, x), bool_, dtype, dtype),
                       (out,), (c, a, b))  # fmt: skip
    np.testing.assert_array_equal(get(DEVICE, out), np.where(cond, x + y, x))
    DEVICE.elementwise(copy_program(dtype, dtype), (copied,), (a,))
    np.testing.assert_array_equal(get(DEVICE, copied), x)
    for axes in ((0,), (len(shape) - 1,), tuple(range(len(shape)))):
        if not shape:
            break
        total = new(DEVICE, [1 if k in axes else n for k, n in enumerate(shape)], dtype)
        square = program(lambda x, y: x * y, dtype, dtype)
        DEVICE.reduce_fused(SUM, total, square, (a, b), axes)
        want = (x * y).sum(axes, keepdims=True, dtype=dtype.numpy)
        np.testing.assert_allclose(get(DEVICE, total), want, rtol=1e-6)
        DEVICE.free(total.buffer)
    for o in (a, b, c, out, copied):
        DEVICE.free(o.buffer)


@pytest.fixture
def small_is_large(monkeypatch):
    """Streamed stores and tiles from a few elements on."""
    monkeypatch.setattr(layout, "LARGE", 1)
    monkeypatch.setattr(layout, "TILED_FROM", 1)


@pytest.mark.usefixtures("small_is_large")
@pytest.mark.parametrize("n", [1, 15, 1024, 3000])
def test_streamed_outputs(n):
    device, x = open_device(), np.arange(n, dtype=np.float32)
    double = program(lambda a: a * 2.0, float32)
    np.testing.assert_array_equal(run(device, double, x)[0], x * 2)
    a = put(device, x)
    device.elementwise(double, (a,), (a,))  # in place: not streamed
    np.testing.assert_array_equal(get(device, a), x * 2)


@pytest.mark.usefixtures("small_is_large")
@pytest.mark.parametrize("shape", [(64, 128), (48, 35), (3, 30, 50), (7, 11)])
def test_tiles(shape):
    device, rng = open_device(), np.random.default_rng(0)
    x, y = rng.random(shape).astype(np.float32), rng.random(shape[::-1]).astype(np.float32)
    out, a, b = new(device, shape, "float32"), put(device, x), put(device, y)
    crossed = Operand(b.buffer, float32, b.view.permute(range(len(shape))[::-1]))
    device.elementwise(program(lambda a, b: a - b, float32, float32), (out,), (a, crossed))
    np.testing.assert_array_equal(get(device, out), x - y.T)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(16, 16), (100, 37), (5, 64, 33), (4, 3, 2)])
def test_transposed_copies(shape, dtype):
    x = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    a = put(DEVICE, x)
    for axes in ((*range(1, len(shape)), 0), tuple(range(len(shape)))[::-1]):
        turned = Operand(a.buffer, a.dtype, a.view.permute(axes))
        out = new(DEVICE, turned.view.shape, dtype)
        DEVICE.elementwise(copy_program(a.dtype, a.dtype), (out,), (turned,))
        np.testing.assert_array_equal(get(DEVICE, out), x.transpose(axes))


def test_large_transposed_copy():
    x = np.arange(2100 * 2100, dtype=np.float32).reshape(2100, 2100)  # past the streaming size
    a, out = put(DEVICE, x), new(DEVICE, x.shape, "float32")
    DEVICE.elementwise(
        copy_program(float32, float32),
        (out,),
        (Operand(a.buffer, float32, a.view.permute((1, 0))),),
    )
    np.testing.assert_array_equal(get(DEVICE, out), x.T)


def test_thirty_two_axes():
    shape = (2,) * 14 + (1,) * 18
    x = np.arange(2**14, dtype=np.float32).reshape(shape)
    a = put(DEVICE, x)
    flipped = Operand(a.buffer, float32, a.view.permute(range(32)[::-1]))
    out = new(DEVICE, shape[::-1], "float32")
    DEVICE.elementwise(program(lambda a: a + 1.0, float32), (out,), (flipped,))
    np.testing.assert_array_equal(get(DEVICE, out), x.T + 1)
