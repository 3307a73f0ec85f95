"""Reductions on a GPU: rows and columns (see ``reduce.py`` for the shapes and their reasons)."""

from __future__ import annotations

from string import Template
from typing import Final

from polyback.simt.driver import Kernel
from polyback.simt.reduce import HEAD, Frame
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
    words = f.words() | _words(f) | {"cells": found.cells, "fold": found.text}
    return f.finish(GPU_ROWS, words)


def columns(f: Frame) -> Kernel:
    """The fastest axis is kept, or rows are short: a work-item per output."""
    return f.finish(GPU_COLUMNS, f.words() | _words(f))


def _words(f: Frame) -> dict[str, str]:
    loads = f.number_loads()
    for k in f.inputs:
        kind = f.one.register(f.program.inputs[k].dtype)
        loads.append(f"{kind} t{k} = p{k}[o{k} + f{k} + g{k}];")
    result = f"t{f.program.outputs[0]}"
    return {
        "body": "\n".join(f.value(2, loads)),
        "combine_low": f.combine("low", result),
        "combine_middle_low": f.combine("middle", "low"),
        "combine_high_middle": f.combine("high", "middle"),
    }
