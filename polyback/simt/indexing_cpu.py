"""Gather and scatter for a CPU, whose work-item is a core.

Gather goes along rows (a row is the last axis after merging): a place is read once for a whole row
that shares it, which is then a copy that the compiler's vectoriser takes.

Scatter must act in row-major order along the axis, and lanes (the other indexes) are independent.
Where the lanes of a row are neighbours in memory, a work-item takes a span of them and goes along
the axis once, all its lanes at each step: a column at a time would touch a cache line per element.
"""

from __future__ import annotations

from string import Template
from typing import Final

from polyback.dtype import DType
from polyback.simt.dialect import Dialect, carrier
from polyback.simt.driver import Kernel
from polyback.simt.expression import Writer
from polyback.simt.geometry import decode, last_step
from polyback.simt.indexing import MODES

# table: operands index, dense (gather's result, scatter's values), table (moved along the other
# axes).
GATHER: Final = Template("""\
${header}
${kernel} gather(${dense} out, ${long} q, ${values} x, ${long} o, ${indexes} index, ${long} p,
    ${long} n, ${long} span, ${long} step, ${words} table)
{
    ${long} i = (${long})${group} * span, last = min(n, i + span);
    while (i < last) {
${decode}
        ${dense} to = out + q + fd;
        ${values} from = x + o + ft;
        ${indexes} at = index + p + fi;
        if (di == 0 && dd == 1 && dt == 1) {
            from += at[0] * step;
            for (${long} e = 0; e < count; e++) to[e] = from[e];
        } else {
            for (${long} e = 0; e < count; e++) to[e * dd] = from[e * dt + at[e * di] * step];
        }
        i += count;
    }
}
""")

# lanes: the axes but the scattered one, same operands; steps along the axis of the three come as
# numbers. ``most``: lanes at a time.
SCATTER: Final = Template("""\
${header}
${helpers}
${kernel} scatter(${dense} out, ${long} q, ${values} x, ${long} o, ${indexes} index, ${long} p,
    ${long} n, ${long} span, ${long} most, ${long} length, ${long} along, ${long} from,
    ${long} step, ${words} table)
{
    ${long} i = (${long})${group} * span, last = min(n, i + span);
    while (i < last) {
${decode}
        count = min(count, most);
        for (${long} k = 0; k < length; k++) {
            ${dense} to = out + q + ft;
            ${values} by = x + o + fd + k * from;
            ${indexes} at = index + p + fi + k * along;
            if (di == 0 && dd == 1 && dt == 1) {
                to += at[0] * step;
                for (${long} e = 0; e < count; e++) to[e] = ${near};
            } else {
                for (${long} e = 0; e < count; e++) {
                    ${long} place = e * dt + at[e * di] * step;
                    to[place] = ${far};
                }
            }
        }
        i += count;
    }
}
""")


def gather_kernel(itemsize: int, dialect: Dialect) -> Kernel:
    """Gather of elements of ``itemsize`` bytes."""
    source = GATHER.substitute(_words(carrier(itemsize), dialect))
    return Kernel("gather", source, (*("*", "i64") * 3, *["i64"] * 3, "*"))


def scatter_kernel(mode: str, dtype: DType, dialect: Dialect) -> Kernel:
    """Scatter of elements of ``dtype``; setting cares for their size alone."""
    row, writer = MODES[mode], Writer(dialect)
    moved = dtype if row else carrier(dtype.itemsize)
    near, far = (
        writer.apply(row, dtype, here, value) if row else value
        for here, value in (("to[e]", "by[e]"), ("to[place]", "by[e * dd]"))
    )
    helpers = "\n".join(writer.helpers.values())
    source = SCATTER.substitute(_words(moved, dialect), near=near, far=far, helpers=helpers)
    return Kernel("scatter", source, (*("*", "i64") * 3, *["i64"] * 7, "*"))


def _words(dtype: DType, dialect: Dialect) -> dict[str, str]:
    kind, long, memory = dialect.types[dtype.code], dialect.long, dialect.memory
    lines = decode("table", "i", ["fi", "fd", "ft"], long, "t")
    lines += [
        f"{long} {name} = {last_step('table', n, long, 't')};"
        for n, name in enumerate(("di", "dd", "dt"))
    ]
    lines.append(f"{long} count = min(lengtht - columnt, last - i);")
    return {
        "header": dialect.header, "kernel": dialect.kernel, "long": long,
        "dense": f"{memory}{kind} *{dialect.restrict}",
        "values": f"{memory}const {kind} *{dialect.restrict}",
        "indexes": f"{memory}const {long} *{dialect.restrict}",
        "words": f"{memory}const {long} *{dialect.restrict}", "group": dialect.group_id[0],
        "decode": "\n".join(" " * 8 + line for line in lines),
    }  # fmt: skip
