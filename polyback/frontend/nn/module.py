"""Module: a tree of parameters, buffers and smaller modules, with a ``forward`` formula.

The rule of attributes, in the order in which they are set in ``__init__``:

- a leaf tensor with ``requires_grad=True`` (what :func:`Parameter` makes) is a *parameter*. Its
  name stays one when ``requires_grad`` is switched off later, so freezing loses nothing;
- a tensor given to :meth:`Module.register_buffer` is a *buffer*: moved and saved, but not trained;
- a Module, or a list, tuple or dictionary of Modules, is a *child*;
- everything else is a plain attribute.

No call of ``super().__init__()`` is needed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple, Self

from polyback.dtype import DType, dtype_of
from polyback.errors import DTypeError, GradientError, InvalidArgument, ShapeError
from polyback.frontend.autograd import no_grad
from polyback.frontend.functions import astype
from polyback.frontend.functions.creation import to_device
from polyback.frontend.nn.hooks import Handle, Hook, Hooks
from polyback.frontend.optim.optimizer import clear_gradients
from polyback.frontend.tensor import Tensor
from polyback.runtime import Device
from polyback.runtime import device as get_device

Kind = Literal["parameter", "buffer", "scratch"]  # scratch: a buffer that is not saved
_KINDS: Final = "_kinds"  # the attribute that remembers which names are parameters and buffers
_HOOKS: Final = "_hooks"  # None until there is one


def Parameter(data: Tensor, requires_grad: bool = True) -> Tensor:
    """``data`` as a leaf that gradients are kept for: what makes an attribute a parameter.

    The numbers are shared with ``data``. Raises DTypeError unless they are floating-point.

    >>> import polyback as pb
    >>> pb.nn.Parameter(pb.zeros(2)).requires_grad
    True
    """
    if not isinstance(data, Tensor):
        raise DTypeError(f"[Parameter] got {type(data).__name__}; want a tensor: use asarray()")
    result = data.detach()
    result.requires_grad = requires_grad
    return result


class LoadResult(NamedTuple):
    """What :meth:`Module.load_state_dict` left out: names without values, values without names."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module(ABC):
    """The base class of everything that has parameters. Subclasses write ``forward``.

    >>> import polyback as pb
    >>> class Scale(pb.nn.Module):
    ...     def __init__(self):
    ...         self.factor = pb.nn.Parameter(pb.asarray(2.0))
    ...
    ...     def forward(self, x):
    ...         return self.factor * x
    >>> Scale()(pb.asarray([1.0, 2.0])).tolist()
    [2.0, 4.0]
    """

    training: bool

    def __new__(cls, *args: Any, **options: Any) -> Self:
        self = super().__new__(cls)
        vars(self).update({_KINDS: {}, _HOOKS: None, "training": True})
        return self

    def __init__(self) -> None:
        """Takes nothing, so that an option that a layer lacks is an error."""
        super().__init__()

    @abstractmethod
    def forward(self, *args: Any, **options: Any) -> Any:
        """The result for the inputs."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        hooks: Hooks | None = vars(self)[_HOOKS]
        return self.forward(*args, **options) if hooks is None else hooks.call(self, args, options)

    # --- attributes -----------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        kinds: dict[str, Kind] = vars(self)[_KINDS]
        if not isinstance(value, Tensor):
            if kinds.get(name) == "parameter" or value is not None:
                kinds.pop(name, None)  # a buffer that is None for now stays one
            _check_plain(name, value)
        elif name not in kinds and value.is_leaf and value.requires_grad:
            kinds[name] = "parameter"
        elif kinds.get(name) == "parameter" and not value.is_leaf:
            raise GradientError(
                f"[module] {name} is a parameter, got the result of an operation; want a leaf: "
                f"nn.Parameter(...), or another name"
            )
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        vars(self)[_KINDS].pop(name, None)
        object.__delattr__(self, name)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Keep ``tensor`` as attribute ``name``: moved with the module, never trained, and saved
        with it if ``persistent``. None keeps the place for one.

        Raises InvalidArgument for a name in use, DTypeError for something that is no tensor.
        """
        if name in vars(self):
            raise InvalidArgument(f"[register_buffer] {name!r} is an attribute already")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise DTypeError(f"[register_buffer] got {type(tensor).__name__}; want a tensor")
        vars(self)[_KINDS][name] = "buffer" if persistent else "scratch"
        object.__setattr__(self, name, tensor)

    def register_parameter(self, name: str, param: Tensor | None) -> None:
        """``setattr(self, name, param)`` for a name known only when the program runs."""
        _check_name("register_parameter", self, name)
        if param is not None and not (isinstance(param, Tensor) and param.is_leaf):
            raise DTypeError(
                f"[register_parameter] got {type(param).__name__}; want nn.Parameter(tensor)"
            )
        setattr(self, name, param)

    def add_module(self, name: str, module: Module | None) -> None:
        """``setattr(self, name, module)`` for a name known only when the program runs."""
        _check_name("add_module", self, name)
        if module is not None and not isinstance(module, Module):
            raise DTypeError(f"[add_module] got {type(module).__name__}; want a Module")
        setattr(self, name, module)

    def _own(self, *wanted: Kind) -> Iterator[tuple[str, Tensor]]:
        kinds = vars(self)[_KINDS]
        named = list(vars(self).items())
        return ((k, v) for k, v in named if kinds.get(k) in wanted and v is not None)

    # --- the tree -------------------------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules right below this one; those of a list are named ``list.0``, ``list.1``, those
        of a dictionary by their keys."""
        for name, value in list(vars(self).items()):
            if isinstance(value, Module):
                yield name, value
            elif isinstance(value, (list, tuple, dict)) and name not in (_KINDS, _HOOKS):
                parts = value.items() if isinstance(value, dict) else enumerate(value)
                yield from ((f"{name}.{k}", m) for k, m in parts if isinstance(m, Module))

    def children(self) -> Iterator[Module]:
        """The modules right below this one."""
        return (child for _, child in self.named_children())

    def _walk(self, prefix: str, path: tuple[Module, ...]) -> Iterator[tuple[str, Module]]:
        """All modules with the prefix of their names; a shared one comes once per name."""
        if any(self is above for above in path):
            raise InvalidArgument(f"[module] {prefix.rstrip('.')} contains itself; want a tree")
        yield prefix, self
        for name, child in self.named_children():
            yield from child._walk(f"{prefix}{name}.", (*path, self))

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """This module (named ``""``) and all below, each once, under its first name."""
        seen = set[int]()
        for prefix, module in self._walk("", ()):
            if id(module) not in seen:
                seen.add(id(module))
                yield prefix.rstrip("."), module

    def get_submodule(self, target: str) -> Module:
        """The module of that name, such as ``"layers.0"``. Raises InvalidArgument.

        >>> import polyback as pb
        >>> pb.nn.Sequential(pb.nn.Tanh()).get_submodule("0")
        Tanh()
        """
        for prefix, module in self._walk("", ()):
            if prefix.rstrip(".") == target:
                return module
        known = [name for name, _ in self.named_modules()]
        raise InvalidArgument(f"[get_submodule] there is no {target!r}; want one of {known}")

    def modules(self) -> Iterator[Module]:
        """This module and all below, each once."""
        return (module for _, module in self.named_modules())

    def _tensors(self, prefix: str, recurse: bool, *wanted: Kind) -> Iterator[tuple[str, Tensor]]:
        seen, start = set[int](), f"{prefix}." if prefix else ""
        for spot, module in self._walk(start, ()) if recurse else [(start, self)]:
            for name, tensor in module._own(*wanted):
                if id(tensor) not in seen:
                    seen.add(id(tensor))
                    yield spot + name, tensor

    def named_parameters(
        self, prefix: str = "", recurse: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Names, such as ``"layers.0.weight"``, and parameters, each once, in definition order.
        Without ``recurse`` only the module's own."""
        return self._tensors(prefix, recurse, "parameter")

    def parameters(self, recurse: bool = True) -> Iterator[Tensor]:
        """All parameters, each once, in definition order: what an optimizer takes."""
        return (tensor for _, tensor in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Tensor]]:
        """Names and buffers, each once, in definition order."""
        return self._tensors(prefix, recurse, "buffer", "scratch")

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """All buffers, each once, in definition order."""
        return (tensor for _, tensor in self.named_buffers(recurse=recurse))

    def num_parameters(self) -> int:
        """How many numbers can be trained.

        >>> import polyback as pb
        >>> pb.nn.Linear(3, 2).num_parameters()
        8
        """
        return sum(p.size for p in self.parameters())

    # --- changing the whole tree ----------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Behave as in training (dropout drops, batch norm learns), or not. Returns the module."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Behave as in use: ``train(False)``."""
        return self.train(False)

    def apply(self, function: Callable[[Module], Any]) -> Self:
        """Call ``function`` with every module below and with this one, last. Returns the module.

        >>> import polyback as pb
        >>> net = pb.nn.Sequential(pb.nn.Linear(1, 1), pb.nn.Tanh())
        >>> _ = net.apply(lambda module: print(type(module).__name__))
        Linear
        Tanh
        Sequential
        """
        for module in self.children():
            module.apply(function)
        function(self)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or make them zeros."""
        clear_gradients(self.parameters(), set_to_none)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Train all parameters, or freeze them. Returns the module."""
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def to(self, device: str | Device | DType | None = None, dtype: Any = None) -> Self:
        """Move parameters, buffers, gradients to ``device``; convert floating ones to ``dtype``.

        Tensors stay the same objects, so an optimizer keeps working on them; make it after the
        move all the same, for its own state does not move. A dtype may also come first, as in
        ``to(pb.float64)``. Returns the module.

        >>> import polyback as pb
        >>> next(pb.nn.Linear(2, 2).to(dtype=pb.float64).parameters()).dtype
        polyback.float64
        """
        if isinstance(device, DType):
            device, dtype = None, device
        place = None if device is None else get_device(device)
        kind = None if dtype is None else dtype_of(dtype)
        if kind is not None and not kind.is_floating:
            raise DTypeError(f"[to] got {kind}; want a floating-point type")

        def moved(tensor: Tensor) -> Tensor:
            result = tensor.detach()
            if place is not None:
                result = to_device(result, place)
            fits = kind is None or not tensor.dtype.is_floating
            return result if fits else astype(result, kind, copy=False)

        tensors = [t for _, t in (*self.named_parameters(), *self.named_buffers())]
        results = [(moved(t), None if t.grad is None else moved(t.grad)) for t in tensors]
        for tensor, (data, gradient) in zip(tensors, results, strict=True):
            tensor.array, tensor.grad = data.array, gradient
        return self

    # --- hooks ----------------------------------------------------------------------------------

    def _hook_set(self) -> Hooks:
        hooks: Hooks = vars(self)[_HOOKS] or Hooks()
        vars(self)[_HOOKS] = hooks
        return hooks

    def register_forward_pre_hook(self, hook: Hook, *, with_kwargs: bool = False) -> Handle:
        """Call ``hook(module, args)`` before each forward; what it returns, unless None, replaces
        the arguments. ``with_kwargs``: ``hook(module, args, kwargs)`` returns both, or None."""
        return self._hook_set().add("before", hook, with_kwargs)

    def register_forward_hook(self, hook: Hook, *, with_kwargs: bool = False) -> Handle:
        """Call ``hook(module, args, output)`` after each forward; what it returns, unless None,
        replaces the output. ``with_kwargs``: ``hook(module, args, kwargs, output)``."""
        return self._hook_set().add("after", hook, with_kwargs)

    def register_full_backward_hook(self, hook: Hook) -> Handle:
        """Call ``hook(module, (grad_input,), (grad_output,))`` in each backward pass; what it
        returns, unless None, replaces the gradient of the input.

        ``grad_input`` is None where the input needs no gradient. For modules that turn one such
        tensor into one tensor; a call of another kind raises InvalidArgument.
        """
        return self._hook_set().add("backward", hook)

    # --- saving ---------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Tensor]:
        """All parameters and buffers by name, as PyTorch names them.

        The tensors share their numbers with the module: ``copy.deepcopy`` them to keep a snapshot.

        >>> import polyback as pb
        >>> list(pb.nn.Linear(2, 1).state_dict())
        ['weight', 'bias']
        """
        return {name: tensor.detach() for name, tensor in self._state()}

    def _state(self) -> Iterator[tuple[str, Tensor]]:
        for prefix, module in self._walk("", ()):
            for name, tensor in (*module._own("parameter"), *module._own("buffer")):
                yield prefix + name, tensor

    def load_state_dict(self, state: Mapping[str, Tensor], strict: bool = True) -> LoadResult:
        """Write the tensors of ``state`` into this module's, in place; they may be on any device.

        Raises, before anything has changed: InvalidArgument for missing or unexpected names (unless
        ``strict=False``, which lists them in the result), ShapeError, DTypeError.
        """
        if not isinstance(state, Mapping):
            raise InvalidArgument(
                f"[load_state_dict] got {type(state).__name__}; want tensors by name"
            )
        own = dict(self._state())
        missing = [name for name in own if name not in state]
        unexpected = [name for name in state if name not in own]
        if strict and (missing or unexpected):
            raise InvalidArgument(
                f"[load_state_dict] {type(self).__name__}: missing {missing}, unexpected "
                f"{unexpected}; want exactly the names of state_dict(), or strict=False"
            )
        pairs = []
        for name, target in own.items():
            if name in state:
                _check_loaded(name, state[name], target)
                pairs.append((target, to_device(state[name].detach(), target.device)))
        with no_grad():
            for target, source in pairs:
                if source.array.storage is not target.array.storage:
                    target.array.assign(source.array)
        return LoadResult(missing, unexpected)

    # --- printing -------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What stands between the brackets when the module is printed."""
        return ""

    def __repr__(self) -> str:
        lines = []
        for name, child in self.named_children():
            lines.append(f"({name}): {child!r}".replace("\n", "\n  "))
        inside = "\n  ".join([*filter(None, [self.extra_repr()]), *lines])
        return f"{type(self).__name__}(" + (f"\n  {inside}\n)" if lines else f"{inside})")


