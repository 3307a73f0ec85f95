"""A table of a module's parts: their output shapes and how many numbers they train."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from polyback.frontend.autograd import no_grad
from polyback.frontend.nn.hooks import hooked
from polyback.frontend.nn.module import Module
from polyback.frontend.tensor import Tensor


def summary(module: Module, *inputs: Any, **options: Any) -> str:
    """The parts of ``module`` as lines of a table: name and class, shape of the output, parameters.

    Calls the module once with ``inputs`` and ``options``, as in use (``eval()``) and without
    recording; afterwards it is as it was. Each line counts the part's own parameters and not those
    of parts below it; a part that is not called has no shape, one called again its last shape.

    >>> import polyback as pb
    >>> net = pb.nn.Sequential(pb.nn.Linear(4, 8), pb.nn.ReLU(), pb.nn.Linear(8, 2))
    >>> print(pb.nn.summary(net, pb.zeros((5, 4))))
    layer        output shape  parameters
    Sequential   (5, 2)                 0
      0: Linear  (5, 8)                40
      1: ReLU    (5, 8)                 0
      2: Linear  (5, 2)                18
    total                              58
    trainable                          58
    """
    modes = [(part, part.training) for part in module.modules()]
    shapes: dict[int, str] = {}

    def note(part: Module, args: Any, output: Any) -> None:
        shapes[id(part)] = _shapes(output)

    try:
        with hooked(module, note), no_grad():
            module.eval()(*inputs, **options)
    finally:
        for part, training in modes:
            part.training = training
    rows = [("layer", "output shape", "parameters"), *_rows(module, "", 0, shapes, set())]
    every = list(module.parameters())
    rows.append(("total", "", str(sum(p.size for p in every))))
    rows.append(("trainable", "", str(sum(p.size for p in every if p.requires_grad))))
    wide = [max(len(row[k]) for row in rows) for k in range(3)]
    return "\n".join(f"{a:<{wide[0]}}  {b:<{wide[1]}}  {c:>{wide[2]}}" for a, b, c in rows)


def _rows(
    module: Module, name: str, depth: int, shapes: dict[int, str], seen: set[int]
) -> Iterator[tuple[str, str, str]]:
    """The line of a module, then those of what is below it; what was counted is not
    counted again."""
    own = [p for _, p in module._own("parameter") if id(p) not in seen]
    seen.update(id(p) for p in own)
    title = f"{name}: " if name else ""
    text = f"{'  ' * depth}{title}{type(module).__name__}"
    yield text, shapes.get(id(module), "-"), str(sum(p.size for p in own))
    for child_name, child in module.named_children():
        yield from _rows(child, child_name, depth + 1, shapes, seen)


def _shapes(output: Any) -> str:
    if isinstance(output, Tensor):
        return str(output.shape)
    if isinstance(output, (tuple, list)):
        return ", ".join(_shapes(part) for part in output if part is not None)
    return "-"
