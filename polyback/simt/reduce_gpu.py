"""Reductions on a GPU: rows and columns (see ``reduce.py`` for the shapes and their reasons)."""

from __future__ import annotations

from collections.abc import Sequence
from string import Template
from typing import Final

from polyback.program import Program
from polyback.simt.driver import Kernel
from polyback.simt.elementwise import PACK_BYTES
from polyback.simt.geometry import DENSE, STRIDED, last_step
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

# Columns that are dense: a work-item takes ``each`` neighbours of every ``tall``-th row, ``turns``
# rows before they are added; what a group's rows make is joined in shared memory, in one order.
GPU_DENSE_COLUMNS: Final = Template(
    HEAD
    + """\
    ${shared}${T} cells[${tall}][${across} * ${each}];
    int id = ${local_id}, lane = id % ${across}, place = id / ${across}, count = 0;
    ${index} first = (${index})${group} * (${across} * ${each}), j = first + lane * ${each};
    bool whole = j + ${each} <= (${index})n;
${decode_kept}
    const int outerr = 0;
${steps}
    bool packed = whole && ${aligned};
    ${T} high[${each}], middle[${each}], low[${each}];
    ${unroll}
    for (int e = 0; e < ${each}; e++) high[e] = middle[e] = low[e] = ${identity};
    for (${index} r0 = start + place; r0 < stop; r0 += ${turns} * ${tall}) {
${packs}
        ${unroll}
        for (int u = 0; u < ${turns}; u++) {
            ${index} r = r0 + u * ${tall};
            if (packed && r < stop) {
${load}
            } else if (r < stop) {
                for (int e = 0; e < ${each} && j + e < (${index})n; e++) {
${load_some}
                }
            }
        }
        ${unroll}
        for (int u = 0; u < ${turns}; u++)
            if (r0 + u * ${tall} < stop)
                ${unroll}
                for (int e = 0; e < ${each}; e++) {
${body}
                    low[e] = ${combine_low};
                }
        if (++count % ${often} == 0) {
            ${unroll}
            for (int e = 0; e < ${each}; e++) {
                middle[e] = ${combine_middle_low};
                low[e] = ${identity};
                if (count % (${often} * ${chain}) == 0) {
                    high[e] = ${combine_high_middle};
                    middle[e] = ${identity};
                }
            }
        }
    }
    ${unroll}
    for (int e = 0; e < ${each}; e++) {
        middle[e] = ${combine_middle_low};
        cells[place][lane * ${each} + e] = ${combine_high_middle};
    }
    ${barrier}
    if (id < ${across} * ${each} && first + id < (${index})n) {
        ${T} a = cells[0][id];
        for (int t = 1; t < ${tall}; t++) {
            ${T} b = cells[t][id];
            a = ${combine_ab};
        }
        out[q + (first + id) * ${result_step}] = a;
    }
}
"""
)
TALL: Final = 8  # rows of a group
COLUMN_TURNS: Final = 4
MOST_EACH: Final = 8  # columns of a work-item: it has three sums of each

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


def is_dense(modes: Sequence[str]) -> bool:
    """Do arrays move in steps of one element, or not at all?"""
    return DENSE in modes and STRIDED not in modes


def rows(f: Frame) -> Kernel:
    """The fastest axis is reduced: a group per output."""
    join = f"high = {f.one.apply(f.op.combine, f.dtype, 'high', 'high_')};"
    kind = f.one.register(f.dtype)
    found = fold(f.dialect, f.group, [(kind, "high")], join, f.dtype.kind != "complex")
    words = f.words() | {"cells": found.cells, "fold": found.text}
    if f.spec.flat and is_dense(f.spec.modes):
        return _dense(f, words)
    return f.finish(GPU_ROWS, words | _words(f))


def columns(f: Frame) -> Kernel:
    """The fastest axis is kept, or rows are short: a work-item per output."""
    if f.spec.flat and is_dense(f.spec.modes):
        return _dense_columns(f)
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


def across(program: Program, modes: Sequence[str], group: int) -> int:
    """Neighbouring columns of a group, if arrays move like this along them."""
    return group // TALL * _each(program, modes)


def _each(program: Program, modes: Sequence[str]) -> int:
    """Columns of a work-item: 16 bytes of the widest array that moves."""
    arrays = [x.dtype for x in program.inputs if not x.scalar]
    widest = max(d.itemsize for d, mode in zip(arrays, modes, strict=True) if mode == DENSE)
    return min(MOST_EACH, max(1, PACK_BYTES // widest))


def _dense_columns(f: Frame) -> Kernel:
    kinds = {k: f.program.inputs[k].dtype for k in f.inputs}
    each = _each(f.program, f.spec.modes)
    types, packs, load, some, steps, tests = {}, [], [], [], [], []
    loads = f.number_loads()
    for n, (k, mode) in enumerate(zip(f.inputs, f.spec.modes, strict=True)):
        code, at = kinds[k].code, f"p{k} + o{k} + f{k}"
        steps.append(f"{f.index} d{k} = {last_step('reduced', n, f.index, 'r')};")
        value = f"({at})[(r0 + u * {TALL}) * d{k}]"
        if mode == DENSE:
            aligned = f.dialect.aligned.format(n=each * kinds[k].itemsize)
            kind = f"struct {aligned} {{ {f.dialect.types[code]} v[{each}]; }}"
            types[code] = f"typedef {kind} pb_pack_{code};"
            packs.append(f"pb_pack_{code} v{k}[{COLUMN_TURNS}];")
            whole = f"{f.dialect.memory}const pb_pack_{code} *"
            load.append(f"v{k}[u] = *({whole})({at} + r * d{k});")
            some.append(f"v{k}[u].v[e] = ({at} + r * d{k})[e];")
            tests.append(f"(o{k} + f{k}) % {each} == 0 && d{k} % {each} == 0")
            value = f"v{k}[u].v[e]"
        loads.append(f"{f.one.register(kinds[k])} t{k} = {value};")
    result = f"t{f.program.outputs[0]}"
    words = f.words() | {
        "tall": str(TALL), "across": str(f.group // TALL), "each": str(each),
        "turns": str(COLUMN_TURNS), "often": str(CHAIN // COLUMN_TURNS), "unroll": f.dialect.unroll,
        "steps": _lines(steps, 1), "aligned": " && ".join(tests), "packs": _lines(packs, 2),
        "load": _lines(load, 4), "load_some": _lines(some, 5),
        "body": "\n".join(f.value(5, loads)), "combine_low": f.combine("low[e]", result),
        "combine_middle_low": f.combine("middle[e]", "low[e]"),
        "combine_high_middle": f.combine("high[e]", "middle[e]"),
        "result_step": last_step("kept", len(f.inputs), f.index, "k"),
    }  # fmt: skip
    return f.finish(GPU_DENSE_COLUMNS, words, "\n".join(types.values()))


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
