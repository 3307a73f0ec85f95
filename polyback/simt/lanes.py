"""Operations along one axis: where lanes lie, and how many work-items make one.

A *lane* is all positions along the axis with the other indexes fixed. Lanes are independent, so the
other axes are merged, and put in the order in which they lie in memory: neighbouring lanes are
neighbours there too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, final

from polyback.device import Operand
from polyback.simt.dialect import Dialect
from polyback.simt.geometry import Machine, Strides, Walk, blocks, merge
from polyback.view import Shape, View

MANY_LANES: Final = 1 << 13  # so many keep a GPU busy with a work-item each


@final
@dataclass(frozen=True)
class Lanes:
    """``walk`` goes over the lanes; ``steps`` of each operand along a lane."""

    walk: Walk
    length: int
    steps: tuple[int, ...]
    across: bool  # the first operand's neighbours in memory belong to different lanes

    @property
    def count(self) -> int:
        """The number of lanes."""
        return self.walk.size

    def team(self, machine: Machine, each: int) -> int:
        """How many work-items of a GPU make one lane, ``each`` elements apiece or more: a power of
        two; one where neighbouring work-items then read neighbouring memory."""
        if self.across and self.count >= MANY_LANES:
            return 1
        wanted = blocks(self.length, each)
        return min(machine.group, 1 << max(0, wanted - 1).bit_length())


def lanes(operands: Sequence[Operand], axis: int) -> Lanes:
    """Of operands that agree on all axes but ``axis``; the first one decides the order."""
    views = [x.view for x in operands]
    return _lanes(views[0].shape, tuple(v.strides for v in views), axis)


@lru_cache(maxsize=4096)
def _lanes(shape: Shape, strides: tuple[Strides, ...], axis: int) -> Lanes:
    others = [s[:axis] + s[axis + 1 :] for s in strides]
    walk = merge(shape[:axis] + shape[axis + 1 :], others, 0)
    inner = abs(walk.strides[0][-1]) if walk.shape else 0
    across = 0 < inner < abs(strides[0][axis])
    return Lanes(walk, shape[axis], tuple(s[axis] for s in strides), across)


def lane_last(shape: Shape, axis: int) -> View:
    """``shape`` in a buffer of its own, in which the elements of a lane are neighbours."""
    last = len(shape) - 1
    stored = View.contiguous((*shape[:axis], *shape[axis + 1 :], shape[axis]))
    return stored.permute([*range(axis), last, *range(axis, last)])


def split(view: View, axis: int, size: int) -> View:
    """``axis`` as two, the second of ``size``; what is left over at the end is dropped."""
    step, shape, strides = view.strides[axis], view.shape, view.strides
    return View(
        (*shape[:axis], shape[axis] // size, size, *shape[axis + 1 :]),
        (*strides[:axis], step * size, step, *strides[axis + 1 :]),
        view.offset,
    )


def fold(
    dialect: Dialect, group: int, variables: Sequence[tuple[str, str]], join: str, *,
    shuffles: bool = True,
) -> tuple[str, str]:  # fmt: skip
    """(declarations, statements) that give all ``team`` work-items of a lane, a power of two of
    those ``group``, the joined values of their ``variables`` (type, name).

    ``join`` is a statement, commutative, that takes ``x_`` of another work-item into ``x``, for all
    variables. Values go from register to register where the language has words for that, and
    through shared memory else. ``id`` is the work-item's place in its group.
    """
    warp = dialect.warp if dialect.shuffle_xor and shuffles else 1
    cells = "\n".join(
        f"    {dialect.shared}{kind} cells_{x}[{group // warp}];" for kind, x in variables
    )
    within, beyond = [], _in_halves(dialect, variables, join)
    if warp > 1:
        within = _through_registers(dialect, variables, join)
        beyond = _of_warps(dialect, variables, join)
    lines = [*within, f"if (team > {warp}) {{  // the same for the whole group"]
    lines += ["    " + line for line in beyond]
    return cells, "\n".join("    " + line for line in [*lines, "}"])


def _through_registers(
    dialect: Dialect, variables: Sequence[tuple[str, str]], join: str
) -> list[str]:
    """All work-items of a warp get the result: what two of them join is the same both ways."""
    assert dialect.shuffle_xor is not None
    others = [f"{kind} {x}_ = {dialect.shuffle_xor.format(x=x, n='n')};" for kind, x in variables]
    return [
        f"for (int n = min(team, {dialect.warp}) / 2; n > 0; n /= 2) {{",
        *("    " + line for line in (*others, join)),
        "}",
    ]


def _of_warps(dialect: Dialect, variables: Sequence[tuple[str, str]], join: str) -> list[str]:
    """The results of a lane's warps, joined by all of its work-items in the same order."""
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


def _in_halves(dialect: Dialect, variables: Sequence[tuple[str, str]], join: str) -> list[str]:
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
