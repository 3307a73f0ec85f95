"""Calling a module with other tensors in place of its own: modules as functions of parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polyback.errors import InvalidArgument, ShapeError
from polyback.frontend.checks import check_tensors
from polyback.frontend.nn.module import Module
from polyback.frontend.tensor import Tensor


def functional_call(
    module: Module,
    tensors: Mapping[str, Tensor],
    args: Any = (),
    options: Mapping[str, Any] | None = None,
) -> Any:
    """``module(*args, **options)`` with ``tensors`` in place of its parameters and buffers of those
    names; afterwards the module is as it was, though a buffer that was written in place is written.

    So a loss is a function of the parameters, to be differentiated by :func:`polyback.grad` and its
    relatives, to any order. ``args`` that is no tuple is the one argument. A parameter with several
    names is replaced only where it is named. Raises InvalidArgument for unknown names, ShapeError
    for another shape.

    >>> import polyback as pb
    >>> layer = pb.nn.Linear(2, 1)
    >>> def loss(weight):
    ...     return pb.sum(pb.nn.functional_call(layer, {"weight": weight}, pb.ones((3, 2))))
    >>> pb.grad(loss)(pb.zeros((1, 2))).tolist()
    [[3.0, 3.0]]
    """
    check_tensors("functional_call", *tensors.values())
    places = {name: (part, own) for name, part, own in _places(module)}
    unknown = [name for name in tensors if name not in places]
    if unknown:
        raise InvalidArgument(f"[functional_call] got {unknown}; want names of {list(places)}")
    for name, tensor in tensors.items():
        part, own = places[name]
        if vars(part)[own].shape != tensor.shape:
            raise ShapeError(
                f"[functional_call] {name}: got {tensor.shape}; want {vars(part)[own].shape}"
            )
    kept = []
    try:
        for name, tensor in tensors.items():
            part, own = places[name]
            kept.append((part, own, vars(part)[own]))
            vars(part)[own] = tensor
        return module(*(args if isinstance(args, tuple) else (args,)), **(options or {}))
    finally:
        for part, own, tensor in reversed(kept):
            vars(part)[own] = tensor


def _places(module: Module) -> list[tuple[str, Module, str]]:
    """The name of every parameter and buffer, the module that has it, and its name there."""
    return [
        (prefix + own, part, own)
        for prefix, part in module._walk("", ())
        for own, _ in part._own("parameter", "buffer", "scratch")
    ]
