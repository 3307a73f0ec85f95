"""Operators: Python's symbols for tensors. Each is one line that names the function it stands for.

An operand that is neither a tensor nor a number gives NotImplemented, so that Python raises TypeError.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from polyback import frontend  # its functions are loaded after Tensor

Number = (bool, int, float, complex, np.generic)


def _binary(function: Callable[..., Any], a: Any, b: Any) -> Any:
    if all(isinstance(x, (Operators, *Number)) for x in (a, b)):
        return function(a, b)
    return NotImplemented


class Operators:
    """The base of Tensor that holds its operators, and nothing else."""

    __slots__ = ()

    def __add__(self, other: Any) -> Any:
        return _binary(frontend.functions.add, self, other)

    def __radd__(self, other: Any) -> Any:
        return _binary(frontend.functions.add, other, self)

    def __iadd__(self, other: Any) -> Any:
        return frontend.functions.in_place(self, _binary(frontend.functions.add, self, other))

    def __sub__(self, other: Any) -> Any:
        return _binary(frontend.functions.subtract, self, other)

    def __rsub__(self, other: Any) -> Any:
        return _binary(frontend.functions.subtract, other, self)

    def __isub__(self, other: Any) -> Any:
        return frontend.functions.in_place(self, _binary(frontend.functions.subtract, self, other))

    def __mul__(self, other: Any) -> Any:
        return _binary(frontend.functions.multiply, self, other)

    def __rmul__(self, other: Any) -> Any:
        return _binary(frontend.functions.multiply, other, self)

    def __imul__(self, other: Any) -> Any:
        return frontend.functions.in_place(self, _binary(frontend.functions.multiply, self, other))

    def __truediv__(self, other: Any) -> Any:
        return _binary(frontend.functions.divide, self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _binary(frontend.functions.divide, other, self)

    def __itruediv__(self, other: Any) -> Any:
        return frontend.functions.in_place(self, _binary(frontend.functions.divide, self, other))

    def __floordiv__(self, other: Any) -> Any:
        return _binary(frontend.functions.floor_divide, self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return _binary(frontend.functions.floor_divide, other, self)

    def __ifloordiv__(self, other: Any) -> Any:
        return frontend.functions.in_place(self, _binary(frontend.functions.floor_divide, self, other))

    def __mod__(self, other: Any) -> Any:
        return _binary(frontend.functions.remainder, self, other)

    def __rmod__(self, other: Any) -> Any:
        return _binary(frontend.functions.remainder, other, self)

    def __imod__(self, other: Any) -> Any:
        return frontend.functions.in_place(self, _binary(frontend.functions.remainder, self, other))

    def __pow__(self, other: Any) -> Any:
        return _binary(frontend.functions.pow, self, other)

    def __rpow__(self, other: Any) -> Any:
        return _binary(frontend.functions.pow, other, self)

    def __ipow__(self, other: Any) -> Any:
        return frontend.functions.in_place(self, _binary(frontend.functions.pow, self, other))

    def __and__(self, other: Any) -> Any:
        return _binary(frontend.functions.bitwise_and, self, other)

    def __rand__(self, other: Any) -> Any:
        return _binary(frontend.functions.bitwise_and, other, self)

    def __iand__(self, other: Any) -> Any:
        return frontend.functions.in_place(self, _binary(frontend.functions.bitwise_and, self, other))

    def __or__(self, other: Any) -> Any:
        return _binary(frontend.functions.bitwise_or, self, other)

    def __ror__(self, other: Any) -> Any:
        return _binary(frontend.functions.bitwise_or, other, self)

    def __ior__(self, other: Any) -> Any:
        return frontend.functions.in_place(self, _binary(frontend.functions.bitwise_or, self, other))

    def __xor__(self, other: Any) -> Any:
        return _binary(frontend.functions.bitwise_xor, self, other)

    def __rxor__(self, other: Any) -> Any:
        return _binary(frontend.functions.bitwise_xor, other, self)

    def __ixor__(self, other: Any) -> Any:
        return frontend.functions.in_place(self, _binary(frontend.functions.bitwise_xor, self, other))

    def __lshift__(self, other: Any) -> Any:
        return _binary(frontend.functions.bitwise_left_shift, self, other)

    def __rlshift__(self, other: Any) -> Any:
        return _binary(frontend.functions.bitwise_left_shift, other, self)

    def __ilshift__(self, other: Any) -> Any:
        return frontend.functions.in_place(self, _binary(frontend.functions.bitwise_left_shift, self, other))

    def __rshift__(self, other: Any) -> Any:
        return _binary(frontend.functions.bitwise_right_shift, self, other)

    def __rrshift__(self, other: Any) -> Any:
        return _binary(frontend.functions.bitwise_right_shift, other, self)

    def __irshift__(self, other: Any) -> Any:
        return frontend.functions.in_place(self, _binary(frontend.functions.bitwise_right_shift, self, other))

    def __matmul__(self, other: Any) -> Any:
        return _binary(frontend.functions.matmul, self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return _binary(frontend.functions.matmul, other, self)

    def __imatmul__(self, other: Any) -> Any:
        return frontend.functions.in_place(self, _binary(frontend.functions.matmul, self, other))

    def __lt__(self, other: Any) -> Any:
        return _binary(frontend.functions.less, self, other)

    def __le__(self, other: Any) -> Any:
        return _binary(frontend.functions.less_equal, self, other)

    def __gt__(self, other: Any) -> Any:
        return _binary(frontend.functions.greater, self, other)

    def __ge__(self, other: Any) -> Any:
        return _binary(frontend.functions.greater_equal, self, other)

    def __eq__(self, other: object) -> Any:
        return _binary(frontend.functions.equal, self, other)

    def __ne__(self, other: object) -> Any:
        return _binary(frontend.functions.not_equal, self, other)

    def __hash__(self) -> int:
        return id(self)

    def __neg__(self) -> Any:
        return frontend.functions.negative(self)

    def __pos__(self) -> Any:
        return frontend.functions.positive(self)

    def __abs__(self) -> Any:
        return frontend.functions.abs(self)

    def __invert__(self) -> Any:
        return frontend.functions.bitwise_invert(self)

    def __getitem__(self, key: Any) -> Any:
        return frontend.functions.getitem(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        frontend.functions.setitem(self, key, value)

    @property
    def T(self) -> Any:
        """The transpose of a matrix."""
        return frontend.functions.transpose(self)

    @property
    def mT(self) -> Any:
        """The last two axes swapped."""
        return frontend.functions.matrix_transpose(self)

    def reshape(self, *shape: Any) -> Any:
        """See :func:`polyback.reshape`; sizes may be given one by one."""
        return frontend.functions.reshape(self, shape[0] if len(shape) == 1 else shape)

    def astype(self, dtype: Any) -> Any:
        """See :func:`polyback.astype`."""
        return frontend.functions.astype(self, dtype)

    def sum(self, axis: Any = None, *, keepdims: bool = False) -> Any:
        """See :func:`polyback.sum`."""
        return frontend.functions.sum(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Any = None, *, keepdims: bool = False) -> Any:
        """See :func:`polyback.mean`."""
        return frontend.functions.mean(self, axis=axis, keepdims=keepdims)

    def max(self, axis: Any = None, *, keepdims: bool = False) -> Any:
        """See :func:`polyback.max`."""
        return frontend.functions.max(self, axis=axis, keepdims=keepdims)

    def min(self, axis: Any = None, *, keepdims: bool = False) -> Any:
        """See :func:`polyback.min`."""
        return frontend.functions.min(self, axis=axis, keepdims=keepdims)

    def argmax(self, axis: int | None = None, *, keepdims: bool = False) -> Any:
        """See :func:`polyback.argmax`."""
        return frontend.functions.argmax(self, axis=axis, keepdims=keepdims)
