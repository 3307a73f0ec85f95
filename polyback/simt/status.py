"""Whether an opened device can still be used, and the vendor's errors as typed ones."""

from __future__ import annotations

from typing import final

from polyback.errors import AsyncError, DeviceClosed, DeviceLost, PolybackError


@final
class Status:
    """Of one device: open, closed, or lost, after which every call fails."""

    def __init__(self, name: str, device: str) -> None:
        self._name, self._device = name, device
        self.lost, self.closed = "", False

    def check(self) -> None:
        """Raises DeviceClosed or DeviceLost."""
        if self.closed:
            raise DeviceClosed(f"[{self._name}] the device is closed; open it again")
        if self.lost:
            raise DeviceLost(f"[{self._name}] {self._device} is lost since: {self.lost}")

    def fault(self, text: str, *, lost: bool) -> PolybackError:
        """The error for the vendor's ``text``; ``lost``: nothing works from now on."""
        if not lost:
            return AsyncError(f"[{self._name}] {self._device}: {text}")
        self.lost = text
        return DeviceLost(f"[{self._name}] {self._device} stopped answering: {text}")
