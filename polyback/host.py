"""Host work by design: what runs on the host whatever the device, on libraries that are hard to
match: matrix decompositions on LAPACK, Fourier transforms on pocketfft, both through NumPy.

This is no fallback. No device lacks anything, so ``fallback="forbid"`` does not refuse it and
nobody is warned; but it is not silent either: the ledger counts the calls and the bytes moved, in
entries that are ``by_design``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from polyback.array import Array, from_numpy, same_device
from polyback.config import config
from polyback.dtype import dtype_of
from polyback.errors import LinAlgError, UnsupportedOp
from polyback.fallback import enter

Results = tuple[np.ndarray[Any, Any], ...]


def on_host(
    what: str, function: Callable[..., Results], *operands: Array, hint: str = ""
) -> tuple[Array, ...]:
    """``function`` of the operands as NumPy arrays; its results on the operands' device.

    Raises LinAlgError, with ``hint`` for what to do, where NumPy raises its own, DeviceMismatch,
    and UnsupportedOp under ``forbid`` for results of a type that the device does not store.
    """
    device = same_device(what, *operands)
    given = [x.numpy() for x in operands]
    if config().debug:
        print(f"polyback {device}: {what} on the host {[x.shape for x in given]}")
    try:
        with np.errstate(all="ignore"):  # infinities and NaN come through as numbers
            results = function(*given)
    except np.linalg.LinAlgError as error:
        shapes = " and ".join(str(x.shape) for x in given)
        raise LinAlgError(f"[{what}] {error}: got {shapes}{hint and '; want ' + hint}") from None
    types = [dtype_of(r.dtype) for r in results]
    lacks = [t.name for t in types if t.name not in device.caps.storage]
    if lacks and config().fallback == "forbid":
        raise UnsupportedOp(f"[{what}] {device} does not store {lacks[0]}, the type of the result")
    moved = sum(x.nbytes for x in (*given, *results))
    enter(str(device), f"{what} {operands[0].dtype}", moved, by_design=True)
    return tuple(from_numpy(device, r, t) for r, t in zip(results, types, strict=True))
