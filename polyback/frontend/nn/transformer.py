"""Transformers: layers of attention and of a small network at each place, and stacks of them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, ClassVar, final

from polyback.dtype import DEFAULT_FLOAT
from polyback.errors import InvalidArgument
from polyback.frontend.functions import gelu, relu, where, zeros
from polyback.frontend.functions.creation import Where
from polyback.frontend.nn import init
from polyback.frontend.nn.attention import MultiheadAttention, causal_mask
from polyback.frontend.nn.container import ModuleList
from polyback.frontend.nn.dropout import Dropout
from polyback.frontend.nn.linear import Linear
from polyback.frontend.nn.module import Module
from polyback.frontend.nn.normalization_layers import LayerNorm
from polyback.frontend.random import Generator
from polyback.frontend.tensor import Tensor

Activation = str | Callable[[Tensor], Tensor]


class TransformerLayer(Module):
    """What encoder and decoder layers share: the options, and the network at each place."""

    attentions: ClassVar[tuple[str, ...]]  # the names of those before the network
    norm1: LayerNorm
    norm2: LayerNorm
    dropout1: Dropout
    dropout2: Dropout

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        *,
        generator: Generator | None = None,
        device: Where = None,
        dtype: Any = None,
    ) -> None:
        known = {"relu": relu, "gelu": gelu}
        function = known.get(activation) if isinstance(activation, str) else activation
        if function is None:
            raise InvalidArgument(
                f"[{type(self).__name__}] got activation={activation!r}; want 'relu', 'gelu' or a "
                f"function"
            )
        self.activation, self.norm_first = function, norm_first
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        drawn: dict[str, Any] = {"generator": generator, **place}
        for name in self.attentions:
            attention = MultiheadAttention(
                d_model, nhead, dropout, bias, batch_first=batch_first, **drawn
            )
            setattr(self, name, attention)
        self.linear1 = Linear(d_model, dim_feedforward, bias, **drawn)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **drawn)
        parts = range(1, len(self.attentions) + 2)
        for k in parts:
            setattr(self, f"norm{k}", LayerNorm(d_model, layer_norm_eps, bias=bias, **place))
        for k in parts:
            setattr(self, f"dropout{k}", Dropout(dropout))

    def _feed_forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear2(self.dropout(self.activation(self.linear1(x))))
        return y

    def _around(
        self, x: Tensor, norm: Module, drop: Module, function: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """``x + f(norm(x))`` if ``norm_first``, else ``norm(x + f(x))``."""
        if self.norm_first:
            return x + drop(function(norm(x)))
        y: Tensor = norm(x + drop(function(x)))
        return y

    def extra_repr(self) -> str:
        return f"norm_first={self.norm_first}"


@final
class TransformerEncoderLayer(TransformerLayer):
    """Self-attention, then ``linear2(activation(linear1(x)))``, each with a detour around it
    (Vaswani et al., 2017): ``norm(x + f(x))``, or with ``norm_first`` ``x + f(norm(x))``.

    src: (L, N, d_model), or (N, L, d_model) if ``batch_first``, or (L, d_model). ``src_mask``,
    ``src_key_padding_mask`` and ``is_causal`` are those of :class:`MultiheadAttention`.
    ``activation``: "relu", "gelu" or a function. ``dropout`` acts on attention weights, in the
    network, and on what is added. Parameters have PyTorch's names.

    >>> import polyback as pb
    >>> layer = pb.nn.TransformerEncoderLayer(8, nhead=2, dim_feedforward=16)
    >>> layer(pb.zeros((5, 2, 8))).shape
    (5, 2, 8)
    """

    attentions = ("self_attn",)
    self_attn: MultiheadAttention

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        def attend(x: Tensor) -> Tensor:
            y: Tensor = self.self_attn(
                x, x, x, src_key_padding_mask, False, src_mask, is_causal=is_causal
            )[0]
            return y

        x = self._around(src, self.norm1, self.dropout1, attend)
        return self._around(x, self.norm2, self.dropout2, self._feed_forward)


@final
class TransformerDecoderLayer(TransformerLayer):
    """Self-attention, attention to ``memory``, then ``linear2(activation(linear1(x)))``, each with
    a detour around it, as in :class:`TransformerEncoderLayer`, whose options these are.

    tgt (L, N, d_model) and memory (S, N, d_model), or with N first if ``batch_first``, or both
    without N. The masks, with ``tgt_is_causal`` and ``memory_is_causal``, are those of
    :class:`MultiheadAttention`. Parameters have PyTorch's names.

    >>> import polyback as pb
    >>> layer = pb.nn.TransformerDecoderLayer(8, nhead=2, dim_feedforward=16)
    >>> layer(pb.zeros((5, 2, 8)), pb.zeros((7, 2, 8)), tgt_is_causal=True).shape
    (5, 2, 8)
    """

    attentions = ("self_attn", "multihead_attn")
    self_attn: MultiheadAttention
    multihead_attn: MultiheadAttention
    norm3: LayerNorm
    dropout3: Dropout

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        def attend(x: Tensor) -> Tensor:
            y: Tensor = self.self_attn(
                x, x, x, tgt_key_padding_mask, False, tgt_mask, is_causal=tgt_is_causal
            )[0]
            return y

        def consult(x: Tensor) -> Tensor:
            y: Tensor = self.multihead_attn(
                x, memory, memory, memory_key_padding_mask, False, memory_mask,
                is_causal=memory_is_causal,
            )[0]  # fmt: skip
            return y

        x = self._around(tgt, self.norm1, self.dropout1, attend)
        x = self._around(x, self.norm2, self.dropout2, consult)
        return self._around(x, self.norm3, self.dropout3, self._feed_forward)


def _copies(layer: Module, count: int, what: str) -> ModuleList:
    if not isinstance(layer, Module) or count < 1:
        raise InvalidArgument(
            f"[{what}] got {count} of {type(layer).__name__}; want 1 or more of a Module"
        )
    return ModuleList(copy.deepcopy(layer) for _ in range(count))


@final
class TransformerEncoder(Module):
    """``num_layers`` copies of ``encoder_layer``, one after the other, then ``norm`` if given.

    The copies start with the same numbers, as PyTorch's do; ``model.apply`` can draw new ones.
    ``mask``, ``src_key_padding_mask`` and ``is_causal`` go to every layer.

    >>> import polyback as pb
    >>> layer = pb.nn.TransformerEncoderLayer(8, nhead=2, dim_feedforward=16)
    >>> pb.nn.TransformerEncoder(layer, num_layers=3)(pb.zeros((5, 2, 8)), is_causal=True).shape
    (5, 2, 8)
    """

    def __init__(self, encoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        self.layers = _copies(encoder_layer, num_layers, "TransformerEncoder")
        self.num_layers, self.norm = num_layers, norm

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask, is_causal)
        return src if self.norm is None else self.norm(src)


@final
class TransformerDecoder(Module):
    """``num_layers`` copies of ``decoder_layer``, each with the same ``memory``, then ``norm`` if
    given. Copies and masks are as in :class:`TransformerEncoder`.

    >>> import polyback as pb
    >>> layer = pb.nn.TransformerDecoderLayer(8, nhead=2, dim_feedforward=16)
    >>> pb.nn.TransformerDecoder(layer, 2)(pb.zeros((5, 2, 8)), pb.zeros((7, 2, 8))).shape
    (5, 2, 8)
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        self.layers = _copies(decoder_layer, num_layers, "TransformerDecoder")
        self.num_layers, self.norm = num_layers, norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        for layer in self.layers:
            tgt = layer(
                tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask,
                memory_key_padding_mask, tgt_is_causal, memory_is_causal,
            )  # fmt: skip
        return tgt if self.norm is None else self.norm(tgt)


