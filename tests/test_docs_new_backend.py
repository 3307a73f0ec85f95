"""docs/new-backend.md: its code is that of the example, and the example is a working backend."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import broken_plugins as plugins
import pytest

import polyback_minimal
from polyback import (
    adapters,
    cli,
    errors,
    feature_check,
    features,
    operand_check,
    registry,
)
from polyback.adapters import Stepwise
from polyback.config import config
from polyback.device import Device

EXAMPLE = plugins.ROOT / "examples" / "minimal_backend"
DOCUMENT = (plugins.ROOT / "docs" / "new-backend.md").read_text()


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", DOCUMENT, re.M | re.S)


@pytest.fixture
def installed() -> Iterator[None]:
    """The example, registered as its own hook describes it."""
    registry.register(polyback_minimal.polyback_backend())
    yield
    registry.unregister("minimal")


def test_quoted_code_is_the_example() -> None:
    source = (EXAMPLE / "polyback_minimal.py").read_text()
    quoted = blocks("python")
    assert len(quoted) >= 6
    for block in quoted:
        assert block in source, block
    (toml,) = blocks("toml")
    assert toml in (EXAMPLE / "pyproject.toml").read_text()


def test_other_code_runs(installed: None) -> None:
    names: dict[str, object] = {}
    for block in blocks("python run"):
        exec(compile(block, "new-backend.md", "exec"), names)


def test_every_block_is_checked() -> None:
    assert set(re.findall(r"^```(\S.*)$", DOCUMENT, re.M)) == {"python", "python run", "toml"}


def test_the_example_is_small_and_implements_everything() -> None:
    source = (EXAMPLE / "polyback_minimal.py").read_text()
    assert len(source.splitlines()) < 125
    required = Device.__abstractmethods__ - {"elementwise"} | Stepwise.__abstractmethods__
    for method in required:
        assert f"    def {method}(" in source, method


def test_names_in_the_text_exist() -> None:
    for error in re.findall(r"^\| `(\w+)", DOCUMENT, re.M):
        if error[0].isupper() and error not in ("Backend", "Device"):
            assert hasattr(errors, error), error
    for feature in features.FEATURES:
        assert f"`{feature.name}`" in DOCUMENT
    for name in re.findall(r"`(check_\w+)`", DOCUMENT):
        assert hasattr(operand_check, name) or hasattr(feature_check, name), name
    for name in ("Stepwise", "ContiguousOnly"):
        assert f"`{name}`" in DOCUMENT
        assert hasattr(adapters, name)


def test_commands_in_the_text_exist(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    usage = capsys.readouterr().out
    for command in set(re.findall(r"polyback (doctor|conformance|devices)\b", DOCUMENT)):
        assert command in usage


def test_the_example_as_an_installed_distribution(tmp_path: Path) -> None:
    """Its pyproject's entry point, name and version, found by a new process."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    ((name, module),) = project["entry-points"]["polyback.backends"].items()
    plugins.install_reference(tmp_path)
    plugins.metadata(tmp_path, project["name"], f"{name} = {module}", project["version"])
    code = """
import json
from polyback import doctor
print(json.dumps([p for p in doctor.report()["plugins"] if p["name"] == "minimal"]))
"""
    (found,) = plugins.run_json(code, tmp_path, EXAMPLE)
    assert (found["status"], found["distribution"]) == ("available", "polyback-minimal")
    assert found["devices"][0]["smoke"]["ok"]


def test_the_example_refuses_a_device_that_is_not_there() -> None:
    with pytest.raises(errors.InvalidArgument, match="no device 1; want 0"):
        polyback_minimal.MinimalBackend().open(1, config())


@pytest.mark.slow
def test_the_example_passes_level_4(tmp_path: Path) -> None:
    suite = plugins.ROOT / "conformance" / "src"
    code = "import sys; from polyback_conformance import main; "
    code += (
        "sys.exit(main(['--device-factory', 'polyback_minimal:MinimalBackend', '--level', '4']))"
    )
    done = plugins.run(code, tmp_path, EXAMPLE, suite)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
