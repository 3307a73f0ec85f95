"""Making tensors, and moving them between devices.

The device is: the keyword, else that of the inputs, else that of ``default_device``, else the best
installed CPU backend. Python floats become float32, ints int64, complex numbers complex64.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, final

import numpy as np

from polyback import array
from polyback.array import Array
from polyback.config import config
from polyback.dtype import (
    DEFAULT_FLOAT,
    DType,
    bool_,
    check_fits,
    complex64,
    dtype_of,
    scalar_dtype,
)
from polyback.errors import DTypeError, InvalidArgument, ShapeError
from polyback.frontend.checks import check_tensors
from polyback.frontend.defaults import get_device
from polyback.frontend.functions.elementwise import cast, copied
from polyback.frontend.op import Op, run
from polyback.frontend.tensor import Tensor
from polyback.runtime import Device
from polyback.view import check_shape

Where = str | Device | None


@final
class ToDevice(Op):
    """``y = x`` on another device; the gradient travels back."""

    name = "to_device"

    def __init__(self, source: Device, target: Device) -> None:
        self.source, self.target = source, target

    def forward(self, x: Array) -> Array:
        return array.copy_to(x, self.target)

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        return to_device(g, self.source)


def to_device(x: Tensor, device: Device) -> Tensor:
    """``x`` on ``device``; itself if it is there already."""
    return x if x.device is device else run(ToDevice(x.device, device), x)


def asarray(
    obj: Any,
    /,
    *,
    dtype: Any = None,
    device: Where = None,
    copy: bool | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor from numbers, nested sequences, NumPy arrays, buffers or another tensor.

    0-d tensors count as numbers inside sequences, and stay in the graph.
    ``copy=None`` copies only what must be copied; False raises InvalidArgument if a copy is needed.
    With ``requires_grad`` the result is a leaf of its own, over the same numbers as a tensor given.
    Raises ShapeError for ragged sequences, DTypeError for contents that are not numbers or that
    ``dtype`` cannot hold (Python ints out of range, complex numbers as real ones).

    >>> import polyback as pb
    >>> pb.asarray([[1, 2], [3, 4]]).shape
    (2, 2)
    """
    target = None if dtype is None else dtype_of(dtype)
    if holds_tensor(obj):
        obj = _joined(obj, get_device(device))
    if isinstance(obj, Tensor):
        result = obj if device is None else to_device(obj, get_device(device))
        if target is not None:
            result = cast(result, target)
        if copy is False and result is not obj:
            raise InvalidArgument("[asarray] copy=False, but the dtype or device differs")
        if copy and result is obj:
            result = copied(obj)
    else:
        if copy is False:
            raise InvalidArgument("[asarray] copy=False: host data is always copied to the device")
        values = host_values(obj, target)
        target = target or host_dtype(obj, values)
        _check_host(values, target, exact=not hasattr(obj, "dtype"))
        where = storing(get_device(device), target)
        with np.errstate(all="ignore"):  # 1e300 is inf in float32
            result = Tensor(array.from_numpy(where, values, target))
    return _leaf(result.detach() if result is obj else result) if requires_grad else result


def _leaf(x: Tensor) -> Tensor:
    """``x`` as a leaf that gradients are kept for. Raises DTypeError unless floating-point."""
    x.requires_grad = True
    return x


def host_values(obj: Any, target: DType | None = None) -> np.ndarray[Any, Any]:
    """``obj`` as a NumPy array, to become ``target``. Raises what :func:`asarray` raises."""
    try:
        values = np.asarray(obj)
    except (ValueError, TypeError, OverflowError) as error:
        if hasattr(obj, "dtype"):  # an array of another library
            raise DTypeError(
                f"[asarray] got a {type(obj).__name__} of {obj.dtype}: {error}; want a type that "
                f"NumPy knows: convert it there first"
            ) from None
        raise ShapeError(f"[asarray] {error}; want numbers nested evenly") from None
    if values.dtype.kind in "fO" and target is not None and target.is_integer:
        with suppress(ValueError, TypeError, OverflowError):  # NumPy makes [2**64 - 1, 0] floats
            return np.asarray(obj, target.numpy)
    if values.dtype == object:
        raise DTypeError(f"[asarray] got {type(obj).__name__} of objects; want numbers that fit")
    return values


def _check_host(values: np.ndarray[Any, Any], target: DType, exact: bool) -> None:
    """Raises DTypeError if ``target`` cannot hold the kind or, where ``exact``, the integers."""
    if values.dtype.kind == "c" and target.kind not in ("complex", "bool"):
        raise DTypeError(f"[asarray] {target} cannot hold complex numbers; want real(x)")
    if exact and values.dtype.kind in "iu" and target.is_integer and values.size:
        check_fits(int(values.min()), target)
        check_fits(int(values.max()), target)


def holds_tensor(obj: Any) -> bool:
    """Is there a tensor in a nested sequence?"""
    if not isinstance(obj, (list, tuple)):
        return False
    return any(isinstance(x, Tensor) or holds_tensor(x) for x in obj)


def _joined(obj: Any, device: Device) -> Tensor:
    """A nested sequence of 0-d tensors and numbers as one tensor."""
    from polyback.frontend.functions.joining import stack

    if not isinstance(obj, (list, tuple)):
        if isinstance(obj, Tensor) and obj.ndim:
            raise DTypeError(f"[asarray] got tensors of shape {obj.shape}; want pb.stack(...)")
        return asarray(obj, device=device)
    return stack([_joined(x, device) for x in obj])


