"""Checks that a device may call before it writes anything.

The core only sends what ``caps`` claims, with operands that fit; a device must still refuse the
rest, with UnsupportedOp for what it does not claim and InvalidArgument for a contradiction. These
functions do that for any backend.
"""

from __future__ import annotations

from collections.abc import Sequence

from polyback.device import Caps, Operand
from polyback.errors import InvalidArgument, UnsupportedOp
from polyback.program import Number, Program
from polyback.scalar import Reduction
from polyback.view import Shape, View


def check_elementwise(
    caps: Caps, program: Program, outs: Sequence[Operand], ins: Sequence[Operand | Number]
) -> None:
    """For ``elementwise``. Raises UnsupportedOp or InvalidArgument."""
    check_program(caps, program)
    check_operands(program, outs, ins)


def check_program(caps: Caps, program: Program) -> None:
    """Does the device claim all of it? It depends on the program alone, so once is enough. Raises
    UnsupportedOp."""
    missing = caps.missing(program)
    if missing:
        raise UnsupportedOp(f"[elementwise] the device lacks {', '.join(missing)}")


def check_operands(
    program: Program, outs: Sequence[Operand], ins: Sequence[Operand | Number]
) -> None:
    """Do these fit the program? Raises InvalidArgument."""
    if len(ins) != len(program.inputs) or len(outs) != len(program.outputs) or not outs:
        raise InvalidArgument(
            f"[elementwise] got {len(ins)} inputs and {len(outs)} outputs, want "
            f"{len(program.inputs)} and {len(program.outputs)}"
        )
    shape = outs[0].view.shape
    for x, given in zip(ins, program.inputs, strict=True):
        if isinstance(x, Operand) is given.scalar:
            want = "a number" if given.scalar else "an array"
            raise InvalidArgument(f"[elementwise] got {x!r:.80}, want {want} for {given}")
        if isinstance(x, Operand) and (x.dtype is not given.dtype or x.view.shape != shape):
            raise _mismatch("elementwise", x, f"{given.dtype}{shape}")
    for out, number in zip(outs, program.outputs, strict=True):
        dtype = program.dtypes[number]
        if out.dtype is not dtype or out.view.shape != shape:
            raise _mismatch("elementwise", out, f"{dtype}{shape}")


def check_reduce(
    caps: Caps, op: Reduction, out: Operand, x: Operand, axes: tuple[int, ...]
) -> None:
    """For ``reduce``. Raises UnsupportedOp or InvalidArgument."""
    if x.dtype.name not in caps.reductions.get(op.name, frozenset()):
        raise UnsupportedOp(f"[{op.name}] the device does not reduce {x.dtype}")
    if not axes or sorted(set(axes)) != list(axes) or not 0 <= axes[0] <= axes[-1] < x.view.ndim:
        raise InvalidArgument(f"[{op.name}] got axes {axes}, want sorted axes of {x.view.shape}")
    shape = tuple(1 if a in axes else n for a, n in enumerate(x.view.shape))
    if out.dtype is not x.dtype or out.view.shape != shape:
        raise _mismatch(op.name, out, f"{x.dtype}{shape}")


def check_matmul(caps: Caps, out: Operand, a: Operand, b: Operand) -> None:
    """For ``matmul``. Raises UnsupportedOp or InvalidArgument."""
    if a.dtype.name not in caps.matmul:
        raise UnsupportedOp(f"[matmul] the device does not multiply {a.dtype}")
    if not a.dtype is b.dtype is out.dtype:
        raise InvalidArgument(f"[matmul] types differ: {a.dtype} @ {b.dtype} to {out.dtype}")
    left, right = a.view.shape, b.view.shape
    fits = len(left) == len(right) >= 2 and left[:-2] == right[:-2] and left[-1] == right[-2]
    if not fits:
        raise InvalidArgument(f"[matmul] shapes do not fit: {left} @ {right}")
    shape: Shape = (*left[:-1], right[-1])
    if out.view.shape != shape:
        raise _mismatch("matmul", out, f"{out.dtype}{shape}")


def check_matmul_fused(
    caps: Caps, out: Operand, a: Operand, b: Operand, program: Program,
    ins: Sequence[Operand | Number | None],
) -> None:  # fmt: skip
    """For ``matmul_fused``. Raises UnsupportedOp or InvalidArgument."""
    places = [k for k, x in enumerate(ins) if x is None]
    if len(places) != 1 or len(program.outputs) != 1:
        raise InvalidArgument(
            f"[matmul_fused] got {len(places)} products and {len(program.outputs)} outputs, want "
            f"one None among the inputs and one output"
        )
    product = Operand(None, a.dtype, View.contiguous(out.view.shape))
    check_matmul(caps, product, a, b)
    check_elementwise(caps, program, [out], [product if x is None else x for x in ins])


def _mismatch(op: str, x: Operand, want: str) -> InvalidArgument:
    return InvalidArgument(f"[{op}] got an operand {x.dtype}{x.view.shape}, want {want}")
