"""Stepwise and ContiguousOnly: the same bits as the reference on random programs and layouts."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from polyback import scalar
from polyback.adapters import ContiguousOnly, adapt
from polyback.config import Config
from polyback.device import Device, Operand
from polyback.dtype import bool_, float32, float64, int32, int64
from polyback.errors import DeviceClosed, InvalidArgument, UnsupportedOp
from polyback.features import Window
from polyback.program import Input, Program, Value, copy_program, fill_program, program
from polyback.view import View
from polyback_minimal import MinimalBackend, MinimalDevice
from polyback_numpy_ref.backend import NumpyBackend


class Strided(MinimalDevice):
    """The example's device over NumPy's own strides: Stepwise without ContiguousOnly. It counts
    live buffers and refuses operands that break Stepwise's promises."""

    def __init__(self) -> None:
        super().__init__()
        self._caps = replace(self._caps, layouts="strided")
        self.live = 0

    def allocate(self, nbytes: int) -> Any:
        self.live += 1
        return super().allocate(nbytes)

    def free(self, buffer: Any) -> None:
        self.live -= 1
        buffer[:] = 0xA5  # whoever reads it after this gets nonsense

    def _store(self, out: Operand, kernel: Any, *operands: Operand) -> None:
        for x in operands:
            assert x.view.shape == out.view.shape or kernel is np.matmul or "reduce" in repr(kernel)
            assert x.buffer is not out.buffer
        with np.errstate(all="ignore"):
            _strided(out)[...] = kernel(*map(_strided, operands))


class Dense(Strided):
    """As Strided, but it only takes dense operands."""

    def __init__(self) -> None:
        super().__init__()
        self._caps = replace(self._caps, layouts="contiguous")

    def _store(self, out: Operand, kernel: Any, *operands: Operand) -> None:
        for x in (out, *operands):
            assert x.view.strides == View.contiguous(x.view.shape).strides
        super()._store(out, kernel, *operands)


def _strided(x: Operand) -> Any:
    if x.view.size == 0:
        return np.empty(x.view.shape, x.dtype.numpy)
    size = x.dtype.itemsize
    strides = tuple(s * size for s in x.view.strides)
    return np.ndarray(x.view.shape, x.dtype.numpy, x.buffer, x.view.offset * size, strides)


def _make(kind: str) -> tuple[Device, Strided]:
    inner = Strided() if kind == "strided" else Dense()
    return adapt(inner), inner


@pytest.fixture(params=["strided", "dense"])
def made(request: pytest.FixtureRequest) -> Iterator[Device]:
    device, inner = _make(request.param)
    yield device
    assert inner.live == 0, "a temporary was not freed"


REFERENCE = NumpyBackend().open(0, Config())
TYPES = (bool_, int32, int64, float32)


class Arrays:
    """The same operands on two devices."""

    def __init__(self, rng: random.Random, *devices: Device) -> None:
        self.rng, self.devices, self.made = rng, devices, []

    def bytes(self, count: int) -> Any:
        return np.array([self.rng.randrange(256) for _ in range(count)], np.uint8)

    def operand(self, dtype: Any, view: View) -> list[Operand]:
        low, high = view.bounds
        assert low >= 0
        values = self.bytes((high + 3) * dtype.itemsize)
        if dtype is bool_:
            values &= 1
        elif dtype is float32:
            values = (values.view(np.int8).astype(np.float32)[: high + 3] / 8).view(np.uint8)
        return [self._place(device, dtype, view, values) for device in self.devices]

    def _place(self, device: Device, dtype: Any, view: View, values: Any) -> Operand:
        buffer = device.allocate(values.nbytes)
        device.upload(buffer, 0, values.data)
        self.made.append((device, buffer))
        return Operand(buffer, dtype, view)

    def free(self) -> None:
        for device, buffer in self.made:
            device.free(buffer)


def _bytes(device: Device, x: Operand) -> bytes:
    """The operand's whole buffer up to its last element, so that stray writes show."""
    data = np.zeros((x.view.bounds[1] + 3) * x.dtype.itemsize, np.uint8)
    device.download(x.buffer, 0, data.data)
    return data.tobytes()


