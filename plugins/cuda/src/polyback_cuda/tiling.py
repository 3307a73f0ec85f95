"""How a product is cut into tiles, and long sums into shares: what takes the fewest clocks.

The estimate, in clocks of one multiprocessor. Blocks are dealt out evenly, so the busiest of the
``units`` multiprocessors has ``q = ceil(blocks / units)``; ``resident`` of them run at a time, in
``ceil(q / resident)`` waves. Each wave pays FILL until its first slices are there and its last
results are stored. The multiply-adds of q tiles run at full speed only if ``min(q, resident)``
blocks have warps enough; loading their operands takes the L2 cache's share of a multiprocessor; of
the shorter of both a quarter shows, at barriers. Shares are stored and read again by a second
launch.

So tiles are large where there are enough of them, since a larger one loads less for each result;
they are small, and sums shared out, where most of the multiprocessors would have none. The figures
are an H100's, but only their proportions matter, and shapes that differ little may be cut alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, final

from polyback.simt.geometry import blocks

FILL: Final = 2000  # clocks: two accesses of memory that nothing hides, 600 to 800 each, and ends
LAUNCH: Final = 8000  # clocks: a second launch takes 2 us of the GPU; of the host's 6, part shows
L2_BYTES: Final = 24  # of a clock and multiprocessor: 5.5 TB/s
MEMORY_BYTES: Final = 15  # likewise: 3.35 TB/s
SHARES: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)  # at most
LEAST: Final = 64  # terms of a share: two slices of halves, four of float32
GRAIN: Final = 32  # a share is a multiple: whole slices, and 16-byte accesses stay aligned


@final
@dataclass(frozen=True)
class Work:
    """What a multiprocessor does in a clock, given so many warps."""

    per_clock: int  # multiply-adds
    warps: int


@final
@dataclass(frozen=True)
class Size:
    """Square tiles of a kernel: ``warps`` of a block, and how many blocks a multiprocessor holds at
    a time, by the registers that nvcc gives them."""

    side: int
    warps: int
    resident: int


@final
@dataclass(frozen=True)
class Product:
    """``count`` products of m x k and k x n elements of ``itemsize`` bytes."""

    m: int
    n: int
    k: int
    count: int
    itemsize: int

    def tiles(self, side: int) -> int:
        """How many there are."""
        return blocks(self.m, side) * blocks(self.n, side) * self.count


def clocks(p: Product, work: Work, size: Size, share: int, units: int) -> float:
    """The estimate for shares of so many terms."""
    shares, side = blocks(p.k, share), size.side
    busiest = blocks(p.tiles(side) * shares, units)
    speed = work.per_clock * min(1.0, min(busiest, size.resident) * size.warps / work.warps)
    compute = side * side * share / speed
    load = 2 * side * share * p.itemsize / L2_BYTES
    time = busiest * (max(compute, load) + min(compute, load) / 4)
    time += FILL * blocks(busiest, size.resident)
    if shares > 1:  # written and read
        moved = 2 * max(4, p.itemsize) * shares * p.m * p.n * p.count
        time += LAUNCH + moved / (MEMORY_BYTES * units)
    return time


@lru_cache(maxsize=4096)
def cut(p: Product, work: Work, sizes: Sequence[Size], units: int) -> tuple[int, int]:
    """(side of a tile, terms of a share, which are all if there is one); the larger tile and the
    fewer shares where times are equal."""
    lengths = [max(LEAST, blocks(blocks(p.k, s), GRAIN) * GRAIN) for s in SHARES]
    ways = [(size, min(length, p.k)) for size in sizes for length in lengths]
    size, share = min(ways, key=lambda way: clocks(p, work, way[0], way[1], units))
    return size.side, share
