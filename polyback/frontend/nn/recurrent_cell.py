"""Cells: one step of a recurrent layer at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from polyback.errors import ShapeError
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions import expand_dims, squeeze
from polyback.frontend.functions.creation import Where
from polyback.frontend.nn.recurrence import Gated, LongShortTerm
from polyback.frontend.nn.recurrent import Nonlinearity, Recurrent, States, plain_cell
from polyback.frontend.nn.start import uniform_start
from polyback.frontend.random import Generator
from polyback.frontend.tensor import Tensor


class RecurrentCell(Recurrent):
    """One step: (N, input_size), or (input_size,), with states (N, H), or (H,)."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        generator: Generator | None = None,
        device: Where = None,
        dtype: Any = None,
    ) -> None:
        self._start(input_size, hidden_size, bias)
        start = uniform_start(hidden_size, generator=generator, device=device, dtype=dtype)
        self._weights("", input_size, start)

    def _step(self, x: Tensor, given: States) -> list[Tensor]:
        check_tensors(type(self).__name__, x)
        if x.ndim not in (1, 2) or x.shape[-1] != self.input_size:
            raise ShapeError(
                f"[{type(self).__name__}] got {x.shape}; want (N, {self.input_size}) or "
                f"({self.input_size},)"
            )
        states = self._states(given, (*x.shape[:-1], self.hidden_size), x)
        if x.ndim == 1:
            x, states = expand_dims(x, 0), [expand_dims(s, 0) for s in states]
            return [squeeze(s, 0) for s in self._step(x, states if len(states) > 1 else states[0])]
        y = self._run("", expand_dims(x, 0), states)
        return [y[k, 0] for k in range(len(states))]


@final
class RNNCell(RecurrentCell):
    """``h' = f(weight_ih @ x + bias_ih + weight_hh @ h + bias_hh)`` with f tanh or relu.

    x (N, input_size) and h (N, hidden_size), zeros if left out; both also without N. Weights start
    uniform in [-1/sqrt(hidden_size), 1/sqrt(hidden_size)). Raises ShapeError, InvalidArgument.

    >>> import polyback as pb
    >>> pb.nn.RNNCell(3, 5)(pb.zeros((2, 3))).shape
    (2, 5)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: Nonlinearity = "tanh",
        *,
        generator: Generator | None = None,
        device: Where = None,
        dtype: Any = None,
    ) -> None:
        self.cell, self.nonlinearity = plain_cell(nonlinearity, "RNNCell"), nonlinearity
        super().__init__(
            input_size, hidden_size, bias, generator=generator, device=device, dtype=dtype
        )

    def forward(self, x: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._step(x, hx)[0]


@final
class LSTMCell(RecurrentCell):
    """One step of :class:`LSTM`: x (N, input_size) and (h, c), each (N, hidden_size) -> (h', c').

    The states are zeros if left out; everything also without N. Raises ShapeError, InvalidArgument.

    >>> import polyback as pb
    >>> h, c = pb.nn.LSTMCell(3, 5)(pb.zeros((2, 3)))
    >>> h.shape, c.shape
    ((2, 5), (2, 5))
    """

    cell = LongShortTerm()

    def forward(self, x: Tensor, hx: Sequence[Tensor] | None = None) -> tuple[Tensor, Tensor]:
        h, c = self._step(x, hx)
        return h, c


@final
class GRUCell(RecurrentCell):
    """One step of :class:`GRU`: x (N, input_size) and h (N, hidden_size) -> h'.

    h is zeros if left out; everything also without N. Raises ShapeError, InvalidArgument.

    >>> import polyback as pb
    >>> pb.nn.GRUCell(3, 5)(pb.zeros((2, 3))).shape
    (2, 5)
    """

    cell = Gated()

    def forward(self, x: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._step(x, hx)[0]
