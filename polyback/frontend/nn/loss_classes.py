"""Losses of scores or log-probabilities of classes against labels or probabilities."""

from __future__ import annotations

import math
from typing import Any, final

from polyback.errors import DTypeError, InvalidArgument, ShapeError
from polyback.frontend import functions as f
from polyback.frontend.checks import check_tensors
from polyback.frontend.nn.labels import Labels
from polyback.frontend.nn.loss import ReducedLoss, Reduction, check_reduction, keep_weights, reduced
from polyback.frontend.tensor import Tensor


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """``-sum_c weight_c * q_c * log_softmax(input)_c``: how surprised the scores are by the target.

    ``input``: scores, floating, (C,), (N, C) or (N, C, d1, ...). ``target``: integer class numbers
    (q is 1 at that class) of the same shape without C, or probabilities q of the same shape.
    ``weight``: (C,), 1 if left out. ``label_smoothing`` = s replaces q by ``(1 - s) * q + s / C``
    (Szegedy et al., 2016). Labels equal to ``ignore_index`` cost nothing. The mean is over all but
    the class axis; with labels it leaves out ignored ones and divides by the sum of the labels'
    weights, so it is NaN where every label is ignored.

    Raises ShapeError, DTypeError (labels that are not integers), IndexOutOfBounds (a class number
    outside [0, C)), InvalidArgument (probabilities that are negative, infinite or NaN). Checking
    the target reads one bool back from the device.

    >>> import polyback as pb
    >>> float(pb.nn.cross_entropy(pb.zeros((2, 1)), pb.asarray([0, 0])))
    0.0
    """
    check_reduction(reduction, "cross_entropy")
    _check_smoothing(label_smoothing, "cross_entropy")
    axis = _class_axis(input, target, weight, "cross_entropy")
    if target.dtype.is_integer:
        labels = Labels.of(input, target, axis, ignore_index, "cross_entropy")
        logs = f.log_softmax(input, axis=axis)
        return _of_labels(logs, labels, weight, reduction, label_smoothing)
    logs = f.log_softmax(input, axis=axis)
    return _of_probabilities(logs, target, axis, weight, reduction, label_smoothing)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> Tensor:
    """``-weight_y * input_y`` for log-probabilities ``input`` and labels y = ``target``.

    Shapes, weights, ``ignore_index``, the mean and errors are those of :func:`cross_entropy` with
    labels, which is this loss of ``log_softmax(scores)``.

    >>> import polyback as pb
    >>> float(pb.nn.nll_loss(pb.asarray([[-0.5, -1.5]]), pb.asarray([1])))
    1.5
    """
    check_reduction(reduction, "nll_loss")
    axis = _class_axis(input, target, weight, "nll_loss")
    if not target.dtype.is_integer:
        raise DTypeError(f"[nll_loss] the labels are {target.dtype}; want integer class numbers")
    labels = Labels.of(input, target, axis, ignore_index, "nll_loss")
    return _of_labels(input, labels, weight, reduction, 0.0)


def _check_smoothing(label_smoothing: float, what: str) -> None:
    if not 0.0 <= label_smoothing <= 1.0:
        raise InvalidArgument(f"[{what}] got label_smoothing={label_smoothing}; want 0 to 1")


def _class_axis(input: Any, target: Any, weight: Any, what: str) -> int:
    check_tensors(what, input, target, *([] if weight is None else [weight]))
    if not input.ndim:
        raise ShapeError(f"[{what}] got one number; want scores of (C,) or (N, C, ...)")
    if not input.dtype.is_floating:
        raise DTypeError(f"[{what}] the scores are {input.dtype}; want floating-point ones")
    axis = 1 if input.ndim > 1 else 0
    if weight is not None and weight.shape != (input.shape[axis],):
        raise ShapeError(f"[{what}] the weight is {weight.shape}; want ({input.shape[axis]},)")
    return axis


