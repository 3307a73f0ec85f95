"""Convolution on a CPU: tiles in vector registers, of images that are padded and never unfolded.

``conv2d`` and ``conv2d_input``. The image is copied once, with the zeros around it that windows
reach, rows and columns that are equal modulo the stride side by side. Then for each term the
elements that neighbouring results need are neighbours too, also from the end of one row to the
start of the next, so a panel of WIDTH results, flat over rows and columns, reads a vector at one
place per term; what falls between the rows of results is not stored. Weights are packed into panels
of a tile's lines.

``conv2d_weight``. Here terms are pixels. For one row and column of the window a tile is channels
times outputs: both are packed with these side by side, and a tile walks over the pixels for which
the window is inside the image, image by image, so that its panels stay in cache.
"""

from __future__ import annotations

from string import Template
from typing import Final

from polyback.dtype import DType
from polyback.simt.dialect import Dialect
from polyback.simt.driver import Kernel
from polyback.simt.registers import Tile
from polyback.simt.vectors import vector_words

# The table: units (channels of images), their number for a group; channels, channels of a group;
# strides of the image, group, channel, row, column; height, width; spread, first and count of the
# rows of a phase, the same of columns; phases of rows and of columns; then these.
PAD: Final = Template("""\
${header}
// count elements, of which those whose index from + e * spread is below size are in x
${outlined}void pb_line(${source} x, ${long} step, ${long} from, ${long} spread, ${long} size,
    ${target} to, ${long} count)
{
    ${long} e = 0, low = from < 0 ? (spread - 1 - from) / spread : 0;
    ${long} high = from < size ? (size - from + spread - 1) / spread : 0;
    for (; e < min(low, count); e++) to[e] = 0;
    x += from * step;
    step *= spread;
    if (step == 1) for (; e < min(high, count); e++) to[e] = x[e];
    else for (; e < min(high, count); e++) to[e] = x[e * step];
    for (; e < count; e++) to[e] = 0;
}
${kernel} pad(${source} x, ${long} o, ${target} to, ${table})
{
    ${long} channels = table[2], each = table[3], rows = table[13], columns = table[16];
    ${long} first = ${group} * table[1], last = min(table[0], first + table[1]);
    ${words} row_phases = table + 19;
    ${words} column_phases = row_phases + table[17];
    to += first * table[17] * table[18] * rows * columns;
    for (${long} u = first; u < last; u++) {
        ${long} image = u / channels, channel = u % channels;
        ${source} from = x + o + image * table[4] + channel / each * table[5]
            + channel % each * table[6];
        for (${long} p = 0; p < table[17]; p++)
            for (${long} q = 0; q < table[18]; q++)
                for (${long} r = 0; r < rows; r++) {
                    ${long} row = table[12] + row_phases[p] + r * table[11];
                    ${long} size = 0 <= row && row < table[9] ? table[10] : -(1 << 30);
                    pb_line(from + row * table[7], table[8], table[15] + column_phases[q],
                        table[14], size, to, columns);
                    to += columns;
                }
    }
}
""")

# Panels of ``width`` lines: to[(((image * groups + group) * panels + panel) * terms + k) * width +
# line]. The table: panels, groups, lines, width; strides of the image, group, line; three sizes of
# k and strides along them.
PACK: Final = Template("""\
${header}
${kernel} pack(${source} x, ${long} o, ${target} to, ${table})
{
    ${long} panel = ${group} % table[0], group = ${group} / table[0] % table[1];
    ${long} image = ${group} / table[0] / table[1], width = table[3], step = table[6];
    ${long} count = min(width, table[2] - panel * width);
    ${long} n0 = table[7], n1 = table[8], n2 = table[9], s2 = table[12];
    x += o + image * table[4] + group * table[5] + panel * width * step;
    to += ${group} * n0 * n1 * n2 * width;
    for (${long} k = 0; k < n0; k++)
        for (${long} j = 0; j < n1; j++) {
            ${source} from = x + k * table[10] + j * table[11];
            ${target} line = to + (k * n1 + j) * n2 * width;
            if (step == 1)
                for (${long} i = 0; i < n2; i++)
                    for (${long} r = 0; r < count; r++) line[i * width + r] = from[i * s2 + r];
            else
                for (${long} r = 0; r < count; r++)
                    for (${long} i = 0; i < n2; i++) line[i * width + r] = from[i * s2 + r * step];
            for (${long} r = count; r < width; r++)
                for (${long} i = 0; i < n2; i++) line[i * width + r] = 0;
        }
}
""")

