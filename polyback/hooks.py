"""The pluggy hook that a backend plugin implements, in entry-point group ``polyback.backends``.

The entry point's name is the device name; its value is a module with::

    from polyback.hooks import hookimpl

    @hookimpl
    def polyback_backend() -> BackendDescriptor: ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pluggy

if TYPE_CHECKING:
    from polyback.device import BackendDescriptor

GROUP: Final = "polyback.backends"
hookspec: Final = pluggy.HookspecMarker("polyback")
hookimpl: Final = pluggy.HookimplMarker("polyback")


class Hooks:
    """Hook specifications."""

    @hookspec
    def polyback_backend(self) -> BackendDescriptor:  # type: ignore[empty-body]  # a form
        """The plugin's descriptor. Must be cheap: no driver, no heavy import."""
