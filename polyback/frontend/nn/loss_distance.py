"""The angle between vectors: a similarity, and a loss of it."""

from __future__ import annotations

from typing import final

from polyback.errors import InvalidArgument, ShapeError
from polyback.frontend import functions as f
from polyback.frontend.checks import check_tensors
from polyback.frontend.nn.loss import ReducedLoss, Reduction, check_reduction, reduced
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
