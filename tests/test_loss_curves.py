"""The losses of every example, step by step, on two devices: small networks here, their own sizes
among the slow tests."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
REFERENCE = "numpy_ref"
NAMES = (
    "linear_regression", "softmax_regression", "train_digits", "resnet", "lstm_language_model",
    "gpt", "gan_gaussian", "dcgan",
)  # fmt: skip


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "other" in metafunc.fixturenames:
        devices = metafunc.config.getoption("devices").split(",")
        metafunc.parametrize("other", [d for d in devices if d != REFERENCE])


@pytest.fixture(scope="module")
def comparison() -> Iterator[Any]:
    """examples/compare_devices.py, imported as a script in its folder is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        yield importlib.import_module("compare_devices")
    for name in [p.stem for p in EXAMPLES.glob("*.py")]:
        sys.modules.pop(name, None)


@cache
def on_the_reference(comparison: Any, name: str, dtype: str, small: bool) -> np.ndarray:
    return comparison.first_losses(name, REFERENCE, dtype, small)


@pytest.mark.parametrize("small", [True, pytest.param(False, marks=pytest.mark.slow)],
                         ids=["small", "full"])  # fmt: skip
@pytest.mark.parametrize(("dtype", "limit"), [("float32", 1e-4), ("float64", 1e-9)])
@pytest.mark.parametrize("name", NAMES)
def test_losses_of_50_steps_are_the_references(comparison, name, dtype, limit, small, other):
    got = comparison.first_losses(name, other, dtype, small)
    want = on_the_reference(comparison, name, dtype, small)
    assert len(got) % 50 == 0  # 50 steps of one model, or of each of several
    assert len(set(got)) == len(got)
    np.testing.assert_allclose(got, want, rtol=limit, atol=0)


def test_the_script_compares_all_of_them(comparison, capsys):
    assert comparison.EXAMPLES == NAMES
    every = {p.stem for p in EXAMPLES.glob("*.py") if "def first_losses" in p.read_text()}
    assert every - {"compare_devices"} == set(NAMES)
    assert comparison.main(["--device", REFERENCE, "--dtype", "float64", "--only", "linear"]) == 0
    assert "linear_regression    float64     0.0e+00" in capsys.readouterr().out


def test_a_difference_fails_the_script(comparison, monkeypatch, capsys):
    curves = iter([np.array([1.0, 2.0]), np.array([1.0, 2.0 + 1e-8])])
    monkeypatch.setattr(comparison, "first_losses", lambda *args: next(curves))
    assert comparison.main(["--dtype", "float64", "--only", "linear"]) == 1
    assert "FAILED" in capsys.readouterr().out
