"""Types: the promotion table of the array API standard 2025.12, and what it leaves open."""

from __future__ import annotations

import copy
import itertools
import pickle
from collections.abc import Callable

import numpy as np
import pytest

import polyback as pb
from polyback.dtype import DTYPES, DType, check_fits, dtype_of, promote, scalar_dtype

# --- the tables of the standard, one row and one column per type --------------------------------

INTEGERS = """
      i1  i2  i4  i8  u1  u2  u4  u8
i1    i1  i2  i4  i8  i2  i4  i8  -
i2    i2  i2  i4  i8  i2  i4  i8  -
i4    i4  i4  i4  i8  i4  i4  i8  -
i8    i8  i8  i8  i8  i8  i8  i8  -
u1    i2  i2  i4  i8  u1  u2  u4  u8
u2    i4  i4  i4  i8  u2  u2  u4  u8
u4    i8  i8  i8  i8  u4  u4  u4  u8
u8    -   -   -   -   u8  u8  u8  u8
"""
FLOATING = """
      f4  f8  c8  c16
f4    f4  f8  c8  c16
f8    f8  f8  c16 c16
c8    c8  c16 c8  c16
c16   c16 c16 c16 c16
"""
# What the standard leaves undefined (see the module docstring of polyback.dtype).
EXTENSIONS = """
      b1  i1  u8  e   bf  f4  f8  c8  c16
b1    b1  i1  u8  e   bf  f4  f8  c8  c16
i8    i8  i8  -   e   bf  f4  f8  c8  c16
u8    u8  -   u8  e   bf  f4  f8  c8  c16
e     e   e   e   e   f4  f4  f8  c8  c16
bf    bf  bf  bf  f4  bf  f4  f8  c8  c16
"""
SHORT = {
    "b1": pb.bool, "i1": pb.int8, "i2": pb.int16, "i4": pb.int32, "i8": pb.int64,
    "u1": pb.uint8, "u2": pb.uint16, "u4": pb.uint32, "u8": pb.uint64,
    "e": pb.float16, "bf": pb.bfloat16, "f4": pb.float32, "f8": pb.float64,
    "c8": pb.complex64, "c16": pb.complex128,
}  # fmt: skip


def cells(table: str) -> list[tuple[str, str, str]]:
    header, *rows = (line.split() for line in table.strip().splitlines())
    return [(row[0], c, r) for row in rows for c, r in zip(header, row[1:], strict=True)]


ALL_CELLS = list(dict.fromkeys(cells(INTEGERS) + cells(FLOATING) + cells(EXTENSIONS)))


@pytest.mark.parametrize(("a", "b", "want"), ALL_CELLS, ids="-".join)
def test_two_types_promote_as_the_table_says(a: str, b: str, want: str) -> None:
    for left, right in ((a, b), (b, a)):
        if want == "-":
            with pytest.raises(pb.DTypeError, match=r"\[promote\].*no common integer type.*astype"):
                promote(SHORT[left], SHORT[right])
        else:
            assert promote(SHORT[left], SHORT[right]) is SHORT[want]


def test_promotion_is_idempotent_and_associative_where_it_is_defined() -> None:
    def either(f: Callable[[], DType]) -> DType | None:
        try:
            return f()
        except pb.DTypeError:
            return None

    for a, b, c in itertools.product(DTYPES, repeat=3):
        assert promote(a, a) is a
        left = either(lambda a=a, b=b, c=c: promote(promote(a, b), c))
        right = either(lambda a=a, b=b, c=c: promote(a, promote(b, c)))
        kinds = {a.kind, b.kind, c.kind}
        if left and right and not (kinds & {"int", "uint"} and kinds & {"float", "complex"}):
            assert left is right, (a, b, c)


SCALARS = [
    (True, "b1", "b1"), (True, "u1", "u1"), (True, "f4", "f4"), (True, "c8", "c8"),
    (3, "b1", "i8"), (3, "u1", "u1"), (-128, "i1", "i1"), (3, "e", "e"), (3, "bf", "bf"),
    (2**63, "u8", "u8"), (2**1000, "f8", "f8"), (3, "c16", "c16"),
    (1.5, "b1", "f4"), (1.5, "i8", "f4"), (1.5, "u1", "f4"), (1.5, "e", "e"), (1.5, "bf", "bf"),
    (1.5, "f8", "f8"), (1.5, "c8", "c8"),
    (1j, "b1", "c8"), (1j, "i4", "c8"), (1j, "e", "c8"), (1j, "f4", "c8"), (1j, "f8", "c16"),
    (1j, "c8", "c8"), (np.float64(1.5), "f4", "f4"), (np.complex128(1j), "f4", "c8"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "like", "want"), SCALARS)
