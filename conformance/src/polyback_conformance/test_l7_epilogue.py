"""Level 7: programs on products that are never stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from polyback import scalar
from polyback.dtype import DTYPES, DType, bool_
from polyback.errors import InvalidArgument
from polyback.program import Input, Program, Value, program
from polyback_conformance import values
from polyback_conformance.compare import Array, check_exact, check_sum
from polyback_conformance.lab import Lab, explained, notes
from polyback_conformance.layouts import inputs_for, outputs_for
from polyback_conformance.offers import offered
from polyback_conformance.reference import matmul_wide

pytestmark = pytest.mark.conformance_level(7)
SHAPES = (
    ((), 1, 3, 1), ((), 1, 70, 5), ((), 5, 0, 4), ((), 3, 0, 2), ((), 7, 9, 8), ((), 33, 17, 65),
    ((), 66, 40, 70), ((), 5, 700, 6), ((3,), 4, 5, 6), ((2, 3), 9, 4, 1), ((0,), 2, 3, 4),
    ((), 0, 3, 4),
)  # fmt: skip


def layer(dtype: DType) -> Program:
    """A bias and an activation, in the type that ``dtype`` is computed in."""
    wide = dtype.compute

    def body(x: Value, bias: Value, s: Value) -> Value:
        y = x.cast(wide) * s + bias.cast(wide)
        rectified = y if wide.kind == "complex" else scalar.MAXIMUM(y, bias.cast(wide))
        return rectified.cast(dtype)

    return program(body, dtype, dtype, Input(wide, scalar=True))


def gate(dtype: DType) -> Program:
    """The product in the middle, twice; the result is of another type."""
    wide = dtype.compute

    def body(on: Value, x: Value, y: Value) -> Value:
        product = y.cast(wide)
        return scalar.EQUAL(scalar.WHERE(on, product * product, x.cast(wide)), product)

    return program(body, bool_, dtype, dtype)


def run(lab: Lab, dtype: DType, code: Program, at: int, sizes: Any, turn: int) -> None:
    """Fused, with the product as input ``at``, and as two calls: the same bits."""
    device: Any = lab.device
    lead, m, k, n = sizes
    sources, targets = inputs_for(lab.caps), outputs_for(lab.caps)
    with lab.box() as box:
        rng = lab.rng("epilogue", sizes, dtype.name)

        def put(shape: tuple[int, ...], of: DType, number: int) -> Any:
            some = rng.integers(0, 2, shape) if of is bool_ else values.smooth(of, rng, shape)
            return box.put(np.asarray(some, of.numpy), sources[number % len(sources)])

        shape = (*lead, m, n)
        a, b = put((*lead, m, k), dtype, turn), put((*lead, k, n), dtype, 3 * turn + 1)
        ins: list[Any] = [
            None if number == at else 2 if x.scalar
            else put(shape, x.dtype, 5 * turn + 7 * number).operand
            for number, x in enumerate(code.inputs)
        ]  # fmt: skip
        result = code.dtypes[code.outputs[0]]
        out = box.out(shape, result, targets[turn % len(targets)])
        product, stored = box.out(shape, dtype), box.out(shape, result)
        note = notes(box, f"{dtype} product of {sizes}, then\n{code}")
        with explained(note):
            device.matmul_fused(out.operand, a.operand, b.operand, code, ins)
            device.matmul(product.operand, a.operand, b.operand)
            given = [product.operand if x is None else x for x in ins]
            device.elementwise(code, [stored.operand], given)
            box.check()
        check_exact(out.result(), stored.result(), note=note)
        if dtype.kind == "float" and dtype.compute is dtype:
            _check(a.values(), b.values(), product.result(), dtype, note)


def _check(a: Array, b: Array, product: Array, dtype: DType, note: str) -> None:
    """So that both are not wrong in the same way."""
    want, magnitude = matmul_wide(a, b, dtype)
    check_sum(product, want, magnitude, a.shape[-1], dtype, note)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_matmul_fused(lab: Lab, dtype: DType) -> None:
    """The same as storing the product and then running the program, for every layout."""
    offered(lab, "gemm_epilogue", dtype)
    if dtype.name not in lab.caps.matmul:
        pytest.skip(f"L7: products of {dtype} are not claimed")
    for turn, sizes in enumerate(SHAPES):
        for code, at in ((layer(dtype), 0), (gate(dtype), 2)):
            if not lab.caps.missing(code):
                run(lab, dtype, code, at, sizes, turn)


def test_not_finite_results_stay_where_they_are(lab: Lab) -> None:
    """Infinities and NaN reach the results that they are terms of, and the program sees them."""
    dtype = next(d for d in DTYPES if d.name == "float32")
    device = offered(lab, "gemm_epilogue", dtype)
    code = program(lambda x, s: scalar.WHERE(x > s, s, x), dtype, Input(dtype, scalar=True))
    a, b = np.ones((70, 21), np.float32), np.ones((21, 66), np.float32)
    a[3, 5], b[20, 65] = -np.inf, np.nan
    with lab.box() as box:
        x, y, out = box.put(a), box.put(b), box.out((70, 66), dtype)
        device.matmul_fused(out.operand, x.operand, y.operand, code, [None, 4.0])
        box.check()
        want = np.full((70, 66), 4, np.float32)
        want[3], want[:, 65] = -np.inf, np.nan
        check_exact(out.result(), want)


def test_what_does_not_fit_is_refused(lab: Lab) -> None:
    """No product among the inputs, two of them, two outputs: nothing is written."""
    dtype = next(d for d in DTYPES if d.name == "float32")
    device = offered(lab, "gemm_epilogue", dtype)
    one = program(lambda x, y: x + y, dtype, dtype)
    two = program(lambda x, y: (x + y, x * y), dtype, dtype)
    some = values.smooth(dtype, lab.rng("refused"), (4, 4))
    with lab.box() as box:
        x, out = box.put(some).operand, box.out((4, 4), dtype).operand
        for code, ins in ((one, [x, x]), (one, [None, None]), (two, [None, x]), (one, [None])):
            with pytest.raises(InvalidArgument):
                device.matmul_fused(out, x, x, code, ins)
        box.check(written=False)
