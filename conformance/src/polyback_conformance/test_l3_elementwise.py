"""Level 3: every row of the table on every type, its values, its layouts, and its claims."""

from __future__ import annotations

import numpy as np
import pytest

from polyback import scalar
from polyback.dtype import DTYPES, DType, bool_, float32
from polyback.program import Input, Number, program
from polyback_conformance import values
from polyback_conformance.cases import RowCase, row_cases
from polyback_conformance.compare import Array, check_exact
from polyback_conformance.lab import Given, Lab, number
from polyback_conformance.layouts import (
    CONTIGUOUS,
    EMPTY_SHAPES,
    OFFSET,
    SMALL_SHAPES,
    TAILS,
    inputs_for,
    outputs_for,
    shapes_for,
)
from polyback_conformance.reference import convert, evaluate

pytestmark = pytest.mark.conformance_level(3)
BY_CASE = pytest.mark.parametrize("case", row_cases(), ids=str)


def claimed(lab: Lab, case: RowCase) -> bool:
    """Is the case claimed? If not, the device must refuse it and write nothing."""
    if lab.claims(3, "scalars", case.row.name, case.dtype):
        return True
    code = case.program()
    lab.refuses(
        lambda outs, ins: lab.device.elementwise(code, outs, ins),
        [((12,), case.result)],
        case.smooth(lab.rng("refused"), (12,)),
    )
    return False


@BY_CASE
def test_row(lab: Lab, case: RowCase) -> None:
    """Values, numbers as operands, tails, layouts and aliases of one row on one type."""
    if not claimed(lab, case):
        return
    check_numbers(lab, case)
    check_layouts(lab, case)
    check_tails(lab, case)
    check_values(lab, case, 3000)
    check_aliases(lab, case)


def check_values(lab: Lab, case: RowCase, n: int) -> None:
    """Special values in all combinations and random ones, in one long array."""
    operands = case.operands(lab.rng("values", str(case)), n)
    shape = operands[0].shape
    done = lab.elementwise(case.program(), operands, shape)
    error = case.check(done.outs[0], done.ins, lab.caps, done.note)
    if case.limit:
        lab.score.saw_ulp(case.row.name, case.dtype.name, error)


def check_numbers(lab: Lab, case: RowCase) -> None:
    """Each operand in turn as a number given at launch, several launches; then written in."""
    if case.row.arity < 2:
        return
    rng = lab.rng("numbers", str(case))
    arrays = case.operands(rng, 40)
    arrays = [a[rng.permutation(a.size)[:67]] for a in arrays]
    shape = arrays[0].shape
    for k in range(case.row.arity):
        given: list[Array | Number] = list(arrays)
        code = case.program(scalars=[k])
        for i in range(6):
            given[k] = number(arrays[k][(i * 11) % shape[0]])
            done = lab.elementwise(code, given, shape)
            case.check(done.outs[0], done.ins, lab.caps, done.note)
        constant = number(arrays[k][5])
        rest = [a for i, a in enumerate(arrays) if i != k]
        done = lab.elementwise(case.program(constants={k: constant}), rest, shape)
        operands = [*done.ins[:k], constant, *done.ins[k:]]
        case.check(done.outs[0], operands, lab.caps, done.note)
    everything = [number(a[3]) for a in arrays]
    done = lab.elementwise(case.program(scalars=range(case.row.arity)), everything, (5,))
    case.check(done.outs[0], everything, lab.caps, done.note)


def check_tails(lab: Lab, case: RowCase) -> None:
    """Every length up to 33, aligned and unaligned."""
    code = case.program()
    longest = case.smooth(lab.rng("tails", str(case)), TAILS[-1])
    for k, shape in enumerate(TAILS):
        layout, out = (OFFSET, CONTIGUOUS) if k % 2 else (CONTIGUOUS, OFFSET)
        ins = [Given(x[: shape[0]], layout) for x in longest]
        done = lab.elementwise(code, ins, shape, out)
        case.check(done.outs[0], done.ins, lab.caps, done.note)


