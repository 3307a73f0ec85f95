"""What gather and scatter tell C about their operands (``csrc/index.h``)."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final

from polyback.device import Operand
from polyback.dtype import int64
from polyback.errors import UnsupportedOp
from polyback.view import Shape, View
from polyback_cpu_c.operands import address, mismatch

Steps = tuple[int, ...]
# enum pb_dtype in csrc/isa.h
DTYPE_NUMBERS: Final = {
    "b8": 0, "i8": 1, "i16": 2, "i32": 3, "i64": 4, "u8": 5, "u16": 6, "u32": 7, "u64": 8,
    "f16": 9, "bf16": 10, "f32": 11, "f64": 12, "c64": 13, "c128": 14,
}  # fmt: skip
# enum pb_scatter_mode in csrc/index.h, and the row of the scalar table that combines
SCATTER_MODES: Final = {
    "set": (0, ""), "add": (1, "add"), "min": (2, "minimum"), "max": (3, "maximum"),
}  # fmt: skip
_POINTERS: Final = struct.Struct("=3Q")


@lru_cache(maxsize=4096)
def index_spec(
    shape: Shape, axis: int, table: Steps, index: Steps, dense: Steps, size: int
) -> bytes:
    """pb_index: the axes of ``shape`` (the index's), merged where all three steps allow it."""
    axes: list[list[int]] = []
    for a, n in enumerate(shape):
        if n == 1 and a != axis:
            continue
        along = 0 if a == axis else table[a] * size
        entry = [n, along, index[a] * 8, dense[a] * size, int(a == axis)]
        if axes and _merges(axes[-1], entry):
            entry[0] *= axes.pop()[0]
        axes.append(entry)
    return struct.pack(
        f"={2 + 5 * len(axes)}q", len(axes), table[axis] * size, *(n for axis in axes for n in axis)
    )


def _merges(outer: list[int], inner: list[int]) -> bool:
    if outer[4] or inner[4]:
        return False
    return all(outer[k] == inner[0] * inner[k] for k in (1, 2, 3))


def differs_only_along(axis: int, a: View, b: View) -> bool:
    """Do the shapes agree but for ``axis``?"""
    return a.shape[:axis] + a.shape[axis + 1 :] == b.shape[:axis] + b.shape[axis + 1 :]


def index_call(
    dense: Operand, table: Operand, index: Operand, axis: int, op: str
) -> tuple[bytes, bytes]:
    """The checked arguments of gather and scatter."""
    size, shape = dense.dtype.itemsize, dense.view.shape
    if dense.dtype.code not in DTYPE_NUMBERS:
        raise UnsupportedOp(f"[{op}] cpu_c does not move {dense.dtype}")
    if table.dtype is not dense.dtype or not differs_only_along(axis, table.view, dense.view):
        raise mismatch(op, table, dense.dtype, shape)
    if index.dtype is not int64 or index.view.shape != shape:
        raise mismatch(op, index, int64, shape)
    views = (table.view.strides, index.view.strides, dense.view.strides)
    pointers = _POINTERS.pack(address(table, size), address(index, 8), address(dense, size))
    return index_spec(shape, axis, *views, size), pointers
