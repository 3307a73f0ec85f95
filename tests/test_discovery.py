"""Discovery in new processes: laziness, and plugins that break in every way."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import broken_plugins as plugins
import pytest
from broken_plugins import run, run_json


def test_import_lists_and_loads_nothing(tmp_path: Path) -> None:
    plugins.install_reference(tmp_path)
    for name in ("alpha", "beta"):
        plugins.install(tmp_path, name)
    code = """
import importlib.metadata as metadata, json, sys
calls, real = [], metadata.distributions
def counted(*args, **kwargs):
    calls.append(1)
    return real(*args, **kwargs)
metadata.distributions = counted
def loaded():
    mine = {m.partition(".")[0] for m in sys.modules}  # top-level packages
    return sorted(m for m in mine if m.startswith(("polyback_test", "polyback_numpy_ref")))
import polyback, polyback.registry as registry
steps = [[len(calls), loaded()]]
registry.open_device("numpy_ref")
steps.append([len(calls), loaded()])
registry.open_device("alpha")
registry.resolve("beta")
steps.append([len(calls), loaded()])
registry.list_plugins()
steps.append([len(calls), loaded()])
print(json.dumps(steps))
"""
    reference = ["polyback_numpy_ref"]
    alpha, beta = "polyback_test_alpha_module", "polyback_test_beta_module"
    assert run_json(code, tmp_path) == [
        [0, []],
        [1, reference],
        [1, [*reference, alpha]],
        [1, [*reference, alpha, beta]],
    ]


ISOLATION = """
import json, sys
import polyback
before = [m for m in sys.modules if "test_" in m and m.startswith("polyback_")]
from polyback import registry
from polyback.device import Device
from polyback.errors import PolybackError
assert isinstance(registry.open_device("numpy_ref"), Device)
between = [m for m in sys.modules if m.startswith("polyback_test_")]
errors = {{}}
for name in {names!r}:
    try:
        registry.open_device(name)
        errors[name] = ""
    except PolybackError as caught:
        errors[name] = str(caught)
assert registry.reference_device() == ("numpy_ref", 0)
import io, contextlib
from polyback.cli import main
out = io.StringIO()
with contextlib.redirect_stdout(out):
    status = main(["doctor", "--json"])
text = io.StringIO()
with contextlib.redirect_stdout(text):
    main(["doctor"])
print(json.dumps([before, between, errors, status, json.loads(out.getvalue()), text.getvalue()]))
"""


def check(case: plugins.Broken, mine: dict[str, Any], error: str, text: str) -> None:
    """Doctor and the error of whoever asks for the device say what is wrong."""
    assert (mine["status"], mine["phase"], mine["code"]) == (case.status, case.phase, case.code)
    assert re.search(case.reason, mine["reason"]), mine["reason"]
    assert mine["fix"]
    assert mine["distribution"] in text
    assert mine["reason"] in text
    assert error
    if mine["name"] != "open_lost":  # raises its own error
        assert mine["reason"] in error


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What happens when every broken plugin is installed at once."""
    folder = tmp_path_factory.mktemp("crowd")
    plugins.install_reference(folder)
    for name, case in plugins.BROKEN.items():
        plugins.install(folder, name, case.source)
    return run_json(ISOLATION.format(names=list(plugins.BROKEN)), folder)


@pytest.mark.parametrize("name", plugins.BROKEN)
def test_broken_plugin_among_others(crowd: Any, name: str) -> None:
    before, between, errors, status, doctor, text = crowd
    assert before == between == []
    assert status == 0
    found = {p["name"]: p for p in doctor["plugins"]}
    assert found["numpy_ref"]["status"] == "available"
    check(plugins.BROKEN[name], found[name], errors[name], text)


@pytest.mark.parametrize(
    "name",
    ["import_raises", "import_exits", "import_syntax", "no_module", "hook_arguments",
     "newer_major", "factory_abstract", "probe_hangs", "devices_none", "open_exits", "caps_raises",
     "feature_method"],
)  # fmt: skip
def test_broken_plugin_alone(tmp_path: Path, name: str) -> None:
    plugins.install_reference(tmp_path)
    plugins.install(tmp_path, name, plugins.BROKEN[name].source)
    before, between, errors, status, doctor, text = run_json(
        ISOLATION.format(names=[name]), tmp_path
    )
    assert before == between == []
    assert status == 0
    found = {p["name"]: p for p in doctor["plugins"]}
    check(plugins.BROKEN[name], found[name], errors[name], text)


@pytest.mark.parametrize("name", plugins.FAILING)
def test_failing_device_is_shown_by_doctor(tmp_path: Path, name: str) -> None:
    source, reason = plugins.FAILING[name]
    plugins.install_reference(tmp_path)
    plugins.install(tmp_path, name, source)
    *_, errors, status, doctor, text = run_json(ISOLATION.format(names=[name]), tmp_path)
    assert (list(errors.values()), status) == ([""], 0)
    (mine,) = [p for p in doctor["plugins"] if p["name"] == name]
    smoke = mine["devices"][0]["smoke"]
    assert not smoke["ok"]
    assert re.search(reason, smoke["error"])
    assert f"FAILED: {smoke['error']}" in text