def test_a_python_scalar_takes_the_arrays_type_unless_its_kind_is_higher(
    value: complex, like: str, want: str
) -> None:
    assert scalar_dtype(value, SHORT[like]) is SHORT[want]
    if value == value and not isinstance(value, np.generic):
        assert pb.result_type(SHORT[like], value) is SHORT[want]


@pytest.mark.parametrize(
    ("value", "like", "got"),
    [(128, "i1", "128"), (-1, "u1", "-1"), (256, "u1", "256"), (2**63, "i8", str(2**63)),
     (2**64, "u8", str(2**64)), (2**63, "b1", str(2**63)), (10**400, "f4", "1329 bits")],
)  # fmt: skip
def test_a_python_int_that_does_not_fit_is_an_error(value: int, like: str, got: str) -> None:
    with pytest.raises(pb.DTypeError, match=f"{got}.*does not fit.*astype"):
        scalar_dtype(value, SHORT[like])


@pytest.mark.parametrize("value", ["1", None, [1], np.float32(1), np.int64(1)])
def test_what_is_no_python_scalar_is_refused(value: object) -> None:
    with pytest.raises(pb.DTypeError, match="is not a Python scalar"):
        scalar_dtype(value, pb.float32)


@pytest.mark.parametrize(("low", "high", "name"), [(-128, 127, "i1"), (0, 2**64 - 1, "u8")])
def test_the_ends_of_a_range_fit_and_their_neighbours_do_not(
    low: int, high: int, name: str
) -> None:
    check_fits(low, SHORT[name])
    check_fits(high, SHORT[name])
    for outside in (low - 1, high + 1):
        with pytest.raises(pb.DTypeError, match="does not fit"):
            check_fits(outside, SHORT[name])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_spelling_names_the_same_object(dtype: DType) -> None:
    for spec in (dtype, dtype.name, dtype.code, dtype.numpy, dtype.numpy.type):
        assert dtype_of(spec) is dtype
    assert dtype_of(dtype.numpy.newbyteorder(">")) is dtype  # converted on the way in
    assert getattr(pb, dtype.name) is dtype
    assert dtype.numpy.itemsize == dtype.itemsize
    assert repr(dtype) == f"polyback.{dtype}"


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_pickling_and_copying_give_the_one_object_of_the_type(dtype: DType) -> None:
    assert pickle.loads(pickle.dumps(dtype)) is dtype
    assert copy.deepcopy(dtype) is dtype
    assert len({dtype, dtype_of(dtype.name)}) == 1


def test_python_types_name_the_defaults() -> None:
    got = [dtype_of(t) for t in (bool, int, float, complex)]
    assert got == [pb.bool, pb.int64, pb.float32, pb.complex64]


@pytest.mark.parametrize(
    "spec", ["float31", "", None, type(None), np.dtype("U3"), "O", 17, object()]
)
def test_what_names_no_type_is_an_error_that_lists_the_types(spec: object) -> None:
    with pytest.raises(pb.DTypeError, match=r"\[dtype\].*want one of bool.*complex128"):
        dtype_of(spec)


def test_arithmetic_of_half_types_runs_in_float32() -> None:
    for dtype in DTYPES:
        half = dtype in (pb.float16, pb.bfloat16)
        assert dtype.compute is (pb.float32 if half else dtype)


def test_result_type_takes_tensors_types_and_numbers() -> None:
    x = pb.zeros(2, dtype=pb.int8)
    assert pb.result_type(x, 1) is pb.int8
    assert pb.result_type(x, np.float32(1)) is pb.float32
    assert pb.result_type(pb.int16, pb.uint16, 1.0) is pb.float32
    assert pb.result_type(1, 2.0) is pb.float32
    assert pb.result_type(True, 2) is pb.int64
    with pytest.raises(pb.DTypeError, match=r"\[result_type\] got nothing"):
        pb.result_type()
