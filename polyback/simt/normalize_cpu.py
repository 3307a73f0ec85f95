"""Softmax and layer normalization on a CPU: vectors, in three passes over lanes that stay in cache.

One text serves lanes along memory and across it. Along, a vector is neighbouring elements of one
lane, and its parts are joined at the end of a pass; across, it is the same element of neighbouring
lanes, and nothing is joined. Either way a lane takes ``turns`` vectors, all of ``full`` elements
but the last, which has ``rest``; elements of a vector are ``beside`` apart, vectors ``ahead``.
Every ``chain`` terms of a sum are added up, so that additions in a row are few.
"""

from __future__ import annotations

from string import Template
from typing import Final

from polyback.dtype import DType
from polyback.simt.dialect import Dialect
from polyback.simt.driver import Kernel
from polyback.simt.expression import Writer
from polyback.simt.geometry import decode
from polyback.simt.vectors import vector_words

# Vectors of any spacing, whose missing parts are ``fill``, and what joins the parts of one.
HELPERS: Final = """\
${header}
${declare}
typedef struct { ${long} beside, ahead; } pb_walk;
${outlined}${V} pb_take_some(${source} p, ${long} beside, int count, ${T} fill)
{
    ${T} some[${lanes}];
    for (int k = 0; k < ${lanes}; k++) some[k] = k < count ? p[k * beside] : fill;
    return ${load_some};
}
${outlined}void pb_put_some(${target} p, ${long} beside, int count, ${V} x)
{
    ${T} some[${lanes}];
    ${store_some};
    for (int k = 0; k < count; k++) p[k * beside] = some[k];
}
${outlined}${T} pb_sum(${V} x)
{
    ${T} some[${lanes}];
    ${store_some};
    for (int half_size = ${lanes} / 2; half_size > 0; half_size /= 2)
        for (int k = 0; k < half_size; k++) some[k] += some[k + half_size];
    return some[0];
}
${outlined}${T} pb_most(${V} x)
{
    ${T} some[${lanes}];
    ${store_some};
    for (int k = 1; k < ${lanes}; k++) some[0] = some[k] > some[0] ? some[k] : some[0];
    return some[0];
}
#define TAKE(p, walk, t, fill) ((t < turns - 1 ? full : rest) == ${lanes} && walk.beside == 1 \\
    ? ${load_t} : pb_take_some(p + t * walk.ahead, walk.beside, t < turns - 1 ? full : rest, fill))
#define PUT(p, walk, t, x) \\
    if ((t < turns - 1 ? full : rest) == ${lanes} && walk.beside == 1) ${store_t}; \\
    else pb_put_some(p + t * walk.ahead, walk.beside, t < turns - 1 ? full : rest, x)
#define ADD_UP(t) if ((t + 1) % chain == 0) { high += low; low = 0; }
"""

SOFTMAX_LANE: Final = """\
${outlined}void pb_lane(${source} x, pb_walk wx, ${target} out, pb_walk wo, ${long} turns,
    int full, int rest, ${long} chain, bool along, bool logarithm)
{
    ${V} most = -INFINITY, high = 0, low = 0;
    for (${long} t = 0; t < turns; t++) {
        ${V} v = TAKE(x, wx, t, -INFINITY);
        most = v > most ? v : most;  // a NaN will show in the sum
    }
    if (along) most = pb_most(most);
    for (${long} t = 0; t < turns; t++) {
        ${V} e = ${exp}(TAKE(x, wx, t, -INFINITY) - most);
        low += e;
        if (!logarithm) { PUT(out, wo, t, e); }
        ADD_UP(t)
    }
    high += low;
    if (along) high = pb_sum(high);
    high = logarithm ? ${log}(high) : 1 / high;
    for (${long} t = 0; t < turns; t++) {
        ${V} y = logarithm ? (TAKE(x, wx, t, 0) - most) - high : TAKE(out, wo, t, 0) * high;
        PUT(out, wo, t, y);
    }
}
"""

LAYER_NORM_LANE: Final = """\
${outlined}void pb_lane(${source} x, pb_walk wx, ${target} out, pb_walk wo, ${source} weight,
    pb_walk ww, ${source} bias, pb_walk wb, ${V} *figures, ${long} turns, int full, int rest,
    ${long} chain, bool along, ${T} length, ${T} eps, bool weighted, bool biased)
{
    ${V} high = 0, low = 0;
    for (${long} t = 0; t < turns; t++) {
        low += TAKE(x, wx, t, 0);
        ADD_UP(t)
    }
    high += low;
    if (along) high = pb_sum(high);
    ${V} mean = high / length;
    ${T} none = pb_most(mean);  // what is missing does not deviate
    high = low = 0;
    for (${long} t = 0; t < turns; t++) {
        ${V} v = TAKE(x, wx, t, none) - mean;
        low += v * v;
        ADD_UP(t)
    }
    high += low;
    if (along) high = pb_sum(high);
    ${V} scale = 1 / ${sqrt}(high / length + eps);
    for (${long} t = 0; t < turns; t++) {
        ${V} y = (TAKE(x, wx, t, 0) - mean) * scale;
        if (weighted) y *= TAKE(weight, ww, t, 0);
        if (biased) y += TAKE(bias, wb, t, 0);
        PUT(out, wo, t, y);
    }
    figures[0] = mean;
    figures[1] = scale;
}
"""

