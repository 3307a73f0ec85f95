"""Elementwise functions and operators on every device: types, broadcasting, special numbers."""

from __future__ import annotations

import operator
import warnings

import numpy as np
import pytest
from against_numpy import FLOATS, INTEGERS, REAL, close, same, sample, stored

import polyback as pb
from polyback import scalar
from polyback.dtype import DType

COMPLEX = [pb.complex64, pb.complex128]
HALVES = [pb.float16, pb.bfloat16]
UNARY = {  # name -> (NumPy function, low, high)
    "exp": (np.exp, -5, 5), "expm1": (np.expm1, -5, 5), "log": (np.log, 0.1, 9),
    "log1p": (np.log1p, -0.9, 9), "log2": (np.log2, 0.1, 9), "log10": (np.log10, 0.1, 9),
    "sin": (np.sin, -9, 9), "cos": (np.cos, -9, 9), "tan": (np.tan, -1.5, 1.5),
    "asin": (np.arcsin, -1, 1), "acos": (np.arccos, -1, 1), "atan": (np.arctan, -9, 9),
    "sinh": (np.sinh, -5, 5), "cosh": (np.cosh, -5, 5), "tanh": (np.tanh, -5, 5),
    "asinh": (np.arcsinh, -9, 9), "acosh": (np.arccosh, 1, 9), "atanh": (np.arctanh, -0.9, 0.9),
    "sqrt": (np.sqrt, 0, 9), "reciprocal": (np.reciprocal, 0.1, 9), "square": (np.square, -9, 9),
    "abs": (np.abs, -9, 9), "sign": (np.sign, -9, 9), "negative": (np.negative, -9, 9),
}  # fmt: skip


@pytest.mark.parametrize("name", UNARY)
def test_floating_functions_agree_with_numpy(device: str, name: str) -> None:
    function, low, high = UNARY[name]
    for dtype in (pb.float32, pb.float64):
        x = np.random.default_rng(1).uniform(low, high, (3, 5)).astype(dtype.numpy)
        close(getattr(pb, name)(pb.asarray(x, device=device)), function(x), dtype)


@pytest.mark.parametrize("dtype", COMPLEX, ids=str)
@pytest.mark.parametrize("name", ["exp", "log", "sin", "sqrt", "tanh", "square", "negative"])
def test_complex_functions_agree_with_numpy(device: str, name: str, dtype: DType) -> None:
    x = sample((4, 3), stored(device, dtype))
    close(getattr(pb, name)(pb.asarray(x, device=device)), UNARY[name][0](x), dtype)
    got = pb.abs(pb.asarray(x, device=device))
    close(got, np.abs(x), pb.float32 if dtype is pb.complex64 else pb.float64)


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_half_types_are_computed_in_float32_and_rounded_once(device: str, dtype: DType) -> None:
    x = np.linspace(-3, 3, 61).astype(dtype.numpy)
    wide = x.astype(np.float32)
    t = pb.asarray(x, device=device)
    same(t * t + t, (wide * wide).astype(dtype.numpy).astype(np.float32) + wide, dtype)
    same(t * 3, wide * 3, dtype)
    same(t / 3.0, (wide / np.float32(3)), dtype)
    same(-t, -wide, dtype)
    same(t < 1, wide < 1, pb.bool)
    same(pb.floor(t), np.floor(wide), dtype)
    close(pb.exp(t), np.exp(wide), dtype, ulp=1)
    assert (t + pb.ones(61, dtype=pb.float32, device=device)).dtype is pb.float32
    assert (t + pb.ones(61, dtype=pb.int64, device=device)).dtype is dtype


