"""Helpers for the ``$name(`` functions of the scalar table that a language has no built-in for.

Text in the C that all dialects share. ``${T}`` is the type, ``${U}`` its unsigned image, ``${W}``
an unsigned type of at least 32 bits (C promotes shorter ones to int, whose product may overflow),
``${as_T}`` and ``${as_U}`` reinterpret bits. Everything is total: no trap, no undefined behaviour.
Floating-point texts use operators, ``?:`` and built-ins only, so that the same text also serves
vectors.
"""

from __future__ import annotations

from string import Template
from typing import Final

from polyback.dtype import DType
from polyback.simt.dialect import BY_CODE, UNSIGNED, Dialect

# --- integers: results equal to NumPy's -----------------------------------------------------------

_SIGNED: Final = {
    "abs": """\
${function}${T} ${name}(${T} x) { return x < 0 ? (${T})(0 - (${W})x) : x; }
""",
    "sign": """\
${function}${T} ${name}(${T} x) { return (${T})((x > 0) - (x < 0)); }
""",
    "floor_divide": """\
// Towards minus infinity; x // 0 = 0, and the most negative value // -1 is itself.
${function}${T} ${name}(${T} a, ${T} b)
{
    if (b == 0) return 0;
    if (b == -1) return (${T})(0 - (${W})a);
    ${T} q = a / b, r = a % b;
    return r != 0 && (r ^ b) < 0 ? (${T})(q - 1) : q;
}
""",
    "remainder": """\
// Has the sign of the divisor; x % 0 = 0.
${function}${T} ${name}(${T} a, ${T} b)
{
    if (b == 0 || b == -1) return 0;
    ${T} r = a % b;
    return r != 0 && (r ^ b) < 0 ? (${T})(r + b) : r;
}
""",
    "pow": """\
// Square and multiply, modulo 2^bits; a negative exponent gives the truncated value.
${function}${T} ${name}(${T} base, ${T} exponent)
{
    ${W} b = (${W})base, r = 1;
    if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent & 1 ? -1 : 1) : 0;
    for (${U} e = (${U})exponent; e != 0; e >>= 1) {
        r *= e & 1 ? b : 1;
        b *= b;
    }
    return (${T})r;
}
""",
    "shift_right": """\
// Counts outside [0, bits) shift everything but the sign out.
${function}${T} ${name}(${T} x, ${T} n)
{
    return (${T})(x >> ((${U})n < ${bits} ? (${U})n : ${bits} - 1));
}
""",
}
_UNSIGNED: Final = {
    "abs": "${function}${T} ${name}(${T} x) { return x; }\n",
    "sign": "${function}${T} ${name}(${T} x) { return x != 0; }\n",
    "floor_divide": """\
${function}${T} ${name}(${T} a, ${T} b) { return b == 0 ? 0 : a / b; }
""",
    "remainder": """\
${function}${T} ${name}(${T} a, ${T} b) { return b == 0 ? 0 : a % b; }
""",
    "pow": """\
// Square and multiply, modulo 2^bits.
${function}${T} ${name}(${T} base, ${T} e)
{
    ${W} b = base, r = 1;
    for (; e != 0; e >>= 1) {
        r *= e & 1 ? b : 1;
        b *= b;
    }
    return (${T})r;
}
""",
    "shift_right": """\
${function}${T} ${name}(${T} x, ${T} n) { return n < ${bits} ? (${T})(x >> n) : 0; }
""",
    "multiply_high": """\
${function}${T} ${name}(${T} a, ${T} b) { return (${T})(((${u64})a * b) >> 32); }
""",
}
_INTEGER: Final = {
    "maximum": "${function}${T} ${name}(${T} a, ${T} b) { return a > b ? a : b; }\n",
    "minimum": "${function}${T} ${name}(${T} a, ${T} b) { return a < b ? a : b; }\n",
    "invert": "${function}${T} ${name}(${T} x) { return (${T})~x; }\n",
    "shift_left": """\
// Counts outside [0, bits) shift everything out.
${function}${T} ${name}(${T} x, ${T} n)
{
    return (${U})n < ${bits} ? (${T})((${W})x << (${U})n) : 0;
}
""",
}

