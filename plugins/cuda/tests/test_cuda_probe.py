"""On a machine without driver, GPU or pycuda the plugin says so, quickly, and nothing else
changes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from polyback.device import Available, Unavailable
from polyback_cuda import backend as module
from polyback_cuda.backend import CudaBackend

SOURCE = Path(__file__).parents[1] / "src"
PROBE = """
import json, sys, time
from polyback_cuda.backend import CudaBackend
backend = CudaBackend()
start = time.perf_counter()
answer = backend.probe()
taken = time.perf_counter() - start
heavy = sorted({"pycuda"} & set(sys.modules))
print(json.dumps([type(answer).__name__, getattr(answer, "code", ""), getattr(answer, "fix", ""),
                  taken, heavy, len(backend.devices())]))
"""
STUB = """
int cuInit(unsigned flags) { return %d; }
int cuDeviceGetCount(int *count) { *count = %d; return 0; }
"""


def test_probe_in_a_fresh_process() -> None:
    """Under 50 ms, pycuda not imported, a fix named."""
    path = os.pathsep.join([str(SOURCE), *sys.path])
    runs = []
    for _ in range(3):  # the best of three: a busy machine is not the plugin's fault
        done = subprocess.run(
            [sys.executable, "-c", PROBE], env={**os.environ, "PYTHONPATH": path},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        runs.append(json.loads(done.stdout))
    kind, code, fix, _, heavy, count = runs[0]
    assert min(r[3] for r in runs) < 0.05
    assert heavy == []
    if kind == "Available":
        return  # a GPU: the conformance suite says the rest
    assert code in ("NOT_INSTALLED", "NO_DRIVER", "NO_DEVICE")
    assert len(fix) > 20
    assert count == 0


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if pycuda were there."""
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: object())


def stub(folder: Path, status: int, count: int) -> str:
    """A driver library that answers so."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("NOT RUN: no C compiler to make a stub driver")
    source, made = folder / "stub.c", folder / "libcuda_stub.so"
    source.write_text(STUB % (status, count))
    subprocess.run([compiler, "-shared", "-fPIC", str(source), "-o", str(made)], check=True)
    return str(made)


def test_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A GPU without pycuda; the tests below say that without a GPU nobody needs it."""
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    answer = CudaBackend(stub(tmp_path, 0, 1)).probe()
    assert isinstance(answer, Unavailable)
    assert answer.code == "NOT_INSTALLED"
    assert "CUDA_ROOT" in answer.fix


def test_no_driver() -> None:
    answer = CudaBackend("libcuda_that_is_not_there.so.1").probe()
    assert isinstance(answer, Unavailable)
    assert answer.code == "NO_DRIVER"


@pytest.mark.parametrize(
    ("status", "count", "code"),
    [(0, 0, "NO_DEVICE"), (100, 0, "NO_DEVICE"), (35, 0, "NO_DRIVER"), (803, 0, "NO_DRIVER")],
)
def test_answers_of_the_driver(tmp_path: Path, status: int, count: int, code: str) -> None:
    backend = CudaBackend(stub(tmp_path, status, count))
    answer = backend.probe()
    assert isinstance(answer, Unavailable)
    assert answer.code == code
    assert answer.fix
    assert backend.devices() == ()


@pytest.mark.usefixtures("installed")
def test_available(tmp_path: Path) -> None:
    assert CudaBackend(stub(tmp_path, 0, 2)).probe() == Available("2 GPUs")


def test_a_broken_library_does_not_raise(tmp_path: Path) -> None:
    path = tmp_path / "libbroken.so"
    path.write_bytes(b"no library")
    answer = CudaBackend(str(path)).probe()
    assert isinstance(answer, Unavailable)
    assert answer.code == "NO_DRIVER"


def test_descriptor() -> None:
    import polyback_cuda

    given = polyback_cuda.polyback_backend()
    assert (given.name, given.kind, given.priority) == ("cuda", "gpu", 20)
    assert given.protocol == ((1, 1), (1, 2))
