"""Plans: what a call launches, found once for its types and layouts and then only repeated.

Which kernels a call needs, on which grids, with which tables and how much memory in between,
depends on the types and views of its operands, never on what is in them. So the first call of a
kind is *planned*: its family runs on places instead of buffers, against a :class:`Planner`, which
notes what it would launch. The plan then runs with the buffers of this call and of all later ones
of the kind, without looking at a view again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import RLock
from typing import Any, Final, final

from polyback.device import Operand
from polyback.program import Number, Program
from polyback.simt.driver import GIVEN, Driver, Kernel, Triple
from polyback.simt.lifting import number_arguments
from polyback.simt.places import NumberPlace, Place

MOST_PLANS: Final = 4096


@final
@dataclass(frozen=True)
class Step:
    """One launch. Before it, ``takes`` bytes each are asked for; after it, the places ``drops`` are
    given back. ``numbers`` are numbers and places."""

    prepared: Any
    takes: Sequence[int]
    buffers: Sequence[int]
    numbers: Sequence[Any]
    drops: list[int]


@final
class Plan:
    """The launches of one kind of call."""

    __slots__ = ("_driver", "_only", "_steps")

    def __init__(self, driver: Driver, steps: Sequence[Step], operands: int) -> None:
        self._driver, self._steps = driver, steps
        self._only: tuple[Any, ...] | None = None  # one launch of the operands in their order
        if len(steps) == 1:
            step = steps[0]
            plain = not any(isinstance(x, NumberPlace) for x in step.numbers)
            if step.buffers == [*range(operands)] and plain and not step.takes:
                self._only = step.prepared, step.numbers

    def run(self, buffers: Sequence[Any], numbers: Sequence[Any] = ()) -> None:
        """Queue it for these operands."""
        driver = self._driver
        if self._only is not None:
            prepared, fixed = self._only
            driver.start(prepared, buffers, fixed)
            return
        held, own = [*buffers], len(buffers)
        try:
            for step in self._steps:
                for nbytes in step.takes:
                    held.append(driver.allocate(nbytes))
                given = step.numbers
                if numbers:
                    given = tuple(
                        [numbers[x.index] if type(x) is NumberPlace else x for x in given]
                    )
                driver.start(step.prepared, [held[k] for k in step.buffers], given)
                for k in step.drops:
                    driver.free(held[k])
        finally:
            for buffer in held[own:]:
                driver.free(buffer)


@final
class Planner:
    """Takes a driver's place while a call is planned; families of kernels know no other."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self._lock = RLock()
        self._steps: list[Step] = []
        self._takes: list[int] = []  # since the last launch
        self._places = 0

    def plan(self, operands: int, work: Callable[[], None]) -> Plan:
        """The plan of what ``work`` launches for operands at the first ``operands`` places. Whoever
        plans meanwhile waits: most of the time goes into compiling."""
        with self._lock:
            self._steps, self._takes, self._places = [], [], operands
            work()
            return Plan(self.driver, self._steps, operands)

    # --- what families ask of a driver -----------------------------------------------------------

    def compile(self, kernel: Kernel) -> Any:
        """At once."""
        return self.driver.compile(kernel)

    def constants(self, words: Sequence[int]) -> Any:
        """At once; the plan keeps them."""
        return self.driver.constants(words)

    def allocate(self, nbytes: int) -> Place:
        """Memory that each run of the plan asks for."""
        self._takes.append(nbytes)
        self._places += 1
        return Place(self._places - 1)

    def free(self, place: Place) -> None:
        """Each run gives it back after the last launch so far, or at its end."""
        if place.index < self._places - len(self._takes):
            self._steps[-1].drops.append(place.index)

    def launch(self, compiled: Any, groups: Triple, arguments: Sequence[Any]) -> None:
        """Prepare it and note it down; places are given at each run, the rest is fixed."""
        words = [GIVEN if isinstance(x, (Place, NumberPlace)) else x for x in arguments]
        numbers = [x for x in arguments if isinstance(x, NumberPlace)]
        buffers = [x for x in arguments if isinstance(x, Place)]
        self.start(self.driver.prepare(compiled, groups, words), buffers, numbers)

    def start(self, prepared: Any, buffers: Sequence[Any], numbers: Sequence[Any]) -> None:
        """Note it down."""
        places = [x.index for x in buffers]
        self._steps.append(Step(prepared, self._takes, places, numbers, []))
        self._takes = []


@final
class Plans:
    """The plans of one device. ``check_open`` raises DeviceClosed."""

    def __init__(self, planner: Planner, check_open: Callable[[], None]) -> None:
        self._planner, self._check_open = planner, check_open
        self._known: dict[Any, Plan] = {}

    def forget(self) -> None:
        """Drop everything, before the device closes."""
        self._known.clear()

    def run(self, work: Callable[..., None], operands: Sequence[Operand | None], *how: Any) -> None:
        """Launch what ``work(*operands, *how)`` launches, which checks them first."""
        key: list[Any] = [work, how]
        buffers: list[Any] = []
        for x in operands:
            if x is None:
                key.append(None)
                buffers.append(None)
            else:
                key += (x.dtype, x.view)
                buffers.append(x.buffer)
        plan = self._known.get(tuple(key))
        if plan is None:
            places = [_place(k, x) for k, x in enumerate(operands)]
            plan = self._plan(tuple(key), len(places), lambda: work(*places, *how))
        plan.run(buffers)

    def run_fused(
        self, work: Callable[..., None], operands: Sequence[Operand], program: Program,
        ins: Sequence[Operand | Number | None], *how: Any,
    ) -> None:  # fmt: skip
        """Launch what ``work(*operands, program, ins, *how)`` launches; each call brings its own
        numbers."""
        key: list[Any] = [work, program, len(ins), how]
        arrays, numbers = list(operands), list[Any]()
        for operand in operands:
            key += (operand.dtype, operand.view)
        places: list[Any] = []
        for x, expected in zip(ins, program.inputs):
            if isinstance(x, Operand):
                key += (x.dtype, x.view)
                places.append(_place(len(arrays), x))
                arrays.append(x)
            elif x is None:
                key.append(None)
                places.append(None)
            else:
                key.append(True)
                places.append(NumberPlace(len(numbers)))
                numbers += number_arguments(x, expected.dtype)
        plan = self._known.get(tuple(key))
        if plan is None:
            given: Any = places if len(places) == len(ins) else ins  # which a check refuses
            first = [_place(k, x) for k, x in enumerate(operands)]
            plan = self._plan(tuple(key), len(arrays), lambda: work(*first, program, given, *how))
        plan.run([x.buffer for x in arrays], numbers)

    def _plan(self, key: tuple[Any, ...], operands: int, work: Callable[[], None]) -> Plan:
        self._check_open()
        plan = self._planner.plan(operands, work)
        if len(self._known) >= MOST_PLANS:
            self._known.clear()
        self._known[key] = plan
        return plan


def _place(index: int, x: Operand | None) -> Operand | None:
    return None if x is None else Operand(Place(index), x.dtype, x.view)
