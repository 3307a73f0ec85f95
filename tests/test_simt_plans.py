"""Plans of the kernel kit: what is launched once and repeated, over a driver that only notes."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from polyback.device import Operand
from polyback.dtype import float32
from polyback.errors import DeviceClosed
from polyback.program import Input, Number, program
from polyback.simt.driver import GIVEN
from polyback.simt.plans import Planner, Plans
from polyback.view import View

SCALE = program(lambda x, n: x * n, float32, Input(float32, scalar=True))


class Driver:
    """Notes launches as (kernel, its arguments) and memory as numbers."""

    def __init__(self) -> None:
        self.notes: list[Any] = []
        self.next, self.fails = 100, False

    def allocate(self, nbytes: int) -> int:
        self.next += 1
        self.notes.append(("take", nbytes, self.next))
        return self.next

    def free(self, buffer: int) -> None:
        self.notes.append(("free", buffer))

    def prepare(self, compiled: str, groups: Any, arguments: Any) -> Any:
        return compiled, list(arguments)

    def start(self, prepared: Any, buffers: Any, numbers: Any) -> None:
        if self.fails:
            raise MemoryError
        name, arguments = prepared
        given = {int: iter(buffers), float: iter(numbers)}
        kinds = [float if k in name else int for k in map(str, range(len(arguments)))]
        words = [
            next(given[kind]) if a is GIVEN else a for a, kind in zip(arguments, kinds, strict=True)
        ]
        self.notes.append((name, *words))


class Lab:
    def __init__(self) -> None:
        self.driver, self.planned, self.open = Driver(), 0, True
        self.planner: Any = Planner(self.driver)  # type: ignore[arg-type]
        self.plans = Plans(self.planner, self.check_open)

    def check_open(self) -> None:
        if not self.open:
            raise DeviceClosed("closed")

    def one(self, out: Operand, x: Operand, axis: int) -> None:
        self.planned += 1
        if axis < 0:
            raise ValueError("no such axis")
        self.planner.launch("one", (1, 1, 1), (out.buffer, 0, x.buffer, axis))

    def two(self, out: Operand, x: Operand | None) -> None:
        """Through memory of its own, which it gives back between."""
        self.planned += 1
        first = self.planner.allocate(40)
        self.planner.launch("first", (1, 1, 1), ((x or out).buffer, first))
        second = self.planner.allocate(80)
        self.planner.launch("second", (1, 1, 1), (first, second))
        self.planner.free(first)
        self.planner.launch("third", (1, 1, 1), (second, out.buffer))
        self.planner.free(second)

    def fused(self, out: Operand, program: Any, ins: list[Operand | Number], axis: int) -> None:
        self.planned += 1
        x, n = ins
        assert isinstance(x, Operand)
        self.planner.launch("fused 3", (1, 1, 1), (out.buffer, x.buffer, 7, n))


@pytest.fixture
def lab() -> Lab:
    return Lab()


def operand(buffer: int, *shape: int) -> Operand:
    return Operand(buffer, float32, View.contiguous(shape))


def test_a_kind_of_call_is_planned_once(lab: Lab):
    for k in range(3):
        lab.plans.run(lab.one, (operand(k, 4), operand(10 + k, 4)), 0)
    assert lab.driver.notes == [("one", k, 0, 10 + k, 0) for k in range(3)]
    assert lab.planned == 1
    lab.plans.run(lab.one, (operand(1, 4), operand(2, 5)), 0)  # another view
    lab.plans.run(lab.one, (operand(1, 4), operand(2, 4)), 1)  # another axis
    assert lab.planned == 3
    assert lab.driver.notes[-1] == ("one", 1, 0, 2, 1)


def test_one_buffer_in_two_places_plans_nothing_for_others(lab: Lab):
    lab.plans.run(lab.one, (operand(1, 4), operand(1, 4)), 0)
    lab.plans.run(lab.one, (operand(1, 4), operand(2, 4)), 0)
    assert lab.driver.notes == [("one", 1, 0, 1, 0), ("one", 1, 0, 2, 0)]


def test_memory_in_between_is_taken_late_and_given_back_early(lab: Lab):
    for _ in range(2):
        lab.driver.next = 100
        lab.driver.notes.clear()
        lab.plans.run(lab.two, (operand(1, 4), operand(2, 4)))
        assert lab.driver.notes[:8] == [
            ("take", 40, 101), ("first", 2, 101), ("take", 80, 102), ("second", 101, 102),
            ("free", 101), ("third", 102, 1), ("free", 102), ("free", 101),
        ]  # fmt: skip
    assert lab.planned == 1


def test_an_operand_that_is_left_out(lab: Lab):
    lab.plans.run(lab.two, (operand(1, 4), None))
    assert lab.driver.notes[1] == ("first", 1, 101)
    lab.plans.run(lab.two, (operand(1, 4), operand(2, 4)))
    assert lab.planned == 2


def test_memory_goes_back_when_a_launch_fails(lab: Lab):
    lab.driver.fails = True
    with pytest.raises(MemoryError):
        lab.plans.run(lab.two, (operand(1, 4), operand(2, 4)))
    assert lab.driver.notes == [("take", 40, 101), ("free", 101)]


def test_numbers_are_given_at_each_call(lab: Lab):
    for n in (0.5, -0.0, 3.0):
        lab.plans.run_fused(lab.fused, (operand(1, 4),), SCALE, [operand(2, 4), n], 0)
        assert repr(lab.driver.notes[-1]) == repr(("fused 3", 1, 2, 7, n))
    assert lab.planned == 1


def test_numbers_and_arrays_that_changed_places_are_another_kind(lab: Lab):
    lab.plans.run_fused(lab.fused, (operand(1, 4),), SCALE, [operand(2, 4), 0.5], 0)
    with pytest.raises(AssertionError):
        lab.plans.run_fused(lab.fused, (operand(1, 4),), SCALE, [0.5, operand(2, 4)], 0)
    for ins in ([operand(2, 4)], [operand(2, 4), 0.5, 0.5]):
        with pytest.raises(ValueError, match="unpack"):
            lab.plans.run_fused(lab.fused, (operand(1, 4),), SCALE, ins, 0)


def test_what_was_refused_is_looked_at_again(lab: Lab):
    for _ in range(2):
        with pytest.raises(ValueError, match="no such axis"):
            lab.plans.run(lab.one, (operand(1, 4), operand(2, 4)), -1)
    assert lab.planned == 2
    assert not lab.driver.notes
    lab.plans.run(lab.one, (operand(1, 4), operand(2, 4)), 1)
    assert lab.driver.notes == [("one", 1, 0, 2, 1)]


def test_a_closed_device_plans_nothing(lab: Lab):
    lab.plans.run(lab.one, (operand(1, 4), operand(2, 4)), 0)
    lab.open = False
    lab.plans.forget()
    with pytest.raises(DeviceClosed):
        lab.plans.run(lab.one, (operand(1, 4), operand(2, 4)), 0)


def test_threads_plan_one_after_another(lab: Lab):
    """Two kinds planned at the same time do not get each other's launches."""
    meet = threading.Barrier(2)

    def work(shape: int) -> None:
        meet.wait(10)
        for k in range(50):
            lab.plans.run(lab.two, (operand(shape, shape + k), operand(shape, shape + k)))

    threads = [threading.Thread(target=work, args=(1000 * n,)) for n in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert lab.planned == 100
    first = [note for note in lab.driver.notes if note[0] in ("first", "third")]
    assert len(first) == 200
