"""Modules made of modules: one after the other, a list, a dictionary, and a detour around one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self, final, overload

from polyback.errors import IndexOutOfBounds, InvalidArgument, ShapeError
from polyback.frontend.nn.module import Module
from polyback.frontend.tensor import Tensor


def _checked(module: Any, what: str) -> Module:
    if not isinstance(module, Module):
        made = isinstance(module, type) and issubclass(module, Module)
        got = f"the class {module.__name__}" if made else type(module).__name__
        hint = f": {module.__name__}(...)" if made else ""
        raise InvalidArgument(f"[{what}] got {got}; want a Module{hint}")
    return module


class Series(Module):
    """The list that :class:`Sequential` and :class:`ModuleList` are: modules named by number.

    A slice is a new container of the same modules, numbered from 0.
    """

    def _arrange(self, parts: list[tuple[str, Module]]) -> None:
        """Make ``parts`` the children, in this order; names that are numbers are given anew."""
        checked = [(name, _checked(m, type(self).__name__)) for name, m in parts]
        for name in [name for name, _ in self.named_children()]:
            delattr(self, name)
        for k, (name, module) in enumerate(checked):
            spelled = str(k) if name.isdecimal() else name
            if spelled in vars(self) or hasattr(type(self), spelled) or "." in spelled:
                raise InvalidArgument(f"[{type(self).__name__}] {spelled!r} cannot name a module")
            setattr(self, spelled, module)

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        return self.insert(len(self), module)

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end."""
        self._arrange([*self.named_children(), *(("0", m) for m in modules)])
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Add a module before the one at ``index``."""
        parts = list(self.named_children())
        parts.insert(index, ("0", module))
        self._arrange(parts)
        return self

    @overload
    def __getitem__(self, index: int) -> Module: ...

    @overload
    def __getitem__(self, index: slice) -> Self: ...

    def __getitem__(self, index: int | slice) -> Module | Self:
        parts = list(self.named_children())
        if not isinstance(index, slice):
            return parts[self._spot(index)][1]
        result = type(self)()
        result._arrange([("0", module) for _, module in parts[index]])
        return result

    def __setitem__(self, index: int, module: Module) -> None:
        parts = list(self.named_children())
        spot = self._spot(index)
        parts[spot] = (parts[spot][0], module)
        self._arrange(parts)

    def __delitem__(self, index: int) -> None:
        parts = list(self.named_children())
        del parts[self._spot(index)]
        self._arrange(parts)

    def _spot(self, index: int) -> int:
        count = len(self)
        if not isinstance(index, int):
            raise InvalidArgument(
                f"[{type(self).__name__}] got the index {index!r}; want an integer or a slice, or "
                f"get_submodule(name)"
            )
        if not -count <= index < count:
            raise IndexOutOfBounds(
                f"[{type(self).__name__}] {index} is outside its {count} modules"
            )
        return index % count

    def __len__(self) -> int:
        return len(list(self.children()))

    def __iter__(self) -> Iterator[Module]:
        return self.children()


@final
class Sequential(Series):
    """``y = f_n(... f_2(f_1(x)))``; one dictionary instead gives the modules names.

    >>> import polyback as pb
    >>> net = pb.nn.Sequential(pb.nn.Linear(2, 3), pb.nn.ReLU())
    >>> net(pb.zeros((1, 2))).shape
    (1, 3)
    >>> net
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): ReLU()
    )
    >>> net[1:]
    Sequential(
      (0): ReLU()
    )
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            self._arrange(list(modules[0].items()))
        else:
            self._arrange([("0", _checked(module, "Sequential")) for module in modules])

    def forward(self, x: Any) -> Any:
        for module in self.children():
            x = module(x)
        return x


@final
class ModuleList(Series):
    """A list of modules for a ``forward`` of your own; a plain list as an attribute works as well.

    >>> import polyback as pb
    >>> layers = pb.nn.ModuleList(pb.nn.Linear(2, 2) for _ in range(3))
    >>> len(layers), len(list(layers.parameters()))
    (3, 6)
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        self._arrange([("0", module) for module in modules])

    def forward(self, *args: Any, **options: Any) -> Any:
        raise InvalidArgument("[ModuleList] a list is not a function; call its modules one by one")


@final
class ModuleDict(Module):
    """A dictionary of modules for a ``forward`` of your own; the keys are their names.

    Raises InvalidArgument for a key that is an attribute already or has a dot in it.

    >>> import polyback as pb
    >>> heads = pb.nn.ModuleDict({"age": pb.nn.Linear(4, 1), "name": pb.nn.Linear(4, 9)})
    >>> list(heads.keys()), heads["name"](pb.zeros((2, 4))).shape
    (['age', 'name'], (2, 9))
    """

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        self.update(modules or {})

    def forward(self, *args: Any, **options: Any) -> Any:
        raise InvalidArgument("[ModuleDict] a dictionary is not a function; call its modules")

    def update(self, modules: Mapping[str, Module]) -> None:
        """Set every key of ``modules``."""
        for key, module in modules.items():
            self[key] = module

    def keys(self) -> list[str]:
        """The names, in the order in which they were set."""
        return [name for name, _ in self.named_children()]

    def values(self) -> list[Module]:
        """The modules, in the order in which they were set."""
        return list(self.children())

    def items(self) -> list[tuple[str, Module]]:
        """Names and modules, in the order in which they were set."""
        return list(self.named_children())

    def __getitem__(self, key: str) -> Module:
        if key not in self:
            raise InvalidArgument(f"[ModuleDict] no module {key!r}; want one of {self.keys()}")
        return dict(self.items())[key]

    def __setitem__(self, key: str, module: Module) -> None:
        if key not in self and (hasattr(self, key) or "." in key):
            raise InvalidArgument(f"[ModuleDict] {key!r} cannot name a module; want another key")
        setattr(self, key, _checked(module, "ModuleDict"))

    def __delitem__(self, key: str) -> None:
        self[key]
        delattr(self, key)

    def __contains__(self, key: object) -> bool:
        return key in self.keys()

    def __len__(self) -> int:
        return len(self.keys())

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())


@final
class Residual(Module):
    """``y = x + f(x)``: a detour around ``f``, which must keep the shape (He et al., 2016).

    Raises ShapeError if it does not.

    >>> import polyback as pb
    >>> pb.nn.Residual(pb.nn.Identity())(pb.ones(2)).tolist()
    [2.0, 2.0]
    """

    def __init__(self, function: Module) -> None:
        self.function = _checked(function, "Residual")

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.function(x)
        if y.shape != x.shape:
            raise ShapeError(f"[Residual] f turns {x.shape} into {y.shape}; want the same shape")
        return x + y
