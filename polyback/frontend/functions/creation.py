"""Making tensors, and moving them between devices.

The device is: the keyword, else that of the inputs, else that of ``default_device``, else the best
installed CPU backend. Python floats become float32, ints int64, complex numbers complex64.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, final

import numpy as np

from polyback import array
from polyback.array import Array
from polyback.config import config
from polyback.dtype import (
    DEFAULT_FLOAT,
    DEFAULT_INT,
    DType,
    bool_,
    check_fits,
    complex64,
    dtype_of,
    float32,
    float64,
    scalar_dtype,
)
from polyback.errors import DTypeError, InvalidArgument, ShapeError
from polyback.frontend.checks import check_tensors
from polyback.frontend.defaults import get_device
from polyback.frontend.functions.elementwise import apply, astype, cast
from polyback.frontend.op import Op, run
from polyback.frontend.tensor import Tensor
from polyback.runtime import Device
from polyback.scalar import WHERE
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
            result = Tensor(obj.array.copy()) if obj.edge is None else apply_copy(obj)
    else:
        if copy is False:
            raise InvalidArgument("[asarray] copy=False: host data is always copied to the device")
        values = host_values(obj, target)
        target = target or host_dtype(obj, values)
        _check_host(values, target, exact=not hasattr(obj, "dtype"))
        where = _storing(get_device(device), target)
        with np.errstate(all="ignore"):  # 1e300 is inf in float32
            result = Tensor(array.from_numpy(where, values, target))
    return _leaf(result.detach() if result is obj else result) if requires_grad else result


def _leaf(x: Tensor) -> Tensor:
    """``x`` as a leaf that gradients are kept for. Raises DTypeError unless floating-point."""
    x.requires_grad = True
    return x


def apply_copy(x: Tensor) -> Tensor:
    """A copy that stays in the graph."""
    from polyback.scalar import POSITIVE

    return apply(POSITIVE, x)


def host_values(obj: Any, target: DType | None = None) -> np.ndarray[Any, Any]:
    """``obj`` as a NumPy array, to become ``target``. Raises what :func:`asarray` raises."""
    try:
        values = np.asarray(obj)
    except (ValueError, TypeError, OverflowError) as error:
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
    from polyback.frontend.functions.shape import stack

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


def _storing(device: Device, dtype: DType) -> Device:
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
    where = _storing(get_device(device), target)
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
    where = _storing(get_device(device), target)
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


def arange(
    start: float,
    /,
    stop: float | None = None,
    step: float = 1,
    *,
    dtype: Any = None,
    device: Where = None,
) -> Tensor:
    """``start, start + step, ...`` below ``stop`` (``arange(n)`` counts from 0).

    Integers, unless one of the three is a float. Raises InvalidArgument for a step of 0, numbers
    that are not finite, or a fraction in an integer ``dtype``; DTypeError for integers that
    ``dtype`` cannot hold.

    >>> import polyback as pb
    >>> pb.arange(3).tolist(), pb.arange(1, 2, 0.5).tolist()
    ([0, 1, 2], [1.0, 1.5])
    """
    ends = (0, start) if stop is None else (start, stop)
    first, last, step = (_real(v) for v in (*ends, step))
    if step == 0:
        raise InvalidArgument("[arange] step is 0; want another number")
    whole = all(isinstance(v, int) for v in (first, last, step))
    target = dtype_of(dtype) if dtype is not None else (DEFAULT_INT if whole else DEFAULT_FLOAT)
    if target.is_integer and not (first == int(first) and step == int(step)):
        raise InvalidArgument(f"[arange] {target} cannot hold {first} + k * {step}; want integers")
    steps = -((first - last) // step) if whole else math.ceil((last - first) / step)
    length = max(0, int(steps))
    where = _storing(get_device(device), target)
    (length,) = check_shape((length,), "arange")
    index = Tensor(array.iota(where, length))
    if not target.is_integer:
        exact = float64 if "float64" in where.caps.storage else float32
        return cast(cast(index, exact) * float(step) + float(first), target)
    if length:
        check_fits(int(first), target)
        check_fits(int(first) + int(step) * (length - 1), target)
    wide = target if target.itemsize == 8 else DEFAULT_INT  # modulo 2**64 all is exact
    return cast(cast(index, wide) * _wrap(int(step), wide) + _wrap(int(first), wide), target)


def _real(value: Any) -> int | float:
    """A finite number as a Python int where it is one of an integer type, else as a float."""
    try:
        number = operator.index(value)
        check_fits(number, float64)
        return number
    except TypeError as error:
        if isinstance(error, DTypeError):
            raise
    try:
        if math.isfinite(value):
            return float(value)
    except (TypeError, ValueError):
        pass
    raise InvalidArgument(f"[arange] got {value!r}; want finite real numbers")


def _wrap(value: int, dtype: DType) -> int:
    """``value`` modulo 2**64 in the range of ``dtype``."""
    value %= 2**64
    return value - 2**64 if dtype.kind == "int" and value >= 2**63 else value


def linspace(
    start: float,
    stop: float,
    /,
    num: int,
    *,
    dtype: Any = None,
    device: Where = None,
    endpoint: bool = True,
) -> Tensor:
    """``num`` evenly spaced numbers from ``start`` to ``stop``.

    They are rounded down in an integer ``dtype``. Raises InvalidArgument for a negative ``num`` or
    ends that are not finite.

    >>> import polyback as pb
    >>> pb.linspace(0.0, 1.0, 3).tolist()
    [0.0, 0.5, 1.0]
    """
    if not isinstance(num, (int, np.integer)) or num < 0:
        raise InvalidArgument(f"[linspace] num={num!r}; want an integer of 0 or more")
    if not (np.isfinite(start) and np.isfinite(stop)):
        raise InvalidArgument(f"[linspace] got {start} to {stop}; want finite numbers")
    target = dtype_of(dtype or DEFAULT_FLOAT)
    values = np.linspace(start, stop, num, endpoint=endpoint)
    return asarray(np.floor(values) if target.is_integer else values, dtype=target, device=device)


def eye(
    n_rows: int,
    n_cols: int | None = None,
    /,
    *,
    k: int = 0,
    dtype: Any = None,
    device: Where = None,
) -> Tensor:
    """Ones on diagonal ``k``, zeros elsewhere.

    >>> import polyback as pb
    >>> pb.eye(2).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    n_rows, columns = check_shape((n_rows, n_rows if n_cols is None else n_cols), "eye")
    where = get_device(device)
    rows, spots = Tensor(array.iota(where, n_rows)), Tensor(array.iota(where, columns))
    return astype(rows[:, None] + k == spots, dtype or DEFAULT_FLOAT)