# The table: units, their number for a group, turns, rest (0: lanes across), chain; flags; (beside,
# ahead) of every operand; then the walk over the lanes.
UNITS: Final = """\
    ${long} span = table[1], turns = table[2], rest = table[3], chain = table[4];
    ${long} first = (${long})${group} * span, last = min(table[0], first + span);
    ${long} row = (table + ${walk})[1], vectors = (row + ${lanes} - 1) / ${lanes};
    bool along = rest > 0;
    if (along) vectors = row;
    for (${long} u = first; u < last; u++) {
        ${long} at = u % vectors * (along ? 1 : ${lanes}), j = u / vectors * row + at;
        int full = along ? ${lanes} : (int)min((${long})${lanes}, row - at);
${decode}
"""

SOFTMAX: Final = Template(
    HELPERS
    + SOFTMAX_LANE
    + """\
${kernel} softmax(${source} x, ${long} o, ${target} out, ${long} q, ${table})
{
    pb_walk wx = { table[6], table[7] }, wo = { table[8], table[9] };
"""
    + UNITS
    + """\
        pb_lane(x + o + f0, wx, out + q + f1, wo, turns, full, along ? (int)rest : full, chain,
            along, table[5] != 0);
    }
}
"""
)

LAYER_NORM: Final = Template(
    HELPERS
    + LAYER_NORM_LANE
    + """\
${kernel} layer_norm(${source} x, ${long} o, ${target} out, ${long} q, ${target} mean, ${long} qm,
    ${target} scale, ${long} qs, ${source} weight, ${long} ow, ${source} bias, ${long} ob,
    ${T} length, ${T} eps, ${table})
{
    pb_walk wx = { table[6], table[7] }, wo = { table[8], table[9] };
    pb_walk ww = { table[14], table[15] }, wb = { table[16], table[17] };
"""
    + UNITS
    + """\
        ${V} figures[2];
        pb_lane(x + o + f0, wx, out + q + f1, wo, weight + ow + f4, ww, bias + ob + f5, wb, figures,
            turns, full, along ? (int)rest : full, chain, along, length, eps, table[5] & 1,
            table[5] & 2);
        pb_put_some(mean + qm + f2, table[10], along ? 1 : full, figures[0]);
        pb_put_some(scale + qs + f3, table[12], along ? 1 : full, figures[1]);
    }
}
"""
)


def lanes_of(dtype: DType, dialect: Dialect) -> int:
    """Elements of a vector."""
    assert dialect.wide is not None
    return dialect.wide.lanes[dtype.code]


def softmax_kernel(dtype: DType, dialect: Dialect, group: int) -> Kernel:
    """Softmax and its logarithm."""
    source = SOFTMAX.substitute(_words(dtype, dialect, 2))
    return Kernel("softmax", source, ("*", "i64", "*", "i64", "*"), group)


def layer_norm_kernel(dtype: DType, dialect: Dialect, group: int) -> Kernel:
    """Layer normalization."""
    source = LAYER_NORM.substitute(_words(dtype, dialect, 6))
    return Kernel("layer_norm", source, (*("*", "i64") * 6, dtype.code, dtype.code, "*"), group)


def _words(dtype: DType, dialect: Dialect, operands: int) -> dict[str, str]:
    wide, n = dialect.wide, lanes_of(dtype, dialect)
    assert wide is not None
    kind, words, writer = (
        dialect.types[dtype.code],
        vector_words(dialect, dtype, n),
        Writer(dialect, n),
    )
    walk = 6 + 2 * operands
    offsets = [f"f{k}" for k in range(operands)]
    lines = decode(f"(table + {walk})", "j", offsets, dialect.long, "t")
    functions = {name: writer.function(name, dtype) for name in ("exp", "log", "sqrt")}
    declare = [wide.declare.format(**words), *writer.helpers.values()]
    at = {"p": "(p + t * walk.ahead)", "memory": dialect.memory}
    return dialect.words() | functions | {
        "T": kind, "V": dialect.type(dtype, n), "lanes": str(n), "walk": str(walk),
        "source": f"{dialect.memory}const {kind} *", "target": f"{dialect.memory}{kind} *",
        "declare": "\n".join(declare), "decode": "\n".join("        " + line for line in lines),
        "load_some": wide.load.format(p="some", memory="", **words),
        "store_some": wide.store.format(p="some", x="x", memory="", **words),
        "load_t": wide.load.format(**at, **words),
        "store_t": wide.store.format(x="x", **at, **words),
    }  # fmt: skip
