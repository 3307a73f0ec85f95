"""Modules made of modules: one after the other, a list, and a detour around one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, final

from polyback.errors import IndexOutOfBounds, InvalidArgument, ShapeError
from polyback.frontend.nn.module import Module
from polyback.frontend.tensor import Tensor


def _add(parent: Module, child: Any, what: str) -> None:
    """``child`` as the attribute named by its number, so that names are ``0.weight``."""
    if not isinstance(child, Module):
        raise InvalidArgument(f"[{what}] got {type(child).__name__}; want a Module")
    setattr(parent, str(len(list(parent.children()))), child)


def _item(parent: Module, index: int, what: str) -> Module:
    parts = list(parent.children())
    if not -len(parts) <= index < len(parts):
        raise IndexOutOfBounds(f"[{what}] {index} is outside its {len(parts)} modules")
    return parts[index]


@final
class Sequential(Module):
    """``y = f_n(... f_2(f_1(x)))``.

    >>> import polyback as pb
    >>> net = pb.nn.Sequential(pb.nn.Linear(2, 3), pb.nn.ReLU())
    >>> net(pb.zeros((1, 2))).shape
    (1, 3)
    >>> net
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): ReLU()
    )
    """

    def __init__(self, *modules: Module) -> None:
        for module in modules:
            _add(self, module, "Sequential")

    def forward(self, x: Any) -> Any:
        for module in self.children():
            x = module(x)
        return x

    def append(self, module: Module) -> Sequential:
        """Add a module at the end."""
        _add(self, module, "Sequential")
        return self

    def __getitem__(self, index: int) -> Module:
        return _item(self, index, "Sequential")

    def __len__(self) -> int:
        return len(list(self.children()))

    def __iter__(self) -> Iterator[Module]:
        return self.children()


@final
class ModuleList(Module):
    """A list of modules for a ``forward`` of your own; a plain list as an attribute works as well.

    >>> import polyback as pb
    >>> layers = pb.nn.ModuleList(pb.nn.Linear(2, 2) for _ in range(3))
    >>> len(layers), len(list(layers.parameters()))
    (3, 6)
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        for module in modules:
            _add(self, module, "ModuleList")

    def forward(self, *args: Any, **options: Any) -> Any:
        raise InvalidArgument("[ModuleList] a list is not a function; call its modules one by one")

    def append(self, module: Module) -> ModuleList:
        """Add a module at the end."""
        _add(self, module, "ModuleList")
        return self

    def __getitem__(self, index: int) -> Module:
        return _item(self, index, "ModuleList")

    def __len__(self) -> int:
        return len(list(self.children()))

    def __iter__(self) -> Iterator[Module]:
        return self.children()


@final
class Residual(Module):
    """``y = x + f(x)``: a detour around ``f``, which must keep the shape (He et al., 2016).

    Raises ShapeError if it does not.

    >>> import polyback as pb
    >>> pb.nn.Residual(pb.nn.Identity())(pb.ones(2)).tolist()
    [2.0, 2.0]
    """

    def __init__(self, function: Module) -> None:
        if not isinstance(function, Module):
            raise InvalidArgument(f"[Residual] got {type(function).__name__}; want a Module")
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.function(x)
        if y.shape != x.shape:
            raise ShapeError(f"[Residual] f turns {x.shape} into {y.shape}; want the same shape")
        return x + y
