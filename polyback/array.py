"""Array: a typed view of a buffer on a device. No gradients here; the frontend's Tensor adds them.

Elementwise work is lazy (:mod:`polyback.fusion`); views never reach a device; reductions and matrix
products go to the device's method, else to the host (:mod:`polyback.fallback`). What a device may
offer beyond the required methods is in :mod:`polyback.structured`.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, final

import numpy as np

from polyback import fusion, scalar
from polyback.composite import Composite
from polyback.config import CHANGED, config
from polyback.device import Operand
from polyback.dtype import DType, bool_, int64
from polyback.errors import DeviceClosed, DeviceMismatch, InvalidArgument, OutOfMemory
from polyback.fusion import PRODUCT, Leaf, Pending
from polyback.program import Builder, Number, Program, fill_program
from polyback.runtime import Device, Storage, launch, launch_program
from polyback.scalar import CAST, WHERE, Reduction, Scalar
from polyback.view import Shape, View, broadcast_shapes


@final
class Array:
    """Numbers of one type on one device, seen through a view, which may still be pending."""

    __slots__ = ("__weakref__", "device", "dtype", "lazy", "view")

    def __init__(self, device: Device, dtype: DType, view: View, data: Leaf) -> None:
        self.device, self.dtype, self.view = device, dtype, view
        self.lazy = data  # the numbers, or the expression for them

    @property
    def shape(self) -> Shape:
        """Sizes of the axes."""
        return self.view.shape

    @property
    def data(self) -> Leaf:
        """The numbers as kernels read them, with all pending work launched."""
        data: Any = self.lazy
        if data.storage is None:
            fusion.evaluate(data)
        return data

    @property
    def storage(self) -> Storage:
        """The buffer, with all pending work launched."""
        return self.data.storage

    @property
    def pending(self) -> Pending | None:
        """The expression behind this array, or None once it has numbers."""
        data: Any = self.lazy
        return data if data.storage is None else None

    @property
    def version(self) -> int:
        """Counts writes in place to the buffer."""
        storage = self.lazy.storage
        return 0 if storage is None else storage.version

    def operand(self, shape: Shape | None = None) -> Operand:
        """How a kernel reads this array, broadcast to ``shape``."""
        return self.data if shape is None else self.leaf(shape)

    def with_view(self, view: View) -> Array:
        """The same numbers through another view. Raises InvalidArgument if it leaves the buffer."""
        storage = self.data.storage
        view.check_within(storage.buffer.nbytes // self.dtype.itemsize)
        return Array(self.device, self.dtype, view, Leaf.of(storage, view, self.dtype))

    def reshape(self, shape: Shape) -> Array:
        """Row-major reshape; a view where possible, else a copy."""
        view = self.view.reshape(shape)
        if view is not None:
            return self.with_view(view)
        return self.contiguous().reshape(shape)

    def contiguous(self) -> Array:
        """This array, or a row-major copy of it."""
        return self if self.view.is_contiguous else self.copy()

    def copy(self) -> Array:
        """A row-major copy with a buffer of its own."""
        result = empty(self.device, self.shape, self.dtype)
        fusion.copy_leaf(self.leaf(self.shape), result.storage, result.view)
        return result

    def expanded(self, shape: Shape) -> Array:
        """This array broadcast to ``shape``."""
        if self.view.shape == shape:
            return self
        leaf = self.leaf(shape)
        return Array(self.device, self.dtype, leaf.view, leaf)

    def leaf(self, shape: Shape) -> Leaf:
        """This array as an expression of ``shape`` reads it."""
        data = self.data
        if self.view.shape == shape:
            return data
        return Leaf.of(data.storage, self.view.expand(shape), self.dtype)

    def numpy(self) -> np.ndarray[Any, Any]:
        """A copy as a NumPy array of the same type."""
        source = self.contiguous()
        with host_room("numpy", self.shape, self.dtype):
            result = np.empty(self.shape, self.dtype.numpy)
        if result.size:
            offset = source.view.offset * self.dtype.itemsize
            target = result.reshape(-1).view(np.uint8)
            self.device.protocol.download(source.storage.buffer, offset, target.data)
        return result

    def assign(self, source: Array | Number, *, consume: bool = False) -> None:
        """Write ``source`` (broadcast, same type) into the buffer of this array, in place.

        ``consume``: the source is a temporary that nobody reads afterwards, so that its expression
        can run with this buffer as its output.
        """
        with self.device.lock:
            self._assign(source, consume)

    def _assign(self, source: Array | Number, consume: bool) -> None:
        storage = self.storage
        if self.view.has_overlap:
            raise InvalidArgument("[assign] cannot write to a broadcast array; copy it first")
        if not isinstance(source, Array):
            fusion.before_write(storage)
            _fill(storage, self.view, self.dtype, source)
        elif consume and source.pending is not None and source.shape == self.shape:
            fusion.evaluate_into(source.pending, storage, self.view)
        else:
            leaf = source.leaf(self.shape)
            if leaf.storage is storage:
                leaf = source.copy().leaf(self.shape)
            fusion.before_write(storage)
            fusion.copy_leaf(leaf, storage, self.view)
        storage.version += 1


@contextmanager
def host_room(op: str, shape: Shape, dtype: DType) -> Iterator[None]:
    """Inside, NumPy makes an array of this shape and type: raises OutOfMemory where it cannot."""
    try:
        yield
    except (MemoryError, ValueError):  # NumPy's answer to what it cannot even address
        raise OutOfMemory(
            f"[{op}] out of memory: the host has no room for {shape} {dtype}",
            requested=math.prod(shape) * dtype.itemsize,
        ) from None


def empty(device: Device, shape: Shape, dtype: DType) -> Array:
    """Undefined contents."""
    view = View.contiguous(shape)
    storage = Storage(device, view.size * dtype.itemsize)
    return Array(device, dtype, view, Leaf.of(storage, view, dtype))


def full(device: Device, shape: Shape, value: Number, dtype: DType) -> Array:
    """One number everywhere, stored once and broadcast."""
    result = empty(device, (), dtype)
    _fill(result.storage, result.view, dtype, value)
    return result.with_view(result.view.expand(shape))


def _fill(storage: Storage, view: View, dtype: DType, value: Number) -> None:
    if 0 not in view.shape:
        out = Operand(storage.buffer, dtype, view)
        launch_program(storage.device, fill_program(dtype), [out], [value])


def overwrite(
    program: Program, outs: Sequence[Array], ins: Sequence[Array | Number], what: str
) -> None:
    """Run ``program`` on ``ins`` with its results written to ``outs``, all of one shape. An output
    may be an input too. Raises DeviceMismatch, or InvalidArgument for a broadcast output."""
    reads = [x for x in ins if type(x) is Array]
    device = same_device(what, *outs, *reads)
    if any(x.view.has_overlap for x in outs):
        raise InvalidArgument(f"[{what}] cannot write to a broadcast array; copy it first")
    operands = [x.data if type(x) is Array else x for x in ins]
    with device.lock:
        for x in outs:
            fusion.before_write(x.storage)
        if outs[0].view.size:
            launch_program(device, program, [x.data for x in outs], operands)
        for x in outs:
            x.storage.version += 1


def iota(device: Device, length: int) -> Array:
    """0, 1, ..., length - 1 as int64."""
    result = empty(device, (length,), int64)
    if length:
        launch_program(device, _iota_program(), [result.operand()], [])
    return result


@cache
def _iota_program() -> Program:
    builder = Builder()
    return builder.finish(builder.iota())


def from_numpy(device: Device, values: np.ndarray[Any, Any], dtype: DType) -> Array:
    """A copy of ``values`` on the device."""
    data = np.ascontiguousarray(values, dtype.numpy)
    result = empty(device, values.shape, dtype)
    if data.size:
        source = data.reshape(-1).view(np.uint8)
        device.protocol.upload(result.storage.buffer, 0, source.data)
    return result


def same_device(what: str, *arrays: Array) -> Device:
    """The device of all ``arrays``. Raises DeviceMismatch naming both."""
    device = arrays[0].device
    for other in arrays[1:]:
        if other.device is not device:
            if str(other.device) == str(device):
                raise DeviceClosed(f"[{what}] one operand is on {device} as it was before it was "
                                   f"closed; want both made since")  # fmt: skip
            raise DeviceMismatch(
                f"[{what}] operands live on {device} and on {other.device}; want one device: "
                f"move one with to_device({str(device)!r})"
            )
    return device


def apply(row: Scalar | Composite, operands: Sequence[Array | Number], dtype: DType) -> Array:
    """``row`` on broadcast operands of type ``dtype`` (and numbers, which take it)."""
    wide, first = dtype.compute, None
    args: list[Leaf | Number] = []
    for x in operands:
        if type(x) is not Array:
            args.append(x)
            continue
        if first is None:
            first, shape = x, x.view.shape
        elif x.device is not first.device or x.view.shape != shape:
            return _apply_broadcast(row, operands, dtype)
        args.append(x.lazy if wide is dtype or x.dtype is wide else _widened(x))
    assert first is not None
    result = wide if row.gives == "same" else row.result_dtype(wide)
    node = _node(first.device, row, args, result, View.contiguous(shape))
    if wide is not dtype and result is wide:
        node = _node(first.device, CAST, [node], dtype, node.view)
    return _array(node)


def _apply_broadcast(
    row: Scalar | Composite, operands: Sequence[Array | Number], dtype: DType
) -> Array:
    """:func:`apply` for operands of several shapes, which are brought to one."""
    arrays = [x for x in operands if type(x) is Array]
    same_device(row.name, *arrays)
    shape = broadcast_shapes(*(x.view.shape for x in arrays), op=row.name)
    same = [x.expanded(shape) if type(x) is Array else x for x in operands]
    return apply(row, same, dtype)


def cast(x: Array, dtype: DType) -> Array:
    """``x`` with every element converted to ``dtype``."""
    if x.dtype is dtype:
        return x
    halves = [d for d in (x.dtype, dtype) if d.compute is not d]
    if halves and halves[0].compute not in (x.dtype, dtype):
        return cast(cast(x, halves[0].compute), dtype)
    return _array(_node(x.device, CAST, [x.lazy], dtype, View.contiguous(x.view.shape)))


def _widened(x: Array) -> Leaf:
    """Half types are computed in float32."""
    if x.dtype.compute is x.dtype:
        return x.lazy
    return _node(x.device, CAST, [x.lazy], x.dtype.compute, View.contiguous(x.view.shape))


def _node(
    device: Device,
    row: Scalar | Composite,
    args: Sequence[Leaf | Number],
    dtype: DType,
    view: View,
) -> Pending:
    node = Pending(device, row, args, dtype, view)
    if node.nodes > fusion.MAX_NODES or node.leaves > fusion.MAX_LEAVES:
        for arg in args:
            if type(arg) is Pending:
                fusion.evaluate(arg)
        node = Pending(device, row, args, dtype, view)
    return node


def _array(node: Pending) -> Array:
    result = Array(node.device, node.dtype, node.view, node)
    node.owner = weakref.ref(result)
    if node.leaves > fusion.MAX_LEAVES or ("fuse" in CHANGED and not config().fuse):
        fusion.evaluate(node)  # it reads memory that is shared, or nothing may wait
    return result


def reduce(op: Reduction, x: Array, axes: tuple[int, ...], keepdims: bool = True) -> Array:
    """Combine along ``axes`` (sorted); they keep size 1, or vanish."""
    if x.dtype.compute is not x.dtype:
        return cast(reduce(op, cast(x, x.dtype.compute), axes, keepdims), x.dtype)
    if not axes:
        return x
    result = _reduced(op, x, axes)
    if keepdims:
        return result
    shape = tuple([n for a, n in enumerate(x.view.shape) if a not in axes])
    view = View.contiguous(shape)
    return Array(x.device, x.dtype, view, Leaf.of(result.storage, view, x.dtype))


def _reduced(op: Reduction, x: Array, axes: tuple[int, ...]) -> Array:
    shape = tuple([1 if a in axes else n for a, n in enumerate(x.view.shape)])
    result = empty(x.device, shape, x.dtype)
    if 0 in shape:
        return result
    supported = x.dtype.name in x.device.caps.reductions.get(op.name, ())
    with x.device.lock:  # what the expression reads stays as it is
        node = x.pending
        if node is not None and supported and x.view.size and fusion.is_cheap(node):
            program, ins = fusion.collect(node)
            if x.device.has("reduce_fused") and not x.device.missing(program):
                feature: Any = x.device.protocol
                feature.reduce_fused(op, result.operand(), program, ins, axes)
                return result
    launch(
        x.device,
        f"{op.name} {x.dtype}",
        supported,
        lambda protocol, outs, ins: protocol.reduce(op, outs[0], ins[0], axes),
        [result.operand()],
        [x.operand()],
    )
    return result


def matmul(a: Array, b: Array) -> Array:
    """Batched product of (..., m, k) and (..., k, n) of one type; leading axes broadcast. Half
    types are multiplied as float32 unless the device claims their products. Where the device can
    go on with what it has multiplied, the product waits for what is done with it."""
    device = same_device("matmul", a, b)
    if a.dtype.compute is not a.dtype and a.dtype.name not in device.caps.matmul:
        return cast(matmul(cast(a, a.dtype.compute), cast(b, b.dtype.compute)), a.dtype)
    batch = a.view.shape[:-2]
    if batch != b.view.shape[:-2]:
        batch = broadcast_shapes(batch, b.view.shape[:-2], op="matmul")
    shape = (*batch, a.shape[-2], b.shape[-1])
    ins = [a.leaf((*batch, *a.shape[-2:])), b.leaf((*batch, *b.shape[-2:]))]
    supported = a.dtype.name in device.caps.matmul
    if supported and 0 not in shape and device.has("gemm_epilogue"):
        return _array(_node(device, PRODUCT, ins, a.dtype, View.contiguous(shape)))
    result = empty(device, shape, a.dtype)
    if 0 not in shape:
        launch(
            device,
            f"matmul {a.dtype}",
            supported,
            lambda protocol, outs, ins: protocol.matmul(outs[0], ins[0], ins[1]),
            [result.operand()],
            ins,
        )
    return result


def where(condition: Array, a: Array | Number, b: Array | Number, dtype: DType) -> Array:
    """``a`` where ``condition`` (bool), else ``b``."""
    assert condition.dtype is bool_
    return apply(WHERE, (condition, a, b), dtype)


def equal(a: Array, b: Array | Number) -> Array:
    """Elementwise ``a == b``."""
    return apply(scalar.EQUAL, (a, b), a.dtype)


def copy_to(x: Array, device: Device) -> Array:
    """``x`` on another device."""
    if device is x.device:
        return x
    if x.dtype.name not in device.caps.storage and config().fallback == "forbid":
        raise InvalidArgument(f"[to_device] {device} does not store {x.dtype}; astype() first")
    return from_numpy(device, x.numpy(), x.dtype)
