"""Recurrent layers over sequences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, final

from polyback.errors import InvalidArgument, ShapeError
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions import (
    astype,
    concat,
    expand_dims,
    flip,
    moveaxis,
    squeeze,
    stack,
    take,
    zeros,
)
from polyback.frontend.functions.creation import Where
from polyback.frontend.nn.dropout import dropout as drop
from polyback.frontend.nn.linear import linear
from polyback.frontend.nn.module import Module
from polyback.frontend.nn.packed import PackedSequence, Runs
from polyback.frontend.nn.recurrence import Cell, Gated, LongShortTerm, Plain, Recurrence
from polyback.frontend.nn.start import uniform_start
from polyback.frontend.op import run
from polyback.frontend.random import Generator
from polyback.frontend.tensor import Tensor
from polyback.scalar import RELU, TANH

Nonlinearity = Literal["tanh", "relu"]
States = Tensor | Sequence[Tensor] | None


def plain_cell(nonlinearity: str, what: str) -> Cell:
    """The cell of :class:`RNN` with this nonlinearity. Raises InvalidArgument."""
    if nonlinearity not in ("tanh", "relu"):
        raise InvalidArgument(f"[{what}] got nonlinearity={nonlinearity!r}; want 'tanh' or 'relu'")
    return Plain(TANH if nonlinearity == "tanh" else RELU)


class Recurrent(Module):
    """What recurrent layers and cells share: weights by name, sizes, and states that may be left
    out. A layer's state is one tensor, or a tuple (h, c)."""

    cell: Cell
    input_size: int
    hidden_size: int
    bias: bool

    def _start(self, input_size: int, hidden_size: int, bias: bool) -> None:
        if input_size < 1 or hidden_size < 1:
            raise InvalidArgument(
                f"[{type(self).__name__}] got {input_size} to {hidden_size}; want sizes >= 1"
            )
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias

    def _weights(self, suffix: str, width: int, start: Callable[..., Tensor]) -> None:
        """The parameters of one cell."""
        rows = self.cell.gates * self.hidden_size
        setattr(self, "weight_ih" + suffix, start(rows, width))
        setattr(self, "weight_hh" + suffix, start(rows, self.hidden_size))
        setattr(self, "bias_ih" + suffix, start(rows) if self.bias else None)
        setattr(self, "bias_hh" + suffix, start(rows) if self.bias else None)

    def _run(self, suffix: str, x: Tensor, start: Sequence[Tensor]) -> Tensor:
        """All steps of one cell: (L, N, width) and states (N, H) -> (states, L, N, H)."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        w, across, b, shift = (getattr(self, name + suffix) for name in names)
        if b is not None and self.cell.adds:
            b, shift = b + shift, None
        p = linear(x, w, b)  # of all steps at once
        rest = [across, shift, *start]
        same = [None if t is None else astype(t, p.dtype, copy=False) for t in rest]
        return run(Recurrence(self.cell), p, *same)

    def _states(self, given: States, shape: tuple[int, ...], x: Tensor) -> list[Tensor]:
        """The states to start with: ``given``, or zeros. Raises ShapeError, InvalidArgument."""
        count, what = self.cell.states, type(self).__name__
        if given is None:
            return [zeros(shape, dtype=x.dtype, device=x.device) for _ in range(count)]
        listed = isinstance(given, (tuple, list))
        found: list[Any] = list(given) if listed else [given]
        if len(found) != count or listed is (count == 1):
            want = "one tensor" if count == 1 else "a tuple (h, c)"
            raise InvalidArgument(f"[{what}] got {len(found)} states; want {want}")
        check_tensors(what, *found)
        for state in found:
            if state.shape != shape:
                raise ShapeError(f"[{what}] a state is {state.shape}; want {shape}")
        return found

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"


class RecurrentLayer(Recurrent):
    """All steps, in layers one above the other, in one or both directions."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        generator: Generator | None = None,
        device: Where = None,
        dtype: Any = None,
    ) -> None:
        self._start(input_size, hidden_size, bias)
        if num_layers < 1 or not 0.0 <= dropout <= 1.0:
            raise InvalidArgument(
                f"[{type(self).__name__}] got num_layers={num_layers}, dropout={dropout}; want 1 "
                f"or more, 0 to 1"
            )
        self.num_layers, self.batch_first = num_layers, batch_first
        self.dropout, self.bidirectional = dropout, bidirectional
        self._directions = ("", "_reverse") if bidirectional else ("",)
        start = uniform_start(hidden_size, generator=generator, device=device, dtype=dtype)
        for layer in range(num_layers):
            width = input_size if layer == 0 else hidden_size * len(self._directions)
            for direction in self._directions:
                self._weights(f"_l{layer}{direction}", width, start)

    def _sequence(self, x: Tensor | PackedSequence, given: States) -> tuple[Any, list[Tensor]]:
        """The outputs of the last layer, and the last states of all layers and directions."""
        if isinstance(x, PackedSequence):
            return self._packed(x, given)
        check_tensors(type(self).__name__, x)
        if x.ndim not in (2, 3) or x.shape[-1] != self.input_size:
            lead = "(N, L" if self.batch_first else "(L, N"
            raise ShapeError(
                f"[{type(self).__name__}] got {x.shape}; want {lead}, {self.input_size}) or "
                f"(L, {self.input_size})"
            )
        along = 1 if self.batch_first and x.ndim == 3 else 0
        if not x.shape[along]:
            raise ShapeError(f"[{type(self).__name__}] got {x.shape}; want one step or more")
        batch = () if x.ndim == 2 else (x.shape[1 - along],)
        count = self.num_layers * len(self._directions)
        states = self._states(given, (count, *batch, self.hidden_size), x)
        if not batch:
            x, states = expand_dims(x, 1), [expand_dims(s, 1) for s in states]
        y, last = self._layers(moveaxis(x, along, 0), states)
        if not batch:
            return squeeze(y, 1), [squeeze(s, 1) for s in last]
        return moveaxis(y, 0, along), last

    def _packed(self, x: PackedSequence, given: States) -> tuple[PackedSequence, list[Tensor]]:
        """The same for sequences of several lengths: what comes after their ends is not looked at.
        States are in the order in which the sequences were given."""
        if x.data.ndim != 2 or x.data.shape[-1] != self.input_size:
            raise ShapeError(
                f"[{type(self).__name__}] got packed elements of {x.data.shape[1:]}; want "
                f"({self.input_size},)"
            )
        runs = Runs.of(x)
        count = self.num_layers * len(self._directions)
        states = self._states(given, (count, len(runs.lengths), self.hidden_size), x.data)
        if x.sorted_indices is not None:
            states = [take(s, x.sorted_indices, axis=1) for s in states]
        y, last = self._layers(runs.pad(x.data), states, runs)
        if x.unsorted_indices is not None:
            last = [take(s, x.unsorted_indices, axis=1) for s in last]
        return x._replace(data=runs.pack(y)), last

    def _layers(
        self, x: Tensor, states: Sequence[Tensor], runs: Runs | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """From (L, N, input_size); ``runs``: the sequences end earlier than that."""

        def turned(x: Tensor) -> Tensor:
            return flip(x, axis=0) if runs is None else runs.backwards(x)

        last: list[list[Tensor]] = [[] for _ in states]
        number = 0
        for layer in range(self.num_layers):
            outputs = []
            for direction in self._directions:
                steps = turned(x) if direction else x
                start = [s[number] for s in states]
                y = self._run(f"_l{layer}{direction}", steps, start)
                outputs.append(turned(y[0]) if direction else y[0])
                for k, history in enumerate(last):
                    history.append(y[k, -1] if runs is None else runs.ends(y[k]))
                number += 1
            x = outputs[0] if len(outputs) == 1 else concat(outputs, axis=-1)
            if layer + 1 < self.num_layers:
                x = drop(x, self.dropout, self.training)
        return x, [stack(history) for history in last]

    def extra_repr(self) -> str:
        return (
            f"{super().extra_repr()}, num_layers={self.num_layers}, "
            f"batch_first={self.batch_first}, dropout={self.dropout}, "
            f"bidirectional={self.bidirectional}"
        )


@final
class RNN(RecurrentLayer):
    """``h_t = f(weight_ih @ x_t + bias_ih + weight_hh @ h_(t-1) + bias_hh)`` over a sequence, with
    f tanh or relu (Elman, 1990); returns (output, h_n).

    x: (L, N, input_size), or (N, L, input_size) if ``batch_first``, or (L, input_size). output: the
    h_t of the last layer, of the shape of x with D * hidden_size, D = 2 if ``bidirectional`` else
    1. h_n, and ``hx`` to start with (zeros if left out): (D * num_layers, N, hidden_size), by layer
    and in it by direction. ``dropout`` acts on the outputs of all layers but the last while
    training. To cut backpropagation through time, pass ``h_n.detach()`` on. For sequences of
    several lengths x, and then the output, is a :class:`PackedSequence`. Parameters have PyTorch's
    names. Raises ShapeError, InvalidArgument.

    >>> import polyback as pb
    >>> output, h = pb.nn.RNN(3, 5, num_layers=2)(pb.zeros((7, 2, 3)))
    >>> output.shape, h.shape
    ((7, 2, 5), (2, 2, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: Nonlinearity = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        generator: Generator | None = None,
        device: Where = None,
        dtype: Any = None,
    ) -> None:
        self.cell, self.nonlinearity = plain_cell(nonlinearity, "RNN"), nonlinearity
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            generator=generator, device=device, dtype=dtype,
        )  # fmt: skip

    def forward(self, x: Tensor | PackedSequence, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        output, (h,) = self._sequence(x, hx)
        return output, h


@final
class LSTM(RecurrentLayer):
    """Long short-term memory over a sequence; returns (output, (h_n, c_n)).

    With ``i, f, g, o = weight_ih @ x_t + bias_ih + weight_hh @ h_(t-1) + bias_hh`` in four parts,
    ``c_t = sigmoid(f) * c_(t-1) + sigmoid(i) * tanh(g)`` and ``h_t = sigmoid(o) * tanh(c_t)``
    (Hochreiter and Schmidhuber, 1997; Gers et al., 2000). Shapes, options and errors are those of
    :class:`RNN`; ``hx`` is a tuple (h, c), and so is the state returned.

    >>> import polyback as pb
    >>> output, (h, c) = pb.nn.LSTM(3, 5, batch_first=True, bidirectional=True)(pb.zeros((2, 7, 3)))
    >>> output.shape, h.shape, c.shape
    ((2, 7, 10), (2, 2, 5), (2, 2, 5))
    """

    cell = LongShortTerm()

    def forward(
        self, x: Tensor | PackedSequence, hx: Sequence[Tensor] | None = None
    ) -> tuple[Any, tuple[Tensor, Tensor]]:
        output, (h, c) = self._sequence(x, hx)
        return output, (h, c)


@final
class GRU(RecurrentLayer):
    """Gated recurrent units over a sequence; returns (output, h_n).

    With ``p = weight_ih @ x_t + bias_ih`` and ``q = weight_hh @ h_(t-1) + bias_hh``, each in the
    parts r, z, n: ``r, z = sigmoid(p + q)``, ``n = tanh(p_n + r * q_n)`` and
    ``h_t = (1 - z) * n + z * h_(t-1)`` (Cho et al., 2014, with the reset after the matrix product).
    Shapes, options and errors are those of :class:`RNN`.

    >>> import polyback as pb
    >>> output, h = pb.nn.GRU(3, 5)(pb.zeros((7, 2, 3)))
    >>> output.shape, h.shape
    ((7, 2, 5), (1, 2, 5))
    """

    cell = Gated()

    def forward(self, x: Tensor | PackedSequence, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        output, (h,) = self._sequence(x, hx)
        return output, h
