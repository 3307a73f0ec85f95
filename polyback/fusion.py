"""Fusion: elementwise work is written down first and run when somebody needs the numbers.

``array.apply`` makes a :class:`Pending` node instead of launching. A node runs, together with all
nodes below it, as ONE Program when its contents are needed: by a download, a reduction, a matmul, a
view, a write to a buffer that it reads, or when the expression has grown to MAX_NODES. Nodes whose
arrays are still alive elsewhere become outputs of the same Program, so nothing is computed twice.

Only nodes of one shape join; an operand of another shape is evaluated first and broadcast.
``configure(fuse=False)`` runs every node at once; nothing else differs.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Final, final

from polyback.device import Operand
from polyback.dtype import DType
from polyback.program import Input, Instr, Number, Program, copy_program
from polyback.runtime import Device, Storage, launch_program
from polyback.scalar import Scalar
from polyback.view import Shape, View

if TYPE_CHECKING:
    from polyback.array import Array

MAX_NODES: Final = 24  # of one expression: bounds compile time, registers and kernel arguments
MAX_LEAVES: Final = 16
CHEAP_ULP: Final = 2.5  # rows with a larger error bound are transcendental: not worth repeating


@final
class Leaf:
    """Stored numbers as an expression reads them: a storage and a view of the node's shape."""

    __slots__ = ("dtype", "storage", "view")

    def __init__(self, storage: Storage, view: View, dtype: DType) -> None:
        self.storage, self.view, self.dtype = storage, view, dtype


@final
class Pending:
    """``row`` applied to pending nodes, leaves and numbers; ``storage`` once it has run."""

    __slots__ = ("__weakref__", "args", "cheap", "device", "dtype", "leaves", "nodes", "owner",
                 "parents", "row", "shape", "storage")  # fmt: skip

    def __init__(
        self,
        device: Device,
        row: Scalar,
        args: tuple[Pending | Leaf | Number, ...],
        dtype: DType,
        shape: Shape,
    ) -> None:
        self.device, self.row, self.args, self.dtype, self.shape = device, row, args, dtype, shape
        self.storage: Storage | None = None
        self.owner: weakref.ref[Array] | None = None
        self.nodes, self.leaves, self.parents = 1, 0, 0
        self.cheap = row.ulp <= CHEAP_ULP
        for arg in args:
            if isinstance(arg, Pending):
                self.nodes += arg.nodes
                self.leaves += arg.leaves
                arg.parents += 1
                self.cheap = self.cheap and arg.cheap
            else:
                self.leaves += 1
                if isinstance(arg, Leaf):
                    _add_reader(arg.storage, self)

    @property
    def is_owned(self) -> bool:
        """Is the array of this node still in use?"""
        return self.owner is not None and self.owner() is not None


def _add_reader(storage: Storage, node: Pending) -> None:
    readers = storage.readers
    if len(readers) >= 64:  # forget those that are gone or done, so that the list stays short
        alive = [r for r in readers if (n := r()) is not None and n.storage is None]
        readers[:] = alive
    readers.append(weakref.ref(node))


@final
class _Writer:
    """Collects an expression into the parts of a Program. Runs at every launch, so it is lean:
    value k is input k where k >= 0, else instruction -1 - k."""

    __slots__ = ("instrs", "kinds", "names", "nodes", "values")

    def __init__(self, root: Pending) -> None:
        self.kinds: list[DType | tuple[DType]] = []  # of the inputs; a tuple marks a number
        self.values: list[Leaf | Number] = []  # what to pass for each input
        self.nodes: list[Pending] = []  # in order of evaluation
        self.names: dict[Any, int] = {}  # id of a node, or key of an input -> value
        self.instrs: list[tuple[Scalar, tuple[int, ...], DType]] = []
        self._add(root)

    def _add(self, node: Pending) -> int:
        """Append ``node`` after everything it needs."""
        known = self.names.get(id(node))
        if known is not None:
            return known
        args = []
        for arg in node.args:
            if isinstance(arg, Pending):
                if arg.storage is None:
                    args.append(self._add(arg))
                    continue
                arg = Leaf(arg.storage, View.contiguous(arg.shape), arg.dtype)
            args.append(self._input(arg, node))
        self.nodes.append(node)
        self.instrs.append((node.row, tuple(args), node.dtype))
        number = self.names[id(node)] = -len(self.nodes)
        return number

    def _input(self, arg: Leaf | Number, node: Pending) -> int:
        kind: DType | tuple[DType]
        if isinstance(arg, Leaf):
            kind = arg.dtype
            key: Any = (id(arg.storage), arg.view, kind)
        else:
            kind = (_number_dtype(node),)
            key = (type(arg), repr(arg), kind)
        found = self.names.get(key)
        if found is None:
            found = self.names[key] = len(self.kinds)
            self.kinds.append(kind)
            self.values.append(arg)
        return found

    def program(self, outputs: list[Pending]) -> Program:
        """The Program with ``outputs``, from the cache if it has been seen."""
        wanted = tuple(self.names[id(node)] for node in outputs)
        key = (tuple(self.kinds), tuple(self.instrs), wanted)
        found = _PROGRAMS.get(key)
        if found is None:
            if len(_PROGRAMS) >= 4096:
                _PROGRAMS.clear()
            found = _PROGRAMS[key] = _program(*key)
        return found

    def operands(self) -> list[Operand | Number]:
        """What to pass for the inputs."""
        return [
            Operand(v.storage.buffer, v.dtype, v.view) if isinstance(v, Leaf) else v
            for v in self.values
        ]