# --- floating point -------------------------------------------------------------------------------

_FLOAT: Final = {
    "sign": """\
// NaN returns itself, -0 gives +0.
${function}${T} ${name}(${T} x)
{
    ${T} r = x == ${zero} ? ${zero} : x;
    r = x < ${zero} ? -${one} : r;
    return x > ${zero} ? ${one} : r;
}
""",
    "maximum": """\
// Equal arguments differ at most in the sign of zero: AND of the bits picks +0. A NaN wins.
${function}${T} ${name}(${T} a, ${T} b)
{
    ${T} same = ${as_T}(${as_U}(a) & ${as_U}(b));
    ${T} r = a > b ? a : b;
    r = a == b ? same : r;
    return a != a ? a : r;
}
""",
    "minimum": """\
// Equal arguments differ at most in the sign of zero: OR of the bits picks -0. A NaN wins.
${function}${T} ${name}(${T} a, ${T} b)
{
    ${T} same = ${as_T}(${as_U}(a) | ${as_U}(b));
    ${T} r = a < b ? a : b;
    r = a == b ? same : r;
    return a != a ? a : r;
}
""",
    "sigmoid": """\
// The exponential never overflows; both branches keep full relative accuracy.
${function}${T} ${name}(${T} x)
{
    ${T} decay = ${exp}(-${fabs}(x));
    return (x < ${zero} ? decay : ${one}) / (${one} + decay);
}
""",
    "logaddexp": """\
// max + log1p(exp(-|a - b|)); equal infinities have a difference of NaN, hence the last line.
${function}${T} ${name}(${T} a, ${T} b)
{
    ${T} d = a - b, most = a > b ? a : b;
    ${T} r = most + ${log1p}(${exp}(-${fabs}(d)));
    r = a == b ? a + ${ln2} : r;
    return d != d && a != b ? a + b : r;
}
""",
    "remainder": """\
// As Python and NumPy: the sign of the divisor, zeros included.
${function}${T} ${name}(${T} a, ${T} b)
{
    ${T} m = ${fmod}(a, b);
    if (b == ${zero}) return m;
    if (m == ${zero}) return ${copysign}(${zero}, b);
    return (b < ${zero}) != (m < ${zero}) ? m + b : m;
}
""",
    "floor_divide": """\
// The integer next to (a - remainder) / b; a / b with an infinity, as the standard has it.
${function}${T} ${name}(${T} a, ${T} b)
{
    ${T} m = ${fmod}(a, b), plain = a / b;
    if (b == ${zero} || a - a != ${zero} || b - b != ${zero}) return plain;
    ${T} d = (a - m) / b;
    if (m != ${zero} && (b < ${zero}) != (m < ${zero})) d -= ${one};
    if (d == ${zero}) return ${copysign}(${zero}, plain);
    ${T} f = ${floor}(d);
    return d - f > ${half} ? f + ${one} : f;
}
""",
}

# --- conversions of the half types, which are bits in an unsigned short ---------------------------

