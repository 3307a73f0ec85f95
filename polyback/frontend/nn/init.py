"""Initial values of weights: from a shape, or (names ending in ``_``) written into a tensor.

A weight of shape (out, in, *window) has ``fan_in = in * prod(window)`` and
``fan_out = out * prod(window)``. Random values come from ``generator``, by default from
``pb.random.default_generator()``: the same seed gives the same weights on every device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from polyback.dtype import DEFAULT_FLOAT, dtype_of, float32, float64
from polyback.errors import InvalidArgument, ShapeError
from polyback.frontend.autograd import no_grad
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions import asarray, full
from polyback.frontend.functions import eye as identity
from polyback.frontend.functions.creation import Where
from polyback.frontend.nn.quantile import normal_quantile
from polyback.frontend.random import Generator, default_generator
from polyback.frontend.tensor import Tensor

Shape = Sequence[int]
FanMode = Literal["fan_in", "fan_out"]


def constant(shape: Shape, value: float, *, device: Where = None, dtype: Any = None) -> Tensor:
    """``value`` everywhere.

    >>> import polyback as pb
    >>> pb.nn.init.constant((2,), 0.5).tolist()
    [0.5, 0.5]
    """
    return full(shape, value, dtype=dtype or DEFAULT_FLOAT, device=device)


def zeros(shape: Shape, *, device: Where = None, dtype: Any = None) -> Tensor:
    """0 everywhere.

    >>> import polyback as pb
    >>> pb.nn.init.zeros((2,)).tolist()
    [0.0, 0.0]
    """
    return constant(shape, 0.0, device=device, dtype=dtype)


def ones(shape: Shape, *, device: Where = None, dtype: Any = None) -> Tensor:
    """1 everywhere.

    >>> import polyback as pb
    >>> pb.nn.init.ones((2,)).tolist()
    [1.0, 1.0]
    """
    return constant(shape, 1.0, device=device, dtype=dtype)


def eye(shape: Shape, *, device: Where = None, dtype: Any = None) -> Tensor:
    """1 on the diagonal of a matrix, 0 elsewhere. Raises ShapeError unless there are two axes.

    >>> import polyback as pb
    >>> pb.nn.init.eye((2, 3)).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    if len(shape) != 2:
        raise ShapeError(f"[eye] got shape {tuple(shape)}; want two axes")
    return identity(*shape, dtype=dtype or DEFAULT_FLOAT, device=device)


def uniform(
    shape: Shape,
    a: float = 0.0,
    b: float = 1.0,
    *,
    generator: Generator | None = None,
    device: Where = None,
    dtype: Any = None,
) -> Tensor:
    """Uniform in [a, b).

    >>> import polyback as pb
    >>> pb.nn.init.uniform((2, 3), -1.0, 1.0).shape
    (2, 3)
    """
    source = generator or default_generator()
    return source.uniform(shape, a, b, dtype=dtype or DEFAULT_FLOAT, device=device)


