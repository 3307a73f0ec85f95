"""Positional encodings: what tells attention where in a sequence a vector stands."""

from __future__ import annotations

import math
from typing import Any, final

import numpy as np

from polyback.dtype import DEFAULT_FLOAT
from polyback.errors import InvalidArgument, ShapeError
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions import asarray, expand_dims
from polyback.frontend.functions.creation import Where
from polyback.frontend.nn import init
from polyback.frontend.nn.dropout import Dropout
from polyback.frontend.nn.module import Module, Parameter
from polyback.frontend.random import Generator
from polyback.frontend.tensor import Tensor


def sinusoidal_encoding(
    length: int, d_model: int, *, device: Where = None, dtype: Any = None
) -> Tensor:
    """(length, d_model): ``sin(t * w_k)`` at column 2k, ``cos(t * w_k)`` at 2k + 1, where t is the
    row and ``w_k = 10000**(-2k / d_model)`` (Vaswani et al., 2017). Computed in float64.

    >>> import polyback as pb
    >>> pb.nn.sinusoidal_encoding(2, 2)[0].tolist()
    [0.0, 1.0]
    """
    if length < 0 or d_model < 0:
        raise InvalidArgument(f"[sinusoidal_encoding] got {length} by {d_model}; want sizes >= 0")
    columns = np.arange(0, d_model, 2)
    angles = np.arange(length)[:, None] * np.exp(columns * (-math.log(10000.0) / max(d_model, 1)))
    table = np.empty((length, d_model))
    table[:, 0::2], table[:, 1::2] = np.sin(angles), np.cos(angles[:, : d_model // 2])
    return asarray(table, dtype=dtype or DEFAULT_FLOAT, device=device)


class Positional(Module):
    """``y = dropout(x + table[:L])`` for x (L, N, d_model), or (N, L, d_model) if ``batch_first``,
    or (L, d_model). Subclasses say what the table, (max_len, d_model), is."""

    dropout: Dropout
    d_model: int
    max_len: int
    batch_first: bool

    def _keep(self, d_model: int, dropout: float, max_len: int, batch_first: bool) -> None:
        self.dropout = Dropout(dropout)
        self.d_model, self.max_len, self.batch_first = d_model, max_len, batch_first

    def _add(self, x: Tensor, table: Tensor) -> Tensor:
        check_tensors(type(self).__name__, x)
        along = 1 if self.batch_first and x.ndim == 3 else 0
        if x.ndim not in (2, 3) or x.shape[-1] != self.d_model or x.shape[along] > self.max_len:
            lead = "(N, L" if self.batch_first else "(L, N"
            raise ShapeError(
                f"[{type(self).__name__}] got {x.shape}; want {lead}, {self.d_model}) or "
                f"(L, {self.d_model}) with L <= {self.max_len}"
            )
        rows = table[: x.shape[along]]
        y: Tensor = self.dropout(x + (expand_dims(rows, 1) if x.ndim == 3 and not along else rows))
        return y

    def extra_repr(self) -> str:
        return f"d_model={self.d_model}, max_len={self.max_len}, batch_first={self.batch_first}"


@final
class PositionalEncoding(Positional):
    """``y = dropout(x + sinusoidal_encoding[:L])``: fixed, so the state has nothing of it.

    x: (L, N, d_model), or (N, L, d_model) if ``batch_first``, or (L, d_model). Raises ShapeError
    for other shapes and for L above ``max_len``. See :func:`sinusoidal_encoding`.

    >>> import polyback as pb
    >>> pb.nn.PositionalEncoding(4)(pb.zeros((3, 2, 4)))[0].tolist()
    [[0.0, 1.0, 0.0, 1.0], [0.0, 1.0, 0.0, 1.0]]
    """

    def __init__(
        self,
        d_model: int,
        dropout: float = 0.0,
        max_len: int = 5000,
        batch_first: bool = False,
        *,
        device: Where = None,
        dtype: Any = None,
    ) -> None:
        self._keep(d_model, dropout, max_len, batch_first)
        table = sinusoidal_encoding(max_len, d_model, device=device, dtype=dtype)
        self.register_buffer("table", table, persistent=False)

    table: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return self._add(x, self.table)


@final
class LearnedPositionalEncoding(Positional):
    """``y = dropout(x + weight[:L])`` with a trained table ``weight``, (max_len, d_model).

    The table starts normal with std 0.02 (Radford et al., 2019). Shapes and errors are those of
    :class:`PositionalEncoding`.

    >>> import polyback as pb
    >>> pb.nn.LearnedPositionalEncoding(4, max_len=8)(pb.zeros((3, 2, 4))).shape
    (3, 2, 4)
    """

    def __init__(
        self,
        d_model: int,
        dropout: float = 0.0,
        max_len: int = 5000,
        batch_first: bool = False,
        *,
        generator: Generator | None = None,
        device: Where = None,
        dtype: Any = None,
    ) -> None:
        self._keep(d_model, dropout, max_len, batch_first)
        shape = (max_len, d_model)
        values = init.normal(shape, 0.0, 0.02, generator=generator, device=device, dtype=dtype)
        self.weight = Parameter(values)

    def forward(self, x: Tensor) -> Tensor:
        return self._add(x, self.weight)
