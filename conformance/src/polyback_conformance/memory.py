"""Canaries and poison: every operand lives inside a larger buffer that must not change around it.

A :class:`Sandbox` lays each operand into its own over-allocated device buffer: guard bytes before
and after, and between the elements of a strided one. Outputs start poisoned (NaN bits or 0xAB), so
an element that was not written, or was added to instead of set, shows. After the call the whole
buffer comes back and everything but the elements of the outputs must be what it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Literal

import numpy as np

from polyback.device import Device, Operand
from polyback.dtype import DType, dtype_of
from polyback.view import Shape, View
from polyback_conformance.compare import Mismatch
from polyback_conformance.layouts import CONTIGUOUS, Layout

GUARD: Final = 64  # bytes before and after; a multiple of every itemsize and usual alignment
POISONS: Final = (0xFF, 0xAB)  # NaN in every float type; and a small, odd number

Role = Literal["in", "out", "inout"]


@dataclass
class Placed:
    """One operand on the device, with the bytes its buffer was given."""

    operand: Operand
    image: np.ndarray[Any, Any]  # uint8: the whole buffer, guards included
    role: Role
    layout: Layout
    after: np.ndarray[Any, Any] | None = None

    def __post_init__(self) -> None:
        given = self.operand
        self._given = given.buffer, given.dtype, given.view

    def check_operand(self) -> None:
        """Raises Mismatch if the device changed its operand, which the core may use again."""
        now = self.operand
        if now.buffer is self._given[0] and (now.dtype, now.view) == self._given[1:]:
            return
        raise Mismatch(
            f"the device changed an operand, which the core may use again: it was {self._given[1]} "
            f"{self._given[2]}, is {now.dtype} {now.view}"
        )

    def array(self, data: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The operand's elements in the host copy ``data`` of its buffer (a view)."""
        return strided(data, self.operand.dtype, self.operand.view)

    def values(self) -> np.ndarray[Any, Any]:
        """What an input held before the call (broadcast axes already agree)."""
        return self.array(self.image).copy()

    def result(self) -> np.ndarray[Any, Any]:
        """What the device wrote; only after :meth:`Sandbox.check`."""
        assert self.after is not None
        return self.array(self.after).copy()

    def describe(self) -> str:
        """One line for a report."""
        view = self.operand.view
        return (
            f"{self.role} {self.operand.dtype.code} {self.layout} shape={view.shape} "
            f"strides={view.strides} offset={view.offset}"
        )


def strided(data: np.ndarray[Any, Any], dtype: DType, view: View) -> np.ndarray[Any, Any]:
    """``view`` of ``dtype`` elements over the bytes ``data``."""
    if view.size == 0:
        return np.empty(view.shape, dtype.numpy)
    size = dtype.itemsize
    # NumPy checks strides even along axes of size 1; those strides never matter, so drop them.
    strides = tuple(s * size if n > 1 else 0 for n, s in zip(view.shape, view.strides, strict=True))
    return np.ndarray(view.shape, dtype.numpy, data, view.offset * size, strides)


class Sandbox:
    """Operands for one call. Use as a context manager: every buffer is freed at the end."""

    def __init__(self, device: Device, poison: int = POISONS[0]) -> None:
        self.device, self.poison = device, poison
        self.placed: list[Placed] = []

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        for placed in self.placed:
            self.device.free(placed.operand.buffer)
        self.placed.clear()

    def put(self, values: Any, layout: Layout = CONTIGUOUS) -> Placed:
        """Place an input. Along broadcast axes the last of its values stays; see ``.values()``."""
        values = np.asarray(values)
        placed = self._allocate(values.shape, dtype_of(values.dtype), layout, "in")
        # Element by element in row-major order where axes are broadcast; NumPy promises no order
        # for overlapping targets, so the last index along stride 0 is selected explicitly.
        view = placed.operand.view
        last = tuple(
            slice(n - 1, n) if s == 0 and n > 1 else slice(None)
            for n, s in zip(view.shape, view.strides, strict=True)
        )
        if view.size:
            placed.array(placed.image)[last] = values[last]
        self._upload(placed)
        return placed

    def out(self, shape: Shape, dtype: DType, layout: Layout = CONTIGUOUS) -> Placed:
        """Place an output; its elements are poison."""
        placed = self._allocate(shape, dtype, layout, "out")
        self._upload(placed)
        return placed

    def alias(self, given: Placed) -> Placed:
        """The input ``given`` as an output too: the same buffer, type and view."""
        given.role = "inout"
        return given

    def _allocate(self, shape: Shape, dtype: DType, layout: Layout, role: Role) -> Placed:
        view = layout.view(shape)
        lead = GUARD // dtype.itemsize
        view = View(view.shape, view.strides, view.offset + lead)
        nbytes = max(view.bounds[1], view.offset) * dtype.itemsize + GUARD
        image = np.full(nbytes, self.poison, np.uint8)
        buffer = self.device.allocate(nbytes)
        placed = Placed(Operand(buffer, dtype, view), image, role, layout)
        self.placed.append(placed)
        return placed

    def _upload(self, placed: Placed) -> None:
        self.device.upload(placed.operand.buffer, 0, placed.image.data)

    def check(self, *, written: bool = True) -> None:
        """Fetch all buffers. Raises Mismatch if a guard, a gap or an input changed; with
        ``written=False`` (a refused call) no output element may have changed either."""
        for placed in self.placed:
            placed.check_operand()
            after = np.empty_like(placed.image)
            self.device.download(placed.operand.buffer, 0, after.data)
            placed.after = after
            expected = placed.image
            if written and placed.role != "in":
                expected = expected.copy()
                placed.array(expected)[...] = placed.array(after)
            if not np.array_equal(expected, after):
                raise Mismatch(self._damage(placed, expected, after, written))

    def _damage(
        self, placed: Placed, expected: np.ndarray[Any, Any], after: np.ndarray[Any, Any],
        written: bool,
    ) -> str:  # fmt: skip
        where = np.flatnonzero(expected != after)
        size = placed.operand.dtype.itemsize
        low, high = placed.operand.view.bounds
        element = int(where[0]) // size
        if placed.role == "in":
            what = "an input was modified"
        elif not written:
            what = "a refused call wrote to its output"
        elif low <= element < high:
            what = "a gap between the elements of an output was written"
        else:
            side = "before" if element < low else "past"
            what = f"memory {side} the output was written"
        lines = [
            f"{what}: {where.size} bytes, first at element {element} of the buffer "
            f"(the view touches [{low}, {high})); byte was {expected[where[0]]:#04x}, "
            f"is {after[where[0]]:#04x}",
            *(p.describe() for p in self.placed),
        ]
        return "\n  ".join(lines)