def _along(x: Tensor, axis: int, ndim: int) -> Tensor:
    """A vector as a tensor of ``ndim`` axes that lies along ``axis``."""
    return f.reshape(x, tuple(x.size if a == axis else 1 for a in range(ndim)))


def _of_labels(
    logs: Tensor, labels: Labels, weight: Tensor | None, reduction: Reduction, smoothing: float
) -> Tensor:
    whole = reduction != "none"
    others = smoothing / max(logs.shape[labels.axis], 1)
    size, factors = labels.counted, (-(1.0 - smoothing + others), -others)
    if weight is not None:
        column = _along(weight, labels.axis, logs.ndim)
        loss = labels.total(logs * column, factors, whole)
        if reduction != "mean":
            return loss
        wide = logs.dtype.compute  # sums of many terms are no half types
        scale = labels.total(f.broadcast_to(f.astype(column, wide), logs.shape), (1.0, 0.0), True)
        return f.astype(f.astype(loss, wide) / scale, loss.dtype)
    if reduction != "mean":
        return labels.total(logs, factors, whole)
    if not size:
        return labels.total(logs, factors, whole) * math.nan
    return labels.total(logs, (factors[0] / size, factors[1] / size), whole)


def _of_probabilities(
    logs: Tensor,
    target: Tensor,
    axis: int,
    weight: Tensor | None,
    reduction: Reduction,
    smoothing: float,
) -> Tensor:
    if not target.dtype.is_floating or target.ndim == logs.ndim - 1:
        raise DTypeError(
            f"[cross_entropy] labels of {target.shape} are {target.dtype}; want integer class "
            f"numbers, or floating probabilities of {logs.shape}: use astype(labels, int64)"
        )
    if target.shape != logs.shape:
        raise ShapeError(
            f"[cross_entropy] scores of {logs.shape} with probabilities of {target.shape}; "
            f"want one shape"
        )
    given = target.detach()
    if not f.all(f.isfinite(given) & (given >= 0)).item():
        raise InvalidArgument(
            "[cross_entropy] the target's probabilities are not all finite and >= 0; "
            "look for NaN in the labels"
        )
    if weight is not None:
        logs = logs * _along(weight, axis, logs.ndim)
    # 0 * log 0 counts as 0: a class that must not happen costs nothing where it has no weight
    finite = f.where((given == 0) & f.isinf(logs), 0.0, logs)
    loss = -f.sum(target * finite, axis=axis)
    if smoothing:
        even = -f.sum(logs, axis=axis) * (smoothing / max(logs.shape[axis], 1))
        loss = (1.0 - smoothing) * loss + even
    return reduced(loss, reduction)


class ClassLoss(ReducedLoss):
    """What the losses of labels share: class weights, a label that does not count, a reduction."""

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        self.ignore_index = ignore_index
        keep_weights(self, weight=weight)


@final
class CrossEntropyLoss(ClassLoss):
    """:func:`cross_entropy` as a layer; ``weight`` is a buffer.

    >>> import polyback as pb
    >>> loss = pb.nn.CrossEntropyLoss(reduction="sum", label_smoothing=0.1)
    >>> float(loss(pb.zeros((2, 1)), pb.asarray([0, 0])))
    0.0
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, ignore_index, reduction)
        _check_smoothing(label_smoothing, "CrossEntropyLoss")
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return cross_entropy(
            input, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing
        )

    def extra_repr(self) -> str:
        return f"reduction={self.reduction!r}, label_smoothing={self.label_smoothing}"


@final
class NLLLoss(ClassLoss):
    """:func:`nll_loss` as a layer; ``weight`` is a buffer.

    >>> import polyback as pb
    >>> float(pb.nn.NLLLoss()(pb.asarray([[-0.5, -1.5]]), pb.asarray([1])))
    1.5
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return nll_loss(input, target, self.weight, self.ignore_index, self.reduction)
