"""Map-reduce over any axes: a program is computed and combined without being stored.

One work-item (CPU) or group (GPU) makes the partial result of some outputs over one *chunk* of the
reduced elements. The length of a chunk depends on the shape alone and partial results are combined
by the same kernel in a second pass, so the order of additions is fixed: same bits with any number
of cores.

Sums must keep ``|error| <= K(n) u sum|terms|`` with K(n) = min(n + 2, 8 + 2 sqrt n), for the worst
terms too; one chain of n additions does not. Here chains are CHAIN long: CHAIN terms go into
``low``, CHAIN of these into ``middle``, those into ``high``.

CPU rows (the fastest axis is reduced): LANES accumulators side by side. The loop is an *outlined*
function: PoCL keeps variables of a kernel's own loops in memory, not those of a function it calls.
CPU columns (the fastest axis is kept): a work-item makes COLUMNS neighbouring outputs at once.
GPU rows: the work-items of a group take elements in turn, then fold (``teams.py``); of dense rows
they take 16 bytes at a time, twice before they add, so that enough loads are under way.
GPU columns: one work-item per output, so that neighbours read neighbouring memory. Dense ones are
shared by eight work-items, each with every eighth row, which read 16 bytes at a time and four rows
before they add: a GPU of 3.35 TB/s, whose memory takes some 700 ns, must have 2.3 MB under way, 18
KB for each of an H100's 132 multiprocessors. A work-item has 64 bytes under way, so 282 of them do;
and a sum over the 128 rows of a batch waits for four accesses, not for 32.
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
from polyback.simt.expression import (
    Writer,
    argument_codes,
    argument_names,
    parameters,
    wide_lanes,
    wide_type,
)
from polyback.simt.geometry import DENSE, SPLAT, decode, last_step
from polyback.simt.vectors import Vectors

LANES: Final = 16
CHAIN: Final = 32
COLUMNS: Final = 256


@final
@dataclass(frozen=True)
class Spec:
    """What selects a kernel besides operation and program. ``modes``: how each array moves along
    the fastest reduced axis (rows) or the fastest kept one (columns)."""

    columns: bool
    modes: tuple[str, ...]
    wide_index: bool = False
    flat: bool = False  # GPU: the reduced axes are one, so that no index has to be taken apart


# Every kernel: n outputs; reduced elements [chunk * y, chunk * (y + 1)) of ``length``, whose result
# is ``part * y`` further on; tables of the kept axes (inputs, then the result) and of the reduced
# ones.
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


def identity_of(op: Reduction, dtype: DType) -> bool | int | float:
    """What changes nothing when combined: for min and max the largest and smallest number."""
    if op.identity is not None:
        return op.identity
    if dtype.is_floating:
        return float("inf") if op is scalar.MIN else -float("inf")
    info = np.iinfo(dtype.numpy)
    return int(info.max if op is scalar.MIN else info.min)


@final
class Frame:
    """What the kernels of one reduction have in common: operands, words, helpers."""

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

    def finish(self, template: Template, words: dict[str, str], helper: str = "") -> Kernel:
        """The kernel, with all the helpers that rendering its words asked for."""
        helpers = self.one.helpers | self.writer.helpers
        if self.vectors is not None:
            helpers = helpers | self.vectors.helpers
        text = "\n".join([*helpers.values(), helper])
        source = template.substitute(words, helpers=text)
        return Kernel("reduction", source, self._arguments(), self.group)

    # --- words ---------------------------------------------------------------------------------

    def _arguments(self) -> tuple[str, ...]:
        kinds: list[str] = []
        for given in self.program.inputs:
            kinds += argument_codes(given.dtype) if given.scalar else ("*", "i64")
        return (*kinds, "*", *["i64"] * 6, "*", "*")

    def words(self) -> dict[str, str]:
        """What every template of this family has holes for."""
        dialect, program = self.dialect, self.program
        taken = []
        for k, given in enumerate(program.inputs):
            if given.scalar:
                taken.append(parameters(f"s{k}", given.dtype, dialect))
            else:
                pointer = dialect.pointer(given.dtype, f"p{k}", const=True)
                taken.append(f"{pointer}, {dialect.long} o{k}")
        kept = [f"f{k}" for k in self.inputs]
        inner = [f"g{k}" for k in self.inputs]
        row = self.group == 1 and not self.spec.columns
        lone = self.one.register(self.dtype)
        return {
            "header": f"{dialect.header}\n{comment(program)}\n// {self.op.name} of it",
            "kernel": dialect.kernel,
            "name": "reduction",
            "parameters": ", ".join(taken),
            "result": dialect.pointer(self.dtype, "", const=False).rstrip(),
            "long": dialect.long,
            "index": self.index,
            "group": dialect.group_id[0],
            "group_y": dialect.group_id[1],
            "local_id": dialect.local_id,
            "constant": f"{dialect.memory}const {dialect.long} *",
            "outlined": dialect.outlined,
            "shared": dialect.shared,
            "barrier": dialect.barrier,
            "size": str(self.group),
            "chain": str(CHAIN),
            "chain2": str(CHAIN * CHAIN),
            "columns": str(COLUMNS),
            "T": lone,
            "V": self.writer.register(self.dtype, self.main),
            "memory_type": dialect.types[self.dtype.code],
            "lanes": str(self.lanes),
            "at_result": "fr",
            "decode_kept": _indent(
                decode("kept", "j", [*kept, "fr"], self.index, "k"), 2 if row else 1
            ),
            "decode_reduced": _indent(self._reduced(inner), 3 if row else 2),
            "one_identity": self.one.literal(identity_of(self.op, self.dtype), self.dtype),
            "identity": self.identity(),
            "combine_ab": self.one.apply(self.op.combine, self.dtype, "a", "b"),
            "one_middle_low": self.one.apply(self.op.combine, self.dtype, "middle", "low"),
            "one_high_middle": self.one.apply(self.op.combine, self.dtype, "high", "middle"),
            "fold_low": self.one.apply(self.op.combine, self.dtype, "low", "part_"),
        }

    def _reduced(self, offsets: list[str]) -> list[str]:
        """How far element ``r`` is from the first, for each array."""
        if not self.spec.flat:
            return decode("reduced", "r", offsets, self.index, "r")
        lines = ["const int outerr = 0;"]  # as decode names it
        for n, offset in enumerate(offsets):
            step = last_step("reduced", n, self.index, "r")
            lines.append(f"{self.index} {offset} = r * {step};")
        return lines

    @property
    def lanes(self) -> int:
        """Accumulators side by side in a row."""
        return self.writer.lanes if self.vectors else LANES

    def identity(self) -> str:
        """What lanes start with; in a mask all bits are set."""
        value = identity_of(self.op, self.dtype)
        if self.vectors is not None and self.dtype.kind == "bool":
            return "-1" if value else "0"
        return self.writer.literal(value, self.dtype)

    def combine(self, a: str, b: str) -> str:
        """Two partial results joined, lane by lane."""
        return self.writer.apply(self.op.combine, self.dtype, a, b)

    def value(self, pad: int, loads: list[str]) -> list[str]:
        """Loads, then the program."""
        lines = loads + self.writer.statements(self.program, "0")
        return [" " * 4 * pad + line for line in lines]

    def number_loads(self) -> list[str]:
        """Declarations of the inputs that are numbers."""
        kinds = {k: self.program.inputs[k].dtype for k in self.numbers}
        return [
            f"{self.writer.register(d, self.main)} t{k} = {self.writer.number(f's{k}', d)};"
            for k, d in kinds.items()
        ]

    def pieces(self, step: str) -> tuple[str, str]:
        """(parameters, arguments) that hand the inputs to a helper; ``step``: table of the
        strides."""
        dialect, given, passed = self.dialect, [], []
        key, offset = ("k", "") if step == "kept" else ("r", " + g{k}")
        for n, k in enumerate(self.inputs):
            dtype = self.program.inputs[k].dtype
            given.append(f"{dialect.pointer(dtype, f'x{k}', const=True)}, {self.index} d{k}")
            where = f"p{k} + o{k} + f{k}" + offset.format(k=k)
            passed.append(f"{where}, {last_step(step, n, self.index, key)}")
        for k in self.numbers:
            dtype = self.program.inputs[k].dtype
            given.append(parameters(f"s{k}", dtype, dialect))
            passed += argument_names(f"s{k}", dtype)
        return ", ".join(given), ", ".join(passed)

    def at(self, n: int, k: int, e: str, base: str = "") -> str:
        """Element ``e`` of array ``n``, which is input ``k``, along the fastest axis."""
        kind = self.spec.modes[n]
        inner = {DENSE: e, SPLAT: "0"}.get(kind, f"({e}) * d{k}")
        return f"x{k}[{base}{inner}]"


def _indent(lines: list[str], depth: int) -> str:
    return "\n".join(" " * 4 * depth + line for line in lines)
