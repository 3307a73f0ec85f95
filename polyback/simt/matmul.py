"""Matrix products: kernels.

CPU. Operands are first packed into panels of rows of A and columns of B, element by
element of k, padded with zeros: any strides become dense aligned memory, and the product kernel
needs no edges inside. Then a work-item makes one tile in vector registers, without
barriers. The tile's loop is an *outlined* function: PoCL keeps variables of a kernel's own loops in
memory, and even there it moves the accumulators to memory and back in every turn, so a turn makes
UNROLLED steps. With float32 in 512-bit vectors 12 x 32 takes 24 of 32 registers.

Complex operands are packed as real ones: rows of C are re, im, re, im, ..., and C = A B' with rows
(re, im, ...) of A and two rows of the real B' for each of B: (re b, im b, ...), (-im b, re b, ...).

GPU. A group of 256 work-items makes a 64 x 64 tile, each work-item 4 x 4 in registers, from slices
of A and B that the group loads into shared memory DEPTH at a time (the ladder's "2D tile");
operands are read with their own strides, along whichever axis is dense. Results go through a
program on their way to memory (``epilogue.py``).

Chains of additions are cut every BLOCK terms and the pieces added up, so that the bound K(n) on the
error holds for the worst terms too.
"""

from __future__ import annotations

from string import Template
from typing import Final

from polyback import scalar
from polyback.dtype import DType
from polyback.simt.dialect import BY_CODE, UNSIGNED, Dialect, carrier, part
from polyback.simt.driver import Kernel
from polyback.simt.epilogue import Epilogue, plain
from polyback.simt.expression import Writer
from polyback.simt.geometry import decode
from polyback.simt.registers import BLOCK, Tile
from polyback.simt.vectors import vector_words

