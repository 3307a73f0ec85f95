"""The scalar table: every row is public, parses as C and has right derivatives, or none."""

from __future__ import annotations

import inspect
import pickle
import re

import numpy as np
import pytest

import polyback as pb
from polyback import scalar
from polyback.dtype import DTYPES
from polyback.frontend.functions import (
    activation,
    arithmetic,
    comparison,
    exponential,
    rounding,
    trigonometry,
)
from polyback.scalar import REDUCTIONS, TABLE, Scalar, reduction_named, row_named

REFERENCE = "numpy_ref"
BUILDING_BLOCKS = {"const", "iota", "cast"}
FORMULAS = {  # over rows, in activation
    "leaky_relu", "silu", "gelu", "elu", "selu", "softplus", "mish", "log_sigmoid", "clip",
    "hardtanh", "relu6", "hardsigmoid", "hardswish", "softsign",
}  # fmt: skip
ROWS = pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)

# Not differentiable on purpose: piecewise constant, not real-valued, or complex only.
WITHOUT_GRADIENT = {
    *BUILDING_BLOCKS, "multiply_high", "floor_divide", "sign",
    "floor", "ceil", "trunc", "round", "nextafter", "signbit", "isnan", "isinf", "isfinite",
    "equal", "not_equal", "less", "less_equal", "greater", "greater_equal",
    "logical_and", "logical_or", "logical_xor", "logical_not",
    "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_invert",
    "bitwise_left_shift", "bitwise_right_shift", "real", "imag", "conj",
}  # fmt: skip
WITHOUT_SOME = {"where": [0], "copysign": [1]}


# --- the table and the public functions ---------------------------------------------------------


def public_defs() -> set[str]:
    modules = (arithmetic, exponential, trigonometry, rounding, comparison, activation)
    return {
        name
        for module in modules
        for name, f in vars(module).items()
        if inspect.isfunction(f) and f.__module__ == module.__name__ and not name.startswith("_")
    }


def test_rows_and_public_elementwise_functions_are_the_same_set() -> None:
    rows = {row.name for row in TABLE} - BUILDING_BLOCKS
    assert public_defs() - FORMULAS == rows
    missing = [name for name in rows | FORMULAS if not callable(getattr(pb, name, None))]
    assert not missing


def test_names_are_unique_and_rows_are_singletons() -> None:
    names = [row.name for row in TABLE]
    assert len(set(names)) == len(names)
    for row in TABLE:
        assert row_named(row.name) is row
        assert pickle.loads(pickle.dumps(row)) is row
        assert repr(row) == row.name
    for op in REDUCTIONS:
        assert reduction_named(op.name) is op
        assert pickle.loads(pickle.dumps(op)) is op
        assert repr(op) == op.name


@ROWS
def test_every_row_has_a_c_text_whose_placeholders_parse(row: Scalar) -> None:
    operands = [f"{{{k}}}" for k in range(row.arity)]
    special = {"const": ["{value}"], "iota": ["{index}"]}.get(row.name, operands)
    assert set(re.findall(r"\{[^{}]*\}", row.c)) == set(special)
    assert row.c.count("(") == row.c.count(")")
    calls = re.findall(r"\$(\w*)(.?)", row.c)
    assert all(re.fullmatch("[a-z][a-z_0-9]*", name) and after == "(" for name, after in calls)
    left = re.sub(r"\$\w+|\{\w+\}", "", row.c)
    assert re.fullmatch(r"[-+*/<>=!&|^?:(), 01]*", left), left


@ROWS
def test_every_row_takes_types_that_arithmetic_runs_in(row: Scalar) -> None:
    assert row.takes
    assert all(d.compute is d for d in row.takes)
    for dtype in row.takes:
        result = row.result_dtype(dtype)
        if row.gives == "same":
            assert result is dtype
        elif row.gives == "bool":
            assert result is pb.bool
        elif row.gives == "real":
            half = {pb.complex64: pb.float32, pb.complex128: pb.float64}
            assert result is half.get(dtype, dtype)


@ROWS
def test_rows_without_gradient_are_without_on_purpose(row: Scalar) -> None:
    assert (row.grad is None) == (row.name in WITHOUT_GRADIENT)
    if row.grad is not None:
        assert len(row.grad) == row.arity
        assert [k for k, r in enumerate(row.grad) if r is None] == WITHOUT_SOME.get(row.name, [])


@ROWS
def test_a_row_that_is_exact_has_no_error_bound(row: Scalar) -> None:
    assert (row.ulp == 0) or not row.takes.isdisjoint(scalar.REAL_FLOAT)
    assert not re.search(r"\$(exp|log|sin|cos|tan|pow|erf|sqrt)", row.c) or row.ulp > 0


