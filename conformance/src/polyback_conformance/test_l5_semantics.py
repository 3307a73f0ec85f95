"""Level 5: order, threads, lifetimes and errors: what single calls cannot show."""

from __future__ import annotations

import locale
import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from polyback import scalar
from polyback.device import Operand
from polyback.dtype import DType, float32, int32, int64
from polyback.errors import InvalidArgument, UnsupportedOp
from polyback.program import Program, copy_program, program
from polyback.view import View
from polyback_conformance import values
from polyback_conformance.compare import Array, check_exact
from polyback_conformance.lab import Given, Lab
from polyback_conformance.layouts import OFFSET, inputs_for

pytestmark = pytest.mark.conformance_level(5)

KINDS = ["elementwise", "unaligned", "sum", "sum of rows", "sum of columns", "matmul"]
CHAIN = program(lambda x, y: scalar.EXP(x * 0.25) * y + scalar.SIN(x) / (y * y + 1.0),
                float32, float32)  # fmt: skip


def _mixed(lab: Lab, *shape: int, turn: int = 0) -> Array:
    """Terms of many sizes, so that another order of addition gives other bits."""
    rng = lab.rng("mixed", shape, turn)
    return (rng.normal(0, 1, shape) * 2.0 ** rng.uniform(-8, 8, shape)).astype(np.float32)


class Resident:
    """Arrays that stay on the device, for calls in a row without a download between them."""

    def __init__(self, lab: Lab) -> None:
        self.device, self.buffers = lab.device, [lab.device.allocate(0)]

    def put(self, data: Array) -> Operand:
        """Upload ``data``."""
        operand = self.blank(data.shape, values_dtype(data))
        self.device.upload(operand.buffer, 0, as_bytes(data))
        return operand

    def blank(self, shape: tuple[int, ...], dtype: DType) -> Operand:
        """An array of undefined contents."""
        view = View.contiguous(shape)
        buffer = self.device.allocate(view.size * dtype.itemsize)
        self.buffers.append(buffer)
        return Operand(buffer, dtype, view)

    def get(self, x: Operand) -> Array:
        """Download."""
        result = np.empty(x.view.shape, x.dtype.numpy)
        self.device.download(x.buffer, 0, as_bytes(result))
        return result

    def free(self, *operands: Operand) -> None:
        """Free these, or everything."""
        gone = [x.buffer for x in operands] or list(self.buffers)
        for buffer in gone:
            self.buffers = [b for b in self.buffers if b is not buffer]
            self.device.free(buffer)


def values_dtype(data: Array) -> DType:
    """The DType of an ndarray."""
    from polyback.dtype import dtype_of

    return dtype_of(data.dtype)


def as_bytes(data: Array) -> memoryview:
    """The bytes of a contiguous array."""
    return data.reshape(-1).view(np.uint8).data


def _calls(lab: Lab, turn: int = 0) -> dict[str, Callable[[], Array]]:
    """Calls whose bits depend on order of evaluation, or on which kernel runs."""
    x, y = _mixed(lab, 100, 333, turn=turn), np.abs(_mixed(lab, 100, 333, turn=turn + 5)) + 1
    a, b = _mixed(lab, 97, 301, turn=turn), _mixed(lab, 301, 65, turn=turn)
    return {
        "elementwise": lambda: lab.elementwise(CHAIN, [x, y], x.shape).outs[0],
        "unaligned": lambda: lab.elementwise(CHAIN, [Given(x, OFFSET), y], x.shape).outs[0],
        "sum": lambda: lab.reduce(scalar.SUM, x, (0, 1)).outs[0],
        "sum of rows": lambda: lab.reduce(scalar.SUM, x, (1,)).outs[0],
        "sum of columns": lambda: lab.reduce(scalar.SUM, x, (0,)).outs[0],
        "matmul": lambda: lab.matmul(a, b).outs[0],
    }


@pytest.mark.parametrize("kind", KINDS)
def test_determinism(lab: Lab, kind: str) -> None:
    """The same call on the same inputs gives the same bits, ten times, under load."""
    if not lab.caps.numerics.deterministic:
        pytest.skip("L5 determinism: not claimed")
    call = _calls(lab)[kind]
    first = call()
    stop = threading.Event()
    load = threading.Thread(target=_spin, args=(stop,))
    load.start()
    try:
        for k in range(10):
            check_exact(call(), first, note=f"{kind}: call {k + 2} differs from the first")
    finally:
        stop.set()
        load.join()


def _surroundings() -> dict[str, Any]:
    """What a call shares with the rest of the process."""
    tiny, step = np.full(5, 2.0**-149, np.float32), np.full(5, 2.0**-24, np.float32)
    return {
        "subnormal numbers": (tiny * np.float32(1)).tolist(),
        "rounding": [*(1 + step * np.float32(1.5)), *(1 + step * np.float32(0.5))],
        "NumPy's handling of errors": np.geterr(),
        "the locale": locale.setlocale(locale.LC_ALL),
        "the working directory": os.getcwd(),
    }


