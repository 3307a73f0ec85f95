"""Lengths, distances and angles of vectors, and losses of them."""

from __future__ import annotations

import math
from typing import final

from polyback.errors import InvalidArgument, ShapeError
from polyback.frontend import functions as f
from polyback.frontend.checks import check_tensors
from polyback.frontend.nn.loss import (
    ReducedLoss,
    Reduction,
    check_pair,
    check_reduction,
    reduced,
)
from polyback.frontend.nn.module import Module
from polyback.frontend.tensor import Tensor


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """``x1 . x2 / (max(|x1|, eps) * max(|x2|, eps))`` along axis ``dim``; the inputs broadcast.

    >>> import polyback as pb
    >>> x = pb.asarray([[3.0, 4.0]])
    >>> pb.nn.cosine_similarity(x, pb.asarray([[4.0, 3.0]])).tolist()
    [0.9599999785423279]
    """
    check_tensors("cosine_similarity", x1, x2)
    x1, x2 = f.broadcast_arrays(x1, x2)
    lengths = [f.sqrt(f.clip(f.sum(x * x, axis=dim), eps * eps)) for x in (x1, x2)]
    return f.sum(x1 * x2, axis=dim) / (lengths[0] * lengths[1])


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """``x / max((sum |x|**p) ** (1 / p), eps)`` along axis ``dim``: vectors of length 1.

    >>> import polyback as pb
    >>> pb.nn.normalize(pb.asarray([[3.0, 4.0]])).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """
    check_tensors("normalize", input)
    return input / f.maximum(lengths(input, p, dim, keepdims=True), eps)


def lengths(x: Tensor, p: float, axis: int, *, keepdims: bool = False) -> Tensor:
    """``(sum |x|**p) ** (1 / p)``; the gradient of the length 0 is 0."""
    if not p > 0:
        raise InvalidArgument(f"[norm] got p={p}; want a number above 0, or inf")
    size = f.abs(x)
    if p == math.inf:
        return f.max(size, axis=axis, keepdims=keepdims)
    total = f.sum(size if p == 1 else x * x if p == 2 else size**p, axis=axis, keepdims=keepdims)
    some = total > 0
    return f.where(some, f.where(some, total, 1.0) ** (1.0 / p), 0.0)


def _hinge(x: Tensor) -> Tensor:
    """``max(x, 0)``, with the gradient 1 at 0, as PyTorch's losses have it."""
    return f.where(x >= 0, x, 0.0)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: Reduction = "mean",
) -> Tensor:
    """``max(d(anchor, positive) - d(anchor, negative) + margin, 0)`` with the distance ``d(x, y) =
    (sum |x - y + eps|**p) ** (1 / p)`` along the last axis; all (N, D), or (D,).

    ``swap``: the smaller of d(anchor, negative) and d(positive, negative) (Balntas et al., 2016).
    Raises ShapeError unless the shapes agree.

    >>> import polyback as pb
    >>> x = pb.asarray([[3.0, 4.0]])
    >>> float(pb.nn.triplet_margin_loss(x, x, pb.zeros((1, 2))))
    0.0
    """
    op = "triplet_margin_loss"
    check_reduction(reduction, op)
    check_pair(op, anchor, positive)
    check_pair(op, anchor, negative)
    near, far = (lengths(anchor - x + eps, p, -1) for x in (positive, negative))
    if swap:
        far = f.minimum(far, lengths(positive - negative + eps, p, -1))
    return reduced(_hinge(near - far + margin), reduction)


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """``max(-target * (input1 - input2) + margin, 0)``: 1 in ``target`` asks for input1 to be the
    larger, -1 for input2. Raises ShapeError unless the shapes agree.

    >>> import polyback as pb
    >>> float(pb.nn.margin_ranking_loss(pb.ones(1), pb.zeros(1), pb.asarray([-1.0])))
    1.0
    """
    check_reduction(reduction, "margin_ranking_loss")
    check_pair("margin_ranking_loss", input1, input2)
    check_pair("margin_ranking_loss", input1, target)
    return reduced(_hinge(-target * (input1 - input2) + margin), reduction)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """``1 - c`` where the target is 1, ``max(0, c - margin)`` where it is -1, else 0; c is the
    cosine of the angle between ``input1`` and ``input2``, each (N, D) or (D,).

    Squared lengths are taken 1e-12 larger, as PyTorch's are. Raises ShapeError unless the inputs
    have one shape and the target is (N,), or () for (D,).

    >>> import polyback as pb
    >>> x = pb.asarray([[3.0, 4.0]])
    >>> float(pb.nn.cosine_embedding_loss(x, -x, pb.asarray([-1])))
    0.0
    """
    check_reduction(reduction, "cosine_embedding_loss")
    check_tensors("cosine_embedding_loss", input1, input2, target)
    shape = input1.shape
    if input2.shape != shape or len(shape) not in (1, 2) or target.shape != shape[:-1]:
        raise ShapeError(
            f"[cosine_embedding_loss] got {shape}, {input2.shape} and a target of "
            f"{target.shape}; want (N, D), (N, D) and (N,), or all without N"
        )
    squares = [f.sum(x * x, axis=-1) + 1e-12 for x in (input1, input2)]
    cosine = f.sum(input1 * input2, axis=-1) / f.sqrt(squares[0] * squares[1])
    apart = f.relu(cosine - margin)
    loss = f.where(target == 1, 1.0 - cosine, f.where(target == -1, apart, 0.0))
    return reduced(loss, reduction)


@final
class CosineSimilarity(Module):
    """:func:`cosine_similarity` as a layer.

    >>> import polyback as pb
    >>> pb.nn.CosineSimilarity(dim=0)(pb.asarray([3.0, 4.0]), pb.asarray([-4.0, 3.0])).item()
    0.0
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        self.dim, self.eps = dim, eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return cosine_similarity(x1, x2, self.dim, self.eps)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, eps={self.eps}"


@final
class CosineEmbeddingLoss(ReducedLoss):
    """:func:`cosine_embedding_loss` as a layer. Raises InvalidArgument unless -1 <= margin <= 1.

    >>> import polyback as pb
    >>> x = pb.asarray([[3.0, 4.0]])
    >>> float(pb.nn.CosineEmbeddingLoss()(x, -x, pb.asarray([-1])))
    0.0
    """

    def __init__(self, margin: float = 0.0, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        if not -1.0 <= margin <= 1.0:
            raise InvalidArgument(f"[CosineEmbeddingLoss] got margin={margin}; want -1 to 1")
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return cosine_embedding_loss(input1, input2, target, self.margin, self.reduction)


@final
class TripletMarginLoss(ReducedLoss):
    """:func:`triplet_margin_loss` as a layer.

    >>> import polyback as pb
    >>> float(pb.nn.TripletMarginLoss(margin=0.0)(*[pb.ones((1, 2))] * 3))
    0.0
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        self.margin, self.p, self.eps, self.swap = margin, p, eps, swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return triplet_margin_loss(
            anchor, positive, negative, self.margin, self.p, self.eps, self.swap, self.reduction
        )


@final
class MarginRankingLoss(ReducedLoss):
    """:func:`margin_ranking_loss` as a layer.

    >>> import polyback as pb
    >>> float(pb.nn.MarginRankingLoss(0.5)(pb.ones(1), pb.ones(1), pb.ones(1)))
    0.5
    """

    def __init__(self, margin: float = 0.0, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return margin_ranking_loss(input1, input2, target, self.margin, self.reduction)
