"""Einstein sums: products of any number of tensors, summed over the labels that are left out.

A sum over more than two tensors is a chain of sums over two, in the order that ``opt_einsum`` finds
where it is installed (``polyback[einsum]``), else from left to right. A sum over two is one batched
matrix product: labels of both that stay are the batch, labels of both that go are summed.
"""

from __future__ import annotations

import importlib
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from math import prod
from typing import Any, final

from polyback.errors import DTypeError, InvalidArgument, ShapeError
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions.diagonal import diagonal
from polyback.frontend.functions.elementwise import cast, result_type
from polyback.frontend.functions.linalg import matmul
from polyback.frontend.functions.reduction import sum
from polyback.frontend.functions.shape import moveaxis, permute_dims, reshape
from polyback.frontend.tensor import Tensor
from polyback.view import Shape

Labels = tuple[str, ...]  # one for each axis: a letter, or "...3" for the third last of an ellipsis
Path = tuple[tuple[int, ...], ...]


def einsum(equation: str, /, *operands: Tensor) -> Tensor:
    """What ``equation`` writes down: ``"ij,jk->ik"`` is ``y[i, k] = sum_j a[i, j] * b[j, k]``.

    A letter names an axis and has one size (or 1, which broadcasts); a letter twice in one operand
    is its diagonal. Letters not in the result are summed. Without ``->`` the result has the letters
    that occur once, sorted. ``...`` stands for axes that broadcast. Numeric types; differentiable.
    Raises InvalidArgument for an equation that is wrong, ShapeError for sizes that differ.

    >>> import polyback as pb
    >>> x = pb.asarray([[1, 2], [3, 4]])
    >>> pb.einsum("ij,j->i", x, pb.asarray([1, 1])).tolist()
    [3, 7]
    >>> int(pb.einsum("ii", x))
    5
    """
    if not isinstance(equation, str):
        raise InvalidArgument(f"[einsum] got {type(equation).__name__}; want an equation, 'ij->ji'")
    check_tensors("einsum", *operands)
    plan = _plan(equation, tuple(x.shape for x in operands))
    dtype = result_type(*operands)
    if dtype.kind == "bool":
        raise DTypeError("[einsum] does not take bool; want numbers: use astype()")
    terms = [
        _prepared(cast(x, dtype.compute), labels, plan)
        for x, labels in zip(operands, plan.inputs, strict=True)
    ]
    for group in plan.path:
        first, *chosen = (terms[k] for k in group)
        terms = [t for k, t in enumerate(terms) if k not in group]
        while chosen:
            second, *chosen = chosen
            needed = {label for t in (*terms, *chosen) for label in t.labels}.union(plan.output)
            first = _contract(first, second, needed)
        terms.append(first)
    (term,) = terms
    term = _summed(term, set(plan.output))
    order = [term.labels.index(label) for label in plan.output]
    return cast(permute_dims(term.x, order), dtype)


# --- reading the equation -----------------------------------------------------------------------


@final
@dataclass(frozen=True)
class _Plan:
    """Labels of the operands and of the result, sizes of the labels, and the order of work."""

    inputs: tuple[Labels, ...]
    output: Labels
    sizes: dict[str, int]
    path: Path


@lru_cache(maxsize=512)
def _plan(equation: str, shapes: tuple[Shape, ...]) -> _Plan:
    left, arrow, right = equation.replace(" ", "").partition("->")
    texts = left.split(",")
    if len(texts) != len(shapes):
        raise InvalidArgument(
            f"[einsum] {equation!r} has {len(texts)} operands; got {len(shapes)} tensors"
        )
    inputs = tuple(_labels(equation, t, len(s)) for t, s in zip(texts, shapes, strict=True))
    dots = max(([n for n in labels if len(n) > 1] for labels in inputs), key=len)
    if arrow:
        rest = len(dots) if "..." in right else 0
        output = _labels(equation, right, rest + len(right.replace("...", "", 1)))
        lost = sorted(set(dots) - set(output))
        unknown = sorted(set(output) - {n for labels in inputs for n in labels})
        if lost or unknown or len(set(output)) != len(output):
            raise InvalidArgument(
                f"[einsum] {equation!r}: want each label of the result once, from the operands, "
                f"and '...' where an operand has it"
            )
    else:
        counts = Counter(n for labels in inputs for n in labels if len(n) == 1)
        output = (*dots, *sorted(n for n, count in counts.items() if count == 1))
    return _Plan(inputs, output, _sizes(equation, inputs, shapes), _path(inputs, output, shapes))


