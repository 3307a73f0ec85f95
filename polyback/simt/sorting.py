"""Stable argsort by merging runs of doubling length.

First every element becomes a key, an unsigned integer that orders as the sort wants: sign and
exponent bits turned so that numbers compare as integers, -0 made +0, all bits flipped for
descending order, NaN the largest key of all. Then log2(n) passes: an element's place in the merge
of its run with the neighbouring one is its place in its own run plus its *rank* in the other, found
by binary search. Ties keep their order: elements of the left run count smaller keys on the right,
those of the right run smaller or equal keys on the left. Every element is independent, as a GPU
wants it; a CPU has the same keys, and texts of its own (``sorting_cpu.py``).
"""

from __future__ import annotations

from string import Template
from typing import Final

from polyback.dtype import DType
from polyback.simt.dialect import UNSIGNED, Dialect
from polyback.simt.driver import Kernel
from polyback.simt.geometry import decode

KEYS: Final = Template("""\
${header}
${kernel} keys(${source} x, ${long} o, ${key_pointer} key, ${long_pointer} place, ${long} n,
    ${long} length, ${long} step, int descending, ${words} table)
{
    ${long} i = (${long})${group} * ${size} + ${local_id};
    if (i >= n) return;
    ${long} lane = i / length, at = i % length;
${decode}
    ${T} value = x[o + fx + at * step];
    ${key} k = ${map};
    if (descending && !(${nan})) k = ~k;
    key[i] = ${nan} ? ~(${key})0 : k;
    place[i] = at;
}
""")

MERGE: Final = Template("""\
${header}
${kernel} merge(${key_source} key, ${long_source} place, ${key_pointer} key_to,
    ${long_pointer} place_to, ${long} n, ${long} length, ${long} run)
{
    ${long} i = (${long})${group} * ${size} + ${local_id};
    if (i >= n) return;
    ${long} lane = i / length * length, at = i - lane;
    ${long} mine = at / run * run, pair = at / (2 * run) * (2 * run);
    bool left = mine == pair;
    ${long} low = left ? pair + run : pair, high = min(length, low + run), base = low;
    low = min(low, length);
    high = max(low, high);
    base = low;
    ${key} k = key[i];
    while (low < high) {
        ${long} middle = (low + high) / 2;
        ${key} other = key[lane + middle];
        if (left ? other < k : other <= k) low = middle + 1;
        else high = middle;
    }
    ${long} to = lane + pair + (at - mine) + (low - base);
    key_to[to] = k;
    place_to[to] = place[i];
}
""")


def key_type(dtype: DType) -> str:
    """The dtype code of keys: 32 bits unless the type has 64."""
    return "u64" if dtype.itemsize == 8 else "u32"


def keys_kernel(dtype: DType, dialect: Dialect, group: int) -> Kernel:
    """From elements to keys and places."""
    words = _words(dialect, group, key_type(dtype))
    kind = dialect.types[dtype.code]
    lines = decode("table", "lane", ["fx"], dialect.long, "t")
    image, mapped, nan = key_texts(dtype, dialect)
    source = KEYS.substitute(
        words, source=f"{dialect.memory}const {kind} *", T=image,
        decode="\n".join("    " + line for line in lines), map=mapped, nan=nan,
    )  # fmt: skip
    return Kernel("keys", source, ("*", "i64", "*", "*", *["i64"] * 3, "i32", "*"), group)


def merge_kernel(code: str, dialect: Dialect, group: int) -> Kernel:
    """One pass: runs of ``run`` elements become runs of twice as many."""
    source = MERGE.substitute(_words(dialect, group, code))
    return Kernel("merge", source, ("*",) * 4 + ("i64",) * 3, group)


def _words(dialect: Dialect, group: int, code: str) -> dict[str, str]:
    key, long, memory = dialect.types[code], dialect.long, dialect.memory
    return {
        "header": dialect.header, "kernel": dialect.kernel, "long": long, "key": key,
        "key_pointer": f"{memory}{key} *", "long_pointer": f"{memory}{long} *",
        "key_source": f"{memory}const {key} *", "long_source": f"{memory}const {long} *",
        "words": f"{memory}const {long} *", "group": dialect.group_id[0],
        "local_id": dialect.local_id, "size": str(group),
    }  # fmt: skip


def key_texts(dtype: DType, dialect: Dialect) -> tuple[str, str, str]:
    """(what an element is read as, the key of this ``value`` in ascending order, is it NaN?)"""
    image = dialect.types[dtype.code] if dtype.itemsize < 4 else dialect.type(dtype)
    return image, *_mapping(dtype, dialect)


def _mapping(dtype: DType, dialect: Dialect) -> tuple[str, str]:
    """(the key of ``value`` in ascending order, is it NaN?)"""
    key = dialect.types[key_type(dtype)]
    top = f"(({key})1 << {8 * (8 if dtype.itemsize == 8 else 4) - 1})"
    if dtype.kind in ("bool", "uint"):
        return f"({key})value", "false"
    if dtype.kind == "int":
        wide = "i64" if dtype.itemsize == 8 else "i32"
        return f"({key})({dialect.types[wide]})value ^ {top}", "false"
    if dtype.itemsize == 2:  # half types: bits in an unsigned short
        most = 0x7C00 if dtype.code == "f16" else 0x7F80
        number = "((value & 0x7fff) == 0 ? 0 : value)"
        turned = f"({key})({number} & 0x8000 ? 0xffff ^ {number} : {number} | 0x8000)"
        return f"{turned} + 1", f"(value & 0x7fff) > {most}"
    bits = f"{dialect.reinterpret[UNSIGNED[dtype.itemsize]]}(value == 0 ? 0 : value)"
    return f"({bits} & {top} ? ~{bits} : {bits} | {top})", "value != value"
