"""Programs: how they are written, printed, compared, pickled and checked."""

from __future__ import annotations

import itertools
import math
import pickle
import re

import pytest

from polyback import scalar
from polyback.dtype import (
    DTYPES,
    bfloat16,
    bool_,
    float16,
    float32,
    float64,
    int32,
    int64,
    uint8,
)
from polyback.errors import InvalidArgument
from polyback.program import (
    Builder,
    Input,
    Instr,
    Program,
    Value,
    copy_program,
    fill_program,
    program,
)


def softplus_twice(x: Value, y: Value) -> tuple[Value, Value]:
    z = scalar.LOGADDEXP(x, 0.0) * y
    return z, z + scalar.LOGADDEXP(x, 0.0)


# --- writing and printing -----------------------------------------------------------------------


def test_a_program_prints_one_line_per_instruction() -> None:
    written = program(softplus_twice, float32, Input(float32, scalar=True))
    assert str(written) == "\n".join(
        [
            "program(t0: f32, t1: f32 scalar)",
            "t2 = const 0.0 : f32",
            "t3 = logaddexp t0 t2 : f32",
            "t4 = multiply t3 t1 : f32",
            "t5 = add t4 t3 : f32",
            "return t4 t5",
        ]
    )


def test_operators_on_values_write_the_row_they_stand_for() -> None:
    def body(a: Value, b: Value) -> tuple[Value, ...]:
        return (
            a + 1, 1 + a, a - 1, 1 - a, a * 2, 2 * a, a // b, a**b, a & b, a | b, a ^ b, a >> b,
            a << b, a < b, a <= b, a > b, a >= b, a == b, a != b, -a,
        )  # fmt: skip

    lines = str(program(body, int32, int32)).splitlines()
    rows = [line.split()[2] for line in lines[1:-1] if " const " not in line]
    assert rows == [
        "add", "add", "subtract", "subtract", "multiply", "multiply", "floor_divide", "pow",
        "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_right_shift", "bitwise_left_shift",
        "less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "negative",
    ]  # fmt: skip
    assert "t4 = add t2 t0 : i32" in lines  # 1 + a keeps its order


def test_division_and_numbers_on_the_left() -> None:
    text = str(program(lambda x: 1.0 / (x / 2), float64))
    assert "t1 = const 2 : f64" in text
    assert "divide t0 t1" in text


def test_equal_instructions_are_written_once() -> None:
    written = program(lambda x: (x + 1.0) * (x + 1.0), float32)
    assert [i.row for i in written.instrs] == [scalar.CONST, scalar.ADD, scalar.MULTIPLY]
    assert written.instrs[-1].args == (2, 2)


def test_the_constants_0_and_minus_0_are_different() -> None:
    written = program(lambda x: (scalar.COPYSIGN(x, 0.0), scalar.COPYSIGN(x, -0.0)), float32)
    values = [i.value for i in written.instrs if i.row is scalar.CONST]
    assert [math.copysign(1.0, v) for v in values] == [1.0, -1.0]
    plus, minus = (program(lambda x, z=z: x + z, float32) for z in (0.0, -0.0))
    assert plus != minus


def test_nan_constants_are_equal_so_that_a_program_is_compiled_once() -> None:
    first, second = (program(lambda x: x + float("nan"), float32) for _ in range(2))
    assert first == second
    assert hash(first) == hash(second)


def test_a_number_takes_the_type_of_the_other_operand() -> None:
    written = program(lambda x: scalar.WHERE(x > 1, x, 0), uint8)
    assert [i.dtype for i in written.instrs if i.row is scalar.CONST] == [uint8, uint8]
    written = program(lambda c: scalar.WHERE(c, 1.0, 0.0), bool_)
    assert written.dtypes[-1] is float32


def test_iota_is_int64() -> None:
    builder = Builder()
    written = builder.finish(builder.iota() * 2)
    assert str(written) == (
        "program()\nt0 = iota : i64\nt1 = const 2 : i64\nt2 = multiply t0 t1 : i64\nreturn t2"
    )


def test_a_builder_gives_its_values_by_number() -> None:
    builder = Builder([Input(int32), Input(float32)])
    assert [builder.value(k).dtype for k in range(2)] == [int32, float32]
    total = builder.value(1) + 1.0
    assert builder.value(total.number).dtype is float32


# --- casts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", DTYPES, ids=str)
@pytest.mark.parametrize("target", DTYPES, ids=str)
def test_half_types_are_reached_and_left_through_float32(source: object, target: object) -> None:
    written = copy_program(source, target)
    path = [source, *(i.dtype for i in written.instrs)]
    assert path[-1] is target
    assert all(i.row is scalar.CAST for i in written.instrs)
    halves = (float16, bfloat16)
    for a, b in itertools.pairwise(path):
        assert a is not b
        assert float32 in (a, b) or not {a, b} & set(halves)
    want = 0 if source is target else 1
    if want and float32 not in (source, target) and {source, target} & set(halves):
        want = 2
    assert len(written.instrs) == want


