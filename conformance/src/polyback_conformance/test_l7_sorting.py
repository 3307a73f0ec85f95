"""Level 7: the stable order of elements along an axis, and elements in that order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from polyback.dtype import DTYPES, DType, int64
from polyback_conformance import values
from polyback_conformance.compare import check_exact
from polyback_conformance.lab import Lab, explained, notes
from polyback_conformance.layouts import inputs_for, outputs_for
from polyback_conformance.offers import offered

pytestmark = pytest.mark.conformance_level(7)


def _order(x: Any, axis: int, descending: bool) -> Any:
    """Stable order by definition: a key of (is NaN, value, position)."""

    def one(row: Any) -> Any:
        nans = np.zeros(row.size, bool) if row.dtype.kind in "biu" else np.isnan(row)
        keys = row.tolist()

        def before(k: int) -> Any:
            value = 0 if nans[k] else keys[k]
            return (bool(nans[k]), -value if descending else value, k)

        return np.array(sorted(range(row.size), key=before), np.int64)

    return np.apply_along_axis(one, axis, x)


@pytest.mark.parametrize("descending", [False, True], ids=["up", "down"])
@pytest.mark.parametrize("dtype", [d for d in DTYPES if d.kind != "complex"], ids=str)
def test_argsort(lab: Lab, dtype: DType, descending: bool) -> None:
    """Stable with many equal values; NaN last in both directions; -0 equals +0."""
    device = offered(lab, "argsort", dtype)
    sources, targets = inputs_for(lab.caps), outputs_for(lab.caps)
    turn = 0
    for shape in ((1,), (10,), (65,), (4, 17), (3, 5, 4), (300,), (2, 33)):
        rng = lab.rng("argsort", shape, dtype.name)
        some = values.special(dtype)
        few = rng.choice(some[rng.permutation(some.size)[:6]], shape)
        many = values.random(dtype, rng, int(np.prod(shape))).reshape(shape)
        for data in (few, many):
            for axis in range(len(shape)):
                turn += 1
                with lab.box() as box:
                    x = box.put(data, sources[turn % len(sources)])
                    out = box.out(shape, int64, targets[turn % len(targets)])
                    note = notes(box, f"argsort along {axis}, descending={descending}")
                    with explained(note):
                        device.argsort(out.operand, x.operand, axis, descending)
                        box.check()
                    want = _order(x.values(), axis, descending)
                    check_exact(out.result(), want, (x.values(),), note=note)


def _with_odd_nans(data: Any, dtype: DType, rng: Any) -> Any:
    """Some elements are NaN of any sign and payload."""
    if not dtype.is_floating:
        return data
    kind = np.dtype(f"u{dtype.itemsize}")
    infinity = np.array(np.inf, dtype.numpy).view(kind)
    odd = rng.integers(1, 16, data.shape).astype(kind)
    sign = rng.integers(0, 2, data.shape).astype(kind) << kind.type(8 * dtype.itemsize - 1)
    quiet = (infinity >> kind.type(1)) & ~infinity
    bits = np.where(rng.random(data.shape) < 0.1, infinity | quiet | odd | sign, data.view(kind))
    return bits.view(dtype.numpy)


@pytest.mark.parametrize("descending", [False, True], ids=["up", "down"])
@pytest.mark.parametrize("dtype", [d for d in DTYPES if d.kind != "complex"], ids=str)
def test_sort(lab: Lab, dtype: DType, descending: bool) -> None:
    """Bit by bit what the stable order gives: zeros of either sign, and NaN, as they came."""
    device = offered(lab, "sort", dtype)
    sources, targets = inputs_for(lab.caps), outputs_for(lab.caps)
    bits = np.dtype(f"u{dtype.itemsize}")
    turn = 0
    for shape in ((1,), (10,), (65,), (4, 17), (3, 5, 4), (300,), (2, 33), (1500,)):
        rng = lab.rng("sort", shape, dtype.name)
        some = values.special(dtype)
        few = rng.choice(some[rng.permutation(some.size)[:6]], shape)
        many = values.random(dtype, rng, int(np.prod(shape))).reshape(shape)
        for data in (few, _with_odd_nans(many, dtype, rng)):
            for axis in range(len(shape)):
                turn += 1
                with lab.box() as box:
                    x = box.put(data, sources[turn % len(sources)])
                    out = box.out(shape, dtype, targets[turn % len(targets)])
                    note = notes(box, f"sort along {axis}, descending={descending}")
                    with explained(note):
                        device.sort(out.operand, x.operand, axis, descending)
                        box.check()
                    order = _order(x.values(), axis, descending)
                    want = np.take_along_axis(x.values(), order, axis)
                    got = np.ascontiguousarray(out.result()).view(bits)
                    want = np.ascontiguousarray(want).view(bits)
                    check_exact(got, want, (x.values(),), note=note)


LONG = ("int16", "float32", "float64")


@pytest.mark.parametrize("feature", ["argsort", "sort"])
@pytest.mark.parametrize("dtype", [d for d in DTYPES if d.name in LONG], ids=str)
def test_long_lanes(lab: Lab, dtype: DType, feature: str) -> None:
    """Lanes that a device may sort in parts, of which the last is shorter; many equal elements."""
    device = offered(lab, feature, dtype)
    for shape, axis, descending in (((70_001,), 0, False), ((2, 40_000), 1, True)):
        rng = lab.rng("long", shape, dtype.name)
        data = rng.integers(-9000, 9000, shape).astype(dtype.numpy)
        if dtype.is_floating:
            data = _with_odd_nans(np.where(data == 7, dtype.numpy.type(-0.0), data), dtype, rng)
        with lab.box() as box:
            x = box.put(data)
            out = box.out(shape, int64 if feature == "argsort" else dtype)
            note = notes(box, f"{feature} along {axis}, descending={descending}")
            with explained(note):
                getattr(device, feature)(out.operand, x.operand, axis, descending)
                box.check()
            # NumPy's order is stable, and has NaN last where numbers go down as -x goes up
            turned = -data.astype(np.float64) if descending else data
            order = np.argsort(turned, axis, kind="stable")
            want = order if feature == "argsort" else np.take_along_axis(data, order, axis)
            bits = np.dtype(f"u{want.dtype.itemsize}")
            got = np.ascontiguousarray(out.result()).view(bits)
            check_exact(got, np.ascontiguousarray(want).view(bits), note=note)
