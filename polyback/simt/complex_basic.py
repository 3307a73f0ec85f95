"""Complex numbers from real operations: arithmetic, tests, conversions, sums in two words.

A complex value is the language's two-component vector, ``z.x + i z.y``. The texts here and in
``complex_math`` are in the C that all dialects share: ``$name(`` is a real function of the parts,
``@name(`` another text of these tables, ``${T}`` the complex type and ``${R}`` that of its parts;
numbers with a point are of type ``${R}``. Units of scale are powers of two: multiplying by them
rounds nothing.

What the array API leaves open is as NumPy has it: products and quotients part by part, without the
repairs of C's annex G.

*Two words* are an unevaluated sum, the large part in ``x``, what rounding took from it in ``y``
(Dekker, Numerische Mathematik 18, 1971; Knuth, TAOCP 2, 4.2.2).
"""

from __future__ import annotations

from typing import Final

BASIC: Final = {
    "join": """\
${function}${T} ${name}(${R} x, ${R} y)
{
    ${T} z;
    z.x = x;
    z.y = y;
    return z;
}
""",
    "real": "${function}${R} ${name}(${T} z) { return z.x; }\n",
    "imag": "${function}${R} ${name}(${T} z) { return z.y; }\n",
    "conj": "${function}${T} ${name}(${T} z) { return @join(z.x, -z.y); }\n",
    "negative": "${function}${T} ${name}(${T} z) { return @join(-z.x, -z.y); }\n",
    "add": """\
${function}${T} ${name}(${T} a, ${T} b) { return @join(a.x + b.x, a.y + b.y); }
""",
    "subtract": """\
${function}${T} ${name}(${T} a, ${T} b) { return @join(a.x - b.x, a.y - b.y); }
""",
    "multiply": """\
${function}${T} ${name}(${T} a, ${T} b)
{
    return @join(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}
""",
    "multiply_add": """\
// One rounding per step: for matrix products only.
${function}${T} ${name}(${T} a, ${T} b, ${T} c)
{
    return @join($fma(-a.y, b.y, $fma(a.x, b.x, c.x)), $fma(a.y, b.x, $fma(a.x, b.y, c.y)));
}
""",
    "square": "${function}${T} ${name}(${T} z) { return @multiply(z, z); }\n",
    "divide": """\
// Smith's method (Communications of the ACM 5, 1962): the larger part of b divides first, so that
// no square overflows. Very large and small operands are scaled by powers of two, so that nothing
// else does unless the quotient itself does. b = 0 gives infinities and NaN.
${function}${T} ${name}(${T} a, ${T} b)
{
    ${R} c = $abs(b.x), d = $abs(b.y), before = 1.0, after = 1.0;
    ${R} p = c > d ? c : d, q = $abs(a.x) > $abs(a.y) ? $abs(a.x) : $abs(a.y);
    if (p > ${large}) after = ${small};
    if (p < ${small}) after = ${large};
    if (q > ${large}) before = ${small};
    if (q < ${small}) before = ${large};
    a = @join(a.x * before, a.y * before);
    b = @join(b.x * after, b.y * after);
    bool turned = !(c >= d);
    p = turned ? b.y : b.x;
    q = turned ? b.x : b.y;
    ${R} ratio = q / p, scale = 1.0 / (p + q * ratio);
    ${R} u = (turned ? a.x * ratio + a.y : a.x + a.y * ratio) * scale;
    ${R} v = (turned ? a.y * ratio - a.x : a.y - a.x * ratio) * scale;
    if (p == 0.0) {
        u = a.x / c;
        v = a.y / c;
    }
    if (before == after) return @join(u, v);
    before = 1.0 / before;
    return @join(u * before * after, v * before * after);
}
""",
    "reciprocal": "${function}${T} ${name}(${T} z) { return @divide(@join(1.0, 0.0), z); }\n",
    "abs": """\
// hypot, wrong by a unit in the last place at most, which built-in ones take long to do better.
${function}${R} ${name}(${T} z)
{
    ${R} x = $abs(z.x), y = $abs(z.y), most = x > y ? x : y, unit = 1.0, back = 1.0;
    if (x == INFINITY || y == INFINITY) return INFINITY;
    if (x == 0.0 || y == 0.0) return x + y;
    if (most > ${large}) { unit = ${shrink}; back = ${grow}; }
    if (most < ${small}) { unit = ${grow}; back = ${shrink}; }
    x *= unit;
    y *= unit;
    return $sqrt(x * x + y * y) * back;
}
""",
    "sign": """\
// z / |z|; 0 for 0, and the direction of an infinity along an axis.
${function}${T} ${name}(${T} z)
{
    bool wide = $isinf(z.x), high = $isinf(z.y);
    if (z.x != z.x || z.y != z.y || (wide && high)) return @join(NAN, NAN);
    if (wide) return @join($copysign(1.0, z.x), 0.0);
    if (high) return @join(0.0, $copysign(1.0, z.y));
    ${R} x = $abs(z.x), y = $abs(z.y), most = x > y ? x : y, unit = 1.0;
    if (most == 0.0) return @join(0.0, 0.0);
    if (most > ${large}) unit = ${small};
    if (most < ${small}) unit = ${large};
    x = z.x * unit;
    y = z.y * unit;
    ${R} size = @abs(@join(x, y));
    return @join(x / size, y / size);
}
""",
    "round": "${function}${T} ${name}(${T} z) { return @join($round(z.x), $round(z.y)); }\n",
    "isnan": "${function}bool ${name}(${T} z) { return z.x != z.x || z.y != z.y; }\n",
    "isinf": "${function}bool ${name}(${T} z) { return $isinf(z.x) || $isinf(z.y); }\n",
    "isfinite": "${function}bool ${name}(${T} z) { return $isfinite(z.x) && $isfinite(z.y); }\n",
    "equal": """\
${function}bool ${name}(${T} a, ${T} b) { return a.x == b.x && a.y == b.y; }
""",
    "not_equal": """\
${function}bool ${name}(${T} a, ${T} b) { return a.x != b.x || a.y != b.y; }
""",
    # --- two words --------------------------------------------------------------------------------
    "two_sum": """\
// a + b exactly.
${function}${T} ${name}(${R} a, ${R} b)
{
    ${R} s = a + b, c = s - a;
    return @join(s, (a - (s - c)) + (b - c));
}
""",
    "two_product": """\
// a b exactly.
${function}${T} ${name}(${R} a, ${R} b)
{
    ${R} p = a * b;
    return @join(p, $fma(a, b, -p));
}
""",
    "words_sum": """\
${function}${T} ${name}(${T} a, ${T} b)
{
    ${T} s = @two_sum(a.x, b.x);
    return @two_sum(s.x, s.y + (a.y + b.y));
}
""",
    "words_times": """\
${function}${T} ${name}(${T} a, ${R} b)
{
    ${T} p = @two_product(a.x, b);
    return @two_sum(p.x, p.y + a.y * b);
}
""",
    "words_ratio": """\
${function}${T} ${name}(${T} a, ${T} b)
{
    ${R} q = a.x / b.x;
    return @two_sum(q, ($fma(-q, b.x, a.x) + (a.y - q * b.y)) / b.x);
}
""",
}  # fmt: skip
