"""Launches of convolution on a GPU: tiles or single results, and long sums in parts."""

from __future__ import annotations

from functools import lru_cache
from math import isqrt
from typing import Any, Final, final

from polyback import scalar
from polyback.device import Operand
from polyback.dtype import DType
from polyback.features import Window
from polyback.program import copy_program
from polyback.simt.convolution import Sums, Way, bare
from polyback.simt.convolution_gpu import COLUMNS, DEPTH, ROWS, direct_kernel, tile_kernel
from polyback.simt.driver import Kernel
from polyback.simt.geometry import SMALL_INDEX, blocks
from polyback.simt.launcher import Launcher
from polyback.simt.reducer import Reducer
from polyback.view import View

TILES: Final = 512  # keep a GPU busy
PART: Final = 16 * DEPTH  # terms of a part, at least
FEW_LINES: Final = 4  # up to so many, a work-item for each result beats tiles


@final
class GpuConvolver:
    """Convolutions of one GPU."""

    def __init__(self, launcher: Launcher, reducer: Reducer) -> None:
        self.launcher, self.reducer, self.group = launcher, reducer, launcher.machine.group

    def forget(self) -> None:
        """Nothing is kept."""

    def run(
        self, way: Way, out: Operand, b: Operand, a: Operand, window: Window, groups: int
    ) -> None:
        """All sums of one call, none of them empty. Where tiles are few and sums long, sums are cut
        into parts, by the shapes alone, which are then added up."""
        views = bare(b.view), bare(a.view)
        found = way(bare(out.view), *views, window, groups)
        parts = max(_parts(s) for s in found)
        if parts == 1:
            self._launch(found, out, b, a, 1)
            return
        driver, shape = self.launcher.driver, out.view.shape
        buffer = driver.allocate(parts * out.view.size * out.dtype.itemsize)
        try:
            pieces = Operand(buffer, out.dtype, View.contiguous((parts, *shape)))
            first = Operand(buffer, out.dtype, View.contiguous(shape))
            found = way(first.view, *views, window, groups)
            self._launch(found, first, b, a, parts)
            target = Operand(out.buffer, out.dtype, out.view.insert(0))
            program = copy_program(out.dtype, out.dtype)
            self.reducer.reduce(scalar.SUM, target, program, [pieces], (0,))
        finally:
            driver.free(buffer)

    def _launch(
        self, found: tuple[Sums, ...], out: Operand, b: Operand, a: Operand, parts: int
    ) -> None:
        wide = max(_reach(x.view) for x in (out, b, a)) >= SMALL_INDEX
        for s in found:
            direct = s.m <= FEW_LINES and parts == 1
            words = _table(s, parts, out.view.size)
            along = words[14] != 0, words[15] != 0
            compiled = self._compiled(out.dtype, direct, wide, along)
            grid = (blocks(s.width, COLUMNS) * s.groups, blocks(s.m, ROWS), parts)
            if direct:
                grid = (blocks(s.groups * s.m * s.width, self.group), 1, 1)
            self.launcher.driver.launch(
                compiled, grid,
                (a.buffer, a.view.offset + s.a.offset, b.buffer, b.view.offset + s.b.offset,
                 out.buffer, out.view.offset + s.c.offset, self.launcher.table(words)),
            )  # fmt: skip

    def _compiled(self, dtype: DType, direct: bool, wide: bool, along: tuple[bool, bool]) -> Any:
        def make() -> Kernel:
            dialect = self.launcher.dialect
            if direct:
                return direct_kernel(dtype, wide, dialect, self.group)
            return tile_kernel(dtype, wide, along, dialect)

        key = ("convolution", dtype, direct, wide, None if direct else along)
        return self.launcher.compiled(key, make)


def _parts(s: Sums) -> int:
    tiles = s.groups * blocks(s.m, ROWS) * blocks(s.width, COLUMNS)
    return max(1, min(blocks(TILES, tiles), s.terms // PART, 64))


def _reach(view: View) -> int:
    low, high = view.bounds
    return high - low


@lru_cache(maxsize=1024)
def _table(s: Sums, parts: int, size: int) -> tuple[int, ...]:
    """The table of the kernels. The indexes of k and of n are sorted so that the last one walks b
    in the smallest steps; each slice of a and b is loaded along whichever of its axes is denser."""
    rows, columns = s.b.rows, s.b.columns
    # of each index: (size, step of a or b, step of b or c, of the row, of the column)
    k = list(zip(s.k, s.a.steps, s.b.along_k, (0, rows.of_k, 0), (0, 0, columns.of_k), strict=True))
    n = list(zip(s.n, s.b.along_n, s.c.steps, (0, rows.of_n, 0), (0, 0, columns.of_n), strict=True))
    k.sort(key=lambda index: (index[0] > 1, -abs(index[2])))
    n.sort(key=lambda index: (index[0] > 1, -abs(index[1])))
    chunk = blocks(blocks(max(s.terms, 1), parts), DEPTH) * DEPTH
    a_along = abs(k[2][1]) < abs(s.a.line)
    b_along = (abs(k[2][2]), -k[2][0]) < (abs(n[2][1]), -n[2][0])
    words = [
        s.groups, s.m, s.width, s.terms, chunk, isqrt(chunk), rows.size, columns.size, *s.a.first,
        s.b.group, *s.c.first, size, int(a_along), int(b_along), rows.first, columns.first,
        *rows.ends(s.k[1]), *columns.ends(s.k[2]),
    ]  # fmt: skip
    for indexes in (k, n):
        words += [word for values in zip(*indexes, strict=True) for word in values]
    return tuple(words)
