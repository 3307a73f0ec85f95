"""Writing by index: in place outside a graph, an operation inside."""

from __future__ import annotations

from typing import Any

from polyback import array, lookup
from polyback.errors import GradientError, InvalidArgument
from polyback.frontend.autograd import is_grad_enabled
from polyback.frontend.functions.activation import where
from polyback.frontend.functions.gathering import Scatter, written
from polyback.frontend.functions.indexing import Index, Key, Replace
from polyback.frontend.functions.shape import broadcast_to, reshape
from polyback.frontend.op import run
from polyback.frontend.tensor import Tensor


def setitem(x: Tensor, key: Any, value: Any) -> None:
    """``x[key] = value`` for every key that ``x[key]`` takes; ``value`` is broadcast to the shape
    of ``x[key]`` and cast to the type of ``x`` unless its kind is higher. Where index tensors
    choose an element several times, the last value stays.

    A tensor outside the graph is written in place. Inside the graph ``x`` becomes the result of an
    operation, so gradients flow to ``value`` and to what is left of the old ``x``.

    Raises what ``x[key]`` raises, ShapeError and DTypeError for a value that does not fit, and
    GradientError for a leaf that is being recorded; then nothing is written.
    """
    value = written(x, value, "index")
    recorded = is_grad_enabled() and (x.requires_grad or value.requires_grad)
    if x.array.view.has_overlap and not recorded:
        raise InvalidArgument("[index] cannot write to a broadcast array; copy it first")
    if recorded and x.requires_grad_:
        raise GradientError(
            "[index] a leaf that requires a gradient cannot be changed while recording; "
            "want `with pb.no_grad():` around the assignment"
        )
    array.same_device("index", x.array, value.array)
    parts = Key(key, x)
    if recorded:
        result = _replaced(x, parts, value)
        x.array, x.node = result.array, result.node
    else:
        _write(x, parts, value)


def _write(x: Tensor, parts: Key, value: Tensor) -> None:
    """In place."""
    target = x.array
    if not parts.region.is_whole:
        target = target.with_view(parts.region.select(target.view))
    if not parts.tensors:
        target.assign(broadcast_to(value, target.shape).array)
    elif parts.mask is not None and value.ndim == 0:
        target.assign(_masked(Tensor(target), parts, value).array, consume=True)
    else:
        places, indices = parts.resolve(target.shape)
        arrays = [i.array for i in indices]
        wide = broadcast_to(value, places.shape(target.shape, arrays))
        lookup.write(target, places, arrays, wide.array, "set")


def _replaced(x: Tensor, parts: Key, value: Tensor) -> Tensor:
    """The new ``x``, as the result of operations."""
    whole = parts.region.is_whole
    part = x if whole else run(Index(parts.region, x.shape), x)
    if not parts.tensors:
        part = broadcast_to(value, part.shape)
    elif parts.mask is not None and value.ndim == 0:
        part = _masked(part, parts, value)
    else:
        places, indices = parts.resolve(part.shape)
        wide = broadcast_to(value, places.shape(part.shape, [i.array for i in indices]))
        part = run(Scatter(places, part.shape, "set", parts.is_distinct), part, wide, *indices)
    if whole and parts.tensors:
        return part
    return run(Replace(parts.region, x.shape), x, part)


def _masked(part: Tensor, parts: Key, value: Tensor) -> Tensor:
    """One number wherever a mask is true, without counting."""
    assert parts.mask is not None
    first, many = parts.groups[0]
    behind = part.ndim - first - many
    return where(reshape(parts.mask, (*parts.mask.shape, *(1,) * behind)), value, part)