@final
class Transformer(Module):
    """An encoder of ``src`` and a decoder of ``tgt`` that attends to its result, each a stack with
    a LayerNorm at the end (Vaswani et al., 2017): names, options and shapes are those of
    :class:`TransformerEncoder` and :class:`TransformerDecoder`; matrices start Xavier uniform.

    >>> import polyback as pb
    >>> model = pb.nn.Transformer(8, 2, 1, 1, 16)
    >>> model(pb.zeros((5, 2, 8)), pb.zeros((3, 2, 8)), tgt_is_causal=True).shape
    (3, 2, 8)
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = "relu",
        *,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        generator: Generator | None = None,
        device: Where = None,
        dtype: Any = None,
    ) -> None:
        sizes = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps)
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        options: dict[str, Any] = {"generator": generator, **place}

        def norm() -> LayerNorm:
            return LayerNorm(d_model, layer_norm_eps, bias=bias, **place)

        encoder = TransformerEncoderLayer(*sizes, batch_first, norm_first, bias, **options)
        decoder = TransformerDecoderLayer(*sizes, batch_first, norm_first, bias, **options)
        self.encoder = TransformerEncoder(encoder, num_encoder_layers, norm())
        self.decoder = TransformerDecoder(decoder, num_decoder_layers, norm())
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter, generator=generator)
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool = False,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        y: Tensor = self.decoder(
            tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask,
            tgt_is_causal, memory_is_causal,
        )  # fmt: skip
        return y

    @staticmethod
    def generate_square_subsequent_mask(
        sz: int, *, device: Where = None, dtype: Any = None
    ) -> Tensor:
        """(sz, sz), to be added to scores: -inf where a query would take a later key, else 0.

        >>> import polyback as pb
        >>> pb.nn.Transformer.generate_square_subsequent_mask(2).tolist()
        [[0.0, -inf], [0.0, 0.0]]
        """
        nothing = zeros((), dtype=dtype or DEFAULT_FLOAT, device=device)
        return where(causal_mask(sz, device=device), nothing, -math.inf)
