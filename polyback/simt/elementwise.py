"""Elementwise programs: one kernel per program, two shapes of it.

On a CPU a work-item is a core. It gets a span of consecutive elements and walks it row by row (a
row
is the last axis after merging); the inner loop computes vectors where the whole program can, and is
left to the compiler's vectoriser where it cannot. Calls of exp or sin stop that vectoriser, so the
vectors are written out: on PoCL 3.0 a chain with exp runs 4 times faster with float16 values than
as a scalar loop (16 against 65 ms for 12 million elements on two cores).

On a GPU a work-item makes one element, or where everything is dense and aligned one 16-byte pack of
them, because memory moves fastest in 16-byte accesses: the 2048 work-items of a multiprocessor have
32 KB of each operand under way so, where an H100's memory asks for 18 (see ``reduce.py``).

Outputs that are exactly an input share its pointer: ``restrict`` stays true and vectorisers need no
overlap test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from string import Template
from typing import Final, final

from polyback.dtype import DType
from polyback.program import Program
from polyback.scalar import IOTA
from polyback.simt.dialect import Dialect
from polyback.simt.driver import Kernel
from polyback.simt.expression import Writer, argument_codes, parameters, wide_lanes, wide_type
from polyback.simt.geometry import DENSE, SPLAT, decode, last_step
from polyback.simt.vectors import Vectors

PACK_BYTES: Final = 16


@final
@dataclass(frozen=True)
class Spec:
    """What selects a kernel besides its program. ``alias[k]`` is the input whose memory output k
    is, or -1; ``modes`` say how arrays move along the last axis, inputs first; ``flat``: only one
    axis."""

    alias: tuple[int, ...]
    modes: tuple[str, ...]
    flat: bool
    wide_index: bool = False  # 64-bit index arithmetic
    pack: int = 1  # GPU: elements of a work-item
    stream: bool = False  # CPU: large aligned outputs are stored past the caches


CPU: Final = Template("""\
${kernel} ${name}(${parameters}, ${long} n, ${long} span, ${table})
{
    ${index} i = (${index})${group} * (${index})span, last = min((${index})n, i + (${index})span);
${hoisted}
    while (i < last) {
${decode}
        for (${index} e = 0; e < count; e += ${lanes}) {
${loads}
${statements}
${stores}
        }
        i += count;
    }
}
""")

GPU: Final = Template("""\
${kernel} ${name}(${parameters}, ${long} n, ${long} span, ${table})
{
    ${index} i = (${index})${group} * ${size} + ${local_id}; // span: work-items of a group
    if (i >= (${index})n) return;
${decode}
${loads}
${statements}
${stores}
}
""")


@final
class Renderer:
    """Writes one kernel. ``group`` is 1 on a CPU."""

    def __init__(self, program: Program, spec: Spec, dialect: Dialect, group: int) -> None:
        self.program, self.spec, self.dialect, self.group = program, spec, dialect, group
        known = [*(i.dtype for i in program.inputs if not i.scalar)]
        self.types = known + [program.dtypes[o] for o in program.outputs]
        self.inputs = [k for k, i in enumerate(program.inputs) if not i.scalar]
        self.index = dialect.long if spec.wide_index else "int"
        ok = all(m in (DENSE, SPLAT) for m in spec.modes)
        outs = spec.modes[len(self.inputs) :]
        ok = ok and all(m == DENSE for m in outs)
        self.lanes = wide_lanes(program, dialect) if group == 1 and ok else 1
        self.writer = Writer(dialect, self.lanes)
        self.vectors: Vectors | None = None
        if self.lanes > 1:
            main = wide_type(program)
            assert main is not None
            self.vectors = Vectors(self.writer, main)

    def text(self, name: str) -> str:
        """The kernel alone; afterwards ``helpers`` holds what it calls."""
        return self._cpu(name) if self.group == 1 else self._gpu(name)

    def helpers(self) -> dict[str, str]:
        """Functions and types that the text needs, by name."""
        more = self.vectors.helpers if self.vectors else {}
        return self.writer.helpers | more | self._packs()

    # --- arguments -----------------------------------------------------------------------------

    def arguments(self) -> tuple[str, ...]:
        """A buffer and an offset per array, a number per scalar; then n, span, table."""
        kinds: list[str] = []
        for given in self.program.inputs:
            kinds += argument_codes(given.dtype) if given.scalar else ("*", "i64")
        for k in range(len(self.program.outputs)):
            kinds += ["*", "i64"] if self.spec.alias[k] < 0 else []
        return (*kinds, "i64", "i64", "*")

    def _parameters(self) -> str:
        dialect, words = self.dialect, []
        written = set(self.spec.alias)
        for k, given in enumerate(self.program.inputs):
            if given.scalar:
                words.append(parameters(f"s{k}", given.dtype, dialect))
            else:
                const = k not in written
                words += [
                    dialect.pointer(given.dtype, f"p{k}", const=const),
                    f"{dialect.long} o{k}",
                ]
        for k, number in enumerate(self.program.outputs):
            if self.spec.alias[k] < 0:
                dtype = self.program.dtypes[number]
                words += [dialect.pointer(dtype, f"r{k}", const=False), f"{dialect.long} q{k}"]
        return ", ".join(words)

    def _operands(self) -> list[tuple[str, str, DType]]:
        """(pointer, offset, type) of each array: inputs, then outputs."""
        found = [(f"p{k}", f"o{k}", self.program.inputs[k].dtype) for k in self.inputs]
        for k, number in enumerate(self.program.outputs):
            a = self.spec.alias[k]
            names = (f"r{k}", f"q{k}") if a < 0 else (f"p{a}", f"o{a}")
            found.append((*names, self.program.dtypes[number]))
        return found

    def _common(self, name: str) -> dict[str, str]:
        dialect = self.dialect
        return {
            "kernel": dialect.kernel,
            "name": name,
            "parameters": self._parameters(),
            "table": f"{dialect.memory}const {dialect.long} *{dialect.restrict} table",
            "index": self.index,
            "long": dialect.long,
            "group": dialect.group_id[0],
            "local_id": dialect.local_id,
        }

    # --- CPU -----------------------------------------------------------------------------------

    def _cpu(self, name: str) -> str:
        words = self._common(name)
        pad = " " * 12
        lines = self.writer.statements(self.program, f"({self.dialect.long})(i + e)")
        return CPU.substitute(
            words,
            hoisted="\n".join(f"    {line}" for line in self._hoisted()),
            decode=self._decode_row() if not self.spec.flat else self._flat_row(),
            lanes=str(self.lanes),
            loads="\n".join(pad + line for line in self._loads()),
            statements="\n".join(pad + line for line in lines),
            stores="\n".join(pad + line for line in self._stores()),
        )

    def _hoisted(self) -> list[str]:
        """Numbers, which do not change along the span."""
        lines = []
        for k, given in enumerate(self.program.inputs):
            if given.scalar:
                kind = self.writer.register(given.dtype, given.dtype)
                lines.append(f"{kind} t{k} = {self.writer.number(f's{k}', given.dtype)};")
        return lines

    def _flat_row(self) -> str:
        """One axis: the row is the whole span."""
        pad, lines = " " * 8, []
        lines.append(f"{self.index} count = last - i;")
        for n, (pointer, offset, _) in enumerate(self._operands()):
            mode = self.spec.modes[n]
            step = {DENSE: "i", SPLAT: "0"}.get(mode, f"i * d{n}")
            if mode not in (DENSE, SPLAT):
                lines.append(f"{self.index} d{n} = ({self.index})table[{2 + n}];")
            lines.append(f"{self._const(n)} *x{n} = {pointer} + {offset} + {step};")
        return "\n".join(pad + line for line in lines)

    def _decode_row(self) -> str:
        """Which row element i is in, and where that starts in each operand."""
        operands, index = self._operands(), self.index
        lines = decode("table", "i", [f"f{n}" for n in range(len(operands))], index, "")
        lines.append(f"{index} count = min(length - column, last - i);")
        for n, (pointer, offset, _) in enumerate(operands):
            lines.append(f"{index} d{n} = {last_step('table', n, index, '')};")
            lines.append(f"{self._const(n)} *x{n} = {pointer} + {offset} + f{n};")
        return "\n".join(" " * 8 + line for line in lines)

    def _const(self, n: int) -> str:
        _, _, dtype = self._operands()[n]
        is_input = n < len(self.inputs) and self.inputs[n] not in self.spec.alias
        const = "const " if is_input else ""
        return f"{self.dialect.memory}{const}{self.dialect.types[dtype.code]}"

    def _at(self, n: int, e: str) -> str:
        """The address expression of operand n's element e of the row."""
        mode = self.spec.modes[n]
        return {DENSE: f"x{n}[{e}]", SPLAT: f"x{n}[0]"}.get(mode, f"x{n}[{e} * d{n}]")

    def _loads(self) -> list[str]:
        lines: list[str] = []
        for n, k in enumerate(self.inputs):
            dtype = self.program.inputs[k].dtype
            if self.vectors is None:
                lines.append(f"{self.writer.register(dtype)} t{k} = {self._at(n, 'e')};")
            else:
                mode = self.spec.modes[n]
                lines += self.vectors.loads(f"t{k}", dtype, mode, f"x{n}", "e", "count - e")
        return lines

    def _stores(self) -> list[str]:
        lines: list[str] = []
        for k, number in enumerate(self.program.outputs):
            n = len(self.inputs) + k
            if self.vectors is None:
                lines.append(f"{self._at(n, 'e')} = t{number};")
            else:
                dtype = self.program.dtypes[number]
                lines += self.vectors.stores(
                    f"t{number}", dtype, f"x{n}", "e", "count - e", self.spec.stream
                )
        return lines

    # --- GPU -----------------------------------------------------------------------------------

    def _gpu(self, name: str) -> str:
        words = self._common(name)
        packed = self.spec.pack > 1
        at = f"({self.dialect.long})" + ("(i + k)" if packed else "i")
        lines = self.writer.statements(self.program, at)
        pad = " " * (8 if packed else 4)
        loads, stores = self._pack_moves() if packed else self._element_moves()
        return GPU.substitute(
            words,
            size=f"(({self.index})span * {self.spec.pack})",
            local_id=f"{self.dialect.local_id} * {self.spec.pack}",
            decode="\n".join(f"    {line}" for line in self._positions()),
            loads="\n".join(loads),
            statements="\n".join(pad + line for line in lines),
            stores="\n".join(stores),
        )

    def _positions(self) -> list[str]:
        """Where element i is in each operand."""
        operands, index = self._operands(), self.index
        lines = [*self._hoisted()]
        if self.spec.flat:
            for n, (pointer, offset, _) in enumerate(operands):
                mode = self.spec.modes[n]
                step = {DENSE: "i", SPLAT: "0"}.get(mode, f"i * ({index})table[{2 + n}]")
                lines.append(f"{self._const(n)} *x{n} = {pointer} + {offset} + {step};")
            return lines
        lines += decode("table", "i", [f"f{n}" for n in range(len(operands))], index, "")
        for n, (pointer, offset, _) in enumerate(operands):
            lines.append(f"{self._const(n)} *x{n} = {pointer} + {offset} + f{n};")
        return lines

    def _element_moves(self) -> tuple[list[str], list[str]]:
        loads = [
            f"    {self.writer.register(self.program.inputs[k].dtype)} t{k} = x{n}[0];"
            for n, k in enumerate(self.inputs)
        ]
        first = len(self.inputs)
        stores = [
            f"    x{first + k}[0] = t{number};" for k, number in enumerate(self.program.outputs)
        ]
        return loads, stores

    def _pack_moves(self) -> tuple[list[str], list[str]]:
        """Whole packs in one access each; the last, shorter one element by element."""
        pack, first = self.spec.pack, len(self.inputs)
        loads = [f"    {self.index} count = min(({self.index})n - i, ({self.index}){pack});"]
        for n, k in enumerate(self.inputs):
            code = self.program.inputs[k].dtype.code
            if self.spec.modes[n] == SPLAT:
                continue
            whole = f"*({self.dialect.memory}const pb_pack_{code} *)x{n}"
            loads.append(f"    pb_pack_{code} v{n};")
            loads.append(f"    if (count == {pack}) v{n} = {whole};")
            loads.append(f"    else for (int k = 0; k < count; k++) v{n}.v[k] = x{n}[k];")
        for k, number in enumerate(self.program.outputs):
            loads.append(f"    pb_pack_{self.program.dtypes[number].code} w{k};")
        loads.append(f"    {self.dialect.unroll}\n    for (int k = 0; k < {pack}; k++) {{")
        for n, k in enumerate(self.inputs):
            kind = self.writer.register(self.program.inputs[k].dtype)
            source = f"x{n}[0]" if self.spec.modes[n] == SPLAT else f"v{n}.v[k]"
            loads.append(f"        {kind} t{k} = {source};")
        stores = [f"        w{k}.v[k] = t{o};" for k, o in enumerate(self.program.outputs)]
        stores.append("    }")
        for k, number in enumerate(self.program.outputs):
            code, n = self.program.dtypes[number].code, first + k
            whole = f"*({self.dialect.memory}pb_pack_{code} *)x{n}"
            stores.append(f"    if (count == {pack}) {whole} = w{k};")
            stores.append(f"    else for (int k = 0; k < count; k++) x{n}[k] = w{k}.v[k];")
        return loads, stores

    def _packs(self) -> dict[str, str]:
        """Types of what one memory access moves."""
        packs = {}
        for dtype in dict.fromkeys(self.types) if self.spec.pack > 1 else ():
            kind, size = self.dialect.types[dtype.code], self.spec.pack * dtype.itemsize
            aligned = self.dialect.aligned.format(n=min(size, PACK_BYTES))
            name = f"pb_pack_{dtype.code}"
            packs[name] = f"typedef struct {aligned} {{ {kind} v[{self.spec.pack}]; }} {name};\n"
        return packs


def kernels(
    program: Program, specs: Mapping[str, Spec], dialect: Dialect, group: int
) -> dict[str, Kernel]:
    """One source with a kernel for each named spec. They share a source because compiling one costs
    PoCL 80 ms of which the kernel itself is a tenth."""
    helpers: dict[str, str] = {}
    texts, arguments = [], {}
    for name, spec in specs.items():
        renderer = Renderer(program, spec, dialect, group)
        texts.append(renderer.text(name))
        helpers |= renderer.helpers()
        arguments[name] = renderer.arguments()
    source = "\n".join([dialect.header, comment(program), *helpers.values(), *texts])
    return {name: Kernel(name, source, kinds, group) for name, kinds in arguments.items()}


def comment(program: Program) -> str:
    """The program above its kernel."""
    return "\n".join(f"// {line}" for line in str(program).splitlines())


def has_index(program: Program) -> bool:
    """Does it use the element's index?"""
    return any(i.row is IOTA for i in program.instrs)
