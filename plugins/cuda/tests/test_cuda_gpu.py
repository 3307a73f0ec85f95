"""What only a GPU can show. NOT RUN without one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from polyback.config import config
from polyback.device import Available, Operand, Unavailable
from polyback.dtype import float32
from polyback.errors import BackendUnavailable
from polyback.program import program
from polyback.scalar import EXP
from polyback.view import View
from polyback_cuda.backend import CudaBackend

PROBED = CudaBackend().probe()
needs_gpu = pytest.mark.skipif(
    not isinstance(PROBED, Available), reason=f"NOT RUN: no GPU ({getattr(PROBED, 'code', '')})"
)


@pytest.fixture
def device():
    opened = CudaBackend().open(0, config())
    yield opened
    opened.close()


@pytest.mark.skipif(isinstance(PROBED, Available), reason="there is a GPU")
def test_open_without_a_gpu_says_why() -> None:
    assert isinstance(PROBED, Unavailable)
    with pytest.raises(BackendUnavailable) as caught:
        CudaBackend().open(0, config())
    assert caught.value.code == PROBED.code
    assert caught.value.fix


@needs_gpu
def test_a_program_runs(device) -> None:
    x = np.linspace(-3, 3, 100_003).astype(np.float32)
    view = View.contiguous(x.shape)
    given, out = (Operand(device.allocate(x.nbytes), float32, view) for _ in range(2))
    device.upload(given.buffer, 0, memoryview(x.view(np.uint8)))
    device.elementwise(program(lambda t: EXP(t) + 1.0, float32), [out], [given])
    got = np.empty_like(x)
    device.download(out.buffer, 0, memoryview(got.view(np.uint8)))
    assert np.allclose(got, np.exp(x.astype(np.float64)) + 1, rtol=1e-6)


@needs_gpu
def test_uploads_do_not_wait(device) -> None:
    buffer = device.allocate(1 << 24)
    source = bytearray(b"\1" * (1 << 24))
    device.upload(buffer, 0, memoryview(source))
    source[:] = b"\2" * len(source)
    got = bytearray(1 << 24)
    device.download(buffer, 0, memoryview(got))
    assert set(got) == {1}


WILD = """
from polyback.config import config
from polyback.errors import DeviceLost
from polyback.simt.driver import Kernel
from polyback_cuda.backend import CudaBackend

driver = CudaBackend().open(0, config())._driver
wild = 'extern "C" __global__ void wild(int *x) { *(int *)16 = x[0]; }'
driver.launch(driver.compile(Kernel("wild", wild, ("*",), 1)), (1, 1, 1), [driver.allocate(4)])
try:
    driver.synchronize()
except DeviceLost:
    driver.close()
    print("lost")
"""


@needs_gpu
def test_a_wild_pointer_loses_the_device() -> None:
    """In a process of its own, whose context is useless afterwards."""
    path = os.pathsep.join([str(Path(__file__).parents[1] / "src"), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", WILD], env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, "lost"), done.stderr