def host_dtype(obj: Any, values: np.ndarray[Any, Any]) -> DType:
    """The type of ``values``, read from ``obj``: NumPy arrays keep theirs, Python numbers take the
    defaults."""
    if hasattr(obj, "dtype") or isinstance(obj, (bytes, bytearray, memoryview)):
        return dtype_of(values.dtype)
    if values.dtype.kind == "f":
        return DEFAULT_FLOAT
    return complex64 if values.dtype.kind == "c" else dtype_of(values.dtype)


def storing(device: Device, dtype: DType) -> Device:
    """``device``, where it can hold ``dtype``; under host fallback every device can keep bytes."""
    if dtype.name not in device.caps.storage and config().fallback == "forbid":
        raise DTypeError(
            f"[dtype] {device} does not store {dtype}; it stores "
            f"{', '.join(sorted(device.caps.storage))}"
        )
    return device


def full(
    shape: int | Sequence[int],
    fill_value: bool | int | float | complex,
    *,
    dtype: Any = None,
    device: Where = None,
    requires_grad: bool = False,
) -> Tensor:
    """``fill_value`` everywhere.

    Raises ShapeError for negative or overflowing sizes, DTypeError for a value of a higher kind
    than ``dtype`` or out of its range.

    >>> import polyback as pb
    >>> pb.full((2,), 7).tolist()
    [7, 7]
    """
    value = _scalar(fill_value)
    target = scalar_dtype(value, bool_) if dtype is None else dtype_of(dtype)
    if isinstance(value, int):
        check_fits(int(value), target)
    elif scalar_dtype(value, target).kind != target.kind:
        raise DTypeError(f"[full] {target} cannot hold {value!r}; want a number of its kind")
    sizes = check_shape(shape, "full")
    where = storing(get_device(device), target)
    result = array.empty(where, sizes, target)
    result.assign(value)
    return _leaf(Tensor(result)) if requires_grad else Tensor(result)


def _scalar(value: Any) -> bool | int | float | complex:
    if isinstance(value, (np.generic, Tensor)):
        value = value.item()
    if not isinstance(value, (bool, int, float, complex)):
        raise DTypeError(f"[full] got {type(value).__name__}; want a number")
    return value


def zeros(
    shape: int | Sequence[int],
    *,
    dtype: Any = None,
    device: Where = None,
    requires_grad: bool = False,
) -> Tensor:
    """Zeros, float32 unless ``dtype`` says otherwise.

    >>> import polyback as pb
    >>> pb.zeros(2).tolist()
    [0.0, 0.0]
    """
    return full(shape, 0, dtype=dtype or DEFAULT_FLOAT, device=device, requires_grad=requires_grad)


def ones(
    shape: int | Sequence[int],
    *,
    dtype: Any = None,
    device: Where = None,
    requires_grad: bool = False,
) -> Tensor:
    """Ones, float32 unless ``dtype`` says otherwise.

    >>> import polyback as pb
    >>> pb.ones(2).tolist()
    [1.0, 1.0]
    """
    return full(shape, 1, dtype=dtype or DEFAULT_FLOAT, device=device, requires_grad=requires_grad)


def empty(shape: int | Sequence[int], *, dtype: Any = None, device: Where = None) -> Tensor:
    """Memory with undefined contents, float32 unless ``dtype`` says otherwise.

    >>> import polyback as pb
    >>> pb.empty((2, 3)).shape
    (2, 3)
    """
    target = dtype_of(dtype or DEFAULT_FLOAT)
    where = storing(get_device(device), target)
    return Tensor(array.empty(where, check_shape(shape, "empty"), target))


def full_like(x: Tensor, /, fill_value: Any, *, dtype: Any = None, device: Where = None) -> Tensor:
    """``fill_value`` in the shape, type and place of ``x``.

    >>> import polyback as pb
    >>> pb.full_like(pb.zeros(2), 7).tolist()
    [7.0, 7.0]
    """
    check_tensors("full_like", x)
    return full(x.shape, fill_value, dtype=dtype or x.dtype, device=device or x.device)


def zeros_like(x: Tensor, /, *, dtype: Any = None, device: Where = None) -> Tensor:
    """Zeros in the shape, type and place of ``x``.

    >>> import polyback as pb
    >>> pb.zeros_like(pb.ones(2)).tolist()
    [0.0, 0.0]
    """
    check_tensors("zeros_like", x)
    return full_like(x, 0, dtype=dtype, device=device)


def ones_like(x: Tensor, /, *, dtype: Any = None, device: Where = None) -> Tensor:
    """Ones in the shape, type and place of ``x``.

    >>> import polyback as pb
    >>> pb.ones_like(pb.zeros(2)).tolist()
    [1.0, 1.0]
    """
    check_tensors("ones_like", x)
    return full_like(x, 1, dtype=dtype, device=device)


def empty_like(x: Tensor, /, *, dtype: Any = None, device: Where = None) -> Tensor:
    """Undefined contents in the shape, type and place of ``x``.

    >>> import polyback as pb
    >>> pb.empty_like(pb.zeros(2)).shape
    (2,)
    """
    check_tensors("empty_like", x)
    return empty(x.shape, dtype=dtype or x.dtype, device=device or x.device)
