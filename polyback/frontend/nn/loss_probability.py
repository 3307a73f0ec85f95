"""Losses of probabilities: yes or no, given as logits or probabilities, and distributions."""

from __future__ import annotations

from typing import Literal, final

from polyback.errors import DTypeError, InvalidArgument
from polyback.frontend import functions as f
from polyback.frontend.checks import check_tensors
from polyback.frontend.nn.loss import (
    ReducedLoss,
    Reduction,
    check_pair,
    check_reduction,
    keep_weights,
    reduced,
)
from polyback.frontend.nn.module import Module
from polyback.frontend.tensor import Tensor

BatchReduction = Literal["mean", "sum", "none", "batchmean"]


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: Reduction = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """``-w * (p * t * log(sigmoid(x)) + (1 - t) * log(1 - sigmoid(x)))`` for logits x = ``input``
    and targets t, without overflow.

    ``weight`` w and ``pos_weight`` p (1 if left out) broadcast against the input. Raises ShapeError
    unless the target has the shape of the input, DTypeError unless both are floating.

    >>> import polyback as pb
    >>> x, t = pb.asarray([1000.0, -1000.0]), pb.asarray([0.0, 0.0])
    >>> pb.nn.binary_cross_entropy_with_logits(x, t, reduction="none").tolist()
    [1000.0, 0.0]
    """
    what = "binary_cross_entropy_with_logits"
    check_reduction(reduction, what)
    _check_truth(what, input, target)
    check_tensors(what, *(w for w in (weight, pos_weight) if w is not None))
    positive = f.softplus(-input)
    if pos_weight is not None:
        positive = (1.0 + (pos_weight - 1.0) * target) * positive
    loss = (1.0 - target) * input + positive
    return reduced(loss if weight is None else loss * weight, reduction)


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: Reduction = "mean"
) -> Tensor:
    """``-w * (t * log(p) + (1 - t) * log(1 - p))`` for probabilities p = ``input`` and targets t.

    Logarithms are cut off at -100, with slope 0 beyond, so that a certain mistake costs 100.
    ``weight`` w broadcasts against the input. Raises ShapeError and DTypeError as
    :func:`binary_cross_entropy_with_logits`, which is the better choice where there are logits, and
    InvalidArgument for an input outside [0, 1], for which one bool is read back.

    >>> import polyback as pb
    >>> float(pb.nn.binary_cross_entropy(pb.asarray([0.0]), pb.asarray([1.0])))
    100.0
    """
    check_reduction(reduction, "binary_cross_entropy")
    _check_truth("binary_cross_entropy", input, target)
    if weight is not None:
        check_tensors("binary_cross_entropy", weight)
    given = input.detach()
    if not f.all((given >= 0) & (given <= 1)).item():
        raise InvalidArgument(
            "[binary_cross_entropy] the input is not all in [0, 1]; want probabilities, or "
            "binary_cross_entropy_with_logits"
        )
    yes = f.where(input > 0, f.clip(f.log(f.where(input > 0, input, 1.0)), -100.0), -100.0)
    no = f.where(input < 1, f.clip(f.log1p(-f.where(input < 1, input, 0.0)), -100.0), -100.0)
    loss = -(target * yes + (1.0 - target) * no)
    return reduced(loss if weight is None else loss * weight, reduction)


def kl_div(
    input: Tensor, target: Tensor, reduction: BatchReduction = "mean", log_target: bool = False
) -> Tensor:
    """``t * (log(t) - input)`` for log-probabilities ``input``: summed over the classes, the
    divergence of the distribution t from that of the input (Kullback and Leibler, 1951).

    t is ``target``, or ``exp(target)`` with ``log_target``; ``0 * log 0`` is 0. ``"batchmean"``
    divides the sum by the size of the first axis, which is the mean divergence; ``"mean"`` divides
    by the number of elements. Raises ShapeError and DTypeError as the other losses.

    >>> import polyback as pb
    >>> p = pb.asarray([[0.5, 0.5]])
    >>> float(pb.nn.kl_div(pb.log(p), p, "batchmean"))
    0.0
    """
    if reduction != "batchmean":
        check_reduction(reduction, "kl_div")
    _check_truth("kl_div", input, target)
    if log_target:
        loss = f.exp(target) * (target - input)
    else:
        some = target > 0
        loss = f.where(some, target * f.log(f.where(some, target, 1.0)), 0.0) - target * input
    if reduction == "batchmean":
        return f.sum(loss) / float(input.shape[0] if input.ndim else 1)
    return reduced(loss, reduction)


def _check_truth(what: str, input: Tensor, target: Tensor) -> None:
    check_pair(what, input, target)
    if not target.dtype.is_floating:
        raise DTypeError(
            f"[{what}] the target is {target.dtype}; want floating probabilities: use astype()"
        )


@final
class BCEWithLogitsLoss(ReducedLoss):
    """:func:`binary_cross_entropy_with_logits` as a layer; the weights are buffers.

    >>> import polyback as pb
    >>> float(pb.nn.BCEWithLogitsLoss()(pb.asarray([1000.0]), pb.asarray([0.0])))
    1000.0
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        reduction: Reduction = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(reduction)
        keep_weights(self, weight=weight, pos_weight=pos_weight)

    weight: Tensor | None
    pos_weight: Tensor | None

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return binary_cross_entropy_with_logits(
            input, target, self.weight, self.reduction, self.pos_weight
        )


@final
class BCELoss(ReducedLoss):
    """:func:`binary_cross_entropy` as a layer; ``weight`` is a buffer.

    >>> import polyback as pb
    >>> float(pb.nn.BCELoss()(pb.asarray([1.0]), pb.asarray([1.0])))
    0.0
    """

    def __init__(self, weight: Tensor | None = None, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        keep_weights(self, weight=weight)

    weight: Tensor | None

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return binary_cross_entropy(input, target, self.weight, self.reduction)


@final
class KLDivLoss(Module):
    """:func:`kl_div` as a layer.

    >>> import polyback as pb
    >>> p = pb.asarray([[0.5, 0.5]])
    >>> float(pb.nn.KLDivLoss("batchmean")(pb.log(p), p))
    0.0
    """

    def __init__(self, reduction: BatchReduction = "mean", log_target: bool = False) -> None:
        if reduction != "batchmean":
            check_reduction(reduction, "KLDivLoss")
        self.reduction, self.log_target = reduction, log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return kl_div(input, target, self.reduction, self.log_target)

    def extra_repr(self) -> str:
        return f"reduction={self.reduction!r}, log_target={self.log_target}"
