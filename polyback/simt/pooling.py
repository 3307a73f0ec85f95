"""Sums and maxima under windows: kernels.

GPU: one result per work-item. CPU: COLUMNS neighbouring results side by side, for one row and
column of the window after the other, as far as it is inside the image.

The place of a maximum is kept as the number of the row and column in the window, ``tap``. A NaN is
larger than every number and equal elements leave the first. Every ``chain`` terms of a sum are
added up, so that additions in a row are few.
"""

from __future__ import annotations

from string import Template
from typing import Final

from polyback import scalar
from polyback.dtype import DType
from polyback.scalar import Reduction
from polyback.simt.dialect import Dialect
from polyback.simt.driver import Kernel

COLUMNS: Final = 64

# The table: units, their number for a group; channels, rows and columns of results; strides of x,
# out and places (image, channel, row, column each); then of rows and of columns: windows' size,
# stride, padding, dilation, size of x; chain; are places wanted?
HEAD: Final = """\
${header}
${kernel} pool(${source} x, ${long} o, ${target} out, ${long} q, ${places} places, ${long} qp,
    ${table})
{
    ${long} rows = table[3], columns = table[4], height = table[17], width = table[22];
    ${long} row_step = table[7], column_step = table[8];
"""
# What is known about unit u: image n, channel c, row i, first column j; (a, b): its first window.
UNIT: Final = """\
    ${long} i = u / wide % rows, j = u % wide * ${each};
    ${long} c = u / wide / rows % table[2], n = u / wide / rows / table[2];
    ${long} a = i * table[18] - table[19], b = j * table[23] - table[24];
    ${source} image = x + o + n * table[5] + c * table[6];
    ${target} to = out + q + n * table[9] + c * table[10] + i * table[11] + j * table[12];
"""

GPU: Final = Template(
    HEAD
    + """\
    ${long} u = (${long})${group} * ${size} + ${local_id}, wide = columns;
    if (u >= table[0]) return;
"""
    + UNIT
    + """\
    ${T} best = 0;
${start}
    for (int p = 0; p < height; p++) {
        ${long} r = a + p * table[20];
        if (r < 0 || r >= table[21]) continue;
        for (int s = 0; s < width; s++) {
            ${long} k = b + s * table[25];
            if (k < 0 || k >= table[26]) continue;
            ${T} v = image[r * row_step + k * column_step];
${one}
        }
    }
${put}
}
"""
)

CPU: Final = Template(
    HEAD
    + """\
    ${long} wide = (columns + ${each} - 1) / ${each}, first = ${group} * table[1];
    for (${long} u = first; u < min(table[0], first + table[1]); u++) {
"""
    + UNIT
    + """\
    int count = (int)min((${long})${each}, columns - j), tap[${each}];
    ${T} best[${each}], low[${each}];
    for (int e = 0; e < ${each}; e++) {
        best[e] = low[e] = 0;
        tap[e] = -1;
    }
    for (int p = 0; p < height; p++) {
        ${long} r = a + p * table[20];
        if (r < 0 || r >= table[21]) continue;
        for (int s = 0; s < width; s++) {
            ${long} k = b + s * table[25], step = table[23] * column_step;
            ${long} inside = table[26] - 1 - k;
            int from = k < 0 ? (int)min((${long})count, (table[23] - 1 - k) / table[23]) : 0;
            int stop = inside < 0 ? 0 : (int)min((${long})count, inside / table[23] + 1);
            ${source} line = image + r * row_step + k * column_step;
            pb_line(line, step, from, stop, best, low, tap, p * (int)width + s, table[27]);
        }
    }
    for (int e = 0; e < count; e++) {
${put}
    }
    }
}
"""
)

LINE: Final = """\
${outlined}void pb_line(${source} x, ${long} step, int from, int stop, ${T} *best, ${T} *low,
    int *tap, int t, ${long} chain)
{
    if (step == 1)
        for (int e = from; e < stop; e++) {
            ${T} v = x[e];
${one}
        }
    else
        for (int e = from; e < stop; e++) {
            ${T} v = x[e * step];
${one}
        }
${flush}
}
"""

_MAX: Final = """\
bool more = tap{e} < 0 || v > best{e} || (v != v && best{e} == best{e});
best{e} = more ? v : best{e};
tap{e} = more ? {t} : tap{e};"""
_PUT_MAX: Final = """\
to[{n} * table[12]] = best{e};
if (table[28]) {{
    ${{long}} r = a + tap{e} / width * table[20];
    ${{long}} k = b + {n} * table[23] + tap{e} % width * table[25];
    ${{long}} place = qp + n * table[13] + c * table[14] + i * table[15];
    places[place + (j + {n}) * table[16]] = r * table[26] + k;
}}"""


def pool_kernel(op: Reduction, dtype: DType, dialect: Dialect, group: int) -> Kernel:
    """Sums, or maxima with their places if these are wanted."""
    kind, is_max, on_gpu = dialect.types[dtype.code], op is scalar.MAX, group > 1
    e, t, n = ("", "p * (int)width + s", "0") if on_gpu else ("[e]", "t", "e")
    words = dialect.words() | {
        "T": kind, "source": f"{dialect.memory}const {kind} *",
        "target": f"{dialect.memory}{kind} *", "places": f"{dialect.memory}{dialect.long} *",
        "size": str(group), "each": "1" if on_gpu else str(COLUMNS),
    }  # fmt: skip
    sums = f"low{e} += v;"
    flush = (
        f"    for (int e = 0; t % chain == chain - 1 && e < {COLUMNS}; e++) {{\n"
        "        best[e] += low[e];\n        low[e] = 0;\n    }"
    )
    if on_gpu:
        words["start"] = "    int tap = -1;"
        if not is_max:
            words["start"] = Template("    ${T} low = 0;\n    int terms = 0;").substitute(words)
        sums += "\nif (++terms % table[27] == 0) { best += low; low = 0; }"
    one = _MAX.format(e=e, t=t) if is_max else sums
    put = _PUT_MAX.format(e=e, n=n) if is_max else f"to[{n} * table[12]] = best{e} + low{e};"
    words["one"] = _indent(one, 3)
    words["put"] = _indent(Template(put).substitute(words), 1 if on_gpu else 2)
    if not on_gpu:
        words["flush"] = "" if is_max else flush
        words["header"] += "\n" + Template(LINE).substitute(words)
    source = (GPU if on_gpu else CPU).substitute(words)
    return Kernel("pool", source, (*("*", "i64") * 3, "*"), group)


def _indent(text: str, depth: int) -> str:
    return "\n".join("    " * depth + line for line in text.splitlines())
