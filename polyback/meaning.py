"""What rows of the scalar table mean, where NumPy lacks a function or deviates from the standard.

Each takes arrays of one type and gives that type; the reference backend runs them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def erf(x: Any) -> Any:
    """NumPy has none."""
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(x)).astype(x.dtype)


def sigmoid(x: Any) -> Any:
    """NumPy has none."""
    decay = np.exp(-np.abs(x))  # never overflows; both branches keep full relative accuracy
    return np.where(x >= 0, 1 / (1 + decay), decay / (1 + decay)).astype(x.dtype)


def multiply_high(a: Any, b: Any) -> Any:
    """NumPy has none."""
    return ((a.astype(np.uint64) * b.astype(np.uint64)) >> np.uint64(32)).astype(np.uint32)


def pow(a: Any, b: Any) -> Any:
    """NumPy raises for negative exponents of integers; the standard leaves them open."""
    if a.dtype.kind == "i":
        unit = np.where(a == 1, 1, np.where(a == -1, 1 - 2 * (b & 1), 0)).astype(a.dtype)
        return np.where(b < 0, unit, np.power(a, np.where(b < 0, 0, b)))
    return np.power(a, b)


def floor_divide(a: Any, b: Any) -> Any:
    """With an infinity the standard prefers floor(a / b) to Python's NaN and -1."""
    result = np.floor_divide(a, b)
    return np.where(np.isinf(a) | np.isinf(b), a / b, result) if a.dtype.kind == "f" else result


def maximum(a: Any, b: Any) -> Any:
    """-0 < +0, which NumPy leaves to operand order."""
    return _ordered_zeros(np.maximum(a, b), a, b, np.logical_and)


def minimum(a: Any, b: Any) -> Any:
    """-0 < +0, which NumPy leaves to operand order."""
    return _ordered_zeros(np.minimum(a, b), a, b, np.logical_or)


def _ordered_zeros(result: Any, a: Any, b: Any, sign: Any) -> Any:
    if a.dtype.kind != "f":
        return result
    zeros = np.where(sign(np.signbit(a), np.signbit(b)), -0.0, 0.0).astype(result.dtype)
    return np.where((a == 0) & (b == 0), zeros, result)


def sign(x: Any) -> Any:
    """A complex NaN beside an infinity is a direction for NumPy, and NaN for the standard."""
    return np.sign(x) if x.dtype.kind != "c" else np.where(np.isnan(x), x * np.nan, np.sign(x))


def expm1(x: Any) -> Any:
    """NumPy makes NaN of infinity * 0 and keeps the -0 of -0 + 0j."""
    if x.dtype.kind != "c":
        return np.expm1(x)
    result = np.where(np.isfinite(x), np.expm1(x), np.exp(x) - 1)
    result.real += 0
    return result


def log1p(x: Any) -> Any:
    """NumPy loses small complex numbers: log u for u = 1 + x rounded, plus c / u for what rounding
    took from it, c."""
    if x.dtype.kind != "c":
        return np.log1p(x)
    wide = x.astype(np.complex128)
    u = 1.0 + wide.real
    lost, size = wide.real - (u - 1.0), u * u + wide.imag * wide.imag
    result = np.log(_complex(u, wide.imag))
    near = (size > 0) & (size < 2.0**200)
    real = np.where(near, result.real + lost * u / size, result.real)
    turned = near & (wide.imag != 0)  # a zero keeps its sign
    imaginary = np.where(turned, result.imag - lost * wide.imag / size, result.imag)
    return _complex(real, imaginary).astype(x.dtype)


def _complex(real: Any, imaginary: Any) -> Any:
    result = np.empty(np.shape(real), np.complex128)
    result.real, result.imag = real, imaginary
    return result


def tanh(x: Any) -> Any:
    """At a real part of infinity the imaginary part is 0 with its sign, by the standard; with that
    of sin 2b in C."""
    if x.dtype.kind != "c":
        return np.tanh(x)
    result = np.asarray(np.tanh(x))
    result.imag = np.where(np.isinf(x.real), np.copysign(0, x.imag), result.imag)
    return result


def tan(x: Any) -> Any:
    """-j tanh(jx), also where that deviates from C."""
    if x.dtype.kind != "c":
        return np.tan(x)
    result = np.asarray(np.tan(x))
    result.real = np.where(np.isinf(x.imag), np.copysign(0, x.real), result.real)
    return result
