"""All seeded faults; ``--device-factory faults:wrong_tail`` gives the suite one of them."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from typing import Any

import feature_faults
import layout_faults
import life_faults
import number_faults
from seeding import FAULTS, Reference

__all__ = [
    "FAULTS", "clean", "dies_at_the_end", "feature_faults", "layout_faults", "life_faults",
    "number_faults",
]  # fmt: skip


def clean() -> Reference:
    """The sound backend, by the same road as the faults."""
    return Reference()


def dies_at_the_end() -> Reference:
    """Sound, but it takes the process along when that ends."""
    atexit.register(os.abort)
    return Reference()


def __getattr__(name: str) -> Callable[[], Any]:
    if name in FAULTS:
        return FAULTS[name].make
    raise AttributeError(name)
