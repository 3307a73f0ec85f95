"""NumPy arrays and DLPack: tensors to other libraries and back, by way of host memory (NumPy makes
the capsules).

A device with the feature ``host_view`` shares its memory, one with ``adopt`` works in that of other
libraries; the numbers of the rest are copied. Of
shared memory no expression waits to be read, so that a write from outside never reaches back into
what was computed before it. Such a write is not counted: gradients cannot notice it.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final, final

import numpy as np

from polyback import fusion
from polyback.array import Array
from polyback.dtype import dtype_of
from polyback.errors import InterchangeError
from polyback.frontend.defaults import get_device
from polyback.frontend.functions.creation import Where, asarray
from polyback.frontend.tensor import Tensor
from polyback.fusion import Leaf
from polyback.runtime import Device, Storage
from polyback.view import View

HOST: Final = (1, 0)  # kDLCPU: what every capsule made here refers to


@final
class _Window:
    """The memory behind an array, for NumPy to look at; holds the buffer while it does."""

    def __init__(self, storage: Storage, interface: dict[str, Any]) -> None:
        self.storage, self.__array_interface__ = storage, interface


def shared(x: Array) -> np.ndarray[Any, Any] | None:
    """``x`` as a NumPy array over the same memory (read-only if elements share a place), or None
    where the device does not share it."""
    if not x.device.has("host_view"):
        return None
    storage = x.storage
    feature: Any = x.device.protocol
    fusion.share(storage)
    feature.synchronize()
    room = np.frombuffer(feature.host_view(storage.buffer), np.uint8)
    size = x.dtype.itemsize
    interface = {
        "version": 3,
        "typestr": x.dtype.numpy.str,
        "shape": x.shape,
        "strides": tuple(size * s for s in x.view.strides),
        "data": (room.ctypes.data + size * x.view.offset, x.view.has_overlap),
    }
    return np.asarray(_Window(storage, interface)).view(x.dtype.numpy)  # "V2" is bfloat16


def to_array(x: Tensor, dtype: Any, copy: bool | None) -> np.ndarray[Any, Any]:
    """What ``x.__array__(dtype, copy)`` returns: the memory of ``x`` where the device shares it, no
    gradients are recorded and ``copy`` is not True; else a copy. Raises InterchangeError for other
    devices than CPUs, whose numbers travel only when asked to, and where copy=False cannot be."""
    if x.device.kind != "cpu":
        raise InterchangeError(
            f"[__array__] the numbers are on {x.device}, a {x.device.kind}; want x.numpy(), or "
            f"x.to_device('cpu') first"
        )
    host = None if copy or x.requires_grad else shared(x.array)
    if copy is False and (host is None or host.dtype != np.dtype(dtype or host.dtype)):
        hint = "x.detach()" if x.requires_grad else "copy=None"
        raise InterchangeError(
            f"[__array__] copy=False: {x.dtype} on {x.device} cannot be seen as "
            f"{dtype or x.dtype} in place; want {hint}"
        )
    if host is None:
        host = x.numpy()
    return host if dtype is None else host.astype(dtype, copy=False)


def to_dlpack(x: Tensor, stream: Any, max_version: Any, dl_device: Any, copy: bool | None) -> Any:
    """What ``x.__dlpack__(...)`` returns. Raises InterchangeError."""
    if stream is not None or dl_device not in (None, HOST):
        raise InterchangeError(
            f"[__dlpack__] got stream={stream}, dl_device={dl_device}; want None and {HOST}: "
            f"numbers leave through host memory"
        )
    if x.requires_grad:
        raise InterchangeError("[__dlpack__] a graph cannot be exported; want x.detach()")
    host = shared(x.array)
    if host is None:
        if copy is False:
            raise InterchangeError(
                f"[__dlpack__] {x.device} does not share its memory with the host; want copy=None"
            )
        host, copy = x.numpy(), True
    elif not host.flags.writeable and (max_version is None or max_version[0] < 1) and not copy:
        if copy is False:
            raise InterchangeError(
                "[__dlpack__] no capsule before 1.0 is read-only; want copy=None"
            )
        host = x.numpy()
    return host.__dlpack__(max_version=max_version, copy=copy)


def from_dlpack(x: Any, /, *, device: Where = None, copy: bool | None = None) -> Tensor:
    """A tensor with the numbers of any array that has ``__dlpack__``.

    The memory is shared, both ways, where the device offers the feature ``adopt`` and the array is
    writable and aligned, unless ``copy`` is True; otherwise it is copied, and ``copy=False`` raises
    InterchangeError. So do types that NumPy does not know (bfloat16) and memory that the host
    cannot read. A tensor keeps its device.

    >>> import numpy as np
    >>> import polyback as pb
    >>> pb.from_dlpack(np.asarray([1, 2])).tolist()
    [1, 2]
    """
    if isinstance(x, Tensor):
        if x.requires_grad:
            raise InterchangeError("[from_dlpack] a graph cannot be imported; want x.detach()")
        return asarray(x, device=device, copy=copy)
    try:
        values = np.from_dlpack(x, device="cpu")
    except (RuntimeError, BufferError) as error:
        raise InterchangeError(
            f"[from_dlpack] got a {type(x).__name__}: {error}; want a type that NumPy knows, no "
            f"graph, and memory that the host can read"
        ) from error
    place = get_device(device)
    adopted = None if copy else _adopted(values, place)
    if adopted is None and copy is False:
        raise InterchangeError(
            f"[from_dlpack] copy=False: {place} does not take over the memory of a "
            f"{type(x).__name__}; want copy=None"
        )
    return asarray(values, device=device) if adopted is None else Tensor(adopted)


def _adopted(values: np.ndarray[Any, Any], device: Device) -> Array | None:
    """An array over the memory of ``values``, or None where that cannot be."""
    size, steps = values.itemsize, values.strides
    whole = values.flags.writeable and values.flags.aligned and values.dtype.isnative
    dtype = dtype_of(values.dtype)
    if not whole or not values.size or any(s % size for s in steps):
        return None
    if not device.has("adopt") or dtype.name not in device.caps.storage:
        return None
    reach = [(n - 1) * s for n, s in zip(values.shape, steps, strict=True)]
    before, after = -sum(r for r in reach if r < 0), sum(r for r in reach if r > 0)
    room = (ctypes.c_ubyte * (before + after + size)).from_address(values.ctypes.data - before)
    room.owner = values  # the memory lives as long as the view
    storage = Storage(device, 0, memoryview(room).cast("B"))
    fusion.share(storage)
    view = View(values.shape, tuple(s // size for s in steps), before // size)
    return Array(device, dtype, view, Leaf.of(storage, view, dtype))
