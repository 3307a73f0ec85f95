"""Work-items of a GPU that make one result together: text that joins their values.

A *team* is ``team`` neighbours of a group, a power of two; ``id`` is a work-item's place in its
group. Values go from register to register within a warp where the language has words for that, and
through shared memory beyond it, or where it has none. All work-items of a group must come by.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

from polyback.simt.dialect import Dialect


@final
@dataclass(frozen=True)
class Joined:
    """``cells`` declares shared memory at a kernel's start; ``text`` is statements."""

    cells: str
    text: str


def fold(
    dialect: Dialect, group: int, variables: Sequence[tuple[str, str]], join: str,
    shuffles: bool = True,
) -> Joined:  # fmt: skip
    """Give all of a team the joined values of their ``variables`` (type, name). ``join`` is a
    statement, commutative, that takes ``x_`` of another work-item into ``x`` for all variables."""
    warp = _warp(dialect, shuffles)
    cells = [f"{dialect.shared}{kind} cells_{x}[{group // warp}];" for kind, x in variables]
    if warp == 1:
        return _joined(cells, _beyond(1, _halves(dialect, variables, join)))
    others = [f"{kind} {x}_ = {_from(dialect, x, 'id ^ n')};" for kind, x in variables]
    lines = [
        f"for (int n = min(team, {warp}) / 2; n > 0; n /= 2) {{",
        *("    " + line for line in (*others, join)),
        "}",
    ]
    return _joined(cells, [*lines, *_beyond(warp, _warps(dialect, variables, join))])


def scan(
    dialect: Dialect, group: int, kind: str, identity: str, combine: Callable[[str, str], str],
    shuffles: bool = True,
) -> Joined:  # fmt: skip
    """From each work-item's ``mine`` make ``before``, what those before it in its team have
    together, and ``all``, what the whole team has."""
    warp = _warp(dialect, shuffles)
    cells = [f"{dialect.shared}{kind} cells[{group // warp}];"]
    lines = [f"{kind} upto = mine, before = {identity}, all = {identity};"]
    if warp == 1:
        return _joined(cells, lines + _doubling(dialect, kind, identity, combine))
    lines += [
        f"int width = min(team, {warp}), place = id & (width - 1);",
        "for (int n = 1; n < width; n *= 2) {",
        f"    {kind} other = {_from(dialect, 'upto', 'id - n')};",
        f"    if (place >= n) upto = {combine('other', 'upto')};",
        "}",
        f"{kind} other = {_from(dialect, 'upto', 'id - 1')};",
        "if (place > 0) before = other;",
        f"all = {_from(dialect, 'upto', 'id | (width - 1)')};",
    ]
    inner = [
        f"if (place == {warp - 1}) cells[id / {warp}] = upto;",
        dialect.barrier,
        f"int warp0 = id / team * team / {warp};",
        f"{kind} ahead = {identity};",
        f"all = {identity};",
        f"for (int n = 0; n < team / {warp}; n++) {{",
        f"    if (n == id / {warp} - warp0) ahead = all;",
        f"    all = {combine('all', 'cells[warp0 + n]')};",
        "}",
        f"before = {combine('ahead', 'before')};",
        f"{dialect.barrier}  // the cells are free again",
    ]
    return _joined(cells, [*lines, *_beyond(warp, inner)])


def _warp(dialect: Dialect, shuffles: bool) -> int:
    return dialect.warp if dialect.shuffle and shuffles else 1


def _from(dialect: Dialect, x: str, place: str) -> str:
    assert dialect.shuffle is not None
    return dialect.shuffle.format(x=x, n=place)


def _joined(cells: Sequence[str], lines: Sequence[str]) -> Joined:
    cells, lines = (["    " + line for line in some] for some in (cells, lines))
    return Joined("\n".join(cells), "\n".join(lines))


def _beyond(size: int, lines: Sequence[str]) -> list[str]:
    """For teams of more than ``size``, which all of the group have or none."""
    return [f"if (team > {size}) {{", *("    " + line for line in lines), "}"]


def _warps(dialect: Dialect, variables: Sequence[tuple[str, str]], join: str) -> list[str]:
    """The results of a team's warps, joined by all of it in the same order."""
    warp = dialect.warp
    return [
        f"if (id % {warp} == 0) {{",
        *(f"    cells_{x}[id / {warp}] = {x};" for _, x in variables),
        "}",
        dialect.barrier,
        f"int warp0 = id / team * team / {warp};",
        *(f"{x} = cells_{x}[warp0];" for _, x in variables),
        f"for (int n = 1; n < team / {warp}; n++) {{",
        *(f"    {kind} {x}_ = cells_{x}[warp0 + n];" for kind, x in variables),
        f"    {join}",
        "}",
        f"{dialect.barrier}  // the cells are free again",
    ]


def _halves(dialect: Dialect, variables: Sequence[tuple[str, str]], join: str) -> list[str]:
    """The upper half of those left into the lower half, until one is left."""
    return [
        *(f"cells_{x}[id] = {x};" for _, x in variables),
        "for (int n = team / 2; n > 0; n /= 2) {",
        f"    {dialect.barrier}",
        "    if ((id & (team - 1)) < n) {",
        *(f"        {kind} {x}_ = cells_{x}[id + n];" for kind, x in variables),
        f"        {join}",
        *(f"        cells_{x}[id] = {x};" for _, x in variables),
        "    }",
        "}",
        dialect.barrier,
        *(f"{x} = cells_{x}[id & -team];" for _, x in variables),
        f"{dialect.barrier}  // the cells are free again",
    ]


def _doubling(
    dialect: Dialect, kind: str, identity: str, combine: Callable[[str, str], str]
) -> list[str]:
    """Everybody takes what the one n places before has, for n = 1, 2, 4 and so on."""
    return [
        "int place = id & (team - 1);",
        "cells[id] = upto;",
        "for (int n = 1; n < team; n *= 2) {",
        f"    {dialect.barrier}",
        f"    {kind} other = place >= n ? cells[id - n] : {identity};",
        f"    {dialect.barrier}",
        f"    cells[id] = upto = {combine('other', 'upto')};",
        "}",
        dialect.barrier,
        "if (place > 0) before = cells[id - 1];",
        "all = cells[id | (team - 1)];",
        f"{dialect.barrier}  // the cells are free again",
    ]
