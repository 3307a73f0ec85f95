"""Convolution on a GPU: products of matrices of which one is gathered while it is loaded.

A group of 256 work-items makes ROWS x COLUMNS results, each work-item EACH of them in registers,
from slices of DEPTH terms in shared memory. While it computes with one slice it loads the next one
into registers. The offsets, row and column of a slice's terms, and once those of the tile's
columns, are taken apart into shared memory; an element of b is then one access of 16 bytes, three
additions and two tests away. Whether neighbouring work-items take neighbouring terms or columns is
written into the kernel, and with it what all elements of a work-item share: of the instructions of
a slice nvcc makes seven in ten multiply-adds so, and not four. Sums of ``chain`` slices are added
up, so that additions in a row are few.

Where groups have few lines (depthwise convolution), tiles would be nearly empty: there a work-item
makes one result by itself.
"""

from __future__ import annotations

from string import Template
from typing import Final

from polyback.dtype import DType
from polyback.simt.dialect import Dialect
from polyback.simt.driver import Kernel

ROWS, COLUMNS, DEPTH = 64, 128, 16
EACH: Final = (4, 8)  # rows and columns of a work-item
GROUP: Final = ROWS // EACH[0] * COLUMNS // EACH[1]

# The table: groups, m, n, k (sizes); terms of a part; terms of a chain; height and width of b;
# strides: a's group and line, b's group, c's group, line and part; flags, which select the kernel:
# a and b are loaded along k; first row and column; the least and the most that k adds to the row,
# and to the column; then for k and for n 15 numbers each: three sizes, and along the three indexes
# the steps of a and b (b and c), the row and the column.
HEAD: Final = """\
${header}
${function}void pb_place(${words} dims, ${index} at, ${index} *one, ${index} *two, int *row,
    int *column)
{
    ${index} size = (${index})dims[2], rest = at / size, i2 = at - rest * size;
    size = (${index})dims[1];
    ${index} i0 = rest / size, i1 = rest - i0 * size;
    *one = i0 * (${index})dims[3] + i1 * (${index})dims[4] + i2 * (${index})dims[5];
    *two = i0 * (${index})dims[6] + i1 * (${index})dims[7] + i2 * (${index})dims[8];
    *row = (int)(i0 * (${index})dims[9] + i1 * (${index})dims[10] + i2 * (${index})dims[11]);
    *column = (int)(i0 * (${index})dims[12] + i1 * (${index})dims[13] + i2 * (${index})dims[14]);
}
"""

