"""Lists and dictionaries of parameters: modules that are only their parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, final

from polyback.errors import IndexOutOfBounds, InvalidArgument
from polyback.frontend.nn.module import Module, Parameter
from polyback.frontend.tensor import Tensor


def _parameter(value: Tensor) -> Tensor:
    """``value`` as a parameter: itself if it is one, also a frozen one."""
    return value if isinstance(value, Tensor) and value.requires_grad else Parameter(value)


@final
class ParameterList(Module):
    """A list of parameters for a ``forward`` of your own, named by number; tensors become some.

    >>> import polyback as pb
    >>> scales = pb.nn.ParameterList(pb.ones(2) for _ in range(3))
    >>> len(scales), [name for name, _ in scales.named_parameters()], scales[-1].tolist()
    (3, ['0', '1', '2'], [1.0, 1.0])
    """

    def __init__(self, values: Iterable[Tensor] = ()) -> None:
        self.extend(values)

    def forward(self, *args: Any, **options: Any) -> Any:
        raise InvalidArgument("[ParameterList] a list is not a function; use its parameters")

    def append(self, value: Tensor) -> ParameterList:
        """Add a parameter at the end."""
        setattr(self, str(len(self)), _parameter(value))
        return self

    def extend(self, values: Iterable[Tensor]) -> ParameterList:
        """Add parameters at the end."""
        for value in values:
            self.append(value)
        return self

    def _spot(self, index: int) -> str:
        count = len(self)
        if not -count <= index < count:
            raise IndexOutOfBounds(f"[ParameterList] {index} is outside its {count} parameters")
        return str(index % count)

    def __getitem__(self, index: int) -> Tensor:
        found: Tensor = getattr(self, self._spot(index))
        return found

    def __setitem__(self, index: int, value: Tensor) -> None:
        setattr(self, self._spot(index), _parameter(value))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[Tensor]:
        return (value for _, value in self._own("parameter"))  # one that is there twice, twice


@final
class ParameterDict(Module):
    """A dictionary of parameters for a ``forward`` of your own; the keys are their names.

    Raises InvalidArgument for a key that is an attribute already or has a dot in it.

    >>> import polyback as pb
    >>> scales = pb.nn.ParameterDict({"left": pb.ones(2)})
    >>> scales["right"] = pb.zeros(2)
    >>> scales.keys(), scales["left"].requires_grad
    (['left', 'right'], True)
    """

    def __init__(self, values: Mapping[str, Tensor] | None = None) -> None:
        for key, value in (values or {}).items():
            self[key] = value

    def forward(self, *args: Any, **options: Any) -> Any:
        raise InvalidArgument("[ParameterDict] a dictionary is not a function; use its parameters")

    def keys(self) -> list[str]:
        """The names, in the order in which they were set."""
        return [name for name, _ in self.items()]

    def values(self) -> list[Tensor]:
        """The parameters, in the order in which they were set."""
        return [value for _, value in self.items()]

    def items(self) -> list[tuple[str, Tensor]]:
        """Names and parameters, in the order in which they were set."""
        return list(self._own("parameter"))

    def __getitem__(self, key: str) -> Tensor:
        if key not in self:
            raise InvalidArgument(f"[ParameterDict] no {key!r}; want one of {self.keys()}")
        found: Tensor = getattr(self, key)
        return found

    def __setitem__(self, key: str, value: Tensor) -> None:
        if key not in self and (hasattr(self, key) or "." in key):
            raise InvalidArgument(f"[ParameterDict] {key!r} cannot name a parameter")
        setattr(self, key, _parameter(value))

    def __contains__(self, key: object) -> bool:
        return key in self.keys()

    def __len__(self) -> int:
        return len(self.keys())

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())
