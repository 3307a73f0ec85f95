"""A program made ready for operands of certain types, shapes and strides (feature ``prepare``)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final, final

from polyback.device import Operand
from polyback.errors import InvalidArgument
from polyback.program import Number
from polyback_cpu_c import driver
from polyback_cpu_c.compiler import Plan
from polyback_cpu_c.layout import Layout, Request, layout
from polyback_cpu_c.memory import Opened
from polyback_cpu_c.operands import pack_numbers, shift

AT_ONCE: Final = 1 << 28  # elements between two chances for Ctrl-C
_NONE: Final[frozenset[int]] = frozenset()


@cache
def _reader(ins: tuple[int, ...], outs: tuple[int, ...]) -> Callable[..., tuple[Any, ...]]:
    """``(outs, ins) -> words``: the address of each array, whose item sizes these are, and the
    numbers (size 0). Written out as Python for each signature, it takes a third of a loop's time,
    and every operation pays for it."""
    given = [(f"ins[{k}]", size) for k, size in enumerate(ins)]
    given += [(f"outs[{k}]", size) for k, size in enumerate(outs)]
    words = [f"{x}.buffer.address + {x}.view.offset * {size}" if size else x for x, size in given]
    reader: Callable[..., tuple[Any, ...]] = eval(f"lambda outs, ins: ({', '.join(words)},)")
    return reader


@final
class Launch:
    """``run`` is the launch. What it depends on besides, which outputs are inputs, selects among
    ``layouts``: some are stored late, and large ones are not streamed."""

    __slots__ = (
        "device", "isa", "layouts", "plain", "plan", "request", "size", "words",
    )  # fmt: skip

    def __init__(
        self,
        device: Opened,
        isa: int,
        plan: Plan,
        outs: Sequence[Operand],
        ins: Sequence[Operand | Number],
    ) -> None:
        self.device, self.plan, self.isa = device, plan, isa
        self.request = Request(
            outs[0].view.shape,
            [x.view.strides if isinstance(x, Operand) else None for x in ins],
            [out.view.strides for out in outs],
            plan.sizes,
            plan.has_index,
            copies=plan.only_copies,
        )
        count = len(plan.outputs)
        sizes = [0 if dtype is None else dtype.itemsize for dtype in plan.signature]
        self.words = _reader(tuple(sizes[:-count]), tuple(sizes[-count:]))
        first = layout(self.request)
        self.size = first.size
        self.layouts: dict[Any, Layout] = {(_NONE, _NONE): first}
        usual = not (plan.has_index or plan.hazards or first.shifts or first.copy or first.large)
        self.plain = first.walks if usual and first.size <= AT_ONCE else None

    def run(self, outs: Sequence[Operand], ins: Sequence[Operand | Number]) -> None:
        """Launch. Every operation pays for this; about 0.1 us for each operand."""
        if self.device.closed:
            self.device.check_open()
        plan = self.plan
        try:
            words = self.words(outs, ins)
        except (AttributeError, TypeError):
            raise InvalidArgument(
                f"[elementwise] not {len(plan.signature)} operands, live"
            ) from None
        if self.plain is None:
            self._run_unusual(list(words))
            return
        try:
            packed = plan.words.pack(*words)
        except (struct.error, OverflowError):
            packed = pack_numbers(plan, list(words))
        status = driver.run(self.isa, plan.code, self.plain, packed, 0, self.size)
        if status:
            driver.check(status, "elementwise")

    def _run_unusual(self, words: list[Any]) -> None:
        """Where the index is an operand, memory decides on the layout, or it is a single copy."""
        plan, size = self.plan, self.size
        first = len(words) - len(plan.outputs)
        inputs, targets = words[:first], words[first:]
        stored = frozenset(k for k, i in plan.hazards if targets[k] == inputs[i])
        found = self._layout(stored, _NONE)
        if found.large:
            sole = frozenset(k for k, word in enumerate(targets) if word not in inputs)
            found = self._layout(stored, sole)
        if found.shifts:
            shift(words, plan, found.shifts)
        if found.copy:
            driver.copy(plan.sizes[0], found.copy, *words)
            return
        if plan.has_index:
            words.insert(first, 0)
        try:
            packed = plan.words.pack(*words)
        except (struct.error, OverflowError):
            packed = pack_numbers(plan, words)
        for start in range(0, size, AT_ONCE):
            stop = min(start + AT_ONCE, size)
            status = driver.run(self.isa, plan.code, found.walks, packed, start, stop)
            if status:
                driver.check(status, "elementwise")

    def _layout(self, stored: frozenset[int], streamed: frozenset[int]) -> Layout:
        found = self.layouts.get((stored, streamed))
        if found is None:
            given = self.request
            found = self.layouts[stored, streamed] = layout(
                Request(
                    given.shape, given.ins, given.outs, given.sizes, given.has_index,
                    stored, streamed, copies=given.copies,
                )
            )  # fmt: skip
        return found