TILE: Final = 64  # GPU: rows and columns of a group
DEPTH: Final = 16
EACH: Final = 4  # GPU: rows and columns of a work-item
GROUP: Final = (TILE // EACH) ** 2

# panel p holds lines [p * width, ...): to[((batch * panels + p) * padded + k) * width + line]
PACK: Final = Template("""\
${header}
${kernel} pack(${source} x, ${long} o, ${target} to, ${long} lines, ${long} depth, ${long} width,
    ${long} line_step, ${long} k_step, ${long} panels, ${long} padded, ${words} table)
{
    ${long} batch = ${group} / panels, panel = ${group} % panels;
    ${long} first = panel * width;
${decode}
    ${source} from = x + o + f0 + first * line_step;
    to += (batch * panels + panel) * padded * width;
    ${long} count = min(width, lines - first);
    if (k_step == 1)  // along the lines, which are dense
        for (${long} line = 0; line < count; line++)
            for (${long} k = 0; k < depth; k++) to[k * width + line] = from[line * line_step + k];
    else
        for (${long} k = 0; k < depth; k++)
            for (${long} line = 0; line < count; line++)
                to[k * width + line] = from[line * line_step + k * k_step];
    for (${long} k = 0; k < depth; k++)
        for (${long} line = count; line < width; line++) to[k * width + line] = 0;
    for (${long} e = depth * width; e < padded * width; e++) to[e] = 0;
}
""")

# Of complex elements: one of A (each == 1) makes two k, one of B (each == 2) two k and two lines.
PACK_PARTS: Final = Template("""\
${header}
${kernel} pack(${complex_source} x, ${long} o, ${target} to, ${long} lines, ${long} depth,
    ${long} width, ${long} line_step, ${long} k_step, ${long} panels, ${long} padded,
    ${words} table, ${long} each)
{
    ${long} batch = ${group} / panels, panel = ${group} % panels;
    ${long} first = panel * width / each, count = min(width / each, lines - first);
${decode}
    ${complex_source} from = x + o + f0 + first * line_step;
    to += (batch * panels + panel) * padded * width;
    for (${long} e = 0; e < padded * width; e++) to[e] = 0;
    bool along = k_step == 1;
    for (${long} i = 0; i < (along ? count : depth); i++)
        for (${long} j = 0; j < (along ? depth : count); j++) {
            ${long} line = along ? i : j, k = along ? j : i;
            ${C} z = from[line * line_step + k * k_step];
            ${target} at = to + 2 * k * width + each * line;
            at[0] = z.x;
            at[width] = each == 1 ? z.y : -z.y;
            if (each == 2) {
                at[1] = z.y;
                at[width + 1] = z.x;
            }
        }
}
""")

TILE_CPU: Final = Template("""\
${header}
${contract}
${declare}
// One k: a row of B's panel times each element of A's.
#define STEP(u) { \\
${step} \\
    }
// ``zero`` has a vector's type so that the compiler uses vectors of that size: in a function that
// takes none it prefers them half as long.
${outlined}void pb_tile(${source} a, ${source} b, ${target} c, ${long} depth, ${long} row_step,
    ${long} column_step, int rows, int columns, ${V} zero)
{
    ${V} total[${rows}][${vectors}];
    for (int i = 0; i < ${rows}; i++) for (int j = 0; j < ${vectors}; j++) total[i][j] = zero;
    for (${long} k = 0; k < depth;) {
        ${long} stop = min(depth, k + ${block});
${clear}
        for (; k < stop; k += ${unrolled}) {
            ${steps}
            a += ${unrolled} * ${rows};
            b += ${unrolled} * ${width};
        }
${accumulate}
    }
    if (columns == ${width} && column_step == 1) {
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < ${vectors}; j++) ${store};
        return;
    }
    ${T} line[${width}];
    for (int i = 0; i < rows; i++) {
        for (int j = 0; j < ${vectors}; j++) ${spill};
        for (int j = 0; j < columns; j++) c[i * row_step + j * column_step] = line[j];
    }
}
${kernel} product(${source} a, ${source} b, ${target} c, ${long} o, ${long} m, ${long} n,
    ${long} depth, ${long} row_step, ${long} column_step, ${long} a_step, ${long} b_step,
    ${words} table)
{
    ${long} i = ${group}, j = ${group_y}, batch = ${group_z};
${decode}
    int rows = (int)min((${long})${rows}, m - i * ${rows});
    int columns = (int)min((${long})${width}, n - j * ${width});
    pb_tile(a + batch * a_step + i * depth * ${rows}, b + batch * b_step + j * depth * ${width},
        c + o + f0 + i * ${rows} * row_step + j * ${width} * column_step, depth, row_step,
        column_step, rows, columns, (${V})(0));
}
""")

TILE_GPU: Final = Template("""\
${header}
${comment}
${helpers}
${kernel} product(${source} a, ${long} oa, ${source} b, ${long} ob, ${target} c, ${long} oc,
    ${long} m, ${long} n, ${long} depth, ${long} a_row, ${long} a_k, ${long} b_k, ${long} b_column,
    ${long} c_row, ${long} c_column, ${words} table${more})
{
    ${shared}${T} at[${depth}][${tile} + 1], bt[${depth}][${tile} + 1];  // + 1: bank conflicts
    int id = ${local_id}, x = id % ${side}, y = id / ${side};
    // all along one axis of the grid: the others end at 65535
    ${long} down = (m + ${tile} - 1) / ${tile}, across = (n + ${tile} - 1) / ${tile};
    ${long} at_tile = ${group}, batch = at_tile / (down * across);
    at_tile %= down * across;
    ${long} i0 = at_tile % down * ${tile}, j0 = at_tile / down * ${tile};
${decode}
    a += oa + f0;
    b += ob + f1;
    c += oc + f2;
    ${T} total[${each}][${each}], sum[${each}][${each}];
    ${unroll}
    for (int i = 0; i < ${each}; i++)
        ${unroll}
        for (int j = 0; j < ${each}; j++) total[i][j] = sum[i][j] = ${zero};
    for (${long} k0 = 0; k0 < depth; k0 += ${depth}) {
        for (int e = id; e < ${depth} * ${tile}; e += ${size}) {  // along dense axes
            int k = a_k == 1 ? e % ${depth} : e / ${tile};
            int i = a_k == 1 ? e / ${depth} : e % ${tile};
            bool inside = i0 + i < m && k0 + k < depth;
            at[k][i] = inside ? a[(i0 + i) * a_row + (k0 + k) * a_k] : ${zero};
            k = b_k == 1 ? e % ${depth} : e / ${tile};
            i = b_k == 1 ? e / ${depth} : e % ${tile};
            inside = j0 + i < n && k0 + k < depth;
            bt[k][i] = inside ? b[(k0 + k) * b_k + (j0 + i) * b_column] : ${zero};
        }
        ${barrier}
        for (int k = 0; k < ${depth}; k++) {
            ${T} left[${each}], right[${each}];
            ${unroll}
            for (int i = 0; i < ${each}; i++) {
                left[i] = at[k][y + i * ${side}];
                right[i] = bt[k][x + i * ${side}];
            }
            ${unroll}
            for (int i = 0; i < ${each}; i++)
                ${unroll}
                for (int j = 0; j < ${each}; j++) sum[i][j] = ${multiply};
        }
        ${barrier}
        if (k0 / ${depth} % ${pieces} == ${pieces} - 1)
            ${unroll}
            for (int i = 0; i < ${each}; i++)
                ${unroll}
                for (int j = 0; j < ${each}; j++) {
                    total[i][j] = ${add};
                    sum[i][j] = ${zero};
                }
    }
    ${unroll}
    for (int i = 0; i < ${each}; i++)
        ${unroll}
        for (int j = 0; j < ${each}; j++) {
            ${long} row = i0 + y + i * ${side}, column = j0 + x + j * ${side};
            if (row >= m || column >= n) continue;
            ${R} ${value} = ${add};
${epilogue}
            c[row * c_row + column * c_column] = ${result};
        }
}
""")


def element(dtype: DType) -> DType:
    """What products of ``dtype`` are computed in: integers as unsigned ones, which wrap."""
    return BY_CODE[UNSIGNED[dtype.itemsize]] if dtype.is_integer else dtype


def pack_kernel(dtype: DType, dialect: Dialect) -> Kernel:
    """Packs A or B; real types differ by their size only."""
    decoding = _decode("batch", ["f0"], dialect)
    if dtype.kind == "complex":
        kind = dialect.types[dtype.code]
        pointer = f"{dialect.memory}const {kind} *"
        words = _words(part(dtype), dialect) | {"complex_source": pointer, "C": kind}
        source = PACK_PARTS.substitute(words, decode=decoding)
        return Kernel("pack", source, ("*", "i64", "*", *["i64"] * 7, "*", "i64"))
    source = PACK.substitute(_words(carrier(dtype.itemsize), dialect), decode=decoding)
    return Kernel("pack", source, ("*", "i64", "*", *["i64"] * 7, "*"))


def cpu_kernel(dtype: DType, shape: Tile, dialect: Dialect) -> Kernel:
    """The product of packed operands."""
    wide, kind = dialect.wide, element(dtype)
    assert wide is not None
    store = wide.store.format(
        x="total[i][j]", p=f"c + i * row_step + j * {shape.lanes}", memory=dialect.memory,
        **vector_words(dialect, kind, shape.lanes),
    )  # fmt: skip
    a, b = f"a[(u) * {shape.rows} + {{i}}]", f"b + (u) * {shape.width} + {{j}}"
    words = _words(kind, dialect) | shape.words(kind, dialect, a, b)
    source = TILE_CPU.substitute(words, store=store, decode=_decode("batch", ["f0"], dialect))
    return Kernel("product", source, ("*", "*", "*", *["i64"] * 8, "*"))


def gpu_kernel(dtype: DType, dialect: Dialect, epilogue: Epilogue | None = None) -> Kernel:
    """The product of strided operands, stored through ``epilogue``."""
    kind = element(dtype)
    ending = epilogue or plain(kind)
    writer = Writer(dialect)
    product = "left[i] * right[j] + sum[i][j]"
    if kind.kind == "complex":
        product = f"{writer.function('multiply_add', kind)}(left[i], right[j], sum[i][j])"
    elif kind.is_floating:
        product = dialect.multiply_add.format(a="left[i]", b="right[j]", c="sum[i][j]")
    elif kind.itemsize < 4:  # promoted to int, whose product may overflow
        first = writer.apply(scalar.MULTIPLY, kind, "left[i]", "right[j]")
        product = writer.apply(scalar.ADD, kind, first, "sum[i][j]")
    lines = ending.lines(writer, "row", "column")
    source = TILE_GPU.substitute(
        _words(kind, dialect)
        | {"target": dialect.pointer(ending.dtype, "", const=False, restrict=False).rstrip()},
        comment=ending.comment(),
        more=ending.parameters(dialect),
        R=writer.register(ending.program.inputs[ending.at].dtype),
        value=ending.value,
        epilogue="\n".join(f"{' ' * 12}{line}" for line in lines),
        result=ending.result,
        depth=str(DEPTH),
        tile=str(TILE),
        each=str(EACH),
        side=str(TILE // EACH),
        size=str(GROUP),
        pieces=str(BLOCK // DEPTH * 4),
        multiply=product,
        add=writer.apply(scalar.ADD, kind, "total[i][j]", "sum[i][j]"),
        zero=writer.literal(0, kind),
        helpers="\n".join(writer.helpers.values()),
        decode=_decode("batch", ["f0", "f1", "f2", *ending.offsets], dialect),
    )
    codes = (*("*", "i64") * 3, *["i64"] * 9, "*", *ending.codes())
    return Kernel("product", source, codes, GROUP)


def _decode(position: str, offsets: list[str], dialect: Dialect) -> str:
    return "\n".join("    " + x for x in decode("table", position, offsets, dialect.long, "t"))


def _words(dtype: DType, dialect: Dialect) -> dict[str, str]:
    kind = dialect.types[dtype.code]
    return {
        "header": dialect.header,
        "kernel": dialect.kernel,
        "long": dialect.long,
        "T": kind,
        "source": f"{dialect.memory}const {kind} *",
        "target": f"{dialect.memory}{kind} *",
        "words": f"{dialect.memory}const {dialect.long} *",
        "group": dialect.group_id[0],
        "group_y": dialect.group_id[1],
        "group_z": dialect.group_id[2],
        "local_id": dialect.local_id,
        "shared": dialect.shared,
        "barrier": dialect.barrier,
        "unroll": dialect.unroll,
        "outlined": dialect.outlined,
        "contract": dialect.contract,
    }
