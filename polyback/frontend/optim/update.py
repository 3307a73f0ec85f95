"""Updates of a parameter and its state in place: one Program, one launch, whatever the formula.

Written as tensors, Adam takes 17 operations and three launches for every parameter; as a Program,
built once per dtype, it takes one launch. That halves the Python calls of a whole training step of
examples/train_digits.py (116 thousand to 59 thousand), where they are most of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from polyback import fusion
from polyback.array import Array, same_device
from polyback.dtype import DType
from polyback.errors import InvalidArgument, ShapeError
from polyback.frontend.functions.elementwise import cast
from polyback.frontend.tensor import Tensor
from polyback.program import Input, Program, program
from polyback.runtime import launch_program


def update_program(
    formula: Callable[..., tuple[Any, ...]], dtype: DType, tensors: int, numbers: int
) -> Program:
    """``formula(*tensors, *numbers)`` as a Program; half types are computed in float32."""

    def whole(*values: Any) -> tuple[Any, ...]:
        wide = [v.cast(dtype.compute) for v in values[:tensors]]
        return tuple(result.cast(dtype) for result in formula(*wide, *values[tensors:]))

    given = [Input(dtype)] * tensors + [Input(dtype.compute, scalar=True)] * numbers
    return program(whole, *given)


def update(
    code: Program, targets: Sequence[Tensor], gradient: Tensor, numbers: Sequence[float]
) -> None:
    """Run ``code`` on the targets, the gradient and the numbers; its results overwrite the targets.

    Raises ShapeError, DeviceMismatch, or InvalidArgument for a target that is a broadcast view.
    """
    first = targets[0]
    if gradient.shape != first.shape:
        raise ShapeError(f"[step] the gradient is {gradient.shape}; want {first.shape}")
    arrays = [t.array for t in targets]
    device = same_device("step", *arrays, gradient.array)
    if any(a.view.has_overlap for a in arrays):
        raise InvalidArgument("[step] cannot write to a broadcast tensor; want a copy as parameter")
    source = _apart(cast(gradient, first.dtype).array, arrays)
    ins = [a.operand() for a in (*arrays, source)]
    with device.lock:
        for a in arrays:
            fusion.before_write(a.storage)
        if first.size:
            launch_program(device, code, [a.operand() for a in arrays], [*ins, *numbers])
        for a in arrays:
            a.storage.version += 1


def _apart(source: Array, arrays: Sequence[Array]) -> Array:
    """A copy of ``source`` if it sees a target's buffer in another way than the target does."""
    mixed = any(source.storage is a.storage and source.view != a.view for a in arrays)
    return source.copy() if mixed else source
