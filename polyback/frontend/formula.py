"""Formula: elementwise arithmetic written once as a Python function, and run as one step.

A step of an expression costs the same whatever it computes, so a formula of six operations that is
one step costs a sixth. Where its result is to be differentiated, the same function runs on tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

from polyback import array
from polyback.array import Array
from polyback.composite import Composite
from polyback.dtype import DType, bool_
from polyback.frontend.autograd import is_grad_enabled
from polyback.frontend.tensor import Tensor
from polyback.program import program


@final
class Formula:
    """``body(*operands)``, made of operators and rows only, so that it takes tensors, and values of
    a program being written, alike. Operands are tensors of one type, or numbers where tensors may
    stand; those numbered in ``conditions`` are bool.

    >>> import polyback as pb
    >>> average = Formula("average", lambda a, b: (a + b) * 0.5, 2)
    >>> average(pb.asarray([1.0]), pb.asarray([2.0])).tolist()
    [1.5]
    """

    def __init__(
        self,
        name: str,
        body: Callable[..., Any],
        arity: int,
        conditions: frozenset[int] = frozenset(),
    ) -> None:
        self.name, self.body = name, body
        self._arity, self._conditions = arity, conditions
        self._composites: dict[DType, Composite] = {}

    def of(self, dtype: DType) -> Composite:
        """The formula as a row for operands of ``dtype``, which is no half type."""
        found = self._composites.get(dtype)
        if found is None:
            types = [bool_ if k in self._conditions else dtype for k in range(self._arity)]
            found = self._composites[dtype] = Composite(self.name, program(self.body, *types))
        return found

    def on(self, *operands: Array | float) -> Array:
        """The result for arrays of one real floating type; half types are computed in float32."""
        dtype = next(
            x.dtype
            for k, x in enumerate(operands)
            if type(x) is Array and k not in self._conditions
        )
        return array.apply(self.of(dtype.compute), operands, dtype)

    def __call__(self, *operands: Any) -> Any:
        arrays: list[Any] = []
        dtype, tracked = None, False
        for k, x in enumerate(operands):
            if type(x) is not Tensor:
                arrays.append(x)
                continue
            arrays.append(x.array)
            tracked = tracked or x.node is not None or x.requires_grad_
            if k not in self._conditions:
                kind = x.array.dtype
                if kind.kind != "float" or (dtype is not None and kind is not dtype):
                    return self.body(*operands)
                dtype = kind
        if dtype is None or (tracked and is_grad_enabled()):
            return self.body(*operands)
        return Tensor(array.apply(self.of(dtype.compute), arrays, dtype))
