"""Shared fixtures: every test that takes ``device`` runs once on each installed device."""

from __future__ import annotations

import pytest

import polyback as pb

pytest.register_assert_rewrite("tests")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "device" in metafunc.fixturenames:
        metafunc.parametrize("device", pb.devices())


@pytest.fixture(autouse=True)
def _no_host_fallback(request: pytest.FixtureRequest):
    """Tests run under ``forbid`` unless they are about fallback."""
    if "fallback" in request.keywords:
        yield
        return
    with pb.configure(fallback="forbid"):
        yield
