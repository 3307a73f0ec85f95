"""Documents say what the code says: code blocks run, tables name what exists."""

from __future__ import annotations

import dataclasses
import doctest
import re
from pathlib import Path

import pytest

import polyback as pb
from polyback import errors, features
from polyback.config import Config
from polyback.device import Backend, BackendDescriptor, Caps, Device, DeviceInfo, Limits, Numerics

ROOT = Path(__file__).parents[1]
PAGES = [
    p for f in ("*.md", "docs/*.md", "*/README.md", "plugins/*/README.md") for p in ROOT.glob(f)
]
PROTOCOL = (ROOT / "docs/protocol.md").read_text()


def test_the_readme_example_runs(capsys):
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    exec(compile(block, "README.md", "exec"), {})
    weight = capsys.readouterr().out
    assert "numpy_ref" in weight
    assert "cpu_c" in weight


def test_the_examples_of_the_layers_run():
    assert doctest.testfile(str(ROOT / "docs/nn.md"), module_relative=False).failed == 0


def test_the_fault_of_the_suite_s_readme_is_one_of_its_faults():
    (block,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "conformance/README.md").read_text(), re.S
    )
    assert block in (ROOT / "conformance/meta_tests/number_faults.py").read_text()


def test_every_layer_is_in_its_document():
    text = (ROOT / "docs/nn.md").read_text()
    missing = [
        name
        for name in pb.nn.__all__
        if isinstance(getattr(pb.nn, name), type)
        and issubclass(getattr(pb.nn, name), pb.nn.Module)
        and name not in text
        and not re.search("Pool|Cell$", name)
    ]
    assert not missing


def names_of(cls: type) -> list[str]:
    return [n for n in vars(cls) if not n.startswith("_")]


@pytest.mark.parametrize("cls", [Device, Backend])
def test_every_protocol_method_is_documented(cls):
    for name in names_of(cls):
        assert re.search(rf"^\| `{name}\b", PROTOCOL, re.M), name


@pytest.mark.parametrize(
    "cls",
    [BackendDescriptor, Caps, DeviceInfo, Numerics, Limits],
)
def test_every_field_is_documented(cls):
    for field in dataclasses.fields(cls):
        assert f"`{field.name}`" in PROTOCOL, field.name


def test_every_feature_and_its_methods_are_documented():
    for feature in features.FEATURES:
        (row,) = re.findall(rf"^\| `{feature.name}` \| (.*)$", PROTOCOL, re.M)
        for method in names_of(feature.protocol):
            assert f"`{method}(" in row, method


def test_no_document_names_a_method_that_does_not_exist():
    section = PROTOCOL.split("## Device")[1].split("## Caps")[0]
    for name in re.findall(r"^\| `(\w+)", section, re.M):
        assert name == "caps" or hasattr(Device, name), name


def test_every_error_of_the_protocol_is_documented():
    for name in (
        "UnsupportedOp",
        "InvalidArgument",
        "OutOfMemory",
        "CompileError",
        "DeviceLost",
        "AsyncError",
        "BackendUnavailable",
        "ProtocolMismatch",
        "DeviceClosed",
    ):
        assert issubclass(getattr(errors, name), pb.PolybackError)
        assert f"`{name}`" in PROTOCOL


def test_every_option_has_a_meaning():
    for name, _, text in Config.describe():
        assert len(text) > 10, name


@pytest.mark.parametrize("path", sorted(p.relative_to(ROOT).as_posix() for p in PAGES))
def test_links_and_file_names_exist(path):
    text = (ROOT / path).read_text()
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (ROOT / path).parent.joinpath(target).exists(), target
    for name in re.findall(r"`?(polyback/[\w/]+\.py)`?", text):
        assert (ROOT / name).exists(), name
