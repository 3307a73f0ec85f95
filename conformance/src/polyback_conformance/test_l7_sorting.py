"""Level 7: the stable order of elements along an axis."""

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
