"""Configuration: one validated object, and the only file that reads the environment.

Every field can be set by ``POLYBACK_<FIELD>`` in the environment, read on first use, or changed
for a block of code with ``with pb.configure(fallback="forbid"): ...``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, final

from polyback.errors import InvalidArgument

CHANGED: Final = set[str]()  # options that anybody ever set: asking for others costs launches time


def _option(default: Any, text: str, *choices: str) -> Any:
    return field(default=default, metadata={"text": text, "choices": choices})


@final
@dataclass(frozen=True)
class Config:
    """All options. ``describe()`` lists them with their meaning."""

    device: str = _option("", "default device name; empty: the best installed CPU backend")
    backends: str = _option("", "comma-separated backend names to consider; empty: all installed")
    fallback: str = _option(
        "warn", "an op that a device lacks: run it on the reference, or not",
        "forbid", "warn", "allow",
    )  # fmt: skip
    fuse: bool = _option(True, "join elementwise operations into one program where possible")
    threads: int = _option(0, "worker threads of CPU backends; 0: all usable cores")
    memory_limit: int = _option(0, "bytes that one device may hold; 0: no limit of ours")
    isa: str = _option("", "force an instruction set on CPU backends; empty: the best supported")
    vendor_matmul: bool = _option(
        False, "matrix products by the vendor's library, on backends that can call one"
    )
    tf32: bool = _option(
        False, "float32 products may keep ten fraction bits of their factors, on tensor cores"
    )
    debug: int = _option(0, "1 prints launches, 2 also programs")

    def __post_init__(self) -> None:
        for f in fields(self):
            value: Any = getattr(self, f.name)
            choices = f.metadata["choices"]
            want = type(f.default)
            if type(value) is not want:
                raise InvalidArgument(
                    f"[config] {f.name}={value!r}: want {want.__name__}, got {type(value).__name__}"
                )
            if choices and value not in choices:
                raise InvalidArgument(f"[config] {f.name}={value!r}: want {' | '.join(choices)}")
            if isinstance(value, int) and value < 0:
                raise InvalidArgument(f"[config] {f.name}={value!r}: want 0 or more")
            if value != f.default:
                CHANGED.add(f.name)

    @classmethod
    def describe(cls) -> list[tuple[str, Any, str]]:
        """(name, default, meaning) of every option, for documents and ``polyback doctor``."""
        return [(f.name, f.default, f.metadata["text"]) for f in fields(cls)]


def _parse(name: str, text: str, default: Any) -> Any:
    try:
        if isinstance(default, bool):
            return {"1": True, "true": True, "0": False, "false": False}[text.lower()]
        return type(default)(text)
    except (KeyError, ValueError):
        raise InvalidArgument(
            f"[config] POLYBACK_{name.upper()}={text!r}: want {type(default).__name__}"
        ) from None


def _from_environment() -> Config:
    given = {}
    for f in fields(Config):
        text = os.environ.get(f"POLYBACK_{f.name.upper()}")
        if text is not None:
            given[f.name] = _parse(f.name, text, f.default)
    return Config(**given)


_CURRENT: Final[ContextVar[Config | None]] = ContextVar("polyback_config", default=None)
_BASE: list[Config] = []  # the environment's, read once on first use


def config() -> Config:
    """The options in force here. Raises InvalidArgument if the environment holds a bad value."""
    current = _CURRENT.get()
    if current is not None:
        return current
    if not _BASE:
        _BASE.append(_from_environment())
    return _BASE[0]


@contextmanager
def configure(**options: Any) -> Iterator[Config]:
    """Change options inside a ``with`` block, for this thread or task only.

    >>> import polyback as pb
    >>> with pb.configure(fallback="forbid") as options:
    ...     options.fallback
    'forbid'

    Raises InvalidArgument for an unknown option or a bad value.
    """
    known = {f.name for f in fields(Config)}
    for name in options:
        if name not in known:
            raise InvalidArgument(
                f"[configure] no option {name!r}; there are: {', '.join(sorted(known))}"
            )
    token = _CURRENT.set(replace(config(), **options))
    try:
        yield config()
    finally:
        _CURRENT.reset(token)