def tril(x: Tensor, /, *, k: int = 0) -> Tensor:
    """The lower triangle of the last two axes, up to diagonal ``k``; zeros elsewhere.

    >>> import polyback as pb
    >>> pb.tril(pb.ones((2, 2))).tolist()
    [[1.0, 0.0], [1.0, 1.0]]
    """
    check_tensors("tril", x)
    return apply(WHERE, _below(x, k, "tril"), x, False if x.dtype is bool_ else 0)


def triu(x: Tensor, /, *, k: int = 0) -> Tensor:
    """The upper triangle of the last two axes, from diagonal ``k``; zeros elsewhere.

    >>> import polyback as pb
    >>> pb.triu(pb.ones((2, 2))).tolist()
    [[1.0, 1.0], [0.0, 1.0]]
    """
    check_tensors("triu", x)
    return apply(WHERE, _below(x, k - 1, "triu"), False if x.dtype is bool_ else 0, x)


def _below(x: Tensor, k: int, op: str) -> Tensor:
    if x.ndim < 2:
        raise ShapeError(f"[{op}] got shape {x.shape}; want at least 2 axes")
    rows, columns = (Tensor(array.iota(x.device, n)) for n in x.shape[-2:])
    below: Tensor = columns <= rows[:, None] + k
    return below
