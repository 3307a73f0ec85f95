"""Launches that are prepared once: what each of them brings along arrives, and nothing else."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from opencl_lab import available, blank, get, open_device, put

from polyback import scalar
from polyback.device import Operand
from polyback.dtype import complex64, float32, int64
from polyback.errors import DeviceClosed, InvalidArgument
from polyback.program import Input, program
from polyback.view import View

pytestmark = pytest.mark.skipif(not available(), reason="no OpenCL device")
ADD = program(lambda x, y: x + y, float32, float32)
SCALE = program(lambda x, n: x * n, float32, Input(float32, scalar=True))
SCALE_COMPLEX = program(lambda x, n: x * n, complex64, Input(complex64, scalar=True))


@pytest.fixture
def device():
    opened = open_device()
    yield opened
    opened.close()


def test_layouts_take_turns_on_one_kernel(device):
    """Each of them has other fixed arguments: sizes, tables, offsets."""
    data = np.arange(60, dtype=np.float32)
    x = put(device, data)
    views = [View((60,), (1,), 0), View((20,), (3,), 1), View((3, 20), (20, 1), 0),
             View((20, 3), (1, 20), 0), View((50,), (1,), 7), View((40,), (1,), 3)]  # fmt: skip
    for _ in range(3):
        for view in views:
            given = Operand(x.buffer, float32, view)
            out = blank(device, view.shape, "float32")
            device.elementwise(ADD, [out], [given, given])
            want = np.lib.stride_tricks.as_strided(
                data[view.offset :], view.shape, [4 * s for s in view.strides]
            )
            np.testing.assert_array_equal(get(device, out), 2 * want)
            device.free(out.buffer)


@pytest.mark.parametrize("shape", [(5,), (5, 1)])
def test_numbers_arrive_bit_for_bit(device, shape):
    """Zeros of both signs are equal, and not the same."""
    x, out = put(device, np.ones(shape, np.float32)), blank(device, shape, "float32")
    for n in (0.0, -0.0, 0, -0.0, float("nan"), float("inf"), 1e-45, 3, True, 1e39, -7.5, -7.5):
        device.elementwise(SCALE, [out], [x, n])
        with np.errstate(over="ignore"):
            want = np.full(shape, n).astype(np.float32)
        assert get(device, out).tobytes() == want.tobytes(), n


def test_complex_numbers_arrive(device):
    x, out = put(device, np.ones(5, np.complex64)), blank(device, (5,), "complex64")
    for n in (1 + 2j, 2 + 1j, 3, 0.5j):
        device.elementwise(SCALE_COMPLEX, [out], [x, n])
        assert get(device, out).tolist() == [n] * 5


def test_in_place_and_not_take_turns(device):
    x, y = put(device, np.ones(9, np.float32)), put(device, np.full(9, 2, np.float32))
    z = blank(device, (9,), "float32")
    for turn in range(1, 4):
        device.elementwise(ADD, [z], [x, y])
        device.elementwise(ADD, [x], [x, y])
        device.elementwise(ADD, [y], [x, y])
        device.elementwise(ADD, [y], [y, y])
        device.elementwise(SCALE, [y], [y, 0.25])
        a, b = [(3, 2.5), (5.5, 4), (9.5, 6.75)][turn - 1]
        assert (get(device, z)[0], get(device, x)[0], get(device, y)[0]) == (a, a, b)


def test_two_outputs_of_which_one_is_an_input(device):
    both = program(lambda x, y: (x + y, x - y), float32, float32)
    for place in range(4):  # which output is which input
        ins = [put(device, np.full(7, v, np.float32)) for v in (5, 3)]
        outs = [blank(device, (7,), "float32") for _ in range(2)]
        outs[place // 2] = ins[place % 2]
        for want in ((8, 2),):
            device.elementwise(both, outs, ins)
            assert tuple(get(device, x)[0] for x in outs) == want


def test_a_freed_buffer_is_refused_and_the_next_launch_is_right(device):
    x, out = put(device, np.ones(9, np.float32)), blank(device, (9,), "float32")
    gone = put(device, np.ones(9, np.float32))
    device.elementwise(ADD, [out], [x, gone])
    device.free(gone.buffer)
    for _ in range(2):
        for call in (
            lambda: device.elementwise(ADD, [out], [x, gone]),
            lambda: device.reduce(scalar.SUM, blank(device, (1,), "float32"), gone, (0,)),
        ):
            with pytest.raises(InvalidArgument, match="freed"):
                call()
        device.elementwise(ADD, [out], [x, x])
        assert get(device, out).tolist() == [2] * 9


def test_wrong_operands_of_a_known_program_are_refused(device):
    x, out = put(device, np.ones(9, np.float32)), blank(device, (9,), "float32")
    device.elementwise(ADD, [out], [x, x])
    device.elementwise(SCALE, [out], [x, 2.0])
    other, whole = blank(device, (3, 3), "float32"), blank(device, (9,), "int64")
    wrong: list[Any] = [
        (ADD, [out], [x]), (ADD, [out], [x, x, x]), (ADD, [], [x, x]), (ADD, [out, out], [x, x]),
        (ADD, [out], [x, 1.0]), (ADD, [out], [x, other]), (ADD, [whole], [x, x]),
        (ADD, [out], [x, Operand(x.buffer, int64, x.view)]), (SCALE, [out], [x, x]),
        (SCALE, [out], [2.0, x]), (SCALE, [out], [x, "two"]), (SCALE, [out], [x]),
    ]  # fmt: skip
    for given in wrong:
        with pytest.raises(InvalidArgument):
            device.elementwise(*given)


def test_kernel_objects_are_made_for_threads_not_for_launches(device):
    meet, wrong = threading.Barrier(4), []

    def work(k: int) -> None:
        x, out = put(device, np.full(99, k, np.float32)), blank(device, (99,), "float32")
        meet.wait(30)
        for n in range(50):
            device.elementwise(SCALE, [out], [x, float(n)])
            if get(device, out)[98] != k * n:
                wrong.append((k, n))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    (code,) = device._launcher._codes.values()
    (launch,) = code.launches.values()
    (variant,) = launch._variants.values()
    assert 1 <= len(variant.prepared.compiled.idle) <= 4


def test_a_closed_device_launches_nothing_it_knew():
    device = open_device()
    x, out = put(device, np.ones(9, np.float32)), blank(device, (9,), "float32")
    total = blank(device, (1,), "float32")

    def calls() -> list[Any]:
        return [lambda: device.elementwise(ADD, [out], [x, x]),
                lambda: device.reduce(scalar.SUM, total, x, (0,))]  # fmt: skip

    for call in calls():
        call()
    device.close()
    for call in calls():
        with pytest.raises(DeviceClosed):
            call()
