"""The place of the first smallest or largest element of each lane.

Both are the largest of *keys*: elements with their order turned round for the smallest (all bits
flipped, or the sign), so one kernel serves both. A NaN is larger than every number, zeros of both
signs are equal, and of equal keys the first counts.

CPU, along memory: the largest key of one block after the other, in vectors; only a block that is
larger than those before it is remembered, and in the end the last one remembered is searched. CPU,
across memory: COLUMNS neighbouring lanes at once, each with its largest key and place so far.
GPU: a team of work-items takes the elements of a lane in turn, then joins what each found.

Long lanes are cut into chunks; a second pass, over the largest keys of the chunks, picks one and
looks up its place.
"""

from __future__ import annotations

from string import Template
from typing import Final

from polyback.dtype import DType
from polyback.simt.dialect import Dialect
from polyback.simt.driver import Kernel
from polyback.simt.geometry import decode
from polyback.simt.lanes import COLUMNS
from polyback.simt.teams import fold
from polyback.simt.vectors import vector_words

BLOCK: Final = 512  # elements whose largest key is found before they are searched

HELPERS: Final = Template("""\
${function}${T} pb_key(${T} x, ${T} turn) { return (${T})(x ${turned} turn); }
${function}bool pb_better(${T} a, ${T} b) { return a > b || (a != a && b == b); }""")

# n lanes, elements [chunk * y, chunk * (y + 1)) of each. What chunk y gives goes to out + y: its
# place, and to the same element of ``keys`` its key if ``keep``. With ``look_up`` x holds the keys
# of chunks, and ``places`` their places in the same layout. Table: x, out.
HEAD: Final = """\
${kernel} argreduce(${source} x, ${long} o, ${places} out, ${long} q, ${target} keys,
    ${known} places, ${T} turn, int keep, int look_up, ${long} n, ${long} span, ${long} length,
    ${long} chunk, ${long} step, ${table})
{
    ${long} start = (${long})${group_y} * chunk, stop = min(length, start + chunk);
    q += ${group_y};
"""

CPU: Final = Template(
    """\
${header}
${declare}
${helpers}
${outlined}${T} pb_most(${source} x, int count, ${T} turn)  // of a block that is dense
{
    ${T} most = pb_key(x[0], turn);
    int r = 0;
    if (count >= ${lanes}) {
        ${V} best = ${load} ${turned} turn;
        for (r = ${lanes}; r + ${lanes} <= count; r += ${lanes}) {
            ${V} v = ${load} ${turned} turn;
            best = (v > best) | (v != v) ? v : best;
        }
        ${T} some[${lanes}];
        ${spill};
        for (int k = 0; k < ${lanes}; k++) if (pb_better(some[k], most)) most = some[k];
    }
    for (; r < count; r++) {
        ${T} v = pb_key(x[r], turn);
        if (pb_better(v, most)) most = v;
    }
    return most;
}
${outlined}${long} pb_along(${source} x, ${long} step, ${long} count, ${T} turn)
{
    ${T} most = pb_key(x[0], turn);
    ${long} first = 0;
    if (step != 1) {
        for (${long} r = 1; r < count; r++) {
            ${T} v = pb_key(x[r * step], turn);
            if (pb_better(v, most)) { most = v; first = r; }
        }
        return first;
    }
    for (${long} r = 0; r < count; r += ${block}) {
        ${T} v = pb_most(x + r, (int)min((${long})${block}, count - r), turn);
        if (pb_better(v, most)) { most = v; first = r; }
    }
    for (;; first++) {
        ${T} v = pb_key(x[first], turn);
        if (v == most || (v != v && most != most)) return first;
    }
}
${outlined}void pb_across(${source} x, ${long} step, ${long} beside, int count, int width,
    ${T} turn, int *first)
{
    ${T} most[${columns}];
    for (int k = 0; k < width; k++) {
        most[k] = pb_key(x[k * beside], turn);
        first[k] = 0;
    }
    for (int r = 1; r < count; r++) {
        x += step;
        if (beside == 1)
${one_row}
        else
${one_row_apart}
    }
}
"""
    + HEAD
    + """\
    if (span == 0) {
        int outer = (int)table[0];
        ${long} across = table[1], blocks = (across + ${columns} - 1) / ${columns};
        ${long} at = ${group} % blocks * ${columns}, j = ${group} / blocks * across + at;
        int width = (int)min((${long})${columns}, across - at), first[${columns}];
${decode_inner}
        ${source} from = x + o + fx + start * step;
        ${long} beside = table[2 + outer], apart = table[3 + 2 * outer];
        pb_across(from, step, beside, (int)(stop - start), width, turn, first);
        for (int k = 0; k < width; k++) {
            ${long} r = start + first[k], to = q + fo + k * apart;
            out[to] = look_up ? places[o + fx + k * beside + r * step] : r;
            if (keep) keys[to] = pb_key(from[k * beside + first[k] * step], turn);
        }
    }
    for (${long} j = (${long})${group} * span; j < min(n, (${long})(${group} + 1) * span); j++) {
${decode_inner}
        ${source} from = x + o + fx + start * step;
        ${long} r = start + pb_along(from, step, stop - start, turn);
        out[q + fo] = look_up ? places[o + fx + r * step] : r;
        if (keep) keys[q + fo] = pb_key(from[(r - start) * step], turn);
    }
}
"""
)

