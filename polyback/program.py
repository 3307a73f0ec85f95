"""Program: an elementwise computation in single-assignment form, the IR between core and backends.

Values are numbered: first the inputs, then one per instruction. A Program is frozen, hashable
(backends cache compiled kernels by it), picklable and printable::

    program(t0: f32, t1: f32 scalar)
    t2 = exp t0 : f32
    t3 = multiply t2 t1 : f32
    return t3

Copy, fill, cast, where, iota and random bits are Programs too, so a backend that runs Programs has
all of them. Arithmetic never happens in float16 or bfloat16: those types are only cast from and to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, final

from polyback import scalar
from polyback.dtype import DType, bool_, float32, int64, scalar_dtype
from polyback.errors import InvalidArgument
from polyback.scalar import Scalar

Number = bool | int | float | complex


@final
@dataclass(frozen=True, slots=True)
class Input:
    """A program's input: an array, or one number given at each launch."""

    dtype: DType
    scalar: bool = False


@final
@dataclass(frozen=True, slots=True, eq=False)
class Instr:
    """``row`` applied to earlier values. ``value`` is the number of a CONST.

    Equal instructions give equal bits: the constants 0.0 and -0.0 differ, NaN equals NaN.
    """

    row: Scalar
    args: tuple[int, ...]
    dtype: DType
    value: Number | None = None

    def _key(self) -> tuple[Any, ...]:
        return (self.row, self.args, self.dtype, repr(self.value))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Instr) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())


@final
@dataclass(frozen=True)
class Program:
    """Inputs, instructions and the numbers of the values that are outputs."""

    inputs: tuple[Input, ...]
    instrs: tuple[Instr, ...]
    outputs: tuple[int, ...]

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.inputs, self.instrs, self.outputs))

    def __reduce__(self) -> tuple[Any, ...]:
        return (Program, (self.inputs, self.instrs, self.outputs))

    @cached_property
    def dtypes(self) -> tuple[DType, ...]:
        """The type of every value."""
        return tuple(i.dtype for i in self.inputs) + tuple(i.dtype for i in self.instrs)

    @cached_property
    def last_use(self) -> tuple[int, ...]:
        """For every value the index of the last instruction that reads it (outputs: never ends)."""
        last = [-1] * len(self.dtypes)
        for position, instr in enumerate(self.instrs):
            for a in instr.args:
                last[a] = position
        for o in self.outputs:
            last[o] = len(self.instrs)
        return tuple(last)

    def operand_dtype(self, instr: Instr) -> DType:
        """The type that selects the kernel: that of the last operand, or the result's own."""
        return self.dtypes[instr.args[-1]] if instr.args else instr.dtype

    def __str__(self) -> str:
        given = ", ".join(
            f"t{k}: {i.dtype.code}{' scalar' if i.scalar else ''}"
            for k, i in enumerate(self.inputs)
        )
        lines = [f"program({given})"]
        for k, instr in enumerate(self.instrs, len(self.inputs)):
            words = [instr.row.name, *(f"t{a}" for a in instr.args)]
            if instr.value is not None:
                words.append(repr(instr.value))
            lines.append(f"t{k} = {' '.join(words)} : {instr.dtype.code}")
        lines.append("return " + " ".join(f"t{o}" for o in self.outputs))
        return "\n".join(lines)

    def check(self) -> Program:
        """The program itself. Raises InvalidArgument if an instruction is malformed."""
        for k, instr in enumerate(self.instrs, len(self.inputs)):
            problem = _problem(self, instr, k)
            if problem:
                raise InvalidArgument(f"[program] t{k} = {instr.row.name}: {problem}\n{self}")
        if not self.outputs or not all(0 <= o < len(self.dtypes) for o in self.outputs):
            raise InvalidArgument(f"[program] bad outputs {self.outputs}\n{self}")
        return self


def _problem(program: Program, instr: Instr, index: int) -> str:
    row = instr.row
    if row is scalar.CONST and (instr.value is None or instr.dtype.compute is not instr.dtype):
        return f"needs a value and a type to compute in, got {instr.value} {instr.dtype}"
    if len(instr.args) != row.arity or any(not 0 <= a < index for a in instr.args):
        return f"takes {row.arity} earlier values, got {instr.args}"
    if row is scalar.CAST:
        pair = (program.dtypes[instr.args[0]], instr.dtype)
        through = all(d.compute is d for d in pair) or float32 in pair
        return "" if through else f"half types are cast from and to float32 only, not {pair}"
    if row.gives == "own":
        wrong = row is scalar.IOTA and instr.dtype is not int64
        return f"gives int64, not {instr.dtype}" if wrong else ""
    args = [program.dtypes[a] for a in instr.args]
    if row is scalar.WHERE and args.pop(0) is not bool_:
        return "the condition must be bool"
    if any(d is not args[0] for d in args):
        return f"operands differ in type: {[d.code for d in args]}"
    if args[0] not in row.takes:
        return f"does not take {args[0]}"
    if instr.dtype is not row.result_dtype(args[0]):
        return f"gives {row.result_dtype(args[0])}, not {instr.dtype}"
    return ""


