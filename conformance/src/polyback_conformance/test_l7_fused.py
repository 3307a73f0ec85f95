"""Level 7: reductions of a program's result that is never stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from polyback import scalar
from polyback.dtype import float32
from polyback.program import Input, program
from polyback.scalar import REDUCTIONS
from polyback_conformance import values
from polyback_conformance.compare import check_exact, check_sum, check_ulp
from polyback_conformance.lab import Lab, explained, notes, reduced_shape
from polyback_conformance.layouts import inputs_for, outputs_for
from polyback_conformance.memory import Placed
from polyback_conformance.offers import offered
from polyback_conformance.reference import evaluate, reduce_exact, reduce_wide

pytestmark = pytest.mark.conformance_level(7)


@pytest.mark.parametrize("op", REDUCTIONS, ids=str)
def test_reduce_fused(lab: Lab, op: Any) -> None:
    """The same as running the program, then reducing its output."""
    device = offered(lab, "reduce_fused")
    logical = op in (scalar.ANY, scalar.ALL_OF)
    if logical:
        code = program(lambda x, y, s: scalar.LESS(x * s, y), float32, float32,
                       Input(float32, scalar=True))  # fmt: skip
    elif op is scalar.PROD:  # factors near 1, or many of them leave the range
        code = program(lambda x, y, s: (x - y) * 1e-3 + s, float32, float32,
                       Input(float32, scalar=True))  # fmt: skip
    else:
        code = program(lambda x, y, s: (x - y) * (x - y) * s, float32, float32,
                       Input(float32, scalar=True))  # fmt: skip
    sources, targets = inputs_for(lab.caps), outputs_for(lab.caps)
    turn = 0
    for shape in ((7,), (33,), (4, 5), (17, 31), (3, 4, 5), (2, 1, 3), (100, 37), (2, 3, 2, 4)):
        ndim = len(shape)
        for axes in {tuple(range(ndim)), (0,), (ndim - 1,), (0, ndim - 1) if ndim > 1 else (0,)}:
            turn += 1
            with lab.box() as box:
                rng = lab.rng("fused", shape)
                x, y = (
                    box.put(values.smooth(float32, rng, shape), sources[k % len(sources)])
                    for k in (turn, 5 * turn + 3)
                )
                s = 1.0 if op is scalar.PROD else 1.0 + turn % 3
                dtype = code.dtypes[code.outputs[0]]
                out = box.out(reduced_shape(shape, axes), dtype, targets[turn % len(targets)])
                note = notes(box, f"{op} over {axes} of\n{code}")
                with explained(note):
                    device.reduce_fused(op, out.operand, code, [x.operand, y.operand, s], axes)
                    box.check()
                (stored,), _ = evaluate(code, [x.values(), y.values(), s], shape)
                _judge_reduction(op, out, stored, axes, note)


def _judge_reduction(op: Any, out: Placed, x: Any, axes: tuple[int, ...], note: str) -> None:
    n = int(np.prod([x.shape[a] for a in axes]))
    if op is scalar.SUM:
        want, magnitude = reduce_wide(op, x, axes, float32)
        check_sum(out.result(), want, magnitude, n, float32, note)
    elif op is scalar.PROD:
        want, _ = reduce_wide(op, x, axes, float32)
        check_ulp(out.result(), want, float32, n, note=note)
    else:
        check_exact(out.result(), reduce_exact(op, x, axes), note=note)
