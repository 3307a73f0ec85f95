"""Backends that read, or write, the wrong elements."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from seeding import Reference, array, changed, fault, flat

from polyback.device import Operand
from polyback.view import View, row_major


def _with_view(x: Operand, strides: tuple[int, ...], offset: int) -> Operand:
    view = View(x.view.shape, strides, offset)
    low, high = view.bounds
    inside = low >= 0 and high * x.dtype.itemsize <= x.buffer.nbytes
    return replace(x, view=view) if inside else x


@fault("l2_layout")
class IgnoresOffset(Reference):
    """Loads from the aligned address below an unaligned offset."""

    def elementwise(self, program: Any, outs: Any, ins: Any) -> None:
        def aligned(x: Operand) -> Operand:
            return _with_view(x, x.view.strides, x.view.offset & ~3)

        super().elementwise(program, outs, changed(ins, aligned))


@fault("l2_layout")
class TransposedIsContiguous(Reference):
    """Takes dense for row-major: a transposed matrix is read in memory order."""

    def elementwise(self, program: Any, outs: Any, ins: Any) -> None:
        def dense(x: Operand) -> Operand:
            low, high = x.view.bounds
            if 0 not in x.view.strides and high - low == x.view.size:
                return _with_view(x, row_major(x.view.shape), low)
            return x

        super().elementwise(program, outs, changed(ins, dense))


@fault("l2_layout")
class NegativeStrideIsPositive(Reference):
    """Drops the sign of strides."""

    def elementwise(self, program: Any, outs: Any, ins: Any) -> None:
        def unsigned(x: Operand) -> Operand:
            return _with_view(x, tuple(abs(s) for s in x.view.strides), x.view.bounds[0])

        super().elementwise(program, outs, changed(ins, unsigned))


@fault("l2_layout")
class BroadcastIsContiguous(Reference):
    """Reads an operand of stride 0 along the last axis as if it were dense there."""

    def elementwise(self, program: Any, outs: Any, ins: Any) -> None:
        def dense(x: Operand) -> Operand:
            strides = x.view.strides
            if strides and strides[-1] == 0:
                return _with_view(x, (*strides[:-1], 1), x.view.offset)
            return x

        super().elementwise(program, outs, changed(ins, dense))


@fault("l3_elementwise")
class SecondOperandStrides(Reference):
    """Walks every input with the strides of the first one, where that stays inside."""

    def elementwise(self, program: Any, outs: Any, ins: Any) -> None:
        first = next((x.view.strides for x in ins if isinstance(x, Operand)), ())
        super().elementwise(
            program, outs, changed(ins, lambda x: _with_view(x, first, x.view.offset))
        )


@fault("l2_layout")
class OutputIgnoresStride(Reference):
    """Writes stepped one-dimensional outputs densely."""

    def elementwise(self, program: Any, outs: Any, ins: Any) -> None:
        def dense(x: Operand) -> Operand:
            return _with_view(x, (1,), x.view.offset) if len(x.view.shape) == 1 else x

        super().elementwise(program, changed(outs, dense), ins)


@fault("l2_layout")
class WrongTail(Reference):
    """Forgets the last element of vectors whose length is 7 mod 8."""

    def elementwise(self, program: Any, outs: Any, ins: Any) -> None:
        out = outs[0]
        kept = array(out)[-1] if len(out.view.shape) == 1 and out.view.size % 8 == 7 else None
        kept = None if kept is None else np.array(kept)
        super().elementwise(program, outs, ins)
        if kept is not None:
            array(out)[-1] = kept


@fault("l2_layout")
class WritesPastTheEnd(Reference):
    """A vector store one element too long, where the length is 3 mod 4."""

    def elementwise(self, program: Any, outs: Any, ins: Any) -> None:
        super().elementwise(program, outs, ins)
        high = outs[0].view.bounds[1]
        data = flat(outs[0])
        if outs[0].view.size % 4 == 3 and high < data.size:
            data[high] = data[high - 1]


@fault("l2_layout")
class WritesGaps(Reference):
    """A strided store that reads a vector, changes it and writes it back, gaps included."""

    def elementwise(self, program: Any, outs: Any, ins: Any) -> None:
        super().elementwise(program, outs, ins)
        view = outs[0].view
        if view.size > 1 and view.strides and view.strides[-1] == 2:
            flat(outs[0])[view.offset + 1] = 0


@fault("l3_elementwise")
class MutatesInput(Reference):
    """Normalises its second input in place when there are two of them."""

    def elementwise(self, program: Any, outs: Any, ins: Any) -> None:
        super().elementwise(program, outs, ins)
        if len(ins) == 2 and isinstance(ins[1], Operand) and ins[1].view.size == 33:
            array(ins[1])[...] = array(ins[1])[::-1].copy()


@fault("l2_layout")
class ZeroDimensional(Reference):
    """A loop over the axes that runs zero times when there are none."""

    def elementwise(self, program: Any, outs: Any, ins: Any) -> None:
        if outs[0].view.shape:
            super().elementwise(program, outs, ins)


@fault("l2_layout")
class IotaPerRow(Reference):
    """Starts iota again in every row."""

    def elementwise(self, program: Any, outs: Any, ins: Any) -> None:
        super().elementwise(program, outs, ins)
        if [i.row.name for i in program.instrs] == ["iota"] and len(outs[0].view.shape) > 1:
            array(outs[0])[...] = np.arange(outs[0].view.shape[-1])


@fault("l2_layout")
class FiveAxes(Reference):
    """Kernels with room for four axes: the fifth from the end is ignored."""

    def elementwise(self, program: Any, outs: Any, ins: Any) -> None:
        def short(x: Operand) -> Operand:
            n = len(x.view.shape)
            strides = tuple(0 if k < n - 4 else s for k, s in enumerate(x.view.strides))
            return _with_view(x, strides, x.view.offset)

        super().elementwise(program, outs, changed(ins, short))


@fault("l3_elementwise")
class AliasReadsTwice(Reference):
    """Writes the output in blocks before all of an aliased input was read."""

    def elementwise(self, program: Any, outs: Any, ins: Any) -> None:
        for x in ins:
            if isinstance(x, Operand) and x.buffer is outs[0].buffer and x.view.size > 36:
                array(outs[0])[..., -1] = 0
        super().elementwise(program, outs, ins)


@fault("l4_matmul")
class MatmulBatchStride(Reference):
    """Steps through the batch of the right operand even where it is broadcast."""

    def matmul(self, out: Any, a: Any, b: Any) -> None:
        if len(b.view.shape) == 3 and b.view.strides[0] == 0 and b.view.shape[0] > 1:
            step = b.view.shape[1] * b.view.shape[2]
            b = _with_view(b, (step, *b.view.strides[1:]), b.view.offset)
            b = b if b.view.strides[0] else replace(b, view=b.view.flip([1]))
        super().matmul(out, a, b)


@fault("l7_indexing")
class GatherIndexStride(Reference):
    """Reads the index of a gather as if it were contiguous."""

    def gather(self, out: Any, x: Any, index: Any, axis: int) -> None:
        low = index.view.bounds[0]
        other = _with_view(index, row_major(index.view.shape), low)
        limit = x.view.shape[axis]
        places = array(other)
        sane = places.size == 0 or (places.min() >= 0 and places.max() < limit)
        super().gather(out, x, other if sane else replace(index, view=index.view.flip([0])), axis)


@fault("l3_programs")
class OutputsSwapped(Reference):
    """Two outputs of one type come out in the order of their computation."""

    def elementwise(self, program: Any, outs: Any, ins: Any) -> None:
        numbers = program.outputs
        if len(numbers) == 2 and numbers[0] > numbers[1] and outs[0].dtype is outs[1].dtype:
            outs = outs[::-1]
        super().elementwise(program, outs, ins)


@fault("l3_elementwise")
class OutputsWrittenInTurn(Reference):
    """Writes one output after the other, although one of them overwrites an input of the rest."""

    def elementwise(self, program: Any, outs: Any, ins: Any) -> None:
        for out, value in zip(outs, self._run(program, ins, outs[0].view.shape), strict=True):
            array(out)[...] = value
