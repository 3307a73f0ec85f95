"""Optimizer: parameters in groups, the numbers that each group is trained with, and saved state."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from polyback.errors import DTypeError, GradientError, InvalidArgument, ShapeError
from polyback.frontend.autograd import no_grad, set_grad_enabled
from polyback.frontend.functions import zeros_like
from polyback.frontend.functions.creation import to_device
from polyback.frontend.functions.elementwise import cast
from polyback.frontend.tensor import Tensor

Parameters = Iterable[Tensor] | Iterable[dict[str, Any]]
State = dict[str, Any]  # of one parameter: tensors of its shape, and plain numbers


class Optimizer:
    """The base class of optimizers. Subclasses write ``_update``, or ``step`` as a whole, and may
    refuse options in ``_check``.

    ``params``: tensors, or dictionaries with ``"params"`` and options of their own, such as
    ``[{"params": a}, {"params": b, "lr": 0.1}]``. Updates are written into the parameters' buffers,
    outside any graph; a parameter without a gradient is left alone.

    Raises InvalidArgument for no parameters, one given twice, unknown options or bad values;
    GradientError for a tensor that is not a leaf.

    >>> import polyback as pb
    >>> class SignSGD(pb.optim.Optimizer):
    ...     def __init__(self, params, lr=0.5):
    ...         super().__init__(params, {"lr": lr})
    ...
    ...     def _update(self, parameter, gradient, state, group):
    ...         parameter -= group["lr"] * pb.sign(gradient)
    >>> p = pb.asarray([2.0], requires_grad=True)
    >>> optimizer = SignSGD([p])
    >>> pb.sum(p * p).backward()
    >>> optimizer.step()
    >>> p.tolist()
    [1.5]
    """

    _needs: ClassVar[tuple[str, ...]] = ()  # what a parameter's state has, once it has any

    def __init__(self, params: Parameters, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[int, State] = {}  # by the parameter's number in all groups
        try:
            given: list[Any] = [params] if isinstance(params, Tensor) else list(params)
        except TypeError:
            given = []
        if not given:
            raise InvalidArgument(
                f"[{self._name}] got no parameters ({type(params).__name__}); want "
                f"model.parameters()"
            )
        grouped = isinstance(given[0], dict)
        for group in given if grouped else [{"params": given}]:
            self.add_param_group(group)

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _check(self, group: dict[str, Any]) -> None:
        """Raise InvalidArgument for options that cannot be right."""

    def _update(self, parameter: Tensor, gradient: Tensor, state: State, group: Any) -> None:
        """Write the new values of ``parameter`` and ``state`` (empty at first) in place."""
        raise GradientError(f"[{self._name}] has neither _update nor a step of its own")

    def add_param_group(self, group: dict[str, Any]) -> None:
        """Train more parameters: ``{"params": tensors, option: value, ...}``."""
        unknown = set(group) - set(self.defaults) - {"params"}
        if unknown or "params" not in group:
            raise InvalidArgument(
                f"[{self._name}] got a group with {sorted(group)}; want 'params' and any of "
                f"{sorted(self.defaults)}"
            )
        tensors = group["params"]
        full = {**self.defaults, **group}
        full["params"] = [tensors] if isinstance(tensors, Tensor) else list(tensors)
        for tensor in full["params"]:
            self._check_parameter(tensor)
        everything = [id(p) for g in (*self.param_groups, full) for p in g["params"]]
        if len(set(everything)) != len(everything):
            raise InvalidArgument(f"[{self._name}] a parameter was given twice; want each once")
        self._check(full)
        self.param_groups.append(full)

    def _check_parameter(self, tensor: Any) -> None:
        if not isinstance(tensor, Tensor) or not tensor.dtype.is_floating:
            got = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
            raise DTypeError(f"[{self._name}] got {got}; want floating-point tensors")
        if not tensor.is_leaf:
            raise GradientError(f"[{self._name}] got the result of an operation; want a leaf")

    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Move every parameter that has a gradient: down its function, or up with ``maximize``.

        ``closure``: computes the loss and the gradients first; the loss is returned.
        """
        loss = None
        if closure is not None:
            with set_grad_enabled(True):
                loss = closure()
        number = 0
        with no_grad():
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        state = self.state.setdefault(number, {})
                        gradient = -parameter.grad if group.get("maximize") else parameter.grad
                        self._update(parameter, gradient, state, group)
                    number += 1
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or make them zeros."""
        clear_gradients((p for group in self.param_groups for p in group["params"]), set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """``{"state": {number: ...}, "param_groups": [...]}``; parameters are numbers in order.

        Tensors share their memory with the optimizer: ``copy.deepcopy`` them to keep a snapshot.
        """
        groups, first = [], 0
        for group in self.param_groups:
            count = len(group["params"])
            groups.append({**group, "params": list(range(first, first + count))})
            first += count
        return {"state": {k: dict(s) for k, s in self.state.items()}, "param_groups": groups}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what ``state_dict`` gave, for the same parameters in the same order.

        Tensors are copied to where their parameters are. Raises InvalidArgument or ShapeError
        before anything has changed.
        """
        try:
            groups, saved = list(state["param_groups"]), dict(state["state"])
            sizes = [len(g["params"]) for g in groups]
            strange = [s for s in (*groups, *saved.values()) if not isinstance(s, Mapping)]
        except (KeyError, TypeError, ValueError):
            strange = [state]
        if strange:
            raise InvalidArgument(
                f"[{self._name}] want the result of state_dict(): 'state' and 'param_groups'"
            )
        own = [len(g["params"]) for g in self.param_groups]
        if sizes != own or any(set(g) != {*self.defaults, "params"} for g in groups):
            raise InvalidArgument(
                f"[{self._name}] got groups of {sizes} parameters, this has {own}; want the state "
                f"of the same kind of optimizer for the same parameters"
            )
        for group in groups:
            self._check(group)
        parameters = [p for g in self.param_groups for p in g["params"]]
        loaded = {k: self._moved(s, k, parameters) for k, s in saved.items()}
        for mine, group in zip(self.param_groups, groups, strict=True):
            mine.update({k: v for k, v in group.items() if k != "params"})
        self.state = loaded

    def _moved(self, saved: State, number: Any, parameters: list[Tensor]) -> State:
        if not isinstance(number, int) or not 0 <= number < len(parameters):
            raise InvalidArgument(f"[{self._name}] state for {number!r}; want a parameter's number")
        target = parameters[number]
        lacking = [name for name in self._needs if saved and name not in saved]
        if lacking:
            raise InvalidArgument(f"[{self._name}] the state of parameter {number} lacks {lacking}")
        result: State = {}
        for name, value in saved.items():
            if isinstance(value, Tensor):
                if value.shape != target.shape:
                    raise ShapeError(
                        f"[{self._name}] {name} of parameter {number} is {value.shape}; "
                        f"want {target.shape}"
                    )
                moved = cast(to_device(value.detach(), target.device), target.dtype)
                value = Tensor(moved.array.copy())
            elif name in self._needs and (name != "step" or type(value) is not int):
                raise InvalidArgument(
                    f"[{self._name}] {name} of parameter {number} is {value!r}; want "
                    f"{'an integer' if name == 'step' else 'a tensor'}"
                )
            result[name] = value
        return result


def clear_gradients(parameters: Iterable[Tensor], set_to_none: bool) -> None:
    """Forget gradients, or make those that there are zeros."""
    for parameter in parameters:
        if set_to_none or parameter.grad is None:
            parameter.grad = None
        else:
            parameter.grad = zeros_like(parameter)


def check_options(what: str, group: dict[str, Any], *names: str) -> None:
    """Raise InvalidArgument unless these options are finite numbers of 0 or more."""
    for name in names:
        value = group[name]
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not 0.0 <= value < math.inf:
            raise InvalidArgument(f"[{what}] got {name}={value!r}; want a number of 0 or more")


def check_optimizer(optimizer: Any, what: str) -> None:
    """Raise InvalidArgument for anything else."""
    if not isinstance(optimizer, Optimizer):
        raise InvalidArgument(f"[{what}] got {type(optimizer).__name__}; want an optimizer")