# The table: panels of results, groups, lines; panels of lines of an item; terms; length of a padded
# row; rows and columns of results; strides of the padded image and its group, of packed groups, of
# c: image, group, line, row, column. For sums that are made again: three sizes of k; strides of the
# image as it came: image, group, first index of k, row, column; then of rows and of columns: first,
# step of k, step of n, size, least and most that k adds. Then the place of each term.
PRODUCT: Final = Template("""\
${header}
${contract}
${declare}
#define STEP(u) { \\
${step} \\
    }
// ``zero`` has a vector's type so that the compiler uses vectors of that size.
${outlined}bool pb_is_zero(${V} x)
{
    ${T} some[${lanes}], sum = 0;
    ${store_some};
    for (int k = 0; k < ${lanes}; k++) sum += some[k];
    return sum == 0;
}
${outlined}void pb_tile(${source} a, ${source} b, ${words} places, ${long} depth,
    ${V} total[${rows}][${vectors}], ${V} zero)
{
    for (${long} k = 0; k < depth;) {
        ${long} stop = min(depth, k + ${block});
${clear}
        for (; k + ${unrolled} <= stop; k += ${unrolled}) {
            ${steps}
            a += ${unrolled} * ${rows};
            places += ${unrolled};
        }
        for (; k < stop; k++) {
            STEP(0)
            a += ${rows};
            places++;
        }
${accumulate}
    }
}
// Result (i, j) from terms that are inside the image alone, if some are not: outside of it there is
// nothing, not even beside an infinity.
${outlined}${T} pb_again(${T} sum, ${source} a, ${source} x, ${long} i, ${long} j, ${words} t)
{
    ${words} rows = t + 8;
    ${words} columns = t + 14;
    ${long} row = rows[0] + i * rows[2], column = columns[0] + j * columns[2];
    if (0 <= row + rows[4] && row + rows[5] < rows[3] && 0 <= column + columns[4]
        && column + columns[5] < columns[3]) return sum;
    sum = 0;
    for (${long} k = 0; k < t[0]; k++)
        for (${long} p = 0; p < t[1]; p++)
            for (${long} q = 0; q < t[2]; q++, a += ${rows}) {
                ${long} r = row + p * rows[1], s = column + q * columns[1];
                if (0 <= r && r < rows[3] && 0 <= s && s < columns[3])
                    sum += a[0] * x[k * t[5] + r * t[6] + s * t[7]];
            }
    return sum;
}
// Stores lines of a tile: ``runs`` stretches of each, ``size`` results from number ``from`` on, to
// ``at``.
${outlined}void pb_put(${V} total[${rows}][${vectors}], int lines, ${target} c, ${words} table,
    int runs, const int *from, const int *size, const ${long} *at, ${source} a, ${source} x,
    ${long} first)
{
    ${T} line[${width}];
    for (int i = 0; i < lines; i++, c += table[13]) {
        ${V} odd = 0;
        for (int j = 0; j < ${vectors}; j++) {
            ${spill};
            odd += total[i][j] - total[i][j];  // not 0 if one is not finite
        }
        bool finite = pb_is_zero(odd);
        for (int r = 0; r < runs; r++) {
            ${target} to = c + at[r];
            for (int e = from[r]; !finite && e < from[r] + size[r]; e++)
                if (!(line[e] - line[e] == 0))
                    line[e] = pb_again(line[e], a + i, x, (first + e) / table[5],
                        (first + e) % table[5], table + 16);
            if (table[15] == 1) for (int e = 0; e < size[r]; e++) to[e] = line[from[r] + e];
            else for (int e = 0; e < size[r]; e++) to[e * table[15]] = line[from[r] + e];
        }
    }
}
${kernel} product(${source} a, ${source} b, ${source} x, ${long} o, ${target} c, ${long} oc,
    ${table})
{
    ${long} first = ${group} % table[0] * ${width}, group = ${group} / table[0] % table[1];
    ${long} image = ${group} / table[0] / table[1], lines = table[2], depth = table[4];
    a += group * table[10];
    b += image * table[8] + group * table[9] + first;
    x += o + image * table[19] + group * table[20];
    c += oc + image * table[11] + group * table[12];
    int runs = 0, from[${width}], size[${width}];
    ${long} at[${width}];
    for (int e = 0; e < ${width};) {  // what is not between two rows
        ${long} i = (first + e) / table[5], j = (first + e) % table[5];
        int rest = (int)min((${long})(${width} - e), table[5] - j);
        if (i >= table[6]) break;
        if (j < table[7]) {
            from[runs] = e;
            size[runs] = (int)min((${long})rest, table[7] - j);
            at[runs++] = i * table[14] + j * table[15];
        }
        e += rest;
    }
    if (runs == 0) return;
    ${long} panel = ${group_y} * table[3], last = panel + table[3];
    for (; panel < last && panel * ${rows} < lines; panel++) {
        ${V} total[${rows}][${vectors}];
        ${source} weights = a + panel * ${rows} * depth;
        for (int i = 0; i < ${rows}; i++) for (int j = 0; j < ${vectors}; j++) total[i][j] = 0;
        pb_tile(weights, b, table + 36, depth, total, (${V})(0));
        pb_put(total, (int)min((${long})${rows}, lines - panel * ${rows}),
            c + panel * ${rows} * table[13], table, runs, from, size, at, weights, x, first);
    }
}
""")

