"""Differences of neighbours."""

from __future__ import annotations

from polyback.errors import InvalidArgument
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions.arithmetic import subtract
from polyback.frontend.functions.elementwise import apart
from polyback.frontend.functions.joining import concat
from polyback.frontend.tensor import Tensor
from polyback.view import normalize_axis


def diff(
    x: Tensor,
    /,
    *,
    axis: int = -1,
    n: int = 1,
    prepend: Tensor | None = None,
    append: Tensor | None = None,
) -> Tensor:
    """``x[i + 1] - x[i]`` along ``axis``, ``n`` times, between ``prepend`` and ``append``.

    Numeric types; each time leaves one element less. Raises InvalidArgument for a negative ``n``.

    >>> import polyback as pb
    >>> pb.diff(pb.asarray([1, 4, 9])).tolist()
    [3, 5]
    """
    check_tensors("diff", x, *(t for t in (prepend, append) if t is not None))
    if n < 0:
        raise InvalidArgument(f"[diff] n={n}; want 0 or more")
    spot = normalize_axis(axis, x.ndim, "diff")
    parts = [t for t in (prepend, x, append) if t is not None]
    result = x if len(parts) == 1 else concat(parts, axis=spot)
    before = (slice(None),) * spot
    for _ in range(n):
        result = subtract(result[(*before, slice(1, None))], result[(*before, slice(None, -1))])
    return apart(result, x)
