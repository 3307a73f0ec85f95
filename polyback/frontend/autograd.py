"""Reverse-mode differentiation by extending the graph: gradients are tensors built from the same
operations, so a gradient can be differentiated again.

Each tracked tensor has a :class:`Node`: the operation, edges to where its operands came from, and
just those values that the gradient rule reads. Nodes point only backwards, so reference counting
frees a graph at once. Traversal uses a heap of creation numbers, not recursion: depth is no limit.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, final

from polyback.array import reduce
from polyback.errors import DTypeError, GradientError
from polyback.scalar import SUM

if TYPE_CHECKING:
    from polyback.array import Array
    from polyback.frontend.op import Op
    from polyback.frontend.tensor import Tensor

OUTPUT: Final = -1  # in Op.saves: the operation's own result
_ENABLED: Final = ContextVar("polyback_grad_enabled", default=True)
_COUNTER: Final = itertools.count()
_NOTHING: Final[frozenset[int]] = frozenset()


def is_grad_enabled() -> bool:
    """Are operations being recorded?

    >>> import polyback as pb
    >>> with pb.no_grad():
    ...     pb.is_grad_enabled()
    False
    """
    return _ENABLED.get()


@contextmanager
def set_grad_enabled(enabled: bool) -> Iterator[None]:
    """Record operations, or not, inside a ``with`` block."""
    token = _ENABLED.set(enabled)
    try:
        yield
    finally:
        _ENABLED.reset(token)


def next_number() -> int:
    """A number for what is recorded next: all later nodes have larger ones."""
    return next(_COUNTER)


def no_grad() -> Any:
    """Record nothing inside a ``with`` block.

    >>> import polyback as pb
    >>> x = pb.ones(2, requires_grad=True)
    >>> with pb.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """
    return set_grad_enabled(False)


@final
class Node:
    """How a tensor was made. ``edges`` lead to Nodes, to leaf Tensors, or nowhere (None)."""

    __slots__ = ("__weakref__", "edges", "number", "op", "output", "saved", "shape", "shapes",
                 "used")  # fmt: skip

    def __init__(self, op: Op, operands: Sequence[Any], output: Array) -> None:
        self.number = next(_COUNTER)
        self.op = op
        self.used = False
        self.shape = output.view.shape
        self.edges: list[Any] = []
        self.shapes: list[Any] = []  # None: the rule gives the right one
        self.output: tuple[Array, int] | None = None
        needed = _NOTHING
        for k, x in enumerate(operands):
            array = getattr(x, "array", None)
            if array is None:
                self.edges.append(None)
                self.shapes.append(())
                continue
            edge = x.node or (x if x.requires_grad_ else None)
            self.edges.append(edge)
            self.shapes.append(array.view.shape)
            if edge is not None and (reads := op.saves(k)):
                needed = needed | reads if needed else reads
        if not needed:
            self.saved: list[Any] = [None] * len(operands)
            return
        self.saved = [_Saved(x) if k in needed else None for k, x in enumerate(operands)]
        if OUTPUT in needed:
            self.output = (output, output.version)

    def values(self) -> tuple[Tensor | None, list[Any]]:
        """The result and the operands as tensors that are part of the graph (None: not saved)."""
        from polyback.frontend.tensor import Tensor

        if self.used:
            raise GradientError(
                "[backward] this graph was freed by an earlier backward(); want "
                "backward(retain_graph=True) there, or compute the result again"
            )
        y = None
        if self.output is not None:
            check_version(self.op, *self.output)
            y = Tensor(self.output[0], node=self)
        operands = [s and s.restore(self.op, e) for s, e in zip(self.saved, self.edges)]
        return y, operands

    def release(self) -> None:
        """Let go of everything saved."""
        self.saved, self.edges, self.output, self.used = [], [], None, True


@final
class _Saved:
    """An operand kept for the gradient: its numbers and their version, or a Python number."""

    __slots__ = ("value", "version")

    def __init__(self, operand: Any) -> None:
        array = getattr(operand, "array", None)
        self.value: Any = operand if array is None else array
        self.version = -1 if array is None else array.version

    def restore(self, op: Op, edge: Node | Tensor | None) -> Any:
        from polyback.frontend.tensor import Tensor

        if self.version < 0:
            return self.value
        check_version(op, self.value, self.version)
        if isinstance(edge, Tensor):
            return edge
        return Tensor(self.value, node=edge)


def check_version(op: Op, array: Array, version: int) -> None:
    """Raises GradientError if ``array`` was written to since it had this ``version``."""
    if array.version != version:
        raise GradientError(
            f"[backward] a value that the gradient of {op.name} needs was modified in place "
            f"(version {array.version}, want {version}); copy the tensor before writing to it"
        )


def fitting(direction: Tensor, x: Tensor) -> Tensor:
    """A tangent or cotangent of ``x``: real ones become complex where ``x`` is. Raises DTypeError
    for complex ones of a real tensor."""
    from polyback.frontend.functions.elementwise import cast

    kinds = (direction.dtype.kind, x.dtype.kind)
    if kinds[0] == kinds[1] or "complex" not in kinds:
        return direction
    if kinds[0] == "complex":
        raise DTypeError(
            f"[backward] a cotangent of type {direction.dtype} for {x.dtype}; want real"
        )
    return cast(direction, x.dtype)


def backward(
    roots: Iterable[tuple[Tensor, Tensor]],
    stop: set[int] | None = None,
    *,
    release: bool = False,
) -> dict[int, tuple[Any, Tensor]]:
    """Gradients from (tensor, cotangent) roots, as ``id(edge) -> (edge, gradient)``.

    Without ``stop``: of every leaf reached. With ``stop``, ids of edges: of those, and the search
    goes no deeper there. ``release`` frees what each node saved once it is done.
    """
    sums: dict[int, tuple[Any, Tensor]] = {}  # of leaves and stops: the results
    pending: dict[int, Tensor] = {}  # of nodes still to be visited
    heap: list[tuple[int, Node]] = []

    def send(edge: Any, gradient: Tensor) -> None:
        key = id(edge)
        if (stop is not None and key in stop) or not isinstance(edge, Node):
            if stop is None or key in stop:
                sums[key] = (edge, sums[key][1] + gradient if key in sums else gradient)
        elif key in pending:
            pending[key] = pending[key] + gradient
        else:
            pending[key] = gradient
            heapq.heappush(heap, (-edge.number, edge))

    for tensor, cotangent in roots:
        if tensor.edge is not None:
            send(tensor.edge, fitting(cotangent, tensor))
    while heap:
        node = heapq.heappop(heap)[1]
        gradient = pending.pop(id(node))
        y, operands = node.values()
        for k, edge in enumerate(node.edges):
            if edge is not None:
                part = node.op.gradient(k, gradient, y, *operands)
                send(edge, _unbroadcast(part, node.shapes[k]))
        if release:
            node.release()
    return sums


def settled(gradients: Iterable[Tensor], cotangent: Tensor) -> list[Tensor]:
    """``gradients`` to be handed out: where several, or one and ``cotangent``, are the same memory,
    or elements of one are, they are copied, so that each may be written to in place."""
    from polyback.frontend.functions.elementwise import copied

    taken, result = {_memory(cotangent)}, []
    for g in gradients:
        if g.edge is None and (_memory(g) in taken or g.array.view.has_overlap):
            g = copied(g)
        taken.add(_memory(g))
        result.append(g)
    return result


def _memory(x: Tensor) -> int:
    return id(x.array.pending or x.array.storage)


def _unbroadcast(gradient: Tensor, shape: tuple[int, ...] | None) -> Tensor:
    """Sum over the axes that broadcasting added or stretched; repeat where a rule gave less."""
    sizes = gradient.array.view.shape
    if shape is None or sizes == shape:
        return gradient
    new = len(sizes) - len(shape)
    if new > 0 and sizes[new:] == shape and not _ENABLED.get() and gradient.dtype in SUM.takes:
        from polyback.frontend.tensor import Tensor

        return Tensor(reduce(SUM, gradient.array, tuple(range(new)), keepdims=False))
    from polyback.frontend.functions import broadcast_to, reshape, sum

    stretched = tuple([k for k, n in enumerate(sizes) if k < new or (shape[k - new] == 1 != n)])
    if stretched:
        gradient = sum(gradient, axis=stretched, keepdims=stretched[-1] >= new)
        gradient = reshape(gradient, gradient.shape[-len(shape) :] if shape else ())
    return broadcast_to(gradient, shape)


def subgraph(outputs: Iterable[Tensor], stop: set[int]) -> tuple[list[Node], list[Tensor]]:
    """All nodes below ``outputs`` in order of creation, and the leaves; ``stop`` edges end it."""
    nodes: dict[int, Node] = {}
    leaves: dict[int, Tensor] = {}
    stack: list[Any] = [t.edge for t in outputs if t.edge is not None]
    while stack:
        edge = stack.pop()
        if id(edge) in nodes or id(edge) in leaves or id(edge) in stop:
            continue
        if isinstance(edge, Node):
            nodes[id(edge)] = edge
            stack.extend(e for e in edge.edges if e is not None)
        else:
            leaves[id(edge)] = edge
    return sorted(nodes.values(), key=lambda n: n.number), list(leaves.values())


def push_forward(outputs: Iterable[Tensor], known: dict[int, Tensor]) -> dict[int, Tensor]:
    """Tangents by edge, from those in ``known`` on: each operation below ``outputs`` pushes them
    on, in order of execution."""
    from polyback.frontend.functions import broadcast_to

    nodes, _ = subgraph(outputs, set(known))
    for node in nodes:
        parts = [None if e is None else known.get(id(e)) for e in node.edges]
        if any(p is not None for p in parts):
            value, operands = node.values()
            tangent = node.op.tangent(parts, value, *operands)
            if tangent.shape != node.shape:  # of an operand that was broadcast
                tangent = broadcast_to(tangent, node.shape)
            known[id(node)] = tangent
    return known
