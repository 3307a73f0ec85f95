"""Labels: class numbers that pick elements along the axis of the classes, and sums over these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from polyback import array
from polyback.array import Array
from polyback.dtype import int64
from polyback.errors import IndexOutOfBounds, ShapeError
from polyback.frontend.formula import Formula
from polyback.frontend.functions.elementwise import astype
from polyback.frontend.functions.shape import reshape
from polyback.frontend.op import Op, run
from polyback.frontend.tensor import Tensor
from polyback.scalar import EQUAL, NOT_EQUAL, SUM, WHERE
from polyback.view import Shape

_WRONG: Final = 1 << 40  # more than there are labels


def _counting(label: Any, ignored: Any, classes: Any) -> Any:
    wrong = (label < 0) | (label >= classes)
    return WHERE(label != ignored, WHERE(wrong, _WRONG, 1), 0)


COUNTING: Final = Formula("labels", _counting, 3)
PICK: Final = Formula("pick", lambda hit, x, a: WHERE(hit, x * a, 0.0), 3, frozenset({0}))
PICK_ALL: Final = Formula(
    "pick_all", lambda hit, x, a, b: WHERE(hit, x * a, x * b), 4, frozenset({0})
)


@final
class Picked(Op):
    """``y = sum_c x_c * (a if c is the label else b)`` along the axis of the classes, or, with
    ``whole``, along all; labels equal to ``ignored`` (None: there is none) count as 0.

    Linear in x: ``dx_c = g * (a if c is the label else b)``. With b = 0 other classes are left out,
    so that an infinity there spoils nothing.
    """

    def __init__(
        self, shape: Shape, axis: int, ignored: int | None, factors: tuple[float, float],
        whole: bool,
    ) -> None:  # fmt: skip
        self.shape, self.axis, self.ignored, self.whole = shape, axis, ignored, whole
        self.pick = PICK_ALL if factors[1] else PICK
        self.factors: tuple[float, ...] = factors if factors[1] else factors[:1]

    def forward(self, x: Array, labels: Array) -> Array:
        wide = array.cast(x, x.dtype.compute)
        terms = self.pick.on(self._hits(labels), wide, *self.factors)
        if self.ignored is not None:
            terms = array.where(self._counts(labels), terms, 0.0, terms.dtype)
        axes = tuple(range(len(self.shape))) if self.whole else (self.axis,)
        return array.cast(array.reduce(SUM, terms, axes, keepdims=False), x.dtype)

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        labels: Array = operands[1].array
        ndim = len(self.shape)
        kept = (1,) * ndim if self.whole else (*g.shape[: self.axis], 1, *g.shape[self.axis :])
        terms = self.pick(Tensor(self._hits(labels)), reshape(g, kept), *self.factors)
        if self.ignored is not None:
            terms = WHERE(Tensor(self._counts(labels)), terms, 0.0)
        return terms

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        return run(self, tangents[0], operands[1])

    def saves(self, operand: int) -> frozenset[int]:
        return frozenset({1})

    def _column(self, labels: Array) -> Array:
        return labels.reshape((*labels.shape[: self.axis], 1, *labels.shape[self.axis :]))

    def _hits(self, labels: Array) -> Array:
        classes = self.shape[self.axis]
        row = tuple(classes if a == self.axis else 1 for a in range(len(self.shape)))
        spots = array.iota(labels.device, classes).reshape(row)
        return array.apply(EQUAL, (self._column(labels), spots), int64)

    def _counts(self, labels: Array) -> Array:
        assert self.ignored is not None
        return array.apply(NOT_EQUAL, (self._column(labels), self.ignored), int64)


@final
@dataclass(frozen=True)
class Labels:
    """Checked class numbers for scores of ``shape`` with the classes along ``axis``; ``counted`` of
    them are not ``ignored`` (None: none is)."""

    labels: Tensor  # int64
    shape: Shape
    axis: int
    ignored: int | None
    counted: int

    @classmethod
    def of(cls, scores: Tensor, labels: Tensor, axis: int, ignored: int, what: str) -> Labels:
        """Raises ShapeError, or IndexOutOfBounds for a label that is no class; one number is read
        back to know."""
        shape = scores.shape
        want = (*shape[:axis], *shape[axis + 1 :])
        if labels.shape != want:
            raise ShapeError(
                f"[{what}] scores of {shape} with labels of {labels.shape}; want labels of {want}"
            )
        labels = astype(labels, int64, copy=False)
        array.same_device(what, scores.array, labels.array)
        counts = COUNTING.on(labels.array, ignored, shape[axis])
        axes = tuple(range(labels.ndim))
        counted = int(array.reduce(SUM, counts, axes, keepdims=False).numpy())
        if counted >= _WRONG:
            values = labels.numpy()
            values = values[values != ignored]
            low, high = int(values.min()), int(values.max())
            raise IndexOutOfBounds(
                f"[{what}] label {low if low < 0 else high} is no class; want 0 to "
                f"{shape[axis] - 1}"
            )
        return cls(labels, shape, axis, ignored if counted < labels.size else None, counted)

    def total(self, x: Tensor, factors: tuple[float, float], whole: bool) -> Tensor:
        """See :class:`Picked`."""
        return run(Picked(self.shape, self.axis, self.ignored, factors, whole), x, self.labels)
