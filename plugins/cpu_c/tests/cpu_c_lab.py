"""What the tests of cpu_c share: arrays on a device, and running a program on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from polyback.config import Config
from polyback.device import Operand
from polyback.dtype import dtype_of
from polyback.program import Program
from polyback.scalar import Reduction
from polyback.view import View
from polyback_cpu_c.backend import CpuBackend
from polyback_cpu_c.device import CpuDevice


def open_device(**options: Any) -> CpuDevice:
    return CpuBackend().open(0, Config(**options))


def supported_isas() -> list[str]:
    names = []
    for name in ("portable", "avx2", "avx512"):
        try:
            names.append(open_device(isa=name).isa)
        except ValueError:
            continue
    return names


def put(device: CpuDevice, array: np.ndarray) -> Operand:
    """A contiguous copy on the device."""
    array = np.ascontiguousarray(array).reshape(array.shape)
    buffer = device.allocate(array.nbytes)
    device.upload(buffer, 0, memoryview(array.reshape(-1).view(np.uint8)))
    return Operand(buffer, dtype_of(array.dtype), View.contiguous(array.shape))


def new(device: CpuDevice, shape: Sequence[int], dtype: Any) -> Operand:
    return put(device, np.full(tuple(shape), 77).astype(dtype_of(dtype).numpy))


def get(device: CpuDevice, operand: Operand) -> np.ndarray:
    """The operand's elements, through its view."""
    flat = np.empty(operand.buffer.nbytes, np.uint8)
    device.download(operand.buffer, 0, memoryview(flat))
    data, view = flat.view(operand.dtype.numpy), operand.view
    if view.size == 0:
        return np.empty(view.shape, operand.dtype.numpy)
    strides = [s * data.itemsize for s in view.strides]
    return np.lib.stride_tricks.as_strided(data[view.offset :], view.shape, strides).copy()


def run(device: CpuDevice, program: Program, *arrays: Any) -> list[np.ndarray]:
    """The outputs of ``program`` on NumPy arrays (numbers stay numbers)."""
    shape = next(a.shape for a in arrays if isinstance(a, np.ndarray))
    ins = [put(device, a) if isinstance(a, np.ndarray) else a for a in arrays]
    outs = [new(device, shape, program.dtypes[o]) for o in program.outputs]
    device.elementwise(program, outs, ins)
    results = [get(device, o) for o in outs]
    for operand in (*outs, *(i for i in ins if isinstance(i, Operand))):
        device.free(operand.buffer)
    return results


def reduced(device: CpuDevice, op: Reduction, x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    shape = tuple(1 if a in axes else n for a, n in enumerate(x.shape))
    source, out = put(device, x), new(device, shape, x.dtype)
    device.reduce(op, out, source, axes)
    result = get(device, out)
    device.free(source.buffer)
    device.free(out.buffer)
    return result


def product(device: CpuDevice, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    left, right = put(device, a), put(device, b)
    out = new(device, (*a.shape[:-1], b.shape[-1]), a.dtype)
    device.matmul(out, left, right)
    return get(device, out)


def sum_bound(n: int) -> float:
    """K(n) of the protocol: the error of a sum, in units of u * sum|terms|."""
    return min(n + 2, 8 + 2 * n**0.5)


def put_strided(device: CpuDevice, array: np.ndarray, order: Sequence[int], step: int) -> Operand:
    """On the device with its axes stored in ``order``, ``step`` elements from one to the next along
    the last of them (backwards if negative); what lies between is 99."""
    moved = array.transpose(order)
    if array.ndim == 0:
        return put(device, array)
    gap = abs(step)
    store = np.full((*moved.shape[:-1], moved.shape[-1] * gap), 99).astype(array.dtype)
    store[..., ::gap] = moved if step > 0 else moved[..., ::-1]
    flat = View.contiguous(store.shape)
    last = moved.ndim - 1
    view = flat.slice(last, 0, moved.shape[-1], gap)
    view = (view if step > 0 else view.flip((last,))).permute(np.argsort(order).tolist())
    return Operand(put(device, store).buffer, dtype_of(array.dtype), view)


LAYOUTS = [(None, 1), (None, 3), (None, -1), ("reversed", 1), ("reversed", -2), ("rolled", 1)]


def layouts(ndim: int) -> list[tuple[tuple[int, ...], int]]:
    """Ways to store an array: (order of the axes in memory, step)."""
    axes = tuple(range(ndim))
    orders = {None: axes, "reversed": axes[::-1], "rolled": (*axes[1:], *axes[:1])}
    return [(orders[name], step) for name, step in LAYOUTS]
