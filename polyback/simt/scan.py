"""Running sums, products and extremes along lanes: kernels.

A lane is cut into chunks that are made independently; each is given what all the chunks before it
have together (``carry``), so a long lane takes three steps: results of chunks, their scan, and this
kernel.

The bound on the error of sums holds for every prefix, so additions are few for the first elements
of a chunk too: partial results go into ``low``, FEW of these into ``middle``, FEW of those into
``high``, and an element is one of these sums away from the result of its block.

CPU, along memory: a block of CHAINS times CHAIN elements is CHAINS chains side by side, so that one
addition need not wait for the one before; then each chain is raised by what is before it. CPU,
across memory: COLUMNS neighbouring lanes at once.
GPU: each work-item of a team scans EACH neighbouring elements, then the team scans their results.
"""

from __future__ import annotations

from string import Template
from typing import Final

from polyback.dtype import DType
from polyback.scalar import Reduction
from polyback.simt.dialect import Dialect
from polyback.simt.driver import Kernel
from polyback.simt.elementwise import PACK_BYTES
from polyback.simt.expression import Writer
from polyback.simt.geometry import decode
from polyback.simt.lanes import COLUMNS
from polyback.simt.reduce import identity_of
from polyback.simt.teams import scan

FEW: Final = 16
CHAINS, CHAIN = 8, 16

# n lanes; chunk y is elements [chunk * y, chunk * (y + 1)), and what is before it is element y - 1
# of the lane in ``carry``. Table: x, out, carry.
HEAD: Final = """\
${kernel} scan(${source} x, ${long} o, ${target} out, ${long} q, ${source} carry, ${long} n,
    ${long} span, ${long} length, ${long} chunk, ${long} step, ${long} apart, int packed, ${table})
{
    ${long} y = ${group_y}, start = y * chunk, stop = min(length, start + chunk);
"""

CPU: Final = Template(
    """\
${header}
${helpers}
${outlined}void pb_along(${source} x, ${long} step, ${target} out, ${long} apart, ${long} count,
    ${T} high)
{
    ${T} middle = ${identity}, low = ${identity}, v[${block}];
    int blocks = 0;
    for (${long} r = 0; r < count; r += ${block}) {
        int some = (int)min((${long})${block}, count - r);
        if (step == 1 && some == ${block}) for (int e = 0; e < ${block}; e++) v[e] = x[r + e];
        else for (int e = 0; e < some; e++) v[e] = x[(r + e) * step];
        for (int e = some; e < ${block}; e++) v[e] = ${identity};
        ${T} end[${chains}], all = ${identity}, before = ${high_rest};
        for (int k = 0; k < ${chains}; k++) end[k] = v[k * ${chain}];
        for (int c = 1; c < ${chain}; c++)
            ${unroll}
            for (int k = 0; k < ${chains}; k++)
                v[k * ${chain} + c] = end[k] = ${end_v};
        for (int k = 0; k < ${chains}; k++) {
            ${T} base = ${before_all};
            for (int c = 0; c < ${chain}; c++) v[k * ${chain} + c] = ${base_v};
            all = ${all_end};
        }
        if (apart == 1 && some == ${block}) for (int e = 0; e < ${block}; e++) out[r + e] = v[e];
        else for (int e = 0; e < some; e++) out[(r + e) * apart] = v[e];
        low = ${low_all};
        if (++blocks % ${few} == 0) {
            middle = ${middle_low};
            low = ${identity};
            if (blocks % ${few2} == 0) {
                high = ${high_middle};
                middle = ${identity};
            }
        }
    }
}
${outlined}void pb_across(${source} x, ${long} step, ${long} beside, ${target} out, ${long} apart,
    ${long} beside_out, ${long} count, int width, ${T} *high)
{
    ${T} middle[${columns}], low[${columns}], base[${columns}];
    for (int k = 0; k < width; k++) {
        middle[k] = low[k] = ${identity};
        base[k] = high[k];
    }
    for (${long} r = 0; r < count; r++) {
        if (r > 0 && r % ${few} == 0)
            for (int k = 0; k < width; k++) {
                middle[k] = ${middles_lows};
                low[k] = ${identity};
                if (r % ${few2} == 0) {
                    high[k] = ${highs_middles};
                    middle[k] = ${identity};
                }
                base[k] = ${highs_middles};
            }
        if (beside == 1 && beside_out == 1)
            for (int k = 0; k < width; k++) {
                low[k] = ${lows_dense};
                out[k] = ${bases_lows};
            }
        else
            for (int k = 0; k < width; k++) {
                low[k] = ${lows_apart};
                out[k * beside_out] = ${bases_lows};
            }
        x += step;
        out += apart;
    }
}
"""
    + HEAD
    + """\
    if (span == 0) {
        int outer = (int)table[0];
        ${long} across = table[1], blocks = (across + ${columns} - 1) / ${columns};
        ${long} at = ${group} % blocks * ${columns}, j = ${group} / blocks * across + at;
        int width = (int)min((${long})${columns}, across - at);
${decode_inner}
        ${T} high[${columns}];
        for (int k = 0; k < width; k++) {
            high[k] = ${identity};
            if (y > 0) high[k] = carry[fc + k * table[4 + 3 * outer] + y - 1];
        }
        pb_across(x + o + fx + start * step, step, table[2 + outer], out + q + fo + start * apart,
            apart, table[3 + 2 * outer], stop - start, width, high);
    }
    for (${long} j = (${long})${group} * span; j < min(n, (${long})(${group} + 1) * span); j++) {
${decode_inner}
        ${T} high = ${identity};
        if (y > 0) high = carry[fc + y - 1];
        pb_along(x + o + fx + start * step, step, out + q + fo + start * apart, apart, stop - start,
            high);
    }
}
"""
)