def normal(
    shape: Shape,
    mean: float = 0.0,
    std: float = 1.0,
    *,
    generator: Generator | None = None,
    device: Where = None,
    dtype: Any = None,
) -> Tensor:
    """Normal with this mean and standard deviation.

    >>> import polyback as pb
    >>> pb.nn.init.normal((2, 3)).shape
    (2, 3)
    """
    source = generator or default_generator()
    return source.normal(shape, mean, std, dtype=dtype or DEFAULT_FLOAT, device=device)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance through a nonlinearity, as PyTorch has it.

    ``param``: the slope of ``"leaky_relu"`` (0.01). Raises InvalidArgument for an unknown name.

    >>> import polyback as pb
    >>> pb.nn.init.calculate_gain("tanh")
    1.6666666666666667
    """
    slope = 0.01 if param is None else param
    products = ("linear", "conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d")
    gains = dict.fromkeys(products, 1.0) | {
        "sigmoid": 1.0,
        "tanh": 5.0 / 3.0,
        "relu": math.sqrt(2.0),
        "leaky_relu": math.sqrt(2.0 / (1.0 + slope * slope)),
        "selu": 0.75,
    }
    if nonlinearity not in gains:
        known = ", ".join(sorted(gains))
        raise InvalidArgument(f"[calculate_gain] got {nonlinearity!r}; want one of: {known}")
    return gains[nonlinearity]


def _fans(shape: Shape, what: str) -> tuple[int, int]:
    if len(shape) < 2:
        raise ShapeError(f"[{what}] got shape {tuple(shape)}; want (out, in, ...)")
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


def _kaiming_std(shape: Shape, a: float, mode: str, nonlinearity: str, what: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise InvalidArgument(f"[{what}] got mode={mode!r}; want 'fan_in' or 'fan_out'")
    fan = _fans(shape, what)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fan, 1))


def xavier_uniform(
    shape: Shape,
    gain: float = 1.0,
    *,
    generator: Generator | None = None,
    device: Where = None,
    dtype: Any = None,
) -> Tensor:
    """Uniform in [-b, b), ``b = gain * sqrt(6 / (fan_in + fan_out))`` (Glorot and Bengio, 2010).

    >>> import polyback as pb
    >>> pb.nn.init.xavier_uniform((2, 3)).shape
    (2, 3)
    """
    bound = gain * math.sqrt(6.0 / max(sum(_fans(shape, "xavier_uniform")), 1))
    return uniform(shape, -bound, bound, generator=generator, device=device, dtype=dtype)


def xavier_normal(
    shape: Shape,
    gain: float = 1.0,
    *,
    generator: Generator | None = None,
    device: Where = None,
    dtype: Any = None,
) -> Tensor:
    """Normal with ``std = gain * sqrt(2 / (fan_in + fan_out))`` (Glorot and Bengio, 2010).

    >>> import polyback as pb
    >>> pb.nn.init.xavier_normal((2, 3)).shape
    (2, 3)
    """
    std = gain * math.sqrt(2.0 / max(sum(_fans(shape, "xavier_normal")), 1))
    return normal(shape, 0.0, std, generator=generator, device=device, dtype=dtype)


def kaiming_uniform(
    shape: Shape,
    a: float = 0.0,
    mode: FanMode = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    generator: Generator | None = None,
    device: Where = None,
    dtype: Any = None,
) -> Tensor:
    """Uniform in [-b, b), ``b = gain * sqrt(3 / fan)`` (He et al., 2015). ``a``: the leaky slope.

    >>> import polyback as pb
    >>> pb.nn.init.kaiming_uniform((2, 3), nonlinearity="relu").shape
    (2, 3)
    """
    bound = math.sqrt(3.0) * _kaiming_std(shape, a, mode, nonlinearity, "kaiming_uniform")
    return uniform(shape, -bound, bound, generator=generator, device=device, dtype=dtype)


def kaiming_normal(
    shape: Shape,
    a: float = 0.0,
    mode: FanMode = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    generator: Generator | None = None,
    device: Where = None,
    dtype: Any = None,
) -> Tensor:
    """Normal with ``std = gain / sqrt(fan)`` (He et al., 2015). ``a``: the leaky slope.

    >>> import polyback as pb
    >>> pb.nn.init.kaiming_normal((2, 3), mode="fan_out").shape
    (2, 3)
    """
    std = _kaiming_std(shape, a, mode, nonlinearity, "kaiming_normal")
    return normal(shape, 0.0, std, generator=generator, device=device, dtype=dtype)


def _quantiles(
    shape: Shape,
    low: float,
    high: float,
    generator: Generator | None,
    device: Where,
    dtype: Any,
) -> Any:
    """Normal numbers with probabilities uniform in [low, high), made on the host in float64 from
    uniforms of the device, which have the same bits everywhere."""
    wide = float64 if dtype_of(dtype or DEFAULT_FLOAT) is float64 else float32
    source = generator or default_generator()
    u = source.uniform(shape, dtype=wide, device=device).numpy().astype(np.float64)
    half = 2.0**-54 if wide is float64 else 2.0**-25
    return normal_quantile(np.clip(low + (high - low) * (u + half), 1e-300, 1.0 - 2.0**-53))


def trunc_normal(
    shape: Shape,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    *,
    generator: Generator | None = None,
    device: Where = None,
    dtype: Any = None,
) -> Tensor:
    """Normal with ``mean`` and ``std``, given that the value is in [a, b].

    Raises InvalidArgument unless std > 0 and a < b.

    >>> import polyback as pb
    >>> x = pb.nn.init.trunc_normal((100,), a=-1.0, b=1.0)
    >>> bool(pb.all(pb.abs(x) <= 1.0))
    True
    """
    if not std > 0 or not a < b:
        raise InvalidArgument(f"[trunc_normal] got std={std}, [{a}, {b}]; want std > 0 and a < b")
    low, high = (a - mean) / std, (b - mean) / std
    sign = -1.0 if low + high > 0 else 1.0  # the lower half of the distribution has more digits
    low, high = sorted((sign * low, sign * high))
    ends = (0.5 * math.erfc(-low / math.sqrt(2.0)), 0.5 * math.erfc(-high / math.sqrt(2.0)))
    drawn = _quantiles(shape, *ends, generator, device, dtype)
    values = np.clip(mean + std * sign * drawn, a, b)
    return asarray(values, dtype=dtype or DEFAULT_FLOAT, device=device)


def orthogonal(
    shape: Shape,
    gain: float = 1.0,
    *,
    generator: Generator | None = None,
    device: Where = None,
    dtype: Any = None,
) -> Tensor:
    """``gain`` times a random matrix with orthonormal rows, or columns if it is higher than wide
    (Saxe et al., 2014): the Q of normal numbers, with the signs that make R's diagonal positive.

    Axes after the first count as one. Computed on the host. Raises ShapeError for fewer than two.

    >>> import polyback as pb
    >>> q = pb.nn.init.orthogonal((2, 3), dtype=pb.float64)
    >>> bool(pb.all(pb.abs(q @ q.T - pb.eye(2)) < 1e-12))
    True
    """
    _fans(shape, "orthogonal")
    rows, columns = shape[0], math.prod(shape[1:])
    drawn = _quantiles((rows, columns), 0.0, 1.0, generator, device, dtype)
    q, r = np.linalg.qr(drawn.T if rows < columns else drawn)
    q = q * np.copysign(1.0, np.diag(r))
    values = gain * (q.T if rows < columns else q).reshape(shape)
    return asarray(values, dtype=dtype or DEFAULT_FLOAT, device=device)


# --- written into a tensor, which is returned -----------------------------------------------------


def _fill(target: Tensor, make: Any, *args: Any, **options: Any) -> Tensor:
    check_tensors(f"{make.__name__}_", target)
    with no_grad():
        values = make(target.shape, *args, device=target.device, dtype=target.dtype, **options)
        target.array.assign(values.array)
    return target


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill ``tensor`` with ``val``."""
    return _fill(tensor, constant, val)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill ``tensor`` with 0."""
    return _fill(tensor, zeros)


def ones_(tensor: Tensor) -> Tensor:
    """Fill ``tensor`` with 1."""
    return _fill(tensor, ones)


def eye_(tensor: Tensor) -> Tensor:
    """Fill ``tensor`` as :func:`eye` does."""
    return _fill(tensor, eye)


def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Fill ``tensor`` as :func:`uniform` does."""
    return _fill(tensor, uniform, a, b, generator=generator)


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Fill ``tensor`` as :func:`normal` does."""
    return _fill(tensor, normal, mean, std, generator=generator)


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Fill ``tensor`` as :func:`xavier_uniform` does."""
    return _fill(tensor, xavier_uniform, gain, generator=generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill ``tensor`` as :func:`xavier_normal` does."""
    return _fill(tensor, xavier_normal, gain, generator=generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: FanMode = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Fill ``tensor`` as :func:`kaiming_uniform` does."""
    return _fill(tensor, kaiming_uniform, a, mode, nonlinearity, generator=generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: FanMode = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Fill ``tensor`` as :func:`kaiming_normal` does."""
    return _fill(tensor, kaiming_normal, a, mode, nonlinearity, generator=generator)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Fill ``tensor`` as :func:`trunc_normal` does."""
    return _fill(tensor, trunc_normal, mean, std, a, b, generator=generator)


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill ``tensor`` as :func:`orthogonal` does."""
    return _fill(tensor, orthogonal, gain, generator=generator)