def check_layouts(lab: Lab, case: RowCase) -> None:
    """Every layout of each operand, broadcast ones included, with a different one beside it."""
    code = case.program()
    sources, targets = inputs_for(lab.caps), outputs_for(lab.caps)
    shapes = shapes_for(lab.caps, SMALL_SHAPES) + EMPTY_SHAPES[:2]
    rng = lab.rng("layouts", str(case))
    for i in range(max(len(sources), len(shapes))):
        shape = shapes[i % len(shapes)]
        ins = [
            Given(x, sources[(i + 7 * k) % len(sources)])
            for k, x in enumerate(case.smooth(rng, shape))
        ]
        done = lab.elementwise(code, ins, shape, targets[(5 * i) % len(targets)])
        case.check(done.outs[0], done.ins, lab.caps, done.note)


def check_aliases(lab: Lab, case: RowCase) -> None:
    """The output is exactly one of the inputs: same buffer, type and view."""
    rng = lab.rng("aliases", str(case))
    for k, dtype in enumerate(case.operand_dtypes):
        if dtype is not case.result:
            continue
        for layout in outputs_for(lab.caps)[:: 4 if lab.caps.layouts == "strided" else 1]:
            for shape in ((37,), (5, 7)):
                ins = [Given(x, layout) for x in case.smooth(rng, shape)]
                done = lab.elementwise(case.program(), ins, shape, alias=k)
                case.check(done.outs[0], done.ins, lab.caps, done.note)


def test_large_arrays(lab: Lab) -> None:
    """Sizes that take several blocks, threads or launches, in every layout: exact, so any element
    that is read or written in the wrong place shows."""
    code = program(lambda x, y: (x * y - x, scalar.MAXIMUM(-x, y)), float32, float32)
    sources, targets = inputs_for(lab.caps), outputs_for(lab.caps)
    twelve = (2,) * min(12, lab.caps.limits.max_ndim)
    for shape in ((300_007,), (517, 613), (70, 65, 67), (70_001, 3), twelve):
        x, y = (values.smooth(float32, lab.rng("big", k), shape) for k in range(2))
        for i, source in enumerate(sources):
            ins = [Given(x, source), Given(y, sources[(i * 3) % len(sources)])]
            outs = [targets[i % len(targets)], targets[(i * 5) % len(targets)]]
            done = lab.elementwise(code, ins, shape, outs)
            wants, _ = evaluate(code, done.ins, shape)
            for got, want in zip(done.outs, wants, strict=True):
                check_exact(got, want, done.ins, note=done.note)


@pytest.mark.slow
@BY_CASE
def test_row_sweep(lab: Lab, case: RowCase) -> None:
    """Half a million values of each row that may round."""
    if not case.limit or case.dtype.name not in lab.caps.scalars.get(case.row.name, ()):
        pytest.skip("L3 sweep: only for claimed rows with a ULP limit")
    check_values(lab, case, 500_000)


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d.compute is not d], ids=str)
def test_half_storage(lab: Lab, dtype: DType) -> None:
    """Half types: read, computed in float32, rounded once when written."""
    if dtype.name not in lab.caps.storage:
        pytest.skip(f"L3: {dtype} is not stored")
    code = program(
        lambda x, y: (
            (x.cast(float32) + y.cast(float32)).cast(dtype),
            scalar.MAXIMUM(x.cast(float32), y.cast(float32)).cast(dtype),
            (x.cast(float32) * y.cast(float32)),
            scalar.LESS(x.cast(float32), y.cast(float32)),
        ),
        dtype,
        dtype,
    )
    sources, targets = inputs_for(lab.caps), outputs_for(lab.caps)
    some = values.special(dtype)
    grid = [g.copy() for g in np.meshgrid(some, some)]
    for i, source in enumerate(sources):
        outs = [targets[(i + k) % len(targets)] for k in range(4)]
        done = lab.elementwise(code, [Given(g, source) for g in grid], grid[0].shape, outs)
        wants, _ = evaluate(code, done.ins, grid[0].shape)
        for got, want in zip(done.outs, wants, strict=True):
            check_exact(got, want, done.ins, note=done.note)


