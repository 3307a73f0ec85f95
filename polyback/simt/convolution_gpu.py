"""Convolution on a GPU: products of matrices of which one is gathered while it is loaded.

A group of 256 work-items makes ROWS x COLUMNS results, each work-item EACH of them in registers,
from slices of DEPTH terms in shared memory. While it computes with one slice it loads the next one
into registers. The offsets, row and column of a slice's terms, and once those of the tile's
columns, are taken apart into shared memory; an element of b is then two additions and two tests
away. Sums of ``chain`` slices are added up, so that additions in a row are few.

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
# strides: a's group and line, b's group, c's group, line and part; flags: a and b are loaded along
# k; first row and column; the least and the most that k adds to the row, and to the column; then
# for k and for n 15 numbers each: three sizes, and along the three indexes the steps of a and b (b
# and c), the row and the column.
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
    ${shared}${index} k_a[${depth}], k_b[${depth}], n_b[${columns}], n_c[${columns}];
    ${shared}int k_row[${depth}], k_column[${depth}], n_row[${columns}], n_column[${columns}];
    int id = ${local_id}, x = id % ${across}, y = id / ${across};
    ${index} m = (${index})table[1], n = (${index})table[2], a_line = (${index})table[9];
    ${index} tiles = (n + ${columns} - 1) / ${columns}, group = (${index})${group} / tiles;
    ${index} i0 = (${index})${group_y} * ${rows};
    ${index} j0 = ((${index})${group} - group * tiles) * ${columns};
    ${index} begin = (${index})${group_z} * (${index})table[4];
    ${index} stop = min((${index})table[3], begin + (${index})table[4]);
    int chain = max(1, (int)table[5] / ${depth}), slices = 0;
    int height = (int)table[6], width = (int)table[7];
    bool a_along = table[14] != 0, b_along = table[15] != 0;
    a += oa + group * table[8];
    b += ob + group * table[10];
    c += oc + group * table[11] + ${group_z} * table[13];
    ${words} k_dims = table + 22;
    ${words} n_dims = table + 37;
    for (int e = id; e < ${columns}; e += ${size}) {
        ${index} one, two;
        int row, column;
        pb_place(n_dims, min(j0 + e, n - 1), &one, &two, &row, &column);
        n_b[e] = one;
        n_c[e] = two;
        n_row[e] = j0 + e < n ? row + (int)table[16] : ${nowhere};
        n_column[e] = column + (int)table[17];
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
            ${index} one, two;
            int row, column;
            pb_place(k_dims, min(next + id, stop - 1), &one, &two, &row, &column);
            k_a[id] = one;
            k_b[id] = two;
            k_row[id] = next + id < stop ? row : ${nowhere};
            k_column[id] = column;
        }
        ${barrier}
        if (next < stop) {
            ${unroll}
            for (int e = 0; e < ${a_loads}; e++) {
                int p = id + e * ${size}, k = a_along ? p % ${depth} : p / ${rows};
                ${index} i = i0 + (a_along ? p / ${depth} : p % ${rows});
                a_next[e] = i < m && next + k < stop ? a[k_a[k] + i * a_line] : 0;
            }
            ${unroll}
            for (int e = 0; e < ${b_loads}; e++) {
                int p = id + e * ${size}, k = b_along ? p % ${depth} : p / ${columns};
                int j = b_along ? p / ${depth} : p % ${columns};
                bool inside = (${unsigned})(k_row[k] + n_row[j]) < (${unsigned})height
                    && (${unsigned})(k_column[k] + n_column[j]) < (${unsigned})width;
                b_next[e] = inside ? b[k_b[k] + n_b[j]] : 0;
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
                result = pb_again(result, a + line * a_line, b + n_b[e], n_row[e], n_column[e],
                    begin, stop, table);
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


def tile_kernel(dtype: DType, wide: bool, dialect: Dialect) -> Kernel:
    """Tiles of the product."""
    source = TILE.substitute(_words(dtype, wide, dialect, GROUP))
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
