"""The bench that every test works at: one open device, its claims, its seed, its score."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from polyback.device import Device, required_claims
from polyback.dtype import DTYPES, DType
from polyback.errors import PolybackError, UnsupportedOp
from polyback.program import Number, Program
from polyback.scalar import Reduction
from polyback.view import Shape
from polyback_conformance.compare import Array, Mismatch
from polyback_conformance.layouts import CONTIGUOUS, Layout
from polyback_conformance.memory import POISONS, Placed, Sandbox
from polyback_conformance.resolve import Target
from polyback_conformance.score import Score

NUMBERS: Final = (bool, int, float, complex)


@dataclass(frozen=True)
class Given:
    """An input's values and how to lay them out."""

    values: Any
    layout: Layout = CONTIGUOUS


@dataclass
class Done:
    """A finished call: what the device wrote, and what the inputs really were."""

    outs: list[Array]
    ins: list[Any]
    note: str


@dataclass(repr=False)
class Lab:
    """One device under test."""

    target: Target
    seed: int
    score: Score
    device: Device = field(init=False)
    calls: int = 0

    def __post_init__(self) -> None:
        self.device = self.target.open()
        self.caps = self.device.caps
        self.required = required_claims(self.caps.storage)
        self.score.caps = self.caps.as_dict()

    def __repr__(self) -> str:
        return self.target.name

    @property
    def optional(self) -> Any:
        """The device, for the methods of the features that it names."""
        return self.device

    def close(self) -> None:
        """Close the device; a fault here has its own test."""
        with suppress(PolybackError):
            self.device.close()

    def rng(self, *key: Any) -> np.random.Generator:
        """A generator that depends on the seed and ``key`` alone, not on the order of tests."""
        return np.random.default_rng([self.seed, zlib.crc32(repr(key).encode())])

    # --- claims --------------------------------------------------------------------------------

    def stored(self) -> list[DType]:
        """The types that the device stores."""
        return [d for d in DTYPES if d.name in self.caps.storage]

    def claims(self, level: int, kind: str, op: str, dtype: DType) -> bool:
        """Is this cell claimed? Records it, and fails if it is required and not claimed."""
        have, need = self._names(self.caps, kind, op), self._names(self.required, kind, op)
        claimed, required = dtype.name in have, dtype.name in need
        self.score.claim(level, op, dtype.name, claimed, required)
        if required and not claimed:
            raise Mismatch(
                f"{op} {dtype} is required of a device that stores {dtype}; caps do not claim it"
            )
        return claimed

    @staticmethod
    def _names(caps: Any, kind: str, op: str) -> frozenset[str]:
        table = getattr(caps, kind)
        return table if isinstance(table, frozenset) else table.get(op, frozenset())

    # --- calls ---------------------------------------------------------------------------------

    def box(self) -> Sandbox:
        """A sandbox; the poison alternates so that neither pattern can hide a fault."""
        self.calls += 1  # races only swap one poison for the other
        return Sandbox(self.device, POISONS[self.calls % len(POISONS)])

    def elementwise(
        self,
        program: Program,
        ins: Sequence[Any],
        shape: Shape,
        outs: Layout | Sequence[Layout] = CONTIGUOUS,
        alias: int | None = None,
    ) -> Done:
        """Run ``program`` on arrays, Givens and numbers. With ``alias`` output 0 is that input."""
        with self.box() as box:
            placed = [self._place(box, x, shape) for x in ins]
            layouts = [outs] * len(program.outputs) if isinstance(outs, Layout) else list(outs)
            targets: list[Placed] = []
            values = [p.values() if isinstance(p, Placed) else p for p in placed]
            for k, (number, layout) in enumerate(zip(program.outputs, layouts, strict=True)):
                source = placed[alias] if alias is not None and k == 0 else None
                if isinstance(source, Placed):
                    targets.append(box.alias(source))
                else:
                    targets.append(box.out(shape, program.dtypes[number], layout))
            note = notes(box, str(program), [p for p in placed if not isinstance(p, Placed)])
            with explained(note):
                self.device.elementwise(
                    program, [t.operand for t in targets], [_operand(p) for p in placed]
                )
                box.check()
            return Done([t.result() for t in targets], values, note)

    def reduce(
        self, op: Reduction, x: Any, axes: tuple[int, ...], out: Layout = CONTIGUOUS
    ) -> Done:
        """Run a reduction."""
        with self.box() as box:
            source = self._place(box, x, ())
            shape = reduced_shape(source.operand.view.shape, axes)
            target = box.out(shape, source.operand.dtype, out)
            note = notes(box, f"{op} over axes {axes}")
            with explained(note):
                self.device.reduce(op, target.operand, source.operand, axes)
                box.check()
            return Done([target.result()], [source.values()], note)

    def matmul(self, a: Any, b: Any, out: Layout = CONTIGUOUS) -> Done:
        """Run a product; leading axes are equal."""
        with self.box() as box:
            left, right = self._place(box, a, ()), self._place(box, b, ())
            shape = (*left.operand.view.shape[:-1], right.operand.view.shape[-1])
            target = box.out(shape, left.operand.dtype, out)
            note = notes(box, "matmul")
            with explained(note):
                self.device.matmul(target.operand, left.operand, right.operand)
                box.check()
            return Done([target.result()], [left.values(), right.values()], note)

    def call(
        self,
        title: str,
        run: Callable[[list[Any], list[Any]], None],
        outs: Sequence[tuple[Shape, DType, Layout] | None],
        ins: Sequence[Any],
    ) -> Done:
        """Run ``run(outs, ins)``, one call of a feature; None stands for an operand left out."""
        with self.box() as box:
            placed = [None if x is None else self._place(box, x, ()) for x in ins]
            targets = [None if o is None else box.out(*o) for o in outs]
            note = notes(box, title)
            with explained(note):
                run([_operand(t) for t in targets], [_operand(p) for p in placed])
                box.check()
            values = [p.values() if isinstance(p, Placed) else p for p in placed]
            return Done([t.result() for t in targets if t is not None], values, note)

    def refuses(
        self,
        call: Callable[..., None],
        outs: Sequence[tuple[Shape, DType]],
        ins: Sequence[Any],
        error: type[Exception] = UnsupportedOp,
    ) -> None:
        """Check that ``call(outs, ins)`` raises ``error`` and writes nothing."""
        with self.box() as box:
            placed = [box.put(np.asarray(x)) for x in ins]
            targets = [box.out(shape, dtype) for shape, dtype in outs]
            try:
                call([t.operand for t in targets], [p.operand for p in placed])
                self.device.synchronize()
            except error:
                box.check(written=False)
                return
            except Exception as other:
                raise Mismatch(
                    f"want {error.__name__}, got {type(other).__name__}: {other}\n  {notes(box)}"
                ) from other
            raise Mismatch(f"want {error.__name__}, but the call was accepted\n  {notes(box)}")

    def _place(self, box: Sandbox, value: Any, shape: Shape) -> Any:
        if isinstance(value, NUMBERS):
            return value
        given = value if isinstance(value, Given) else Given(value)
        values = np.asarray(given.values)
        if values.ndim == 0 and shape:
            values = np.broadcast_to(values, shape)
        return box.put(values, given.layout)


def _operand(placed: Any) -> Any:
    return placed.operand if isinstance(placed, Placed) else placed


def reduced_shape(shape: Shape, axes: Sequence[int]) -> Shape:
    """``shape`` with size 1 at ``axes``."""
    return tuple(1 if k in axes else n for k, n in enumerate(shape))


def notes(box: Sandbox, title: str = "", numbers: Sequence[Any] = ()) -> str:
    """The call, for a report."""
    lines = [*title.splitlines(), *(p.describe() for p in box.placed)]
    lines += [f"number {n!r}" for n in numbers]
    return "\n".join(lines)


@contextmanager
def explained(note: str) -> Iterator[None]:
    """Add the call to whatever goes wrong in it."""
    try:
        yield
    except Mismatch:
        raise
    except Exception as error:
        call = "\n  ".join(note.splitlines())
        raise Mismatch(f"the device raised {type(error).__name__}: {error}\n  {call}") from error


def number(value: Any) -> Number:
    """A NumPy scalar as the Python number that a launch gets."""
    return np.asarray(value).item()
