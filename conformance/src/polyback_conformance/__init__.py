"""polyback-conformance: is a backend right? ``python -m polyback_conformance NAME``."""

from __future__ import annotations

from collections.abc import Sequence

__version__ = "0.1.0"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the suite from a command line; returns the exit status (0: everything passed)."""
    from polyback_conformance.command import run

    return run(argv)
