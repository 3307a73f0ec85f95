"""What only this plugin does: typed errors, the pool, large launches, threads, GPU kernels."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from opencl_lab import available, blank, get, open_as_gpu, open_device, put

from polyback import scalar
from polyback.dtype import DTYPES, bool_, complex64, complex128, float32, float64, int8, int64
from polyback.errors import CompileError, DeviceClosed, InvalidArgument, OutOfMemory
from polyback.program import Input, copy_program, program
from polyback.simt.driver import Kernel
from polyback.view import View

pytestmark = pytest.mark.skipif(not available(), reason="no OpenCL device")
CHAIN = program(lambda x, y: scalar.EXP(-(x * y + 0.5)) * 2.0, float32, float32)


@pytest.fixture(params=["cpu", "gpu"])
def device(request):
    opened = open_device() if request.param == "cpu" else open_as_gpu()
    yield opened
    opened.close()


def test_compile_error_has_source_and_log():
    device = open_device()
    wrong = Kernel("wrong", "kernel void wrong(global int *p) { p[0] = nonsense; }", ("*",))
    with pytest.raises(CompileError) as caught:
        device._driver.compile(wrong)
    assert "nonsense" in caught.value.log
    assert caught.value.source == wrong.source
    absent = Kernel("absent", "kernel void there(global int *p) { p[0] = 1; }\n"
                    "// absent(global int *p) {", ("*",))  # fmt: skip
    with pytest.raises(CompileError) as caught:
        device._driver.compile(absent)
    assert caught.value.source == absent.source
    x = put(device, np.arange(5, dtype=np.float32))  # the device goes on working
    assert get(device, x).tolist() == [0, 1, 2, 3, 4]
    device.close()


def test_memory_limit_and_pool():
    device = open_device(memory_limit=1 << 20)
    kept = device.allocate(600_000)
    with pytest.raises(OutOfMemory) as caught:
        device.allocate(600_000)
    assert caught.value.requested == 600_000
    assert caught.value.live >= 600_000
    assert caught.value.limit == 1 << 20
    device.free(kept)
    assert device.memory_stats().live == 0
    assert device.memory_stats().cached >= 600_000
    device.free(device.allocate(900_000))  # the pool makes room
    device.trim()
    assert device.memory_stats().cached == 0
    device.close()


def test_freed_buffers_are_refused(device):
    x = put(device, np.ones(4, np.float32))
    device.free(x.buffer)
    with pytest.raises(InvalidArgument):
        device.download(x.buffer, 0, memoryview(bytearray(16)))
    device.free(x.buffer)  # twice does no harm
    device.close()
    with pytest.raises(DeviceClosed):
        device.elementwise(copy_program(float32, float32), [x], [x])


@pytest.mark.parametrize("n", [1, 15, 16, 17, 1000, 65_536, 300_001])
def test_large_chains(device, n):
    rng = np.random.default_rng(n)
    a, b = rng.normal(0, 1, (2, n)).astype(np.float32)
    x, y, out = put(device, a), put(device, b), blank(device, (n,), "float32")
    device.elementwise(CHAIN, [out], [x, y])
    want = np.exp(-(a.astype(np.float64) * b + 0.5)) * 2
    np.testing.assert_allclose(get(device, out), want, rtol=2e-6)


def test_wrong_operands_are_refused_after_right_ones(device):
    """What is kept of a launch must not let the next one pass unchecked."""
    code = program(lambda x, y: x + y, float32, Input(float32, True))
    x, out = put(device, np.ones(4, np.float32)), blank(device, (4,), "float32")
    device.elementwise(code, [out], [x, 2.0])
    other = put(device, np.ones(4, np.int32))
    row = replace(x, view=View((2, 2), (2, 1)))
    for outs, ins in (
        ([out], [x]), ([out], [x, x]), ([out], [2.0, 2.0]), ([out], [other, 2.0]),
        ([out], [row, 2.0]), ([other], [x, 2.0]), ([row], [x, 2.0]), ([], [x, 2.0]),
        ([out, out], [x, 2.0]), ([out], [x, 2.0, 2.0]), ([out], [x, "two"]),
    ):  # fmt: skip
        with pytest.raises(InvalidArgument):
            device.elementwise(code, outs, ins)
    assert get(device, out).tolist() == [3, 3, 3, 3]


def test_large_mixed_layouts(device):
    """Above the size from which dense, broadcast and strided operands get kernels of their own."""
    rng = np.random.default_rng(0)
    a, row = rng.normal(0, 1, (300, 400)).astype(np.float32), rng.normal(0, 1, 400)
    x, y = put(device, a), put(device, row.astype(np.float32))
    wide = replace(y, view=y.view.insert(0).expand((300, 400)))
    tall = replace(y, view=View((300, 400), (1, 0)))
    add = program(lambda p, q: scalar.TANH(p) + q, float32, float32)
    out = blank(device, (300, 400), "float32")
    for second, want in ((wide, row[None, :]), (tall, row[:300, None])):
        device.elementwise(add, [out], [x, second])
        np.testing.assert_allclose(get(device, out), np.tanh(a) + want, rtol=1e-5, atol=1e-6)
    turned = replace(out, view=View((300, 400), (1, 300)))
    device.elementwise(add, [turned], [x, wide])
    got = get(device, replace(out, view=View((400, 300), (300, 1)))).T
    np.testing.assert_allclose(got, np.tanh(a) + row, rtol=1e-5, atol=1e-6)


def test_output_is_an_input(device):
    a = np.arange(5000, dtype=np.float32)
    x, y = put(device, a), put(device, a + 1)
    swap = program(lambda p, q: (p * 2 + q, q - p), float32, float32)
    device.elementwise(swap, [x, y], [x, y])
    np.testing.assert_array_equal(get(device, x), a * 3 + 1)
    np.testing.assert_array_equal(get(device, y), np.ones(5000))


@pytest.mark.parametrize("shape", [(7,), (33, 65), (200, 300), (3, 5000), (100_003,), (20, 30, 40)])
@pytest.mark.parametrize("op", [scalar.SUM, scalar.MAX], ids=str)
def test_reductions(device, shape, op):
    a = np.random.default_rng(1).normal(0, 1, shape).astype(np.float32)
    x = put(device, a)
    for axes in {(0,), (len(shape) - 1,), tuple(range(len(shape)))}:
        kept = tuple(1 if k in axes else n for k, n in enumerate(shape))
        out = blank(device, kept, "float32")
        device.reduce(op, out, x, axes)
        want = op.numpy(a.astype(np.float64), axis=axes, keepdims=True)
        np.testing.assert_allclose(get(device, out), want, rtol=1e-5, atol=1e-3)


def test_reduction_of_a_program_that_uses_its_index(device):
    code = program(lambda x: x.builder.iota() + x, int64)
    x, out = put(device, np.arange(12).reshape(3, 4)), blank(device, (1, 4), "int64")
    device.reduce_fused(scalar.SUM, out, code, [x], (0,))
    assert get(device, out).tolist() == [[24, 30, 36, 42]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, np.int64, np.uint16])
@pytest.mark.parametrize(
    ("m", "k", "n"), [(1, 1, 1), (5, 7, 9), (12, 64, 32), (70, 200, 65), (1, 50, 60)]
)
def test_products(device, dtype, m, k, n):
    rng = np.random.default_rng(m)
    a, b = (
        rng.integers(-9, 9, (2, m, k)).astype(dtype),
        rng.integers(-9, 9, (2, k, n)).astype(dtype),
    )
    out = blank(device, (2, m, n), np.dtype(dtype))
    device.matmul(out, put(device, a), put(device, b))
    np.testing.assert_array_equal(get(device, out), a @ b)


def test_indexing_and_sorting(device):
    rng = np.random.default_rng(2)
    a, places = rng.normal(0, 1, (50, 7)).astype(np.float32), rng.integers(0, 50, (30, 7))
    x, index = put(device, a), put(device, places)
    out = blank(device, (30, 7), "float32")
    device.gather(out, x, index, 0)
    np.testing.assert_array_equal(get(device, out), np.take_along_axis(a, places, 0))
    target, want = put(device, a), a.copy()
    device.scatter(target, index, out, 0, "add")
    for i, j in np.ndindex(30, 7):
        want[places[i, j], j] += np.take_along_axis(a, places, 0)[i, j]
    np.testing.assert_array_equal(get(device, target), want)
    order = blank(device, (50, 7), "int64")
    device.argsort(order, x, 0, False)
    np.testing.assert_array_equal(get(device, order), np.argsort(a, 0, stable=True))


@pytest.mark.parametrize("mode", ["set", "add", "min", "max"])
def test_a_scatter_of_long_lanes(device, mode):
    """On a GPU by sorting the index, once where all lanes share it."""
    rng = np.random.default_rng(3)
    for shape, own in (((3000,), (3000,)), ((900, 5), (900, 1)), ((900, 5), (900, 5))):
        places = rng.integers(0, 70, own)
        a, old = rng.normal(0, 1, shape).astype(np.float32), np.zeros((70, *shape[1:]), np.float32)
        index = put(device, places)
        wide = replace(index, view=index.view.expand(shape))
        target = put(device, old)
        device.scatter(target, wide, put(device, a), 0, mode)
        combine = {"add": np.add, "min": np.minimum, "max": np.maximum}.get(mode)
        for place in np.ndindex(*shape):
            spot = (np.broadcast_to(places, shape)[place], *place[1:])
            old[spot] = a[place] if combine is None else combine(old[spot], a[place])
        np.testing.assert_array_equal(get(device, target), old)


def test_sub_groups_are_asked_of_the_device():
    """Their words are used where the device has them and they hold neighbours (reductions on a GPU
    are tested above, with or without)."""
    device = open_as_gpu()
    words, known = device._launcher.dialect, set(device._driver.device.extensions.split())
    if known >= {"cl_khr_subgroup_shuffle", "cl_intel_required_subgroup_size"}:
        assert words.warp in (16, 32)
        assert "sub_group_shuffle" in words.shuffle
    else:
        assert words.warp == 1
        assert words.shuffle is None
    device.close()


def test_two_threads_share_kernels(device):
    a = np.linspace(-1, 1, 40_000).astype(np.float32)
    want, wrong = np.exp(-(a.astype(np.float64) ** 2 + 0.5)) * 2, []

    def work(scale: int) -> None:
        for _ in range(30):
            x, out = put(device, a), blank(device, a.shape, "float32")
            device.elementwise(CHAIN, [out], [x, x])
            total = blank(device, (1,), "float32")
            device.reduce(scalar.SUM, total, out, (0,))
            if not np.allclose(get(device, out), want, rtol=2e-6):
                wrong.append(scale)
            if not np.allclose(get(device, total), want.sum(), rtol=1e-5):
                wrong.append(scale)
            device.free(x.buffer)
            device.free(out.buffer)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not wrong


def test_programs_that_differ_in_their_numbers_share_a_kernel(device):
    x, out = put(device, np.ones(9, np.float32)), blank(device, (9,), "float32")
    for value in (1.5, 2.5, float("inf"), -0.0):
        device.elementwise(program(lambda v, c=value: v * c, float32), [out], [x])
        np.testing.assert_array_equal(get(device, out), np.full(9, value, np.float32))
    assert len(device._driver._programs) == 1


@pytest.mark.parametrize("size", [1, 2, 4, 8, 16])
def test_copies_of_one_size_share_a_kernel(size):
    """And move any bits, those of signalling NaN too."""
    device = open_device()
    bits = np.random.default_rng(size).integers(0, 256, (300, size), np.uint8)
    if size > 1:
        bits[::3, -2:], bits[1::3, -2:] = [0xB0, 0x7F], [0xF4, 0x7F]  # of float32, of float64
    for dtype in (d for d in DTYPES if d.itemsize == size and d.kind != "bool"):
        x = put(device, bits.reshape(-1).view(dtype.numpy))
        out = blank(device, (300,), dtype.name)
        device.elementwise(copy_program(dtype, dtype), [out], [x])
        assert get(device, out).tobytes() == bits.tobytes()
    assert len(device._driver._programs) == 1
    device.close()


def test_float64_and_small_integers(device):
    a = np.array([-128, -7, 0, 7, 127], np.int8)
    x, out = put(device, a), blank(device, (5,), "int8")
    device.elementwise(program(lambda v: v // 2, int8), [out], [x])
    np.testing.assert_array_equal(get(device, out), a // 2)
    y, back = put(device, np.array([0.1, -1e300])), blank(device, (2,), "float64")
    device.elementwise(program(lambda v: v * 3.0, float64), [back], [y])
    np.testing.assert_array_equal(get(device, back), np.array([0.1, -1e300]) * 3)


def test_prototypes_cover_every_function(monkeypatch):
    """On PoCL no kernel needs the slow header: not a row's, dense or strided, nor a reduction's."""
    device = open_device()
    if not device._driver._has_guard:
        pytest.skip("only for PoCL")

    def slowly(self, source):
        raise AssertionError(source)

    monkeypatch.setattr(type(device._driver), "_compile_source", slowly)
    for row in scalar.TABLE:
        wanted = (float32, float64, complex64, complex128)
        for dtype in (d for d in wanted if d in row.takes and row.arity):
            kinds = [bool_, dtype, dtype] if row is scalar.WHERE else [dtype] * row.arity
            code = program(lambda *x, r=row: r(*x), *kinds)
            ins = [blank(device, (20,), d.name) for d in kinds]
            device.elementwise(code, [blank(device, (20,), code.dtypes[-1].name)], ins)
    for op in scalar.REDUCTIONS:
        dtype = bool_ if bool_ in op.takes else float64
        x, out = blank(device, (200, 200), dtype.name), blank(device, (1, 200), dtype.name)
        device.reduce(op, out, x, (0,))
    device.synchronize()
    device.close()
