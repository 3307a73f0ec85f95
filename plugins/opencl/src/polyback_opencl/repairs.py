"""Built-ins of PoCL 3.0 (SLEEF 3.5) that miss the limits of the scalar table, and what to call
instead.

Found by the conformance suite. The texts are those of ``polyback.simt.functions``; they cost a
comparison, so they are used on PoCL only.
"""

from __future__ import annotations

from typing import Final

_POW: Final = """\
// A subnormal base is taken for a number near 2^-959. Scale it up by 2^54 and the result down by
// 2^(54 y), the exponent in two parts because 54 y rounds.
${function}${T} ${name}(${T} x, ${T} y)
{
    if (x == 0 || !(fabs(x) < 2.2250738585072014e-308) || !(fabs(y) < 1000)) return pow(x, y);
    ${T} whole = -54 * y, rest = fma(-54.0, y, -whole);
    return pow(x * 18014398509481984.0, y) * (exp2(whole) * (1 + rest * 0.6931471805599453));
}
"""
_LOG1P: Final = """\
// The smallest subnormals give zero; log1p(x) is x to the last bit long before.
${function}${T} ${name}(${T} x)
{
    return fabs(x) < (${T})(SMALL) ? x : log1p(x);
}
"""
_TRIGONOMETRY: Final = """\
// One large, infinite or NaN lane sends all lanes through the reduction for large arguments, which
// is wrong for small ones: they go separately.
${function}${T} ${name}(${T} x)
{
    ${U} small = fabs(x) < (${T})(30000.0f) ? (${U})(-1) : (${U})(0);
    ${T} r = FUNCTION(small ? x : (${T})(0.0f));
    if (any(!small)) r = small ? r : FUNCTION(small ? (${T})(1e6f) : x);
    return r;
}
"""
_LOGS: Final = {
    ("log1p", "f32"): _LOG1P.replace("SMALL", "1e-9f"),
    ("log1p", "f64"): _LOG1P.replace("SMALL", "1e-18"),
}

SCALAR: Final = {("pow", "f64"): _POW, **_LOGS}
VECTOR: Final = _LOGS | {
    (name, "f32"): _TRIGONOMETRY.replace("FUNCTION", name).replace("${U}", "int16")
    for name in ("sin", "cos", "tan")
}
