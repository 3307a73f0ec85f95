"""Fusion: elementwise work is written down first and run when somebody needs the numbers.

``array.apply`` makes a :class:`Pending` node instead of launching. A node runs, together with all
nodes below it, as ONE Program when its contents are needed: by a download, a reduction, a matmul, a
view, a write to a buffer that it reads, or when the expression has grown to MAX_NODES. Nodes whose
arrays are still alive elsewhere become outputs of the same Program, so nothing is computed twice.

Only nodes of one shape join; an operand of another shape is evaluated first and broadcast.
``configure(fuse=False)`` runs every node at once; nothing else differs.

Every operation passes through here, so the code is lean: a Leaf keeps its Operand, and a Program is
found by the flat list of rows, types and value numbers that describes the expression.
"""

from __future__ import annotations

import weakref
from threading import Lock
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
CHEAP_NODES: Final = 8
_PROGRAMS: Final[dict[tuple[Any, ...], Program]] = {}
_FORGETTING: Final = Lock()
_NO_ARRAY: Final[Any] = lambda: None  # noqa: E731  (a reference to nothing)


@final
class Leaf:
    """Stored numbers as an expression reads them: a storage, and how a kernel reads it."""

    __slots__ = ("dtype", "operand", "storage", "view")

    def __init__(self, storage: Storage, view: View, dtype: DType) -> None:
        self.storage, self.view, self.dtype = storage, view, dtype
        self.operand = Operand(storage.buffer, dtype, view)


@final
class Pending:
    """``row`` applied to pending nodes, leaves and numbers; ``leaf`` holds the result once it has
    run. ``readers`` are the expressions that still have to read it (see :class:`Storage`)."""

    __slots__ = ("__weakref__", "args", "device", "dtype", "leaf", "leaves", "nodes", "owner",
                 "readers", "row", "shape")  # fmt: skip

    nodes: int
    leaves: int

    def __init__(
        self,
        device: Device,
        row: Scalar,
        args: tuple[Pending | Leaf | Number, ...],
        dtype: DType,
        shape: Shape,
    ) -> None:
        self.device, self.row, self.args, self.dtype, self.shape = device, row, args, dtype, shape
        self.leaf: Leaf | None = None
        self.owner: weakref.ref[Array] = _NO_ARRAY
        self.readers: list[weakref.ref[Pending]] = []
        nodes, leaves, me = 1, 0, weakref.ref(self)
        for arg in args:
            if type(arg) is Leaf:
                storage = arg.storage
                leaves += storage.weight
                readers = storage.readers
                if len(readers) >= 64:
                    _forget_done(readers)
                readers.append(me)
            elif type(arg) is Pending:
                nodes += arg.nodes
                leaves += arg.leaves
                arg.readers.append(me)
            else:
                leaves += 1
        self.nodes, self.leaves = nodes, leaves


def _forget_done(readers: list[weakref.ref[Pending]]) -> None:
    """Drop those that are gone or have run, so that the list stays short. Another thread may add
    one meanwhile, at the end; one that would drop some too leaves it."""
    if _FORGETTING.acquire(blocking=False):
        known = len(readers)
        readers[:known] = [r for r in readers[:known] if (n := r()) is not None and n.leaf is None]
        _FORGETTING.release()


@final
class _Writer:
    """Collects an expression into the parts of a Program. Value k is input k where k >= 0, else
    instruction -1 - k."""

    __slots__ = ("code", "kinds", "names", "nodes", "values")

    def __init__(self, root: Pending) -> None:
        self.kinds: list[DType | tuple[DType]] = []  # of the inputs; a tuple marks a number
        self.values: list[Leaf | Number] = []  # what to pass for each input
        self.nodes: list[Pending] = []  # in order of evaluation
        self.names: dict[int, int] = {}  # id of a node or leaf -> value
        self.code: list[Any] = []  # row, type and operands of each instruction, one after the other
        self._add(root)

    def _add(self, node: Pending) -> int:
        """Append ``node`` after everything it needs."""
        names, args = self.names, []
        for arg in node.args:
            if type(arg) is Pending:
                if arg.leaf is None:
                    known = names.get(id(arg))
                    args.append(self._add(arg) if known is None else known)
                    continue
                arg = arg.leaf
            if type(arg) is Leaf:
                known = names.get(id(arg))
                if known is None:
                    known = names[id(arg)] = len(self.values)
                    self.kinds.append(arg.dtype)
                    self.values.append(arg)
                args.append(known)
            else:
                args.append(len(self.values))
                self.kinds.append((_number_dtype(node),))
                self.values.append(arg)
        self.nodes.append(node)
        self.code += (node.row, node.dtype, *args)
        number = names[id(node)] = -len(self.nodes)
        return number

    def program(self, outputs: list[Pending]) -> Program:
        """The Program with ``outputs``, from the cache if it has been seen."""
        wanted = [self.names[id(node)] for node in outputs]
        key = (*self.code, None, *self.kinds, None, *wanted)
        found = _PROGRAMS.get(key)
        if found is None:
            if len(_PROGRAMS) >= 4096:
                _PROGRAMS.clear()
            found = _PROGRAMS[key] = _program(self.code, self.kinds, wanted)
        return found

    def operands(self) -> list[Operand | Number]:
        """What to pass for the inputs."""
        return [v.operand if type(v) is Leaf else v for v in self.values]