@final
class Builder:
    """Writes a Program; equal instructions are written once. See :func:`program`."""

    def __init__(self, inputs: Sequence[Input] = ()) -> None:
        self.inputs = list(inputs)
        self.instrs: list[Instr] = []
        self._known: dict[Instr, int] = {}

    def emit(self, instr: Instr) -> int:
        """The number of the value that ``instr`` gives."""
        number = self._known.get(instr)
        if number is None:
            number = self._known[instr] = len(self.inputs) + len(self.instrs)
            self.instrs.append(instr)
        return number

    def value(self, number: int) -> Value:
        """A value that Python operators can be used on."""
        dtypes = [i.dtype for i in self.inputs] + [i.dtype for i in self.instrs]
        return Value(self, number, dtypes[number])

    def constant(self, number: Number, dtype: DType) -> Value:
        """A number written into the program."""
        return Value(self, self.emit(Instr(scalar.CONST, (), dtype, number)), dtype)

    def iota(self) -> Value:
        """The row-major index of the element, int64."""
        return Value(self, self.emit(Instr(scalar.IOTA, (), int64)), int64)

    def finish(self, *outputs: Value) -> Program:
        """The checked Program."""
        numbers = tuple(v.number for v in outputs)
        return Program(tuple(self.inputs), tuple(self.instrs), numbers).check()


@final
@dataclass(frozen=True, eq=False)
class Value:
    """One value of a Program being written; rows and operators append instructions."""

    builder: Builder
    number: int
    dtype: DType

    def apply(self, row: Scalar, operands: tuple[Any, ...]) -> Value:
        """``row`` on values and numbers; a number takes the type of the other operands."""
        like = next(v.dtype for v in reversed(operands) if isinstance(v, Value))
        values = [
            v if isinstance(v, Value) else self.builder.constant(v, scalar_dtype(v, like))
            for v in operands
        ]  # a bool beside comparisons of bools stays bool; WHERE's arms set the type
        dtype = row.result_dtype(values[-1].dtype)
        args = tuple(v.number for v in values)
        return Value(self.builder, self.builder.emit(Instr(row, args, dtype)), dtype)

    def cast(self, dtype: DType) -> Value:
        """This value as ``dtype``; half types are reached, and left, through float32."""
        if dtype is self.dtype:
            return self
        if float32 not in (dtype, self.dtype) and any(
            d.compute is not d for d in (dtype, self.dtype)
        ):
            return self.cast(float32).cast(dtype)
        instr = Instr(scalar.CAST, (self.number,), dtype)
        return Value(self.builder, self.builder.emit(instr), dtype)

    def __add__(self, other: Any) -> Value:
        return scalar.ADD(self, other)

    def __radd__(self, other: Any) -> Value:
        return scalar.ADD(other, self)

    def __sub__(self, other: Any) -> Value:
        return scalar.SUBTRACT(self, other)

    def __rsub__(self, other: Any) -> Value:
        return scalar.SUBTRACT(other, self)

    def __mul__(self, other: Any) -> Value:
        return scalar.MULTIPLY(self, other)

    def __rmul__(self, other: Any) -> Value:
        return scalar.MULTIPLY(other, self)

    def __truediv__(self, other: Any) -> Value:
        return scalar.DIVIDE(self, other)

    def __rtruediv__(self, other: Any) -> Value:
        return scalar.DIVIDE(other, self)

    def __floordiv__(self, other: Any) -> Value:
        return scalar.FLOOR_DIVIDE(self, other)

    def __pow__(self, other: Any) -> Value:
        return scalar.POW(self, other)

    def __and__(self, other: Any) -> Value:
        return scalar.BITWISE_AND(self, other)

    def __or__(self, other: Any) -> Value:
        return scalar.BITWISE_OR(self, other)

    def __xor__(self, other: Any) -> Value:
        return scalar.BITWISE_XOR(self, other)

    def __rshift__(self, other: Any) -> Value:
        return scalar.BITWISE_RIGHT_SHIFT(self, other)

    def __lshift__(self, other: Any) -> Value:
        return scalar.BITWISE_LEFT_SHIFT(self, other)

    def __lt__(self, other: Any) -> Value:
        return scalar.LESS(self, other)

    def __le__(self, other: Any) -> Value:
        return scalar.LESS_EQUAL(self, other)

    def __gt__(self, other: Any) -> Value:
        return scalar.GREATER(self, other)

    def __ge__(self, other: Any) -> Value:
        return scalar.GREATER_EQUAL(self, other)

    def __eq__(self, other: object) -> Any:
        return scalar.EQUAL(self, other)

    def __ne__(self, other: object) -> Any:
        return scalar.NOT_EQUAL(self, other)

    def __hash__(self) -> int:
        return id(self)

    def __neg__(self) -> Value:
        return scalar.NEGATIVE(self)


def program(body: Callable[..., Value | tuple[Value, ...]], *inputs: Input | DType) -> Program:
    """Write a Program as a Python function of its inputs.

    >>> from polyback.dtype import float32
    >>> print(program(lambda x, y: x * y + 1.0, float32, float32))
    program(t0: f32, t1: f32)
    t2 = multiply t0 t1 : f32
    t3 = const 1.0 : f32
    t4 = add t2 t3 : f32
    return t4
    """
    given = [i if isinstance(i, Input) else Input(i) for i in inputs]
    builder = Builder(given)
    results = body(*(Value(builder, k, i.dtype) for k, i in enumerate(given)))
    return builder.finish(*(results if isinstance(results, tuple) else (results,)))


@lru_cache(maxsize=512)
def copy_program(source: DType, target: DType) -> Program:
    """``out = x`` with a cast when the types differ."""
    return program(lambda x: x.cast(target), source)


@lru_cache(maxsize=64)
def fill_program(dtype: DType) -> Program:
    """``out = number``; for half types the number is given as float32."""
    return program(lambda x: x.cast(dtype), Input(dtype.compute, scalar=True))
