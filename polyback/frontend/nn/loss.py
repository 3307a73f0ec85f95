"""Losses of numbers against numbers, and what all losses share: how they are reduced."""

from __future__ import annotations

from typing import Any, Literal, final

from polyback.errors import DTypeError, InvalidArgument, ShapeError
from polyback.frontend import functions as f
from polyback.frontend.checks import check_tensors
from polyback.frontend.nn.module import Module
from polyback.frontend.tensor import Tensor

Reduction = Literal["mean", "sum", "none"]


def check_reduction(reduction: str, what: str) -> None:
    """Raises InvalidArgument for an unknown way to reduce."""
    if reduction not in ("mean", "sum", "none"):
        raise InvalidArgument(f"[{what}] got reduction={reduction!r}; want 'mean', 'sum' or 'none'")


def reduced(loss: Tensor, reduction: Reduction) -> Tensor:
    """The mean or the sum of all elements, or each of them."""
    if reduction == "none":
        return loss
    return f.mean(loss) if reduction == "mean" else f.sum(loss)


def check_pair(what: str, input: Any, target: Any) -> None:
    """Raises DTypeError unless both are tensors, the input floating; ShapeError unless of one
    shape."""
    check_tensors(what, input, target)
    if not input.dtype.is_floating:
        raise DTypeError(f"[{what}] the input is {input.dtype}; want a floating-point type")
    if input.shape != target.shape:
        raise ShapeError(
            f"[{what}] the input is {input.shape}, the target {target.shape}; want one shape"
        )


def mse_loss(input: Tensor, target: Tensor, reduction: Reduction = "mean") -> Tensor:
    """``(input - target)**2``: the mean, the sum, or each. Shapes must agree: ShapeError.

    >>> import polyback as pb
    >>> float(pb.nn.mse_loss(pb.asarray([1.0, 2.0]), pb.asarray([1.0, 4.0])))
    2.0
    """
    check_reduction(reduction, "mse_loss")
    check_pair("mse_loss", input, target)
    return reduced(f.square(input - target), reduction)


def l1_loss(input: Tensor, target: Tensor, reduction: Reduction = "mean") -> Tensor:
    """``|input - target|``: the mean, the sum, or each. Shapes must agree: ShapeError.

    >>> import polyback as pb
    >>> float(pb.nn.l1_loss(pb.asarray([1.0, 2.0]), pb.asarray([1.0, 4.0])))
    1.0
    """
    check_reduction(reduction, "l1_loss")
    check_pair("l1_loss", input, target)
    return reduced(f.abs(input - target), reduction)


def huber_loss(
    input: Tensor, target: Tensor, reduction: Reduction = "mean", delta: float = 1.0
) -> Tensor:
    """With ``d = |input - target|``: ``d**2 / 2`` up to ``delta``, ``delta * (d - delta / 2)``
    above (Huber, 1964). Shapes must agree: ShapeError. InvalidArgument unless delta > 0.

    >>> import polyback as pb
    >>> pb.nn.huber_loss(pb.asarray([1.0, 3.0]), pb.zeros(2), "none").tolist()
    [0.5, 2.5]
    """
    check_reduction(reduction, "huber_loss")
    check_pair("huber_loss", input, target)
    if not delta > 0:
        raise InvalidArgument(f"[huber_loss] got delta={delta}; want a number above 0")
    d = f.abs(input - target)
    return reduced(f.where(d < delta, 0.5 * d * d, delta * (d - 0.5 * delta)), reduction)


def smooth_l1_loss(
    input: Tensor, target: Tensor, reduction: Reduction = "mean", beta: float = 1.0
) -> Tensor:
    """:func:`huber_loss` with delta = ``beta``, divided by it: ``|input - target|`` far out, a
    parabola within ``beta`` (Girshick, 2015). ``beta=0``: :func:`l1_loss`. Raises as they do.

    >>> import polyback as pb
    >>> pb.nn.smooth_l1_loss(pb.asarray([1.0, 3.0]), pb.zeros(2), "none", 2.0).tolist()
    [0.25, 2.0]
    """
    if beta < 0:
        raise InvalidArgument(f"[smooth_l1_loss] got beta={beta}; want a number of 0 or more")
    check_pair("smooth_l1_loss", input, target)
    if beta == 0:
        return l1_loss(input, target, reduction)
    return huber_loss(input, target, reduction, beta) * (1.0 / beta)


def keep_weights(loss: Module, **weights: Tensor | None) -> None:
    """Weights that were given become buffers of ``loss``, others None."""
    for name, weight in weights.items():
        if weight is None:
            setattr(loss, name, None)
        else:
            loss.register_buffer(name, weight)


class ReducedLoss(Module):
    """A loss whose one option is how it is reduced. Subclasses write ``forward``."""

    def __init__(self, reduction: Reduction = "mean") -> None:
        check_reduction(reduction, type(self).__name__)
        self.reduction = reduction

    def extra_repr(self) -> str:
        return f"reduction={self.reduction!r}"


@final
class MSELoss(ReducedLoss):
    """:func:`mse_loss` as a layer.

    >>> import polyback as pb
    >>> float(pb.nn.MSELoss()(pb.ones(2), pb.zeros(2)))
    1.0
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return mse_loss(input, target, self.reduction)


@final
class L1Loss(ReducedLoss):
    """:func:`l1_loss` as a layer.

    >>> import polyback as pb
    >>> float(pb.nn.L1Loss("sum")(pb.ones(2), pb.zeros(2)))
    2.0
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return l1_loss(input, target, self.reduction)


@final
class HuberLoss(ReducedLoss):
    """:func:`huber_loss` as a layer.

    >>> import polyback as pb
    >>> float(pb.nn.HuberLoss(delta=2.0)(pb.ones(2), pb.zeros(2)))
    0.5
    """

    def __init__(self, reduction: Reduction = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return huber_loss(input, target, self.reduction, self.delta)


@final
class SmoothL1Loss(ReducedLoss):
    """:func:`smooth_l1_loss` as a layer.

    >>> import polyback as pb
    >>> float(pb.nn.SmoothL1Loss(beta=2.0)(pb.ones(2), pb.zeros(2)))
    0.25
    """

    def __init__(self, reduction: Reduction = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return smooth_l1_loss(input, target, self.reduction, self.beta)
