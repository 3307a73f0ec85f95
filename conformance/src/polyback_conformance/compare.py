"""The number rules. Nothing here is a plain "all close".

exact  bit for bit, except that every NaN equals every NaN; +0 and -0 differ.
ulp    |got - reference| in units in the last place of the reference, which is computed in a wider
       type (float64 for float32, long double for float64). NaN, infinities and the sign of zero
       are exact. Complex results: in units in the last place of the modulus.
sums   |got - reference| <= K(n) u sum|terms|, K(n) = min(n + 2, 8 + 2 sqrt n), u half an ULP of 1.

Every comparison is written ``not (error <= limit)``, so that a NaN error fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from polyback.dtype import DType

Array = np.ndarray[Any, np.dtype[Any]]


class Mismatch(AssertionError):
    """A result that breaks a rule; the message is a report to paste."""


@dataclass(frozen=True)
class Format:
    """A binary floating-point format."""

    digits: int  # of the significand, the hidden one included
    lowest: int  # exponent of the smallest normal number
    highest: int  # exponent of the largest number

    @property
    def u(self) -> float:
        """The unit roundoff: half the distance from 1 to the next number."""
        return 2.0**-self.digits


FORMATS: Final = {
    "float16": Format(11, -14, 15),
    "bfloat16": Format(8, -126, 127),
    "float32": Format(24, -126, 127),
    "float64": Format(53, -1022, 1023),
}
FORMATS["complex64"], FORMATS["complex128"] = FORMATS["float32"], FORMATS["float64"]
_WIDE: Final = {
    "float16": np.float64, "bfloat16": np.float64, "float32": np.float64,
    "float64": np.longdouble, "complex64": np.complex128, "complex128": np.clongdouble,
}  # fmt: skip


def widen(values: Any, dtype: DType) -> Array:
    """``values`` in the type that references are computed in; integers and bool unchanged."""
    wide = _WIDE.get(dtype.name)
    return np.asarray(values) if wide is None else np.asarray(values).astype(wide)


def k_limit(n: Any) -> Any:
    """K(n) of the bound on sums of ``n`` terms; ``n`` may be an array."""
    return np.minimum(n + 2, 8 + 2 * np.sqrt(n))


def flush(values: Array) -> Array:
    """Subnormal numbers replaced by zero of the same sign."""
    if values.dtype.kind not in "fV":
        return values
    tiny = np.abs(values) < np.finfo(values.dtype).tiny
    return np.where(tiny, np.copysign(np.zeros_like(values), values), values)


def same(got: Array, want: Array) -> Array:
    """Where ``got`` is exactly ``want``; both of one type."""
    kind = want.dtype.kind
    if kind == "c":
        return same(got.real, want.real) & same(got.imag, want.imag)
    if kind in "biu":
        return np.asarray(got == want)
    with np.errstate(all="ignore"):  # signalling NaN: some types warn about them
        nans = np.isnan(got) & np.isnan(want)
        return np.asarray(nans | ((got == want) & (np.signbit(got) == np.signbit(want))))


def check_exact(
    got: Array, want: Array, operands: Sequence[Any] = (), *, alternatives: Sequence[Array] = (),
    note: str = "",
) -> None:  # fmt: skip
    """Raises Mismatch unless ``got`` equals ``want`` (or, where allowed, an alternative)."""
    if got.dtype.kind == "b":
        raw = np.ascontiguousarray(got).view(np.uint8)
        if not bool(np.all(raw <= 1)):
            raise Mismatch(f"a bool is stored as {raw.max():#04x}, not as 0 or 1\n{note}")
    good = same(got, want)
    for other in alternatives:
        good = good | same(got, other)
    if not bool(np.all(good)):
        raise Mismatch(_report(~good, got, want, operands, None, note))


def ulp_error(got: Array, reference: Array, dtype: DType, scale: Array | None = None) -> Array:
    """The error in ULP; infinite where NaN, an infinity or the sign of a zero is wrong."""
    form = FORMATS[dtype.name]
    wide = widen(got, dtype)
    with np.errstate(all="ignore"):
        if dtype.kind == "complex":
            error = np.abs(wide - reference) / _spacing(np.abs(reference), form)
            equal = (wide == reference) | (np.isnan(wide) & np.isnan(reference))
            return np.where(equal, 0.0, error)  # the difference of equal infinities is NaN
        top = np.asarray(np.ldexp(np.ones((), reference.dtype), form.highest + 1))
        clipped = np.clip(reference, -top, top)
        close = np.where(np.isinf(wide), np.copysign(top, wide), wide)
        measure = clipped if scale is None else np.maximum(np.abs(clipped), np.abs(scale))
        error = np.abs(close - clipped) / _spacing(measure, form)
        # Exact classes: a true infinity, NaN, and the sign of a result of zero.
        wrong = np.isinf(reference) & (wide != reference)
        wrong |= (wide == 0) & (np.signbit(wide) != np.signbit(reference)) & (scale is None)
        wrong |= (reference == 0) & (wide != 0) & (scale is None)
        error = np.where(wrong, np.inf, error)
        error = np.where(np.isinf(reference) & (wide == reference), 0.0, error)
        nans = np.isnan(wide), np.isnan(reference)
        return np.where(nans[0] & nans[1], 0.0, np.where(nans[0] | nans[1], np.inf, error))


def _spacing(magnitude: Array, form: Format) -> Array:
    """One unit in the last place of each ``magnitude``."""
    _, exponent = np.frexp(magnitude)  # magnitude = f * 2**exponent, f in [0.5, 1)
    exponent = np.where(magnitude == 0, form.lowest, np.maximum(exponent - 1, form.lowest))
    exponent = np.minimum(exponent, form.highest)
    return np.asarray(np.ldexp(np.ones((), magnitude.dtype), exponent - form.digits + 1))


def check_ulp(
    got: Array, reference: Array, dtype: DType, limit: Any, operands: Sequence[Any] = (), *,
    scale: Array | None = None, alternatives: Sequence[Array] = (), note: str = "",
) -> float:  # fmt: skip
    """The largest error in ULP. Raises Mismatch where it exceeds ``limit``, which may differ from
    element to element."""
    error = ulp_error(got, reference, dtype, scale)
    for other in alternatives:
        error = np.minimum(error, ulp_error(got, other, dtype, scale))
    bad = ~(error <= limit)
    if bool(np.any(bad)):
        exact = "; NaN, infinities and the sign of a zero are exact" if scale is None else ""
        note = f"limit {np.max(limit)} ULP{exact}\n{note}"
        raise Mismatch(_report(bad, got, reference, operands, error, note))
    return float(error.max(initial=0.0))


def check_sum(
    got: Array, reference: Array, magnitude: Array, n: Any, dtype: DType, note: str = "",
    *, relaxed: float = 1.0,
) -> float:  # fmt: skip
    """The largest K seen: ``|got - reference| / (u sum|terms|)``. ``magnitude`` is sum|terms|; the
    number ``n`` of terms may differ from element to element.

    Raises Mismatch above K(n), or where NaN and infinities differ. Zeros of either sign are equal.
    """
    limit = np.broadcast_to(relaxed * k_limit(n), got.shape)
    text = f"K = |got - want| / (u sum|terms|); limit {limit.max(initial=0):.1f} at most\n{note}"
    return check_units(got, reference, magnitude, limit, dtype, text)


def check_rounded(
    got: Array, reference: Array, magnitude: Array, n: int, dtype: DType, note: str = ""
) -> float:
    """Sums in float32, within ``2 n u sum|terms|`` by its u, rounded once to the half type."""
    slack = 2 * n * FORMATS["float32"].u * magnitude
    scale = np.abs(reference) + slack * (1 + 1 / FORMATS[dtype.name].u)
    text = f"|got - want| / (u |want| + 2 n u32 sum|terms|); limit 1\n{note}"
    return check_units(got, reference, scale, 1.0, dtype, text)


def check_units(
    got: Array, reference: Array, scale: Any, limit: Any, dtype: DType, note: str = "",
    *, floor: float = 0.0,
) -> float:  # fmt: skip
    """The largest ``|got - reference| / (u scale)``, which ``limit`` bounds.

    An error of one subnormal step, or of ``floor``, is always allowed, because of underflow. Raises
    Mismatch above the limit, or where NaN and infinities differ. Zeros of either sign are equal.
    """
    form, wide = FORMATS[dtype.name], widen(got, dtype)
    with np.errstate(all="ignore"):
        unit = np.asarray(form.u * scale)
        error = np.abs(wide - reference)
        least = max(floor, 2.0 ** (form.lowest - form.digits + 1))
        ratio = np.where(error <= least, 0.0, error / unit)
    finite = np.isfinite(reference)
    exact = np.isnan(reference) & np.isnan(wide) | (reference == wide)
    ratio = np.where(finite, ratio, np.where(exact, 0.0, np.inf))
    bad = ~(ratio <= limit)
    if bool(np.any(bad)):
        raise Mismatch(_report(bad, got, reference, (), ratio, note))
    return float(ratio.max(initial=0.0))


def _report(
    bad: Array, got: Array, want: Array, operands: Sequence[Any], error: Array | None, note: str
) -> str:
    index = tuple(int(i) for i in np.argwhere(bad)[0]) if bad.ndim else ()
    if error is not None:  # show the worst, not the first
        worst = np.where(np.isnan(error), np.inf, error)
        index = tuple(int(i) for i in np.unravel_index(int(np.argmax(worst)), error.shape))
    lines = [
        f"{int(np.count_nonzero(bad))} of {bad.size} elements differ; at index {index}:",
        f"got  {show(got[index])}",
        f"want {show(want[index])}",
    ]
    if error is not None:
        lines.append(f"error {float(error[index]):.4g}")
    for k, value in enumerate(operands):
        here = value[index] if isinstance(value, np.ndarray) and value.shape == bad.shape else value
        lines.append(f"operand {k} = {show(here)}")
    return "\n  ".join([*lines, *note.strip().splitlines()])


def show(value: Any) -> str:
    """A number with its bits."""
    array = np.asarray(value)
    if array.ndim:
        return f"array of shape {array.shape}"
    if array.dtype.kind in "fV" and array.dtype.itemsize <= 8:
        bits = array.view(f"u{array.dtype.itemsize}").item()
        return f"{float(array)!r} ({array.dtype} bits {bits:#0{2 + 2 * array.dtype.itemsize}x})"
    return f"{array[()]!s} ({array.dtype})"
