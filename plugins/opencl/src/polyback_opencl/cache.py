"""Where compiled programs are kept on disk; how, is :mod:`polyback.simt.cache`."""

from __future__ import annotations

from pathlib import Path

import platformdirs


def default_folder() -> Path:
    """Where the user's caches are."""
    return platformdirs.user_cache_path("polyback") / "opencl"
