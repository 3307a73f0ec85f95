"""Fixtures of the suite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from polyback_conformance.lab import Lab
from polyback_conformance.session import session_of


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The open device under test."""
    session = session_of(request.config)
    bench = Lab(request.param, session.seed, session.scores[request.param.name])
    yield bench
    bench.close()
