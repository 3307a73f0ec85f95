"""Shared fixtures: every test that takes ``device`` runs once on each device of ``--devices``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import polyback as pb

pytest.register_assert_rewrite("against_numpy", "bare_device", "extra_devices", "fakes")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--devices", default="numpy_ref,cpu_c", help="devices of the unit tests")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "device" in metafunc.fixturenames:
        metafunc.parametrize("device", metafunc.config.getoption("devices").split(","))


@pytest.fixture(autouse=True)
def _no_host_fallback(request: pytest.FixtureRequest):
    """Tests run under ``forbid`` unless they are about fallback."""
    if "fallback" in request.keywords:
        yield
        return
    with pb.configure(fallback="forbid"):
        yield


@pytest.fixture(scope="module")
def bare() -> Iterator[str]:
    """The name of a device that has no optional feature at all."""
    from extra_devices import caps, extra_device  # they need a backend; other tests need none

    with pb.configure(fallback="forbid"), extra_device(caps()) as name:
        yield name
