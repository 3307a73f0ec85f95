"""The special cases of the array API standard, all of them, on every device.

``array_api/2025_12.json`` has them as ``condition -> result`` over the operands ``x``, ``x1``,
``x2``, or over the parts of complex ones: ``a + bj`` and ``c + dj``. Each is evaluated for all
combinations of the numbers below.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from against_numpy import stored

import polyback as pb
from polyback.dtype import DType

STANDARD = json.loads((Path(__file__).parent / "array_api/2025_12.json").read_text())
CASES = STANDARD["special_cases"]
NUMBERS = [
    np.nan,
    -np.nan,
    np.inf,
    -np.inf,
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -2.5,
    3.0,
    -4.0,
    1e30,
    -1e-30,
]
FEWER = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -2.5]  # for two complex operands
TERMS: dict[str, Any] = {  # what the expressions are made of
    "nan": np.nan, "inf": np.inf, "pi": np.pi, "abs": np.abs, "cos": np.cos, "sin": np.sin,
    "isfinite": np.isfinite, "negative": np.signbit,
    "anything": lambda v: np.full(v.shape, True),
    "nonzero": lambda v: np.isfinite(v) & (v != 0),
    "whole": lambda v: np.isfinite(v) & (v == np.floor(v)),
    "odd": lambda v: np.isfinite(v) & (np.fmod(v, 2) != 0) & (v == np.floor(v)),
    "halfway": lambda v: np.isfinite(v) & (np.fmod(v, 1) != 0) & (np.fmod(2 * v, 1) == 0),
    "even": lambda v: 2 * np.round(v / 2),
    "same": lambda v, w: (v == w) & (np.signbit(v) == np.signbit(w)) | np.isnan(v) & np.isnan(w),
}  # fmt: skip


def agrees(got: np.ndarray, want: str, terms: dict[str, Any]) -> np.ndarray:
    """Where real numbers are what an expression says."""
    if want in ("+nan", "-nan"):
        return np.isnan(got) & (np.signbit(got) == (want == "-nan"))
    if want in ("positive_sign", "negative_sign"):
        return np.isnan(got) | (np.signbit(got) == (want == "negative_sign"))
    free = want.startswith("+-")
    value = np.asarray(eval(want.removeprefix("+-"), {}, terms), got.dtype)
    near = np.where(np.isnan(value), np.isnan(got), np.abs(got) == np.abs(value))
    near |= np.isfinite(value) & np.isclose(np.abs(got), np.abs(value), rtol=1e-6, atol=0)
    return near & (free | np.isnan(value) | (np.signbit(got) == np.signbit(value)))


def check(name: str, cases: list[str], terms: dict[str, Any], got: list[np.ndarray]) -> None:
    """Raises AssertionError that shows operands for which a case does not hold."""
    settled = np.full(got[0].shape, False)  # "any value, including NaN" outranks what follows
    for case in cases:
        condition, _, result = case.partition(" -> ")
        fits = eval(condition, {}, terms)
        assert fits.any(), f"{name}: no number above fits {case}"
        holds = fits & ~settled
        for part, want in zip(got, result.split(", "), strict=True):
            bad = holds & ~agrees(part, want, terms)
            shown = {k: v[bad][:3] for k, v in terms.items() if isinstance(v, np.ndarray)}
            assert not bad.any(), f"{name}: {case}: {part[bad][:3]} for {shown}"
        if "anything" in condition:
            settled |= fits
            if "b" in terms:  # f(conj z) = conj f(z)
                settled |= eval(condition, {}, {**terms, "b": -terms["b"]})


def applied(name: str, device: str, *operands: np.ndarray) -> np.ndarray:
    """The function of the package on ``device``."""
    return getattr(pb, name)(*(pb.asarray(x, device=device) for x in operands)).numpy()


def grid(numbers: list[float], count: int, dtype: DType) -> list[np.ndarray]:
    """All combinations of ``count`` numbers, one array for each place."""
    table = np.array(list(product(numbers, repeat=count)), dtype.numpy)
    return [np.ascontiguousarray(column) for column in table.T]


def arity(name: str) -> int:
    return STANDARD["elementwise_functions"][name].partition(", /")[0].count(",") + 1


@pytest.mark.parametrize("dtype", [pb.float32, pb.float64], ids=str)
@pytest.mark.parametrize("name", [n for n in CASES if "real" in CASES[n]])
def test_real(device: str, name: str, dtype: DType) -> None:
    names = ("x", "min", "max") if name == "clip" else ("x",) if arity(name) == 1 else ("x1", "x2")
    columns = grid(NUMBERS, len(names), stored(device, dtype))
    got = applied(name, device, *columns)
    with np.errstate(all="ignore"):
        check(name, CASES[name]["real"], {**TERMS, **dict(zip(names, columns))}, [got])


# f(conj(x)) must equal conj(f(x)).
SYMMETRIC = (
    "acos", "acosh", "asin", "asinh", "atan", "atanh", "cosh", "exp", "expm1", "log", "log1p",
    "log2", "log10", "sinh", "sqrt", "tanh",
)  # fmt: skip


@pytest.mark.parametrize("dtype", [pb.complex64, pb.complex128], ids=str)
@pytest.mark.parametrize("name", SYMMETRIC)
def test_conjugates(device: str, name: str, dtype: DType) -> None:
    stored(device, dtype)
    a, b = grid(NUMBERS, 2, pb.finfo(dtype).dtype)
    above, below = applied(name, device, joined(a, b)), applied(name, device, joined(a, -b))
    known = ~np.isnan(above) & ~np.isnan(b)  # the sign beside a NaN is open
    np.testing.assert_allclose(above, below.conj(), rtol=1e-6)
    for x, y in zip(parts(above[known]), parts(below[known].conj())):
        np.testing.assert_array_equal(np.signbit(x), np.signbit(y))


def parts(z: np.ndarray) -> list[np.ndarray]:
    return [z.real, z.imag] if z.dtype.kind == "c" else [z]


def joined(re: np.ndarray, im: np.ndarray) -> np.ndarray:
    z = np.empty(re.shape, np.result_type(re, np.complex64))
    z.real, z.imag = re, im
    return z


@pytest.mark.parametrize("dtype", [pb.complex64, pb.complex128], ids=str)
@pytest.mark.parametrize("name", [n for n in CASES if "complex" in CASES[n]])
def test_complex(device: str, name: str, dtype: DType) -> None:
    stored(device, dtype)
    places = "ab" if arity(name) == 1 else "abcd"
    kind = pb.finfo(dtype).dtype
    columns = grid(NUMBERS if len(places) == 2 else FEWER, len(places), kind)
    pairs = zip(columns[::2], columns[1::2])
    got = applied(name, device, *(joined(*pair) for pair in pairs))
    with np.errstate(all="ignore"):
        check(name, CASES[name]["complex"], {**TERMS, **dict(zip(places, columns))}, parts(got))


# The rest of the complex functions: the standard says of which other function each is a rotation.
ROTATED = {"asin": "asinh", "atan": "atanh", "sin": "sinh", "tan": "tanh"}


@pytest.mark.parametrize("dtype", [pb.complex64, pb.complex128], ids=str)
@pytest.mark.parametrize("name", [*ROTATED, "cos", "log2", "log10", "square", "reciprocal"])
def test_complex_functions_given_by_another(device: str, name: str, dtype: DType) -> None:
    stored(device, dtype)
    a, b = grid(NUMBERS, 2, pb.finfo(dtype).dtype)
    got = applied(name, device, joined(a, b))
    with np.errstate(all="ignore"):
        if name in ROTATED:  # -1j * f(1j * z)
            other = applied(ROTATED[name], device, joined(-b, a))
            want = joined(other.imag, -other.real)
        elif name == "cos":
            want = applied("cosh", device, joined(-b, a))
        elif name in ("log2", "log10"):
            other, unit = (
                applied("log", device, joined(a, b)),
                np.log({"log2": 2, "log10": 10}[name]),
            )
            want = joined(other.real / unit, other.imag / unit)
        else:
            one = np.ones(a.shape, got.dtype)
            z = joined(a, b)
            want = (
                applied("multiply", device, z, z)
                if name == "square"
                else applied("divide", device, one, z)
            )
    unknown = np.isnan(want)  # then the sign of the other part is open
    for have, wanted in zip(parts(got), parts(want)):
        wrong = ~np.where(
            unknown,
            agrees(have, "+-want", {"want": wanted}),
            agrees(have, "want", {"want": wanted}),
        )
        assert not wrong.any(), (joined(a, b)[wrong][:3], got[wrong][:3], want[wrong][:3])
