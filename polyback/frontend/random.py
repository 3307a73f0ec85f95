"""Random numbers: counter-based, so the same seed gives the same numbers on every device.

A generator is a seed and a position. Every draw takes the next words of the stream of
:mod:`polyback.philox`; integers, uniforms, permutations and masks are bit-identical on every
backend and for any number of threads, normals agree within 2 ULP.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, final

import numpy as np

from polyback import array
from polyback.array import Array
from polyback.dtype import DEFAULT_FLOAT, DType, dtype_of, float32, float64, int64, uint64
from polyback.errors import DTypeError, InvalidArgument
from polyback.frontend.autograd import no_grad
from polyback.frontend.defaults import get_device
from polyback.frontend.functions import argsort, astype, cos, log, reshape, sin, sqrt
from polyback.frontend.functions.creation import Where
from polyback.frontend.tensor import Tensor
from polyback.philox import random_words
from polyback.view import Shape, check_shape

WORDS: Final = 4  # per block
Draws = list[tuple["Generator", dict[str, int]]]  # generators, and where they stood at first
_DRAWS: Final[ContextVar[Draws | None]] = ContextVar("polyback_draws", default=None)


@final
class Generator:
    """A stream of random numbers: ``Generator(seed)`` starts it, every draw moves it on.

    ``seed``: an integer of up to 64 bits; None takes one from the system. ``device``: where numbers
    are made unless a draw says otherwise; None follows the default device.

    >>> import polyback as pb
    >>> a, b = pb.random.Generator(7), pb.random.Generator(7)
    >>> pb.all(a.uniform(5) == b.uniform(5)).item()
    True
    """

    def __init__(self, seed: int | None = None, device: Where = None) -> None:
        self.seed = secrets.randbits(64) if seed is None else int(seed) % 2**64
        self.position = 0  # in blocks of four words
        self.device = device

    def state_dict(self) -> dict[str, int]:
        """Seed and position; ``load_state_dict`` continues the stream exactly there."""
        return {"seed": self.seed, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue the stream that ``state_dict`` described."""
        self.seed, self.position = int(state["seed"]), int(state["position"])

    def _words(self, count: int, device: Where) -> Array:
        where = get_device(self.device if device is None else device)
        draws = _DRAWS.get()
        if draws is not None and all(generator is not self for generator, _ in draws):
            draws.append((self, self.state_dict()))
        words = random_words(where, count, self.seed, self.position)
        self.position += -(-count // WORDS)
        return words

    def _fraction(self, count: int, dtype: DType, device: Where) -> Tensor:
        """``count`` multiples of 2**-24 (float64: 2**-53) in [0, 1)."""
        if dtype is float64:
            pair = reshape(Tensor(self._words(2 * count, device)), (count, 2))
            high, low = astype(pair[:, 0] >> 5, float64), astype(pair[:, 1] >> 6, float64)
            return (high * 2.0**26 + low) * 2.0**-53
        bits = Tensor(self._words(count, device))
        return astype(bits >> 8, float32) * 2.0**-24

    def uniform(
        self,
        shape: int | Sequence[int] = (),
        low: float = 0.0,
        high: float = 1.0,
        *,
        dtype: Any = DEFAULT_FLOAT,
        device: Where = None,
    ) -> Tensor:
        """Uniform in [low, high), in steps of (high - low) * 2**-24 (float64: 2**-53)."""
        target, sizes = _float(dtype, "uniform"), _sizes(shape, "uniform")
        with no_grad():
            u = self._fraction(math.prod(sizes), target, device)
            if (low, high) != (0.0, 1.0):
                u = u * (high - low) + low
            return astype(reshape(u, sizes), target, copy=False)

    def normal(
        self,
        shape: int | Sequence[int] = (),
        mean: float = 0.0,
        std: float = 1.0,
        *,
        dtype: Any = DEFAULT_FLOAT,
        device: Where = None,
    ) -> Tensor:
        """Normal with ``mean`` and ``std``, by the transform of Box and Muller (1958), computed in
        float64 where the device has it."""
        target, sizes = _float(dtype, "normal"), _sizes(shape, "normal")
        pairs = -(-math.prod(sizes) // 2)
        with no_grad():
            where = get_device(self.device if device is None else device)
            wide = float64 if "float64" in where.caps.storage else float32
            u = reshape(self._fraction(2 * pairs, wide, where), (pairs, 2))
            radius = sqrt(-2.0 * log(1.0 - u[:, 0]))  # 1 - u is never 0
            angle = u[:, 1] * (2.0 * math.pi)
            result = array.empty(where, (pairs, 2), target)
            for k, part in enumerate((cos(angle), sin(angle))):
                column = astype(radius * part * std + mean, target)
                result.with_view(result.view.slice(1, k, 1).drop(1)).assign(column.array)
            flat = result.reshape((2 * pairs,))
            flat = flat.with_view(flat.view.slice(0, 0, math.prod(sizes)))
            return reshape(Tensor(flat), sizes)

    def integers(
        self,
        low: int,
        high: int | None = None,
        shape: int | Sequence[int] = (),
        *,
        dtype: Any = int64,
        device: Where = None,
    ) -> Tensor:
        """Integers in [low, high) (``integers(n)``: [0, n)); at most 2**32 different ones.

        Each is ``low + floor(r * (high - low) / 2**64)`` of 64 random bits r: the chance of any
        value is off by less than 2**-32 of itself.
        """
        first, last = (0, low) if high is None else (low, high)
        span = last - first
        if not 0 < span <= 2**32:
            raise InvalidArgument(f"[integers] got [{first}, {last}); want 1 to 2**32 values")
        target, sizes = dtype_of(dtype), _sizes(shape, "integers")
        count = math.prod(sizes)
        with no_grad():
            pair = reshape(Tensor(self._words(2 * count, device)), (count, 2))
            top, rest = (astype(pair[:, k], uint64) for k in (0, 1))
            drawn = (top * span + ((rest * span) >> 32)) >> 32
            return reshape(astype(astype(drawn, int64) + first, target, copy=False), sizes)

    def permutation(self, n: int, *, device: Where = None) -> Tensor:
        """The integers 0 .. n - 1 in random order: the order of n random 64-bit numbers."""
        (count,) = _sizes(n, "permutation")
        with no_grad():
            pair = reshape(Tensor(self._words(2 * count, device)), (count, 2))
            top, rest = (astype(pair[:, k], uint64) for k in (0, 1))
            return argsort((top << 32) | rest)

    def bernoulli(
        self, p: float, shape: int | Sequence[int] = (), *, device: Where = None
    ) -> Tensor:
        """bool, True with probability ``p`` (in steps of 2**-24)."""
        if not 0.0 <= p <= 1.0:
            raise InvalidArgument(f"[bernoulli] p={p}; want 0 to 1")
        sizes = _sizes(shape, "bernoulli")
        below = math.ceil(float(np.float32(p)) * 2.0**24)  # of all 24-bit numbers
        with no_grad():
            bits = Tensor(self._words(math.prod(sizes), device))
            result: Tensor = (reshape(bits, sizes) >> 8) < below
            return result


def _sizes(shape: int | Sequence[int], op: str) -> Shape:
    return check_shape((shape,) if isinstance(shape, int) else tuple(shape), op)


def _float(dtype: Any, op: str) -> DType:
    target = dtype_of(dtype)
    if not target.is_floating:
        raise DTypeError(f"[{op}] got {target}; want a real floating-point type")
    return target


_DEFAULT: Final[list[Generator]] = []


def default_generator() -> Generator:
    """The generator that layers use unless they are given one.

    >>> import polyback as pb
    >>> pb.random.default_generator().uniform(3).shape
    (3,)
    """
    if not _DEFAULT:
        _DEFAULT.append(Generator())
    return _DEFAULT[0]


def manual_seed(seed: int) -> Generator:
    """Restart the default generator at ``seed``.

    >>> import polyback as pb
    >>> generator = pb.random.manual_seed(0)
    """
    _DEFAULT[:] = [Generator(seed)]
    return _DEFAULT[0]


@contextmanager
def watched() -> Iterator[Draws]:
    """Note which generators are drawn from inside a ``with`` block, and where they stood."""
    outer, draws = _DRAWS.get(), list[tuple[Generator, dict[str, int]]]()
    token = _DRAWS.set(draws)
    try:
        yield draws
    finally:
        _DRAWS.reset(token)
        if outer is not None:
            outer += [d for d in draws if all(d[0] is not known for known, _ in outer)]


@contextmanager
def replayed(draws: Draws) -> Iterator[None]:
    """Draw the same numbers again inside a ``with`` block; afterwards all is as before."""
    now = [(generator, generator.state_dict()) for generator, _ in draws]
    try:
        for generator, state in draws:
            generator.load_state_dict(state)
        yield
    finally:
        for generator, state in now:
            generator.load_state_dict(state)
