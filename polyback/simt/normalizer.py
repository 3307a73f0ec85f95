"""Launches of softmax and layer normalization."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import isqrt
from typing import Any, final

from polyback.device import Operand
from polyback.simt import normalize_cpu, normalize_gpu
from polyback.simt.geometry import Machine, blocks, table
from polyback.simt.lanes import CPU_SPAN, CPU_TASKS, Lanes, lanes
from polyback.simt.launcher import Launcher
from polyback.simt.lifting import number


@final
class Normalizer:
    """Brings lanes to one scale on one device."""

    def __init__(self, launcher: Launcher) -> None:
        self.launcher, self.machine = launcher, launcher.machine

    def softmax(self, out: Operand, x: Operand, axis: int, log: bool) -> None:
        """A checked softmax."""
        self._launch("softmax", [x, out], axis, int(log), ())

    def layer_norm(
        self, out: Operand, mean: Operand, scale: Operand, x: Operand, weight: Operand | None,
        bias: Operand | None, eps: float,
    ) -> None:  # fmt: skip
        """A checked layer normalization."""
        flags = (weight is not None) + 2 * (bias is not None)
        operands = [x, out, mean, scale, weight or x, bias or x]
        axis = x.view.ndim - 1
        numbers = (float(x.view.shape[axis]), number(eps, x.dtype))
        self._launch("layer_norm", operands, axis, flags, numbers)

    def _launch(
        self, name: str, operands: Sequence[Operand], axis: int, flags: int, numbers: Sequence[Any]
    ) -> None:
        x, launcher = operands[0], self.launcher
        if x.view.size == 0:
            return
        dialect, machine, dtype = launcher.dialect, self.machine, x.dtype
        module: Any = normalize_cpu if machine.is_cpu else normalize_gpu
        make = module.softmax_kernel if name == "softmax" else module.layer_norm_kernel
        group = 1 if machine.is_cpu else machine.group
        compiled = launcher.compiled((name, dtype), lambda: make(dtype, dialect, group))
        found = lanes(operands, axis)
        if machine.is_cpu:
            groups, words = _on_cpu(found, normalize_cpu.lanes_of(dtype, dialect), flags)
        else:
            pack = normalize_gpu.pack(dtype)
            packed = int(found.is_packed(operands[:2], pack))
            if packed and flags and len(operands) > 2:  # weight and bias may be too
                packed += found.is_packed(operands[4:], pack, 4)
            groups, words = _on_gpu(found, machine, flags, packed)
        buffers: list[Any] = []
        for operand in operands:
            buffers += (operand.buffer, operand.view.offset)
        arguments = (*buffers, *numbers, launcher.table(words))
        launcher.driver.launch(compiled, (groups, 1, 1), arguments)


@lru_cache(maxsize=4096)
def _on_cpu(found: Lanes, vector: int, flags: int) -> tuple[int, tuple[int, ...]]:
    """(groups, the table of the kernels in ``normalize_cpu``)"""
    walk, row = found.walk, found.walk.shape[-1] if found.walk.shape else 1
    if found.across:
        units, turns, rest = found.count // row * blocks(row, vector), found.length, 0
        pairs = list(zip((s[-1] for s in walk.strides), found.steps, strict=True))
    else:
        units, turns = found.count, blocks(found.length, vector)
        rest = found.length - (turns - 1) * vector
        pairs = [(s, s * vector) for s in found.steps]
    span = max(1, min(CPU_SPAN // (turns * vector), blocks(units, CPU_TASKS)))
    words = [units, span, turns, rest, max(16, isqrt(turns)), flags]
    for pair in pairs:
        words += pair
    return blocks(units, span), (*words, *table(walk))


@lru_cache(maxsize=4096)
def _on_gpu(found: Lanes, machine: Machine, flags: int, packed: int) -> tuple[int, tuple[int, ...]]:
    """(groups, the table of the kernels in ``normalize_gpu``)"""
    share = found.share(machine, normalize_gpu.TURN)
    turns = blocks(found.length, share.span * normalize_gpu.TURN)
    words = (found.count, share.span, found.length, max(16, isqrt(turns)), packed, flags)
    return share.groups, (*words, *found.steps, *table(found.walk))
