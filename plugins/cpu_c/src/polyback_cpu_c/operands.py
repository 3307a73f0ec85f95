"""Operands of a launch as C reads them: one 16-byte word each (``csrc/vm.h``: pb_frame)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from polyback.device import Operand
from polyback.dtype import DType
from polyback.errors import InvalidArgument
from polyback_cpu_c.compiler import CONVERT, FORMATS, Plan, constant_bits


def address(x: Operand, size: int) -> int:
    """Where the operand's element (0, 0, ...) is. Raises InvalidArgument for a freed buffer."""
    try:
        return int(x.buffer.address + x.view.offset * size)
    except (AttributeError, TypeError):
        raise InvalidArgument(f"[cpu_c] {x.buffer!r} is no live buffer of this device") from None


def mismatch(op: str, x: Any, dtype: DType, shape: tuple[int, ...]) -> InvalidArgument:
    """The error for an operand of the wrong type or shape."""
    return InvalidArgument(f"[{op}] got {x.dtype} {x.view.shape}, want {dtype} {shape}")


def collect(
    plan: Plan, shape: tuple[int, ...], operands: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """A word per operand (C: pb_frame) and the start of the key of the layout."""
    words: list[Any] = []
    key: list[Any] = [shape]
    same: Any = None  # a view that has been checked
    try:
        for x, dtype in zip(operands, plan.signature, strict=True):
            if dtype is None:
                words.append(x)
                continue
            view = x.view
            if x.dtype is not dtype or (view is not same and view.shape != shape):
                raise mismatch("elementwise", x, dtype, shape)
            same = view
            words.append(x.buffer.address + view.offset * dtype.itemsize)
            key.append(view.strides)
    except (AttributeError, TypeError):
        raise InvalidArgument(f"[elementwise] not {len(plan.signature)} live operands") from None
    except ValueError as error:
        if isinstance(error, InvalidArgument):
            raise
        count = len(plan.signature)
        raise InvalidArgument(f"[elementwise] {len(operands)} operands, want {count}") from None
    return words, key


def pack_numbers(plan: Plan, words: list[Any]) -> bytes:
    """The words as C reads them, where struct refuses one: numbers of another kind are converted,
    and those that their types do not hold cast as NumPy does."""
    for k, dtype in plan.numbers:
        try:
            words[k] = CONVERT[dtype.kind](words[k])
        except (TypeError, ValueError, OverflowError, KeyError):
            raise InvalidArgument(f"[elementwise] {words[k]!r} is no {dtype}") from None
    try:
        return plan.words.pack(*words)
    except (struct.error, OverflowError):
        pass
    for k, dtype in plan.numbers:
        bits, raw = constant_bits(words[k], dtype), FORMATS[dtype.code] == "16s"
        words[k] = bits if raw else np.frombuffer(bits, dtype.numpy)[0].item()
    return plan.words.pack(*words)


def shift(words: list[Any], plan: Plan, shifts: tuple[int, ...]) -> None:
    """Add what turned axes need to the addresses of arrays."""
    numbers = {k for k, _ in plan.numbers}
    arrays = (k for k in range(len(words)) if k not in numbers)
    for k, shift in zip(arrays, shifts, strict=True):
        words[k] += shift
