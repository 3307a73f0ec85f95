"""Activation checkpointing: forget what a part of the graph saved, and compute it again backwards.

``checkpoint(f, x)`` runs ``f`` and keeps only its arguments and its result. When a gradient
arrives, ``f`` runs once more, with the same random numbers, and its graph lives just long enough to
pass the gradient on. Cut into sqrt(N) parts, N layers need the memory of about 2 sqrt(N) layers and
one more forward pass (Chen et al., "Training deep nets with sublinear memory cost", 2016).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, final

from polyback.array import Array
from polyback.errors import GradientError, InvalidArgument
from polyback.frontend.autocast import autocast_as, autocast_dtype
from polyback.frontend.autograd import (
    Node,
    backward,
    is_grad_enabled,
    next_number,
    push_forward,
    set_grad_enabled,
)
from polyback.frontend.op import Op
from polyback.frontend.random import replayed, watched
from polyback.frontend.tensor import Tensor

_RECOMPUTING: Final = ContextVar("polyback_recomputing", default=False)


def is_recomputing() -> bool:
    """Is this a repetition for a gradient? Layers that count or average must not do so again."""
    return _RECOMPUTING.get()


def checkpoint(f: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """``f(*args, **options)``, whose activations are computed again for the gradient.

    ``f`` returns a tensor or a tuple of tensors and must do the same at every call. Parameters that
    it uses get their gradients too. Dropout repeats its masks, batch norm counts each batch once.
    Raises GradientError in the backward pass if an argument was modified in place meanwhile.

    >>> import polyback as pb
    >>> x = pb.asarray([1.0, 2.0], requires_grad=True)
    >>> pb.sum(pb.nn.checkpoint(lambda x: pb.exp(x) * x, x)).backward()
    >>> [round(g, 4) for g in x.grad.tolist()]
    [5.4366, 22.1672]
    """
    if not is_grad_enabled():
        return f(*args, **options)
    first = next_number()
    with watched() as draws:
        results = f(*args, **options)
    several = isinstance(results, tuple)
    outputs = list(results) if several else [results]
    if not all(isinstance(y, Tensor) for y in outputs):
        raise GradientError(
            f"[checkpoint] the function gave {type(results).__name__}; want a tensor or a tuple "
            f"of tensors"
        )
    segment = _Segment(f, args, options, draws, several)
    tracked = []
    for k, y in enumerate(outputs):
        edges = _edges_outside(y, first)
        tracked.append((Checkpoint(segment, k, edges) if edges else None, edges, y.array))
    del results, outputs, y  # and with them the graph: now nobody needs what it saved
    found = tuple(_tensor(*t) for t in tracked)
    return found if several else found[0]


def checkpoint_sequential(
    functions: Iterable[Callable[[Any], Any]], segments: int | None, input: Any
) -> Any:
    """``functions`` (a Sequential, or any) one after the other, in ``segments`` checkpointed parts
    (None: about sqrt(N)).

    >>> import polyback as pb
    >>> net = pb.nn.Sequential(*(pb.nn.Linear(2, 2) for _ in range(9)))
    >>> x = pb.ones((1, 2))
    >>> bool(pb.all(pb.nn.checkpoint_sequential(net, None, x) == net(x)))
    True
    """
    layers, x = list(functions), input
    count = round(math.sqrt(len(layers))) if segments is None else segments
    if not isinstance(count, int) or (layers and not 1 <= count <= len(layers)):
        got = count if isinstance(count, int) else type(count).__name__
        raise InvalidArgument(
            f"[checkpoint_sequential] got {got} segments; want 1 to {len(layers)}, or None"
        )
    for k in range(count):
        part = layers[len(layers) * k // count : len(layers) * (k + 1) // count]
        x = checkpoint(_in_turn, part, x)
    return x


def _in_turn(modules: Sequence[Callable[[Any], Any]], x: Any) -> Any:
    for module in modules:
        x = module(x)
    return x


def _edges_outside(y: Tensor, first: int) -> list[Any]:
    """Where the graph of ``y`` leaves what was recorded from number ``first`` on."""
    seen, found = set[int](), []
    stack = [y.edge] if y.edge is not None else []
    while stack:
        edge = stack.pop()
        if id(edge) in seen:
            continue
        seen.add(id(edge))
        if isinstance(edge, Node) and edge.number >= first:
            stack.extend(e for e in edge.edges if e is not None)
        else:
            found.append(edge)
    return found


def _tensor(op: Checkpoint | None, edges: list[Any], array: Array) -> Tensor:
    _ = array.data  # an expression would hold on to what it still has to read
    if op is None:
        return Tensor(array)
    node = Node(op, (), array)
    node.edges, node.shapes, node.saved = edges, [None] * len(edges), [None] * len(edges)
    return Tensor(array, node=node)


@final
class _Segment:
    """A call that can be repeated."""

    def __init__(
        self, f: Callable[..., Any], args: Any, options: Any, draws: list[Any], several: bool
    ) -> None:
        self.f, self.args, self.options = f, args, options
        self.draws, self.several = draws, several
        self.dtype = autocast_dtype()
        given = [x for x in (*args, *options.values()) if isinstance(x, Tensor)]
        self.versions = [(x.array, x.array.version) for x in given]

    def again(self) -> Sequence[Tensor]:
        """The results once more, as part of a graph."""
        for array, version in self.versions:
            if array.version != version:
                raise GradientError(
                    "[checkpoint] an argument was modified in place since (version "
                    f"{array.version}, want {version}); copy the tensor before writing to it"
                )
        with set_grad_enabled(True), replayed(self.draws), _recomputing(), autocast_as(self.dtype):
            results = self.f(*self.args, **self.options)
        return results if self.several else (results,)


@contextmanager
def _recomputing() -> Iterator[None]:
    token = _RECOMPUTING.set(True)
    try:
        yield
    finally:
        _RECOMPUTING.reset(token)


@final
class Checkpoint(Op):
    """y = f(...): result number ``index`` of a segment; its operands are the edges it leads to."""

    def __init__(self, segment: _Segment, index: int, edges: list[Any]) -> None:
        self.segment, self.index, self.edges = segment, index, edges
        self._known: dict[int, tuple[Any, Tensor]] | None = None

    def forward(self, *operands: Any) -> Array:
        raise AssertionError("the function has run already")

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        if self._known is None:  # the first operand: one repetition serves them all
            again = self.segment.again()[self.index]
            self._known = backward([(again, g)], {id(e) for e in self.edges})
        edge = self.edges[operand]
        found = self._known.get(id(edge))
        if operand == len(self.edges) - 1:
            self._known = None
        if found is None:
            raise GradientError("[checkpoint] the function did not do the same as the first time")
        return found[1]

    def tangent(self, tangents: Sequence[Tensor | None], y: Any, *operands: Any) -> Tensor:
        known = {id(e): t for e, t in zip(self.edges, tangents, strict=True) if t is not None}
        again = self.segment.again()[self.index]
        found = push_forward([again], known).get(id(again.edge))
        assert found is not None
        return found
