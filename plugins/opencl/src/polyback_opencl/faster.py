"""float32 functions that take PoCL's built-ins several times as long.

One text serves numbers and vectors: the first word of a hole is its type for numbers, the same with
16 behind it that for vectors. Products and sums are contracted, which no step relies on. The
polynomials are minimax fits; the bounds are those of the whole function, before its rounding.
"""

from __future__ import annotations

from string import Template
from typing import Final

_HEAD: Final = """\
${function}${T} ${name}(${T} x)
{
    #pragma OPENCL FP_CONTRACT ON
"""

# x / pi = n + f with f in [-1/2, 1/2], in double; 29 bits of 1 / pi times a float are exact, and
# the others add up to 1/8 below 2^24. sin x = (-1)^n sin(pi f): 2^-35.3. cos x = sin(x + pi / 2).
_HALF_TURNS: Final = """\
    $double u = $widen, k = ($nearest) + 0x1.8p52, n = $whole;
    $double f = (u * 0x1.45f306dp-2 - n) + u * 0x1.9391054a7f09dp-31, z = f * f;
    $double s = z * -0x1.cbcaff8ea21e5p-8 + 0x1.500c234788aa4p-4;
    s = s * z - 0x1.32d0f934a0d3bp-1;
    s = s * z + 0x1.466bbf402bda9p+1;
    s = s * z - 0x1.4abbce4d3fd93p+2;
    s = (s * z + 0x1.921fb54419ff9p+1) * f;
    s = as_$double(as_$ulong(s) ^ as_$ulong(k) << 63);
    ${T} r = $narrow;
    $int small = fabs(x) < 0x1p24f;
    if ($some_large) r = small ? r : $built_in(small ? (${T})(1e6f) : x);
    return r;
}
"""

# Below 0.625 x + x^3 P(x^2): 2^-32.6. Else 1 - 2 / (e^(2 |x|) + 1), where the power may be coarse:
# an error of d in it takes the result off by 2 d e^(-2 |x|) at most.
_TANH: Final = """\
    $uint sign = as_$uint(x) & 0x80000000u;
    ${T} a = as_${T}(as_$uint(x) & 0x7fffffffu), z = x * x;
    ${T} p = z * 0x1.197b76p-9f - 0x1.0c2144p-7f;
    p = p * z + 0x1.6394d8p-6f;
    p = p * z - 0x1.b9ef7cp-5f;
    p = p * z + 0x1.11106cp-3f;
    p = p * z - 0x1.555554p-2f;
    ${T} near = (a * z) * p + a;
    ${T} c = a > 10.0f ? (${T})(20.0f) : a + a;
    ${T} k = c * 0x1.715476p+0f + 0x1.8p23f;
    ${T} r = (k - 0x1.8p23f) * -0x1.62e43p-1f + c;
    ${T} q = r * 0x1.6a2040p-10f + 0x1.123c44p-7f;
    q = q * r + 0x1.555900p-5f;
    q = q * r + 0x1.55548ep-3f;
    q = q * r + 0x1.fffffcp-2f;
    ${T} s = as_${T}((as_$uint(k) << 23) + 0x3f800000u);
    ${T} e = s * ((r * r) * q + r) + s;
    ${T} y = a < 0.625f ? near : 1.0f - 2.0f / (e + 1.0f);
    return as_${T}(as_$uint(y) | sign);
}
"""
_NEAREST: Final = {
    "sin": {"nearest": "u * 0x1.45f306dp-2", "whole": "k - 0x1.8p52"},
    "cos": {"nearest": "u * 0x1.45f306dp-2 + 0.5", "whole": "(k - 0x1.8p52) - 0.5"},
}


def faster(lanes: int, *, double: bool) -> dict[tuple[str, str], str]:
    """The texts for numbers (1) or vectors (16), by function and dtype code."""
    after = str(lanes) if lanes > 1 else ""
    words = {kind: kind + after for kind in ("double", "ulong", "uint", "int")}
    if lanes > 1:
        words |= {"widen": f"__builtin_convertvector(x, double{lanes})"}
        words |= {"narrow": f"__builtin_convertvector(s, float{lanes})"}
        words |= {"some_large": "any(!small)"}
    else:
        words |= {"widen": "x", "some_large": "!small", "narrow": "(float)s"}
    texts = {"tanh": _TANH}
    if double:
        texts |= dict.fromkeys(_NEAREST, _HALF_TURNS)
    return {
        (name, "f32"): _HEAD
        + Template(text).safe_substitute(words | _NEAREST.get(name, {}), built_in=name)
        for name, text in texts.items()
    }