def random_view(rng: random.Random, shape: Sequence[int], writable: bool = False) -> View:
    """A view of ``shape``: permuted, stepped, flipped, offset, and broadcast unless writable."""
    order = rng.sample(range(len(shape)), len(shape))
    steps = [rng.choice((1, 1, 2)) for _ in shape]
    full = View.contiguous(tuple(shape[a] * steps[a] for a in order))
    view = View(full.shape, full.strides, rng.choice((0, 0, 3)))
    for k, a in enumerate(order):
        view = view.slice(k, 0, shape[a], steps[a])
    view = view.permute([order.index(a) for a in range(len(shape))])
    flips = [a for a in range(len(shape)) if rng.random() < 0.3]
    view = view.flip(flips)
    if not writable and shape and rng.random() < 0.4:
        a = rng.randrange(len(shape))
        strides = [0 if k == a else s for k, s in enumerate(view.strides)]
        low = min(0, (shape[a] - 1) * view.strides[a]) if shape[a] else 0
        view = View(view.shape, tuple(strides), view.offset + low)
    return view


ROWS = [
    r
    for r in scalar.TABLE
    if r.arity in (1, 2) and r.gives in ("same", "bool") and not r.ulp and r.takes & {*TYPES}
]


def random_program(rng: random.Random) -> Program:
    """Up to eight random instructions over the example's dtypes, with 1 to 3 outputs."""
    inputs = [Input(rng.choice(TYPES), scalar=rng.random() < 0.2) for _ in range(rng.randint(1, 3))]
    inputs[0] = Input(inputs[0].dtype)

    def body(*values: Value) -> tuple[Value, ...]:
        known = list(values)
        for _ in range(rng.randint(0, 8)):
            x = rng.choice(known)
            kind = rng.randrange(6)
            same = [v for v in known if v.dtype is x.dtype]
            rows = [r for r in ROWS if x.dtype in r.takes and (x.dtype is float32 or r.arity)]
            if kind == 0:
                known.append(x.cast(rng.choice(TYPES)))
            elif kind == 1 and any(v.dtype is bool_ for v in known):
                condition = rng.choice([v for v in known if v.dtype is bool_])
                known.append(scalar.WHERE(condition, x, rng.choice(same)))
            elif kind == 2:
                known.append(x.builder.constant(True if x.dtype is bool_ else 3, x.dtype))
            elif kind == 3:
                known.append(x.builder.iota())
            elif rows:
                row = rng.choice(rows)
                known.append(x.apply(row, tuple(rng.choice(same) for _ in range(row.arity))))
        return tuple(rng.choice(known) for _ in range(rng.randint(1, 3)))

    return program(body, *inputs)


NUMBERS = {bool_: True, int32: -7, int64: 11, float32: 2.5}


@pytest.mark.parametrize("seed", range(150))
def test_random_programs_equal_the_reference(made: Device, seed: int) -> None:
    rng = random.Random(seed)
    prog = random_program(rng)
    shape = tuple(rng.choice((0, 1, 2, 3, 5)) for _ in range(rng.randint(0, 4)))
    arrays = Arrays(rng, made, REFERENCE)
    ins = [
        [NUMBERS[i.dtype]] * 2 if i.scalar else arrays.operand(i.dtype, random_view(rng, shape))
        for i in prog.inputs
    ]
    outs = [
        arrays.operand(prog.dtypes[o], random_view(rng, shape, writable=True)) for o in prog.outputs
    ]
    returned = any(o < len(prog.inputs) for o in prog.outputs)  # test_swapped_outputs_in_place
    for k, (given, out) in enumerate(zip(prog.inputs, outs)):
        same = not given.scalar and given.dtype is out[0].dtype
        if same and not returned and rng.random() < 0.5:
            ins[k] = out
    for n, device in enumerate((made, REFERENCE)):
        device.elementwise(prog, [o[n] for o in outs], [x[n] for x in ins])
    for mine, theirs in outs:
        assert _bytes(made, mine) == _bytes(REFERENCE, theirs), str(prog)
    arrays.free()


@pytest.mark.parametrize("seed", range(40))
def test_reduce_and_matmul_equal_the_reference(made: Device, seed: int) -> None:
    rng = random.Random(seed)
    arrays = Arrays(rng, made, REFERENCE)
    shape = tuple(rng.randint(1, 4) for _ in range(rng.randint(1, 4)))
    axes = tuple(sorted(rng.sample(range(len(shape)), rng.randint(1, len(shape)))))
    kept = tuple(1 if a in axes else n for a, n in enumerate(shape))
    op = rng.choice([scalar.SUM, scalar.MAX, scalar.MIN])
    xs = arrays.operand(float32, random_view(rng, shape))
    outs = arrays.operand(float32, random_view(rng, kept, writable=True))
    batch, m, k, n = (rng.randint(1, 4) for _ in range(4))
    a = arrays.operand(float32, random_view(rng, (batch, m, k)))
    b = arrays.operand(float32, random_view(rng, (batch, k, n)))
    products = arrays.operand(float32, random_view(rng, (batch, m, n), writable=True))
    for d, device in enumerate((made, REFERENCE)):
        device.reduce(op, outs[d], xs[d], axes)
        device.matmul(products[d], a[d], b[d])  # inputs are eighths: every sum is exact
    assert _bytes(made, outs[0]) == _bytes(REFERENCE, outs[1])
    assert _bytes(made, products[0]) == _bytes(REFERENCE, products[1])
    arrays.free()


