"""Tensor: an Array that can be differentiated. Methods and operators delegate to functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, final

import numpy as np

from polyback import frontend
from polyback.array import Array, from_numpy
from polyback.dtype import DType
from polyback.errors import DTypeError, GradientError, InvalidArgument, ShapeError
from polyback.frontend.autograd import Node, backward, set_grad_enabled, settled
from polyback.frontend.operators import Operators
from polyback.runtime import Device, device
from polyback.scalar import Scalar


@final
class Tensor(Operators):
    """An n-dimensional array on a device, with automatic differentiation.

    Made by :func:`polyback.asarray` and friends, not by calling the class.
    """

    __slots__ = ("__weakref__", "array", "grad", "node", "requires_grad_")
    __array_ufunc__ = None  # NumPy's operators give way to ours

    def __init__(
        self, array: Array, *, requires_grad: bool = False, node: Node | None = None
    ) -> None:
        self.array = array
        self.node = node
        self.requires_grad_ = requires_grad
        self.grad: Tensor | None = None

    # --- what it is ------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return self.array.view.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.array.view.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.array.view.size

    @property
    def dtype(self) -> DType:
        """The element type."""
        return self.array.dtype

    @property
    def device(self) -> Device:
        """Where the numbers live."""
        return self.array.device

    @property
    def edge(self) -> Any:
        """Where a gradient for this tensor goes: its Node, itself if it is a leaf, or None."""
        return self.node or (self if self.requires_grad_ else None)

    @property
    def requires_grad(self) -> bool:
        """Is this tensor part of a graph, or a leaf that gradients are kept for?"""
        return self.requires_grad_ or self.node is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value and self.dtype.kind not in ("float", "complex"):
            raise DTypeError(f"[requires_grad] got {self.dtype}; want a floating-point type")
        if self.node is not None:
            raise GradientError("[requires_grad] only leaves have this flag; detach() first")
        self.requires_grad_ = value

    @property
    def is_leaf(self) -> bool:
        """True unless an operation made this tensor as part of a graph."""
        return self.node is None

    # --- leaving the device ----------------------------------------------------------------------

    def numpy(self) -> np.ndarray[Any, Any]:
        """A copy as a NumPy array."""
        return self.array.numpy()

    def item(self) -> Any:
        """The only element as a Python number. Raises InvalidArgument if there are several."""
        if self.size != 1:
            raise InvalidArgument(f"[item] got shape {self.shape}; want exactly one element")
        return self.array.numpy().reshape(()).item()

    def tolist(self) -> Any:
        """Nested lists of Python numbers."""
        return self.array.numpy().tolist()

    def to_device(self, target: str | Device, /, *, stream: Any = None) -> Tensor:
        """This tensor on another device (itself if it is there already); differentiable."""
        if stream is not None:
            raise InvalidArgument("[to_device] streams are not supported; want stream=None")
        return frontend.functions.creation.to_device(self, device(target))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return frontend.interchange.to_array(self, dtype, copy)

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[Any, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        return frontend.interchange.to_dlpack(self, stream, max_version, dl_device, copy)

    def __dlpack_device__(self) -> tuple[int, int]:
        return frontend.interchange.HOST

    def __array_namespace__(self, /, *, api_version: str | None = None) -> Any:
        return frontend.info.namespace(api_version)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        if not self.dtype.is_integer or self.shape:
            raise DTypeError(f"[index] got {self.dtype} {self.shape}; want a 0-d integer tensor")
        return int(self.item())

    def __len__(self) -> int:
        if not self.shape:
            raise ShapeError("[len] a 0-d tensor has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[k] for k in range(len(self)))

    def __repr__(self) -> str:
        values = np.array2string(self.numpy(), separator=", ", prefix="tensor(", threshold=200)
        hidden = self.size > 200 or (self.size == 0 and self.ndim > 1)  # as NumPy has it
        shape = f", shape={self.shape}" if hidden else ""
        extra = ", requires_grad=True" if self.requires_grad else ""
        return f"tensor({values}{shape}, dtype={self.dtype}, device={self.device}{extra})"

    def __reduce__(self) -> tuple[Any, ...]:
        state = (self.numpy(), self.dtype, str(self.device), self.requires_grad_)
        return (_rebuild, state)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        return Tensor(self.array.copy(), requires_grad=self.requires_grad_)

    # --- differentiation -------------------------------------------------------------------------

    def detach(self) -> Tensor:
        """The same numbers, outside the graph."""
        return Tensor(self.array)

    def backward(
        self,
        gradient: Tensor | None = None,
        *,
        retain_graph: bool = False,
        create_graph: bool = False,
    ) -> None:
        """Add d(self)/d(leaf) to ``.grad`` of every leaf below; of a complex leaf ``x + iy`` it is
        d(self)/dx + i d(self)/dy.

        ``gradient`` (the shape of self) is needed unless self has one element. The graph is freed
        unless ``retain_graph`` or ``create_graph``. Raises GradientError outside a graph.
        """
        if self.edge is None:
            raise GradientError("[backward] this tensor is not part of a graph; want requires_grad")
        if gradient is None:
            if self.size != 1:
                raise GradientError(
                    f"[backward] got shape {self.shape}; want one element, or pass gradient="
                )
            if self.dtype.kind == "complex":
                raise GradientError(
                    f"[backward] got {self.dtype}; want a real number: abs(), or pass gradient="
                )
            gradient = frontend.functions.ones_like(self)
        if gradient.shape != self.shape:
            raise ShapeError(f"[backward] gradient is {gradient.shape}; want {self.shape}")
        with set_grad_enabled(create_graph):
            found = backward([(self, gradient)], release=not (retain_graph or create_graph))
            parts = settled((part for _, part in found.values()), gradient)
            for (leaf, _), part in zip(found.values(), parts, strict=True):
                leaf.grad = part if leaf.grad is None else leaf.grad + part

    # --- the hook of rows ------------------------------------------------------------------------

    def apply(self, row: Scalar, operands: tuple[Any, ...]) -> Tensor:
        """Apply a scalar function (see :mod:`polyback.scalar`)."""
        return frontend.functions.elementwise.apply(row, *operands)


def _rebuild(values: Any, dtype: DType, name: str, requires_grad: bool) -> Tensor:
    return Tensor(from_numpy(device(name), values, dtype), requires_grad=requires_grad)