def test_half_types_together_are_float32(device: str) -> None:
    a, b = (pb.asarray([1.5], dtype=d, device=device) for d in HALVES)
    assert (a + b).dtype is pb.float32
    assert (a + b).item() == 3.0


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_integers_wrap(device: str, dtype: DType) -> None:
    info = np.iinfo(dtype.numpy)
    x = np.array([info.min, info.max, 1, 0, 7], dtype.numpy)
    y = np.array([info.max, info.max, 2, 5, 100], dtype.numpy)
    a, b = (pb.asarray(v, device=device) for v in (x, y))
    with np.errstate(all="ignore"):
        for op in (operator.add, operator.sub, operator.mul):
            same(op(a, b), op(x, y), dtype)
        same(-a, -x, dtype)
        same(a + 1, x + dtype.numpy.type(1), dtype)
        same(pb.square(a), np.square(x), dtype)
        same(pb.abs(a), np.abs(x), dtype)


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_integer_division_floors_and_division_by_zero_gives_0(device: str, dtype: DType) -> None:
    x = np.array([7, 7, 0, 5, 100], dtype.numpy)
    y = np.array([2, 3, 4, 0, 7], dtype.numpy)
    if dtype.kind == "int":
        x, y = np.concatenate([x, -x, x, -x]), np.concatenate([y, y, -y, -y])
    a, b = (pb.asarray(v, device=device) for v in (x, y))
    with np.errstate(all="ignore"):
        same(a // b, x // y, dtype)
        same(a % b, x % y, dtype)
    assert (a / b).dtype is pb.float32


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_shifts_by_the_width_or_more_push_everything_out(device: str, dtype: DType) -> None:
    width = 8 * dtype.itemsize
    x = np.array([1, 5, 100, 127], dtype.numpy)
    if dtype.kind == "int":
        x = np.concatenate([x, -x])
    a = pb.asarray(x, device=device)
    for by in (0, 1, width - 1, width, 100):
        same(a << by, np.left_shift(x, dtype.numpy.type(by)), dtype)
        same(a >> by, np.right_shift(x, dtype.numpy.type(by)), dtype)


def test_integer_powers(device: str) -> None:
    x = pb.asarray([2, -1, 1, 0, -3], device=device)
    assert (x**3).tolist() == [8, -1, 1, 0, -27]
    assert (x**0).tolist() == [1, 1, 1, 1, 1]
    assert (x**-1).tolist() == [0, -1, 1, 0, 0]
    assert (x**-2).tolist() == [0, 1, 1, 0, 0]


@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_comparisons_give_bool(device: str, dtype: DType) -> None:
    x, y = sample((3, 4), dtype, 1), sample((3, 4), dtype, 2)
    a, b = (pb.asarray(v, device=device) for v in (x, y))
    same(a == b, x == y, pb.bool)
    same(a != b, x != y, pb.bool)
    if dtype.kind != "bool":
        for op in (operator.lt, operator.le, operator.gt, operator.ge):
            same(op(a, b), op(x, y), pb.bool)


def test_nan_is_unequal_to_everything_and_zeros_are_equal(device: str) -> None:
    x = pb.asarray([np.nan, 0.0, np.inf], device=device)
    y = pb.asarray([np.nan, -0.0, np.inf], device=device)
    assert (x == y).tolist() == [False, True, True]
    assert (x != y).tolist() == [True, False, False]
    assert (x <= y).tolist() == [False, True, True]
    assert (x > -1.0).tolist() == [False, True, True]


def test_maximum_and_minimum_propagate_nan_and_order_zeros(device: str) -> None:
    x = pb.asarray([np.nan, 1.0, -0.0, 0.0, -np.inf], device=device)
    y = pb.asarray([1.0, np.nan, 0.0, -0.0, np.inf], device=device)
    same(pb.maximum(x, y), np.array([np.nan, np.nan, 0.0, 0.0, np.inf], np.float32))
    same(pb.minimum(x, y), np.array([np.nan, np.nan, -0.0, -0.0, -np.inf], np.float32))


@pytest.mark.parametrize("op", [pb.bitwise_and, pb.bitwise_or, pb.bitwise_xor])
def test_bits_of_integers_and_bools(device: str, op: object) -> None:
    name = op.__name__
    for dtype in (pb.bool, pb.int8, pb.uint64):
        x, y = sample((7,), dtype, 3), sample((7,), dtype, 4)
        got = op(pb.asarray(x, device=device), pb.asarray(y, device=device))
        same(got, getattr(np, name)(x, y), dtype)
        same(~pb.asarray(x, device=device), ~x, dtype)


def test_logic_counts_what_is_not_zero_as_true(device: str) -> None:
    x, y = np.array([0.0, 2.0, np.nan, -0.0]), np.array([1, 0, 3, 0])
    a, b = pb.asarray(x, device=device), pb.asarray(y, device=device)
    for name in ("logical_and", "logical_or", "logical_xor"):
        same(getattr(pb, name)(a, b), getattr(np, name)(x, y), pb.bool)
    same(pb.logical_not(a), np.logical_not(x), pb.bool)
    assert pb.logical_and(a, True).tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    ("a", "b"), [((), (3,)), ((2, 1), (3,)), ((2, 3), (1, 1)), ((0, 3), (1, 3)), ((), ()),
                 ((4, 1, 3), (2, 1)), ((1,), (0,))],
)  # fmt: skip
def test_operands_broadcast(device: str, a: tuple[int, ...], b: tuple[int, ...]) -> None:
    x, y = sample(a, seed=5), sample(b, seed=6)
    s, t = pb.asarray(x, device=device), pb.asarray(y, device=device)
    same(s + t, x + y)
    same(t * s, y * x)
    same(pb.where(s > 0, s, t), np.where(x > 0, x, y))


