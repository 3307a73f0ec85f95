"""Pictures of computational graphs, in the DOT language of Graphviz."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from polyback.errors import GradientError, InvalidArgument
from polyback.frontend.autograd import set_grad_enabled, subgraph
from polyback.frontend.nn.module import Module
from polyback.frontend.tensor import Tensor

Path_ = str | os.PathLike[str]


def dot(what: Tensor | Module, *inputs: Any, names: dict[str, Tensor] | None = None) -> str:
    """The graph of a tensor, or of ``what(*inputs)`` for a model, which may give tuples of tensors,
    as DOT text.

    Boxes are operations, ellipses the leaves they start from, with the names of ``names`` or of the
    model's parameters; arrows go the way of the computation. Raises GradientError for a tensor that
    is not part of a graph.

    >>> import polyback as pb
    >>> x = pb.asarray([1.0, 2.0], requires_grad=True)
    >>> print(pb.viz.dot(pb.exp(x) * x, names={"x": x}))
    digraph {
        rankdir=TB; node [fontname="sans-serif"];
        n0 [label="exp", shape=box];
        n1 [label="multiply", shape=box];
        n2 [label="x\\nfloat32 (2,)", shape=ellipse];
        n2 -> n0;
        n0 -> n1;
        n2 -> n1;
    }
    """
    known = dict(names or {})
    if isinstance(what, Module):
        known |= dict(what.named_parameters())
        with set_grad_enabled(True):
            what = what(*inputs)
    roots = [y for y in _tensors(what) if y.edge is not None]
    if not roots:
        raise GradientError(
            "[viz] got nothing that is part of a graph; want a result of tensors with "
            "requires_grad=True, made while gradients are recorded"
        )
    return _text(roots, {id(t): name for name, t in known.items()})


def _tensors(what: Any) -> list[Tensor]:
    """The tensors of nested tuples."""
    if isinstance(what, (tuple, list)):
        return [y for part in what for y in _tensors(part)]
    return [what] if isinstance(what, Tensor) else []


def _text(roots: Sequence[Tensor], names: dict[int, str]) -> str:
    nodes, leaves = subgraph(roots, set())
    number = {id(edge): k for k, edge in enumerate([*nodes, *leaves])}
    lines = ["digraph {", '    rankdir=TB; node [fontname="sans-serif"];']
    for node in nodes:
        lines.append(f'    n{number[id(node)]} [label="{_escaped(node.op.name)}", shape=box];')
    for leaf in leaves:
        label = f"{leaf.dtype} {leaf.shape}"
        if id(leaf) in names:
            label = f"{names[id(leaf)]}\n{label}"
        lines.append(f'    n{number[id(leaf)]} [label="{_escaped(label)}", shape=ellipse];')
    for node in nodes:
        for edge in node.edges:
            if edge is not None:
                lines.append(f"    n{number[id(edge)]} -> n{number[id(node)]};")
    return "\n".join([*lines, "}"])


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def save(path: Path_, what: Tensor | Module, *inputs: Any, **options: Any) -> None:
    """Write :func:`dot` to a file: ``.dot`` as it is; ``.svg``, ``.png`` or ``.pdf`` drawn by the
    program ``dot`` of Graphviz. Raises InvalidArgument for another ending, or without Graphviz."""
    target = Path(path)
    kind = target.suffix.removeprefix(".")
    if kind not in ("dot", "gv", "svg", "png", "pdf"):
        raise InvalidArgument(f"[viz] got {target.name}; want .dot, .svg, .png or .pdf")
    text = dot(what, *inputs, **options)
    if kind in ("dot", "gv"):
        target.write_text(text + "\n")
        return
    program = shutil.which("dot")
    if program is None:
        raise InvalidArgument(
            f"[viz] {target.name} is drawn by Graphviz, whose program 'dot' is not here; want it "
            f"installed (a package 'graphviz' of the system), or a .dot file"
        )
    command = [program, f"-T{kind}", "-o", str(target)]
    subprocess.run(command, input=text, text=True, check=True, capture_output=True)
