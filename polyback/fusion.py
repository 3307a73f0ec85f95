"""Fusion: elementwise work is written down first and run when somebody needs the numbers.

``array.apply`` makes a :class:`Pending` node instead of launching. A node runs, together with all
nodes below it, as ONE Program when its contents are needed: by a download, a reduction, a matmul, a
view, a write to a buffer that it reads, or when the expression has grown to MAX_NODES. Nodes whose
arrays are still alive elsewhere become outputs of the same Program, so nothing is computed twice.

A matrix product of a device with the feature ``gemm_epilogue`` waits too, as a node of its own: an
expression that is all that reads it is computed with it in one launch, and the product itself is
never stored.

Only nodes of one shape join; an operand of another shape is evaluated first and broadcast.
``configure(fuse=False)`` runs every node at once; nothing else differs.

Every operation passes through here, so the code is lean: a Leaf is the Operand itself, and a
Program is found by the flat list of rows, types and value numbers that describes the expression.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Container, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from polyback.composite import Composite
from polyback.device import Operand
from polyback.dtype import DType
from polyback.program import Input, Instr, Number, Program, copy_program
from polyback.runtime import Device, Storage, launch, launch_program
from polyback.scalar import Scalar
from polyback.view import View

if TYPE_CHECKING:
    from polyback.array import Array

MAX_NODES: Final = 24  # of one expression: bounds compile time, registers and kernel arguments
MAX_LEAVES: Final = 16
CHEAP_ULP: Final = 2.5  # rows with a larger error bound are transcendental: not worth repeating
CHEAP_NODES: Final = 8
# The row of a node that is a matrix product. Its result is an input of the programs that read it.
PRODUCT: Final = Scalar("matmul", 2, frozenset(), "", np.matmul, ulp=math.inf)
_PROGRAMS: Final[dict[tuple[Any, ...], Program]] = {}
_FORGETTING: Final = Lock()
_NO_ARRAY: Final[Any] = lambda: None  # noqa: E731  (a reference to nothing)


@final
@dataclass(slots=True, eq=False)
class Leaf(Operand):
    """Stored numbers as an expression reads them: the operand of a kernel, and the storage that the
    buffer belongs to."""

    storage: Storage

    @classmethod
    def of(cls, storage: Storage, view: View, dtype: DType) -> Leaf:
        """``storage`` read as ``dtype`` through ``view``."""
        return cls(storage.buffer, dtype, view, storage)


@final
class Pending:
    """``row`` applied to pending nodes, leaves and numbers; ``leaf`` holds the result once it has
    run, dense and row-major as ``view`` says. ``readers`` are the expressions that still have to
    read it (see :class:`Storage`)."""

    __slots__ = ("__weakref__", "args", "device", "dtype", "leaf", "leaves", "nodes", "owner",
                 "readers", "row", "view")  # fmt: skip

    nodes: int
    leaves: int

    def __init__(
        self,
        device: Device,
        row: Scalar | Composite,
        args: Sequence[Pending | Leaf | Number],
        dtype: DType,
        view: View,
    ) -> None:
        self.device, self.row, self.args, self.dtype, self.view = device, row, args, dtype, view
        self.leaf: Leaf | None = None
        self.owner: weakref.ref[Array] = _NO_ARRAY
        self.readers: list[weakref.ref[Pending]] = []
        nodes, leaves, me = row.nodes, 0, weakref.ref(self)
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
    """Writes an expression down as the key of its Program.

    ``code`` holds row and type of each instruction, then for each operand: the type of an array
    that is a new input, None for a number, which always is, or what came before: k for input k,
    -1 - k for instruction k. ``products`` are the places of inputs that have not been multiplied.
    """

    __slots__ = ("code", "names", "nodes", "products", "values")

    def __init__(self, root: Pending) -> None:
        self.code: list[Any] = []
        self.values: list[Any] = []  # what to pass for each input: a Leaf, a number, a product
        self.products: tuple[int, ...] = ()
        self.nodes: list[Pending] = []  # in order of evaluation
        self.names: dict[Any, int] = {}
        self.add(root)

    def add(self, node: Pending) -> None:
        """Append ``node`` after everything it needs."""
        args = node.args
        names, code, values = self.names, self.code, self.values
        if node.nodes > 1:
            for arg in args:
                if type(arg) is not Pending or arg.leaf is not None or arg in names:
                    continue
                if arg.row is not PRODUCT:
                    self.add(arg)
        code += (node.row, node.dtype)
        for arg in args:
            x: Any = arg
            if type(x) is Pending:
                known = names.get(x)
                if known is not None:
                    code.append(known)
                    continue
                if x.leaf is None:
                    self.products += (len(values),)
                    names[x] = len(values)
                    values.append(x)
                    code.append(x.dtype)
                    continue
                x = x.leaf
            if type(x) is Leaf:
                known = names.get(x)
                if known is None:
                    names[x] = len(values)
                    values.append(x)
                    code.append(x.dtype)
                else:
                    code.append(known)
            else:
                code.append(None)
                values.append(x)
        self.nodes.append(node)
        names[node] = -len(self.nodes)

    def program(self, outputs: list[Pending]) -> Program:
        """The Program with ``outputs``, from the cache if it has been seen."""
        code = self.code
        if len(outputs) > 1:  # else it is the last instruction
            code = [*code, *(self.names[node] for node in outputs)]
        found = _PROGRAMS.get(key := tuple(code))
        if found is None:
            if len(_PROGRAMS) >= 4096:
                _PROGRAMS.clear()
            wanted = [self.names[node] for node in outputs]
            found = _PROGRAMS[key] = _program(self.code, wanted)
        return found


def _program(code: list[Any], wanted: list[int]) -> Program:
    inputs: list[Input] = []
    steps: list[tuple[Scalar, list[int], DType, Number | None]] = []
    results: list[int] = []  # of each node: an input, or -1 - k for step k
    spot = 0
    while spot < len(code):
        row, dtype = code[spot : spot + 2]
        spot += 2 + row.arity
        given = [
            results[-1 - k] if isinstance(k, int) and k < 0 else k
            for k in code[spot - row.arity : spot]
        ]
        args, numbers = [], _number_dtypes(row, dtype, given, inputs, steps)
        for k, number in zip(given, numbers, strict=True):
            if isinstance(k, int):
                args.append(k)
                continue
            args.append(len(inputs))
            inputs.append(Input(number, scalar=True) if k is None else Input(k))
        if isinstance(row, Composite):
            results.append(_inserted(row.program, args, steps))
        else:
            steps.append((row, args, dtype, None))
            results.append(-len(steps))
    first = len(inputs)

    def value(k: int) -> int:
        return k if k >= 0 else first - 1 - k

    return Program(
        tuple(inputs),
        tuple(Instr(row, tuple(map(value, args)), dtype, n) for row, args, dtype, n in steps),
        tuple(value(results[-1 - k]) for k in wanted),
    ).check()


def _inserted(program: Program, args: list[int], steps: list[Any]) -> int:
    """Append the instructions of ``program``, applied to ``args``; returns where its result is."""
    values = list(args)
    for instr in program.instrs:
        steps.append((instr.row, [values[a] for a in instr.args], instr.dtype, instr.value))
        values.append(-len(steps))
    return values[program.outputs[0]]


def _number_dtypes(
    row: Scalar | Composite, dtype: DType, given: list[Any], inputs: list[Input], steps: list[Any]
) -> list[DType]:
    """What type a number has in each place: that of the row's other operands (a WHERE's condition
    is not one)."""
    if isinstance(row, Composite):
        return [i.dtype for i in row.program.inputs]
    others = [k for k in given if k is not None]
    if row.gives == "same" or not others or others == given:
        return [dtype] * len(given)
    last = others[-1]  # of an earlier instruction, or new: no such row has three operands
    if isinstance(last, int):
        last = inputs[last].dtype if last >= 0 else steps[-1 - last][2]
    return [last] * len(given)


def collect(root: Pending) -> tuple[Program, list[Leaf | Number]]:
    """The Program of ``root`` alone and its inputs, for a consumer that runs it itself."""
    writer = _Writer(root)
    return writer.program([root]), writer.values


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
    if root.row is PRODUCT:
        return _multiply(root)
    writer = _Writer(root)
    outputs = writer.nodes
    if len(outputs) > 1:
        outputs = [n for n in outputs if n is root or n.owner() is not None]
    device, view, leaves = root.device, root.view, []
    for node in outputs:
        storage, dtype = Storage(device, view.size * node.dtype.itemsize), node.dtype
        leaves.append(Leaf(storage.buffer, dtype, view, storage))
    if view.size:
        program = writer.program(outputs)
        if not writer.products or not _fused(writer, program, leaves):
            launch_program(device, program, leaves, writer.values)
    for node, leaf in zip(outputs, leaves, strict=True):
        _finish(node, leaf)
    return leaves[-1]  # the root is evaluated last


def _finish(node: Pending, leaf: Leaf) -> None:
    node.leaf = leaf
    node.args = ()  # lets go of what was read
    leaf.storage.readers = node.readers  # a write to the numbers must wait for them now


def _multiply(node: Pending) -> Leaf:
    """Run a product by itself."""
    storage = Storage(node.device, node.view.size * node.dtype.itemsize)
    leaf = Leaf(storage.buffer, node.dtype, node.view, storage)
    args: Any = node.args
    launch(node.device, f"matmul {node.dtype}", True,
           lambda protocol, outs, ins: protocol.matmul(outs[0], *ins), [leaf], args)  # fmt: skip
    _finish(node, leaf)
    return leaf


def _multiply_all(writer: _Writer) -> None:
    """Run the products below an expression, each by itself."""
    for k in writer.products:
        writer.values[k] = _evaluate(writer.values[k])
    writer.products = ()


def _fused(writer: _Writer, program: Program, outs: list[Leaf]) -> bool:
    """Run the last product of an expression together with it, if nobody else needs the product; all
    others by themselves."""
    place = writer.products[-1]
    product: Pending = writer.values[place]
    device, inside = product.device, writer.nodes
    others = [n for r in product.readers if (n := r()) is not None and n.leaf is None]
    alone = product.owner() is None and all(n in inside for n in others)
    if len(outs) != 1 or not alone or device.missing(program):
        _multiply_all(writer)
        return False
    writer.products = writer.products[:-1]
    _multiply_all(writer)
    args: Any = product.args
    feature: Any = device.protocol
    ins = [*writer.values[:place], None, *writer.values[place + 1 :]]
    launch(device, f"matmul {product.dtype}, then a program", True,
           lambda _, o, i: feature.matmul_fused(*o, *i, program, ins), outs, args)  # fmt: skip
    return True


def evaluate_into(root: Pending, storage: Storage, view: View) -> None:
    """Run ``root`` with its result written to ``view`` of ``storage``, which it may read there."""
    if root.row is not PRODUCT:
        writer = _Writer(root)
        _multiply_all(writer)
    if root.row is PRODUCT or _reads_other_view(writer, root, storage, view):
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
    before_write(storage, set(writer.nodes))
    if 0 not in view.shape:
        out = Operand(storage.buffer, root.dtype, view)
        launch_program(root.device, writer.program([root]), [out], writer.values)


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
    found: dict[Any, None] = {}  # a set in the order of insertion
    for node in writer.nodes:
        for arg in node.args:
            leaf = arg.leaf if isinstance(arg, Pending) else arg
            if arg in found or (isinstance(leaf, Leaf) and leaf.storage is storage):
                found[node] = None
    return list(found)


def _reads_other_view(writer: _Writer, root: Pending, storage: Storage, view: View) -> bool:
    return any(
        isinstance(v, Leaf)
        and v.storage is storage
        and (v.view != view or v.dtype is not root.dtype)
        for v in writer.values
    )


def before_write(storage: Storage, but: Container[Pending] = ()) -> None:
    """Evaluate every expression that still has to read ``storage``; those in ``but`` are left. The
    caller holds the device's lock until it has written."""
    readers, storage.readers = storage.readers, []
    for reference in readers:
        node = reference()
        if node is not None and node.leaf is None and node not in but:
            evaluate(node)
