"""Elementary functions of complex numbers; see ``complex_basic`` for the language of the texts.

Special values and branch cuts are those of C's annex G, which the array API follows. Inverse
functions are Kahan's (Branch Cuts for Complex Elementary Functions, 1987): no cancellation in
either part. Functions that another one turned by a quarter gives are that one with its parts
exchanged: ``sin(x + iy)`` is ``sinh(y + ix)`` mirrored at the diagonal.
"""

from __future__ import annotations

from typing import Final

MATH: Final = {
    "sqrt": """\
${outlined}${T} ${name}(${T} z)
{
    ${R} x = $abs(z.x), y = $abs(z.y), most = x > y ? x : y, unit = 1.0, root = 1.0;
    if (y == INFINITY) return @join(y, z.y);  // whatever x is
    if (x == INFINITY) {
        y = y != y ? y : 0.0;
        return z.x > 0.0 ? @join(x, $copysign(y, z.y)) : @join(y, $copysign(x, z.y));
    }
    if (x == 0.0 && y == 0.0) return @join(0.0, z.y);
    if (most > ${large}) { unit = ${small}; root = ${root_large}; }
    if (most < ${small}) { unit = ${large}; root = ${root_small}; }
    x *= unit;
    y *= unit;
    ${R} first = $sqrt(0.5 * (x + @abs(@join(x, y)))) * root, other = $abs(z.y) / (2.0 * first);
    return z.x >= 0.0 ? @join(first, $copysign(other, z.y)) : @join(other, $copysign(first, z.y));
}
""",
    "exp": """\
// Near the largest exponents in two steps: the cosine may bring the product back into range.
${outlined}${T} ${name}(${T} z)
{
    if (z.y == 0.0) return @join($exp(z.x), z.y);
    if (!$isfinite(z.y)) {
        if (z.x == -INFINITY) return @join(0.0, $copysign(0.0, z.y));
        return @join(z.x == INFINITY ? z.x : NAN, NAN);
    }
    bool far = $abs(z.x) > ${far};
    ${R} size = $exp(far ? 0.5 * z.x : z.x), rest = far ? size : 1.0;
    return @join(size * $cos(z.y) * rest, size * $sin(z.y) * rest);
}
""",
    "expm1": """\
// The real part near 0 is expm1(x) cos y - 2 sin^2(y / 2), where 0 is +0.
${outlined}${T} ${name}(${T} z)
{
    if (!($abs(z.x) < 1.0 && $isfinite(z.y))) {
        ${T} e = @exp(z);
        return @join(e.x - 1.0, e.y);
    }
    ${R} s = $sin(0.5 * z.y);
    return @join($expm1(z.x) * $cos(z.y) - 2.0 * s * s + 0.0, $exp(z.x) * $sin(z.y));
}
""",
    "log_modulus": """\
// log |x + iy|. Near |z| = 1 it is log1p(|z|^2 - 1) / 2, the difference in two words.
${outlined}${R} ${name}(${R} x, ${R} y)
{
    x = $abs(x);
    y = $abs(y);
    if (x == INFINITY || y == INFINITY) return INFINITY;
    ${R} most = x > y ? x : y, least = x > y ? y : x;
    if (x == 0.0 && y == 0.0) return -INFINITY;
    if (most > ${large} || most < ${small}) {
        least /= most;
        return $log(most) + 0.5 * $log1p(least * least);
    }
    ${T} a = @two_product(most, most), b = @two_product(least, least);
    ${R} size = a.x + b.x;
    if (!(size > 0.5 && size < 3.0)) return 0.5 * $log(size);
    ${T} s = @two_sum(a.x, -1.0), t = @two_sum(s.x, b.x);
    return 0.5 * $log1p(t.x + (t.y + s.y + a.y + b.y));
}
""",
    "log": """\
${function}${T} ${name}(${T} z) { return @join(@log_modulus(z.x, z.y), $atan2(z.y, z.x)); }
""",
    "log2": """\
${function}${T} ${name}(${T} z)
{
    z = @log(z);
    return @join(z.x * 1.4426950408889634, z.y * 1.4426950408889634);
}
""",
    "log10": """\
${function}${T} ${name}(${T} z)
{
    z = @log(z);
    return @join(z.x * 0.4342944819032518, z.y * 0.4342944819032518);
}
""",
    "log1p": """\
// |1 + z|^2 - 1 = 2x + x^2 + y^2 in two words: z may be small, or 1 + z near the unit circle.
${outlined}${T} ${name}(${T} z)
{
    ${T} a = @two_product(z.x, z.x), b = @two_product(z.y, z.y);
    ${T} s = @two_sum(a.x, b.x), t = @two_sum(s.x, 2.0 * z.x);
    ${R} rest = t.x + (t.y + s.y + a.y + b.y), u = 1.0 + z.x;
    bool near = rest > -0.5 && rest < 2.0;
    return @join(near ? 0.5 * $log1p(rest) : @log_modulus(u, z.y), $atan2(z.y, u));
}
""",
    "sinh": """\
${outlined}${T} ${name}(${T} z)
{
    ${R} x = $abs(z.x);
    if (z.y == 0.0) return @join($sinh(z.x), z.y);
    if (!$isfinite(z.y)) return @join(x == 0.0 || x == INFINITY ? z.x : NAN, NAN);
    if (x > ${far}) {
        ${R} size = $exp(0.5 * x), most = 0.5 * size;
        return @join($copysign(most, z.x) * $cos(z.y) * size, most * $sin(z.y) * size);
    }
    return @join($sinh(z.x) * $cos(z.y), $cosh(z.x) * $sin(z.y));
}
""",
    "cosh": """\
${outlined}${T} ${name}(${T} z)
{
    ${R} x = $abs(z.x), side = $copysign(1.0, z.x);
    if (z.y == 0.0) return @join($cosh(z.x), side * z.y);
    if (!$isfinite(z.y)) return @join(x == INFINITY ? x : NAN, x == 0.0 ? x : NAN);
    if (x > ${far}) {
        ${R} size = $exp(0.5 * x), most = 0.5 * size;
        return @join(most * $cos(z.y) * size, side * most * $sin(z.y) * size);
    }
    return @join($cosh(z.x) * $cos(z.y), $sinh(z.x) * $sin(z.y));
}
""",
    "tanh": """\
// (sinh x cosh x + i sin y cos y) / (cos^2 y + sinh^2 x); beyond ${flat} the real part is 1.
${outlined}${T} ${name}(${T} z)
{
    ${R} x = $abs(z.x);
    if (z.y == 0.0) return @join($tanh(z.x), z.y);
    if (x == INFINITY) return @join($copysign(1.0, z.x), $copysign(0.0, z.y));
    if (!$isfinite(z.y)) return @join(x == 0.0 ? z.x : NAN, NAN);
    ${R} s = $sin(z.y), c = $cos(z.y);
    if (x > ${flat}) {
        ${R} decay = $exp(-x);
        return @join($copysign(1.0, z.x), 4.0 * s * c * decay * decay);
    }
    ${R} sh = $sinh(z.x), size = c * c + sh * sh;
    return @join(sh * $cosh(z.x) / size, s * c / size);
}
""",
    "sin": """\
${function}${T} ${name}(${T} z)
{
    z = @sinh(@join(z.y, z.x));
    return @join(z.y, z.x);
}
""",
    "cos": "${function}${T} ${name}(${T} z) { return @cosh(@join(-z.y, z.x)); }\n",
    "tan": """\
${function}${T} ${name}(${T} z)
{
    z = @tanh(@join(z.y, z.x));
    return @join(z.y, z.x);
}
""",
    "asin": """\
${outlined}${T} ${name}(${T} z)
{
    ${R} x = $abs(z.x), y = $abs(z.y);
    if (x > ${huge} || y > ${huge})
        return @join($atan2(z.x, y), $copysign(@log_modulus(x, y) + ${ln2}, z.y));
    if (x != x || y != y) return @join(x == 0.0 ? z.x : NAN, NAN);
    if (x < ${tiny} && y < ${tiny}) return z;
    ${T} p = @sqrt(@join(1.0 + z.x, z.y)), q = @sqrt(@join(1.0 - z.x, -z.y));
    return @join($atan2(z.x, p.x * q.x - p.y * q.y), $asinh(q.x * p.y - q.y * p.x));
}
""",
    "acos": """\
${outlined}${T} ${name}(${T} z)
{
    ${R} x = $abs(z.x), y = $abs(z.y);
    if (x > ${huge} || y > ${huge})
        return @join($atan2(y, z.x), -$copysign(@log_modulus(x, y) + ${ln2}, z.y));
    if (x != x || y != y) return @join(x == 0.0 ? ${pi_2} : NAN, NAN);
    ${T} p = @sqrt(@join(1.0 + z.x, z.y)), q = @sqrt(@join(1.0 - z.x, -z.y));
    return @join(2.0 * $atan2(q.x, p.x), $asinh(p.x * q.y - p.y * q.x));
}
""",
    "asinh": """\
${function}${T} ${name}(${T} z)
{
    z = @asin(@join(z.y, z.x));
    return @join(z.y, z.x);
}
""",
    "acosh": """\
${function}${T} ${name}(${T} z)
{
    ${T} w = @acos(z);
    return @join($abs(w.y), $copysign(w.x, z.y));
}
""",
    "atanh": """\
${outlined}${T} ${name}(${T} z)
{
    ${R} x = $abs(z.x), y = $abs(z.y), re;
    bool endless = x == INFINITY || y == INFINITY;
    if (@isnan(z) && !endless) return @join(x == 0.0 ? z.x : NAN, NAN);
    if (x > ${large} || y > ${large}) {
        re = endless ? 0.0 : @reciprocal(@join(x, y)).x;
        return @join($copysign(re, z.x), y != y ? y : $copysign(${pi_2}, z.y));
    }
    if (x < ${tiny} && y < ${tiny}) return z;
    ${R} rest = 1.0 - x;
    if (rest == 0.0 && y < ${tiny}) re = 0.5 * (${ln2} - $log(y));
    else re = 0.25 * $log1p(4.0 * x / (rest * rest + y * y));
    ${R} im = 0.5 * $atan2(2.0 * z.y, rest * (1.0 + x) - y * y);
    return @join($copysign(re, z.x), im);
}
""",
    "atan": """\
${function}${T} ${name}(${T} z)
{
    z = @atanh(@join(z.y, z.x));
    return @join(z.y, z.x);
}
""",
    # --- powers: logarithm and angle in two words, because the exponent magnifies their errors ----
    "series": """\
// u / 3 + u^2 / 5 + ...: what atanh(s) / s, with u = s^2, and atan(s) / s, with -s^2, have above 1.
${function}${R} ${name}(${R} u)
{
    ${R} p = 0.0;
    for (int n = ${terms}; n > 1; n -= 2) p = (p + 1.0 / (${R})n) * u;
    return p;
}
""",
    "log_words": """\
// log |a| for parts of ordinary size: |a|^2 = m 2^k with m near 1, log m = 2 atanh((m-1) / (m+1)).
${outlined}${T} ${name}(${T} a)
{
    ${R} most = $abs(a.x) > $abs(a.y) ? $abs(a.x) : $abs(a.y);
    int k = (int)(${as_U}(most) >> ${fraction}) - ${bias};
    ${R} unit = ${as_R}((${U})(${bias} - k) << ${fraction});
    ${T} p = @two_product(a.x * unit, a.x * unit), q = @two_product(a.y * unit, a.y * unit);
    ${T} m = @words_sum(p, q);
    k *= 2;
    for (; m.x > 1.4142135623730951; k++) m = @join(0.5 * m.x, 0.5 * m.y);
    ${T} top = @two_sum(m.x - 1.0, m.y), bottom = @two_sum(1.0, m.x);
    ${T} s = @words_ratio(top, @join(bottom.x, bottom.y + m.y));
    ${R} u = s.x * s.x;
    s.y = s.x * @series(u) + s.y / (1.0 - u);
    return @words_sum(@words_times(@join(${ln2}, ${ln2_low}), 0.5 * (${R})k), s);
}
""",
    "angle_words": """\
// atan2: in the first octant atan(y / x) = atan(c) + atan((y - c x) / (x + c y)), c in quarters.
${outlined}${T} ${name}(${T} a)
{
    ${R} x = $abs(a.x), y = $abs(a.y), most = x > y ? x : y, least = x > y ? y : x;
    ${R} c = 0.25 * $round(4.0 * least / most);
    ${T} p = @two_product(c, most), q = @two_product(c, least), r = @two_sum(most, q.x);
    ${T} t = @words_ratio(@two_sum(least - p.x, -p.y), @join(r.x, r.y + q.y));
    ${R} u = t.x * t.x;
    t.y = t.x * @series(-u) + t.y / (1.0 + u);
    ${T} known = @join(0.0, 0.0);
    if (c == 0.25) known = @join(${atan_1_4}, ${atan_1_4_low});
    if (c == 0.5) known = @join(${atan_1_2}, ${atan_1_2_low});
    if (c == 0.75) known = @join(${atan_3_4}, ${atan_3_4_low});
    if (c == 1.0) known = @join(${pi_4}, ${pi_4_low});
    t = @words_sum(known, t);
    if (y > x) t = @words_sum(@join(${pi_2}, ${pi_2_low}), @join(-t.x, -t.y));
    if (a.x < 0.0) t = @words_sum(@join(${pi}, ${pi_low}), @join(-t.x, -t.y));
    return $signbit(a.y) ? @join(-t.x, -t.y) : t;
}
""",
    "whole_pow": """\
// a^n by squaring, n >= 1.
${outlined}${T} ${name}(${T} a, int n)
{
    ${T} power = n & 1 ? a : @join(1.0, 0.0);
    while (n >>= 1) {
        a = @multiply(a, a);
        if (n & 1) power = @multiply(power, a);
    }
    return power;
}
""",
    "general_pow": """\
// exp(b log a) with the exponent w in two words: exp(w + c) = exp(w) + c exp(w).
${outlined}${T} ${name}(${T} a, ${T} b)
{
    ${T} known = @join(0.0, 0.0), x = a;
    ${R} most = $abs(a.x) > $abs(a.y) ? $abs(a.x) : $abs(a.y);
    if (most > ${large}) {
        x = @join(a.x * ${small}, a.y * ${small});
        known = @words_times(@join(${ln2}, ${ln2_low}), ${scale});
    }
    if (most < ${small}) {
        x = @join(a.x * ${large}, a.y * ${large});
        known = @words_times(@join(${ln2}, ${ln2_low}), -${scale});
    }
    ${T} size = @words_sum(@log_words(x), known), angle = @angle_words(x);
    ${T} re = @words_sum(@words_times(size, b.x), @words_times(angle, -b.y));
    ${T} im = @words_sum(@words_times(angle, b.x), @words_times(size, b.y));
    ${T} e = @exp(@join(re.x, im.x));
    ${T} more = @join(e.x * re.y - e.y * im.y, e.x * im.y + e.y * re.y);
    return @isfinite(more) ? @join(e.x + more.x, e.y + more.y) : e;
}
""",
    "pow": """\
// As NumPy has it: x^0 = 1, 0^b = 0 or NaN, small whole powers by squaring.
${outlined}${T} ${name}(${T} a, ${T} b)
{
    if (b.x == 0.0 && b.y == 0.0) return @join(1.0, 0.0);
    if (a.x == 0.0 && a.y == 0.0) return b.x > 0.0 ? @join(0.0, 0.0) : @join(NAN, NAN);
    ${T} rough = @multiply(b, @log(a));
    ${R} n = $abs(b.x);
    bool ordinary = 2.0 * $abs(rough.x) < ${far} || !@isfinite(a);
    if (b.y == 0.0 && n <= 16.0 && n == $floor(n) && ordinary) {
        ${T} power = @whole_pow(a, (int)n);
        return b.x < 0.0 ? @reciprocal(power) : power;
    }
    if (!(@isfinite(a) && @isfinite(rough))) return @exp(rough);
    return @general_pow(a, b);
}
""",
}  # fmt: skip
