"""Making tensors from a formula of the index: sequences, grids and triangles."""

from __future__ import annotations

import math
import operator
from typing import Any, Literal

import numpy as np

from polyback import array
from polyback.array import host_room
from polyback.dtype import (
    DEFAULT_COMPLEX,
    DEFAULT_FLOAT,
    DEFAULT_INT,
    DType,
    bool_,
    check_fits,
    dtype_of,
    float32,
    float64,
)
from polyback.errors import DTypeError, InvalidArgument, ShapeError
from polyback.frontend.checks import check_tensors
from polyback.frontend.defaults import get_device
from polyback.frontend.functions.creation import Where, asarray, storing
from polyback.frontend.functions.elementwise import apply, astype, cast
from polyback.frontend.functions.shape import broadcast_to, reshape
from polyback.frontend.tensor import Tensor
from polyback.scalar import WHERE
from polyback.view import check_shape


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
    where = storing(get_device(device), target)
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
    start: complex,
    stop: complex,
    /,
    num: int,
    *,
    dtype: Any = None,
    device: Where = None,
    endpoint: bool = True,
) -> Tensor:
    """``num`` evenly spaced numbers from ``start`` to ``stop``, which is the last if ``endpoint``.

    The type is the default float, or the default complex type if an end is complex. Numbers are
    rounded down in an integer ``dtype``. Raises InvalidArgument for a negative ``num`` or ends that
    are not finite.

    >>> import polyback as pb
    >>> pb.linspace(0.0, 1.0, 3).tolist()
    [0.0, 0.5, 1.0]
    """
    if not isinstance(num, (int, np.integer)) or num < 0:
        raise InvalidArgument(f"[linspace] num={num!r}; want an integer of 0 or more")
    if not (np.isfinite(start) and np.isfinite(stop)):
        raise InvalidArgument(f"[linspace] got {start} to {stop}; want finite numbers")
    is_complex = isinstance(start, complex) or isinstance(stop, complex)
    target = dtype_of(dtype or (DEFAULT_COMPLEX if is_complex else DEFAULT_FLOAT))
    part = 0.5 if max(abs(start), abs(stop)) > 1e300 else 1.0  # the distance must not overflow
    with host_room("linspace", (int(num),), target):
        values = np.linspace(start * part, stop * part, num, endpoint=endpoint) / part
        values = np.floor(values) if target.is_integer else values
    return asarray(values, dtype=target, device=device)


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
    k = max(-n_rows, min(k, columns))  # further out is no diagonal either
    return astype(rows[:, None] + k == spots, dtype or DEFAULT_FLOAT)


def meshgrid(*arrays: Tensor, indexing: Literal["xy", "ij"] = "xy") -> tuple[Tensor, ...]:
    """The coordinates of a grid: from axes of lengths n0, n1, ... as many tensors of one shape.

    ``"ij"``: the shape is (n0, n1, n2, ...); ``"xy"``: (n1, n0, n2, ...). The results are views.
    Raises ShapeError unless every axis is one-dimensional, InvalidArgument for another indexing.

    >>> import polyback as pb
    >>> x, y = pb.meshgrid(pb.arange(2), pb.arange(3))
    >>> x.tolist()
    [[0, 1], [0, 1], [0, 1]]
    """
    if indexing not in ("xy", "ij"):
        raise InvalidArgument(f"[meshgrid] indexing={indexing!r}; want 'xy' or 'ij'")
    check_tensors("meshgrid", *arrays)
    for x in arrays:
        if x.ndim != 1:
            raise ShapeError(f"[meshgrid] got shape {x.shape}; want 1 axis")
    order = list(range(len(arrays)))
    if indexing == "xy":
        order[:2] = order[1::-1]
    shape = tuple(arrays[k].size for k in order)
    along = [tuple(n if order[a] == k else 1 for a, n in enumerate(shape)) for k in sorted(order)]
    return tuple(broadcast_to(reshape(x, one), shape) for x, one in zip(arrays, along, strict=True))


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
    k = max(-x.shape[-2], min(k, x.shape[-1]))  # further out there is nothing
    below: Tensor = columns <= rows[:, None] + k
    return below
