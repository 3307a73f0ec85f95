"""What the package tells about itself, as the standard asks: devices, types and limits."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, Final, final

from polyback.dtype import (
    DEFAULT_COMPLEX,
    DEFAULT_FLOAT,
    DEFAULT_INT,
    DTYPES,
    DType,
    bfloat16,
    float16,
    int64,
    is_kind,
)
from polyback.errors import InvalidArgument
from polyback.frontend.defaults import devices, get_device
from polyback.runtime import Device, device

__array_api_version__: Final = "2025.12"
VERSIONS: Final = ("2021.12", "2022.12", "2023.12", "2024.12", __array_api_version__)
_OURS: Final = (float16, bfloat16)  # not in the standard


@final
class Info:
    """The inspection functions of the array API standard."""

    def capabilities(self) -> dict[str, Any]:
        """What the standard leaves optional, and the most axes that a tensor of the default device
        can have.

        >>> import polyback as pb
        >>> pb.__array_namespace_info__().capabilities()["boolean indexing"]
        True
        """
        return {
            "boolean indexing": True,
            "data-dependent shapes": True,
            "max dimensions": get_device().caps.limits.max_ndim,
        }

    def default_device(self) -> Device:
        """Where creation functions put a tensor, unless told otherwise."""
        return get_device()

    def default_dtypes(self, *, device: str | Device | None = None) -> dict[str, DType]:
        """The types that creation functions choose, the same on every device."""
        get_device(device)
        return {
            "real floating": DEFAULT_FLOAT,
            "complex floating": DEFAULT_COMPLEX,
            "integral": DEFAULT_INT,
            "indexing": int64,
        }

    def dtypes(
        self, *, device: str | Device | None = None, kind: str | tuple[str, ...] | None = None
    ) -> dict[str, DType]:
        """The types of the standard that ``device`` stores, of one ``kind`` or of several (see
        :func:`polyback.isdtype`).

        >>> import polyback as pb
        >>> list(pb.__array_namespace_info__().dtypes(kind="real floating"))
        ['float32', 'float64']
        """
        stored = get_device(device).caps.storage
        found = [d for d in DTYPES if d not in _OURS and d.name in stored]
        if kind is not None:
            kinds = kind if isinstance(kind, tuple) else (kind,)
            found = [d for d in found if any(is_kind(d, k) for k in kinds)]
        return {d.name: d for d in found}

    def devices(self) -> tuple[Device, ...]:
        """All devices that can be used here."""
        return tuple(device(name) for name in devices())


def namespace(api_version: str | None = None) -> ModuleType:
    """The module of all functions, for any published ``api_version`` up to ours. Raises
    InvalidArgument for others."""
    if api_version not in (None, *VERSIONS):
        raise InvalidArgument(
            f"[__array_namespace__] api_version={api_version!r}; want one of {', '.join(VERSIONS)}"
        )
    return sys.modules["polyback"]


def __array_namespace_info__() -> Info:  # noqa: N807  (the standard's name)
    """The inspection functions of the array API standard: ``capabilities``, ``default_device``,
    ``default_dtypes``, ``devices`` and ``dtypes``.

    >>> import polyback as pb
    >>> pb.__array_namespace_info__().default_dtypes()["integral"]
    polyback.int64
    """
    return Info()
