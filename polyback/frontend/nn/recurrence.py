"""Recurrence: one operation for all steps of a recurrent layer, and the formulas of its cells.

A cell is elementwise: at each place it turns the gates' inputs ``p`` (from the sequence) and ``q``
(from the last output, by a matrix) and the last states into new states. So a step is one matrix
product and one program, and the derivative of a step is one number per place, gate and state. Those
are found for all steps at once from the saved outputs, by differentiating the cell's formula; the
chain rule itself goes back step by step, again one product and one program each.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Any, ClassVar, final

from polyback import array
from polyback.array import Array
from polyback.dtype import DType
from polyback.errors import ShapeError
from polyback.frontend.autograd import OUTPUT, is_grad_enabled
from polyback.frontend.functions import (
    concat,
    expand_dims,
    matmul,
    ones,
    reshape,
    stack,
    sum,
    transpose,
    zeros,
)
from polyback.frontend.functions.elementwise import cast
from polyback.frontend.op import Op
from polyback.frontend.tensor import Tensor
from polyback.frontend.transforms import vjp
from polyback.program import Program, program
from polyback.scalar import SIGMOID, TANH, Scalar
from polyback.unroll import Feedback, at, cut, unroll

Values = Sequence[Any]  # tensors, or values of a Program: formulas are written once for both


class Cell(ABC):
    """One step of a recurrent layer. The first state is the output."""

    gates: ClassVar[int]
    states: ClassVar[int]
    reads: ClassVar[tuple[int, ...]]  # the last states that ``step`` reads, besides through q
    adds: ClassVar[bool]  # p and q are used as p + q only

    @abstractmethod
    def step(self, p: Values, q: Values, last: Values) -> tuple[Any, ...]:
        """The new states; all values have one shape."""


@final
@dataclass(frozen=True)
class Plain(Cell):
    """h = f(p + q) (Elman, 1990)"""

    function: Scalar
    gates, states, reads, adds = 1, 1, (), True

    def step(self, p: Values, q: Values, last: Values) -> tuple[Any, ...]:
        return (self.function(p[0] + q[0]),)


@final
@dataclass(frozen=True)
class LongShortTerm(Cell):
    """i, f, o = sigmoid(p + q), g = tanh(p + q), in the order i, f, g, o; c = f * last c + i * g;
    h = o * tanh(c) (Hochreiter and Schmidhuber, 1997; Gers et al., 2000)"""

    gates, states, reads, adds = 4, 2, (1,), True

    def step(self, p: Values, q: Values, last: Values) -> tuple[Any, ...]:
        i, f, g, o = (a + b for a, b in zip(p, q, strict=True))
        c = SIGMOID(f) * last[0] + SIGMOID(i) * TANH(g)
        return SIGMOID(o) * TANH(c), c


@final
@dataclass(frozen=True)
class Gated(Cell):
    """r, z = sigmoid(p + q); n = tanh(p + r * q); h = (1 - z) * n + z * last h (Cho et al., 2014,
    with the reset after the matrix product)"""

    gates, states, reads, adds = 3, 1, (0,), False

    def step(self, p: Values, q: Values, last: Values) -> tuple[Any, ...]:
        r, z = SIGMOID(p[0] + q[0]), SIGMOID(p[1] + q[1])
        n = TANH(p[2] + r * q[2])
        return ((1.0 - z) * n + z * last[0],)


def _total(parts: Sequence[Any]) -> Any:
    return reduce(lambda a, b: a + b, parts)


@dataclass(frozen=True)
class Slopes:
    """Derivatives of a step: by new state, and for each by gate of p, by gate of q, by state read.
    ``p`` is empty where it equals ``q``."""

    p: Sequence[Values]
    q: Sequence[Values]
    last: Sequence[Values]

    def flat(self) -> list[Any]:
        """All of them, one after the other."""
        return [x for kind in (self.p, self.q, self.last) for row in kind for x in row]

    @staticmethod
    def of(cell: Cell, values: Sequence[Any]) -> Slopes:
        """The inverse of :meth:`flat`."""
        rest = iter(values)
        counts = (0 if cell.adds else cell.gates, cell.gates, len(cell.reads))
        kinds = [[[next(rest) for _ in range(n)] for _ in range(cell.states)] for n in counts]
        return Slopes(*kinds)


def pull(
    cell: Cell, g: Values, slopes: Slopes, across: Any, later: Values
) -> tuple[list[Any], list[Any], list[Any]]:
    """One step of the chain rule: the gradients for p (empty where they are those for q), for q,
    and for the states read.

    ``g``: of the states, from outside; ``later``: of those that the next step reads; ``across``: of
    the output, through the next step's q.
    """
    total = list(g)
    total[0] = total[0] + across
    for spot, state in enumerate(cell.reads):
        total[state] = total[state] + later[spot]

    def weighted(kind: Sequence[Values]) -> list[Any]:
        return [_total([t * s for t, s in zip(total, column, strict=True)])
                for column in zip(*kind, strict=True)]  # fmt: skip

    return weighted(slopes.p), weighted(slopes.q), weighted(slopes.last)


@lru_cache(maxsize=64)
def _step_program(cell: Cell, dtype: DType, biased: bool) -> Program:
    """Inputs: p by gate, the bias by gate if there is one, q by gate, the states read."""
    gates = cell.gates

    def body(*x: Any) -> tuple[Any, ...]:
        q = x[gates * (1 + biased) : gates * (2 + biased)]
        if biased:
            q = tuple(a + b for a, b in zip(q, x[gates : 2 * gates], strict=True))
        return cell.step(x[:gates], q, x[gates * (2 + biased) :])

    return program(body, *[dtype] * (gates * (2 + biased) + len(cell.reads)))


@lru_cache(maxsize=64)
def _pull_program(cell: Cell, dtype: DType) -> Program:
    """Inputs: g by state, the slopes, across, and the gradients for the states read."""
    states, reads = cell.states, len(cell.reads)

    def body(*x: Any) -> tuple[Any, ...]:
        end = len(x) - reads
        slopes = Slopes.of(cell, x[states : end - 1])
        dp, dq, last = pull(cell, x[:states], slopes, x[end - 1], x[end:])
        return (*dp, *dq, *last)

    slopes = states * (cell.gates * (1 if cell.adds else 2) + reads)
    return program(body, *[dtype] * (states + slopes + 1 + reads))


@final
class Recurrence(Op):
    """y[:, t] = cell(p[t], y[0, t - 1] @ w.T + b, y[:, t - 1]), y[:, -1] = the states at the start

    Operands: p (L, N, gates * H), w (gates * H, H), b (gates * H,) or None, and the states (N, H).
    The result is (states, L, N, H).
    """

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.pulled: tuple[Tensor, bool, list[Tensor]] | None = None

    def forward(self, *operands: Any) -> Array:
        cell, kind = self.cell, operands[0].dtype
        wide: list[Any] = [x if x is None else array.cast(x, kind.compute) for x in operands]
        p, w, b, *start = wide
        array.same_device("recurrence", *(x for x in wide if x is not None))
        self._check(p, w, b, start)
        y = array.empty(p.device, (cell.states, p.shape[0], *start[0].shape), p.dtype)
        states = [at(y, (k,)) for k in range(cell.states)]
        ins = cut(p, cell.gates)
        if b is not None:
            ins += [x.with_view(x.view.expand(states[0].shape)) for x in cut(b, cell.gates)]
        fed = [Feedback(s, first) for s, first in zip(states, start, strict=True)]
        unroll(
            _step_program(cell, p.dtype, b is not None),
            states,
            ins,
            fed[0],
            w.with_view(w.view.permute((1, 0))),
            [fed[k] for k in cell.reads],
        )
        return array.cast(y, kind)

    def _check(self, p: Array, w: Array, b: Array | None, start: Sequence[Array]) -> None:
        """Raises ShapeError: kernels take the sizes on trust."""
        rows, width = p.shape[1], start[0].shape[-1]
        across = self.cell.gates * width
        wrong = p.shape[2:] != (across,) or w.shape != (across, width)
        wrong = wrong or any(s.shape != (rows, width) for s in start)
        if wrong or (b is not None and b.shape != (across,)):
            shapes = [x.shape for x in (p, w, *start, *([] if b is None else [b]))]
            raise ShapeError(
                f"[recurrence] inputs, weight, states and bias are {shapes}; want (L, N, {across}),"
                f" ({across}, {width}), (N, {width}), ({across},)"
            )

    def saves(self, operand: int) -> frozenset[int]:
        return frozenset({OUTPUT, *range(3 + self.cell.states)})

    def _slopes(self, y: Tensor, operands: Sequence[Any]) -> tuple[Slopes, list[Tensor]]:
        """The derivatives of every step, each (L, N, H), and the states before every step."""
        cell, (p, w, b, *start) = self.cell, operands
        last = [concat([expand_dims(s, 0), y[k, :-1]], axis=0) for k, s in enumerate(start)]
        q = matmul(last[0], transpose(w))
        q = q if b is None else q + b
        count = cell.gates
        inputs = [*_gates(p, count), *_gates(q, count), *(last[k] for k in cell.reads)]
        one = ones(last[0].shape, dtype=p.dtype, device=p.device)
        found = []
        for state in range(cell.states):

            def new(*x: Tensor, state: int = state) -> Tensor:
                states = cell.step(x[:count], x[count : 2 * count], x[2 * count :])
                result: Tensor = states[state]
                return result

            found.append(vjp(new, *inputs)[1](one))
        of_p = [] if cell.adds else [row[:count] for row in found]
        of_q = [row[count : 2 * count] for row in found]
        return Slopes(of_p, of_q, [row[2 * count :] for row in found]), last

    # --- reverse mode ---------------------------------------------------------------------------

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        recorded, known = is_grad_enabled(), self.pulled
        if known is None or known[0] is not g or known[1] is not recorded:
            known = (g, recorded, self._gradients(*_plain(g, y, *operands)))
        tracked = [k for k, x in enumerate(operands) if x is not None and x.edge is not None]
        self.pulled = None if operand == tracked[-1] else known  # they are asked for in this order
        return cast(known[2][operand], operands[operand].dtype)

    def _gradients(self, g: Tensor, y: Tensor, *operands: Any) -> list[Tensor]:
        """The gradients of all operands, by going back through the steps."""
        p, w, *_ = operands
        slopes, last = self._slopes(y, operands)
        walk = self._walk if is_grad_enabled() else self._walk_in_place
        dp, dq, later = walk(g, slopes, w)
        rows = reshape(dq, (p.shape[0] * p.shape[1], w.shape[0]))
        before = reshape(last[0], (rows.shape[0], w.shape[1]))
        start = [matmul(dq[0], w)]  # the output's; others are read, or they would be of no use
        for spot, state in enumerate(self.cell.reads):
            start[state:] = [start[state] + later[spot] if state == 0 else later[spot]]
        return [dp, matmul(transpose(rows), before), sum(rows, axis=0), *start]

    def _walk(
        self, g: Tensor, slopes: Slopes, w: Tensor
    ) -> tuple[Tensor, Tensor, Sequence[Tensor]]:
        """Back through the steps with recorded operations: the gradients for p and q, (L, N, gates
        * H), and for the states read at the start."""
        nothing = zeros(g.shape[2:], dtype=g.dtype, device=g.device)
        across, later = nothing, [nothing for _ in self.cell.reads]
        found: list[tuple[Tensor, Tensor]] = []
        for t in reversed(range(g.shape[1])):
            here = Slopes.of(self.cell, [x[t] for x in slopes.flat()])
            dp, dq, later = pull(self.cell, [x[t] for x in g], here, across, later)
            joined = concat(dq, axis=-1)
            found.append((concat(dp, axis=-1) if dp else joined, joined))
            across = matmul(joined, w)
        of_p, of_q = (stack(parts[::-1]) for parts in zip(*found, strict=True))
        return of_p, of_q, later

    def _walk_in_place(
        self, g: Tensor, slopes: Slopes, w: Tensor
    ) -> tuple[Tensor, Tensor, Sequence[Tensor]]:
        """The same, each step one product and one program that writes to where it belongs."""
        cell, device, dtype = self.cell, w.array.device, w.array.dtype
        _, steps, rows, width = g.shape
        across = (rows, cell.gates * width)
        sequences = [
            array.empty(device, (steps, *across), dtype) for _ in range(1 if cell.adds else 2)
        ]
        nothing = array.full(device, across, 0, dtype)
        later = [
            Feedback(array.empty(device, g.shape[1:], dtype), cut(nothing, cell.gates)[0])
            for _ in cell.reads
        ]
        unroll(
            _pull_program(cell, dtype),
            [*(x for s in sequences for x in cut(s, cell.gates)), *(f.sequence for f in later)],
            [at(g.array, (k,)) for k in range(cell.states)] + [x.array for x in slopes.flat()],
            Feedback(sequences[-1], nothing),
            w.array,
            later,
            backwards=True,
        )
        ends = [Tensor(at(f.sequence, (0,))) for f in later]
        return Tensor(sequences[0]), Tensor(sequences[-1]), ends

    # --- forward mode ---------------------------------------------------------------------------

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        cell, kind = self.cell, y.dtype
        y, p, w, b, *start = _plain(y, *operands)
        dp, dw, db, *moved = tangents
        slopes, last = self._slopes(y, [p, w, b, *start])
        fixed = zeros(p.shape, dtype=p.dtype, device=p.device)  # what the steps have in common
        fixed = fixed if dw is None else fixed + matmul(last[0], transpose(dw))
        fixed = fixed if db is None else fixed + db
        along = slopes.q if cell.adds else slopes.p
        given = [] if dp is None else _gates(dp, cell.gates)
        states = [d if d is not None else s * 0.0 for s, d in zip(start, moved, strict=True)]
        made: list[list[Tensor]] = [[] for _ in states]
        for t in range(p.shape[0]):
            dq = _gates(matmul(states[0], transpose(w)) + fixed[t], cell.gates)
            new = []
            for k in range(cell.states):
                parts = [s[t] * d for s, d in zip(slopes.q[k], dq, strict=True)]
                parts += [s[t] * d[t] for s, d in zip(along[k], given)]
                parts += [s[t] * states[r] for s, r in zip(slopes.last[k], cell.reads, strict=True)]
                new.append(_total(parts))
            states = new
            for history, x in zip(made, states, strict=True):
                history.append(x)
        return cast(stack([stack(history) for history in made]), kind)


def _gates(x: Tensor, count: int) -> list[Tensor]:
    """(..., count * H) as ``count`` views of (..., H)."""
    width = x.shape[-1] // count
    return [x[..., k * width : (k + 1) * width] for k in range(count)]


def _plain(*given: Tensor | None) -> list[Any]:
    """In the type to compute in, and outside the graph where nothing is being recorded."""
    recorded = is_grad_enabled()
    return [x if x is None else cast(x if recorded else x.detach(), x.dtype.compute) for x in given]