def test_where_takes_numbers_and_promotes_its_arms(device: str) -> None:
    c = pb.asarray([True, False], device=device)
    same(pb.where(c, 1, 2), np.array([1, 2]))
    same(pb.where(c, 1.0, 2), np.array([1.0, 2.0], np.float32))
    same(
        pb.where(c, pb.asarray([1, 2], dtype=pb.int8, device=device), 0), np.array([1, 0], np.int8)
    )
    same(pb.where(c, True, pb.asarray([False, True], device=device)), np.array([True, True]))
    same(pb.where(pb.asarray([3, 0], device=device), 1, 2), np.array([1, 2]))
    ints = pb.asarray([1, 2], device=device)
    assert pb.where(c, ints, pb.nan).dtype is pb.float32
    x = pb.asarray([np.nan, np.inf], device=device)
    assert pb.where(c, 0.0, x).tolist() == [0.0, np.inf]


# --- operators ----------------------------------------------------------------------------------

BINARY = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow"]


@pytest.mark.parametrize("name", BINARY)
def test_operators_take_numbers_on_either_side(device: str, name: str) -> None:
    op = getattr(operator, name)
    x = np.array([1.5, 2.0, 0.5, 3.0], np.float32)
    t = pb.asarray(x, device=device)
    for number in (2, 2.5, True, np.float64(2.5), np.float32(2.5), np.int64(2)):
        plain = number.item() if isinstance(number, np.generic) else number
        close(op(t, number), op(x, plain), pb.float32)
        close(op(number, t), op(plain, x), pb.float32)
    close(op(t, t), op(x, x), pb.float32)


@pytest.mark.parametrize("name", ["and_", "or_", "xor", "lshift", "rshift"])
def test_bit_operators_take_integers_on_either_side(device: str, name: str) -> None:
    op, x = getattr(operator, name), np.array([1, 2, 3])
    t = pb.asarray(x, device=device)
    same(op(t, 2), op(x, 2))
    same(op(2, t), op(2, x))


@pytest.mark.parametrize("name", [*BINARY, "and_", "or_", "xor", "matmul", "lt"])
@pytest.mark.parametrize("other", [np.ones(2), [1, 2], "ab", None, {1}], ids=repr)
def test_other_operands_are_a_type_error_on_either_side(
    device: str, name: str, other: object
) -> None:
    op, t = getattr(operator, name), pb.asarray([1, 2], device=device)
    with pytest.raises(TypeError):
        op(t, other)
    if not (name == "mod" and isinstance(other, str)):  # that is formatting a string
        with pytest.raises(TypeError):
            op(other, t)


def test_equality_with_something_else_is_false_as_for_every_python_object(device: str) -> None:
    t = pb.ones(2, device=device)
    assert (t == None) is False  # noqa: E711  (what is tested)
    assert (t != "ab") is True
    assert len({t, t}) == 1  # hash by identity


