"""The frequencies of a spectrum, and its order."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from polyback.dtype import DEFAULT_FLOAT, dtype_of
from polyback.errors import DTypeError, InvalidArgument
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions import asarray, roll
from polyback.frontend.tensor import Tensor
from polyback.view import normalize_axes


def fftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Tensor:
    """The frequency of each number of :func:`fft` of ``n`` points that are ``d`` apart:
    ``[0, 1, ..., -2, -1] / (d * n)``, the upper half being negative. Real floating types.

    >>> import polyback as pb
    >>> pb.fft.fftfreq(4).tolist()
    [0.0, 0.25, -0.5, -0.25]
    """
    return _frequencies("fftfreq", np.fft.fftfreq, n, d, dtype, device)


def rfftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Tensor:
    """The frequency of each number of :func:`rfft` of ``n`` points that are ``d`` apart:
    ``[0, 1, ..., n // 2] / (d * n)``. Real floating types.

    >>> import polyback as pb
    >>> pb.fft.rfftfreq(4).tolist()
    [0.0, 0.25, 0.5]
    """
    return _frequencies("rfftfreq", np.fft.rfftfreq, n, d, dtype, device)


def _frequencies(
    op: str, function: Callable[[int, float], Any], n: int, d: float, dtype: Any, device: Any
) -> Tensor:
    target = DEFAULT_FLOAT if dtype is None else dtype_of(dtype)
    if not target.is_floating:
        raise DTypeError(f"[{op}] got {target}; want a real floating-point type")
    try:
        count = operator.index(n)
    except TypeError:
        count = 0
    if count < 1 or d == 0:
        raise InvalidArgument(f"[{op}] got n={n!r}, d={d!r}; want n of at least 1, d other than 0")
    return asarray(function(count, float(d)), dtype=target, device=device)


def fftshift(x: Tensor, /, *, axes: int | Sequence[int] | None = None) -> Tensor:
    """The halves of ``axes`` (None: all) swapped, so that frequency 0 comes to the centre.

    >>> import polyback as pb
    >>> pb.fft.fftshift(pb.asarray([0, 1, 2, -2, -1])).tolist()
    [-2, -1, 0, 1, 2]
    """
    return _shifted("fftshift", x, axes, 1)


def ifftshift(x: Tensor, /, *, axes: int | Sequence[int] | None = None) -> Tensor:
    """The inverse of :func:`fftshift`.

    >>> import polyback as pb
    >>> pb.fft.ifftshift(pb.asarray([-2, -1, 0, 1, 2])).tolist()
    [0, 1, 2, -2, -1]
    """
    return _shifted("ifftshift", x, axes, -1)


def _shifted(op: str, x: Tensor, axes: int | Sequence[int] | None, sign: int) -> Tensor:
    check_tensors(op, x)
    spots = normalize_axes(axes, x.ndim, op)
    return roll(x, [sign * (x.shape[a] // 2) for a in spots], axis=spots)
