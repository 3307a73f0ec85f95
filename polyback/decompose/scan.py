"""Running reductions by doubling: O(n log n) work in log n steps (Hillis and Steele, 1986)."""

from __future__ import annotations

from polyback import array
from polyback.array import Array
from polyback.scalar import Reduction


def scan(op: Reduction, x: Array, axis: int) -> Array:
    """After step k each element combines the 2**k elements that end there; so sums are rounded
    log n times."""

    def part(a: Array, start: int, length: int) -> Array:
        return a.with_view(a.view.slice(axis, start, length))

    n, step, total = x.shape[axis], 1, x
    while step < n:
        rest = n - step
        after = array.empty(x.device, x.shape, x.dtype)
        part(after, 0, step).assign(part(total, 0, step))
        pair = part(total, 0, rest), part(total, step, rest)
        part(after, step, rest).assign(array.apply(op.combine, pair, x.dtype), consume=True)
        total, step = after, 2 * step
    return total.copy() if total is x else total
