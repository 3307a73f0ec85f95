"""Values of the elementwise functions: against mpmath, on both sides of every branch cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
from against_numpy import stored
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import polyback as pb

BESIDE = mpmath.mpf("1e-80")  # what stands for a zero, so that mpmath sees on which side it is
EXACT: dict[str, Callable[[Any], Any]] = {
    "abs": abs, "exp": mpmath.exp, "expm1": mpmath.expm1, "log": mpmath.log,
    "log1p": lambda z: mpmath.log(1 + z), "log2": lambda z: mpmath.log(z) / mpmath.log(2),
    "log10": lambda z: mpmath.log(z) / mpmath.log(10), "sqrt": mpmath.sqrt,
    "square": lambda z: z * z, "reciprocal": lambda z: 1 / z, "sign": lambda z: z / abs(z),
    "sin": mpmath.sin, "cos": mpmath.cos, "tan": mpmath.tan, "asin": mpmath.asin,
    "acos": mpmath.acos, "atan": mpmath.atan, "sinh": mpmath.sinh, "cosh": mpmath.cosh,
    "tanh": mpmath.tanh, "asinh": mpmath.asinh, "acosh": mpmath.acosh, "atanh": mpmath.atanh,
}  # fmt: skip
LEAN = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
PARTS = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0, -2.0]),
    st.floats(-8, 8, width=32, allow_subnormal=False),
    st.floats(-(2.0**-10), 2.0**-10, width=32, allow_subnormal=False),
)
CUTS = [complex(a, b) for a in (-2.0, -0.5, 0.5, 2.0) for b in (0.0, -0.0)]
CUTS += [complex(a, b) for b in (-2.0, -0.5, 0.5, 2.0) for a in (0.0, -0.0)]
SMALL = [complex(1e-9, 3e-10), complex(-1e-7, 1e-12), complex(-2e-6, 2e-3), complex(0.6, 0.8)]


def beside(part: float) -> Any:
    return mpmath.mpf(part) if part else mpmath.mpf(np.copysign(1.0, part)) * BESIDE


@pytest.mark.parametrize("name", EXACT)
@LEAN
@example(points=CUTS)
@example(points=SMALL)
@given(points=st.lists(st.builds(complex, PARTS, PARTS), min_size=1, max_size=6))
def test_complex(device: str, name: str, points: list[complex]) -> None:
    for dtype in (pb.complex64, pb.complex128):
        z = np.array(points).astype(stored(device, dtype).numpy)
        z = z[(z != 0) & (z * z != 1) & (z * z != -1) & (1 + z != 0)]  # no poles
        got = getattr(pb, name)(pb.asarray(z, device=device)).numpy().astype(np.complex128)
        unit = np.finfo(z.dtype).eps
        with mpmath.workdps(200):
            for one, have in zip(z, got):
                want = EXACT[name](mpmath.mpc(beside(float(one.real)), beside(float(one.imag))))
                error = abs(mpmath.mpc(have.real, have.imag) - want)
                allowed = 16 * unit * max(abs(want), float(np.finfo(z.dtype).tiny))
                assert error <= allowed, (one, have, complex(want), float(error / unit))


@pytest.mark.parametrize("name", EXACT)
@LEAN
@example(points=[0.5, -0.5, 1e-4, -2e-4, 1.0001, 7.0])
@given(points=st.lists(st.floats(-8, 8, width=32, allow_subnormal=False), min_size=1, max_size=6))
def test_real(device: str, name: str, points: list[float]) -> None:
    for dtype in (pb.float32, pb.float64):
        x = np.array(points, stored(device, dtype).numpy)
        got = getattr(pb, name)(pb.asarray(x, device=device)).numpy()
        unit = np.finfo(x.dtype).eps
        with mpmath.workdps(200):
            for one, have in zip(x, got):
                if not np.isfinite(have) or one == 0:
                    continue  # poles, and what lies outside: the special cases
                want = mpmath.re(EXACT[name](mpmath.mpf(float(one))))
                error = abs(mpmath.mpf(float(have)) - want)
                assert error <= 16 * unit * max(abs(want), float(np.finfo(x.dtype).tiny)), (
                    one,
                    have,
                )
