"""Gather, and scatter that sets or combines.

Elements are moved as carriers of their size, so one kernel per size serves all types and keeps
every bit. The texts here are a GPU's; a CPU's are in ``indexing_cpu.py``. Gather: one result per
work-item.

Scatter must act as if element by element in row-major order: the last of several writes wins, and
sums have one order. Two elements can meet only if they agree on every axis but the scattered one,
so a work-item takes one *lane* (all positions along the axis) and goes along it in order; lanes are
independent. Sums in floating point are then the same everywhere, which atomic additions would not
give.

A GPU with few long lanes would mostly wait. There the index is sorted first (stably, and once for
all lanes that share it), so that what goes to one element forms a *run*; a work-item takes one run
of one lane, in order.
"""

from __future__ import annotations

from string import Template
from typing import Final

from polyback import scalar
from polyback.dtype import DType
from polyback.simt.dialect import Dialect, carrier
from polyback.simt.driver import Kernel
from polyback.simt.expression import Writer
from polyback.simt.geometry import decode

# table: operands index, dense (gather's result, scatter's values), table (moved along the other
# axes).
GATHER: Final = Template("""\
${header}
${kernel} gather(${dense} out, ${long} q, ${values} x, ${long} o, ${indexes} index, ${long} p,
    ${long} n, ${long} step, ${words} table)
{
    ${long} i = (${long})${group} * ${size} + ${local_id};
    if (i >= n) return;
${decode}
    out[q + fd] = x[o + ft + index[p + fi] * step];
}
""")

# lanes: the axes but the scattered one, same operands; steps along the axis of the three come as
# numbers.
SCATTER: Final = Template("""\
${header}
${helpers}
${kernel} scatter(${dense} out, ${long} q, ${values} x, ${long} o, ${indexes} index, ${long} p,
    ${long} n, ${long} length, ${long} along, ${long} from, ${long} step, ${words} table)
{
    ${long} i = (${long})${group} * ${size} + ${local_id};
    if (i >= n) return;
${decode}
    for (${long} k = 0; k < length; k++) {
        ${long} at = q + ft + index[p + fi + k * along] * step;
        out[at] = ${result};
    }
}
""")


# lanes: operands index, dense, table and the sorted index; n positions of the axis times lanes, the
# lanes next to each other. Of every run only the first work-item works, or, where nothing is
# combined, the last.
RUNS: Final = Template("""\
${header}
${helpers}
${kernel} runs(${dense} out, ${long} q, ${values} x, ${long} o, ${indexes} index, ${long} p,
    ${keys} key, ${indexes} place, ${long} n, ${long} lanes, ${long} length, ${long} along,
    ${long} from, ${long} step, ${words} table)
{
    ${long} i = (${long})${group} * ${size} + ${local_id};
    if (i >= n) return;
    ${long} k = i / lanes, lane = i % lanes;
${decode}
    key += fs;
    place += fs;
    if (${idle}) return;
    ${long} at = q + ft + index[p + fi + place[k] * along] * step;
    ${body}
}
""")
_COMBINED: Final = Template("""\
${type} total = out[at];
    for (${long} j = k; j < length && key[j] == key[k]; j++) {
        ${type} next = x[o + fd + place[j] * from];
        total = ${result};
    }
    out[at] = total;""")


def gather_kernel(itemsize: int, dialect: Dialect, group: int) -> Kernel:
    """Gather of elements of ``itemsize`` bytes."""
    source = GATHER.substitute(_words(carrier(itemsize), dialect, group, "gather"))
    return Kernel("gather", source, ("*", "i64") * 3 + ("i64",) * 2 + ("*",), group)


# The row that joins what is there with what comes; None: what comes stays.
MODES: Final = {
    "set": None, "add": scalar.ADD, "min": scalar.MINIMUM, "max": scalar.MAXIMUM,
}  # fmt: skip


def scatter_kernel(mode: str, dtype: DType, dialect: Dialect, group: int) -> Kernel:
    """Scatter of elements of ``dtype``; setting cares for their size alone."""
    row, writer, value = MODES[mode], Writer(dialect), "x[o + fd + k * from]"
    moved = dtype if row else carrier(dtype.itemsize)
    result = writer.apply(row, dtype, "out[at]", value) if row else value
    words = _words(moved, dialect, group, "scatter")
    source = SCATTER.substitute(words, result=result, helpers="\n".join(writer.helpers.values()))
    return Kernel("scatter", source, ("*", "i64") * 3 + ("i64",) * 5 + ("*",), group)


def runs_kernel(mode: str, dtype: DType, dialect: Dialect, group: int) -> Kernel:
    """Scatter by an index that has been sorted."""
    row, writer = MODES[mode], Writer(dialect)
    moved = dtype if row else carrier(dtype.itemsize)
    words = _words(moved, dialect, group, "runs")
    idle, body = "k + 1 < length && key[k + 1] == key[k]", "out[at] = x[o + fd + place[k] * from];"
    if row:
        idle = "k > 0 && key[k - 1] == key[k]"
        result = writer.apply(row, dtype, "total", "next")
        kind = dialect.types[moved.code]
        body = _COMBINED.substitute(type=kind, long=dialect.long, result=result)
    keys = f"{dialect.memory}const {dialect.types['u64']} *"
    helpers = "\n".join(writer.helpers.values())
    source = RUNS.substitute(words, keys=keys, idle=idle, body=body, helpers=helpers)
    arguments = (*("*", "i64") * 3, "*", "*", *["i64"] * 6, "*")
    return Kernel("runs", source, arguments, group)


def _words(dtype: DType, dialect: Dialect, group: int, name: str) -> dict[str, str]:
    offsets = ["fi", "fd", "ft", "fs"] if name == "runs" else ["fi", "fd", "ft"]
    lines = decode("table", "lane" if name == "runs" else "i", offsets, dialect.long, "t")
    kind = dialect.types[dtype.code]
    return {
        "header": dialect.header, "kernel": dialect.kernel, "long": dialect.long,
        "dense": f"{dialect.memory}{kind} *", "values": f"{dialect.memory}const {kind} *",
        "indexes": f"{dialect.memory}const {dialect.long} *",
        "words": f"{dialect.memory}const {dialect.long} *", "group": dialect.group_id[0],
        "local_id": dialect.local_id, "size": str(group),
        "decode": "\n".join("    " + line for line in lines),
    }  # fmt: skip