def _check_name(op: str, module: Module, name: str) -> None:
    """Raises InvalidArgument for a name that state cannot have, or that is another thing's."""
    if not isinstance(name, str) or not name or "." in name or hasattr(type(module), name):
        raise InvalidArgument(f"[{op}] {name!r} cannot be a name here; want another, without dots")


def _check_plain(name: str, value: Any) -> None:
    """Raises InvalidArgument for parameters in a list: they would be none."""
    parts = value.values() if isinstance(value, dict) else value
    if isinstance(value, (list, tuple, dict)) and any(
        isinstance(x, Tensor) and x.is_leaf and x.requires_grad for x in parts
    ):
        raise InvalidArgument(
            f"[module] {name} is a {type(value).__name__} of parameters, which would not be "
            f"trained; want nn.ParameterList or nn.ParameterDict"
        )


def _check_loaded(name: str, source: Any, target: Tensor) -> None:
    if not isinstance(source, Tensor):
        raise DTypeError(
            f"[load_state_dict] {name}: got {type(source).__name__}; want a tensor: use asarray()"
        )
    if source.shape != target.shape:
        raise ShapeError(f"[load_state_dict] {name}: got {source.shape}; want {target.shape}")
    if source.dtype is not target.dtype:
        raise DTypeError(
            f"[load_state_dict] {name}: got {source.dtype}; want {target.dtype}: use astype()"
        )
