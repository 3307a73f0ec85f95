"""The frontend on the device under test, for level 6."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from polyback.dtype import DType
from polyback_conformance.lab import Lab


@dataclass
class Front:
    """The frontend, the name of the device under test, and that of the reference."""

    pb: Any
    device: str
    reference: str
    lab: Lab

    def tensor(self, values: Any, dtype: DType | None = None, device: str | None = None) -> Any:
        """A tensor on the device, or another."""
        array = np.asarray(values)
        if dtype is not None and array.dtype.kind == dtype.numpy.kind:
            array = array.astype(dtype.numpy)
        return self.pb.asarray(array, device=device or self.device)

    def need(self, dtype: DType) -> None:
        """Skip where the device has no arithmetic of this type."""
        if dtype.name not in self.lab.caps.scalars.get("add", frozenset()):
            pytest.skip(f"L6: the device has no {dtype}")
