"""Losses: one number for how wrong a prediction is."""

from __future__ import annotations

from typing import Literal, final

from polyback.errors import DTypeError, IndexOutOfBounds, InvalidArgument, ShapeError
from polyback.frontend import functions as f
from polyback.frontend.nn.module import Module
from polyback.frontend.tensor import Tensor

Reduction = Literal["mean", "sum", "none"]


def _check_reduction(reduction: str, what: str) -> None:
    if reduction not in ("mean", "sum", "none"):
        raise InvalidArgument(f"[{what}] got reduction={reduction!r}; want 'mean', 'sum' or 'none'")


def _reduced(loss: Tensor, reduction: Reduction) -> Tensor:
    if reduction == "none":
        return loss
    return f.mean(loss) if reduction == "mean" else f.sum(loss)


def mse_loss(input: Tensor, target: Tensor, reduction: Reduction = "mean") -> Tensor:
    """``(input - target)**2``: the mean, the sum, or each. Shapes must agree: ShapeError.

    >>> import polyback as pb
    >>> float(pb.nn.mse_loss(pb.asarray([1.0, 2.0]), pb.asarray([1.0, 4.0])))
    2.0
    """
    _check_reduction(reduction, "mse_loss")
    if input.shape != target.shape:
        raise ShapeError(
            f"[mse_loss] the input is {input.shape}, the target {target.shape}; want one shape"
        )
    return _reduced(f.square(input - target), reduction)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """``-sum_c q_c * log_softmax(input)_c``: how surprised the scores are by the target.

    ``input``: scores, floating, (C,), (N, C) or (N, C, d1, ...). ``target``: integer class numbers
    (q is 1 at that class) of the same shape without C, or probabilities q of the same shape.
    ``label_smoothing`` = s replaces q by ``(1 - s) * q + s / C`` (Szegedy et al., 2016). The
    mean is over all but the class axis.

    Raises ShapeError, DTypeError (labels that are not integers), IndexOutOfBounds (a class number
    outside [0, C)), InvalidArgument (probabilities that are negative, infinite or NaN). Checking
    the target reads one bool back from the device.

    >>> import polyback as pb
    >>> float(pb.nn.cross_entropy(pb.zeros((2, 1)), pb.asarray([0, 0])))
    0.0
    """
    _check_reduction(reduction, "cross_entropy")
    if not 0.0 <= label_smoothing <= 1.0:
        raise InvalidArgument(f"[cross_entropy] got label_smoothing={label_smoothing}; want 0 to 1")
    if not input.ndim:
        raise ShapeError("[cross_entropy] got one number; want scores of (C,) or (N, C, ...)")
    if not input.dtype.is_floating:
        raise DTypeError(f"[cross_entropy] the scores are {input.dtype}; want floating-point ones")
    axis = 1 if input.ndim > 1 else 0
    logs = f.log_softmax(input, axis=axis)
    if target.dtype.is_integer:
        weighted = _at_labels(logs, target, axis)
    else:
        weighted = _at_probabilities(logs, target, axis)
    loss = -f.sum(weighted, axis=axis)
    if label_smoothing:
        even = -f.sum(logs, axis=axis) * (label_smoothing / max(input.shape[axis], 1))
        loss = (1.0 - label_smoothing) * loss + even
    return _reduced(loss, reduction)


def _at_labels(logs: Tensor, labels: Tensor, axis: int) -> Tensor:
    """``logs`` at each label's class, 0 elsewhere."""
    classes = logs.shape[axis]
    want = (*logs.shape[:axis], *logs.shape[axis + 1 :])
    if labels.shape != want:
        raise ShapeError(
            f"[cross_entropy] scores of {logs.shape} with labels of {labels.shape}; "
            f"want labels of {want}"
        )
    if f.any((labels < 0) | (labels >= classes)).item():
        low, high = int(f.min(labels)), int(f.max(labels))
        raise IndexOutOfBounds(
            f"[cross_entropy] label {low if low < 0 else high} is no class; want 0 to {classes - 1}"
        )
    spots = f.arange(classes, dtype=labels.dtype, device=labels.device)
    column = f.reshape(spots, tuple(classes if a == axis else 1 for a in range(logs.ndim)))
    return f.where(f.expand_dims(labels, axis) == column, logs, 0.0)


def _at_probabilities(logs: Tensor, target: Tensor, axis: int) -> Tensor:
    """``logs`` weighted by the probability of each class."""
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
    # 0 * log 0 counts as 0: a class that must not happen costs nothing where it has no weight
    return f.where(target == 0, 0.0, target * logs)


@final
class CrossEntropyLoss(Module):
    """:func:`cross_entropy` as a layer.

    >>> import polyback as pb
    >>> loss = pb.nn.CrossEntropyLoss(reduction="sum", label_smoothing=0.1)
    >>> float(loss(pb.zeros((2, 1)), pb.asarray([0, 0])))
    0.0
    """

    def __init__(self, *, reduction: Reduction = "mean", label_smoothing: float = 0.0) -> None:
        _check_reduction(reduction, "CrossEntropyLoss")
        if not 0.0 <= label_smoothing <= 1.0:
            raise InvalidArgument(
                f"[CrossEntropyLoss] got label_smoothing={label_smoothing}; want 0 to 1"
            )
        self.reduction, self.label_smoothing = reduction, label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return cross_entropy(input, target, self.reduction, self.label_smoothing)

    def extra_repr(self) -> str:
        return f"reduction={self.reduction!r}, label_smoothing={self.label_smoothing}"


@final
class MSELoss(Module):
    """:func:`mse_loss` as a layer.

    >>> import polyback as pb
    >>> float(pb.nn.MSELoss()(pb.ones(2), pb.zeros(2)))
    1.0
    """

    def __init__(self, reduction: Reduction = "mean") -> None:
        _check_reduction(reduction, "MSELoss")
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return mse_loss(input, target, self.reduction)

    def extra_repr(self) -> str:
        return f"reduction={self.reduction!r}"