_PROGRAMS: Final[dict[Any, Program]] = {}


def _program(kinds: Any, instrs: Any, wanted: tuple[int, ...]) -> Program:
    first = len(kinds)

    def number(k: int) -> int:
        return k if k >= 0 else first - 1 - k

    return Program(
        tuple(Input(k[0], scalar=True) if isinstance(k, tuple) else Input(k) for k in kinds),
        tuple(Instr(row, tuple(map(number, args)), dtype) for row, args, dtype in instrs),
        tuple(map(number, wanted)),
    ).check()


def _number_dtype(node: Pending) -> DType:
    """Numbers take the type of the node's other operands (a WHERE's condition is not one)."""
    if node.row.gives == "same":
        return node.dtype
    for arg in reversed(node.args):
        if isinstance(arg, (Pending, Leaf)):
            return arg.dtype
    return node.dtype


def collect(root: Pending) -> tuple[Program, list[Operand | Number]]:
    """The Program of ``root`` alone and its inputs, for a consumer that runs it itself."""
    writer = _Writer(root)
    return writer.program([root]), writer.operands()


def is_cheap(root: Pending) -> bool:
    """Is running the expression again cheaper than storing and loading its result?"""
    return root.cheap and root.nodes <= 8


def evaluate(root: Pending) -> Storage:
    """Run ``root`` and everything below it; returns its storage (row-major, dense)."""
    if root.storage is not None:
        return root.storage
    writer = _Writer(root)
    outputs = [n for n in writer.nodes if n is root or n.is_owned] if root.nodes > 1 else [root]
    view, outs, storages = View.contiguous(root.shape), [], []
    for node in outputs:
        storage = Storage(root.device, view.size * node.dtype.itemsize)
        storages.append(storage)
        outs.append(Operand(storage.buffer, node.dtype, view))
    if view.size:
        launch_program(root.device, writer.program(outputs), outs, writer.operands())
    for node, storage in zip(outputs, storages, strict=True):
        node.storage = storage
        node.args = ()  # lets go of what was read
    return storages[-1]  # the root is evaluated last


def evaluate_into(root: Pending, storage: Storage, view: View) -> None:
    """Run ``root`` with its result written to ``view`` of ``storage``, which it may read there."""
    if _reads_other_view(root, storage, view):
        source = Leaf(evaluate(root), View.contiguous(root.shape), root.dtype)
        before_write(storage)
        copy_leaf(source, storage, view)
        return
    for node in _readers_below(root, storage):  # while what they read is still there
        if node is not root and node.storage is None and (node.is_owned or node.parents > 1):
            evaluate(node)
    writer = _Writer(root)
    before_write(storage, {id(n) for n in writer.nodes})
    if 0 not in view.shape:
        out = Operand(storage.buffer, root.dtype, view)
        launch_program(root.device, writer.program([root]), [out], writer.operands())


def copy_leaf(source: Leaf, storage: Storage, view: View) -> None:
    """Copy stored numbers of one type to ``view`` of ``storage``; they must not overlap."""
    if 0 in view.shape:
        return
    outs = [Operand(storage.buffer, source.dtype, view)]
    ins = [Operand(source.storage.buffer, source.dtype, source.view.expand(view.shape))]
    launch_program(storage.device, copy_program(source.dtype, source.dtype), outs, ins)


def _nodes(root: Pending) -> list[Pending]:
    return _Writer(root).nodes


def _readers_below(root: Pending, storage: Storage) -> list[Pending]:
    """The nodes of the expression that read ``storage``, directly or through others."""
    found: dict[int, Pending] = {}
    for node in _nodes(root):
        if any(
            id(arg) in found if isinstance(arg, Pending) else getattr(arg, "storage", 0) is storage
            for arg in node.args
        ):
            found[id(node)] = node
    return list(found.values())


def _reads_other_view(root: Pending, storage: Storage, view: View) -> bool:
    return any(
        isinstance(v, Leaf)
        and v.storage is storage
        and (v.view != view or v.dtype is not root.dtype)
        for v in _Writer(root).values
    )


def before_write(storage: Storage, but: set[int] | None = None) -> None:
    """Evaluate every expression that still has to read ``storage``; ``but`` are ids to leave."""
    for reference in storage.readers:
        node = reference()
        if node is not None and node.storage is None and not (but and id(node) in but):
            evaluate(node)
    storage.readers.clear()