# Here ``span`` is the number of work-items of a lane.
GPU: Final = Template(
    """\
${header}
${helpers}
typedef struct ${aligned} { ${T} v[${each}]; } pb_pack;
"""
    + HEAD
    + """\
${cells}
    int id = ${local_id}, team = (int)span, tiles = 0;
    ${long} j = (${long})${group} * (${size} / team) + id / team;
    bool ours = j < n;
${decode}
    x += o + fx;
    out += q + fo;
    ${T} high = ${identity}, middle = ${identity}, low = ${identity};
    if (y > 0 && ours) high = carry[fc + y - 1];
    for (${long} tile = start; tile < stop; tile += team * ${each}) {
        ${long} r = tile + (id & (team - 1)) * ${each};
        bool whole = packed && ours && r + ${each} <= stop;
        pb_pack some;
        if (whole) some = *(${memory}const pb_pack *)(x + r);
        ${unroll}
        for (int e = 0; e < ${each}; e++) {
            if (!whole) some.v[e] = ${identity};
            if (!whole && ours && r + e < stop) some.v[e] = x[(r + e) * step];
            if (e > 0) some.v[e] = ${chain_v};
        }
        ${T} mine = some.v[${each} - 1];
${scan}
        ${T} base = ${high_rest};
        base = ${base_before};
        ${unroll}
        for (int e = 0; e < ${each}; e++) {
            some.v[e] = ${base_some};
            if (!whole && ours && r + e < stop) out[(r + e) * apart] = some.v[e];
        }
        if (whole) *(${memory}pb_pack *)(out + r) = some;
        low = ${low_all};
        if (++tiles % ${few} == 0) {
            middle = ${middle_low};
            low = ${identity};
            if (tiles % ${few2} == 0) {
                high = ${high_middle};
                middle = ${identity};
            }
        }
    }
}
"""
)

# Holes that combine two values.
_JOINS: Final = {
    "end_v": ("end[k]", f"v[k * {CHAIN} + c]"), "before_all": ("before", "all"),
    "base_v": ("base", f"v[k * {CHAIN} + c]"), "all_end": ("all", "end[k]"),
    "low_all": ("low", "all"), "middle_low": ("middle", "low"), "high_middle": ("high", "middle"),
    "middles_lows": ("middle[k]", "low[k]"), "highs_middles": ("high[k]", "middle[k]"),
    "lows_dense": ("low[k]", "x[k]"), "lows_apart": ("low[k]", "x[k * beside]"),
    "bases_lows": ("base[k]", "low[k]"), "chain_v": ("some.v[e - 1]", "some.v[e]"),
    "base_before": ("base", "before"), "base_some": ("base", "some.v[e]"),
}  # fmt: skip


def each(dtype: DType) -> int:
    """Neighbouring elements of a GPU's work-item."""
    return max(4, PACK_BYTES // dtype.itemsize)


def scan_kernel(op: Reduction, dtype: DType, dialect: Dialect, group: int) -> Kernel:
    """Scans chunks."""
    writer, kind = Writer(dialect), dialect.types[dtype.code]

    def join(a: str, b: str) -> str:
        return writer.apply(op.combine, dtype, a, b)

    identity = writer.literal(identity_of(op, dtype), dtype)
    words = dialect.words() | {name: join(a, b) for name, (a, b) in _JOINS.items()}
    lines = decode("table", "j", ["fx", "fo", "fc"], dialect.long, "t")
    words |= {
        "T": kind, "source": f"{dialect.memory}const {kind} *",
        "target": f"{dialect.memory}{kind} *", "identity": identity,
        "high_rest": join("high", join("middle", "low")), "few": str(FEW), "few2": str(FEW * FEW),
        "decode": "\n".join("    " + line for line in lines),
        "decode_inner": "\n".join("        " + line for line in lines),
    }  # fmt: skip
    if group == 1:
        sizes = {"chains": CHAINS, "chain": CHAIN, "block": CHAINS * CHAIN, "columns": COLUMNS}
        words |= {key: str(n) for key, n in sizes.items()}
        template = CPU
    else:
        template = GPU
        found = scan(dialect, group, kind, identity, join, dtype.kind != "complex")
        words |= {
            "cells": found.cells, "scan": found.text, "each": str(each(dtype)),
            "aligned": dialect.aligned.format(n=PACK_BYTES), "size": str(group),
        }  # fmt: skip
    source = template.substitute(words, helpers="\n".join(writer.helpers.values()))
    arguments = ("*", "i64", "*", "i64", "*", *["i64"] * 6, "i32", "*")
    return Kernel("scan", source, arguments, group)
