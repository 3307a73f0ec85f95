"""What teaches other libraries to take tensors. Nothing is imported or changed before it is called.

Libraries written against the array API need nothing from here: tensors name their namespace.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from functools import cache
from typing import Any

import polyback.frontend.functions as F
from polyback.frontend.tensor import Tensor


@cache
def register_einops() -> type:
    """Make ``einops.rearrange``, ``reduce``, ``repeat``, ``einsum``, ``pack`` and ``unpack`` take
    tensors, with gradients.

    einops finds libraries among the subclasses of its ``AbstractBackend``; this defines one, and
    gives it. Raises ImportError without einops: ``pip install polyback[einops]``.

    >>> import polyback as pb
    >>> pb.interop.register_einops()                            # doctest: +SKIP
    >>> einops.rearrange(pb.zeros((2, 3)), "a b -> b a").shape  # doctest: +SKIP
    (3, 2)
    """
    try:
        base: Any = importlib.import_module("einops._backends").AbstractBackend
    except ImportError as error:
        raise ImportError(
            f"[register_einops] {error}; want pip install polyback[einops]"
        ) from error

    class Backend(base):  # type: ignore[misc]  # einops has no types
        """Tensors as einops wants them; what is not here, its base class does with operators."""

        framework_name = "polyback"

        def is_appropriate_type(self, tensor: Any) -> bool:
            return isinstance(tensor, Tensor)

        def from_numpy(self, x: Any) -> Tensor:
            return F.asarray(x)

        def to_numpy(self, x: Tensor) -> Any:
            return x.numpy()

        def arange(self, start: int, stop: int) -> Tensor:
            return F.arange(start, stop)

        def reshape(self, x: Tensor, shape: Sequence[int]) -> Tensor:
            return F.reshape(x, shape)

        def transpose(self, x: Tensor, axes: Sequence[int]) -> Tensor:
            return F.permute_dims(x, axes)

        def reduce(self, x: Tensor, operation: str, axes: Sequence[int]) -> Tensor:
            result: Tensor = getattr(F, operation)(x, axis=tuple(axes))
            return result

        def stack_on_zeroth_dimension(self, tensors: list[Tensor]) -> Tensor:
            return F.stack(tensors)

        def add_axis(self, x: Tensor, new_position: int) -> Tensor:
            return F.expand_dims(x, new_position)

        def tile(self, x: Tensor, repeats: tuple[int, ...]) -> Tensor:
            return F.tile(x, repeats)

        def concat(self, tensors: Sequence[Tensor], axis: int) -> Tensor:
            return F.concat(tensors, axis=axis)

        def is_float_type(self, x: Tensor) -> bool:
            return x.dtype.kind in ("float", "complex")

        def einsum(self, pattern: str, *x: Tensor) -> Tensor:
            return F.einsum(pattern, *x)

    return Backend  # the cache of this function holds it: its base class does so only weakly
