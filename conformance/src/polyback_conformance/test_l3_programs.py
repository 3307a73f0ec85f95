"""Level 3: random fused programs on random shapes and layouts, shrunk when they fail.

A failure prints the smallest program found, its shape, layouts and seed: that is the whole case.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from polyback.program import Input
from polyback.scalar import CAST, CONST
from polyback_conformance import values
from polyback_conformance.cases import RowCase
from polyback_conformance.compare import check_exact
from polyback_conformance.lab import Given, Lab, number
from polyback_conformance.programs import Drawn, programs
from polyback_conformance.reference import convert, evaluate

pytestmark = pytest.mark.conformance_level(3)


def many(lab: Lab, strategy: st.SearchStrategy[Any], check: Callable[[Any], None], n: int) -> None:
    """Run ``check`` on ``n`` draws of ``strategy``; everything follows from the seed."""
    options = settings(
        max_examples=n, deadline=None, database=None, print_blob=False,
        suppress_health_check=list(HealthCheck), phases=(Phase.generate, Phase.shrink),
    )  # fmt: skip

    def drawn(case: Any) -> None:
        check(case)

    seed(lab.seed)(options(given(case=strategy)(drawn)))()


def operands(drawn: Drawn, *, ordinary: bool = False) -> list[Any]:
    """An array or a number for each input."""
    rng = np.random.default_rng(drawn.seed)
    result: list[Any] = []
    for given_input, layout in zip(drawn.program.inputs, drawn.ins, strict=True):
        result.append(_operand(given_input, drawn, layout, rng, ordinary))
    return result


def _operand(
    given_input: Input, drawn: Drawn, layout: Any, rng: np.random.Generator, ordinary: bool
) -> Any:
    dtype, n = given_input.dtype, int(np.prod(drawn.shape))
    some = values.smooth(dtype, rng, (max(n, 1),))
    if not ordinary:
        mixed = rng.choice(values.special(dtype), max(n, 1))
        some = np.where(rng.random(max(n, 1)) < 0.4, mixed, some)
    if given_input.scalar:
        return number(some[0])
    return Given(some[:n].reshape(drawn.shape), layout)


def check_exact_program(lab: Lab, drawn: Drawn) -> None:
    """Every output is bit for bit what the rows say."""
    ins = operands(drawn)
    done = lab.elementwise(drawn.program, ins, drawn.shape, drawn.outs)
    wants, _ = evaluate(drawn.program, done.ins, drawn.shape)
    for k, (got, want) in enumerate(zip(done.outs, wants, strict=True)):
        check_exact(got, want, done.ins, note=f"output {k}\n{done.note}")


def check_steps(lab: Lab, drawn: Drawn) -> None:
    """Every instruction within its own limit, judged on the operands that the device computed."""
    program = drawn.program
    ins = operands(drawn, ordinary=True)
    done = lab.elementwise(program, ins, drawn.shape, drawn.outs)
    known: dict[int, Any] = {
        k: np.broadcast_to(np.asarray(x, i.dtype.numpy), drawn.shape)
        for k, (x, i) in enumerate(zip(done.ins, program.inputs, strict=True))
    }
    known |= dict(zip(program.outputs, done.outs, strict=True))
    for k, instr in enumerate(program.instrs, len(program.inputs)):
        if k not in known:
            continue
        note = f"t{k} of\n{done.note}"
        args = [known.get(a) for a in instr.args]
        if instr.row is CONST:
            want = np.full(drawn.shape, instr.value, instr.dtype.numpy)
            check_exact(known[k], want, note=note)
        elif any(a is None for a in args):
            continue
        elif instr.row is CAST:
            check_exact(known[k], convert(args[0], instr.dtype), args, note=note)
        else:
            case = RowCase(instr.row, program.operand_dtype(instr))
            case.check(known[k], args, lab.caps, note)


def _require_denormals(lab: Lab) -> None:
    if not lab.caps.numerics.denormals:
        pytest.skip("L3 exact programs: the device flushes subnormals, steps cannot be predicted")


def test_random_programs(lab: Lab) -> None:
    """Exact rows of several types, fused: no contraction, reassociation or lost special value."""
    _require_denormals(lab)
    many(lab, programs(lab.caps), lambda d: check_exact_program(lab, d), 250)


def test_random_programs_step_by_step(lab: Lab) -> None:
    """Any float rows, fused, every step an output."""
    many(lab, programs(lab.caps, rounding=True), lambda d: check_steps(lab, d), 150)


@pytest.mark.slow
def test_many_random_programs(lab: Lab) -> None:
    """The same, five thousand times."""
    _require_denormals(lab)
    many(lab, programs(lab.caps), lambda d: check_exact_program(lab, d), 4000)
    many(lab, programs(lab.caps, rounding=True), lambda d: check_steps(lab, d), 1500)