TILE: Final = Template(
    HEAD
    + """\
typedef struct ${aligned} { ${index} at; int row, column; } pb_spot;
// A sum over the terms that are inside of the image alone, if some are not: outside of it there is
// nothing, not even beside an infinity.
${outlined}${T} pb_again(${T} sum, ${source} a, ${source} b, int row, int column, ${index} k,
    ${index} stop, ${words} table)
{
    ${words} dims = table + 22;
    int height = (int)table[6], width = (int)table[7];
    if (0 <= row + (int)table[18] && row + (int)table[19] < height
        && 0 <= column + (int)table[20] && column + (int)table[21] < width) return sum;
    sum = 0;
    for (; k < stop; k++) {
        ${index} ka, kb;
        int kr, kc;
        pb_place(dims, k, &ka, &kb, &kr, &kc);
        if ((${unsigned})(row + kr) < (${unsigned})height
            && (${unsigned})(column + kc) < (${unsigned})width) sum += a[ka] * b[kb];
    }
    return sum;
}
${kernel} ${shape}convolution(${source} a, ${long} oa, ${source} b, ${long} ob, ${target} c,
    ${long} oc, ${table})
{
    ${shared}${aligned} ${T} at[${depth}][${rows} + 4];
    ${shared}${aligned} ${T} bt[${depth}][${columns} + 4];
    ${shared}pb_spot terms[${depth}], spots[${columns}];
    ${shared}${index} k_a[${depth}], n_c[${columns}];
    int id = ${local_id}, x = id % ${across}, y = id / ${across};
    ${index} m = (${index})table[1], n = (${index})table[2], a_line = (${index})table[9];
    ${index} tiles = (n + ${columns} - 1) / ${columns}, group = (${index})${group} / tiles;
    ${index} i0 = (${index})${group_y} * ${rows};
    ${index} j0 = ((${index})${group} - group * tiles) * ${columns};
    ${index} begin = (${index})${group_z} * (${index})table[4];
    ${index} stop = min((${index})table[3], begin + (${index})table[4]);
    int chain = max(1, (int)table[5] / ${depth}), slices = 0;
    int height = (int)table[6], width = (int)table[7];
    const bool a_along = ${a_along}, b_along = ${b_along};
    a += oa + group * table[8];
    b += ob + group * table[10];
    c += oc + group * table[11] + ${group_z} * table[13];
    ${words} k_dims = table + 22;
    ${words} n_dims = table + 37;
    for (int e = id; e < ${columns}; e += ${size}) {
        ${index} to;
        pb_spot spot;
        pb_place(n_dims, min(j0 + e, n - 1), &spot.at, &to, &spot.row, &spot.column);
        spot.row = j0 + e < n ? spot.row + (int)table[16] : ${nowhere};
        spot.column += (int)table[17];
        spots[e] = spot;
        n_c[e] = to;
    }
    ${T} total[${each_m}][${each_n}], sum[${each_m}][${each_n}];
    ${T} a_next[${a_loads}], b_next[${b_loads}];
    ${unroll}
    for (int i = 0; i < ${each_m}; i++)
        ${unroll}
        for (int j = 0; j < ${each_n}; j++) total[i][j] = sum[i][j] = 0;
    for (${index} k0 = begin - ${depth}; k0 < stop; k0 += ${depth}) {  // the first turn only loads
        ${barrier}
        if (k0 >= begin) {
            ${unroll}
            for (int e = 0; e < ${a_loads}; e++) {
                int p = id + e * ${size}, k = a_along ? p % ${depth} : p / ${rows};
                at[k][a_along ? p / ${depth} : p % ${rows}] = a_next[e];
            }
            ${unroll}
            for (int e = 0; e < ${b_loads}; e++) {
                int p = id + e * ${size}, k = b_along ? p % ${depth} : p / ${columns};
                bt[k][b_along ? p / ${depth} : p % ${columns}] = b_next[e];
            }
        }
        ${index} next = k0 + ${depth};
        if (id < ${depth} && next < stop) {
            ${index} of_a;
            pb_spot term;
            pb_place(k_dims, min(next + id, stop - 1), &of_a, &term.at, &term.row, &term.column);
            if (next + id >= stop) term.row = ${nowhere};
            terms[id] = term;
            k_a[id] = of_a;
        }
        ${barrier}
        if (next < stop) {
            ${unroll}
            for (int e = 0; e < ${a_loads}; e++) {
                int p = id + e * ${size}, k = a_along ? p % ${depth} : p / ${rows};
                ${index} i = i0 + (a_along ? p / ${depth} : p % ${rows});
                a_next[e] = i < m && next + k < stop ? a[k_a[k] + i * a_line] : 0;
            }
            pb_spot one, other;  // a work-item's elements have the term in common, or the column
            if (b_along) one = terms[id % ${depth}];
            else one = spots[id % ${columns}];
            ${unroll}
            for (int e = 0; e < ${b_loads}; e++) {
                int p = id + e * ${size};
                if (b_along) other = spots[p / ${depth}];
                else other = terms[p / ${columns}];
                bool inside = (${unsigned})(one.row + other.row) < (${unsigned})height
                    && (${unsigned})(one.column + other.column) < (${unsigned})width;
                b_next[e] = inside ? b[one.at + other.at] : 0;
            }
        }
        if (k0 < begin) continue;
        ${unroll}
        for (int k = 0; k < ${depth}; k++) {
            ${T} left[${each_m}], right[${each_n}];
            ${unroll}
            for (int i = 0; i < ${each_m}; i++) left[i] = at[k][y * ${each_m} + i];
            ${unroll}
            for (int j = 0; j < ${each_n}; j++) right[j] = bt[k][${column}];
            ${unroll}
            for (int i = 0; i < ${each_m}; i++)
                ${unroll}
                for (int j = 0; j < ${each_n}; j++) sum[i][j] = ${multiply};
        }
        if (++slices % chain == 0)
            ${unroll}
            for (int i = 0; i < ${each_m}; i++)
                ${unroll}
                for (int j = 0; j < ${each_n}; j++) {
                    total[i][j] += sum[i][j];
                    sum[i][j] = 0;
                }
    }
    ${unroll}
    for (int i = 0; i < ${each_m}; i++)
        ${unroll}
        for (int j = 0; j < ${each_n}; j++) {
            ${index} line = i0 + y * ${each_m} + i;
            int e = ${column};
            if (line >= m || j0 + e >= n) continue;
            ${T} result = total[i][j] + sum[i][j];
            if (!(result - result == 0))  // not finite
                result = pb_again(result, a + line * a_line, b + spots[e].at, spots[e].row,
                    spots[e].column, begin, stop, table);
            c[n_c[e] + line * table[12]] = result;
        }
}
"""
)

