"""Fixtures of the suite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from polyback.device_check import device_problem
from polyback_conformance.adopt import descriptor_under_test, named
from polyback_conformance.front import Front
from polyback_conformance.lab import Lab
from polyback_conformance.plugin import session_of


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The open device under test."""
    session = session_of(request.config)
    bench = Lab(request.param, session.seed, session.scores[request.param.name])
    yield bench
    bench.close()


@pytest.fixture(scope="session")
def device_name(lab: Lab) -> Iterator[str]:
    """The name that the frontend knows the device by. One that the core refuses fails here, in one
    line, and not with a traceback in every test."""
    problem = device_problem(lab.device, descriptor_under_test(lab.target))
    if problem:
        pytest.fail(f"the core refuses the device (level 0): {problem}", pytrace=False)
    with named(lab.target) as name:
        yield name


@pytest.fixture
def front(lab: Lab, device_name: str) -> Iterator[Front]:
    """The frontend under ``fallback="forbid"``."""
    import polyback as pb
    from polyback import registry

    found = registry.reference_device()
    if found is None:
        pytest.skip("L6: no reference backend is installed; pip install polyback-numpy-ref")
    with pb.configure(fallback="forbid"):
        yield Front(pb, device_name, found[0], lab)
