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
from typing import Any, final

from polyback.simt.driver import GIVEN, Driver, Kernel, Triple


@final
@dataclass(frozen=True, eq=False)
class Place:
    """Stands for a buffer while a call is planned: first those of the call, then memory that the
    plan itself asks for."""

    index: int


@final
@dataclass(frozen=True, eq=False)
class NumberPlace:
    """Stands for a number of the call; a complex one takes two places, for its parts."""

    index: int

    @property
    def real(self) -> NumberPlace:
        """The first part."""
        return self

    @property
    def imag(self) -> NumberPlace:
        """The second part."""
        return NumberPlace(self.index + 1)


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
