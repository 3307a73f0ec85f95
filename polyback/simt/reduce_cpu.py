"""Reductions on a CPU: rows and columns (see ``reduce.py`` for the shapes and their reasons)."""

from __future__ import annotations

from string import Template
from typing import Final

from polyback.simt.driver import Kernel
from polyback.simt.geometry import last_step
from polyback.simt.reduce import COLUMNS, HEAD, LANES, Frame, identity_of

ROW_HELPER: Final = Template("""\
${outlined}${T} pb_row(${arrays}, ${index} start, ${index} stop)
{
    ${V} high${places}, middle${places}, low${places};
    ${clear_high}
    for (${index} r = start; r < stop;) {
        ${index} third = min(stop, r + ${lanes} * ${chain2});
        ${clear_middle}
        while (r < third) {
            ${index} second = min(third, r + ${lanes} * ${chain});
            ${clear_low}
            for (; r < second; r += ${lanes}) {
                int count = (int)(second - r);
${body}
            }
            r = second;
            ${middle_low}
        }
        ${high_middle}
    }
    ${memory_type} some[${lanes}];
    ${spill}
    for (int half_size = ${lanes} / 2; half_size > 0; half_size /= 2)
        for (int k = 0; k < half_size; k++) {
            ${T} a = some[k], b = some[k + half_size];
            some[k] = ${combine_ab};
        }
    return some[0];
}
""")

CPU_ROWS: Final = Template(
    HEAD
    + """\
    ${index} j = (${index})${group} * (${index})span, last = min((${index})n, j + (${index})span);
    for (; j < last; j++) {
${decode_kept}
        ${T} high = ${one_identity}, middle = ${one_identity}, low = ${one_identity};
        int runs = 0;
        for (${index} r = start; r < stop;) {  // one run: elements that one stride walks
${decode_reduced}
            ${index} run = min(lengthr - columnr, stop - r);
            ${T} part_ = pb_row(${names}, 0, run);
            low = ${fold_low};
            if (++runs % ${chain} == 0) {
                middle = ${one_middle_low};
                low = ${one_identity};
                if (runs % ${chain2} == 0) {
                    high = ${one_high_middle};
                    middle = ${one_identity};
                }
            }
            r += run;
        }
        middle = ${one_middle_low};
        out[q + ${at_result}] = ${one_high_middle};
    }
}
"""
)

CPU_COLUMNS: Final = Template(
    HEAD
    + """\
    int outer = (int)kept[0];
    ${index} across = (${index})kept[1], blocks = (across + ${columns} - 1) / ${columns};
    ${index} j = (${index})${group} / blocks * across + (${index})${group} % blocks * ${columns};
    int width = (int)min((${index})${columns}, across - (${index})${group} % blocks * ${columns});
${decode_kept}
    pb_columns(${names}, out + q + ${at_result}, ${result_step}, width, start, stop, reduced);
}
"""
)

COLUMN_HELPER: Final = Template("""\
${outlined}void pb_columns(${arrays}, ${result} out, ${index} step, int width, ${index} start,
    ${index} stop, ${constant} reduced)
{
    ${V} high[${places}], middle[${places}], low[${places}];
    for (int k = 0; k < ${places}; k++) high[k] = middle[k] = low[k] = ${identity};
    for (${index} r = start; r < stop; r++) {
${decode_reduced}
        for (int k = 0; k < width; k += ${lanes}) {
${body}
            low[k / ${lanes}] = ${combine_low};
        }
        if ((r - start) % ${chain} == ${chain} - 1)
            for (int k = 0; k < ${places}; k++) {
                middle[k] = ${combine_middle_low};
                low[k] = ${identity};
            }
        if ((r - start) % ${chain2} == ${chain2} - 1)
            for (int k = 0; k < ${places}; k++) {
                high[k] = ${combine_high_middle};
                middle[k] = ${identity};
            }
    }
    for (int k = 0; k < ${places}; k++) {
        middle[k] = ${combine_middle_low};
        high[k] = ${combine_high_middle};
    }
${stores}
}
""")


def rows(f: Frame) -> Kernel:
    """The fastest axis is reduced."""
    words = f.words() | _row_words(f)
    return f.finish(CPU_ROWS, words, ROW_HELPER.substitute(words))


def columns(f: Frame) -> Kernel:
    """The fastest axis is kept."""
    words = f.words() | _column_words(f)
    return f.finish(CPU_COLUMNS, words, COLUMN_HELPER.substitute(words))


