"""Random index expressions for NumPy arrays, of every kind that a key may hold."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

Key = Any


@st.composite
def keys(draw: st.DrawFn, shape: tuple[int, ...]) -> Key:
    """A key for ``shape``: integers, slices, None, ``...``, bools, index arrays that broadcast
    together, and masks of any rank."""
    common = draw(st.sampled_from([(), (1,), (2,), (3,), (2, 3), (0,)]))
    parts: list[Any] = []
    axis, last = 0, draw(st.integers(0, len(shape)))
    while True:
        extra = draw(st.integers(0, 19))
        if extra > 17:
            parts.append(None)
        elif extra == 17:
            parts.append(draw(st.booleans()))
        elif extra > 14 and not any(p is ... for p in parts):
            parts.append(...)
            axis, last = draw(st.integers(axis, len(shape))), len(shape)
        elif axis >= last:
            break
        else:
            part, used = draw(_for_axes(shape[axis:last], common))
            parts.append(part)
            axis += used
    return tuple(parts) if len(parts) != 1 or draw(st.booleans()) else parts[0]


@st.composite
def _for_axes(draw: st.DrawFn, sizes: tuple[int, ...], common: tuple[int, ...]) -> tuple[Any, int]:
    """A part of a key and how many of the next axes it stands for."""
    n, kind = sizes[0], draw(st.sampled_from(["slice", "integer", "array", "array", "mask"]))
    if kind == "slice" or (n == 0 and kind != "mask"):
        return draw(st.slices(n)), 1
    if kind == "integer":
        return draw(st.integers(-n, n - 1)), 1
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if kind == "array":
        some = common[draw(st.integers(0, len(common))) :]
        shape = tuple(draw(st.sampled_from([k, k, 1])) for k in some)
        dtype = draw(st.sampled_from([np.int64, np.int8, np.uint16]))
        return rng.integers(-n if dtype is not np.uint16 else 0, n, shape).astype(dtype), 1
    many = draw(st.integers(1, len(sizes)))
    mask = np.zeros(int(np.prod(sizes[:many])), bool)
    count = common[-1] if common else draw(st.integers(0, 4))
    mask[rng.permutation(mask.size)[:count]] = True
    return mask.reshape(sizes[:many]), many


@st.composite
def keyed(draw: st.DrawFn, max_dims: int = 4, min_side: int = 0) -> tuple[tuple[int, ...], Key]:
    """A shape and a key for it that NumPy accepts."""
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=max_dims, min_side=min_side, max_side=4))
    key = draw(keys(shape).filter(lambda key: _fits(shape, key)))
    return shape, key


def _fits(shape: tuple[int, ...], key: Key) -> bool:
    try:
        np.zeros(shape)[key]
    except IndexError:  # index arrays and masks that do not broadcast together
        return False
    return True
