"""Level 7: a launch prepared once and called for other buffers, offsets, numbers and aliases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from polyback import scalar
from polyback.dtype import float16, float32, int32
from polyback.errors import UnsupportedOp
from polyback.program import Input, Instr, Program, program
from polyback_conformance import values
from polyback_conformance.compare import Mismatch, check_exact
from polyback_conformance.lab import Lab, explained, notes
from polyback_conformance.layouts import inputs_for, outputs_for
from polyback_conformance.offers import offered
from polyback_conformance.reference import evaluate

pytestmark = pytest.mark.conformance_level(7)

NUMBER = Input(float32, scalar=True)
PROGRAMS = {
    "sum": program(lambda x, y: x + y, float32, float32),
    "copy": program(lambda x: x, float32),
    "number": program(lambda x, s: x * s, float32, NUMBER),
    "crossed": program(lambda x, y, s: ((x - y) * s, y + x), float32, float32, NUMBER),
    "swap": program(lambda x, y: (y, x), int32, int32),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_prepared_launches(lab: Lab, name: str) -> None:
    """Each call is ``elementwise`` with what it is given."""
    device = offered(lab, "prepare")
    sources, targets = inputs_for(lab.caps), outputs_for(lab.caps)
    for turn, shape in enumerate(((), (7,), (4, 5), (17, 31), (3, 4, 5), (300, 40), (0, 3))):
        for step in range(4):
            source = sources[(4 * turn + step) % len(sources)]
            target = targets[(turn + 3 * step) % len(targets)]
            _check(lab, device, PROGRAMS[name], shape, source, target)
        for layout in targets[:3]:
            _check(lab, device, PROGRAMS[name], shape, layout, layout, in_place=True)


def _check(
    lab: Lab, device: Any, code: Program, shape: Any, source: Any, target: Any,
    in_place: bool = False,
) -> None:  # fmt: skip
    """Prepares with operands that are then not used, and calls three times."""
    run: Any = None
    for call in range(4):
        with lab.box() as box:
            rng, moved = lab.rng("prepare", shape, call), replace(source, offset=3 * call)
            placed: list[Any] = [
                call + 0.5 if x.scalar else box.put(values.smooth(x.dtype, rng, shape), moved)
                for x in code.inputs
            ]
            outs = [
                box.out(shape, code.dtypes[o], replace(target, offset=5 * call))
                for o in code.outputs
            ]
            given = [p.values() if hasattr(p, "values") else p for p in placed]
            if in_place and call % 2:
                outs[0] = box.alias(placed[0])
            note = notes(box, f"prepared, call {call} of\n{code}")
            ins = [p.operand if hasattr(p, "operand") else p for p in placed]
            with explained(note):
                if run is None:
                    run = device.prepare(code, [o.operand for o in outs], ins)
                    box.check(written=False)
                    continue
                run([o.operand for o in outs], ins)
                box.check()
            wanted, _ = evaluate(code, given, shape)
            for out, want in zip(outs, wanted, strict=True):
                check_exact(out.result(), want, note=note)


def test_unclaimed_programs_are_not_prepared(lab: Lab) -> None:
    """As ``elementwise`` refuses them."""
    device = offered(lab, "prepare")
    if "float16" not in lab.caps.storage:
        pytest.skip("float16 is not stored")
    half = Program((Input(float16),), (Instr(scalar.EXP, (0,), float16),), (1,))
    with lab.box() as box:
        x = box.put(values.smooth(float16, lab.rng("half"), (3,)))
        out = box.out((3,), float16)
        try:
            device.prepare(half, [out.operand], [x.operand])
        except UnsupportedOp:
            return
        raise Mismatch("a program of float16 arithmetic was prepared")