def _row_words(f: Frame) -> dict[str, str]:
    arrays, names = f.pieces("reduced")
    words = {"arrays": arrays, "names": names}
    result = f"t{f.program.outputs[0]}"
    if f.vectors is not None:
        loads = f.number_loads()
        for n, k in enumerate(f.inputs):
            dtype = f.program.inputs[k].dtype
            loads += f.vectors.loads(f"t{k}", dtype, f.spec.modes[n], f"x{k}", "r", "count")
        body = f.value(4, loads)
        rest = f.one.literal(identity_of(f.op, f.dtype), f.dtype)
        trim = f.vectors.trim(f.dtype, rest)
        kind = f.vectors.kind(f.dtype)
        body.append(" " * 16 + f"{kind} term = {result};")
        body.append(" " * 16 + f"if (count < {f.lanes}) term = {trim}(term, count);")
        body.append(" " * 16 + f"low = {f.combine('low', 'term')};")
        return words | {
            "places": "", "body": "\n".join(body),
            "clear_high": f"high = {f.identity()};",
            "clear_middle": f"middle = {f.identity()};",
            "clear_low": f"low = {f.identity()};",
            "middle_low": f"middle = {f.combine('middle', 'low')};",
            "high_middle": f"high = {f.combine('high', 'middle')};",
            "spill": f.vectors.store(f.dtype, "some", "high", "") + ";",
        }  # fmt: skip
    every = f"for (int k = 0; k < {LANES}; k++)"
    loads = f.number_loads()
    loads += [
        f"{f.one.register(f.program.inputs[k].dtype)} t{k} = {f.at(n, k, 'r + k')};"
        for n, k in enumerate(f.inputs)
    ]
    inner = f.value(5, loads)
    inner.append(" " * 20 + f"low[k] = {f.combine('low[k]', result)};")
    loop = "{guard}for (int k = 0; k < {limit}; k++) {{\n{inner}\n                }}"
    text = "\n".join(inner)
    body = [
        " " * 16 + loop.format(guard=f"if (count >= {LANES}) ", limit=LANES, inner=text),
        " " * 16 + loop.format(guard="else ", limit="count", inner=text),
    ]
    return words | {
        "places": f"[{LANES}]", "body": "\n".join(body),
        "clear_high": f"{every} high[k] = {f.identity()};",
        "clear_middle": f"{every} middle[k] = {f.identity()};",
        "clear_low": f"{every} low[k] = {f.identity()};",
        "middle_low": f"{every} middle[k] = {f.combine('middle[k]', 'low[k]')};",
        "high_middle": f"{every} high[k] = {f.combine('high[k]', 'middle[k]')};",
        "spill": f"{every} some[k] = high[k];",
    }  # fmt: skip


def _column_words(f: Frame) -> dict[str, str]:
    arrays, names = f.pieces("kept")
    lanes = f.writer.lanes if f.vectors else 1
    result, loads = f"t{f.program.outputs[0]}", f.number_loads()
    for n, k in enumerate(f.inputs):
        dtype = f.program.inputs[k].dtype
        if f.vectors is not None:
            mode = f.spec.modes[n]
            loads += f.vectors.loads(f"t{k}", dtype, mode, f"(x{k} + g{k})", "k", "width - k")
        else:
            loads.append(f"{f.one.register(dtype)} t{k} = {f.at(n, k, 'k', f'g{k} + ')};")
    store = "for (int k = 0; k < width; k++) out[k * step] = high[k];"
    if f.vectors is not None:
        kind = f.dialect.types[f.dtype.code]
        whole = f.vectors.store(f.dtype, f"some + k * {lanes}", "high[k]", "")
        store = (
            f"{kind} some[{COLUMNS}];\n"
            f"    for (int k = 0; k < {COLUMNS // lanes}; k++) {whole};\n"
            f"    for (int k = 0; k < width; k++) out[k * step] = some[k];"
        )
    place = f"low[k / {lanes}]"
    return {
        "arrays": arrays, "names": names, "lanes": str(lanes), "places": str(COLUMNS // lanes),
        "body": "\n".join(f.value(3, loads)), "stores": f"    {store}",
        "combine_low": f.combine(place, result),
        "combine_middle_low": f.combine("middle[k]", "low[k]"),
        "combine_high_middle": f.combine("high[k]", "middle[k]"),
        "result_step": last_step("kept", len(f.inputs), f.index, "k"),
    }  # fmt: skip