def test_unary_operators(device: str) -> None:
    t = pb.asarray([1, -2], device=device)
    assert ((-t).tolist(), (+t).tolist(), abs(t).tolist(), (~t).tolist()) == (
        [-1, 2], [1, -2], [1, 2], [-2, 1])  # fmt: skip


# --- types of results ---------------------------------------------------------------------------


@pytest.mark.parametrize("row", scalar.TABLE, ids=str)
def test_every_row_gives_the_type_that_the_table_says(device: str, row: scalar.Scalar) -> None:
    if row.name in ("const", "iota", "cast"):
        return
    f = getattr(pb, row.name)
    for dtype in sorted(row.takes, key=lambda d: d.name):
        if dtype.name not in pb.get_device(device).caps.storage:
            continue
        operands = [pb.ones((2, 1), dtype=dtype, device=device)] * row.arity
        if row.name == "where":
            operands[0] = pb.ones((2, 1), dtype=pb.bool, device=device)
        got = f(*operands)
        assert got.dtype is row.result_dtype(dtype), dtype
        assert got.shape == (2, 1)


@pytest.mark.parametrize("name", ["exp", "sin", "sqrt", "log2", "reciprocal"])
def test_integers_become_the_default_float_in_floating_functions(device: str, name: str) -> None:
    got = getattr(pb, name)(pb.asarray([1, 2], dtype=pb.int8, device=device))
    assert got.dtype is pb.float32


@pytest.mark.parametrize("source", REAL, ids=str)
@pytest.mark.parametrize("target", REAL, ids=str)
def test_casts_are_numpys(device: str, source: DType, target: DType) -> None:
    x = sample((9,), source)
    x = np.abs(x) if target.kind == "uint" and source.kind != "bool" else x
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same(pb.astype(pb.asarray(x, device=device), target), x.astype(target.numpy), target)


def test_casts_of_special_numbers(device: str) -> None:
    x = pb.asarray([0.0, -0.0, np.nan, np.inf, 1e-30, 1e30], device=device)
    assert pb.astype(x, pb.bool).tolist() == [False, False, True, True, True, True]
    for half, top in ((pb.float16, np.inf), (pb.bfloat16, 1e30)):
        got = pb.astype(x, half).numpy().astype(float)
        np.testing.assert_allclose(
            got, [0.0, -0.0, np.nan, np.inf, 1e-30, top], rtol=0.01, atol=1e-7
        )
    assert pb.astype(pb.asarray([-1, 300], device=device), pb.uint8).tolist() == [255, 44]


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_astype_copies_unless_told_otherwise(device: str, dtype: DType) -> None:
    x = pb.ones(2, dtype=dtype, device=device)
    assert pb.astype(x, dtype, copy=False) is x
    copy = pb.astype(x, dtype)
    copy[0] = 5
    assert x.tolist() == [1.0, 1.0]


def test_fusing_changes_no_number(device: str) -> None:
    x = pb.asarray(sample((50,)), device=device)

    def f(x: pb.Tensor) -> pb.Tensor:
        y = pb.tanh(x) * 3 + pb.where(x > 0, x, -x) / 7
        return pb.exp(y) * y + pb.sum(x * 2) - y[::-1]

    with pb.configure(fuse=True):
        fused = f(x).numpy()
    with pb.configure(fuse=False):
        np.testing.assert_array_equal(f(x).numpy(), fused)


@pytest.mark.parametrize("two", [2, 2.0])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "int16", "complex64", "bool"])
def test_second_powers_are_squares(device: str, dtype: str, two: float) -> None:
    """To the bit, with the type of any other power, which promotes integers and bool."""
    x = pb.astype(pb.asarray([[3.7, 0.1, 25], [7, 1, -11.3]], device=device), dtype)
    y = x**two
    assert y.dtype == pb.pow(x, two + 1).dtype
    wide = pb.astype(x, y.dtype)
    np.testing.assert_array_equal(y.numpy(), (wide * wide).numpy())