@pytest.mark.parametrize("name", ["exp", "add", "less", "where"])
def test_a_row_on_python_numbers_is_a_python_number(name: str) -> None:
    row = row_named(name)
    operands = (True, 2.0, 3.0)[-row.arity :]
    got = row(*operands)
    assert type(got) in (float, bool)
    assert got == row.numpy(*map(np.float64, operands))
    assert scalar.LOG(0.0) == -np.inf  # without a warning
    assert scalar.MULTIPLY(2.0, 1j) == 2j


def test_reductions_combine_with_their_row_and_keep_their_identity() -> None:
    for op in REDUCTIONS:
        assert op.takes <= op.combine.takes
        for dtype in op.takes if op.identity is not None else ():
            x = np.array([1, 0, 3]).astype(dtype.numpy)
            identity = np.asarray(op.identity, dtype.numpy)
            np.testing.assert_array_equal(op.combine.numpy(x, identity), x)


# --- derivatives, first and second, against central differences in float64 ----------------------

POINTS: dict[str, tuple[list[float], ...]] = {  # one list per operand; else DEFAULT
    "sqrt": ([0.3, 1.0, 7.5],), "log": ([0.2, 1.0, 9.0],), "log2": ([0.2, 1.0, 9.0],),
    "log10": ([0.2, 1.0, 9.0],), "log1p": ([-0.6, 0.0, 3.0],), "asin": ([-0.7, 0.0, 0.6],),
    "acos": ([-0.7, 0.0, 0.6],), "atanh": ([-0.7, 0.0, 0.6],), "acosh": ([1.2, 3.0],),
    "reciprocal": ([-1.5, -0.4, 0.7, 3.0],), "abs": ([-1.5, -0.4, 0.7, 3.0],),
    "relu": ([-1.5, -0.4, 0.7, 3.0],), "tan": ([-1.2, -0.3, 0.0, 1.1],),
    "divide": ([-1.5, 0.0, 2.0, 3.0], [0.7, -2.0, -0.4, 1.0]),
    "remainder": ([5.3, -5.3, 5.3, -0.2], [2.0, 2.0, -2.0, 1.5]),
    "hypot": ([3.0, -0.5, 0.0, 1.0], [4.0, 0.2, 1.5, 0.0]),
    "atan2": ([3.0, -0.5, 0.0, -1.0], [-4.0, 0.2, 1.5, -1.0]),
    "maximum": ([1.0, -2.0, 0.5], [0.5, -1.0, 2.0]),
    "minimum": ([1.0, -2.0, 0.5], [0.5, -1.0, 2.0]),
    "copysign": ([1.0, -2.0, 0.5, -0.5], [0.5, -1.0, -2.0, 3.0]),
    "pow": ([0.3, 1.0, 2.5, 2.0], [2.0, -1.3, 0.5, 0.0]),
    "logaddexp": ([1.0, -2.0, 0.5, 30.0], [0.5, -1.0, 0.5, -30.0]),
}  # fmt: skip
DEFAULT = ([-1.3, -0.4, 0.0, 0.3, 1.7], [0.6, -1.2, 0.8, -0.5, 2.0])
DIFFERENTIABLE = [r.name for r in TABLE if r.grad is not None and r.name != "where"]


def points(name: str) -> list[pb.Tensor]:
    lists = POINTS.get(name, DEFAULT[: row_named(name).arity])
    return [pb.asarray(p, dtype=pb.float64, device=REFERENCE) for p in lists]


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_the_gradient_rule_is_the_derivative(name: str) -> None:
    pb.testing.check_grad(getattr(pb, name), *points(name))


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_the_gradient_of_the_gradient_is_the_second_derivative(name: str) -> None:
    f, xs = getattr(pb, name), points(name)
    for k in range(len(xs)):
        first = pb.grad(lambda *a: pb.sum(f(*a)), argnums=k)
        pb.testing.check_grad(first, *xs, atol=1e-4)


@pytest.mark.parametrize("name", [n for n in DIFFERENTIABLE if row_named(n).arity == 2])
def test_a_number_as_either_operand_has_the_same_gradient(name: str) -> None:
    f, (a, b) = getattr(pb, name), points(name)
    number = 1.5
    other = pb.full_like(a, number)
    for numeric, full in (
        (lambda x: f(x, number), lambda x: f(x, other)),
        (lambda x: f(number, x), lambda x: f(other, x)),
    ):
        got, want = (pb.grad(lambda x, g=g: pb.sum(g(x)))(b) for g in (numeric, full))
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-15)


def test_where_sends_the_gradient_to_the_arm_that_was_taken() -> None:
    c = pb.asarray([True, False, True], device=REFERENCE)
    a, b = (pb.asarray(v, dtype=pb.float64, device=REFERENCE) for v in ([1.0, 2, 3], [4.0, 5, 6]))
    pb.testing.check_grad(lambda a, b: pb.where(c, a * a, b), a, b)
    pb.testing.check_grad(lambda a: pb.where(c, a, 0.5), a)
    got = pb.grad(lambda a, b: pb.sum(pb.where(c, a, b)), argnums=(0, 1))(a, b)
    assert [g.tolist() for g in got] == [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]


