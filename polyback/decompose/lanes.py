"""One axis moved to the end, where a lane lies along the last axis, and back."""

from __future__ import annotations

from polyback.array import Array


def to_end(x: Array, axis: int) -> Array:
    """``x`` with ``axis`` as the last one."""
    order = [a for a in range(x.view.ndim) if a != axis] + [axis]
    return x.with_view(x.view.permute(order))


def from_end(x: Array, axis: int) -> Array:
    """``x`` with the last axis at ``axis`` again."""
    order = list(range(x.view.ndim - 1))
    order.insert(axis, x.view.ndim - 1)
    return x.with_view(x.view.permute(order))
