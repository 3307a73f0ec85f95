"""Launches of convolution on a CPU: what is padded and packed, and how tiles are shared out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, final

from polyback import scalar
from polyback.device import Operand
from polyback.dtype import DType
from polyback.features import Window
from polyback.program import copy_program, fill_program
from polyback.simt.convolution import Line, Sums, Triple, Way, bare, to_weight
from polyback.simt.convolution_cpu import (
    pack_kernel,
    pad_kernel,
    product_kernel,
    weights_kernel,
)
from polyback.simt.driver import Kernel
from polyback.simt.geometry import blocks
from polyback.simt.launcher import MOST_PLANS, Launcher
from polyback.simt.reducer import Reducer
from polyback.simt.registers import Tile, tile
from polyback.view import View

TASKS: Final = 16  # pieces that work is cut into, at least, if there are so many
FEW_LINES: Final = 5  # up to so many, tiles of one line beat tiles of many
LONG_VECTORS: Final = 8  # of a tile of one line


@final
@dataclass(frozen=True)
class Step:
    """A launch: its kernel, grid and table."""

    compiled: Any
    groups: tuple[int, int, int]
    table: Any


@final
@dataclass(frozen=True)
class Plan:
    """Three launches: b and a are brought into buffers of ``sizes`` elements, and multiplied."""

    first: Step
    second: Step
    last: Step
    sizes: tuple[int, ...]
    made: View | None = None  # what is still to be added up


@final
class CpuConvolver:
    """Convolutions of one CPU."""

    def __init__(self, launcher: Launcher, reducer: Reducer) -> None:
        self.launcher, self.reducer = launcher, reducer
        self._plans: dict[Any, Any] = {}

    def forget(self) -> None:
        """Drop everything, before the device closes."""
        self._plans.clear()

    def run(
        self, way: Way, out: Operand, b: Operand, a: Operand, window: Window, groups: int
    ) -> None:
        """All sums of one call; neither operand is empty."""
        found = way(bare(out.view), bare(b.view), bare(a.view), window, groups)
        if way is to_weight:
            self._weights(found[0], out, b, a)
            return
        for s in found:
            self._product(s, out, b, a)

    # --- conv2d, conv2d_input --------------------------------------------------------------------

    def _product(self, s: Sums, out: Operand, b: Operand, a: Operand) -> None:
        launcher, start = self.launcher, out.view.offset + s.c.offset
        if s.terms == 0:
            strides = (*s.c.first, *s.c.steps)
            target = Operand(out.buffer, out.dtype, View((s.groups, s.m, *s.n), strides, start))
            launcher.elementwise(fill_program(out.dtype), [target], [0])
            return
        plan: Plan = self._plan(("product", s, out.dtype), lambda: self._product_plan(s, out.dtype))
        with self._buffers(plan.sizes, out.dtype) as (image, weights):
            self._launch(plan.first, b.buffer, b.view.offset, image)
            self._launch(plan.second, a.buffer, a.view.offset + s.a.offset, weights)
            self._launch(plan.last, weights, image, b.buffer, b.view.offset, out.buffer, start)

    def _product_plan(self, s: Sums, dtype: DType) -> Plan:
        shape = tile(dtype, self.launcher.machine)
        if s.m <= FEW_LINES:
            shape = Tile(1, shape.lanes, LONG_VECTORS)
        rows, columns = Padded.of(s.b.rows, s.k[1], s.n[1]), Padded.of(s.b.columns, s.k[2], s.n[2])
        plane = rows.count * columns.count
        channel = len(rows.phases) * len(columns.phases) * plane
        places = [
            c * channel + (p * len(columns.phases) + q) * plane + i * columns.count + j
            for c in range(s.k[0])
            for p, i in rows.places
            for q, j in columns.places
        ]
        panels = blocks(s.m, shape.rows)
        across = blocks((s.n[1] - 1) * columns.count + s.n[2], shape.width)
        items = across * s.groups * s.n[0]
        each = blocks(panels, min(panels, blocks(TASKS, items)))
        table = [
            across, s.groups, s.m, each, s.terms, columns.count, s.n[1], s.n[2],
            s.groups * s.k[0] * channel, s.k[0] * channel, panels * shape.rows * s.terms,
            s.c.steps[0], *s.c.first, *s.c.steps[1:], *s.k, s.b.of_n, s.b.group, s.b.of_k,
            s.b.row, s.b.column, *_line(s.b.rows, s.k[1]), *_line(s.b.columns, s.k[2]), *places,
        ]  # fmt: skip
        grid = (items, blocks(panels, each), 1)
        last = Step(self._compiled("convolution", dtype, shape), grid, self._table(table))
        # a panel may begin in the last row and reads whole vectors
        size = s.n[0] * s.groups * s.k[0] * channel + shape.width
        weights = self._packed(dtype, 1, s.groups, s.m, shape.rows, (0, *s.a.first), s.k, s.a.steps)
        return Plan(self._padded(s, dtype, rows, columns), weights, last,
                    (size, s.groups * table[10]))  # fmt: skip

    def _padded(self, s: Sums, dtype: DType, rows: Padded, columns: Padded) -> Step:
        units = s.n[0] * s.groups * s.k[0]
        each = blocks(units, min(units, 4 * TASKS))
        table = [
            units, each, s.groups * s.k[0], s.k[0], s.b.of_n, s.b.group, s.b.of_k, s.b.row,
            s.b.column, s.b.rows.size, s.b.columns.size, rows.spread, rows.low, rows.count,
            columns.spread, columns.low, columns.count, len(rows.phases), len(columns.phases),
            *rows.phases, *columns.phases,
        ]  # fmt: skip
        return Step(self._compiled("pad", dtype), (blocks(units, each), 1, 1), self._table(table))

    # --- conv2d_weight ---------------------------------------------------------------------------

    def _weights(self, s: Sums, out: Operand, x: Operand, g: Operand) -> None:
        dtype = out.dtype
        plan: Plan = self._plan(("weights", s, dtype), lambda: self._weights_plan(s, dtype))
        with self._buffers(plan.sizes, dtype) as (image, slopes, pieces):
            self._launch(plan.first, x.buffer, x.view.offset, image)
            self._launch(plan.second, g.buffer, g.view.offset, slopes)
            self._launch(plan.last, image, slopes, pieces)
            strides = (0, *s.c.first, *s.c.steps)
            target = View((1, s.groups, s.m, *s.n), strides, out.view.offset)
            assert plan.made is not None
            self.reducer.reduce(
                scalar.SUM, Operand(out.buffer, dtype, target), copy_program(dtype, dtype),
                [Operand(pieces, dtype, plan.made)], (0,),
            )  # fmt: skip

    def _weights_plan(self, s: Sums, dtype: DType) -> Plan:
        """The result is made as (part, group, tap, channel, output), with whole tiles, by parts of
        the images where there are few tiles, then added up and put in its place."""
        b, shape = s.b, tile(dtype, self.launcher.machine)
        height, width, rows, columns = b.rows.size, b.columns.size, *s.k[1:]
        left, right, taps = blocks(s.n[0], shape.rows), blocks(s.m, shape.width), s.n[1] * s.n[2]
        tiles = s.groups * left * right
        each = blocks(s.k[0], min(s.k[0], blocks(TASKS, tiles)))
        parts = blocks(s.k[0], each)
        taps_each = 1 if tiles * parts < TASKS else taps
        line = right * shape.width
        tap = left * shape.rows * line
        made = View((parts, s.groups, s.m, *s.n),
                    (s.groups * taps * tap, taps * tap, 1, line, s.n[2] * tap, tap), 0)  # fmt: skip
        a_panel, b_panel = height * width * shape.rows, rows * columns * shape.width
        table = [
            right, left, s.groups, s.k[0], each, taps, taps_each, s.groups * left * a_panel,
            a_panel, b.rows.of_k * width * shape.rows, b.columns.of_k * shape.rows,
            s.groups * right * b_panel, b_panel, columns * shape.width, *made.strides[:2], tap,
            line, *_taps(s, shape),
        ]  # fmt: skip
        images, groups = s.k[0], s.groups
        first = self._packed(
            dtype, images, groups, s.n[0], shape.rows, (b.of_k, b.group, b.of_n),
            (1, height, width), (0, b.row, b.column),
        )  # fmt: skip
        second = self._packed(
            dtype, images, groups, s.m, shape.width, (s.a.steps[0], *s.a.first),
            (1, rows, columns), (0, *s.a.steps[1:]),
        )  # fmt: skip
        compiled = self._compiled("weights", dtype, shape)
        last = Step(compiled, (tiles, blocks(taps, taps_each), parts), self._table(table))
        sizes = (images * groups * left * a_panel, images * groups * right * b_panel,
                 parts * made.strides[0])  # fmt: skip
        return Plan(first, second, last, sizes, made)

    # --- what both need --------------------------------------------------------------------------

    def _packed(
        self, dtype: DType, images: int, groups: int, lines: int, width: int,
        steps: tuple[int, int, int], sizes: Triple, strides: Triple,
    ) -> Step:  # fmt: skip
        """``steps``: strides of the image, group and line; ``sizes`` and ``strides`` along k."""
        panels = blocks(lines, width)
        table = self._table([panels, groups, lines, width, *steps, *sizes, *strides])
        return Step(self._compiled("pack panels", dtype), (images * groups * panels, 1, 1), table)

    def _compiled(self, name: str, dtype: DType, shape: Tile | None = None) -> Any:
        dialect = self.launcher.dialect

        def make() -> Kernel:
            if shape is None:
                return {"pad": pad_kernel, "pack panels": pack_kernel}[name](dtype, dialect)
            make = product_kernel if name == "convolution" else weights_kernel
            return make(dtype, shape, dialect)

        return self.launcher.compiled((name, dtype, shape), make)

    def _table(self, words: list[int]) -> Any:
        return self.launcher.driver.constants(words)

    def _plan(self, key: Any, make: Callable[[], Plan]) -> Plan:
        found = self._plans.get(key)
        if found is None:
            if len(self._plans) >= MOST_PLANS:
                self._plans.clear()
            found = self._plans[key] = make()
        return found

    @contextmanager
    def _buffers(self, sizes: tuple[int, ...], dtype: DType) -> Iterator[list[Any]]:
        """Buffers of so many elements, given back afterwards."""
        driver, held = self.launcher.driver, list[Any]()
        try:
            for size in sizes:
                held.append(driver.allocate(size * dtype.itemsize))
            yield held
        finally:
            for buffer in held:
                driver.free(buffer)

    def _launch(self, step: Step, *arguments: Any) -> None:
        self.launcher.driver.launch(step.compiled, step.groups, (*arguments, step.table))


def _line(line: Line, count: int) -> tuple[int, ...]:
    return line.first, line.of_k, line.of_n, line.size, *line.ends(count)


def _taps(s: Sums, shape: Tile) -> Iterator[int]:
    """For each row and column of the window: where the pixels that see it inside the image begin,
    in the packed image and the packed result, and how many rows and columns of them there are."""
    b, columns = s.b, s.k[2]
    for p in range(s.n[1]):
        for q in range(s.n[2]):
            (i, n_rows), (j, n_columns) = b.rows.inside(p, s.k[1]), b.columns.inside(q, columns)
            row = b.rows.first + b.rows.of_n * p + b.rows.of_k * i
            column = b.columns.first + b.columns.of_n * q + b.columns.of_k * j
            yield (row * b.columns.size + column) * shape.rows
            yield (i * columns + j) * shape.width
            yield from (n_rows, n_columns)


@final
@dataclass(frozen=True)
class Padded:
    """The rows (or columns) of an image that windows reach, from ``low`` on, sorted by their
    remainder modulo ``spread``: ``count`` of each of the remainders ``phases``. ``places``: for
    each row of the window the number of its phase, and its first row there."""

    low: int
    spread: int
    count: int
    phases: tuple[int, ...]
    places: tuple[tuple[int, int], ...]

    @staticmethod
    def of(line: Line, k: int, n: int) -> Padded:
        """For ``k`` rows of the window and ``n`` of the result."""
        rows = [line.first + line.of_k * index for index in range(k)]
        low, spread = min(rows), line.of_n
        phases = sorted({(row - low) % spread for row in rows})
        places = tuple((phases.index((r - low) % spread), (r - low) // spread) for r in rows)
        return Padded(low, spread, max(p for _, p in places) + n, tuple(phases), places)
