"""Softmax and layer normalization on a GPU: a team of work-items makes a lane.

Each work-item takes TURN elements at a time, in packs of 16 bytes where these are dense and
aligned. A team that fits its lane takes one turn and keeps the elements in registers, so memory is
read once; longer lanes are read again, which mostly finds them in a cache. A turn's sum goes into
``low``, that of ``chain`` turns into ``high``.
"""

from __future__ import annotations

from string import Template
from typing import Final

from polyback.dtype import DType
from polyback.simt.dialect import Dialect
from polyback.simt.driver import Kernel
from polyback.simt.elementwise import PACK_BYTES
from polyback.simt.expression import Writer
from polyback.simt.geometry import decode
from polyback.simt.teams import fold

TURN: Final = 16  # elements that a work-item holds

# The table: lanes, work-items of a team, length, chain, packed? (2: weight and bias too), flags;
# the steps of all operands
# along a lane; then the walk over the lanes.
HEAD: Final = """\
${header}
typedef struct ${aligned} { ${T} v[${pack}]; } pb_pack;
${kernel} ${shape}${name}(${parameters}, ${table})
{
${cells}
    int id = ${local_id}, team = (int)table[1], place = (id & (team - 1)) * ${pack};
    ${long} length = table[2], j = (${long})${group} * (${size} / team) + id / team;
    bool ours = j < table[0], packed = table[4] != 0;
    int tile = team * ${turn}, chain = (int)table[3], turns = 0;
${decode}
    ${T} held[${turn}];
"""

# Element r of the lane into ``held``, or ``fill`` where there is none.
_TAKE: Final = """\
${unroll}
for (int p = 0; p < ${turn}; p += ${pack}) {
    ${long} r = first + p * team + place;
    if (packed && ours && r + ${pack} <= length) {
        pb_pack some = *(${memory}const pb_pack *)(x + r);
        ${unroll}
        for (int e = 0; e < ${pack}; e++) held[p + e] = some.v[e];
    } else {
        ${unroll}
        for (int e = 0; e < ${pack}; e++)
            held[p + e] = ours && r + e < length ? x[(r + e) * table[6]] : ${fill};
    }
}"""

# Each element of ``held`` to the result as ``value``.
_PUT: Final = """\
${unroll}
for (int p = 0; p < ${turn}; p += ${pack}) {
    ${long} r = first + p * team + place;
    pb_pack some;
${ahead}
    ${unroll}
    for (int e = 0; e < ${pack}; e++) {
        ${T} v = held[p + e];
${value}
        some.v[e] = v;
    }
    if (packed && ours && r + ${pack} <= length) *(${memory}pb_pack *)(out + r) = some;
    else
        ${unroll}
        for (int e = 0; e < ${pack}; e++)
            if (ours && r + e < length) out[(r + e) * table[7]] = some.v[e];
}"""

SOFTMAX: Final = """\
    x += o0 + f0;
    out += o1 + f1;
    bool logarithm = table[5] != 0, once = length <= tile;
    ${T} m = -INFINITY, high = 0, low = 0;
    for (${long} first = 0; first < length; first += tile) {
${take}
        ${T} most = m;
        ${unroll}
        for (int e = 0; e < ${turn}; e++) most = held[e] > most ? held[e] : most;
        if (once) {
${fold_most}
        }
        ${T} base = most == -INFINITY ? 0 : most, part = 0;
        if (most > m) {  // what was summed up to now was for another maximum
            ${T} less = ${exp}(m - base);
            low *= less;
            high *= less;
            m = most;
        }
        ${unroll}
        for (int e = 0; e < ${turn}; e++) {
            ${T} term = ${exp}(held[e] - base);
            part += term;
            if (!logarithm) held[e] = term;
        }
        low += part;
        if (++turns % chain == 0) {
            high += low;
            low = 0;
        }
    }
    ${T} sum = high + low;
    if (!once) {
        ${T} most = m;
${fold_most}
        sum *= ${exp}(m - (most == -INFINITY ? 0 : most));
        m = most;
    }
${fold_sum}
    ${T} last = logarithm ? ${log}(sum) : 1 / sum;
    for (${long} first = 0; first < length; first += tile) {
        if (!once) {
${take_again}
        }
${put}
    }
}
"""
_SOFTMAX_VALUE: Final = """\
if (logarithm) v = (v - m) - last;
else v = (once ? v : ${exp}(v - m)) * last;"""

