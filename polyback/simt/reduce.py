"""Map-reduce over any axes: a program is computed and combined without being stored.

One work-item (CPU) or group (GPU) makes the partial result of some outputs over one *chunk* of the
reduced elements. The length of a chunk depends on the shape alone and partial results are combined by the
same kernel in a second pass, so the order of additions is fixed: same bits with any number of cores.

Sums must keep ``|error| <= K(n) u sum|terms|`` with K(n) = min(n + 2, 8 + 2 sqrt n), for the worst terms
too; one chain of n additions does not. Here chains are CHAIN long: CHAIN terms go into ``low``, CHAIN of
these into ``middle``, those into ``high``.

CPU rows (the fastest axis is reduced): LANES accumulators side by side. The loop is an *outlined*
function: PoCL keeps variables of a kernel's own loops in memory, not those of a function it calls.
CPU columns (the fastest axis is kept): a work-item makes COLUMNS neighbouring outputs at once.
GPU rows: the work-items of a group take elements in turn, then fold in shared memory, in halves.
GPU columns: one work-item per output, so that neighbours read neighbouring memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import Template
from typing import Final, final

import numpy as np

from polyback import scalar
from polyback.dtype import DType
from polyback.program import Program
from polyback.scalar import Reduction
from polyback.simt.dialect import Dialect
from polyback.simt.driver import Kernel
from polyback.simt.elementwise import comment
from polyback.simt.expression import Writer, literal, wide_lanes, wide_type
from polyback.simt.geometry import DENSE, SPLAT, decode, last_step
from polyback.simt.vectors import Vectors

LANES: Final = 16
CHAIN: Final = 32
COLUMNS: Final = 64


@final
@dataclass(frozen=True)
class Spec:
    """What selects a kernel besides operation and program. ``modes``: how each array moves along the
    fastest reduced axis (rows) or the fastest kept one (columns)."""

    columns: bool
    modes: tuple[str, ...]
    wide_index: bool = False


# Every kernel: n outputs; reduced elements [chunk * y, chunk * (y + 1)) of ``length``, whose result is
# ``part * y`` further on; tables of the kept axes (inputs, then the result) and of the reduced ones.
HEAD: Final = """\
${header}
${helpers}
${kernel} ${name}(${parameters}, ${result} out, ${long} q, ${long} part, ${long} n, ${long} span,
    ${long} length, ${long} chunk, ${constant} kept, ${constant} reduced)
{
    ${index} start = (${index})${group_y} * (${index})chunk;
    ${index} stop = min((${index})length, start + (${index})chunk);
    q += part * ${group_y};
"""

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

CPU_ROWS: Final = Template(HEAD + """\
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
""")

CPU_COLUMNS: Final = Template(HEAD + """\
    int outer = (int)kept[0];
    ${index} across = (${index})kept[1], blocks = (across + ${columns} - 1) / ${columns};
    ${index} j = (${index})${group} / blocks * across + (${index})${group} % blocks * ${columns};
    int width = (int)min((${index})${columns}, across - (${index})${group} % blocks * ${columns});
${decode_kept}
    pb_columns(${names}, out + q + ${at_result}, ${result_step}, width, start, stop, reduced);
}
""")

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

GPU_ROWS: Final = Template(HEAD + """\
    ${shared}${T} fold[${size}];
    ${index} j = (${index})${group};
    int lane = ${local_id}, count = 0;
${decode_kept}
    ${T} high = ${identity}, middle = ${identity}, low = ${identity};
    for (${index} r = start + lane; r < stop; r += ${size}) {
${decode_reduced}
${body}
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
    fold[lane] = high;
    for (int half_size = ${size} / 2; half_size > 0; half_size /= 2) {
        ${barrier}
        if (lane < half_size) {
            ${T} a = fold[lane], b = fold[lane + half_size];
            fold[lane] = ${combine_ab};
        }
    }
    if (lane == 0) out[q + ${at_result}] = fold[0];
}
""")

GPU_COLUMNS: Final = Template(HEAD + """\
    ${index} j = (${index})${group} * ${size} + ${local_id};
    if (j >= (${index})n) return;
    int count = 0;