DIRECT: Final = Template(
    HEAD
    + """\
${kernel} direct(${source} a, ${long} oa, ${source} b, ${long} ob, ${target} c, ${long} oc,
    ${table})
{
    ${index} m = (${index})table[1], n = (${index})table[2];
    ${index} at = (${index})${group} * ${size} + ${local_id}, line = at / n, group = line / m;
    if (group >= (${index})table[0]) return;
    int chain = (int)table[5], height = (int)table[6], width = (int)table[7], count = 0;
    int start_row, start_column;
    ${index} from, to;
    pb_place(table + 37, at - line * n, &from, &to, &start_row, &start_column);
    line -= group * m;
    start_row += (int)table[16];
    start_column += (int)table[17];
    a += oa + group * table[8] + line * table[9];
    b += ob + group * table[10] + from;
    ${words} dims = table + 22;
    ${T} high = 0, low = 0;
    for (${index} k0 = 0; k0 < (${index})dims[0]; k0++)
        for (${index} k1 = 0; k1 < (${index})dims[1]; k1++) {
            ${index} ka = k0 * (${index})dims[3] + k1 * (${index})dims[4];
            ${index} kb = k0 * (${index})dims[6] + k1 * (${index})dims[7];
            int row = start_row + (int)(k0 * (${index})dims[9] + k1 * (${index})dims[10]);
            int column = start_column + (int)(k0 * (${index})dims[12] + k1 * (${index})dims[13]);
            for (${index} k2 = 0; k2 < (${index})dims[2]; k2++) {
                bool inside = (${unsigned})row < (${unsigned})height
                    && (${unsigned})column < (${unsigned})width;
                if (inside) low = ${multiply_one};
                row += (int)dims[11];
                column += (int)dims[14];
                ka += (${index})dims[5];
                kb += (${index})dims[8];
                if (++count % chain == 0) {
                    high += low;
                    low = 0;
                }
            }
        }
    c[oc + group * table[11] + line * table[12] + to] = high + low;
}
"""
)


def tile_kernel(dtype: DType, wide: bool, along: tuple[bool, bool], dialect: Dialect) -> Kernel:
    """Tiles of the product; ``along``: are a and b loaded along k?"""
    a_along, b_along = ("true" if x else "false" for x in along)
    words = _words(dtype, wide, dialect, GROUP)
    source = TILE.substitute(words, a_along=a_along, b_along=b_along)
    return Kernel("convolution", source, (*("*", "i64") * 3, "*"), GROUP)


def direct_kernel(dtype: DType, wide: bool, dialect: Dialect, group: int) -> Kernel:
    """One result for each work-item."""
    source = DIRECT.substitute(_words(dtype, wide, dialect, group))
    return Kernel("direct", source, (*("*", "i64") * 3, "*"), group)


def _words(dtype: DType, wide: bool, dialect: Dialect, group: int) -> dict[str, str]:
    kind, (each_m, each_n) = dialect.types[dtype.code], EACH
    half = COLUMNS // 2
    return dialect.words() | {
        "T": kind, "source": f"{dialect.memory}const {kind} *",
        "target": f"{dialect.memory}{kind} *",
        "words": f"{dialect.memory}const {dialect.long} *", "function": dialect.function,
        "index": dialect.long if wide else "int", "unsigned": dialect.types["u32"],
        "shape": dialect.group_shape.format(n=group, groups=8 // dtype.itemsize),
        "aligned": dialect.aligned.format(n=16),
        "rows": str(ROWS), "columns": str(COLUMNS), "depth": str(DEPTH), "size": str(group),
        "across": str(COLUMNS // each_n), "each_m": str(each_m), "each_n": str(each_n),
        "a_loads": str(ROWS * DEPTH // GROUP), "b_loads": str(COLUMNS * DEPTH // GROUP),
        # Four neighbours of each half: 16-byte reads of neighbouring work-items that do not
        # collide.
        "column": f"x * 4 + j % 4 + j / 4 * {half}", "nowhere": "(-(1 << 29))",
        "multiply": dialect.multiply_add.format(a="left[i]", b="right[j]", c="sum[i][j]"),
        "multiply_one": dialect.multiply_add.format(a="a[ka]", b="b[kb]", c="low"),
    }  # fmt: skip