LAYER_NORM: Final = """\
    x += o0 + f0;
    out += o1 + f1;
    bool once = length <= tile;
    ${T} high = 0, low = 0;
    for (${long} first = 0; first < length; first += tile) {
${take}
        ${T} part = 0;
        ${unroll}
        for (int e = 0; e < ${turn}; e++) part += held[e];
        low += part;
        if (++turns % chain == 0) {
            high += low;
            low = 0;
        }
    }
    ${T} sum = high + low;
${fold_sum}
    ${T} mean = sum / count;
    high = low = 0;
    for (${long} first = 0; first < length; first += tile) {
        if (!once) {
${take_again}
        }
        ${T} part = 0;
        ${unroll}
        for (int e = 0; e < ${turn}; e++) {
            ${long} r = first + e / ${pack} * ${pack} * team + place + e % ${pack};
            ${T} v = r < length ? held[e] - mean : 0;
            part += v * v;
        }
        low += part;
        if (++turns % chain == 0) {
            high += low;
            low = 0;
        }
    }
    sum = high + low;
${fold_sum}
    ${T} scale = 1 / ${sqrt}(sum / count + eps);
    if (ours && place == 0) {
        p2[o2 + f2] = mean;
        p3[o3 + f3] = scale;
    }
    bool weighted = table[5] & 1, biased = table[5] & 2, parted = table[4] > 1;
    for (${long} first = 0; first < length; first += tile) {
        if (!once) {
${take_again}
        }
${put}
    }
}
"""
# The weights and biases of a pack, which all lanes share: cached, but each access costs a turn.
_LAYER_NORM_AHEAD: Final = """\
pb_pack factor, shift;
if (parted && ours && r + ${pack} <= length) {
    if (weighted) factor = *(${memory}const pb_pack *)(p4 + o4 + f4 + r);
    if (biased) shift = *(${memory}const pb_pack *)(p5 + o5 + f5 + r);
} else {
    ${unroll}
    for (int e = 0; e < ${pack}; e++) {
        bool inside = ours && r + e < length;
        factor.v[e] = weighted && inside ? p4[o4 + f4 + (r + e) * table[10]] : 0;
        shift.v[e] = biased && inside ? p5[o5 + f5 + (r + e) * table[11]] : 0;
    }
}"""
_LAYER_NORM_VALUE: Final = """\
v = (v - mean) * scale;
if (weighted) v *= factor.v[e];
if (biased) v += shift.v[e];"""


def pack(dtype: DType) -> int:
    """Elements of 16 bytes."""
    return PACK_BYTES // dtype.itemsize


def softmax_kernel(dtype: DType, dialect: Dialect, group: int) -> Kernel:
    """Softmax and its logarithm."""
    words = _words(dtype, dialect, group, 2, groups=4)
    most = fold(dialect, group, [(words["T"], "most")], "most = most_ > most ? most_ : most;")
    total = fold(dialect, group, [(words["T"], "sum")], "sum += sum_;")
    words |= {
        "name": "softmax", "parameters": _parameters(words, ["x", "out"]),
        "cells": f"{most.cells}\n{total.cells}", "fold_most": most.text, "fold_sum": total.text,
        "take": _text(_TAKE, 2, words, fill="-INFINITY"),
        "take_again": _text(_TAKE, 3, words, fill="0"),
        "put": _text(_PUT, 2, words, ahead="", value=_text(_SOFTMAX_VALUE, 2, words)),
    }  # fmt: skip
    source = Template(HEAD + SOFTMAX).substitute(words)
    return Kernel("softmax", source, ("*", "i64", "*", "i64", "*"), group)


def layer_norm_kernel(dtype: DType, dialect: Dialect, group: int) -> Kernel:
    """Layer normalization."""
    words = _words(dtype, dialect, group, 6, groups=3)
    total = fold(dialect, group, [(words["T"], "sum")], "sum += sum_;")
    names = ["x", "out", "p2", "p3", "p4", "p5"]
    numbers = f", {words['T']} count, {words['T']} eps"
    words |= {
        "name": "layer_norm", "parameters": _parameters(words, names) + numbers,
        "cells": total.cells, "fold_sum": total.text,
        "take": _text(_TAKE, 2, words, fill="0"), "take_again": _text(_TAKE, 3, words, fill="0"),
        "put": _text(_PUT, 2, words, ahead=_text(_LAYER_NORM_AHEAD, 1, words),
                     value=_text(_LAYER_NORM_VALUE, 2, words)),
    }  # fmt: skip
    source = Template(HEAD + LAYER_NORM).substitute(words)
    arguments = (*("*", "i64") * 6, dtype.code, dtype.code, "*")
    return Kernel("layer_norm", source, arguments, group)


def _text(text: str, depth: int, words: dict[str, str], **more: str) -> str:
    lines = Template(text).substitute(words, **more).splitlines()
    return "\n".join("    " * depth + line for line in lines)


def _parameters(words: dict[str, str], names: list[str]) -> str:
    """A pointer and an offset for each operand; x, weight and bias are read only."""
    const = ["const " if k in (0, 4, 5) else "" for k in range(len(names))]
    kind = f"{words['memory']}{{}}{words['T']} *"
    return ", ".join(
        f"{kind.format(c)}{name}, {words['long']} o{k}"
        for k, (c, name) in enumerate(zip(const, names, strict=True))
    )


def _words(
    dtype: DType, dialect: Dialect, group: int, operands: int, groups: int
) -> dict[str, str]:
    """``groups`` that a multiprocessor should have room for: with float32 the 64 bytes that each of
    768 work-items reads are 49 KB under way, over twice what it takes to hide the memory (see
    ``reduce.py``); more need fewer registers than there are values."""
    writer, offsets = Writer(dialect), [f"f{k}" for k in range(operands)]
    lines = decode(f"(table + {6 + operands})", "j", offsets, dialect.long, "t")
    functions = {name: writer.function(name, dtype) for name in ("exp", "log", "sqrt")}
    return dialect.words() | functions | {
        "T": dialect.types[dtype.code], "size": str(group), "turn": str(TURN),
        "shape": dialect.group_shape.format(n=group, groups=groups if dtype.itemsize == 4 else 2),
        "pack": str(pack(dtype)), "aligned": dialect.aligned.format(n=PACK_BYTES),
        "decode": "\n".join("    " + line for line in lines),
    }  # fmt: skip
