"""Every example in a docstring of the package runs and gives what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import polyback as pb

SKIPPED = ("__main__",)
MODULES = sorted(
    m.name for m in pkgutil.walk_packages(pb.__path__, "polyback.") if not m.name.endswith(SKIPPED)
)


@pytest.mark.parametrize("name", ["polyback", *MODULES])
def test_examples_run(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0, capsys.readouterr().out


def test_every_public_function_has_an_example() -> None:
    from polyback.frontend import functions

    finder = doctest.DocTestFinder(recurse=False)
    without = [
        n for n in functions.__all__
        if not any(t.examples for t in finder.find(getattr(functions, n), n))
    ]  # fmt: skip
    assert not without