def test_a_fill_of_a_half_type_takes_its_number_as_float32() -> None:
    assert str(fill_program(bfloat16)) == (
        "program(t0: f32 scalar)\nt1 = cast t0 : bf16\nreturn t1"
    )
    assert str(fill_program(bool_)) == "program(t0: b8 scalar)\nreturn t0"


# --- as a value ---------------------------------------------------------------------------------


def test_equal_programs_hash_alike_and_survive_pickling() -> None:
    first, second = (program(softplus_twice, float32, float32) for _ in range(2))
    assert first is not second
    assert first == second
    assert hash(first) == hash(second)
    copy = pickle.loads(pickle.dumps(first))
    assert copy == first
    assert hash(copy) == hash(first)
    assert copy.instrs[1].row is scalar.LOGADDEXP  # rows are singletons
    assert {first: 1}[copy] == 1


@pytest.mark.parametrize(
    "other",
    [
        program(softplus_twice, float32, Input(float32, scalar=True)),
        program(softplus_twice, float64, float64),
        program(lambda x, y: softplus_twice(x, y)[::-1], float32, float32),
        program(lambda x, y: softplus_twice(x, y)[0], float32, float32),
    ],
)
def test_programs_that_differ_anywhere_are_not_equal(other: Program) -> None:
    assert program(softplus_twice, float32, float32) != other


def test_last_use_names_the_last_reader_and_outputs_never_end() -> None:
    written = program(softplus_twice, float32, float32)
    #        t0 t1 0.0 lae  z  sum
    assert written.last_use == (1, 2, 1, 3, 4, 4)
    assert program(lambda x, y: x + 1.0, float32, float32).last_use == (1, -1, 1, 2)


def test_the_operand_type_selects_the_kernel() -> None:
    written = program(lambda c, x: scalar.WHERE(c, x.cast(float64) > 1.0, c), bool_, int32)
    cast, one, greater, where = written.instrs
    assert written.operand_dtype(cast) is int32
    assert written.operand_dtype(one) is float64
    assert written.operand_dtype(greater) is float64
    assert written.operand_dtype(where) is bool_
    assert written.dtypes == (bool_, int32, float64, float64, bool_, bool_)


# --- checks -------------------------------------------------------------------------------------

F, N, B, H = Input(float32), Input(int32), Input(bool_), Input(float16)
BAD = {
    "too few operands": ([F], [Instr(scalar.ADD, (0,), float32)], "takes 2 earlier values"),
    "a later value": ([F], [Instr(scalar.ADD, (0, 1), float32)], "takes 2 earlier values"),
    "a negative value": ([F], [Instr(scalar.EXP, (-1,), float32)], "takes 1 earlier values"),
    "mixed types": (
        [F, N], [Instr(scalar.ADD, (0, 1), float32)], r"differ in type: \['f32', 'i32'\]"),
    "a type that the row lacks": ([N], [Instr(scalar.EXP, (0,), int32)], "does not take int32"),
    "arithmetic in a half type": ([H], [Instr(scalar.EXP, (0,), float16)], "does not take float16"),
    "a wrong result type": ([F], [Instr(scalar.EXP, (0,), float64)], "gives float32, not float64"),
    "a comparison that is not bool": (
        [F, F], [Instr(scalar.LESS, (0, 1), float32)], "gives bool, not float32"),
    "a condition that is not bool": (
        [F, F, F], [Instr(scalar.WHERE, (0, 1, 2), float32)], "the condition must be bool"),
    "arms that differ": (
        [B, F, N], [Instr(scalar.WHERE, (0, 1, 2), float32)], "operands differ in type"),
    "half to half": ([H], [Instr(scalar.CAST, (0,), bfloat16)], "from and to float32 only"),
    "half to int": ([H], [Instr(scalar.CAST, (0,), int32)], "from and to float32 only"),
    "a constant without a value": ([], [Instr(scalar.CONST, (), float32)], "needs a value"),
    "a constant of a half type": ([], [Instr(scalar.CONST, (), float16, 1.0)], "needs a value"),
    "iota that is not int64": ([], [Instr(scalar.IOTA, (), int32)], "gives int64, not int32"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_check_refuses(case: str) -> None:
    inputs, instrs, says = BAD[case]
    written = Program(tuple(inputs), tuple(instrs), (0,))
    with pytest.raises(InvalidArgument, match=rf"^\[program\] t{len(inputs)} = \w+: .*{says}") as e:
        written.check()
    assert str(written) in str(e.value)  # the program is shown


@pytest.mark.parametrize("outputs", [(), (1,), (-1,), (0, 5)])
def test_check_refuses_outputs_that_are_no_values(outputs: tuple[int, ...]) -> None:
    with pytest.raises(InvalidArgument, match=rf"bad outputs {re.escape(str(outputs))}"):
        Program((F,), (), outputs).check()


def test_check_gives_the_program_itself() -> None:
    written = Program((Input(int64),), (), (0, 0))
    assert written.check() is written
