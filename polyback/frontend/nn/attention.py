"""Attention: averages of values, weighted by how well keys answer queries."""

from __future__ import annotations

import math
from functools import reduce
from typing import Any, final

from polyback.dtype import DType, bool_
from polyback.errors import DTypeError, InvalidArgument, ShapeError
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions import (
    expand_dims,
    logical_not,
    matmul,
    matrix_transpose,
    mean,
    moveaxis,
    ones,
    repeat,
    reshape,
    softmax,
    squeeze,
    tril,
    where,
    zeros,
)
from polyback.frontend.functions.creation import Where
from polyback.frontend.nn import init
from polyback.frontend.nn.dropout import dropout as drop
from polyback.frontend.nn.linear import Linear, linear
from polyback.frontend.nn.module import Module, Parameter
from polyback.frontend.random import Generator
from polyback.frontend.tensor import Tensor
from polyback.view import broadcast_shapes


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """``softmax(scale * query @ key.T + mask) @ value`` (Vaswani et al., 2017).

    query (..., L, E), key (..., S, E), value (..., S, V) -> (..., L, V); the axes before broadcast.
    ``scale``: 1 / sqrt(E) if left out. ``attn_mask`` broadcasts to (..., L, S): where a bool mask
    is False, or a floating one, which is added, is -inf, nothing is taken. ``is_causal``: query i
    takes only keys 0 to i, besides the mask. A query that may take nothing gets zeros.
    ``dropout_p`` drops weights, always: pass 0 in use. ``enable_gqa``: each head of key and value,
    (..., H, S, E), serves several heads of query one after the other (Ainslie et al., 2023). Raises
    ShapeError, DTypeError, InvalidArgument.

    >>> import polyback as pb
    >>> x = pb.asarray([[1.0, 0.0], [0.0, 1.0]])
    >>> pb.nn.scaled_dot_product_attention(x, x, x, is_causal=True)[0].tolist()
    [1.0, 0.0]
    """
    check_tensors("scaled_dot_product_attention", query, key, value)
    if enable_gqa:
        key, value = (_for_heads_of(query, x) for x in (key, value))
    return _attend(query, key, value, attn_mask, dropout_p, is_causal, scale, generator)[0]