${decode_kept}
    ${T} high = ${identity}, middle = ${identity}, low = ${identity};
    for (${index} r = start; r < stop; r++) {
${decode_reduced}
${body}
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
    out[q + ${at_result}] = high;
}
""")


def identity(op: Reduction, dtype: DType) -> bool | int | float:
    """What changes nothing when combined: for min and max the largest and smallest number."""
    if op.identity is not None:
        return op.identity
    if dtype.is_floating:
        return float("inf") if op is scalar.MIN else -float("inf")
    info = np.iinfo(dtype.numpy)
    return int(info.max if op is scalar.MIN else info.min)


@final
class Renderer:
    """Writes one kernel."""

    def __init__(
        self, op: Reduction, program: Program, spec: Spec, dialect: Dialect, group: int
    ) -> None:
        self.op, self.program, self.spec = op, program, spec
        self.dialect, self.group = dialect, group
        self.index = dialect.long if spec.wide_index else "int"
        self.inputs = [k for k, i in enumerate(program.inputs) if not i.scalar]
        self.numbers = [k for k, i in enumerate(program.inputs) if i.scalar]
        self.dtype = program.dtypes[program.outputs[0]]
        movable = all(m in (DENSE, SPLAT) for m in spec.modes)
        wide = wide_lanes(program, dialect) if group == 1 and movable else 1
        self.writer, self.one = Writer(dialect, wide), Writer(dialect)
        main = wide_type(program)
        self.vectors = Vectors(self.writer, main) if wide > 1 and main is not None else None
        if self.vectors is None:
            self.writer = self.one
        self.main = main

    def kernel(self, name: str) -> Kernel:
        """The source and its arguments."""
        if self.group > 1:
            words = self._words(name) | self._gpu_words()
            source = (GPU_COLUMNS if self.spec.columns else GPU_ROWS).substitute(self._last(words))
        elif self.spec.columns:
            words = self._words(name) | self._column_words()
            helper = COLUMN_HELPER.substitute(words)
            source = CPU_COLUMNS.substitute(self._last(words, helper))
        else:
            words = self._words(name) | self._row_words()
            helper = ROW_HELPER.substitute(words)
            source = CPU_ROWS.substitute(self._last(words, helper))
        return Kernel(name, source, self._arguments(), self.group)

    def _last(self, words: dict[str, str], helper: str = "") -> dict[str, str]:
        """``words`` with all the helpers that rendering asked for."""
        helpers = self.one.helpers | self.writer.helpers
        if self.vectors is not None:
            helpers = helpers | self.vectors.helpers
        return words | {"helpers": "\n".join([*helpers.values(), helper])}

    # --- words ---------------------------------------------------------------------------------

    def _arguments(self) -> tuple[str, ...]:
        kinds: list[str] = []
        for given in self.program.inputs:
            kinds += [given.dtype.code] if given.scalar else ["*", "i64"]
        return (*kinds, "*", *["i64"] * 6, "*", "*")

    def _words(self, name: str) -> dict[str, str]:
        dialect, program = self.dialect, self.program
        parameters = []
        for k, given in enumerate(program.inputs):
            if given.scalar:
                parameters.append(f"{dialect.types[given.dtype.code]} s{k}")
            else:
                pointer = dialect.pointer(given.dtype, f"p{k}", const=True)
                parameters.append(f"{pointer}, {dialect.long} o{k}")
        kept = [f"f{k}" for k in self.inputs]
        inner = [f"g{k}" for k in self.inputs]
        row = self.group == 1 and not self.spec.columns
        lone = self.one.register(self.dtype)
        return {
            "header": f"{dialect.header}\n{comment(program)}\n// {self.op.name} of it",
            "kernel": dialect.kernel, "name": name, "parameters": ", ".join(parameters),
            "result": dialect.pointer(self.dtype, "", const=False).rstrip(),
            "long": dialect.long, "index": self.index, "group": dialect.group_id[0],
            "group_y": dialect.group_id[1], "local_id": dialect.local_id,
            "constant": f"{dialect.memory}const {dialect.long} *", "outlined": dialect.outlined,
            "shared": dialect.shared, "barrier": dialect.barrier, "size": str(self.group),
            "chain": str(CHAIN), "chain2": str(CHAIN * CHAIN), "columns": str(COLUMNS),
            "T": lone, "V": self.writer.register(self.dtype, self.main),
            "memory_type": dialect.types[self.dtype.code],
            "lanes": str(self.lanes), "at_result": "fr",
            "decode_kept": _indent(decode("kept", "j", [*kept, "fr"], self.index, "k"), 2 if row else 1),
            "decode_reduced": _indent(decode("reduced", "r", inner, self.index, "r"), 3 if row else 2),
            "one_identity": literal(identity(self.op, self.dtype), self.dtype, dialect),
            "identity": self._identity(),
            "combine_ab": self.one.apply(self.op.combine, self.dtype, "a", "b"),
            "one_middle_low": self.one.apply(self.op.combine, self.dtype, "middle", "low"),
            "one_high_middle": self.one.apply(self.op.combine, self.dtype, "high", "middle"),
            "fold_low": self.one.apply(self.op.combine, self.dtype, "low", "part_"),
        }  # fmt: skip

    @property
    def lanes(self) -> int:
        """Accumulators side by side in a row."""
        return self.writer.lanes if self.vectors else LANES

    def _identity(self) -> str:
        value = identity(self.op, self.dtype)
        if self.vectors is not None and self.dtype.kind == "bool":
            return "-1" if value else "0"
        return literal(value, self.dtype, self.dialect)

    def _combine(self, a: str, b: str) -> str:
        return self.writer.apply(self.op.combine, self.dtype, a, b)

    def _value(self, pad: int, loads: list[str]) -> list[str]:
        """Loads, then the program."""
        lines = loads + self.writer.statements(self.program, "0")
        return [" " * 4 * pad + line for line in lines]

    def _number_loads(self) -> list[str]:
        kinds = {k: self.program.inputs[k].dtype for k in self.numbers}
        return [f"{self.writer.register(d, self.main)} t{k} = s{k};" for k, d in kinds.items()]

    def _pieces(self, step: str) -> tuple[str, str]:
        """(parameters, arguments) that hand the inputs to a helper; ``step``: table of the strides."""
        dialect, given, passed = self.dialect, [], []
        key, offset = ("k", "") if step == "kept" else ("r", " + g{k}")
        for n, k in enumerate(self.inputs):
            dtype = self.program.inputs[k].dtype
            given.append(f"{dialect.pointer(dtype, f'x{k}', const=True)}, {self.index} d{k}")
            where = f"p{k} + o{k} + f{k}" + offset.format(k=k)
            passed.append(f"{where}, {last_step(step, n, self.index, key)}")
        for k in self.numbers:
            given.append(f"{dialect.types[self.program.inputs[k].dtype.code]} s{k}")
            passed.append(f"s{k}")
        return ", ".join(given), ", ".join(passed)

    def _at(self, n: int, k: int, e: str, base: str = "") -> str:
        kind = self.spec.modes[n]
        inner = {DENSE: e, SPLAT: "0"}.get(kind, f"({e}) * d{k}")
        return f"x{k}[{base}{inner}]"

    # --- CPU -----------------------------------------------------------------------------------

    def _row_words(self) -> dict[str, str]:
        arrays, names = self._pieces("reduced")
        words = {"arrays": arrays, "names": names}
        result = f"t{self.program.outputs[0]}"
        if self.vectors is not None:
            loads = self._number_loads()
            for n, k in enumerate(self.inputs):
                dtype = self.program.inputs[k].dtype
                loads += self.vectors.loads(f"t{k}", dtype, self.spec.modes[n], f"x{k}", "r", "count")
            body = self._value(4, loads)
            rest = literal(identity(self.op, self.dtype), self.dtype, self.dialect)
            trim = self.vectors.trim(self.dtype, rest)
            kind = self.vectors.kind(self.dtype)
            body.append(" " * 16 + f"{kind} term = {result};")
            body.append(" " * 16 + f"if (count < {self.lanes}) term = {trim}(term, count);")
            body.append(" " * 16 + f"low = {self._combine('low', 'term')};")
            return words | {
                "places": "", "body": "\n".join(body),
                "clear_high": f"high = {self._identity()};",
                "clear_middle": f"middle = {self._identity()};",
                "clear_low": f"low = {self._identity()};",
                "middle_low": f"middle = {self._combine('middle', 'low')};",
                "high_middle": f"high = {self._combine('high', 'middle')};",
                "spill": self.vectors.store(self.dtype, "some", "high") + ";",
            }  # fmt: skip
        every = f"for (int k = 0; k < {LANES}; k++)"
        loads = self._number_loads()
        loads += [
            f"{self.one.register(self.program.inputs[k].dtype)} t{k} = {self._at(n, k, 'r + k')};"
            for n, k in enumerate(self.inputs)
        ]
        inner = self._value(5, loads)
        inner.append(" " * 20 + f"low[k] = {self._combine('low[k]', result)};")
        loop = "{guard}for (int k = 0; k < {limit}; k++) {{\n{inner}\n                }}"
        text = "\n".join(inner)
        body = [
            " " * 16 + loop.format(guard=f"if (count >= {LANES}) ", limit=LANES, inner=text),
            " " * 16 + loop.format(guard="else ", limit="count", inner=text),
        ]
        return words | {
            "places": f"[{LANES}]", "body": "\n".join(body),
            "clear_high": f"{every} high[k] = {self._identity()};",
            "clear_middle": f"{every} middle[k] = {self._identity()};",
            "clear_low": f"{every} low[k] = {self._identity()};",
            "middle_low": f"{every} middle[k] = {self._combine('middle[k]', 'low[k]')};",
            "high_middle": f"{every} high[k] = {self._combine('high[k]', 'middle[k]')};",
            "spill": f"{every} some[k] = high[k];",
        }  # fmt: skip

    def _column_words(self) -> dict[str, str]:
        arrays, names = self._pieces("kept")
        lanes = self.writer.lanes if self.vectors else 1
        result, loads = f"t{self.program.outputs[0]}", self._number_loads()
        for n, k in enumerate(self.inputs):
            dtype = self.program.inputs[k].dtype
            if self.vectors is not None:
                mode = self.spec.modes[n]
                loads += self.vectors.loads(f"t{k}", dtype, mode, f"(x{k} + g{k})", "k", "width - k")
            else:
                loads.append(f"{self.one.register(dtype)} t{k} = {self._at(n, k, 'k', f'g{k} + ')};")
        store = f"for (int k = 0; k < width; k++) out[k * step] = high[k];"
        if self.vectors is not None:
            kind = self.dialect.types[self.dtype.code]
            whole = self.vectors.store(self.dtype, f"some + k * {lanes}", "high[k]")
            store = (
                f"{kind} some[{COLUMNS}];\n"
                f"    for (int k = 0; k < {COLUMNS // lanes}; k++) {whole};\n"
                f"    for (int k = 0; k < width; k++) out[k * step] = some[k];"
            )
        place = f"low[k / {lanes}]"
        return {
            "arrays": arrays, "names": names, "lanes": str(lanes), "places": str(COLUMNS // lanes),
            "body": "\n".join(self._value(3, loads)), "stores": f"    {store}",
            "combine_low": self._combine(place, result),
            "combine_middle_low": self._combine("middle[k]", "low[k]"),
            "combine_high_middle": self._combine("high[k]", "middle[k]"),
            "result_step": last_step("kept", len(self.inputs), self.index, "k"),
        }  # fmt: skip

    # --- GPU -----------------------------------------------------------------------------------

    def _gpu_words(self) -> dict[str, str]:
        loads = self._number_loads()
        for k in self.inputs:
            kind = self.one.register(self.program.inputs[k].dtype)
            loads.append(f"{kind} t{k} = p{k}[o{k} + f{k} + g{k}];")
        result = f"t{self.program.outputs[0]}"
        return {
            "body": "\n".join(self._value(2, loads)),
            "combine_low": self._combine("low", result),
            "combine_middle_low": self._combine("middle", "low"),
            "combine_high_middle": self._combine("high", "middle"),
        }


def _indent(lines: list[str], depth: int) -> str:
    return "\n".join(" " * 4 * depth + line for line in lines)