# The table: panels of outputs, panels of channels, groups; images, images of an item; taps, taps of
# an item; strides of a: image, panel, row, column; of b: image, panel, row; of c: part, group, tap,
# line; then for each tap its first element in a and in b, rows and columns.
WEIGHTS: Final = Template("""\
${header}
${contract}
${declare}
#define STEP(u) { \\
${step} \\
    }
${outlined}void pb_tile(${source} a, ${long} a_row, ${long} a_step, ${source} b, ${long} b_row,
    ${long} rows, ${long} columns, ${V} total[${rows}][${vectors}], ${V} zero)
{
    for (${long} i = 0; i < rows;) {
${clear}
        for (${long} some = 0; i < rows && some < ${block}; i++, some += columns) {
            ${source} x = a + i * a_row;
            ${source} y = b + i * b_row;
            ${long} k = 0;
            for (; k + ${unrolled} <= columns; k += ${unrolled}) {
                ${steps}
                x += ${unrolled} * a_step;
                y += ${unrolled} * ${width};
            }
            for (; k < columns; k++) {
                STEP(0)
                x += a_step;
                y += ${width};
            }
        }
${accumulate}
    }
}
${outlined}void pb_add(${V} total[${rows}][${vectors}], ${target} c, ${long} step, bool first)
{
    for (int i = 0; i < ${rows}; i++, c += step)
        for (int j = 0; j < ${vectors}; j++) {
            if (!first) total[i][j] += ${load_c};
            ${store_c};
        }
}
${kernel} weights(${source} a, ${source} b, ${target} c, ${table})
{
    ${long} right = ${group} % table[0], left = ${group} / table[0] % table[1];
    ${long} group = ${group} / table[0] / table[1];
    a += (group * table[1] + left) * table[8];
    b += (group * table[0] + right) * table[12];
    c += ${group_z} * table[14] + group * table[15] + left * ${rows} * table[17] + right * ${width};
    ${long} start = ${group_z} * table[4], stop = min(table[3], start + table[4]);
    ${long} tap0 = ${group_y} * table[6], tap1 = min(table[5], tap0 + table[6]);
    for (${long} image = start; image < stop; image++)
        for (${long} tap = tap0; tap < tap1; tap++) {
            ${words} t = table + 18 + 4 * tap;
            ${V} total[${rows}][${vectors}];
            for (int i = 0; i < ${rows}; i++) for (int j = 0; j < ${vectors}; j++) total[i][j] = 0;
            pb_tile(a + image * table[7] + t[0], table[9], table[10], b + image * table[11] + t[1],
                table[13], t[2], t[3], total, (${V})(0));
            pb_add(total, c + tap * table[16], table[17], image == start);
        }
}
""")


def pad_kernel(dtype: DType, dialect: Dialect) -> Kernel:
    """Copies an image with what is around it."""
    return Kernel("pad", PAD.substitute(_words(dtype, dialect)), ("*", "i64", "*", "*"))


def pack_kernel(dtype: DType, dialect: Dialect) -> Kernel:
    """Lines into panels."""
    return Kernel("pack", PACK.substitute(_words(dtype, dialect)), ("*", "i64", "*", "*"))


def product_kernel(dtype: DType, shape: Tile, dialect: Dialect) -> Kernel:
    """Tiles of lines times pixels."""
    words = shape.words(dtype, dialect, f"a[(u) * {shape.rows} + {{i}}]", "b + places[u] + {j}")
    wide = dialect.wide
    assert wide is not None
    kinds = vector_words(dialect, dtype, shape.lanes)
    store = wide.store.format(x="x", p="some", memory="", **kinds)
    source = PRODUCT.substitute(_words(dtype, dialect) | words, store_some=store)
    return Kernel("product", source, ("*", "*", "*", "i64", "*", "i64", "*"))


def weights_kernel(dtype: DType, shape: Tile, dialect: Dialect) -> Kernel:
    """Tiles of channels times outputs."""
    wide = dialect.wide
    assert wide is not None
    words = shape.words(dtype, dialect, "x[(u) * a_step + {i}]", f"y + (u) * {shape.width} + {{j}}")
    place = {"p": f"c + j * {shape.lanes}", "memory": dialect.memory}
    kinds = vector_words(dialect, dtype, shape.lanes)
    source = WEIGHTS.substitute(
        _words(dtype, dialect) | words, load_c=wide.load.format(**place, **kinds),
        store_c=wide.store.format(x="total[i][j]", **place, **kinds),
    )  # fmt: skip
    return Kernel("weights", source, ("*", "*", "*", "*"))


def _words(dtype: DType, dialect: Dialect) -> dict[str, str]:
    kind = dialect.types[dtype.code]
    return dialect.words() | {
        "T": kind, "source": f"{dialect.memory}const {kind} *",
        "target": f"{dialect.memory}{kind} *",
        "words": f"{dialect.memory}const {dialect.long} *",
    }  # fmt: skip