AT_FIRST = _surroundings()  # before the suite calls the device


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_leaves_its_surroundings_alone(
    lab: Lab, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """It prints nothing, and what the process shares is as it was: a library that flushes
    subnormals to zero on the caller's thread would spoil the caller's own numbers."""
    capfd.readouterr()
    _calls(lab)[kind]()
    printed = "".join(capfd.readouterr())
    assert not printed, f"{kind}: the device printed {printed[:200]!r}; a backend never prints"
    for what, value in _surroundings().items():
        assert value == AT_FIRST[what], f"a call, of {kind} or earlier, changed {what}"


def _spin(stop: threading.Event) -> None:
    data = np.ones((200, 200), np.float32)
    while not stop.is_set():
        data = np.tanh(data)


def test_two_threads(lab: Lab) -> None:
    """Two threads use one device at once, each on its own, different, arrays."""
    calls = [list(_calls(lab, turn).values()) for turn in range(2)]
    wants = [[call() for call in mine] for mine in calls]
    errors: list[BaseException] = []
    together = threading.Barrier(2)

    def work(turn: int) -> None:
        try:
            for k in range(18):  # the same kind of call at the same time, then in another order
                which = k % len(calls[turn]) if k < 12 else (k * (turn + 1)) % len(calls[turn])
                together.wait(60)
                note = f"thread {turn}, call {k}"
                check_exact(calls[turn][which](), wants[turn][which], note=note)
        except BaseException as error:
            together.abort()
            errors.append(error)

    threads = [threading.Thread(target=work, args=(turn,)) for turn in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(t.is_alive() for t in threads), "a thread is stuck"
    errors.sort(key=lambda e: isinstance(e, threading.BrokenBarrierError))  # the cause first
    if errors:
        raise errors[0]


def test_used_on_another_thread(lab: Lab) -> None:
    """A buffer made on one thread is used and freed on another."""
    here = Resident(lab)
    x = here.put(np.arange(1000, dtype=np.float32))
    found: list[Any] = []

    def work() -> None:
        out = here.blank((1000,), float32)
        lab.device.elementwise(copy_program(float32, float32), [out], [x])
        found.append(here.get(out))
        here.free()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    check_exact(found[0], np.arange(1000, dtype=np.float32))


@pytest.mark.parametrize("nbytes", [16, 4096, 1 << 20, 1 << 23])
def test_upload_source_may_be_reused(lab: Lab, nbytes: int) -> None:
    """The source is overwritten as soon as upload returns; the device has the old bytes."""
    source = bytearray(np.arange(nbytes // 4, dtype=np.int32).tobytes())
    want = np.frombuffer(bytes(source), np.uint8)
    buffer = lab.device.allocate(nbytes)
    try:
        lab.device.upload(buffer, 0, memoryview(source))
        source[:] = b"\xee" * nbytes
        got = np.zeros(nbytes, np.uint8)
        lab.device.download(buffer, 0, got.data)
        check_exact(got, want, note="upload kept a reference to its source")
    finally:
        lab.device.free(buffer)


def test_download_waits(lab: Lab) -> None:
    """A download after a long chain of calls sees the end of the chain, every time."""
    step = program(lambda x: x * 1.0009765625 + 1.0, float32)
    data = np.linspace(-1, 1, 1 << 16).astype(np.float32)
    want = data.copy()
    for _ in range(40):
        want = want * np.float32(1.0009765625) + np.float32(1)
    for _ in range(5):
        here = Resident(lab)
        now, then = here.put(data), here.blank(data.shape, float32)
        for _ in range(40):
            lab.device.elementwise(step, [then], [now])
            now, then = then, now
        got = here.get(now)
        here.free()
        check_exact(got, want, note="40 steps")


def test_synchronize_then_host_view(lab: Lab) -> None:
    """``synchronize`` returns when the work is done, and can be called at any time."""
    lab.device.synchronize()
    here = Resident(lab)
    x = here.put(np.ones(1 << 16, np.float32))
    out = here.blank((1 << 16,), float32)
    lab.device.elementwise(program(lambda v: v + 1.0, float32), [out], [x])
    lab.device.synchronize()
    lab.device.synchronize()
    if "host_view" in lab.caps.features:
        view = np.frombuffer(lab.optional.host_view(out.buffer), np.float32)
        check_exact(view[: 1 << 16].copy(), np.full(1 << 16, 2, np.float32))
        del view
    here.free()


def test_no_work_is_behind_a_host_view(lab: Lab) -> None:
    """What a call does with a buffer that the host looks at is done when it returns."""
    if "host_view" not in lab.caps.features:
        pytest.skip("host_view is not claimed")
    here, n = Resident(lab), 1 << 20
    x, out = here.put(np.ones(n, np.float32)), here.blank((n,), float32)
    slow = program(lambda v: scalar.TANH(scalar.EXP(v)) * 0.0 + v + 1.0, float32)
    seen, made = (np.frombuffer(lab.optional.host_view(b.buffer), np.float32)[:n] for b in (x, out))
    lab.device.elementwise(slow, [x], [x])
    assert (seen == 2).all(), "a write is not seen at once"
    lab.device.elementwise(slow, [out], [x])
    seen[:] = 5.0
    assert (made == 3).all(), "a call read or wrote after it had returned"
    del seen, made
    here.free()


def test_free_while_queued(lab: Lab) -> None:
    """Inputs are freed, and their memory reused and overwritten, right after the call."""
    k, n = 12, 1 << 15
    product = program(lambda x, y: x * y + x, float32, float32)
    for turn in range(4):
        here = Resident(lab)
        outs, wants = [], []
        for i in range(k):
            a = np.full(n, i + turn, np.float32)
            x, y = here.put(a), here.put(a + 1)
            out = here.blank((n,), float32)
            lab.device.elementwise(product, [out], [x, y])
            here.free(x, y)
            junk = here.put(np.full(n, -7e7, np.float32))  # may get the memory of x
            here.free(junk)
            outs.append(out)
            wants.append(a * (a + 1) + a)
        for i, (out, want) in enumerate(zip(outs, wants, strict=True)):
            check_exact(here.get(out), want, note=f"call {i}: freed inputs were still needed")
        here.free()


def test_upload_waits_for_readers(lab: Lab) -> None:
    """Uploading over an input of queued work does not change that work's result."""
    square = program(lambda x: x * x + 1.0, float32)
    here = Resident(lab)
    x = here.put(np.full(1 << 18, 3, np.float32))
    outs = [here.blank((1 << 18,), float32) for _ in range(6)]
    for k, out in enumerate(outs):
        lab.device.elementwise(square, [out], [x])
        lab.device.upload(x.buffer, 0, as_bytes(np.full(1 << 18, k, np.float32)))
    for k, out in enumerate(outs):
        before = np.float32(3 if k == 0 else k - 1)
        check_exact(here.get(out), np.full(1 << 18, before * before + 1), note=f"call {k}")
    here.free()


def test_updates_in_place(lab: Lab) -> None:
    """An output that is exactly an input, many times over: the optimiser's step."""
    step = program(lambda w, g: w - g * 0.125, float32, float32)
    here = Resident(lab)
    w, g = here.put(np.ones(5000, np.float32)), here.put(np.full(5000, 0.5, np.float32))
    for _ in range(100):
        lab.device.elementwise(step, [w], [w, g])
    check_exact(here.get(w), np.full(5000, 1 - 100 * 0.0625, np.float32))
    here.free()


# --- errors -------------------------------------------------------------------------------------


def test_wrong_operands_are_refused(lab: Lab) -> None:
    """Types that contradict the call raise InvalidArgument, and nothing is written."""
    x, y = np.ones((3, 3), np.float32), np.ones((3, 3), np.int32)
    device = lab.device
    lab.refuses(lambda o, i: device.matmul(o[0], *i), [((3, 3), float32)], [x, y], InvalidArgument)
    lab.refuses(lambda o, i: device.matmul(o[0], *i), [((3, 3), int32)], [x, x], InvalidArgument)
    lab.refuses(
        lambda o, i: device.reduce(scalar.SUM, o[0], i[0], (1,)), [((3, 1), int64)], [x],
        InvalidArgument,
    )  # fmt: skip


def _unclaimed(lab: Lab) -> Program | None:
    """A program that starts with claimed work and ends with an instruction the device lacks."""
    for row in scalar.TABLE:
        have = lab.caps.scalars.get(row.name, frozenset())
        for dtype in row.takes:
            if row.arity == 1 and row.gives == "same" and dtype.name not in have:
                return program(lambda x, r=row: (x, r(x)), dtype)
    return None


def test_refused_program_writes_nothing(lab: Lab) -> None:
    """A program with one unclaimed instruction leaves all its outputs alone."""
    code = _unclaimed(lab)
    if code is None:
        pytest.skip("L5: the device claims every row, nothing to refuse")
    dtype = code.inputs[0].dtype
    data = values.smooth(dtype, lab.rng("refused"), (40,))
    lab.refuses(
        lambda o, i: lab.device.elementwise(code, o, i), [((40,), dtype)] * 2, [data], UnsupportedOp
    )


def test_device_works_after_errors(lab: Lab) -> None:
    """Refused calls leave the device usable."""
    for _ in range(20):
        test_wrong_operands_are_refused(lab)
    x = _mixed(lab, 65)
    for layout in inputs_for(lab.caps):
        done = lab.elementwise(copy_program(float32, float32), [Given(x, layout)], x.shape)
        check_exact(done.outs[0], done.ins[0], note=done.note)


def test_open_and_close_many_times(lab: Lab) -> None:
    """Twenty devices opened, used and closed in turn."""
    for k in range(20):
        device = lab.target.open()
        buffer = device.allocate(40)
        device.upload(buffer, 0, as_bytes(np.full(10, k, np.float32)))
        got = np.zeros(10, np.float32)
        device.download(buffer, 0, as_bytes(got))
        device.free(buffer)
        device.close()
        check_exact(got, np.full(10, k, np.float32))
