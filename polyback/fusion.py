"""Fusion: elementwise work is written down first and run when somebody needs the numbers.

``array.apply`` makes a :class:`Pending` node instead of launching. A node runs, together with all
nodes below it, as ONE Program when its contents are needed: by a download, a reduction, a matmul, a
view, a write to a buffer that it reads, or when the expression has grown to MAX_NODES. Nodes whose
arrays are still alive elsewhere become outputs of the same Program, so nothing is computed twice.

A matrix product of a device with the feature ``gemm_epilogue`` waits too, as a node of its own: an
expression that is all that reads it is computed with it in one launch, and the product itself is
never stored.

Only nodes of one shape join; an operand of another shape is evaluated first and broadcast.
``configure(fuse=False)`` runs every node at once; nothing else differs but, at times, a rounding.

Every operation passes through here, so the code is lean: a Leaf is the Operand itself, a node that
has run is a Leaf, and a launch is found by the flat list of rows, types, value numbers and strides
that describes it: known ones go straight to what the device prepared for them.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from polyback.composite import Composite
from polyback.config import CHANGED
from polyback.device import Operand
from polyback.dtype import DType
from polyback.program import Input, Instr, Number, Program, copy_program
from polyback.runtime import Device, Storage, launch, launch_program, report
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
_Run = Callable[[list["Pending"], Sequence[Operand]], None]  # (outputs, outs)
_NO_ARRAY: Final[Any] = lambda: None  # noqa: E731  (a reference to nothing)


@dataclass(slots=True, eq=False)
class Leaf(Operand):
    """Stored numbers as an expression reads them: the operand of a kernel, and the storage that the
    buffer belongs to."""

    storage: Storage

    @classmethod
    def of(cls, storage: Storage, view: View, dtype: DType) -> Leaf:
        """``storage`` read as ``dtype`` through ``view``."""
        return Leaf(storage.buffer, dtype, view, storage)


@final
class Pending(Leaf):
    """``row`` applied to pending nodes, leaves and numbers. Once it has run it is a leaf like any
    other, dense and row-major as ``view`` says; until then ``storage`` is None. ``readers`` are the
    expressions that still have to read it (see :class:`Storage`)."""

    __slots__ = ("__weakref__", "args", "device", "leaves", "nodes", "owner", "readers", "row")

    storage: Any  # None: to be run

    def __init__(
        self,
        device: Device,
        row: Scalar | Composite,
        args: Sequence[Leaf | Number],
        dtype: DType,
        view: View,
    ) -> None:
        self.device, self.row, self.args, self.dtype, self.view = device, row, args, dtype, view
        self.storage = None
        self.owner: weakref.ref[Array] = _NO_ARRAY
        self.readers: list[weakref.ref[Pending]] = []
        nodes, leaves, me = row.nodes, 0, weakref.ref(self)
        for arg in args:
            if not isinstance(arg, Leaf):
                leaves += 1
            elif (storage := arg.storage) is not None:
                leaves += storage.weight
                readers = storage.readers
                if (count := len(readers)) >= 64 and not count & (count - 1):  # now and then
                    _forget_done(readers)
                readers.append(me)
            else:
                node: Any = arg
                nodes += node.nodes
                leaves += node.leaves
                node.readers.append(me)
        self.nodes, self.leaves = nodes, leaves


def _forget_done(readers: list[weakref.ref[Pending]]) -> None:
    """Drop those that are gone or have run, so that the list stays short. Another thread may add
    one meanwhile, at the end; one that would drop some too leaves it."""
    if _FORGETTING.acquire(blocking=False):
        known = len(readers)
        readers[:known] = [
            r for r in readers[:known] if (n := r()) is not None and n.storage is None
        ]
        _FORGETTING.release()


@final
class _Writer:
    """Writes an expression down as the key of its Program, and of its launch.

    ``code`` starts with shape and strides of what is written. Then it holds row and type of each
    instruction, and for each operand: strides and type of an array that is a new input, None for a
    number, which always is, or what came before: k for input k, -1 - k for instruction k.
    ``products`` are the places of inputs that have not been multiplied.
    """

    __slots__ = ("code", "names", "nodes", "products", "values")

    def __init__(self, view: View) -> None:
        self.code: list[Any] = [view.shape, view.strides]
        self.values: list[Any] = []  # what to pass for each input: a Leaf, a number, a product
        self.products: tuple[int, ...] = ()
        self.nodes: list[Pending] = []  # in order of evaluation
        self.names: dict[Leaf, int] = {}

    def add(self, node: Pending) -> _Writer:
        """Append ``node`` after everything it needs."""
        args = node.args
        names, code, values = self.names, self.code, self.values
        if node.nodes > 1:
            for arg in args:
                if type(arg) is not Pending or arg.storage is not None or arg in names:
                    continue
                if arg.row is not PRODUCT:
                    self.add(arg)
        code += (node.row, node.dtype)
        for x in args:
            if not isinstance(x, Leaf):
                code.append(None)
                values.append(x)
            elif x in names:
                code.append(names[x])
            else:
                if x.storage is None:  # a product
                    self.products += (len(values),)
                names[x] = len(values)
                values.append(x)
                code += (x.view.strides, x.dtype)
        self.nodes.append(node)
        names[node] = -len(self.nodes)
        return self

    def launch(self, outputs: list[Pending], outs: Sequence[Operand]) -> None:
        """Run the expression; its ``outputs`` are written to ``outs``, which share a view."""
        code, values, device = self.code, self.values, outputs[0].device
        if len(outputs) > 1:  # else it is the last instruction
            code = [*code, *[self.names[node] for node in outputs]]
        found = device.prepared.get(key := tuple(code))
        if found is None:
            found = device.prepare(key, self.program(outputs), outs, values)
        if "debug" in CHANGED:
            report(device, "elementwise", outs, values, found.program)
        found.run(outs, values)

    def program(self, outputs: list[Pending]) -> Program:
        """The Program with ``outputs``, from the cache if it has been seen."""
        wanted = [self.names[node] for node in outputs]
        code = [part for part in self.code if type(part) is not tuple]  # without the layouts
        found = _PROGRAMS.get(key := (*code, *wanted))
        if found is None:
            if len(_PROGRAMS) >= 4096:
                _PROGRAMS.clear()
            found = _PROGRAMS[key] = _program(code, wanted)
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
    writer = _Writer(root.view).add(root)
    return writer.program([root]), writer.values


def is_cheap(root: Pending) -> bool:
    """Is running the expression again cheaper than storing and loading its result?"""
    if root.nodes > CHEAP_NODES or root.row.ulp > CHEAP_ULP:
        return False
    return all(arg.storage or is_cheap(arg) for arg in root.args if type(arg) is Pending)


def evaluate(root: Pending) -> None:
    """Run ``root`` and everything below it: it is a leaf afterwards (row-major, dense)."""
    device = root.device
    with device.lock:  # no node runs twice, and no write comes between
        if root.storage is not None:
            return
        if root.nodes == 1 and root.row is not PRODUCT and _evaluate_alone(root, device):
            return
        run: _Run = _multiply
        outputs = [root]
        if root.row is not PRODUCT:
            writer = _Writer(root.view).add(root)
            if len(writer.nodes) > 1:
                outputs = [n for n in writer.nodes if n is root or n.owner() is not None]
            run = _with_products(writer, outputs) if writer.products else writer.launch
        size, storages = root.view.size, []
        for node in outputs:
            storage = Storage(device, size * node.dtype.itemsize)
            storages.append(storage)
            node.buffer = storage.buffer
        if size:
            run(outputs, outputs)
        for node, storage in zip(outputs, storages, strict=True):
            storage.readers = node.readers  # a write to the numbers must wait for them now
            node.storage = storage
            node.args = ()  # lets go of what was read


def _evaluate_alone(root: Pending, device: Device) -> bool:
    """The same for one operation that reads no number twice, the usual case where each result is
    asked for at once: half the bookkeeping, with the same key. False: not done."""
    view, args = root.view, root.args
    code: list[Any] = [view.shape, view.strides, root.row, root.dtype]
    for x in args:
        if isinstance(x, Leaf):
            code += (x.view.strides, x.dtype)
        else:
            code.append(None)
    if len({*map(id, args)}) < len(args):
        return False
    found = device.prepared.get(tuple(code))
    if found is None or "debug" in CHANGED:
        return False
    size = view.size
    storage = Storage(device, size * root.dtype.itemsize)
    root.buffer = storage.buffer
    if size:
        found.run((root,), args)
    storage.readers = root.readers  # a write to the numbers must wait for them now
    root.storage = storage
    root.args = ()
    return True


def _multiply(nodes: list[Pending], outs: Sequence[Operand]) -> None:
    """Run a product by itself."""
    (node,) = nodes
    args: Any = node.args
    launch(node.device, f"matmul {node.dtype}", True,
           lambda protocol, o, i: protocol.matmul(*o, *i), outs, args)  # fmt: skip


def _with_products(writer: _Writer, outputs: list[Pending]) -> _Run:
    """How to run an expression that reads products: the last of them together with it, if nobody
    else needs that product; all others have run by themselves when this returns."""
    place = writer.products[-1]
    product: Pending = writer.values[place]
    others = [n for r in product.readers if (n := r()) is not None and n.storage is None]
    alone = product.owner() is None and all(n in writer.nodes for n in others)
    fused = len(outputs) == 1 and alone and not product.device.missing(writer.program(outputs))
    for k in writer.products[:-1] if fused else writer.products:
        evaluate(writer.values[k])
    return partial(_multiply_fused, writer, place) if fused else writer.launch


def _multiply_fused(
    writer: _Writer, place: int, outputs: list[Pending], outs: Sequence[Operand]
) -> None:
    """Run an expression and the product that is input ``place`` of it in one launch."""
    product: Pending = writer.values[place]
    args: Any = product.args
    feature: Any = product.device.protocol
    program = writer.program(outputs)
    ins = [*writer.values[:place], None, *writer.values[place + 1 :]]
    launch(product.device, f"matmul {product.dtype}, then a program", True,
           lambda _, o, i: feature.matmul_fused(*o, *i, program, ins), outs, args)  # fmt: skip


def evaluate_into(root: Pending, storage: Storage, view: View) -> None:
    """Run ``root`` with its result written to ``view`` of ``storage``, which it may read there."""
    if root.row is not PRODUCT:
        writer = _Writer(view).add(root)
        for k in writer.products:
            evaluate(writer.values[k])
    if root.row is PRODUCT or _reads_other_view(writer, root, storage, view):
        evaluate(root)
        before_write(storage)
        copy_leaf(root, storage, view)
        return
    needed = [  # by others too: made while what they read is still there
        node
        for node in _readers_below(writer, storage)
        if node is not root and (node.owner() is not None or len(node.readers) > 1)
    ]
    for node in needed:
        evaluate(node)
    if needed:
        writer = _Writer(view).add(root)
    before_write(storage, set(writer.nodes))
    if 0 not in view.shape:
        out = Operand(storage.buffer, root.dtype, view)
        writer.launch([root], [out])


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
            if arg in found or (isinstance(arg, Leaf) and arg.storage is storage):
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
        if node is not None and node.storage is None and node not in but:
            evaluate(node)
