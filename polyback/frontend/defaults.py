"""The default device: one setting per thread or task, and per block of code."""

from __future__ import annotations

from contextvars import ContextVar
from types import TracebackType
from typing import Final, final

from polyback import registry, runtime
from polyback.device import DeviceInfo
from polyback.runtime import Device

_DEFAULT: Final[ContextVar[Device | None]] = ContextVar("polyback_default_device", default=None)


def get_device(spec: str | Device | None = None) -> Device:
    """The device named, else the default one.

    Raises BackendUnavailable for a device that cannot be used.

    >>> import polyback as pb
    >>> pb.get_device() is pb.zeros(1).device
    True
    """
    if spec is None:
        return _DEFAULT.get() or runtime.device()
    return runtime.device(spec)


@final
class default_device:  # noqa: N801  (used like a function)
    """Set the device that creation functions use: for good, or for a ``with`` block.

    Raises BackendUnavailable for a device that cannot be used.

    >>> import polyback as pb
    >>> with pb.default_device("cpu"):
    ...     x = pb.zeros(3)
    """

    def __init__(self, spec: str | Device) -> None:
        self._token = _DEFAULT.set(runtime.device(spec))

    def __enter__(self) -> Device:
        return get_device(None)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _DEFAULT.reset(self._token)


def devices() -> list[str]:
    """Names of all devices that can be used here, such as ``["mydev", "mydev:1"]``.

    >>> import polyback as pb
    >>> all(pb.zeros(1, device=name).tolist() == [0.0] for name in pb.devices())
    True
    """
    return [_spelled(name, info) for name, info in registry.available_devices()]


def _spelled(name: str, info: DeviceInfo) -> str:
    return name if info.index == 0 else f"{name}:{info.index}"
