"""Op: one operation with its gradient. A scalar function is a row; everything else is an Op class.

Subclasses say, in this order: the formula (docstring), ``forward``, ``gradient``, ``tangent``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from polyback.array import Array
from polyback.frontend.autograd import Node, is_grad_enabled
from polyback.frontend.tensor import Tensor


class Op(ABC):
    """An operation on arrays. Attributes hold its parameters; instances are used once."""

    differentiable = True  # False says so on purpose: the result is constant for gradients

    @property
    def name(self) -> str:
        """For error messages and graph drawings."""
        return type(self).__name__.lower()

    @abstractmethod
    def forward(self, *operands: Any) -> Array:
        """The result for Arrays (and numbers)."""

    @abstractmethod
    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        """The gradient for operand number ``operand`` when the result's gradient is ``g``: the
        adjoint of the derivative, in the inner product ``Re(sum(conj(a) * b))``.

        ``y`` and ``operands`` are None unless :meth:`saves` names them. Broadcasting is undone by
        the caller.
        """

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        """The directional derivative (forward mode). The default serves operations that are linear
        in one operand: the operation itself, applied to the tangent."""
        (direction,) = (t for t in tangents if t is not None)
        return run(self, direction)

    def saves(self, operand: int) -> frozenset[int]:
        """Which operands (and OUTPUT) the gradient for ``operand`` reads."""
        return frozenset()


def run(op: Op, *operands: Any) -> Tensor:
    """Apply ``op`` to tensors and numbers, recording it where a gradient may be asked for."""
    tracked, arrays = False, []
    for x in operands:
        if type(x) is Tensor:
            arrays.append(x.array)
            tracked = tracked or x.node is not None or x.requires_grad_
        else:
            arrays.append(x)
    result = op.forward(*arrays)
    if tracked and op.differentiable and is_grad_enabled():
        return Tensor(result, node=Node(op, operands, result))
    return Tensor(result)
