"""examples/simt_backend: words and a driver are all that a third SIMT language needs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import broken_plugins as plugins
import numpy as np
import pytest

import polyback as pb
import polyback_hostcpp
from polyback import registry
from polyback.config import config
from polyback.errors import CompileError, InvalidArgument, OutOfMemory

EXAMPLE = plugins.ROOT / "examples" / "simt_backend"
pytestmark = pytest.mark.skipif(shutil.which("c++") is None, reason="NOT RUN: no C++ compiler")


@pytest.fixture
def hostcpp() -> Iterator[str]:
    registry.register(polyback_hostcpp.polyback_backend())
    with pb.configure(fallback="forbid"):
        yield "hostcpp"
    registry.unregister("hostcpp")


def test_kernels_of_every_kind(hostcpp: str) -> None:
    """Groups wait for one another in reductions, products, scans and sorting."""
    rng = np.random.default_rng(0)
    a, b = (rng.normal(0, 1, s).astype(np.float32) for s in ((70, 50), (50, 40)))
    image, weight = (rng.normal(0, 1, s).astype(np.float32) for s in ((2, 3, 9, 8), (4, 3, 3, 3)))

    def results(device: str) -> list[pb.Tensor]:
        x, y, i, w = (pb.asarray(v, device=device) for v in (a, b, image, weight))
        z = pb.astype(x[:2], pb.complex64) * 1j
        return [
            x @ y, pb.relu(x @ y + 1.0), pb.sum(pb.exp(x), axis=0), pb.sum(x.T[::2] * 2),
            pb.sort(x, axis=0), pb.argmax(x, axis=1), pb.softmax(x), pb.cumulative_sum(x, axis=1),
            x[pb.asarray([3, 1], device=device)], pb.nn.conv2d(i, w), pb.nn.max_pool2d(i, 2),
            pb.nn.layer_norm(x, 50), pb.abs(pb.exp(z)), pb.astype(x, pb.bfloat16),
            pb.random.Generator(1).normal((5,), device=device),
        ]  # fmt: skip

    for ours, theirs in zip(results(hostcpp), results("numpy_ref"), strict=True):
        assert ours.dtype == theirs.dtype
        got, want = (t.numpy().astype(np.float64) for t in (ours, theirs))
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-5)


def test_errors_are_typed() -> None:
    device = polyback_hostcpp.open_host(1 << 20)
    with pytest.raises(OutOfMemory, match=r"\[hostcpp\] out of memory"):
        device.allocate(1 << 21)
    with pytest.raises(InvalidArgument, match="no device 1; want 0"):
        polyback_hostcpp.HostBackend().open(1, config())


def test_a_source_that_does_not_compile() -> None:
    from polyback.simt.driver import Kernel

    driver = polyback_hostcpp.HostDriver(1 << 20)
    with pytest.raises(CompileError) as caught:
        driver.compile(Kernel("one", "static void one(int *p) { nonsense }", ("*",)))
    assert "nonsense" in caught.value.log


def test_what_a_porter_writes_is_little() -> None:
    """Less than its readers fear."""
    lines = (EXAMPLE / "polyback_hostcpp.py").read_text().splitlines()
    assert len(lines) < 300