def test_several_outputs(lab: Lab) -> None:
    """One program, four outputs of two types, in an order that is not the order of writing."""
    code = program(lambda x, y: (x - y, scalar.LESS(x, y), x, x * y + y), float32, float32)
    sources, targets = inputs_for(lab.caps), outputs_for(lab.caps)
    for i, source in enumerate(sources):
        for shape in ((4, 5), (33,), (2, 3, 4), (1023,), (0, 3)):
            rng = lab.rng("several", i)
            ins = [Given(values.smooth(float32, rng, shape), source) for _ in range(2)]
            outs = [targets[(i + 3 * k) % len(targets)] for k in range(4)]
            done = lab.elementwise(code, ins, shape, outs)
            wants, _ = evaluate(code, done.ins, shape)
            for got, want in zip(done.outs, wants, strict=True):
                check_exact(got, want, done.ins, note=done.note)


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_no_contraction(lab: Lab, name: str) -> None:
    """Each operation of a fused program rounds by itself: ``a * b + c`` is not one fused step."""
    dtype = next(d for d in DTYPES if d.name == name)
    if name not in lab.caps.scalars.get("multiply", ()):
        pytest.skip(f"L3: {name} arithmetic is not claimed")
    bodies = {
        "a * b + c": lambda a, b, c: a * b + c,
        "c + a * b": lambda a, b, c: c + a * b,
        "a * b - c": lambda a, b, c: a * b - c,
        "c - a * b": lambda a, b, c: c - a * b,
        "a * a - a * a + c": lambda a, b, c: scalar.SQUARE(a) - a * b + c,
        "-(a * b) + c": lambda a, b, c: -(a * b) + c,
    }
    rng = lab.rng("contraction", name)
    a, b = (values.smooth(dtype, rng, (2000,)) for _ in range(2))
    with np.errstate(all="ignore"):
        c = np.where(rng.random(2000) < 0.5, -a * b, rng.normal(0, 1, 2000)).astype(dtype.numpy)
    for text, body in bodies.items():
        code = program(body, dtype, dtype, dtype)
        done = lab.elementwise(code, [a, b, c], a.shape)
        (want,), _ = evaluate(code, done.ins, a.shape)
        check_exact(done.outs[0], want, done.ins, note=f"{text}\n{done.note}")


def test_alias_among_several_outputs(lab: Lab) -> None:
    """One output overwrites an input that the other outputs still need."""
    bodies = (lambda x, y: (x + y, x, x * y), lambda x, y: (y, x, x - y))
    for k in range(2):
        for body in bodies:
            code = program(body, float32, float32)
            for shape in ((37,), (5, 7), (4099,)):
                rng = lab.rng("alias several", shape)
                for layout in outputs_for(lab.caps)[:: 3 if lab.caps.layouts == "strided" else 1]:
                    ins = [Given(values.smooth(float32, rng, shape), layout) for _ in range(2)]
                    done = lab.elementwise(code, ins, shape, [CONTIGUOUS, layout, OFFSET], alias=k)
                    wants, _ = evaluate(code, done.ins, shape)
                    for got, want in zip(done.outs, wants, strict=True):
                        check_exact(got, want, done.ins, note=f"output 0 is input {k}\n{done.note}")


def test_same_value_twice(lab: Lab) -> None:
    """An input that is returned unchanged, and one value stored to two outputs."""
    code = program(lambda x: (x, -x, -x), float32)
    data = values.special(float32)
    done = lab.elementwise(code, [data], data.shape, [CONTIGUOUS, OFFSET, CONTIGUOUS])
    for got, want in zip(done.outs, (data, -data, -data), strict=True):
        check_exact(got, want, done.ins, note=done.note)


def test_number_changes_between_launches(lab: Lab) -> None:
    """The number of a scalar input belongs to the launch, not to the program."""
    code = program(lambda x, s: x * s, float32, Input(float32, scalar=True))
    data = values.smooth(float32, lab.rng("launches"), (50,))
    for value in (2.0, -3.0, 0.0, 2.0, 0.5, float("inf")):
        done = lab.elementwise(code, [data, value], (50,))
        with np.errstate(all="ignore"):
            check_exact(done.outs[0], data * np.float32(value), (data,), note=done.note)


def test_where_takes_the_right_arm(lab: Lab) -> None:
    """``where`` with numbers in either arm; NaN in the arm not taken stays there."""
    w = scalar.WHERE
    data = values.special(float32)
    cond = np.arange(data.size) % 3 == 0
    one = Input(float32, scalar=True)
    for inputs, ins in (((bool_, float32, one), [cond, data, 7.0]),
                        ((bool_, one, float32), [cond, float("nan"), data]),
                        ((bool_, one, one), [cond, 1.0, -0.0])):  # fmt: skip
        code = program(lambda c, a, b: w(c, a, b), *inputs)
        done = lab.elementwise(code, ins, data.shape)
        want = np.where(cond, *(convert(v, float32) for v in ins[1:]))
        check_exact(done.outs[0], want, ins, note=done.note)
