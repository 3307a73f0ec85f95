"""Special cases of complex functions, as the array API standard 2025.12 lists them.

One line per case: real and imaginary part of the argument, then of the result. ``x`` stands for
some finite numbers above 0, ``n`` for NaN; ``?`` before a part leaves its sign open; ``cis`` is
infinity, or zero, in the direction of the argument's imaginary part.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

NUMBERS = {
    "0": 0.0, "-0": -0.0, "1": 1.0, "-1": -1.0, "inf": math.inf, "-inf": -math.inf, "n": math.nan,
    "pi": math.pi, "pi/2": math.pi / 2, "pi/4": math.pi / 4, "3pi/4": 3 * math.pi / 4,
}  # fmt: skip
FINITE = (0.5, 1.0, 40.0)

_INVERSE = "x inf: {0}; -inf x: {1}; inf x: {2}; -inf inf: {3}; inf inf: {4}"
TEXT = {
    "acos": "0 0: pi/2 -0; -0 0: pi/2 -0; 0 n: pi/2 n; -0 n: pi/2 n; x n: n n; inf n: n ?inf;"
    "-inf n: n ?inf; n x: n n; n 0: n n; n inf: n -inf; n n: n n;"
    + _INVERSE.format("pi/2 -inf", "pi -inf", "0 -inf", "3pi/4 -inf", "pi/4 -inf"),
    "acosh": "0 0: 0 pi/2; -0 0: 0 pi/2; 0 n: n ?pi/2; x n: n n; inf n: inf n; -inf n: inf n;"
    "n x: n n; n 0: n n; n inf: inf n; n n: n n;"
    + _INVERSE.format("inf pi/2", "inf pi", "inf 0", "inf 3pi/4", "inf pi/4"),
    "asinh": "0 0: 0 0; x inf: inf pi/2; x n: n n; 0 n: n n; inf x: inf 0; inf inf: inf pi/4;"
    "inf n: inf n; n 0: n 0; n x: n n; n inf: ?inf n; n n: n n",
    "atanh": "0 0: 0 0; 0 n: 0 n; 1 0: inf 0; x inf: 0 pi/2; x n: n n; inf x: 0 pi/2;"
    "inf inf: 0 pi/2; inf n: 0 n; n x: n n; n 0: n n; n inf: ?0 pi/2; n n: n n",
    "sinh": "0 0: 0 0; 0 inf: ?0 n; 0 n: ?0 n; x inf: n n; x n: n n; inf 0: inf 0; inf x: cis inf;"
    "inf inf: ?inf n; inf n: ?inf n; n 0: n 0; n x: n n; n n: n n",
    "cosh": "0 0: 1 0; 0 inf: n ?0; 0 n: n ?0; x inf: n n; x n: n n; inf 0: inf 0; inf x: cis inf;"
    "inf inf: ?inf n; inf n: inf n; n 0: n ?0; n -0: n ?0; n x: n n; n n: n n",
    "tanh": "0 0: 0 0; x inf: n n; 0 inf: 0 n; x n: n n; 0 n: 0 n; inf inf: 1 ?0; inf n: 1 ?0;"
    "n 0: n 0; n x: n n; n n: n n",
    "exp": "0 0: 1 0; -0 0: 1 0; x inf: n n; x n: n n; inf 0: inf 0; -inf x: cis 0; inf x: cis inf;"
    "-inf inf: ?0 ?0; inf inf: ?inf n; -inf n: ?0 ?0; inf n: ?inf n; n 0: n 0; n x: n n; n n: n n",
    "expm1": "0 0: 0 0; -0 0: ?0 0; x inf: n n; x n: n n; inf 0: inf 0; -inf x: -1 cis;"
    "inf x: cis inf; -inf inf: -1 ?0; inf inf: ?inf n; -inf n: -1 ?0; inf n: ?inf n; n 0: n 0;"
    "n x: n n; n n: n n",
    "log": "-0 0: -inf pi; 0 0: -inf 0; x n: n n; 0 n: n n; inf n: inf n; -inf n: inf n; n x: n n;"
    "n 0: n n; n inf: inf n; n n: n n;"
    + _INVERSE.format("inf pi/2", "inf pi", "inf 0", "inf 3pi/4", "inf pi/4"),
    "log1p": "-1 0: -inf 0; x n: n n; 0 n: n n; inf n: inf n; -inf n: inf n; n x: n n; n 0: n n;"
    "n inf: inf n; n n: n n;"
    + _INVERSE.format("inf pi/2", "inf pi", "inf 0", "inf 3pi/4", "inf pi/4"),
    "sqrt": "0 0: 0 0; -0 0: 0 0; x inf: inf inf; 0 inf: inf inf; n inf: inf inf; inf inf: inf inf;"
    "-inf inf: inf inf; x n: n n; 0 n: n n; -inf x: 0 inf; inf x: inf 0; -inf n: n ?inf;"
    "inf n: inf n; n x: n n; n 0: n n; n n: n n",
    "sign": "0 0: ?0 ?0; -0 0: ?0 ?0; 0 n: n n; n 0: n n; x n: n n; n x: n n; inf n: n n;"
    "n inf: n n; n n: n n",
    "abs": "inf x: inf; inf n: inf; n inf: inf; -inf n: inf; x inf: inf; n x: n; x n: n; n n: n;"
    "0 0: 0; -0 0: 0",
    "round": "inf n: inf n; 0 -inf: 0 -inf; -0 0: -0 0; n 1: n 1",
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """f(a + bi) = ``real`` + ``imag`` i."""

    a: float
    b: float
    real: str
    imag: str
    sign: float = 1.0  # of the argument's imaginary part, and the result's

    def mirrored(self) -> Case:
        """The same for the conjugate."""
        return replace(self, sign=-1.0)

    def fits(self, got: Any) -> bool:
        """Is ``got`` what the case says?"""
        real, imag = float(got.real), float(got.imag)
        if self.real == "cis":  # infinity or 0 in the direction of b
            size = NUMBERS[self.imag]
            return same(real, math.copysign(size, math.cos(self.b))) and same(
                imag, math.copysign(size, self.sign * math.sin(self.b))
            )
        if self.imag == "cis":
            return same(real, -1.0) and same(imag, math.copysign(0, self.sign * math.sin(self.b)))
        if not self.imag:  # abs
            return part_fits(real, self.real, 1.0)
        return part_fits(real, self.real, 1.0) and part_fits(imag, self.imag, self.sign)


def part_fits(got: float, want: str, sign: float) -> bool:
    value = NUMBERS[want.lstrip("?")]
    if want[0] == "?":
        got, value = abs(got), abs(value)
        sign = 1.0
    return same(got, sign * value)


def same(got: float, want: float) -> bool:
    if math.isnan(want) or math.isnan(got):
        return math.isnan(want) and math.isnan(got)
    if math.isinf(want) or want == 0:
        return got == want and math.copysign(1, got) == math.copysign(1, want)
    return abs(got - want) <= 1e-6


def cases(text: str) -> list[Case]:
    found = []
    for line in text.split(";"):
        given, _, result = line.partition(":")
        a, b = given.split()
        real, imag = (*result.split(), "")[:2]
        for left in FINITE if a == "x" else (NUMBERS[a],):
            for right in FINITE if b == "x" else (NUMBERS[b],):
                found.append(Case(left, right, real, imag))
    return found


SPECIAL = {name: cases(text) for name, text in TEXT.items()}