def _for_heads_of(query: Tensor, x: Tensor) -> Tensor:
    """Every head of ``x`` as often as it has heads of the query to serve."""
    if min(query.ndim, x.ndim) < 3 or query.shape[-3] % max(x.shape[-3], 1):
        raise ShapeError(
            f"[attention] got a query of {query.shape}, keys or values of {x.shape}; want heads at "
            f"axis -3, those of the query a multiple"
        )
    return repeat(x, query.shape[-3] // max(x.shape[-3], 1), axis=-3)


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    dropout_p: float,
    is_causal: bool,
    scale: float | None,
    generator: Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """The averages, and the weights (..., L, S)."""
    _check_attention(query, key, value)
    scale = 1.0 / math.sqrt(max(query.shape[-1], 1)) if scale is None else scale
    scores = matmul(query * scale, matrix_transpose(key))
    taken = None if mask is None else _taken(mask, scores.shape)
    if mask is not None and mask.dtype is not bool_:
        scores = scores + mask
    if is_causal:
        below = causal_mask(*scores.shape[-2:], device=query.device)
        taken = below if taken is None else taken & below
    weights = softmax(scores if taken is None else where(taken, scores, -math.inf), axis=-1)
    if mask is not None and taken is not None:  # a row of which nothing is taken is NaN so far
        weights = where(taken, weights, 0.0)
    weights = drop(weights, dropout_p, generator=generator)
    return matmul(weights, value), weights


def causal_mask(length: int, keys: int | None = None, *, device: Where = None) -> Tensor:
    """bool (length, keys): query i takes keys 0 to i. As many keys as queries if left out.

    >>> import polyback as pb
    >>> pb.nn.causal_mask(2).tolist()
    [[True, False], [True, True]]
    """
    return tril(ones((length, length if keys is None else keys), dtype=bool_, device=device))


def _check_attention(query: Tensor, key: Tensor, value: Tensor) -> None:
    shapes = query.shape, key.shape, value.shape
    if (
        min(len(s) for s in shapes) < 2
        or shapes[0][-1] != shapes[1][-1]
        or shapes[1][-2] != shapes[2][-2]
    ):
        raise ShapeError(
            f"[attention] got a query of {shapes[0]}, keys of {shapes[1]}, values of {shapes[2]}; "
            f"want (..., L, E), (..., S, E) and (..., S, V)"
        )
    if not all(x.dtype.is_floating for x in (query, key, value)):
        raise DTypeError(
            f"[attention] got {query.dtype}, {key.dtype}, {value.dtype}; want floating-point types"
        )


def _taken(mask: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Where a mask lets something be taken, as bool."""
    check_tensors("attn_mask", mask)
    if broadcast_shapes(mask.shape, shape, op="attn_mask") != shape:
        raise ShapeError(f"[attn_mask] got {mask.shape}; want to broadcast to {shape}")
    if mask.dtype is bool_:
        return mask
    if not mask.dtype.is_floating:
        raise DTypeError(f"[attn_mask] got {mask.dtype}; want bool or a floating-point type")
    return mask != -math.inf


@final
class MultiheadAttention(Module):
    """``out_proj(concat(head_1, ..., head_h))``, each head an attention between linear images of
    query, key and value (Vaswani et al., 2017). Returns (output, weights).

    query (L, N, embed_dim), key (S, N, kdim), value (S, N, vdim), or with N first if
    ``batch_first``, or all without N; output as query. Masks *forbid*, as PyTorch's do: where a
    bool one is True, or a floating one is -inf, nothing is taken; other floating numbers are added
    to the scores. ``attn_mask``: (L, S) or (N * num_heads, L, S); ``key_padding_mask``: (N, S).
    ``is_causal``: query i takes only keys 0 to i, besides the masks. A query that may take nothing
    gets zeros before ``out_proj``. Weights: (N, L, S), the mean over heads, or (N, num_heads, L, S)
    with ``average_attn_weights=False``, or None with ``need_weights=False``. ``dropout`` drops
    weights while training.

    Parameters have PyTorch's names: ``in_proj_weight`` (3 * embed_dim, embed_dim), or where kdim or
    vdim differ from it ``q_proj_weight``, ``k_proj_weight``, ``v_proj_weight``, Xavier uniform at
    first; ``in_proj_bias`` and ``out_proj.bias``, 0 at first. Raises ShapeError, DTypeError,
    InvalidArgument unless num_heads divides embed_dim.

    >>> import polyback as pb
    >>> x = pb.zeros((5, 2, 8))
    >>> output, weights = pb.nn.MultiheadAttention(8, num_heads=4)(x, x, x)
    >>> output.shape, weights.shape
    ((5, 2, 8), (2, 5, 5))
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        *,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        generator: Generator | None = None,
        device: Where = None,
        dtype: Any = None,
    ) -> None:
        if num_heads < 1 or embed_dim < 1 or embed_dim % num_heads or not 0.0 <= dropout <= 1.0:
            raise InvalidArgument(
                f"[MultiheadAttention] got {embed_dim} in {num_heads} heads, dropout={dropout}; "
                f"want a multiple of the heads, 0 to 1"
            )
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, dropout
        self.kdim, self.vdim = kdim or embed_dim, vdim or embed_dim
        self.batch_first = batch_first
        place: dict[str, Any] = {"device": device, "dtype": dtype}

        def start(width: int, rows: int = embed_dim) -> Tensor:
            return Parameter(init.xavier_uniform((rows, width), generator=generator, **place))

        self.in_proj_weight = None
        if self.kdim == self.vdim == embed_dim:
            self.in_proj_weight = start(embed_dim, 3 * embed_dim)
        else:
            self.q_proj_weight = start(embed_dim)
            self.k_proj_weight, self.v_proj_weight = start(self.kdim), start(self.vdim)
        self.in_proj_bias = Parameter(init.zeros((3 * embed_dim,), **place)) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias, generator=generator, **place)
        if self.out_proj.bias is not None:
            init.zeros_(self.out_proj.bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        self._check(query, key, value)
        batched = query.ndim == 3
        if not batched:
            query, key, value = (expand_dims(x, 1) for x in (query, key, value))
            if key_padding_mask is not None:
                key_padding_mask = expand_dims(key_padding_mask, 0)
        elif self.batch_first:
            query, key, value = (moveaxis(x, 0, 1) for x in (query, key, value))
        heads = [self._heads(k, x) for k, x in enumerate((query, key, value))]
        shape = (*heads[0].shape[:3], key.shape[0])
        mask = _permission(attn_mask, key_padding_mask, shape, query.dtype)
        rate = self.dropout if self.training else 0.0
        y, weights = _attend(heads[0], heads[1], heads[2], mask, rate, is_causal, None)
        # (N, heads, L, E / heads) -> (L, N, E)
        joined = reshape(moveaxis(y, 2, 0), query.shape)
        output = self.out_proj(joined)
        shown: Tensor | None = None
        if need_weights:
            shown = mean(weights, axis=1) if average_attn_weights else weights
            shown = shown if batched else squeeze(shown, 0)
        if not batched:
            return squeeze(output, 1), shown
        return (moveaxis(output, 1, 0) if self.batch_first else output), shown

    def _heads(self, part: int, x: Tensor) -> Tensor:
        """Query, key or value (0, 1, 2), (L, N, width) -> (N, heads, L, E / heads)."""
        rows = slice(part * self.embed_dim, (part + 1) * self.embed_dim)
        if self.in_proj_weight is not None:
            weight = self.in_proj_weight[rows]
        else:
            weight = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)[part]
        y = linear(x, weight, None if self.in_proj_bias is None else self.in_proj_bias[rows])
        size = self.embed_dim // self.num_heads
        return moveaxis(reshape(y, (*x.shape[:2], self.num_heads, size)), 0, 2)

    def _check(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        check_tensors("MultiheadAttention", query, key, value)
        lead = 0 if self.batch_first else 1
        shapes = [x.shape for x in (query, key, value)]
        widths = [s[-1] if s else None for s in shapes]
        kinds = {len(s) for s in shapes}
        if (
            widths != [self.embed_dim, self.kdim, self.vdim]
            or kinds not in ({2}, {3})
            or (kinds == {3} and len({s[lead] for s in shapes}) != 1)
            or key.shape[:-1] != value.shape[:-1]
        ):
            order = (
                "(N, L, {}), (N, S, {}), (N, S, {})"
                if lead == 0
                else ("(L, N, {}), (S, N, {}), (S, N, {})")
            )
            raise ShapeError(
                f"[MultiheadAttention] got {shapes[0]}, {shapes[1]}, {shapes[2]}; want "
                f"{order.format(self.embed_dim, self.kdim, self.vdim)}, or all without N"
            )

    def extra_repr(self) -> str:
        return (
            f"{self.embed_dim}, num_heads={self.num_heads}, dropout={self.dropout}, "
            f"batch_first={self.batch_first}"
        )


def _permission(
    attn_mask: Tensor | None, padding: Tensor | None, shape: tuple[int, ...], dtype: DType
) -> Tensor | None:
    """Masks that forbid as one that permits, for scores (N, heads, L, S)."""
    n, heads, length, keys = shape
    parts = []
    if attn_mask is not None:
        if attn_mask.shape not in ((length, keys), (n * heads, length, keys)):
            raise ShapeError(
                f"[MultiheadAttention] attn_mask is {attn_mask.shape}; want {(length, keys)} or "
                f"{(n * heads, length, keys)}"
            )
        parts.append(attn_mask if attn_mask.ndim == 2 else reshape(attn_mask, shape))
    if padding is not None:
        if padding.shape != (n, keys):
            raise ShapeError(
                f"[MultiheadAttention] key_padding_mask is {padding.shape}; want {(n, keys)}"
            )
        parts.append(reshape(padding, (n, 1, 1, keys)))
    if not parts:
        return None
    if all(part.dtype is bool_ for part in parts):
        return reduce(lambda a, b: a & b, [logical_not(part) for part in parts])
    nothing = zeros((), dtype=dtype, device=parts[0].device)
    added = [where(p, -math.inf, nothing) if p.dtype is bool_ else p for p in parts]
    return reduce(lambda a, b: a + b, added)