def _labels(equation: str, text: str, ndim: int) -> Labels:
    """One label for each of ``ndim`` axes."""
    before, dots, after = text.partition("...")
    letters = before + after
    rest = ndim - len(letters)
    if not set(letters) <= set(string.ascii_letters):
        raise InvalidArgument(f"[einsum] {equation!r}: want letters, ',', '...' and one '->'")
    if rest < 0 or (rest and not dots):
        raise InvalidArgument(f"[einsum] {equation!r}: {text!r} does not name {ndim} axes")
    return (*before, *(f"...{k}" for k in range(rest, 0, -1)), *after)


def _sizes(equation: str, inputs: Sequence[Labels], shapes: Sequence[Shape]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for labels, shape in zip(inputs, shapes, strict=True):
        for label, n in zip(labels, shape, strict=True):
            known = sizes.setdefault(label, n)
            if known == 1:
                sizes[label] = n
            elif n not in (1, known):
                listed = ", ".join(str(s) for s in shapes)
                raise ShapeError(
                    f"[einsum] {equation!r}: {label!r} has sizes {known} and {n} in {listed}"
                )
    return sizes


def _path(inputs: Sequence[Labels], output: Labels, shapes: Sequence[Shape]) -> Path:
    """Which terms to combine at each step; the result goes to the end of the list."""
    count = len(inputs)
    planner = _planner() if count > 2 else None
    if planner is None:
        return ((0, 1), *((count - 1 - k, 0) for k in range(1, count - 1)))[: count - 1]
    symbols: dict[str, str] = {}
    for labels in (*inputs, output):
        for label in labels:
            symbols.setdefault(label, planner.get_symbol(len(symbols)))
    words = ["".join(symbols[n] for n in labels) for labels in (*inputs, output)]
    equation = ",".join(words[:-1]) + "->" + words[-1]
    path, _ = planner.contract_path(equation, *shapes, shapes=True)
    return tuple(tuple(group) for group in path)


@cache
def _planner() -> Any:
    """The module opt_einsum, or None."""
    try:
        return importlib.import_module("opt_einsum")
    except ImportError:
        return None


# --- the work -----------------------------------------------------------------------------------


@final
@dataclass(frozen=True)
class _Term:
    """A tensor whose axes have distinct labels."""

    x: Tensor
    labels: Labels

    def aligned(self, order: Sequence[str]) -> Tensor:
        """The axes in ``order``, with size 1 for labels that the term lacks."""
        spots = [self.labels.index(n) for n in order if n in self.labels]
        sizes = dict(zip(self.labels, self.x.shape, strict=True))
        return reshape(permute_dims(self.x, spots), tuple(sizes.get(n, 1) for n in order))


def _prepared(x: Tensor, labels: Labels, plan: _Plan) -> _Term:
    """Diagonals taken of labels that repeat; axes of size 1 dropped where others broadcast them."""
    stretched = [a for a, n in enumerate(labels) if x.shape[a] == 1 and plan.sizes[n] != 1]
    x = reshape(x, tuple(n for a, n in enumerate(x.shape) if a not in stretched))
    left = [n for a, n in enumerate(labels) if a not in stretched]
    while len(set(left)) < len(left):
        label = next(n for n in left if left.count(n) > 1)
        first = left.index(label)
        second = left.index(label, first + 1)
        x = diagonal(moveaxis(x, (first, second), (-2, -1)))
        left = [n for a, n in enumerate(left) if a not in (first, second)] + [label]
    return _Term(x, tuple(left))


def _summed(term: _Term, kept: set[str]) -> _Term:
    """Without the labels that are not ``kept``."""
    axes = tuple(a for a, n in enumerate(term.labels) if n not in kept)
    if not axes:
        return term
    left = tuple(n for n in term.labels if n in kept)
    return _Term(sum(term.x, axis=axes, dtype=term.x.dtype), left)


def _contract(a: _Term, b: _Term, needed: set[str]) -> _Term:
    """The product of two terms, summed over the labels that nobody else needs."""
    a = _summed(a, needed.union(b.labels))
    b = _summed(b, needed.union(a.labels))
    both = [n for n in a.labels if n in b.labels]
    batch, summed = [n for n in both if n in needed], [n for n in both if n not in needed]
    rows, columns = ([n for n in t.labels if n not in both] for t in (a, b))
    labels = (*batch, *rows, *columns)
    if not summed:
        return _Term(a.aligned(labels) * b.aligned(labels), labels)
    if not rows and not columns:
        order = (*batch, *summed)
        return _summed(_Term(a.aligned(order) * b.aligned(order), order), needed)
    sizes = dict(zip(a.labels + b.labels, a.x.shape + b.x.shape, strict=True))
    count, m, k, n = (prod(sizes[label] for label in g) for g in (batch, rows, summed, columns))
    left = reshape(a.aligned((*batch, *rows, *summed)), (count, m, k))
    right = reshape(b.aligned((*batch, *summed, *columns)), (count, k, n))
    return _Term(reshape(matmul(left, right), tuple(sizes[label] for label in labels)), labels)