_CASTS: Final = {
    ("bf16", "f32"): """\
${function}float ${name}(${u16} x) { return ${as_f32}((${u32})x << 16); }
""",
    ("f32", "bf16"): """\
// Round to nearest, ties to even: add 0x7fff, and 1 more where the result would be odd.
${function}${u16} ${name}(float x)
{
    ${u32} u = ${as_u32}(x);
    if (x != x) return (${u16})((u >> 16) | 0x40);
    return (${u16})((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}
""",
    ("f16", "f32"): """\
// Exponents differ by 112. A subnormal is its fraction times 2^-24, exactly.
${function}float ${name}(${u16} x)
{
    ${u32} sign = (${u32})(x & 0x8000) << 16, rest = x & 0x7fff;
    if (rest >= 0x7c00) return ${as_f32}(sign | 0x7f800000 | (rest & 0x3ff) << 13);
    if (rest < 0x400) return ${as_f32}(sign | ${as_u32}((float)rest * 5.9604644775390625e-8f));
    return ${as_f32}(sign | ((rest << 13) + 0x38000000));
}
""",
    ("f32", "f16"): """\
// Round to nearest, ties to even. Below 2^-14 adding 0.5 leaves the rounded multiple of 2^-24 in
// the
// low bits; above 65519 everything is infinite.
${function}${u16} ${name}(float x)
{
    ${u32} u = ${as_u32}(x), sign = u >> 16 & 0x8000, rest = u & 0x7fffffff;
    if (rest > 0x7f800000) return (${u16})(sign | 0x7e00);
    if (rest >= 0x477ff000) return (${u16})(sign | 0x7c00);
    if (rest < 0x38800000)
        return (${u16})(sign | (${as_u32}(${as_f32}(rest) + 0.5f) - 0x3f000000));
    return (${u16})(sign | ((rest - 0x38000000 + 0xfff + (rest >> 13 & 1)) >> 13));
}
""",
}

_NEEDED: Final = ("exp", "log1p", "fmod", "copysign", "floor", "fabs")


def helper(name: str, dtype: DType, dialect: Dialect, lanes: int = 1) -> tuple[str, str] | None:
    """(name, text) of the helper for ``$name(`` on ``dtype``; None if there is none."""
    text = dialect.own(name, dtype, lanes)
    if text is not None:
        pass  # the language's own
    elif dtype.is_floating:
        text = _FLOAT.get(name)
    else:
        text = (_SIGNED if dtype.kind == "int" else _UNSIGNED).get(name) or _INTEGER.get(name)
    if text is None or dtype.kind == "bool":
        return None
    spelled = f"pb_{name}_{dtype.code}" + (f"x{lanes}" if lanes > 1 else "")
    return spelled, Template(text).substitute(_words(spelled, dtype, dialect, lanes))


def cast_helper(source: DType, target: DType, dialect: Dialect) -> tuple[str, str] | None:
    """(name, text) of a conversion that is not the language's own; None if it is."""
    text = _CASTS.get((source.code, target.code))
    if text is None:
        return None
    spelled = f"pb_{source.code}_to_{target.code}"
    words = {code: dialect.types[code] for code in ("u16", "u32")}
    words |= {"as_f32": dialect.reinterpret["f32"], "as_u32": dialect.reinterpret["u32"]}
    return spelled, Template(text).substitute(words, name=spelled, function=dialect.function)


def _words(spelled: str, dtype: DType, dialect: Dialect, lanes: int) -> dict[str, str]:
    image = BY_CODE[UNSIGNED[dtype.itemsize]]
    kind = dialect.type(dtype, lanes)
    words = {
        "name": spelled, "function": dialect.function, "T": kind, "U": dialect.type(image, lanes),
        "W": dialect.types[UNSIGNED[max(dtype.itemsize, 4)]], "bits": str(8 * dtype.itemsize),
        "u64": dialect.types["u64"],
    }  # fmt: skip
    if not dtype.is_floating:
        return words
    suffix = dialect.suffixes.get(dtype.code, "")
    constants = {"zero": "0.0", "one": "1.0", "half": "0.5", "ln2": "0.693147180559945309417"}
    words |= {key: f"({kind})({text}{suffix})" for key, text in constants.items()}
    if lanes > 1:
        assert dialect.wide is not None
        for key, code in (("as_T", dtype.code), ("as_U", image.code)):
            form = dialect.wide.reinterpret.replace("({x})", "")
            words[key] = form.format(type=dialect.types[code], n=lanes)
    else:
        words |= {
            "as_T": dialect.reinterpret[dtype.code], "as_U": dialect.reinterpret[image.code],
        }  # fmt: skip
    known = dialect.builtins[dtype.code]
    return words | {name: known.get(name, name) for name in _NEEDED}
