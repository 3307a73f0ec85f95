"""Stable sorting for a CPU: chunks sorted digit by digit, then merged in pairs.

What is moved is an *entry*. Sorting values, it is the value itself, whose key (see ``sorting.py``)
is made again wherever it is asked for: equal keys stay as they came, so zeros of either sign and
all kinds of NaN do too. Sorting places, it is a key and a place along the lane, each of 32 bits
where both fit.

A work-item sorts whole chunks by counting, byte by byte of the key from the lowest; a byte that is
the same in all keys is skipped, and short chunks are inserted one by one. A chunk is a lane, or a
part of one where there are fewer lanes than cores. Parts are then merged in pairs: a work-item
takes a span of the result, whose beginning in the two parts it finds by binary search.
"""

from __future__ import annotations

from string import Template
from typing import Final

from polyback.dtype import DType
from polyback.simt.dialect import Dialect
from polyback.simt.driver import Kernel
from polyback.simt.geometry import decode
from polyback.simt.sorting import key_texts, key_type

SMALL: Final = 48  # entries that are inserted one by one

# ``flip`` has all bits set for a descending order.
KEY: Final = """\
${function}${word} pb_key(${T} value, ${word} flip)
{
    return ${nan} ? ~(${word})0 : (${map}) ^ flip;
}
"""
VALUES: Final = "typedef ${T} entry;\n#define KEY(e) pb_key(e, flip)\n"
PLACES: Final = "typedef struct { ${word} key, place; } entry;\n#define KEY(e) (e).key\n"
MAKE_VALUE: Final = "a[e] = at[e * step];"
MAKE_PLACE: Final = """\
{
                a[e].key = pb_key(at[e * step], flip);
                a[e].place = (${word})(first + e);
            }"""

# Chunk ``c`` is number c % per of its lane. ``counts`` holds how often each digit has each value,
# then where the next entry with it goes.
CHUNKS: Final = """\
${kernel} chunks(${source} x, ${long} o, ${entries} here, ${entries} there, ${long} n,
    ${long} span, ${long} length, ${long} chunk, ${long} per, ${long} step, int descending,
    ${words} table)
{
    ${long} counts[${digits}][256];
    ${long} last = min(n, ((${long})${group} + 1) * span);
    ${word} flip = descending ? ~(${word})0 : 0;
    for (${long} c = (${long})${group} * span; c < last; c++) {
        ${long} lane = c / per, first = c % per * chunk;
        ${long} count = min(chunk, length - first);
${decode}
        ${source} at = x + o + fx + first * step;
        ${entries} a = here + lane * length + first;
        ${entries} b = there + lane * length + first;
        for (${long} e = 0; e < count; e++) ${make}
        if (count <= ${small}) {
            for (${long} e = 1; e < count; e++) {
                entry moved = a[e];
                ${word} key = KEY(moved);
                ${long} to = e;
                for (; to > 0 && KEY(a[to - 1]) > key; to--) a[to] = a[to - 1];
                a[to] = moved;
            }
            continue;
        }
        for (int d = 0; d < ${digits}; d++)
            for (int v = 0; v < 256; v++) counts[d][v] = 0;
        for (${long} e = 0; e < count; e++) {
            ${word} key = KEY(a[e]);
            for (int d = 0; d < ${digits}; d++) counts[d][key >> 8 * d & 255]++;
        }
        for (int d = 0; d < ${digits}; d++) {
            if (counts[d][KEY(a[0]) >> 8 * d & 255] == count) continue;
            ${long} before = 0;
            for (int v = 0; v < 256; v++) {
                ${long} many = counts[d][v];
                counts[d][v] = before;
                before += many;
            }
            for (${long} e = 0; e < count; e++) {
                entry moved = a[e];
                b[counts[d][KEY(moved) >> 8 * d & 255]++] = moved;
            }
            ${entries} other = a;
            a = b;
            b = other;
        }
        if (a == there + lane * length + first)
            for (${long} e = 0; e < count; e++) b[e] = a[e];
    }
}
"""

# Runs of ``run`` entries become runs of twice as many; ties are taken from the left.
MERGE: Final = """\
${kernel} merge(${sources} from, ${entries} to, ${long} n, ${long} span, ${long} length,
    ${long} run, int descending)
{
    ${word} flip = descending ? ~(${word})0 : 0;
    ${long} i = (${long})${group} * span, last = min(n, i + span);
    while (i < last) {
        ${long} lane = i / length * length, pair = (i - lane) / (2 * run) * (2 * run);
        ${long} middle = min(length, pair + run), end = min(length, pair + 2 * run);
        ${long} done = i - lane - pair, count = min(end, last - lane) - pair - done;
        ${sources} left = from + lane + pair;
        ${sources} right = from + lane + middle;
        ${long} lefts = middle - pair, rights = end - middle;
        ${long} low = max((${long})0, done - rights), high = min(done, lefts);
        while (low < high) {
            ${long} probe = (low + high) / 2;
            if (KEY(left[probe]) <= KEY(right[done - probe - 1])) low = probe + 1;
            else high = probe;
        }
        ${entries} out = to + i;
        ${long} l = low, r = done - low, e = 0;
        while (e < count && l < lefts && r < rights) {
            entry a = left[l], b = right[r];
            int is_right = KEY(b) < KEY(a);
            out[e++] = is_right ? b : a;
            r += is_right;
            l += 1 - is_right;
        }
        for (; e < count && l < lefts; e++) out[e] = left[l++];
        for (; e < count; e++) out[e] = right[r++];
        i += count;
    }
}
"""


def place_code(dtype: DType, length: int) -> str:
    """The dtype code of the two words of an entry that has a place."""
    return "u64" if dtype.itemsize == 8 or length > 0xFFFFFFFF else "u32"


def chunks_kernel(dtype: DType, code: str | None, dialect: Dialect) -> Kernel:
    """From elements to sorted chunks of entries with places of words of type ``code``, or, if that
    is None, of values."""
    source = _source(KEY, VALUES if code is None else PLACES, CHUNKS)
    make = MAKE_VALUE if code is None else MAKE_PLACE
    words = _words(dtype, code or key_type(dtype), dialect)
    text = Template(source.replace("${make}", make)).substitute(words)
    return Kernel("chunks", text, ("*", "i64", "*", "*", *["i64"] * 6, "i32", "*"))


def merge_kernel(dtype: DType, code: str | None, dialect: Dialect) -> Kernel:
    """One pass over all lanes."""
    source = _source(KEY, VALUES, MERGE) if code is None else _source(PLACES, MERGE)
    text = Template(source).substitute(_words(dtype, code or key_type(dtype), dialect))
    return Kernel("merge", text, ("*",) * 2 + ("i64",) * 4 + ("i32",))


def _source(*parts: str) -> str:
    return "${header}\n" + "".join(parts)


def _words(dtype: DType, code: str, dialect: Dialect) -> dict[str, str]:
    lines, memory = decode("table", "lane", ["fx"], dialect.long, "t"), dialect.memory
    kind, mapped, nan = key_texts(dtype, dialect)
    return {
        "header": dialect.header, "kernel": dialect.kernel, "function": dialect.function,
        "long": dialect.long, "word": dialect.types[code], "T": kind, "map": mapped, "nan": nan,
        "digits": "8" if dtype.itemsize == 8 else "4", "small": str(SMALL),
        "source": f"{memory}const {kind} *", "entries": f"{memory}entry *",
        "sources": f"{memory}const entry *", "words": f"{memory}const {dialect.long} *",
        "group": dialect.group_id[0], "decode": "\n".join(" " * 8 + line for line in lines),
    }  # fmt: skip
