"""Reductions on a GPU: rows and columns (see ``reduce.py`` for the shapes and their reasons)."""

from __future__ import annotations

from string import Template
from typing import Final

from polyback.simt.driver import Kernel
from polyback.simt.elementwise import PACK_BYTES
from polyback.simt.geometry import DENSE, STRIDED
from polyback.simt.reduce import CHAIN, HEAD, Frame
from polyback.simt.teams import fold

# The end of a loop over elements: three levels of sums, so that no sum is long (see ``reduce.py``).
_CHAIN: Final = """\
        low = ${combine_low};
        if (++count % ${chain} == 0) {
            middle = ${combine_middle_low};
            low = ${identity};
            if (count % ${chain2} == 0) {
                high = ${combine_high_middle};
                middle = ${identity};
            }
        }
    }
    middle = ${combine_middle_low};
    high = ${combine_high_middle};
"""

GPU_ROWS: Final = Template(
    HEAD
    + """\
${cells}
    ${index} j = (${index})${group};
    int id = ${local_id}, team = ${size}, count = 0;
${decode_kept}
    ${T} high = ${identity}, middle = ${identity}, low = ${identity};
    for (${index} r = start + id; r < stop; r += ${size}) {
${decode_reduced}
${body}
"""
    + _CHAIN
    + """\
${fold}
    if (id == 0) out[q + ${at_result}] = high;
}
"""
)

# Rows that are dense: ``each`` elements at a time, ``turns`` times before they are added.
GPU_DENSE: Final = Template(
    HEAD
    + """\
${cells}
    ${index} j = (${index})${group};
    int id = ${local_id}, team = ${size}, count = 0;
${decode_kept}
    bool packed = ${aligned};
    ${T} high = ${identity}, middle = ${identity}, low = ${identity};
    for (${index} r0 = start + id * ${each}; r0 < stop; r0 += ${turns} * ${size} * ${each}) {
${packs}
        ${unroll}
        for (int u = 0; u < ${turns}; u++) {
            ${index} r = r0 + u * ${size} * ${each};
            if (packed && r + ${each} <= stop) {
${load}
            } else {
                for (int e = 0; e < ${each} && r + e < stop; e++) {
${load_some}
                }
            }
        }
        ${unroll}
        for (int u = 0; u < ${turns}; u++)
            ${unroll}
            for (int e = 0; e < ${each}; e++)
                if (r0 + u * ${size} * ${each} + e < stop) {
${body}
                    low = ${combine_low};
                }
        if (++count % ${often} == 0) {
            middle = ${combine_middle_low};
            low = ${identity};
            if (count % (${often} * ${chain}) == 0) {
                high = ${combine_high_middle};
                middle = ${identity};
            }
        }
    }
    middle = ${combine_middle_low};
    high = ${combine_high_middle};
${fold}
    if (id == 0) out[q + ${at_result}] = high;
}
"""
)
TURNS: Final = 2

GPU_COLUMNS: Final = Template(
    HEAD
    + """\
    ${index} j = (${index})${group} * ${size} + ${local_id};
    if (j >= (${index})n) return;
    int count = 0;
${decode_kept}
    ${T} high = ${identity}, middle = ${identity}, low = ${identity};
    for (${index} r = start; r < stop; r++) {
${decode_reduced}
${body}
"""
    + _CHAIN
    + """\
    out[q + ${at_result}] = high;
}
"""
)


def rows(f: Frame) -> Kernel:
    """The fastest axis is reduced: a group per output."""
    join = f"high = {f.one.apply(f.op.combine, f.dtype, 'high', 'high_')};"
    kind = f.one.register(f.dtype)
    found = fold(f.dialect, f.group, [(kind, "high")], join, f.dtype.kind != "complex")
    words = f.words() | {"cells": found.cells, "fold": found.text}
    if f.spec.flat and DENSE in f.spec.modes and STRIDED not in f.spec.modes:
        return _dense(f, words)
    return f.finish(GPU_ROWS, words | _words(f))


def columns(f: Frame) -> Kernel:
    """The fastest axis is kept, or rows are short: a work-item per output."""
    return f.finish(GPU_COLUMNS, f.words() | _words(f))


def _dense(f: Frame, words: dict[str, str]) -> Kernel:
    """Arrays that move are read by packs of one number of elements, the others as often."""
    kinds = {k: f.program.inputs[k].dtype for k in f.inputs}
    moving = [k for k, mode in zip(f.inputs, f.spec.modes, strict=True) if mode == DENSE]
    each = max(1, PACK_BYTES // max(kinds[k].itemsize for k in moving))
    types, packs, load, some, loads = {}, [], [], [], f.number_loads()
    for k in f.inputs:
        code, at = kinds[k].code, f"p{k} + o{k} + f{k}"
        value = f"v{k}[u].v[e]" if k in moving else f"*({at})"
        loads.append(f"{f.one.register(kinds[k])} t{k} = {value};")
        if k in moving:
            aligned = f.dialect.aligned.format(n=each * kinds[k].itemsize)
            kind = f"struct {aligned} {{ {f.dialect.types[code]} v[{each}]; }}"
            types[code] = f"typedef {kind} pb_pack_{code};"
            packs.append(f"pb_pack_{code} v{k}[{TURNS}];")
            load.append(f"v{k}[u] = *({f.dialect.memory}const pb_pack_{code} *)({at} + r);")
            some.append(f"v{k}[u].v[e] = ({at})[r + e];")
    words |= _joins(f) | {
        "each": str(each), "turns": str(TURNS), "often": str(max(1, CHAIN // (TURNS * each))),
        "unroll": f.dialect.unroll, "packs": _lines(packs, 2), "load": _lines(load, 4),
        "load_some": _lines(some, 5), "body": "\n".join(f.value(5, loads)),
        "aligned": " && ".join(f"(o{k} + f{k}) % {each} == 0" for k in moving),
    }  # fmt: skip
    return f.finish(GPU_DENSE, words, "\n".join(types.values()))


def _lines(lines: list[str], depth: int) -> str:
    return "\n".join(" " * 4 * depth + line for line in lines)


def _words(f: Frame) -> dict[str, str]:
    loads = f.number_loads()
    for k in f.inputs:
        kind = f.one.register(f.program.inputs[k].dtype)
        loads.append(f"{kind} t{k} = p{k}[o{k} + f{k} + g{k}];")
    return _joins(f) | {"body": "\n".join(f.value(2, loads))}


def _joins(f: Frame) -> dict[str, str]:
    result = f"t{f.program.outputs[0]}"
    return {
        "combine_low": f.combine("low", result),
        "combine_middle_low": f.combine("middle", "low"),
        "combine_high_middle": f.combine("high", "middle"),
    }
