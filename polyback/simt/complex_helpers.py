"""The texts of ``complex_basic`` and ``complex_math``, spelled for one language and one type."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from string import Template
from typing import Final

import numpy as np

from polyback.dtype import DType
from polyback.simt.complex_basic import BASIC
from polyback.simt.complex_math import MATH
from polyback.simt.dialect import UNSIGNED, Dialect, part

TEXTS: Final = BASIC | MATH
_CALL: Final = re.compile(r"([$@])(\w+)\(")
_NUMBER: Final = re.compile(r"(?<![\w.])\d+\.\d+(?![\w.])")
_TWO_WORDS: Final = {  # of float64: the nearest number, and what it leaves
    "ln2": (0.6931471805599453, 2.3190468138462996e-17),
    "pi": (3.141592653589793, 1.2246467991473532e-16),
    "pi_2": (1.5707963267948966, 6.123233995736766e-17),
    "pi_4": (0.7853981633974483, 3.061616997868383e-17),
    "atan_1_4": (0.24497866312686414, 1.0698755618734451e-17),
    "atan_1_2": (0.4636476090008061, 2.2698777452961687e-17),
    "atan_3_4": (0.6435011087932844, 1.5834785051444286e-17),
}


def complex_helper(
    name: str, dtype: DType, dialect: Dialect, spell: Callable[[str, DType], str]
) -> str:
    """The text of ``name`` on ``dtype``. ``spell(name, dtype)`` names a function that it calls,
    and sees to it that it comes first."""
    real = part(dtype)

    def call(found: re.Match[str]) -> str:
        return spell(found[2], real if found[1] == "$" else dtype) + "("

    text = _CALL.sub(call, TEXTS[name])
    suffix = dialect.suffixes.get(real.code, "")
    text = _NUMBER.sub(lambda found: found[0] + suffix, text)
    image = UNSIGNED[real.itemsize]
    words = {key: f"{value!r}{suffix}" for key, value in _constants(real).items()}
    words |= {
        "name": spelled(name, dtype), "function": dialect.function, "outlined": dialect.outlined,
        "T": dialect.types[dtype.code], "R": dialect.types[real.code], "U": dialect.types[image],
        "as_R": dialect.reinterpret[real.code], "as_U": dialect.reinterpret[image],
        "fraction": "23" if real.itemsize == 4 else "52",
        "bias": "127" if real.itemsize == 4 else "1023",
        "terms": "13" if real.itemsize == 4 else "25",
    }  # fmt: skip
    return Template(text).substitute(words)


def spelled(name: str, dtype: DType) -> str:
    """What the helper is called."""
    return f"pb_{name}_{dtype.code}"


@cache
def _constants(real: DType) -> dict[str, float]:
    """``large`` and ``small``: beyond them squares may overflow or lose digits; 2^``scale``, 2^-.
    ``grow`` and ``shrink`` bring what is beyond them to where squares do neither. ``far``: e^x
    overflows soon. ``huge`` and ``tiny``: 1 is lost in z^2, or z^2 in 1. ``flat``: tanh x is 1."""
    single = real.itemsize == 4
    scale, half = (60, 13) if single else (500, 28)
    known = {
        "scale": float(scale), "large": 2.0**scale, "small": 2.0**-scale,
        "grow": 2.0**90 if single else 2.0**600, "shrink": 2.0**-90 if single else 2.0**-600,
        "root_large": 2.0 ** (scale // 2), "root_small": 2.0 ** -(scale // 2),
        "far": 80.0 if single else 700.0, "flat": 12.0 if single else 22.0,
        "huge": 2.0**half, "tiny": 2.0**-half,
    }  # fmt: skip
    for name, (high, low) in _TWO_WORDS.items():
        first = float(np.float32(high)) if single else high
        rest = float(np.float32(high - first + low)) if single else low
        known |= {name: first, f"{name}_low": rest}
    return known