def test_two_distributions_with_one_name(tmp_path: Path) -> None:
    plugins.install_reference(tmp_path)
    plugins.install(tmp_path, "twin", distribution="polyback-twin-b")
    plugins.install(tmp_path, "twin", distribution="polyback-twin-a")
    *_, errors, status, doctor, _ = run_json(ISOLATION.format(names=["twin"]), tmp_path)
    assert (list(errors.values()), status) == ([""], 0)
    first, second = (p for p in doctor["plugins"] if p["name"] == "twin")
    assert (first["distribution"], first["status"]) == ("polyback-twin-a", "available")
    assert "polyback-twin-b provides the name too" in first["reason"]
    assert (second["distribution"], second["code"]) == ("polyback-twin-b", "SHADOWED")
    assert "polyback-twin-a provides 'twin' too" in second["reason"]
    assert "uninstall" in second["fix"]


def test_unreadable_metadata(tmp_path: Path) -> None:
    plugins.install_reference(tmp_path)
    plugins.metadata(tmp_path, "polyback-torn", "this line has no equals sign")
    nameless = plugins.metadata(tmp_path, "polyback-nameless", "nameless = absent_module")
    (nameless / "polyback_nameless-1.0.dist-info" / "METADATA").unlink()
    *_, doctor, _ = run_json(ISOLATION.format(names=["nameless"]), tmp_path)
    found = {p["name"]: p for p in doctor["plugins"]}
    torn = found["(unreadable)"]
    assert (torn["distribution"], torn["phase"]) == ("polyback-torn", "metadata")
    assert found["nameless"]["phase"] == "import"
    assert found["numpy_ref"]["status"] == "available"


def test_same_distribution_twice_on_the_path(tmp_path: Path) -> None:
    """As with modules, the first folder wins."""
    for part in ("a", "b"):
        plugins.install(tmp_path / part, "twice")
        plugins.install_reference(tmp_path / part)
    code = "import json; from polyback import registry as r; "
    code += "print(json.dumps([p.name for p in r.list_plugins()]))"
    assert run_json(code, tmp_path / "a", tmp_path / "b").count("twice") == 1


def test_plugin_installed_while_running_is_found(tmp_path: Path) -> None:
    code = f"""
import json, sys
sys.path.insert(0, {str(plugins.ROOT / "tests" / "plugins")!r})
from pathlib import Path
import broken_plugins
from polyback import registry
from polyback.errors import BackendUnavailable
try:
    registry.open_device("late")
except BackendUnavailable:
    broken_plugins.install(Path({str(tmp_path)!r}), "late")
    import importlib; importlib.invalidate_caches()
registry.open_device("late")
print(json.dumps([p.name for p in registry.list_plugins()]))
"""
    assert "late" in run_json(code, tmp_path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_devices_after_a_fork(tmp_path: Path) -> None:
    plugins.install_reference(tmp_path)
    for name in ("card", "listed"):  # of one the driver is loaded, and nothing opened
        plugins.install(tmp_path, name, plugins.GOOD.replace('"cpu", 0', '"gpu", 0'))
    slow = plugins.method(
        "open(self, index, config)",
        "import time; time.sleep(0.5); return NumpyDevice(0)",
    )
    plugins.install(tmp_path, "slow", slow)
    code = """
import json, os, threading, time
import polyback as pb
from polyback import registry
from polyback.errors import BackendUnavailable
host, card = registry.open_device("numpy_ref"), registry.open_device("card")
registry.device_info("listed", 0)
mine, lost = pb.ones(2, device="numpy_ref"), pb.ones(2, device="card")
thread = threading.Thread(target=registry.open_device, args=("slow",))
thread.start()
time.sleep(0.2)  # the fork happens while another thread holds a lock
reader, writer = os.pipe()
if os.fork() == 0:
    same = registry.open_device("numpy_ref") is host
    registry.open_device("slow")
    codes = []
    for use in (lambda: registry.open_device("card"), lambda: registry.open_device("listed"),
                lambda: (lost + 1).tolist()):
        try:
            use()
        except BackendUnavailable as error:
            codes.append(error.code)
    os.write(writer, json.dumps([same, codes, (mine + 1).tolist()]).encode())
    os._exit(0)
os.wait()
thread.join()
assert registry.open_device("card") is card
print(os.read(reader, 1000).decode())
"""
    done = run(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [True, ["FORKED"] * 3, [2.0, 2.0]]


def test_bad_option_in_the_environment_shows_at_first_use() -> None:
    code = """
import json
import polyback
from polyback import registry
from polyback.errors import InvalidArgument
try:
    registry.open_device("numpy_ref")
except InvalidArgument as error:
    print(json.dumps(str(error)))
"""
    message = run_json(code, POLYBACK_FALLBACK="bogus")
    assert message == "[config] fallback='bogus': want forbid | warn | allow"
