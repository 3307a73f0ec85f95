"""Unroll: a loop over time of one matrix product and one program a step, written straight to where
the results belong: no temporaries, and no work on the host but to launch.

What a step is comes from the caller: the forward steps of a recurrent layer, and the backward ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from polyback.array import Array, empty
from polyback.device import Operand
from polyback.program import Program
from polyback.runtime import launch, launch_program
from polyback.view import View


@dataclass(frozen=True)
class Feedback:
    """What a step reads of the step before it: ``sequence`` there, and ``first`` at the start."""

    sequence: Array  # (L, ...)
    first: Array  # (...)


def unroll(
    program: Program,
    outs: Sequence[Array],
    ins: Sequence[Array],
    source: Feedback,
    matrix: Array,
    fed: Sequence[Feedback],
    *,
    backwards: bool = False,
) -> None:
    """For each time t: ``product = last source @ matrix`` (rows, columns), then ``outs[t] =
    program(ins[t], parts of product, last fed)``.

    ``outs`` and ``ins``: (L, rows, width) each; the product is cut along its columns into parts of
    that width. ``source``, ``fed``: sequences that the program writes, so among ``outs`` or made of
    them. ``backwards``: from the last time to the first. All arrays have one type, the program's,
    which is no half type.
    """
    steps, rows, width = outs[0].shape
    if 0 in outs[0].shape:
        return
    device = matrix.device
    product = empty(device, (rows, matrix.shape[1]), matrix.dtype)
    parts = [_columns(product, start, width) for start in range(0, matrix.shape[1], width)]
    results, reads = [_each(x, steps) for x in outs], [_each(x, steps) for x in ins]
    sources, returns = _each(source.sequence, steps), [_each(f.sequence, steps) for f in fed]
    last, firsts = source.first.operand(), [f.first.operand() for f in fed]
    across, target = matrix.operand(), product.operand()
    known = matrix.dtype.name in device.caps.matmul
    for t in reversed(range(steps)) if backwards else range(steps):
        launch(
            device,
            f"matmul {matrix.dtype}",
            known,
            lambda protocol, out, given: protocol.matmul(out[0], given[0], given[1]),
            [target],
            [last, across],
        )
        given = [x[t] for x in reads] + parts + firsts
        launch_program(device, program, [x[t] for x in results], given)
        last, firsts = sources[t], [x[t] for x in returns]


def _each(x: Array, steps: int) -> list[Operand]:
    """The operand of every time."""
    buffer, view = x.data.storage.buffer, x.view
    shape, (stride, *strides) = view.shape[1:], view.strides
    inner = tuple(strides)
    return [
        Operand(buffer, x.dtype, View(shape, inner, view.offset + t * stride)) for t in range(steps)
    ]


def _columns(x: Array, start: int, width: int) -> Operand:
    return x.with_view(x.view.slice(1, start, width)).operand()


def cut(x: Array, count: int) -> list[Array]:
    """``count`` equal parts of the last axis, as views."""
    axis, width = len(x.shape) - 1, x.shape[-1] // count
    return [x.with_view(x.view.slice(axis, k * width, width)) for k in range(count)]


def at(x: Array, places: Iterable[int]) -> Array:
    """``x[places[0], places[1], ...]``, as a view."""
    view = x.view
    for place in places:
        view = view.slice(0, place, 1).drop(0)
    return x.with_view(view)
