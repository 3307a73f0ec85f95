"""What public functions check before anything else: tensors where tensors belong."""

from __future__ import annotations

from typing import Any

from polyback.errors import DTypeError
from polyback.frontend.tensor import Tensor


def check_tensors(op: str, *given: Any) -> None:
    """Raises DTypeError, naming ``op`` and what to do, unless everything given is a tensor.

    The first line of each public function that takes a tensor and nothing else there::

        def sum(x: Tensor, /, *, axis: Axis = None) -> Tensor:
            check_tensors("sum", x)

    Operands that may be Python numbers as well are checked by ``apply`` instead.
    """
    for x in given:
        if not isinstance(x, Tensor):
            what = repr(x) if isinstance(x, (bool, int, float, complex)) else type(x).__name__
            raise DTypeError(f"[{op}] got {what}; want a tensor: use asarray(..., device=)")
