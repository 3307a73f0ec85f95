"""The conformance suite on the simulated device: driver layer and kernels, on the host's CPU.

No result here is a GPU result. Compiled kernels are kept in the user's cache folder: the first run
of the whole suite takes tens of minutes, nearly all of it in the C++ compiler, the next ones a few.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from polyback_cuda.simulator import DESCRIPTION, SimulatedBackend

FACTORY = "polyback_cuda.simulator:SimulatedBackend"
SOURCE = Path(__file__).parents[1] / "src"
pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("polyback_conformance") is None,
        reason="NOT RUN: polyback-conformance is not installed",
    ),
    pytest.mark.skipif(
        not (shutil.which("g++") or shutil.which("clang++")), reason="NOT RUN: no C++ compiler"
    ),
]


@pytest.fixture
def conformance(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., None]:
    """Runs a part of the suite, and prints its score past pytest's capture."""

    def run(*options: str, order: str) -> None:
        command = [sys.executable, "-m", "polyback_conformance", "--device-factory", FACTORY]
        path = os.pathsep.join([str(SOURCE), *sys.path])
        settings = {"PYTHONPATH": path, "POLYBACK_CUDA_SIMULATED_ORDER": order}
        done = subprocess.run(
            [*command, *options], env=os.environ | settings, cwd=tmp_path,
            capture_output=True, text=True, timeout=7000, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
        score = re.findall(r"^.*\d+ passed.*$", done.stdout, re.MULTILINE)
        with capfd.disabled():
            print(f"\nSIMULATED on the host, not a GPU result: {score[-1]}", file=sys.stderr)

    return run


@pytest.mark.timeout(600)
def test_a_part_of_the_suite(conformance: Callable[..., None]) -> None:
    """Memory, reductions and products of float32 and int64, sorting and indexing. Threads take
    turns in an order that changes at every barrier, so that a missing one shows."""
    few = "test_l1 or ((test_l4 or test_l7) and (float32 or int64) and not slow)"
    conformance("--level", "7", "-k", few, order="shuffled")


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("order", ["forward", "reverse", "shuffled"])
def test_the_whole_suite(conformance: Callable[..., None], order: str) -> None:
    """Levels 0 to 7."""
    conformance(order=order)


def test_it_says_what_it_is() -> None:
    """Nobody takes it for a GPU, and nobody finds it without asking for it by name."""
    (info,) = SimulatedBackend().devices()
    assert info.description == DESCRIPTION
    assert "simulated on the host CPU" in info.description
    import polyback as pb

    assert not any("simulated" in name for name in pb.devices())
