"""Hooks: functions that a module calls around its ``forward``, and around its gradient."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, Self, final

from polyback.array import Array
from polyback.errors import InvalidArgument
from polyback.frontend.op import Op, run
from polyback.frontend.tensor import Tensor

if TYPE_CHECKING:
    from polyback.frontend.nn.module import Module

When = Literal["before", "after", "backward"]
Hook = Callable[..., Any]
_NUMBERS: Final = itertools.count()


@final
class Handle:
    """What registering a hook returns: ``remove()`` takes the hook away, as does leaving ``with``.

    >>> import polyback as pb
    >>> layer = pb.nn.ReLU()
    >>> with layer.register_forward_hook(lambda module, args, y: y + 1.0):
    ...     layer(pb.zeros(1)).tolist()
    [1.0]
    >>> layer(pb.zeros(1)).tolist()
    [0.0]
    """

    def __init__(self, hooks: dict[int, Any], number: int) -> None:
        self.hooks, self.number = hooks, number

    def remove(self) -> None:
        """Take the hook away; once is enough, twice does no harm."""
        self.hooks.pop(self.number, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self.remove()


@final
class Hooks:
    """The hooks of one module, in the order in which they were registered."""

    def __init__(self) -> None:
        self.hooks: dict[When, dict[int, tuple[Hook, bool]]] = {
            "before": {}, "after": {}, "backward": {},
        }  # fmt: skip

    def add(self, when: When, hook: Hook, with_kwargs: bool = False) -> Handle:
        """Keep ``hook``; ``with_kwargs``: it is given the keyword arguments too."""
        if not callable(hook):
            raise InvalidArgument(f"[hook] got {type(hook).__name__}; want a function")
        number = next(_NUMBERS)
        self.hooks[when][number] = (hook, with_kwargs)
        return Handle(self.hooks[when], number)

    def call(self, module: Module, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """``module.forward`` with everything around it."""
        for hook, with_kwargs in list(self.hooks["before"].values()):
            if with_kwargs:
                args, options = hook(module, args, options) or (args, options)
            elif (changed := hook(module, args)) is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        watch = _Watch(module, self) if self.hooks["backward"] else None
        if watch:
            args = watch.inputs(args)
        result = module.forward(*args, **options)
        for hook, with_kwargs in list(self.hooks["after"].values()):
            extra = (options,) if with_kwargs else ()
            changed = hook(module, args, *extra, result)
            result = result if changed is None else changed
        return watch.output(result) if watch else result


@final
class _Watch:
    """One call of a module whose gradients are shown to hooks."""

    def __init__(self, module: Module, hooks: Hooks) -> None:
        self.module, self.hooks = module, hooks
        self.tracked = False  # does a gradient arrive at the input?
        self.arrived: Tensor | None = None

    def inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        spots = [k for k, x in enumerate(args) if isinstance(x, Tensor) and x.requires_grad]
        if len(spots) > 1:
            raise InvalidArgument(
                f"[backward hook] {type(self.module).__name__} has {len(spots)} inputs with "
                f"gradients; want at most one: register the hook on a smaller module"
            )
        self.tracked = bool(spots)
        return tuple(run(Passage(self.leave), x) if k in spots else x for k, x in enumerate(args))

    def output(self, result: Any) -> Tensor:
        if not isinstance(result, Tensor):
            raise InvalidArgument(
                f"[backward hook] {type(self.module).__name__} returns "
                f"{type(result).__name__}; want one tensor"
            )
        return run(Passage(self.enter), result)

    def enter(self, gradient: Tensor) -> Tensor:
        self.arrived = gradient
        if not self.tracked:
            self._show(None)
        return gradient

    def leave(self, gradient: Tensor) -> Tensor:
        changed = self._show(gradient)
        assert changed is not None
        return changed

    def _show(self, gradient: Tensor | None) -> Tensor | None:
        for hook, _ in list(self.hooks.hooks["backward"].values()):
            changed = hook(self.module, (gradient,), (self.arrived,))
            if changed is not None and gradient is not None:
                gradient = changed[0] if isinstance(changed, tuple) else changed
        return gradient


@final
class Passage(Op):
    """y = x; the gradient goes through a function on its way."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function = function

    def forward(self, x: Array) -> Array:
        return x

    def gradient(self, operand: int, g: Tensor, y: Any, *operands: Any) -> Tensor:
        return self.function(g)


@contextmanager
def hooked(module: Module, hook: Hook) -> Iterator[None]:
    """Run ``hook`` after the forward of ``module`` and of all modules below, inside a ``with``."""
    handles = [part.register_forward_hook(hook) for part in module.modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
