"""All seeded faults; ``--device-factory faults:wrong_tail`` gives the suite one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import feature_faults
import layout_faults
import life_faults
import number_faults
from seeding import FAULTS, Reference

__all__ = ["FAULTS", "clean", "feature_faults", "layout_faults", "life_faults", "number_faults"]


def clean() -> Reference:
    """The sound backend, by the same road as the faults."""
    return Reference()


def __getattr__(name: str) -> Callable[[], Any]:
    if name in FAULTS:
        return FAULTS[name].make
    raise AttributeError(name)
