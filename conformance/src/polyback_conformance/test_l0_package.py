"""Level 0: the plugin as a package. Needs an installed plugin; a factory has no package."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from polyback.device import PROTOCOL, Available, BackendDescriptor, Unavailable
from polyback_conformance.adopt import descriptor_under_test
from polyback_conformance.compare import Mismatch
from polyback_conformance.lab import Lab

pytestmark = pytest.mark.conformance_level(0)

_IMPORTS = """
import json, sys, time
import polyback.device, polyback.hooks
before = set(sys.modules)
start = time.perf_counter()
module = __import__("importlib").import_module(sys.argv[1])
module.polyback_backend()
taken = time.perf_counter() - start
new = {name.partition(".")[0] for name in set(sys.modules) - before}
own = sys.argv[1].partition(".")[0]
print(json.dumps([taken, sorted(new - {own, "polyback"} - set(sys.stdlib_module_names))]))
"""


def descriptor(lab: Lab) -> BackendDescriptor:
    """The plugin's descriptor; skips where the device came from a factory."""
    if lab.target.descriptor is None:
        pytest.skip("L0: the device came from --device-factory, there is no package to test")
    return lab.target.descriptor


def test_descriptor(lab: Lab) -> None:
    """Its name is the entry point's, its factory is "module:Class", it speaks this protocol."""
    given = descriptor(lab)
    assert isinstance(given, BackendDescriptor)
    assert given.name == lab.target.name.partition(":")[0]
    module, colon, name = given.factory.partition(":")
    assert module, f"factory {given.factory!r} names no module"
    assert colon, f"factory {given.factory!r} has no colon"
    assert name.isidentifier(), f"factory {given.factory!r} names no class"
    lowest, highest = given.protocol
    assert lowest <= PROTOCOL, f"needs protocol {lowest}, the core speaks {PROTOCOL}"
    assert lowest <= highest, "the lowest protocol version must not exceed the highest"
    assert highest[0] >= PROTOCOL[0], f"speaks protocols up to {highest} only"


def test_import_is_cheap(lab: Lab) -> None:
    """The plugin's module imports only the standard library, the protocol and itself."""
    descriptor(lab)
    runs = []
    for _ in range(3):  # the best of three: a busy machine is not the plugin's fault
        done = subprocess.run(
            [sys.executable, "-c", _IMPORTS, lab.target.module],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        if done.returncode:
            raise Mismatch(f"importing {lab.target.module} failed:\n{done.stderr}")
        *printed, last = done.stdout.splitlines()
        said = "\n".join([*printed, done.stderr]).strip()
        assert not said, f"importing prints: {said}"
        runs.append(json.loads(last))
    heavy = runs[0][1]
    assert not heavy, f"importing {lab.target.module} also imports {heavy}; do that in open()"
    assert min(r[0] for r in runs) < 0.05, f"importing takes {runs[0][0] * 1000:.0f} ms; want < 50"


def test_probe(lab: Lab) -> None:
    """``probe`` never raises, is quick, and says the same when asked again."""
    backend = lab.target.backend
    if backend is None:
        pytest.skip("L0 probe: the factory makes devices, there is no Backend")
    times, answers = [], []
    for _ in range(5):
        start = time.perf_counter()
        answers.append(backend.probe())
        times.append(time.perf_counter() - start)
    assert all(isinstance(a, (Available, Unavailable)) for a in answers), answers[0]
    assert len({type(a) for a in answers}) == 1, "probe changes its mind"
    assert min(times) < 0.05, f"probe takes {min(times) * 1000:.0f} ms; want < 50"


def test_devices(lab: Lab) -> None:
    """``devices`` numbers what is there from 0; an index that is not there is refused."""
    from polyback.config import config
    from polyback.errors import BackendUnavailable, InvalidArgument

    backend = lab.target.backend
    if backend is None:
        pytest.skip("L0 devices: the factory makes devices, there is no Backend")
    infos = list(backend.devices())
    assert [i.index for i in infos] == list(range(len(infos)))
    assert all(i.kind in ("cpu", "gpu") and i.description and i.memory >= 0 for i in infos)
    absent = len(infos) + 100
    try:
        backend.open(absent, config())
    except (InvalidArgument, BackendUnavailable):
        return
    pytest.fail(f"open({absent}) gives a device, but there are {len(infos)}; want InvalidArgument")


def test_core_accepts_the_device(lab: Lab) -> None:
    """The checks that the core makes before it uses a device."""
    from polyback.device_check import device_problem

    problem = device_problem(lab.device, descriptor_under_test(lab.target))
    assert not problem, problem


def test_doctor_shows_it(lab: Lab) -> None:
    """``polyback doctor`` lists the device as available."""
    given = descriptor(lab)
    done = subprocess.run(
        [sys.executable, "-m", "polyback", "doctor"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    shown = [line for line in done.stdout.splitlines() if line.startswith(f"{given.name}: ")]
    assert shown, f"doctor does not show {given.name}:\n{done.stdout}{done.stderr}"
    assert shown[0].startswith(f"{given.name}: available"), f"doctor says: {shown[0]}"
