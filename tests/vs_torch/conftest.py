"""These tests need PyTorch: they are left out where it is absent, and say how many cases they ran.

``tox -e vs-torch`` installs it and runs them; elsewhere the marker ``vs_torch`` leaves them out.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

if importlib.util.find_spec("torch") is None:
    collect_ignore_glob = ["test_*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "vs_torch":
            item.add_marker(pytest.mark.vs_torch)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    try:
        from against_torch import COMPARED
    except ImportError:
        terminalreporter.write_line("PyTorch is not installed: nothing was compared with it")
        return
    if COMPARED:
        each = ", ".join(f"{name} {n}" for name, n in sorted(COMPARED.items()))
        terminalreporter.write_line(
            f"{COMPARED.total()} comparisons with PyTorch (configurations of {len(COMPARED)} "
            f"layers and functions, each on every device) agree: {each}"
        )
