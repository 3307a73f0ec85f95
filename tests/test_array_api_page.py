"""docs/array-api.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from array_api.calls import EXTENSIONS
from array_api.support import WAYS, cell, ways

import polyback as pb

PAGE = (Path(__file__).parents[1] / "docs/array-api.md").read_text()
DEVICES = re.findall(r"`(\w+)`", PAGE.partition("| function | types |")[2].partition("\n")[0])


def cells(line: str) -> list[str]:
    return [text.strip().strip("`") for text in line.split("|")[1:-1]]


@pytest.mark.parametrize("name", DEVICES)
def test_the_page_is_current(name: str) -> None:
    if name not in pb.devices():
        pytest.skip(f"{name} is not installed")
    found = ways(name)
    column = 2 + DEVICES.index(name)
    stated = {}
    for section in PAGE.split("\n## ")[2:]:
        title = section.partition("\n")[0].replace(" ", "_")
        file = title if title in EXTENSIONS else f"{title}_functions"
        for line in re.findall(r"^\| `.*$", section, re.M):
            stated[file, cells(line)[0]] = cells(line)[column]
    assert stated == {key: cell(each) for key, each in found.items()}
    counts = [sum(way == w for each in found.values() for way in each.values()) for w in WAYS]
    (line,) = re.findall(rf"^\| `{name}` .*$", PAGE.split("\n## ")[1], re.M)
    assert list(map(int, cells(line)[1:])) == [*counts, sum(counts)]


def test_no_device_needs_the_fallback() -> None:
    lines = re.findall(r"^\| `.*$", PAGE.split("\n## ")[1], re.M)
    assert [cells(line)[1 + WAYS.index("fallback")] for line in lines] == ["0"] * len(DEVICES)
