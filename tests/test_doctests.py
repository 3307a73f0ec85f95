"""Every example in a docstring of the package runs and gives what it says."""

from __future__ import annotations

import doctest
import importlib
import inspect
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
    public = [getattr(functions, n) for n in functions.__all__]
    public += [f for m in (pb.linalg, pb.fft) for f in vars(m).values() if inspect.isfunction(f)]
    without = [
        f.__name__ for f in public if not any(t.examples for t in finder.find(f, f.__name__))
    ]
    assert not without