# Here ``span`` is the number of work-items of a lane.
GPU: Final = Template(
    """\
${header}
${helpers}
"""
    + HEAD
    + """\
${cells}
    int id = ${local_id}, team = (int)span;
    ${long} j = (${long})${group} * (${size} / team) + id / team;
${decode}
    ${T} most = 0;
    ${long} first = length;  // none yet
    if (j < n)
        for (${long} r = start + (id & (team - 1)); r < stop; r += team) {
            ${T} v = pb_key(x[o + fx + r * step], turn);
            if (first == length || pb_better(v, most)) { most = v; first = r; }
        }
${join}
    if (j >= n || (id & (team - 1)) != 0) return;
    out[q + fo] = look_up ? places[o + fx + first * step] : first;
    if (keep) keys[q + fo] = most;
}
"""
)

# A smaller place wins among equal keys; ``length`` stands for no element.
JOIN: Final = (
    "if (first_ < length && (first == length || pb_better(most_, most) || "
    "(!pb_better(most, most_) && first_ < first))) { most = most_; first = first_; }"
)
_ONE_ROW: Final = Template("""\
            for (int k = 0; k < width; k++) {
                ${T} v = pb_key(x[${at}], turn);
                bool more = pb_better(v, most[k]);
                most[k] = more ? v : most[k];
                first[k] = more ? r : first[k];
            }""")


def argreduce_kernel(dtype: DType, dialect: Dialect, group: int) -> Kernel:
    """Places of the largest keys."""
    words = _words(dtype, dialect)
    if group > 1:
        variables = [(words["T"], "most"), (dialect.long, "first")]
        found = fold(dialect, group, variables, JOIN)
        source = GPU.substitute(words, cells=found.cells, join=found.text, size=str(group))
    else:
        source = CPU.substitute(words, **_vector_words(dtype, dialect))
    numbers = (dtype.code, "i32", "i32", *["i64"] * 5)
    arguments = ("*", "i64", "*", "i64", "*", "*", *numbers, "*")
    return Kernel("argreduce", source, arguments, group)


def turn(dtype: DType, smallest: bool) -> int | float:
    """The argument that turns the order of ``dtype`` round, or leaves it."""
    if dtype.is_floating:
        return -1.0 if smallest else 1.0
    return 0 if not smallest else -1 if dtype.kind == "int" else 2 ** (8 * dtype.itemsize) - 1


def _words(dtype: DType, dialect: Dialect) -> dict[str, str]:
    kind, turned = dialect.types[dtype.code], "*" if dtype.is_floating else "^"
    lines = decode("table", "j", ["fx", "fo"], dialect.long, "t")
    own = {"T": kind, "turned": turned}
    return (
        dialect.words()
        | own
        | {
            "helpers": HELPERS.substitute(own, function=dialect.function),
            "source": f"{dialect.memory}const {kind} *",
            "target": f"{dialect.memory}{kind} *",
            "places": f"{dialect.memory}{dialect.long} *",
            "known": f"{dialect.memory}const {dialect.long} *",
            "decode": "\n".join("    " + line for line in lines),
            "decode_inner": "\n".join("        " + line for line in lines),
        }
    )


def _vector_words(dtype: DType, dialect: Dialect) -> dict[str, str]:
    wide, kind = dialect.wide, dialect.types[dtype.code]
    assert wide is not None
    lanes = min(16, 64 // dtype.itemsize)
    words = vector_words(dialect, dtype, lanes)
    return {
        "V": wide.type.format(**words), "lanes": str(lanes),
        "declare": wide.declare.format(**words),
        "load": wide.load.format(p="x + r", memory=dialect.memory, **words),
        "spill": wide.store.format(p="some", x="best", memory="", **words),
        "columns": str(COLUMNS), "block": str(BLOCK),
        "one_row": _ONE_ROW.substitute(T=kind, at="k"),
        "one_row_apart": _ONE_ROW.substitute(T=kind, at="k * beside"),
    }  # fmt: skip
