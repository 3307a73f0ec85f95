"""What stands for buffers and numbers while a call is planned (:mod:`polyback.simt.plans`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True, eq=False)
class Place:
    """Stands for a buffer while a call is planned: first those of the call, then memory that the
    plan itself asks for."""

    index: int


@final
@dataclass(frozen=True, eq=False)
class NumberPlace:
    """Stands for a number of the call; a complex one takes two places, for its parts."""

    index: int

    @property
    def real(self) -> NumberPlace:
        """The first part."""
        return self

    @property
    def imag(self) -> NumberPlace:
        """The second part."""
        return NumberPlace(self.index + 1)