def gradient(f: object, *values: float, argnums: int = 0) -> float:
    xs = [pb.asarray(v, dtype=pb.float64, device=REFERENCE) for v in values]
    return float(pb.grad(f, argnums=argnums)(*xs))


TIES = [
    (pb.maximum, (2.0, 2.0), 0, 0.5), (pb.maximum, (2.0, 2.0), 1, 0.5),
    (pb.minimum, (2.0, 2.0), 0, 0.5), (pb.minimum, (0.0, -0.0), 1, 0.5),
    (pb.relu, (0.0,), 0, 0.0), (pb.abs, (0.0,), 0, 0.0),
    (lambda x: pb.maximum(x, 0.0), (0.0,), 0, 0.5),
    (lambda x: pb.clip(x, -1.0, 1.0), (1.0,), 0, 0.5),
]  # fmt: skip


@pytest.mark.parametrize(("f", "at", "which", "want"), TIES)
def test_ties_share_the_gradient_and_kinks_have_the_documented_one(
    f: object, at: tuple[float, ...], which: int, want: float
) -> None:
    assert gradient(f, *at, argnums=which) == want


POWERS = [  # (base, exponent, d/dbase, d/dexponent)
    (0.0, 2.0, 0.0, 0.0), (0.0, 1.0, 1.0, 0.0), (0.0, 0.0, 0.0, 0.0), (0.0, 3.0, 0.0, 0.0),
    (2.0, 0.0, 0.0, np.log(2.0)), (-2.0, 3.0, 12.0, np.nan), (-2.0, 0.0, 0.0, np.nan),
    (1.0, 5.0, 5.0, 0.0), (0.0, 0.5, np.inf, 0.0),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b", "da", "db"), POWERS)
def test_pow_at_special_points(a: float, b: float, da: float, db: float) -> None:
    np.testing.assert_allclose(gradient(pb.pow, a, b), da)
    np.testing.assert_allclose(gradient(pb.pow, a, b, argnums=1), db)
    np.testing.assert_allclose(gradient(lambda x: x**b, a), da)  # a number as the exponent
    np.testing.assert_allclose(gradient(lambda x: a**x, b), db)  # a number as the base


@pytest.mark.parametrize(("n", "want"), [(0, 0.0), (1, 0.0), (2, 2.0), (3, 0.0)])
def test_second_derivatives_of_powers_at_0(n: int, want: float) -> None:
    def slope(x: pb.Tensor) -> pb.Tensor:
        return pb.grad(lambda x: x**n)(x)

    assert gradient(slope, 0.0) == want
    assert gradient(lambda x: pb.grad(lambda b: x**b)(x * 0 + 2.0), 0.0) == 0.0


# --- reductions ---------------------------------------------------------------------------------

PROD_INPUTS = {
    "no zero": [[1.5, -2.0, 0.5], [3.0, 0.2, -1.0]],
    "one zero": [[1.5, 0.0, 0.5], [3.0, 0.2, -1.0]],
    "two zeros": [[1.5, 0.0, 0.0], [0.0, 0.2, -1.0]],
    "all zero": [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
}


@pytest.mark.parametrize("which", PROD_INPUTS)
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 1)])
def test_derivatives_of_a_product_are_right_with_any_number_of_zeros(
    which: str, axis: object
) -> None:
    x = pb.asarray(PROD_INPUTS[which], dtype=pb.float64, device=REFERENCE)
    pb.testing.check_grad(lambda x: pb.prod(x, axis=axis), x)
    pb.testing.check_grad(pb.grad(lambda x: pb.sum(pb.prod(x, axis=axis))), x)


@pytest.mark.parametrize("f", [pb.max, pb.min])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_derivatives_of_extremes(f: object, axis: int | None) -> None:
    values = np.random.default_rng(0).permutation(12.0 * np.arange(12)).reshape(3, 4)
    x = pb.asarray(values, device=REFERENCE)
    pb.testing.check_grad(lambda x: f(x * x, axis=axis), x, atol=1e-3)
    ties = pb.asarray([2.0, 2.0, 1.0, 2.0, 1.0], device=REFERENCE)
    got = pb.grad(f)(ties)
    third = [1 / 3, 1 / 3, 0, 1 / 3, 0] if f is pb.max else [0, 0, 0.5, 0, 0.5]
    np.testing.assert_allclose(got.numpy(), third, rtol=1e-6)


def test_every_type_of_the_table_is_a_type() -> None:
    assert frozenset().union(*(row.takes for row in TABLE)) <= set(DTYPES)
