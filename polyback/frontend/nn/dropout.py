"""Dropout: switch off random elements while training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, final

from polyback.array import Array
from polyback.errors import InvalidArgument, ShapeError
from polyback.frontend.checks import check_tensors
from polyback.frontend.formula import Formula
from polyback.frontend.functions import where
from polyback.frontend.nn.module import Module
from polyback.frontend.op import Op, run
from polyback.frontend.random import Generator, default_generator
from polyback.frontend.tensor import Tensor
from polyback.scalar import WHERE
from polyback.view import Shape


def dropout(
    input: Tensor, p: float = 0.5, training: bool = True, *, generator: Generator | None = None
) -> Tensor:
    """``input / (1 - p)`` with probability ``1 - p``, else 0; ``input`` itself unless ``training``.

    See :class:`Dropout`.

    >>> import polyback as pb
    >>> pb.nn.dropout(pb.ones(3), 1.0).tolist()
    [0.0, 0.0, 0.0]
    """
    check_tensors("dropout", input)
    return _drop("dropout", input, p, training, generator, input.shape)


def _dropout_channels(
    axes: int, input: Tensor, p: float, training: bool, generator: Generator | None
) -> Tensor:
    op, sizes = f"dropout{axes}d", "L" if axes == 1 else "H, W"
    check_tensors(op, input)
    if input.ndim not in (axes + 1, axes + 2):
        raise ShapeError(f"[{op}] got {input.shape}; want (N, C, {sizes}) or (C, {sizes})")
    shape = input.shape[:-axes] + (1,) * axes
    return _drop(op, input, p, training, generator, shape)


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, *, generator: Generator | None = None
) -> Tensor:
    """:func:`dropout` of whole channels of ``input`` (N, C, L) or (C, L). Raises ShapeError.

    >>> import polyback as pb
    >>> pb.nn.dropout1d(pb.ones((1, 2, 3)), 1.0).tolist()
    [[[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]]
    """
    return _dropout_channels(1, input, p, training, generator)


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, *, generator: Generator | None = None
) -> Tensor:
    """:func:`dropout` of whole channels of ``input`` (N, C, H, W) or (C, H, W) (Tompson et al.,
    2015). Raises ShapeError.

    >>> import polyback as pb
    >>> pb.nn.dropout2d(pb.ones((1, 2, 1, 2)), 1.0).tolist()
    [[[[0.0, 0.0]], [[0.0, 0.0]]]]
    """
    return _dropout_channels(2, input, p, training, generator)


def _drop(
    op: str, x: Tensor, p: float, training: bool, generator: Generator | None, shape: Shape
) -> Tensor:
    """One draw for each place of ``shape``, which broadcasts to x."""
    _check(p, op)
    if not training or p == 0.0:
        return x
    keep = 1.0 - p
    mask = (generator or default_generator()).bernoulli(keep, shape, device=x.device)
    factor = 1.0 / keep if keep else 0.0
    if x.dtype.kind != "float":
        return where(mask, x * factor, 0.0)
    return run(Drop(factor), x, mask)


KEPT: Final = Formula("dropout", lambda x, mask, k: WHERE(mask, x * k, 0.0), 3, frozenset({1}))


@final
class Drop(Op):
    """y = k x where the mask says so, else 0; dx is the same of g"""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def forward(self, x: Array, mask: Array) -> Array:
        return KEPT.on(x, mask, self.factor)

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        result: Tensor = KEPT(g, operands[1], self.factor)
        return result

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        return run(self, tangents[0], operands[1])

    def saves(self, operand: int) -> frozenset[int]:
        return frozenset({1})


def _check(p: float, what: str) -> None:
    if not 0.0 <= p <= 1.0:
        raise InvalidArgument(f"[{what}] got p={p}; want 0 to 1")


class Dropping(Module):
    """What layers that drop share. ``inplace`` is PyTorch's, and changes nothing."""

    def __init__(
        self, p: float = 0.5, inplace: bool = False, *, generator: Generator | None = None
    ) -> None:
        _check(p, type(self).__name__)
        self.p, self.inplace, self.generator = float(p), inplace, generator

    def extra_repr(self) -> str:
        return f"p={self.p}"


@final
class Dropout(Dropping):
    """``y = x / (1 - p)`` with probability ``1 - p``, else 0 (Srivastava et al., 2014).

    Only while training; in use (``eval()``) ``y = x``. The mask comes from ``generator``, else
    from ``pb.random.default_generator()``: for one seed it is the same on every device. Raises
    InvalidArgument unless 0 <= p <= 1.

    >>> import polyback as pb
    >>> layer = pb.nn.Dropout(0.5, generator=pb.random.Generator(0))
    >>> set(layer(pb.ones(100)).tolist()) == {0.0, 2.0}, layer.eval()(pb.ones(1)).tolist()
    (True, [1.0])
    """

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p, self.training, generator=self.generator)


@final
class Dropout1d(Dropping):
    """:func:`dropout1d` while training: whole channels of (N, C, L) or (C, L).

    >>> import polyback as pb
    >>> pb.nn.Dropout1d(0.5).eval()(pb.ones((1, 2, 3))).shape
    (1, 2, 3)
    """

    def forward(self, x: Tensor) -> Tensor:
        return dropout1d(x, self.p, self.training, generator=self.generator)


@final
class Dropout2d(Dropping):
    """:func:`dropout2d` while training: whole channels of (N, C, H, W) or (C, H, W).

    >>> import polyback as pb
    >>> pb.nn.Dropout2d(0.5).eval()(pb.ones((1, 2, 3, 3))).shape
    (1, 2, 3, 3)
    """

    def forward(self, x: Tensor) -> Tensor:
        return dropout2d(x, self.p, self.training, generator=self.generator)