def _program(code: list[Any], kinds: list[Any], wanted: list[int]) -> Program:
    first, instrs, spot = len(kinds), [], 0

    def number(k: int) -> int:
        return k if k >= 0 else first - 1 - k

    while spot < len(code):
        row, dtype = code[spot : spot + 2]
        spot += 2 + row.arity
        args = tuple(number(k) for k in code[spot - row.arity : spot])
        instrs.append(Instr(row, args, dtype))
    return Program(
        tuple(Input(k[0], scalar=True) if isinstance(k, tuple) else Input(k) for k in kinds),
        tuple(instrs),
        tuple(number(k) for k in wanted),
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
    if root.nodes > CHEAP_NODES or root.row.ulp > CHEAP_ULP:
        return False
    return all(arg.leaf or is_cheap(arg) for arg in root.args if type(arg) is Pending)


def evaluate(root: Pending) -> Leaf:
    """Run ``root`` and everything below it; returns its numbers (row-major, dense)."""
    with root.device.lock:  # no node runs twice, and no write comes between
        return _evaluate(root)


def _evaluate(root: Pending) -> Leaf:
    if root.leaf is not None:
        return root.leaf
    writer = _Writer(root)
    outputs = [n for n in writer.nodes if n is root or n.owner() is not None]
    view, leaves = View.contiguous(root.shape), []
    for node in outputs:
        storage = Storage(root.device, view.size * node.dtype.itemsize)
        leaves.append(Leaf(storage, view, node.dtype))
    if view.size:
        outs = [leaf.operand for leaf in leaves]
        launch_program(root.device, writer.program(outputs), outs, writer.operands())
    for node, leaf in zip(outputs, leaves, strict=True):
        node.leaf = leaf
        node.args = ()  # lets go of what was read
        leaf.storage.readers = node.readers  # a write to the numbers must wait for them now
    return leaves[-1]  # the root is evaluated last


def evaluate_into(root: Pending, storage: Storage, view: View) -> None:
    """Run ``root`` with its result written to ``view`` of ``storage``, which it may read there."""
    writer = _Writer(root)
    if _reads_other_view(writer, root, storage, view):
        source = evaluate(root)
        before_write(storage)
        copy_leaf(source, storage, view)
        return
    needed = [  # by others too: made while what they read is still there
        node
        for node in _readers_below(writer, storage)
        if node is not root and (node.owner() is not None or len(node.readers) > 1)
    ]
    for node in needed:
        evaluate(node)
    if needed:
        writer = _Writer(root)
    before_write(storage, {id(n) for n in writer.nodes})
    if 0 not in view.shape:
        out = Operand(storage.buffer, root.dtype, view)
        launch_program(root.device, writer.program([root]), [out], writer.operands())


def share(storage: Storage) -> None:
    """Others may write to the buffer from now on: what reads it runs now, and later at once."""
    with storage.device.lock:
        before_write(storage)
        storage.weight = MAX_LEAVES + 1


def copy_leaf(source: Leaf, storage: Storage, view: View) -> None:
    """Copy stored numbers of one type to ``view`` of ``storage``; they must not overlap."""
    if 0 in view.shape:
        return
    outs = [Operand(storage.buffer, source.dtype, view)]
    ins = [Operand(source.storage.buffer, source.dtype, source.view.expand(view.shape))]
    launch_program(storage.device, copy_program(source.dtype, source.dtype), outs, ins)


def _readers_below(writer: _Writer, storage: Storage) -> list[Pending]:
    """The nodes of the expression that read ``storage``, directly or through others."""
    found: dict[int, Pending] = {}
    for node in writer.nodes:
        for arg in node.args:
            leaf = arg.leaf if isinstance(arg, Pending) else arg
            if id(arg) in found or (isinstance(leaf, Leaf) and leaf.storage is storage):
                found[id(node)] = node
    return list(found.values())


def _reads_other_view(writer: _Writer, root: Pending, storage: Storage, view: View) -> bool:
    return any(
        isinstance(v, Leaf)
        and v.storage is storage
        and (v.view != view or v.dtype is not root.dtype)
        for v in writer.values
    )


def before_write(storage: Storage, but: set[int] | None = None) -> None:
    """Evaluate every expression that still has to read ``storage``; ``but`` are ids to leave. The
    caller holds the device's lock until it has written."""
    readers, storage.readers = storage.readers, []
    for reference in readers:
        node = reference()
        if node is not None and node.leaf is None and not (but and id(node) in but):
            evaluate(node)