def test_swapped_outputs_in_place(made: Device) -> None:
    """out0 = t1 and out1 = t0, where out0 is t0 and out1 is t1."""
    arrays = Arrays(random.Random(0), made)
    view = View.contiguous((3,))
    (x,), (y,) = arrays.operand(int32, view), arrays.operand(int32, view)
    before = _bytes(made, x)[:12], _bytes(made, y)[:12]
    made.elementwise(program(lambda s, t: (t, s), int32, int32), [x, y], [x, y])
    assert (_bytes(made, x)[:12], _bytes(made, y)[:12]) == before[::-1]
    arrays.free()


def test_output_is_not_written_before_its_input_is_read(made: Device) -> None:
    arrays = Arrays(random.Random(1), made, REFERENCE)
    xs = arrays.operand(int32, View.contiguous((4,)))
    ys = arrays.operand(int32, View.contiguous((4,)))
    prog = program(lambda x: ((first := x + 1) * 2, first * x), int32)
    for n, device in enumerate((made, REFERENCE)):
        device.elementwise(prog, [xs[n], ys[n]], [xs[n]])
    assert _bytes(made, xs[0]) == _bytes(REFERENCE, xs[1])
    assert _bytes(made, ys[0]) == _bytes(REFERENCE, ys[1])
    arrays.free()


def test_refusals_write_nothing(made: Device) -> None:
    arrays = Arrays(random.Random(2), made)
    (x,), (out,) = (arrays.operand(float32, View.contiguous((2, 3))) for _ in range(2))
    (doubles,) = arrays.operand(float64, View.contiguous((2, 3)))
    (small,) = arrays.operand(float32, View.contiguous((3,)))
    before = _bytes(made, out)
    with pytest.raises(UnsupportedOp, match="float64 storage"):
        made.elementwise(copy_program(float64, float64), [doubles], [doubles])
    copy = copy_program(float32, float32)
    for outs, ins in (([out], [small]), ([out], []), ([], [x]), ([out], [1.0]), ([doubles], [x])):
        with pytest.raises(InvalidArgument):
            made.elementwise(copy, outs, ins)
    with pytest.raises(InvalidArgument, match="want a number"):
        made.elementwise(fill_program(float32), [out], [x])
    with pytest.raises(UnsupportedOp):
        made.reduce(scalar.SUM, doubles, doubles, (0,))
    for axes in ((), (2,), (1, 0), (0, 0), (-1,)):
        with pytest.raises(InvalidArgument, match="axes"):
            made.reduce(scalar.SUM, out, x, axes)
    with pytest.raises(InvalidArgument, match="want float32"):
        made.reduce(scalar.SUM, out, x, (0,))
    with pytest.raises(InvalidArgument, match="do not fit"):
        made.matmul(out, x, x)
    with pytest.raises(UnsupportedOp):
        made.matmul(doubles, doubles, doubles)
    with pytest.raises(InvalidArgument, match="types differ"):
        made.matmul(out, x, doubles)
    assert _bytes(made, out) == before
    arrays.free()


def test_temporaries_are_freed_when_a_kernel_fails() -> None:
    class Failing(Strided):
        def binary(self, row: Any, out: Operand, x: Operand, y: Operand) -> None:
            raise RuntimeError("kernel")

    device = Failing()
    view = View.contiguous((2,))
    x, out = (Operand(device.allocate(8), float32, view) for _ in range(2))
    with pytest.raises(RuntimeError, match="kernel"):
        device.elementwise(program(lambda t: -t + 1.0, float32), [out], [x])
    assert device.live == 2


def test_temporaries_live_no_longer_than_needed() -> None:
    class Peak(Strided):
        peak = 0

        def allocate(self, nbytes: int) -> Any:
            buffer = super().allocate(nbytes)
            self.peak = max(self.peak, self.live)
            return buffer

    def chain(x: Value) -> Value:
        for _ in range(20):
            x = -x
            x = x + x
        return x

    device = Peak()
    x, out = (Operand(device.allocate(8), float32, View.contiguous((2,))) for _ in range(2))
    device.elementwise(program(chain, float32), [out], [x])
    assert device.peak <= 2 + 2


