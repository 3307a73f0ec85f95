"""What level 7 asks of every feature before it tests it: is it there, for this type?"""

from __future__ import annotations

from typing import Any

import pytest

from polyback.dtype import DType
from polyback_conformance.lab import Lab


def offered(lab: Lab, feature: str, dtype: DType | None = None, op: str = "") -> Any:
    """The device, seen as having ``feature``; skips where it is not claimed. With ``op``, a
    reduction, the type must be among those that the device reduces."""
    has = feature in lab.caps.features
    lab.score.claim(7, f"{feature} {op}".rstrip(), dtype.name if dtype else "-", has, False)
    if not has:
        pytest.skip(f"L7: {feature} is not claimed")
    if dtype and dtype.name not in lab.caps.storage:
        pytest.skip(f"L7: {dtype} is not stored")
    if dtype and op and dtype.name not in lab.caps.reductions.get(op, frozenset()):
        pytest.skip(f"L7: {op} of {dtype} is not claimed")
    return lab.device
