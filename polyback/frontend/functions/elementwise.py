"""Elementwise: the one Op of all scalar functions, type promotion, and casts.

The public functions are in arithmetic, exponential, trigonometry, rounding, comparison and
activation: one hand-written def per row of the scalar table.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, reduce
from typing import Any, final

import numpy as np

from polyback import array
from polyback import dtype as dt
from polyback.array import Array
from polyback.dtype import (
    DEFAULT_FLOAT,
    DType,
    bool_,
    complex64,
    dtype_of,
    float32,
    promote,
    scalar_dtype,
)
from polyback.errors import DTypeError, GradientError, ShapeError
from polyback.frontend.autograd import OUTPUT, Node, is_grad_enabled
from polyback.frontend.checks import check_tensors
from polyback.frontend.op import Op, run
from polyback.frontend.tensor import Tensor
from polyback.program import Builder, Input
from polyback.scalar import CONJ, POSITIVE, REAL_PART, WHERE, Rule, Scalar

NUMBERS = (bool, int, float, complex)


@final
class Elementwise(Op):
    """``y[i] = row(x0[i], x1[i], ...)`` with broadcasting; the gradient is the row's.

    The gradient is the adjoint of the derivative: for a complex slope s it is ``conj(s) * g``.
    """

    def __init__(self, row: Scalar, dtype: DType) -> None:
        self.row, self.dtype = row, dtype
        self.kind = complex64 if dtype.kind == "complex" else float32  # that rules are read in
        self.pushes = self.pulls = row.grad or (None,) * row.arity
        if self.kind is complex64 and row.wirtinger is not None:
            self.pulls, self.pushes = ((rule,) for rule in row.wirtinger)
        elif self.kind is complex64:
            self.pulls = tuple(rule and _adjoint(row, rule) for rule in self.pushes)
        self.differentiable = any(self.pulls)
        self._saves = [
            frozenset[int]() if rule is None else _reads(row, rule, self.kind)
            for rule in self.pulls
        ]

    @property
    def name(self) -> str:
        return self.row.name

    def forward(self, *operands: Any) -> Array:
        return array.apply(self.row, operands, self.dtype)

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        rule = self.pulls[operand]
        result: Tensor = g * 0.0 if rule is None else rule(g, y, *operands)
        return result

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        given = [(rule, t) for rule, t in zip(self.pushes, tangents, strict=True) if t is not None]
        parts = [t * 0.0 if rule is None else rule(t, y, *operands) for rule, t in given]
        return reduce(lambda a, b: a + b, parts)

    def saves(self, operand: int) -> frozenset[int]:
        return self._saves[operand]


def _adjoint(row: Scalar, rule: Rule) -> Rule:
    """The rule that pulls a complex gradient back where ``rule`` pushes a tangent on."""
    if _reads(row, rule, complex64) <= ({0} if row is WHERE else set()):
        return rule  # the slope is a real number
    return lambda g, y, *operands: CONJ(rule(CONJ(g), y, *operands))


@cache
def _reads(row: Scalar, rule: Rule, dtype: DType) -> frozenset[int]:
    """Which values the gradient rule reads, found by writing the rule as a Program."""
    types = [bool_ if row is WHERE and k == 0 else dtype for k in range(row.arity)]
    given = row.result_dtype(dtype)
    builder = Builder([Input(given), Input(given), *(Input(t) for t in types)])
    result = rule(*(builder.value(k) for k in range(2 + row.arity)))
    reached, stack = set[int](), [result.number]
    while stack:
        number = stack.pop()
        reached.add(number)
        if number >= len(builder.inputs):
            stack.extend(builder.instrs[number - len(builder.inputs)].args)
    names = {1: OUTPUT, **{2 + k: k for k in range(row.arity)}}
    return frozenset(names[n] for n in reached if n in names)


@final
class Cast(Op):
    """``y = x`` converted to ``dtype``; the gradient is converted back, of a complex one the real
    part where ``x`` is real."""

    name = "astype"

    def __init__(self, source: DType, dtype: DType) -> None:
        self.source, self.dtype = source, dtype
        self.differentiable = dtype.kind in ("float", "complex")

    def forward(self, x: Array) -> Array:
        return array.cast(x, self.dtype)

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        if g.dtype.kind == "complex" and self.source.kind != "complex":
            g = apply(REAL_PART, g)
        return cast(g, self.source)


def cast(x: Tensor, dtype: DType) -> Tensor:
    """``x`` itself if it has this type, else converted. Raises DTypeError for complex to real."""
    if x.dtype is dtype:
        return x
    if x.dtype.kind == "complex" and dtype.kind not in ("complex", "bool"):
        raise DTypeError(f"[astype] got {x.dtype}; want real(x) or imag(x) to make it {dtype}")
    return run(Cast(x.dtype, dtype), x)


def apply(row: Scalar, *operands: Any) -> Tensor:
    """Apply a row to tensors and numbers: promote, check, run.

    Raises DTypeError for a type that the row does not take, ShapeError if shapes do not broadcast,
    DeviceMismatch for operands on different devices.
    """
    dtype: DType | None = None
    number = tracked = False
    arrays: list[Any] = []
    for x in operands:  # the usual case: tensors of one type, numbers that cannot raise it
        if type(x) is Tensor:
            given = x.array
            arrays.append(given)
            if dtype is None:
                dtype = given.dtype
            elif given.dtype is not dtype:
                return _apply_mixed(row, operands)
            tracked = tracked or x.node is not None or x.requires_grad_
        elif type(x) is float or (type(x) is int and -(2**63) < x < 2**63):
            arrays.append(x)
            number = True
        else:
            return _apply_mixed(row, operands)
    if dtype is None or (number and dtype.kind != "float"):
        return _apply_mixed(row, operands)
    if dtype.compute not in row.takes or row is WHERE:
        return _apply_mixed(row, operands)
    result = array.apply(row, arrays, dtype)
    if tracked and (op := _elementwise(row, dtype)).differentiable and is_grad_enabled():
        return Tensor(result, node=Node(op, operands, result))
    return Tensor(result)


def _apply_mixed(row: Scalar, operands: tuple[Any, ...]) -> Tensor:
    """:func:`apply` for operands whose types have to be promoted, and for WHERE."""
    given = tuple(x if isinstance(x, (Tensor, *NUMBERS)) else _number(row, x) for x in operands)
    skip = 1 if row is WHERE else 0
    if not any(isinstance(x, Tensor) for x in given):
        raise DTypeError(f"[{row.name}] got {operands} only; want at least one tensor: asarray()")
    dtype = _operand_dtype(row, given[skip:])
    ready = [cast(x, dtype) if isinstance(x, Tensor) else x for x in given[skip:]]
    if skip:
        condition = given[0]
        if not isinstance(condition, Tensor):
            raise DTypeError(f"[where] the condition is {condition!r}; want a bool tensor")
        ready.insert(0, cast(condition, bool_))
    return run(_elementwise(row, dtype), *ready)


_elementwise = cache(Elementwise)  # it has no state, so one of each kind serves all calls


def _number(row: Scalar, value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise DTypeError(
        f"[{row.name}] got {type(value).__name__}; want tensors and numbers: convert with "
        f"asarray(..., device=)"
    )


def result_type(*operands: Any) -> DType:
    """The type that tensors, dtypes and Python numbers promote to.

    >>> import polyback as pb
    >>> pb.result_type(pb.int8, pb.uint8), pb.result_type(pb.float32, 2)
    (polyback.int16, polyback.float32)
    """
    types = [
        x.dtype if isinstance(x, Tensor) else x.item() if isinstance(x, np.generic) else x
        for x in operands
    ]
    if not types:
        raise DTypeError("[result_type] got nothing; want tensors, dtypes or numbers")
    arrays = [t for t in types if isinstance(t, DType)]
    numbers = [t for t in types if not isinstance(t, DType)]
    if not arrays:
        return reduce(promote, (scalar_dtype(n, bool_) for n in numbers))
    result = reduce(promote, arrays)
    for number in numbers:
        result = promote(result, scalar_dtype(number, result))
    return result


def _operand_dtype(row: Scalar, operands: Sequence[Any]) -> DType:
    dtype = result_type(*operands)
    if dtype.compute in row.takes:
        return dtype
    if DEFAULT_FLOAT in row.takes and dtype.kind in ("int", "uint") and dt.int32 not in row.takes:
        return DEFAULT_FLOAT  # exp(int tensor), int / int
    wants = ", ".join(sorted(d.name for d in row.takes))
    raise DTypeError(f"[{row.name}] does not take {dtype}; want one of {wants}: use astype()")


def copied(x: Tensor) -> Tensor:
    """A copy with memory of its own; in a graph it stays there."""
    return Tensor(x.array.copy()) if x.edge is None else apply(POSITIVE, x)


def apart(result: Tensor, x: Tensor) -> Tensor:
    """``result``, copied where it is ``x`` or a view of it: what is computed has memory of its own,
    so that a write in place to one never reaches the other."""
    same = result is x or result.array.storage is x.array.storage
    return copied(result) if same else result


def astype(x: Tensor, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Tensor:
    """``x`` converted to ``dtype``; float to int truncates. Differentiable between float types.

    ``copy=False`` returns ``x`` itself where it has the type already. Raises DTypeError for complex
    numbers as real ones, because there are two ways: ``real(x)`` and ``imag(x)``.

    >>> import polyback as pb
    >>> pb.astype(pb.asarray([1.7, -1.7]), pb.int32).tolist()
    [1, -1]
    """
    check_tensors("astype", x)
    target = dtype_of(dtype)
    if device is not None:
        from polyback.frontend.functions.creation import to_device
        from polyback.runtime import device as find

        x = to_device(x, find(device))
    if x.dtype is target:
        return copied(x) if copy else x
    return cast(x, target)


def in_place(target: Tensor, result: Tensor) -> Tensor:
    """What ``target += ...`` leaves behind: written into its buffer, or, inside a graph, the new
    tensor. Raises GradientError for a leaf being recorded, DTypeError or ShapeError when the result
    does not fit the target."""
    if result is NotImplemented:
        return result
    if result.shape != target.shape:
        raise ShapeError(f"[in place] the result is {result.shape}; the target is {target.shape}")
    if result.dtype is not target.dtype:
        raise DTypeError(
            f"[in place] the result is {result.dtype}; the target is {target.dtype}: use x = x + y"
        )
    if is_grad_enabled() and (target.requires_grad or result.requires_grad):
        if target.requires_grad_:
            raise GradientError(
                "[in place] a leaf that requires a gradient cannot be changed while recording; "
                "want `with pb.no_grad():` around the update"
            )
        return result
    target.array.assign(result.array, consume=True)
    return target