def test_caps_of_the_wrapped_device() -> None:
    inner = Dense()
    device = adapt(inner)
    assert isinstance(device, ContiguousOnly)
    assert device.caps.layouts == "strided"
    assert device.caps is device.caps
    assert adapt(device) is device
    assert device.caps.storage == inner.caps.storage
    assert not hasattr(device, "memory_stats")
    assert not hasattr(device, "anything")


def test_closing_the_wrapped_device() -> None:
    device = adapt(MinimalBackend().open(0, Config()))
    device.close()
    device.close()
    for call in (lambda: device.allocate(4), device.synchronize):
        with pytest.raises(DeviceClosed):
            call()


@pytest.mark.parametrize("seed", range(10))
def test_features_of_a_contiguous_device(seed: int) -> None:
    """The reference itself, restricted to dense operands, keeps its features."""
    rng = random.Random(seed)
    inner = NumpyBackend().open(0, Config())
    inner._caps = replace(inner.caps, layouts="contiguous")
    device: Any = adapt(inner)
    assert device.caps.features == inner.caps.features - {"prepare"}  # nothing to keep
    arrays = Arrays(rng, device, REFERENCE)
    shape = (3, 4)
    x = arrays.operand(float32, random_view(rng, shape))
    order = arrays.operand(int64, random_view(rng, shape, writable=True))
    taken, target = (
        arrays.operand(float32, random_view(rng, shape, writable=True)) for _ in range(2)
    )
    total = arrays.operand(float32, random_view(rng, (3, 1), writable=True))
    place = arrays.operand(int64, random_view(rng, (3, 1), writable=True))
    running, weights, norm, sorted_ = (
        arrays.operand(float32, random_view(rng, shape, writable=True)) for _ in range(4)
    )
    mean, scale = (
        arrays.operand(float32, random_view(rng, (3, 1), writable=True)) for _ in range(2)
    )
    square = program(lambda t: t * t, float32)
    for n, d in enumerate((device, REFERENCE)):
        d.argsort(order[n], x[n], 1, False)
        d.sort(sorted_[n], x[n], 1, True)
        d.gather(taken[n], x[n], order[n], 1)
        d.scatter(target[n], order[n], x[n], 1, "add")
        d.reduce_fused(scalar.SUM, total[n], square, [x[n]], (1,))
        d.scatter(target[n], order[n], x[n], 1, "max")
        d.scan(scalar.SUM, running[n], x[n], 1)
        d.argreduce(scalar.MIN, place[n], x[n], 1)
        d.softmax(weights[n], x[n], 0, False)
        d.layer_norm(norm[n], mean[n], scale[n], x[n], taken[n], None, 1e-5)
    found = (order, sorted_, taken, target, total, running, place, weights, norm, mean, scale)
    for mine, theirs in found:
        assert _bytes(device, mine) == _bytes(REFERENCE, theirs)
    assert device.memory_stats().live > 0
    device.trim()
    assert len(device.host_view(x[0].buffer)) > 0
    arrays.free()


@pytest.mark.parametrize("seed", range(5))
def test_windows_on_a_contiguous_device(seed: int) -> None:
    """Convolution with its gradients, and pooling with and without places."""
    rng = random.Random(seed)
    inner = NumpyBackend().open(0, Config())
    inner._caps = replace(inner.caps, layouts="contiguous")
    device: Any = adapt(inner)
    arrays = Arrays(rng, device, REFERENCE)
    image, weights, result = (2, 4, 5, 6), (6, 2, 3, 2), (2, 6, 3, 7)
    window = Window((2, 1), (1, 1))
    x, w, g = (arrays.operand(float32, random_view(rng, s)) for s in (image, weights, result))
    y, dx, dw, most, total = (
        arrays.operand(float32, random_view(rng, s, writable=True))
        for s in (result, image, weights, (2, 4, 3, 3), (2, 4, 3, 3))
    )
    place = arrays.operand(int64, random_view(rng, (2, 4, 3, 3), writable=True))
    for n, d in enumerate((device, REFERENCE)):
        d.conv2d(y[n], x[n], w[n], window, 2)
        d.conv2d_input(dx[n], g[n], w[n], window, 2)
        d.conv2d_weight(dw[n], x[n], g[n], window, 2)
        d.pool2d(scalar.MAX, most[n], place[n], x[n], (2, 2), Window((2, 2)))
        d.pool2d(scalar.SUM, total[n], None, x[n], (2, 2), Window((2, 2)))
    for mine, theirs in (y, dx, dw, most, place, total):
        assert _bytes(device, mine) == _bytes(REFERENCE, theirs)
    arrays.free()
