"""What layers with windows have in common: parameters for one or two axes, lines as flat images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polyback.dtype import DType
from polyback.errors import DTypeError, InvalidArgument, ShapeError
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions import result_type
from polyback.frontend.functions.elementwise import cast
from polyback.frontend.functions.shape import reshape
from polyback.frontend.tensor import Tensor
from polyback.view import integers

Size = int | Sequence[int]
Pair = tuple[int, int]


def each(value: Size, axes: int, what: str, op: str, least: int = 1) -> tuple[int, ...]:
    """One integer for each of ``axes`` axes; one integer stands for all. Raises InvalidArgument."""
    try:
        given = integers(value)
    except TypeError:
        given = ()
    if len(given) == 1 and np.ndim(value) == 0:
        given *= axes
    if len(given) != axes or min(given) < least:
        count = "an integer" if axes == 1 else f"an integer or {axes} of them"
        raise InvalidArgument(f"[{op}] got {what}={value!r}; want {count}, from {least}")
    return given


def flat(values: Sequence[int], blank: int) -> Pair:
    """Parameters of two axes; those of a line are those of an image of height 1."""
    rows, columns = (blank, *values)[-2:]
    return rows, columns


def images(x: Tensor, axes: int, op: str) -> Tensor:
    """``x``, (N, C, L) or (N, C, H, W), with 4 axes; without N, one image. Raises ShapeError."""
    if x.ndim not in (axes + 1, axes + 2):
        sizes = "L" if axes == 1 else "H, W"
        raise ShapeError(f"[{op}] got {x.shape}; want (N, C, {sizes}) or (C, {sizes})")
    lead = x.shape[:-axes] if x.ndim == axes + 2 else (1, x.shape[0])
    return reshape(x, (*lead, *flat(x.shape[-axes:], 1)))


def back(y: Tensor, like: Tensor, axes: int) -> Tensor:
    """The result for images in the axes of ``like``, from which they were made."""
    lead = y.shape[:2] if like.ndim == axes + 2 else (y.shape[1],)
    return reshape(y, (*lead, *y.shape[4 - axes :]))


def float_type(op: str, *given: Tensor | None) -> DType:
    """The real floating type that the tensors promote to. Raises DTypeError."""
    tensors = [t for t in given if t is not None]
    check_tensors(op, *tensors)
    dtype = result_type(*tensors)
    if not dtype.is_floating:
        raise DTypeError(f"[{op}] does not take {dtype}; want a real floating type: use astype()")
    return dtype


def as_type(x: Tensor | None, dtype: DType) -> Tensor | None:
    """``x`` converted, where there is one."""
    return None if x is None else cast(x, dtype)
