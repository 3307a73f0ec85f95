"""The order in which a reduction walks its axes (``csrc/reduce.h``: outer, length, inner)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import final

from polyback.view import View, row_major
from polyback_cpu_c.layout import Layout, Request, Strides, layout


@final
@dataclass(frozen=True)
class ReducePlan:
    """``kept`` are the axes of the result in the order in which C writes it, densely."""

    layout: Layout
    outer: int
    length: int
    inner: int
    kept: tuple[int, ...]
    dense: bool  # the output operand has that order itself


def arrange(
    shape: tuple[int, ...],
    ins: Sequence[Strides | None],
    sizes: Sequence[int],
    out: Strides,
    axes: tuple[int, ...],
    has_index: bool,
) -> ReducePlan:
    """Rows (inner == 1) if the axis that walks memory in the smallest steps is reduced, else
    columns. The first array with the most axes that move decides."""
    arrays = [s for s in ins if s is not None]
    main = max(arrays, key=lambda s: sum(step != 0 for step in s)) if arrays else (0,) * len(shape)
    order = sorted(
        (a for a in range(len(shape)) if shape[a] != 1),
        key=lambda a: -abs(main[a]) if main[a] else -float("inf"),
    )
    reduced = [a for a in order if a in axes]
    kept = [a for a in order if a not in axes]
    inner: list[int] = []
    if reduced:
        inner = [a for a in kept if order.index(a) > order.index(reduced[-1])]
    outer = [a for a in kept if a not in inner]
    kept = outer + inner
    dense = View(tuple(shape[a] for a in kept), tuple(out[a] for a in kept)).is_contiguous
    walks = layout(Request(shape, ins, (), sizes, has_index, order=outer + reduced + inner))
    rows, length, columns = (prod(shape[a] for a in group) for group in (outer, reduced, inner))
    return ReducePlan(walks, rows, length, columns, tuple(kept), dense)


def views_of_result(plan: ReducePlan, shape: tuple[int, ...], out: View) -> tuple[View, View]:
    """The dense result that C wrote, and the output, with the same axes."""
    kept = tuple(shape[a] for a in plan.kept)
    return View(kept, row_major(kept)), View(
        kept, tuple(out.strides[a] for a in plan.kept), out.offset
    )
