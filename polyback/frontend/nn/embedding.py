"""Embedding: a table of vectors, looked up by number."""

from __future__ import annotations

from typing import Any, Self, final

from polyback.dtype import int64
from polyback.errors import InvalidArgument, ShapeError
from polyback.frontend.autograd import no_grad
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions import astype, expand_dims, reshape, take, where
from polyback.frontend.functions.creation import Where
from polyback.frontend.nn import init
from polyback.frontend.nn.loss_distance import lengths
from polyback.frontend.nn.module import Module, Parameter
from polyback.frontend.random import Generator
from polyback.frontend.tensor import Tensor


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
) -> Tensor:
    """``weight[input]``: integers of any shape S with a table (n, d) -> (*S, d).

    The row ``padding_idx``, if there is one, gets no gradient. ``max_norm``: rows that are looked
    up and longer (by the norm ``norm_type``) are first shortened to it, in place. Raises
    IndexOutOfBounds for a number outside [0, n) (checking reads two numbers back), DTypeError,
    ShapeError, InvalidArgument.

    >>> import polyback as pb
    >>> table = pb.asarray([[1.0, 2.0], [3.0, 4.0]])
    >>> pb.nn.embedding(pb.asarray([1, 0, 1]), table).tolist()
    [[3.0, 4.0], [1.0, 2.0], [3.0, 4.0]]
    """
    check_tensors("embedding", input, weight)
    if weight.ndim != 2:
        raise ShapeError(f"[embedding] the table is {weight.shape}; want (n, d)")
    if max_norm is not None:
        _shorten(weight, input, max_norm, norm_type)
    rows = take(weight, input, axis=0)
    if padding_idx is None:
        return rows
    padding = _row(padding_idx, weight.shape[0])
    index = astype(input, int64, copy=False)
    padded = (index == padding) | (index == padding - weight.shape[0])
    return where(expand_dims(padded, -1), rows.detach(), rows)


def _shorten(weight: Tensor, input: Tensor, max_norm: float, norm_type: float) -> None:
    with no_grad():
        rows = take(weight, reshape(input, input.size), axis=0)
        length = lengths(rows, norm_type, -1, keepdims=True)
        scale = where(length > max_norm, max_norm / (length + 1e-7), 1.0)
        weight[reshape(input, input.size)] = rows * scale


def _row(padding_idx: int, count: int) -> int:
    if not -count <= padding_idx < count:
        raise InvalidArgument(f"[embedding] padding_idx={padding_idx} is none of {count} rows")
    return padding_idx % count


@final
class Embedding(Module):
    """``y = weight[x]``: integers x of any shape S -> (*S, embedding_dim).

    ``weight``: (num_embeddings, embedding_dim), normal at first. The row ``padding_idx`` is 0 at
    first and gets no gradient. ``max_norm`` and errors are those of :func:`embedding`.

    >>> import polyback as pb
    >>> pb.nn.Embedding(10, 4)(pb.asarray([[1, 2, 3]])).shape
    (1, 3, 4)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        *,
        generator: Generator | None = None,
        device: Where = None,
        dtype: Any = None,
    ) -> None:
        if not (num_embeddings > 0 and embedding_dim > 0):
            raise InvalidArgument(
                f"[Embedding] got {num_embeddings} by {embedding_dim}; want sizes from 1"
            )
        shape = (num_embeddings, embedding_dim)
        weight = init.normal(shape, generator=generator, device=device, dtype=dtype)
        self._take_over(weight, padding_idx)
        self.max_norm, self.norm_type = max_norm, norm_type
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0.0

    def _take_over(self, weight: Tensor, padding_idx: int | None) -> None:
        self.num_embeddings, self.embedding_dim = weight.shape
        self.padding_idx = None if padding_idx is None else _row(padding_idx, weight.shape[0])
        self.weight = Parameter(weight)

    @classmethod
    def from_pretrained(
        cls, embeddings: Tensor, freeze: bool = True, padding_idx: int | None = None
    ) -> Self:
        """A layer with the rows of ``embeddings``, (n, d); they are trained unless ``freeze``.

        >>> import polyback as pb
        >>> layer = pb.nn.Embedding.from_pretrained(pb.eye(3))
        >>> layer(pb.asarray(1)).tolist(), layer.weight.requires_grad
        ([0.0, 1.0, 0.0], False)
        """
        check_tensors("from_pretrained", embeddings)
        if embeddings.ndim != 2:
            raise ShapeError(f"[from_pretrained] got {embeddings.shape}; want (n, d)")
        layer = cls.__new__(cls)
        layer.max_norm, layer.norm_type = None, 2.0
        layer._take_over(astype(embeddings.detach(), embeddings.dtype), padding_idx)
        layer.weight.requires_grad = not freeze
        return layer

    def forward(self, x: Tensor) -> Tensor:
        return embedding(x, self.weight, self.padding_idx, self.max_norm, self.norm_type)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
