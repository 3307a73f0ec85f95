"""Level 7: gather, and scatter that sets, adds, or keeps the smaller or the larger."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from polyback import scalar
from polyback.dtype import DTYPES, DType, float32
from polyback.view import Shape
from polyback_conformance import values
from polyback_conformance.compare import check_exact
from polyback_conformance.lab import Lab, explained, notes
from polyback_conformance.layouts import inputs_for, outputs_for
from polyback_conformance.memory import Placed, Sandbox
from polyback_conformance.offers import offered

pytestmark = pytest.mark.conformance_level(7)
MOVED = ("bool", "uint8", "int16", "int32", "int64", "float16", "float32", "float64", "complex64")
ORDERED = ("uint8", "int32", "int64", "float32", "float64")
BY_DTYPE = pytest.mark.parametrize("dtype", [d for d in DTYPES if d.name in MOVED], ids=str)


def _places(lab: Lab, shape: tuple[int, ...], n: int) -> Any:
    """Indexes below ``n``: random, with many duplicates."""
    return lab.rng("places", shape, n).integers(0, n, shape)


@BY_DTYPE
def test_gather(lab: Lab, dtype: DType) -> None:
    """``out[i] = x[i with index[i] at axis]`` for every axis, layout and length of the axis."""
    device = offered(lab, "gather", dtype)
    sources, targets = inputs_for(lab.caps), outputs_for(lab.caps)
    turn = 0
    for shape in ((9,), (4, 5), (3, 1, 6), (2, 3, 4, 2), (40, 33)):
        for axis in range(len(shape)):
            for length in (1, 7, 0):
                turn += 1
                wanted = tuple(length if k == axis else n for k, n in enumerate(shape))
                data = values.smooth(dtype, lab.rng("gather", shape), shape)
                with lab.box() as box:
                    x = box.put(data, sources[turn % len(sources)])
                    index = box.put(
                        _places(lab, wanted, shape[axis]), sources[(turn * 7) % len(sources)]
                    )
                    out = box.out(wanted, dtype, targets[turn % len(targets)])
                    note = notes(box, f"gather along {axis}")
                    with explained(note):
                        device.gather(out.operand, x.operand, index.operand, axis)
                        box.check()
                    want = np.take_along_axis(x.values(), index.values(), axis)
                    check_exact(out.result(), want, note=note)


@BY_DTYPE
def test_gather_of_rows(lab: Lab, dtype: DType) -> None:
    """One index for a whole row, as a lookup in a table has it; rows next to each other, and
    columns."""
    device = offered(lab, "gather", dtype)
    for shape, axis, many in (((7, 900), 0, 40), ((900, 7), 1, 40), ((2, 5, 300), 1, 9)):
        wanted = tuple(many if k == axis else n for k, n in enumerate(shape))
        places = _places(lab, tuple(many if k == axis else 1 for k in range(len(shape))),
                         shape[axis])  # fmt: skip
        data = values.smooth(dtype, lab.rng("rows", shape), shape)
        with lab.box() as box:
            x, index, out = box.put(data), box.put(places), box.out(wanted, dtype)
            wide = replace(index.operand, view=index.operand.view.expand(wanted))
            note = notes(box, f"gather of rows along {axis}")
            with explained(note):
                device.gather(out.operand, x.operand, wide, axis)
                box.check()
            want = np.take_along_axis(data, np.broadcast_to(places, wanted), axis)
            check_exact(out.result(), want, note=note)


COMBINE: dict[str, Any] = {
    "set": lambda old, new: new, "add": np.add,
    "min": scalar.MINIMUM.numpy, "max": scalar.MAXIMUM.numpy,
}  # fmt: skip


def _scatter(lab: Lab, box: Sandbox, target: Placed, index: Placed, x: Placed, axis: int,
             mode: Any) -> tuple[Any, str]:  # fmt: skip
    """Run one scatter on a target that has contents; (the wanted contents, the note)."""
    want, places, given = target.values(), index.values(), x.values()
    for place in np.ndindex(*places.shape):
        spot = list(place)
        spot[axis] = int(places[place])
        with np.errstate(all="ignore"):
            want[tuple(spot)] = COMBINE[mode](want[tuple(spot)], given[place])
    note = notes(box, f"scatter {mode} along {axis}")
    target.role = "inout"
    with explained(note):
        lab.optional.scatter(target.operand, index.operand, x.operand, axis, mode)
        box.check()
    return want, note


def _scatters(lab: Lab, dtype: DType, mode: str, draw: Any) -> None:
    """Every axis of several shapes, layouts in rotation; ``draw(rng, shape)`` gives the values."""
    sources, targets = inputs_for(lab.caps), outputs_for(lab.caps)
    turn = 0
    for shape in ((9,), (30,), (4, 5), (3, 1, 6), (2, 3, 4, 2)):
        for axis in range(len(shape)):
            for length in (3, 1):  # fewer places than writes: duplicates
                turn += 1
                wanted = tuple(length if k == axis else n for k, n in enumerate(shape))
                rng = lab.rng("scatter", shape)
                with lab.box() as box:
                    x = box.put(draw(rng, shape), sources[turn % len(sources)])
                    index = box.put(_places(lab, shape, length), sources[(turn * 7) % len(sources)])
                    target = box.put(draw(rng, wanted), targets[turn % len(targets)])
                    want, note = _scatter(lab, box, target, index, x, axis, mode)
                    check_exact(target.result(), want, note=note)


@pytest.mark.parametrize("mode", ["set", "add"])
@BY_DTYPE
def test_scatter(lab: Lab, dtype: DType, mode: str) -> None:
    """In row-major order: the last of several writes wins, sums are made one by one."""
    offered(lab, "scatter", dtype)
    if mode == "add" and (dtype.kind == "bool" or dtype.compute is not dtype):
        pytest.skip("L7 scatter add: only for types with arithmetic")
    if mode == "add" and dtype.name not in lab.caps.scalars.get("add", frozenset()):
        pytest.skip(f"L7 scatter add: {dtype} arithmetic is not claimed")
    _scatters(lab, dtype, mode, lambda rng, shape: values.smooth(dtype, rng, shape))


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("dtype", [d for d in DTYPES if d.name in ORDERED], ids=str)
def test_scatter_minmax(lab: Lab, dtype: DType, mode: str) -> None:
    """What was there counts; NaN stays; -0 is below +0."""
    offered(lab, "scatter_minmax", dtype, mode)
    some = values.special(dtype)
    _scatters(lab, dtype, mode, lambda rng, shape: values.smooth(dtype, rng, shape))
    _scatters(lab, dtype, mode, lambda rng, shape: rng.choice(some, shape))
    zeros = np.array([0.0, -0.0]).astype(dtype.numpy)
    _scatters(lab, dtype, mode, lambda rng, shape: rng.choice(zeros, shape))


LONG = ("float32", "int64")
BY_LONG = pytest.mark.parametrize("dtype", [d for d in DTYPES if d.name in LONG], ids=str)


@pytest.mark.parametrize("mode", sorted(COMBINE))
@BY_LONG
def test_scatter_of_long_lanes(lab: Lab, dtype: DType, mode: str) -> None:
    """Few lanes with many writes each, to few places and to many; also with one index for all
    lanes, as rows of a table have it."""
    offered(lab, "scatter_minmax" if mode in ("min", "max") else "scatter", dtype)
    if mode == "add" and dtype.name not in lab.caps.scalars.get("add", frozenset()):
        pytest.skip(f"L7 scatter add: {dtype} arithmetic is not claimed")
    own: list[tuple[Shape, int, int]] = [((1700,), 0, 3), ((1700,), 0, 5000), ((2, 900), 1, 40)]
    for shape, axis, length in own:
        _long(lab, dtype, mode, shape, axis, length, shared=False)
    common: list[tuple[Shape, int, int]] = [((700, 3), 0, 50), ((2, 600, 2), 1, 900)]
    for shape, axis, length in common:
        _long(lab, dtype, mode, shape, axis, length, shared=True)


def _long(lab: Lab, dtype: DType, mode: str, shape: tuple[int, ...], axis: int, length: int,
          *, shared: bool) -> None:  # fmt: skip
    """One scatter along a long axis; ``shared``: the index has stride 0 along the others."""
    places = _places(lab, tuple(n if k == axis or not shared else 1 for k, n in enumerate(shape)),
                     length)  # fmt: skip
    wanted = tuple(length if k == axis else n for k, n in enumerate(shape))
    rng = lab.rng("long", shape, mode)
    with lab.box() as box:
        x = box.put(values.smooth(dtype, rng, shape))
        index = box.put(places)
        target = box.put(values.smooth(dtype, rng, wanted))
        wide = replace(index.operand, view=index.operand.view.expand(shape))
        want = target.values()
        given, spots = x.values(), np.broadcast_to(places, shape)
        for place in np.ndindex(*shape):
            spot = (*place[:axis], spots[place], *place[axis + 1 :])
            want[spot] = COMBINE[mode](want[spot], given[place])
        note = notes(box, f"scatter {mode} along {axis}")
        target.role = "inout"
        with explained(note):
            lab.optional.scatter(target.operand, wide, x.operand, axis, mode)
            box.check()
        check_exact(target.result(), want, note=note)


def test_gather_scatter_round_trip(lab: Lab) -> None:
    """Scatter by a permutation undoes gather by it."""
    if not lab.caps.features >= {"gather", "scatter"}:
        pytest.skip("L7: needs gather and scatter")
    order = lab.rng("order").permutation(500)
    data = values.smooth(float32, lab.rng("trip"), (500,))
    with lab.box() as box:
        x, index = box.put(data), box.put(order)
        middle, back = box.out((500,), float32), box.out((500,), float32)
        lab.optional.gather(middle.operand, x.operand, index.operand, 0)
        lab.optional.scatter(back.operand, index.operand, middle.operand, 0, "set")
        box.check()
        check_exact(back.result(), data)
