"""The suite is itself tested: the sound backend passes, and every seeded fault is caught.

Each wrong backend gets the whole suite, stopped at its first failure; the module that ought to find
the fault is only run first, to save time. A table of who caught what is printed at the end.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from faults import FAULTS

HERE = Path(__file__).parent
CAUGHT: dict[str, str] = {}


def suite(*args: str) -> tuple[int, str]:
    """(exit status, output) of a run of the suite in a process of its own."""
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "polyback_conformance", *args],
        capture_output=True, text=True, timeout=600, check=False, cwd=HERE,
        env=os.environ | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_the_sound_backend_passes(tmp_path: Path) -> None:
    """No failure, nothing required that is not claimed, and a certificate that says so."""
    import json

    certificate = tmp_path / "certificate.json"
    status, output = suite("--device-factory", "faults:clean", "--json", str(certificate))
    assert status == 0, output[-6000:]
    record = json.loads(certificate.read_text())
    assert record["required_unclaimed"] == []
    assert sum(level["failed"] for level in record["levels"]) == 0
    assert record["max_ulp"]["exp"]["float32"] <= 3
    assert record["matrix"]["exp"]["float32"] == "passed"
    assert record["matrix"]["sum"]["float16"] == "refused"


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_fault_is_caught(name: str) -> None:
    """Some test fails, by itself and not by a broken suite."""
    factory = f"faults:{name}"
    status, output = suite("--device-factory", factory, "-x", "--first", FAULTS[name].first)
    found = re.findall(r"^(?:FAILED|ERROR|DIED) \S*?(test_\w+\.py::\S+)", output, re.M)
    CAUGHT[name] = found[0].replace(f"[{name}-", "[").replace(f"[{name}]", "") if found else "-"
    assert found, f"{name} ({FAULTS[name].story}) was not caught\n{output[-3000:]}"
    assert status in (1, 3), f"exit status {status}\n{output[-3000:]}"
    assert "ImportError" not in output, output[-3000:]


def test_absent_device_is_not_a_success() -> None:
    """A device that cannot be tested is reported, and the exit status says so."""
    status, output = suite("no_such_device")
    assert status != 0
    assert "NOT RUN" in output
    status, output = suite("no_such_device", "--allow-not-run")
    assert status == 0, output


@pytest.mark.parametrize("name", ["NUMPY_REF", "numpy_ref:0", "numpy_ref:Numpy on"])
def test_a_device_is_named_by_index_or_text(name: str) -> None:
    """As everywhere: in upper or lower case, by a part of its description."""
    status, output = suite(name, "--level", "0")
    assert status == 0, output[-3000:]
    assert re.search(rf"conformance {name.lower()}: [1-9]\d* passed, 0 failed", output)


@pytest.mark.parametrize("name", ["numpy_ref:7", "numpy_ref:no such text"])
def test_a_device_that_is_not_there(name: str) -> None:
    """What is there is said instead."""
    status, output = suite(name, "--level", "0")
    assert status != 0
    assert f"conformance {name}: NOT RUN: there is no device" in output
    assert "0 NumPy on" in output


@pytest.mark.parametrize(
    ("fault", "how"), [("out_of_memory_aborts", "SIGABRT"), ("out_of_memory_exits", "exit 0")]
)
def test_after_a_crash_the_rest_runs(fault: str, how: str) -> None:
    """Only the test that killed the process fails; what ran before it still counts."""
    whole = suite("--device-factory", "faults:clean", "--level", "1")[1]
    status, output = suite("--device-factory", f"faults:{fault}", "--level", "1")
    assert status == 1, output[-3000:]
    (_, passed), (_, survived) = (
        re.findall(r"conformance (\w+): (\d+) passed", text)[-1] for text in (whole, output)
    )
    failed = int(re.findall(r"passed, (\d+) failed", output)[-1])
    died = re.findall(rf"^DIED \S+ - {how}", output, re.M)
    assert len(died) == 2 * failed > 0  # when it happens, and in the report at the end
    assert int(survived) + failed == int(passed)


def test_a_crash_after_the_last_test_is_no_success() -> None:
    """All tests have passed and are reported, and then the driver falls over its own end."""
    status, output = suite("--device-factory", "faults:dies_at_the_end", "--level", "1")
    assert status == 3, output[-3000:]
    assert re.search(r"[1-9]\d* passed, 0 failed", output)
    assert "DIED when the process ended, after its report - SIGABRT" in output


def test_same_seed_same_cases() -> None:
    """Another seed is another run; it is printed."""
    status, output = suite("--device-factory", "faults:clean", "--seed", "random", "--level", "1")
    assert status == 0, output
    assert re.search(r"seed \d+", output)


def test_table() -> None:
    """The evidence, for the log (run with -s or -rP)."""
    width = max(map(len, FAULTS))
    for name, by in sorted(CAUGHT.items()):
        print(f"{name:{width}}  {by:60}  {FAULTS[name].story}")
    print(f"{len(CAUGHT)} faults, {sum(by != '-' for by in CAUGHT.values())} caught")
    assert len(FAULTS) >= 18
