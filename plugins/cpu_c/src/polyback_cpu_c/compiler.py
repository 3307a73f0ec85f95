"""Program -> instructions for the interpreter (``csrc/vm.h`` describes both structures).

Slots are numbered inputs, outputs, constants, temporaries. A value that is an output is written
straight to the output's slot; other values share temporaries by last use.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, final

import numpy as np

from polyback import scalar
from polyback.dtype import DType, bool_, int64
from polyback.errors import InvalidArgument
from polyback.program import Instr, Number, Program

REGISTER_BYTES: Final = 4096  # 2 to 4 times as much measured the same
MOST_LAYOUTS: Final = 4096  # per program
FORMATS: Final = {
    "b8": "?15x", "i8": "b15x", "i16": "h14x", "i32": "i12x", "i64": "q8x",
    "u8": "B15x", "u16": "H14x", "u32": "I12x", "u64": "Q8x",
    "f16": "e14x", "f32": "f12x", "f64": "d8x", "bf16": "16s", "c64": "16s", "c128": "16s",
}  # fmt: skip
ADDRESS: Final = "Q8x"
CONVERT: Final = {"bool": bool, "int": int, "uint": int, "float": float, "complex": complex}


@final
@dataclass(eq=False)
class Plan:
    """A compiled program and what launching it needs."""

    code: bytes
    sizes: tuple[int, ...]  # item sizes of inputs, the index (if any) and outputs
    signature: tuple[DType | None, ...]  # types of inputs and outputs; None: a number
    numbers: tuple[tuple[int, DType], ...]  # the inputs that are numbers
    outputs: tuple[DType, ...]
    has_index: bool
    hazards: frozenset[tuple[int, int]]  # (output, input): written before the last read
    words: struct.Struct  # packs one word per input, index and output
    only_copies: bool  # its one input to its one output
    layouts: dict[tuple[Any, ...], Any] = field(default_factory=dict)

    def remember(self, key: list[Any], found: object) -> None:
        """Keep a layout, and forget all when there are too many."""
        if len(self.layouts) >= MOST_LAYOUTS:
            self.layouts.clear()
        self.layouts[tuple(key)] = found


@final
class Compiler:
    """Compiles one program. ``reducing``: its only output is read from a slot, not stored."""

    def __init__(self, program: Program, ops: Mapping[str, int], reducing: bool) -> None:
        self.program, self.ops, self.reducing = program, ops, reducing
        self.has_index = any(i.row is scalar.IOTA for i in program.instrs)
        self.inputs = len(program.inputs) + self.has_index
        self.outputs = () if reducing else program.outputs
        self.slots: list[int] = list(range(len(program.inputs)))  # of every value so far
        self.constants: dict[tuple[int, bytes], int] = {}
        self.temps: list[int] = []  # item size of the value last put into each temporary
        self.free: list[int] = []
        self.code: list[tuple[int, int, list[int]]] = []

    def compile(self) -> Plan:
        """The plan."""
        program = self.program
        first = self._number_constants()
        for position, instr in enumerate(program.instrs):
            self._emit(position, instr, first)
        for k, value in enumerate(self.outputs):
            if self.slots[value] != self.inputs + k:
                kernel = self._copy_kernel(program.dtypes[value])
                self.code.append((kernel, self.inputs + k, [self.slots[value]]))
        return self._plan()

    def _number_constants(self) -> int:
        """Give every constant a slot; the number of the first temporary."""
        for instr in self.program.instrs:
            if instr.row is scalar.CONST:
                key = (instr.dtype.itemsize, constant_bits(instr.value, instr.dtype))
                self.constants.setdefault(key, len(self.constants))
        return self.inputs + len(self.outputs) + len(self.constants)

    def _emit(self, position: int, instr: Instr, first: int) -> None:
        if instr.row is scalar.IOTA:
            self.slots.append(self.inputs - 1)
            return
        if instr.row is scalar.CONST:
            key = (instr.dtype.itemsize, constant_bits(instr.value, instr.dtype))
            self.slots.append(self.inputs + len(self.outputs) + self.constants[key])
            return
        number = len(self.slots)
        reads = [self.slots[a] for a in instr.args]
        dying = {
            self.slots[a] - first
            for a in instr.args
            if self.program.last_use[a] == position and self.slots[a] >= first
        }
        if number in self.outputs:
            slot = self.inputs + self.outputs.index(number)
        else:
            slot = first + self._take(instr.dtype.itemsize, dying)
        self.free += sorted(dying - {slot - first})
        if self.program.last_use[number] < 0 and slot >= first:
            self.free.append(slot - first)  # nobody reads it
        self.slots.append(slot)
        self.code.append((self._kernel(instr), slot, reads))

    def _take(self, size: int, dying: set[int]) -> int:
        """A temporary. One that dies here serves if the item size is the same: kernels may write
        over their own operand."""
        for k in sorted(dying):
            if self.temps[k] == size:
                return k
        if self.free:
            k = self.free.pop()
            self.temps[k] = size
            return k
        self.temps.append(size)
        return len(self.temps) - 1

    def _kernel(self, instr: Instr) -> int:
        code = self.program.operand_dtype(instr).code
        if instr.row is not scalar.CAST:
            return self.ops[f"{instr.row.name}_{code}"]
        if code == instr.dtype.code:
            return self._copy_kernel(instr.dtype)
        return self.ops[f"cast_{code}_{instr.dtype.code}"]

    def _copy_kernel(self, dtype: DType) -> int:
        code = "c128" if dtype.itemsize == 16 else f"u{8 * dtype.itemsize}"
        return self.ops[f"positive_{code}"]

    def _plan(self) -> Plan:
        program = self.program
        index_dtypes = (int64,) if self.has_index else ()
        outputs = tuple(program.dtypes[o] for o in self.outputs)
        dtypes = (*(i.dtype for i in program.inputs), *index_dtypes, *outputs)
        sizes = tuple(d.itemsize for d in dtypes)
        widest = max(d.itemsize for d in program.dtypes)
        scalars = any(i.scalar for i in program.inputs)
        formats = [FORMATS[i.dtype.code] if i.scalar else ADDRESS for i in program.inputs]
        return Plan(
            self._assemble(sizes, widest),
            sizes,
            (*(None if i.scalar else i.dtype for i in program.inputs), *outputs),
            tuple((k, i.dtype) for k, i in enumerate(program.inputs) if i.scalar),
            outputs,
            self.has_index,
            self._hazards(),
            struct.Struct("=" + "".join([*formats, ADDRESS * (len(sizes) - len(formats))])),
            not program.instrs and len(sizes) == 2 and not scalars,
        )

    def _assemble(self, sizes: tuple[int, ...], widest: int) -> bytes:
        all_sizes = [*sizes, *(size for size, _ in self.constants)]
        if len(all_sizes) % 2:
            all_sizes.append(0)
        header = [
            self.inputs, len(self.outputs), len(self.constants), len(self.temps), len(self.code),
            REGISTER_BYTES // widest, REGISTER_BYTES, max(1, sum(map(cost, self.program.instrs))),
            self.inputs - 1 if self.has_index else -1,
            self.slots[self.program.outputs[0]] if self.reducing else 0,
        ]  # fmt: skip
        words = [*header, *[0] * (16 - len(header))]
        blob = struct.pack("=16i", *words) + b"".join(bits for _, bits in self.constants)
        blob += struct.pack(f"={len(all_sizes)}i", *all_sizes)
        for op, out, reads in self.code:
            blob += struct.pack("=6i", op, out, *(reads + [reads[0]] * 3)[:3], 0)
        return blob

    def _hazards(self) -> frozenset[tuple[int, int]]:
        """Where an output that *is* an input would be overwritten too early."""
        found = set()
        for k in range(len(self.outputs)):
            written = min(
                (p for p, (_, out, _) in enumerate(self.code) if out == self.inputs + k),
                default=0,
            )
            for _, _, reads in self.code[written + 1 :]:
                found |= {(k, r) for r in reads if r < len(self.program.inputs)}
        return frozenset(found)


def cost(instr: Instr) -> int:
    """A kernel's time per element in L1, in float32 additions: what decides the size of tasks.
    Measured: exp 9, tanh 12; float64 does half as many at once, and the rare ones call libm, as do
    all complex ones."""
    if not instr.args:
        return 0
    slow = instr.row.ulp > 2.5 or (instr.row.ulp > 0 and "$" in instr.row.c)
    if instr.dtype.kind == "complex":
        return 1000 if slow else 4
    wide = instr.dtype.itemsize == 8
    return (60 if wide else 12) if slow else (2 if wide else 1)


def constant_bits(value: Number | None, dtype: DType) -> bytes:
    """The number in ``dtype``, at the start of a word (C: pb_word)."""
    if dtype is bool_:
        value = bool(value)
    with np.errstate(all="ignore"):
        try:
            bits = np.asarray(value).astype(dtype.numpy).tobytes()
        except (TypeError, ValueError, OverflowError):
            raise InvalidArgument(f"[program] {value!r} is no {dtype}") from None
    return bits.ljust(16, b"\0")
