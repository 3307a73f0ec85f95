"""The command line: devices, doctor, conformance."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

import broken_plugins as plugins
import pytest
from fakes import ABSENT, GPUS, fake, fresh  # noqa: F401  (fresh is a fixture)

import polyback
from polyback import doctor
from polyback.cli import main
from polyback.config import configure
from polyback.device import PROTOCOL

Capture = pytest.CaptureFixture[str]


def test_devices(capsys: Capture) -> None:
    fake("good", priority=1)
    fake("card", kind="gpu", infos=GPUS)
    fake("absent", answer=ABSENT)
    assert main(["devices"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["DEVICE", "KIND", "MEMORY", "DESCRIPTION"]
    assert [line.split()[0] for line in lines[1:5]] == ["good:0", "good:1", "card:0", "card:1"]
    assert lines[-1] == "1 installed plugin(s) not usable; see: polyback doctor"
    assert len({line.index(kind) for line, kind in zip(lines[1:3], ["cpu"] * 2)}) == 1
    assert main(["devices", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data[2] == {
        "name": "card:0", "index": 0, "kind": "gpu", "description": "card 0", "memory": 0,
    }  # fmt: skip


def test_without_devices(capsys: Capture) -> None:
    assert main(["devices"]) == 1
    assert main(["doctor"]) == 1
    assert "no backend is installed" in capsys.readouterr().out
    fake("absent", answer=ABSENT)
    assert main(["doctor"]) == 1
    assert "0 working device(s)" in capsys.readouterr().out


def test_doctor_as_text(capsys: Capture) -> None:
    fake("good")
    fake("absent", answer=ABSENT)
    with configure(debug=0, isa="avx2"):
        assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    version = ".".join(map(str, PROTOCOL))
    assert f"absent: unavailable  ((registered) 0, protocol {version} to {version})" in text
    assert "NO_DRIVER in phase probe" in text
    assert "reason  the driver is not loaded" in text
    assert "fix     load it" in text
    assert re.search(r"^  isa +'avx2' +POLYBACK_ISA or configure\(\)$", text, re.M)
    assert re.search(r"^  fuse +True +default$", text, re.M)
    assert text.count("tried   works") == 2
    assert re.search(r"claims  \d+ dtypes, \d+ of \d+ functions", text)
    assert text.splitlines()[-1] == "2 working device(s)"


def test_doctor_as_json(capsys: Capture) -> None:
    fake("good")
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is True
    assert found["protocol"] == list(PROTOCOL)
    assert found["config"]["threads"] == {"value": 0, "from": "default"}
    (good,) = found["plugins"]
    assert good["status"] == "available"
    assert good["descriptor"]["priority"] == 0
    claims = good["devices"][0]["smoke"]["claims"]
    assert "float32" in claims["dtypes"]
    assert "gather" in claims["features"]
    assert claims["functions"] == claims["functions_of"]


def test_doctor_shows_a_bad_environment(tmp_path: Path) -> None:
    done = plugins.run(
        "import sys; from polyback.cli import main; sys.exit(main(['doctor']))",
        tmp_path,
        POLYBACK_FALLBACK="bogus",
    )
    assert done.returncode == 1
    assert "options: [config] fallback='bogus': want forbid | warn | allow" in done.stdout
    done = plugins.run(
        "import sys; from polyback.cli import main; sys.exit(main(['devices']))",
        tmp_path,
        POLYBACK_THREADS="many",
    )
    assert done.returncode == 2
    assert done.stderr == "polyback: [config] POLYBACK_THREADS='many': want int\n"


def test_doctor_takes_less_than_a_second() -> None:
    fake("good")
    start = time.perf_counter()
    assert doctor.report()["ok"]
    assert time.perf_counter() - start < 1


def test_as_a_module(tmp_path: Path) -> None:
    plugins.install_reference(tmp_path)
    code = "import runpy, sys; sys.argv = ['polyback', 'devices']; "
    done = plugins.run(code + "runpy.run_module('polyback', run_name='__main__')", tmp_path)
    assert done.returncode == 0
    assert "numpy_ref:0" in done.stdout


def test_version_and_usage(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.strip() == f"polyback {polyback.__version__}"
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    with pytest.raises(SystemExit):
        main(["conformance"])


def test_conformance_passes_its_arguments_on(monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[list[str]] = []

    def suite(argv: list[str]) -> int:
        got.append(argv)
        return 5

    fake_suite: Any = types.ModuleType("polyback_conformance")
    fake_suite.main = suite
    monkeypatch.setitem(sys.modules, "polyback_conformance", fake_suite)
    assert main(["conformance", "mydev", "--level", "3", "-k", "exp"]) == 5
    assert main(["conformance", "--device-factory", "module:Class", "--level", "3"]) == 5
    assert got == [
        ["mydev", "--level", "3", "-k", "exp"],
        ["--device-factory", "module:Class", "--level", "3"],
    ]


@pytest.mark.parametrize("absent", ["polyback_conformance", "hypothesis"])
def test_conformance_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, absent: str
) -> None:
    class Absent:
        def find_spec(self, name: str, *args: Any) -> None:
            if name == absent:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.delitem(sys.modules, absent, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    assert main(["conformance", "mydev"]) == 2
    assert "pip install polyback-conformance" in capsys.readouterr().err


def test_output_that_nobody_reads(tmp_path: Path) -> None:
    plugins.install_reference(tmp_path)
    command = f"{sys.executable} -m polyback doctor --json | /usr/bin/head -c 10"
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        env={"PYTHONPATH": f"{plugins.ROOT}:{plugins.NUMPY_REF}:{tmp_path}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr


def test_table() -> None:
    assert doctor.table([["a", "bb"], ["ccc", "d"]], "  ") == "  a    bb\n  ccc  d"
