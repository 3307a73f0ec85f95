"""Operators: Python's symbols for tensors. Each is one line that names the function it stands for.

For an operand that is neither a tensor nor a number Python raises TypeError.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from polyback import frontend
from polyback.errors import DTypeError

if TYPE_CHECKING:
    from polyback.frontend.tensor import Tensor

Number = (bool, int, float, complex, np.generic)


def _function(name: str) -> Any:
    function = F.__dict__[name] = getattr(frontend.functions, name)
    return function


F: Final[Any] = ModuleType("F")  # the functions by name, looked up when called: they need Tensor,
F.__getattr__ = _function  # which needs this file; of a module Python finds them fastest


class Operators:
    """The base of Tensor that holds its operators, and nothing else."""

    __slots__ = ()

    def __add__(self, other: Any) -> Tensor:
        return _binary(F.add, self, other)

    def __radd__(self, other: Any) -> Tensor:
        return _binary(F.add, other, self)

    def __iadd__(self, other: Any) -> Tensor:
        return F.elementwise.in_place(self, _binary(F.add, self, other))

    def __sub__(self, other: Any) -> Tensor:
        return _binary(F.subtract, self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return _binary(F.subtract, other, self)

    def __isub__(self, other: Any) -> Tensor:
        return F.elementwise.in_place(self, _binary(F.subtract, self, other))

    def __mul__(self, other: Any) -> Tensor:
        return _binary(F.multiply, self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return _binary(F.multiply, other, self)

    def __imul__(self, other: Any) -> Tensor:
        return F.elementwise.in_place(self, _binary(F.multiply, self, other))

    def __truediv__(self, other: Any) -> Tensor:
        return _binary(F.divide, self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return _binary(F.divide, other, self)

    def __itruediv__(self, other: Any) -> Tensor:
        return F.elementwise.in_place(self, _binary(F.divide, self, other))

    def __floordiv__(self, other: Any) -> Tensor:
        return _binary(F.floor_divide, self, other)

    def __rfloordiv__(self, other: Any) -> Tensor:
        return _binary(F.floor_divide, other, self)

    def __ifloordiv__(self, other: Any) -> Tensor:
        return F.elementwise.in_place(self, _binary(F.floor_divide, self, other))

    def __mod__(self, other: Any) -> Tensor:
        return _binary(F.remainder, self, other)

    def __rmod__(self, other: Any) -> Tensor:
        return _binary(F.remainder, other, self)

    def __imod__(self, other: Any) -> Tensor:
        return F.elementwise.in_place(self, _binary(F.remainder, self, other))

    def __pow__(self, other: Any) -> Tensor:
        return _binary(F.pow, self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return _binary(F.pow, other, self)

    def __ipow__(self, other: Any) -> Tensor:
        return F.elementwise.in_place(self, _binary(F.pow, self, other))

    def __and__(self, other: Any) -> Tensor:
        return _binary(F.bitwise_and, self, other)

    def __rand__(self, other: Any) -> Tensor:
        return _binary(F.bitwise_and, other, self)

    def __iand__(self, other: Any) -> Tensor:
        return F.elementwise.in_place(self, _binary(F.bitwise_and, self, other))

    def __or__(self, other: Any) -> Tensor:
        return _binary(F.bitwise_or, self, other)

    def __ror__(self, other: Any) -> Tensor:
        return _binary(F.bitwise_or, other, self)

    def __ior__(self, other: Any) -> Tensor:
        return F.elementwise.in_place(self, _binary(F.bitwise_or, self, other))

    def __xor__(self, other: Any) -> Tensor:
        return _binary(F.bitwise_xor, self, other)

    def __rxor__(self, other: Any) -> Tensor:
        return _binary(F.bitwise_xor, other, self)

    def __ixor__(self, other: Any) -> Tensor:
        return F.elementwise.in_place(self, _binary(F.bitwise_xor, self, other))

    def __lshift__(self, other: Any) -> Tensor:
        return _binary(F.bitwise_left_shift, self, other)

    def __rlshift__(self, other: Any) -> Tensor:
        return _binary(F.bitwise_left_shift, other, self)

    def __ilshift__(self, other: Any) -> Tensor:
        return F.elementwise.in_place(self, _binary(F.bitwise_left_shift, self, other))

    def __rshift__(self, other: Any) -> Tensor:
        return _binary(F.bitwise_right_shift, self, other)

    def __rrshift__(self, other: Any) -> Tensor:
        return _binary(F.bitwise_right_shift, other, self)

    def __irshift__(self, other: Any) -> Tensor:
        return F.elementwise.in_place(self, _binary(F.bitwise_right_shift, self, other))

    def __matmul__(self, other: Any) -> Tensor:
        return _binary(F.matmul, self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return _binary(F.matmul, other, self)

    def __imatmul__(self, other: Any) -> Tensor:
        return F.elementwise.in_place(self, _binary(F.matmul, self, other))

    def __lt__(self, other: Any) -> Tensor:
        return _binary(F.less, self, other)

    def __le__(self, other: Any) -> Tensor:
        return _binary(F.less_equal, self, other)

    def __gt__(self, other: Any) -> Tensor:
        return _binary(F.greater, self, other)

    def __ge__(self, other: Any) -> Tensor:
        return _binary(F.greater_equal, self, other)

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]  # elementwise
        return _binary(F.equal, self, other)

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]  # elementwise
        return _binary(F.not_equal, self, other)

    def __hash__(self) -> int:
        return id(self)

    def __neg__(self) -> Tensor:
        return F.negative(self)

    def __pos__(self) -> Tensor:
        return F.positive(self)

    def __abs__(self) -> Tensor:
        return F.abs(self)

    def __invert__(self) -> Tensor:
        return F.bitwise_invert(self)

    def __getitem__(self, key: Any) -> Tensor:
        return F.indexing.getitem(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        F.assignment.setitem(self, key, value)

    @property
    def T(self) -> Tensor:
        """The transpose of a matrix."""
        return F.transpose(self)

    @property
    def mT(self) -> Tensor:
        """The last two axes swapped."""
        return F.matrix_transpose(self)

    def reshape(self, *shape: Any) -> Tensor:
        """See :func:`polyback.reshape`; sizes may be given one by one."""
        return F.reshape(self, shape[0] if len(shape) == 1 else shape)

    def astype(self, dtype: Any) -> Tensor:
        """See :func:`polyback.astype`."""
        return F.astype(self, dtype)

    def sum(self, axis: Any = None, *, keepdims: bool = False) -> Tensor:
        """See :func:`polyback.sum`."""
        return F.sum(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Any = None, *, keepdims: bool = False) -> Tensor:
        """See :func:`polyback.mean`."""
        return F.mean(self, axis=axis, keepdims=keepdims)

    def max(self, axis: Any = None, *, keepdims: bool = False) -> Tensor:
        """See :func:`polyback.max`."""
        return F.max(self, axis=axis, keepdims=keepdims)

    def min(self, axis: Any = None, *, keepdims: bool = False) -> Tensor:
        """See :func:`polyback.min`."""
        return F.min(self, axis=axis, keepdims=keepdims)

    def argmax(self, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
        """See :func:`polyback.argmax`."""
        return F.argmax(self, axis=axis, keepdims=keepdims)


OPERANDS: Final = (Operators, *Number)


def _binary(function: Callable[..., Any], a: Any, b: Any) -> Any:
    if type(a) is type(b) or type(b) is float:  # the usual cases
        return function(a, b)
    for x in (a, b):
        if not isinstance(x, OPERANDS):
            if isinstance(x, np.ndarray):  # == would quietly be False
                raise DTypeError(
                    f"[{function.__name__}] got a NumPy array beside a tensor; want "
                    f"pb.asarray(array, device=...)"
                )
            return NotImplemented
    return function(a, b)
