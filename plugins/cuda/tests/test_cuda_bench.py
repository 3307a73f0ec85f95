"""bench/gpu.py: it refuses where there is no GPU, and all of it runs on the simulated one, without
a figure."""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path

import pytest

from polyback import registry
from polyback.device import Available, BackendDescriptor
from polyback_cuda.backend import CudaBackend

BENCH = Path(__file__).parents[3] / "bench"
pytestmark = pytest.mark.skipif(not BENCH.exists(), reason="NOT RUN: not in the repository")


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    yield importlib.import_module("gpu")
    for name in ("gpu", "functions", "overhead", "workloads"):
        sys.modules.pop(name, None)


@pytest.mark.skipif(isinstance(CudaBackend().probe(), Available), reason="there is a GPU")
def test_it_refuses_without_a_gpu(bench):
    for name in ("cuda", "numpy_ref"):
        with pytest.raises(SystemExit, match="NOT RUN"):
            bench.main(["--device", name])


@pytest.mark.skipif(
    not (shutil.which("g++") or shutil.which("clang++")), reason="NOT RUN: no C++ compiler"
)
def test_all_of_it_runs_on_the_simulated_device(bench, capsys):
    factory = "polyback_cuda.simulator:SimulatedBackend"
    registry.register(BackendDescriptor("simulated_bench", factory, "gpu", ((1, 0), (1, 2))))
    try:
        bench.main(["--device", "simulated_bench", "--tiny"])
    finally:
        registry.unregister("simulated_bench")
    out = capsys.readouterr().out
    rows = [line.split(" | ") for line in out.splitlines() if line.startswith("| ")][2:]
    assert len(rows) >= 12
    assert all(row[1] == row[2] == bench.SIMULATED for row in rows)
    for words in ("the driver's copy", "fused chain", "sum", "column sums", "softmax", "layer norm",
                  "float32", "bias and relu", "float64", "bfloat16", "eager launch", "as a graph",
                  "MLP forward, eager"):  # fmt: skip
        assert words in out
    assert not any(unit in out for unit in ("GB/s", "TFLOP/s", " us |", "%,"))


def test_figures_appear_for_a_gpu_only(bench):
    line = bench.Line("sum", "3000 GB/s", "95%", "90%")
    assert "3000 GB/s | 95%" in bench.text(line, simulated=False)
    assert "3000" not in bench.text(line, simulated=True)
