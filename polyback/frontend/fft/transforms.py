"""The transforms as functions: arguments checked, axes padded and trimmed on the device."""

from __future__ import annotations

from collections.abc import Sequence

from polyback.dtype import DType, complex64, promote
from polyback.errors import DTypeError, InvalidArgument
from polyback.frontend.checks import check_tensors
from polyback.frontend.fft.operations import (
    OTHER_NORM,
    ComplexTransform,
    Norm,
    RealInverse,
    RealTransform,
)
from polyback.frontend.functions import concat, conj, zeros
from polyback.frontend.functions.elementwise import cast
from polyback.frontend.functions.reduction import floating
from polyback.frontend.op import run
from polyback.frontend.tensor import Tensor
from polyback.view import integers, normalize_axis

Sizes = Sequence[int] | None


def _axes(op: str, x: Tensor, axes: Sizes) -> tuple[int, ...]:
    """Distinct axes, counted from the front, in the order given."""
    if axes is None:
        return tuple(range(x.ndim))
    spots = tuple(normalize_axis(a, x.ndim, op) for a in axes)
    if len(set(spots)) != len(spots):
        raise InvalidArgument(f"[{op}] an axis is named twice in {tuple(axes)}")
    return spots


def _sizes(op: str, s: Sizes, axes: Sizes, count: int) -> tuple[int, ...]:
    """One size for each axis; -1 leaves it."""
    if s is None:
        return (-1,) * count
    try:
        sizes = integers(s)
    except TypeError:
        raise InvalidArgument(f"[{op}] got sizes {s!r}; want integers") from None
    if axes is None or len(sizes) != count:
        raise InvalidArgument(f"[{op}] got s={s!r}, axes={axes!r}; want one axis for each size")
    if any(n < 1 and n != -1 for n in sizes):
        raise InvalidArgument(f"[{op}] got sizes {sizes}; want at least one point")
    return sizes


def _one(n: int | None) -> Sizes:
    return None if n is None else (n,)


def _checked(op: str, x: Tensor, norm: str) -> None:
    check_tensors(op, x)
    if not isinstance(norm, str) or norm not in OTHER_NORM:
        raise InvalidArgument(f"[{op}] norm={norm!r}; want 'backward', 'ortho' or 'forward'")


def _resized(op: str, x: Tensor, axes: Sequence[int], sizes: Sequence[int]) -> Tensor:
    """Each axis trimmed to its size, or padded with zeros at the end. Raises InvalidArgument if
    there is an axis without any point."""
    for axis, n in zip(axes, sizes, strict=True):
        have = x.shape[axis]
        if n == -1 and have == 0:
            raise InvalidArgument(f"[{op}] axis {axis} of {x.shape} has no points to transform")
        if n not in (-1, have):
            x = x[(slice(None),) * axis + (slice(0, n),)]
            if n > have:
                rest = (*x.shape[:axis], n - have, *x.shape[axis + 1 :])
                x = concat([x, zeros(rest, dtype=x.dtype, device=x.device)], axis=axis)
    return x


def _complex_of(dtype: DType) -> DType:
    return promote(dtype.compute, complex64)


def _complex(op: str, x: Tensor, s: Sizes, axes: Sizes, norm: Norm, *, inverse: bool) -> Tensor:
    _checked(op, x, norm)
    spots = _axes(op, x, axes)
    wide, _ = floating(x)
    wide = _resized(op, cast(wide, _complex_of(wide.dtype)), spots, _sizes(op, s, axes, len(spots)))
    return run(ComplexTransform(spots, norm, inverse), wide) if spots else wide


def _to_spectrum(op: str, x: Tensor, s: Sizes, axes: Sizes, norm: Norm) -> Tensor:
    _checked(op, x, norm)
    if x.dtype.kind == "complex":
        raise DTypeError(f"[{op}] got {x.dtype}; want a real type: use fft() for complex numbers")
    spots = _axes(op, x, axes)
    if not spots:
        raise InvalidArgument(f"[{op}] got no axes; want at least one")
    wide = _resized(op, floating(x)[0], spots, _sizes(op, s, axes, len(spots)))
    return run(RealTransform(spots, norm, wide.shape[spots[-1]]), wide)


def _from_spectrum(op: str, x: Tensor, s: Sizes, axes: Sizes, norm: Norm) -> Tensor:
    _checked(op, x, norm)
    spots = _axes(op, x, axes)
    if not spots:
        raise InvalidArgument(f"[{op}] got no axes; want at least one")
    sizes = list(_sizes(op, s, axes, len(spots)))
    n = sizes[-1] if sizes[-1] != -1 else 2 * (x.shape[spots[-1]] - 1)
    if n < 1:
        raise InvalidArgument(f"[{op}] axis {spots[-1]} of {x.shape} gives {n} points; want a size")
    wide, _ = floating(x)
    wide = cast(wide, _complex_of(wide.dtype))
    wide = _resized(op, wide, spots, [*sizes[:-1], n // 2 + 1])
    return run(RealInverse(spots, norm, n), wide)


def fft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Tensor:
    """``y[k] = sum_t x[t] exp(-2 pi i k t / n)`` along ``axis``, trimmed or padded to ``n`` points.

    ``norm`` "ortho" divides by ``sqrt(n)``, "forward" by n. Floating types, giving complex64 or
    complex128; differentiable. Raises InvalidArgument for fewer than one point.

    >>> import polyback as pb
    >>> with pb.configure(fallback="allow"):  # complex types are optional for a device
    ...     pb.fft.fft(pb.asarray([1.0, 0.0, 0.0, 0.0])).tolist()
    [(1+0j), (1+0j), (1+0j), (1+0j)]
    """
    return _complex("fft", x, _one(n), (axis,), norm, inverse=False)


def ifft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Tensor:
    """The inverse of :func:`fft` with the same arguments: ``+`` in the exponent, divided by n.

    ``norm`` "ortho" divides by ``sqrt(n)``, "forward" by nothing.

    >>> import polyback as pb
    >>> with pb.configure(fallback="allow"):  # complex types are optional for a device
    ...     pb.fft.ifft(pb.asarray([4.0, 0.0, 0.0, 0.0])).tolist()
    [(1+0j), (1+0j), (1+0j), (1+0j)]
    """
    return _complex("ifft", x, _one(n), (axis,), norm, inverse=True)


def fftn(x: Tensor, /, *, s: Sizes = None, axes: Sizes = None, norm: Norm = "backward") -> Tensor:
    """:func:`fft` along each of ``axes`` (None: all), with ``s[k]`` points along ``axes[k]``.

    A size of -1 leaves the axis as it is; ``s`` needs ``axes``. ``norm`` counts all points.

    >>> import polyback as pb
    >>> with pb.configure(fallback="allow"):  # complex types are optional for a device
    ...     pb.fft.fftn(pb.ones((2, 2))).tolist()
    [[(4+0j), 0j], [0j, 0j]]
    """
    return _complex("fftn", x, s, axes, norm, inverse=False)


def ifftn(x: Tensor, /, *, s: Sizes = None, axes: Sizes = None, norm: Norm = "backward") -> Tensor:
    """The inverse of :func:`fftn` with the same arguments.

    >>> import polyback as pb
    >>> with pb.configure(fallback="allow"):  # complex types are optional for a device
    ...     pb.fft.ifftn(pb.ones((2, 2))).tolist()
    [[(1+0j), 0j], [0j, 0j]]
    """
    return _complex("ifftn", x, s, axes, norm, inverse=True)


def rfft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Tensor:
    """The first ``n // 2 + 1`` numbers of :func:`fft` of real ``x``; the others are conjugates.

    Raises DTypeError for complex types.

    >>> import polyback as pb
    >>> with pb.configure(fallback="allow"):  # complex types are optional for a device
    ...     pb.fft.rfft(pb.asarray([1.0, 0.0, 0.0, 0.0])).tolist()
    [(1+0j), (1+0j), (1+0j)]
    """
    return _to_spectrum("rfft", x, _one(n), (axis,), norm)


def irfft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Tensor:
    """The ``n`` real numbers (default: ``2 * (size - 1)``) whose :func:`rfft` is ``x``.

    The imaginary part of the first number, and for even n of the last, is not read.

    >>> import polyback as pb
    >>> with pb.configure(fallback="allow"):  # complex types are optional for a device
    ...     pb.fft.irfft(pb.asarray([1.0, 1.0, 1.0])).tolist()
    [1.0, 0.0, 0.0, 0.0]
    """
    return _from_spectrum("irfft", x, _one(n), (axis,), norm)


def rfftn(x: Tensor, /, *, s: Sizes = None, axes: Sizes = None, norm: Norm = "backward") -> Tensor:
    """:func:`rfft` along the last of ``axes`` (None: all), then :func:`fft` along the others.

    >>> import polyback as pb
    >>> with pb.configure(fallback="allow"):  # complex types are optional for a device
    ...     pb.fft.rfftn(pb.ones((2, 2))).tolist()
    [[(4+0j), 0j], [0j, 0j]]
    """
    return _to_spectrum("rfftn", x, s, axes, norm)


def irfftn(x: Tensor, /, *, s: Sizes = None, axes: Sizes = None, norm: Norm = "backward") -> Tensor:
    """The inverse of :func:`rfftn`; ``s`` holds the sizes of the result.

    >>> import polyback as pb
    >>> with pb.configure(fallback="allow"):  # complex types are optional for a device
    ...     pb.fft.irfftn(pb.asarray([[4.0, 0.0], [0.0, 0.0]])).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    return _from_spectrum("irfftn", x, s, axes, norm)


def hfft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Tensor:
    """The real spectrum, ``n`` numbers, of a signal with Hermitian symmetry of which ``x`` is the
    first half: :func:`irfft` of the conjugate, with the other norm.

    >>> import polyback as pb
    >>> with pb.configure(fallback="allow"):  # complex types are optional for a device
    ...     pb.fft.hfft(pb.asarray([1.0, 1.0, 1.0])).tolist()
    [4.0, 0.0, 0.0, 0.0]
    """
    _checked("hfft", x, norm)
    return _from_spectrum("hfft", conj(x), _one(n), (axis,), OTHER_NORM[norm])


def ihfft(x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Tensor:
    """The first half of the signal whose :func:`hfft` is ``x``. Raises DTypeError for complex
    types.

    >>> import polyback as pb
    >>> with pb.configure(fallback="allow"):  # complex types are optional for a device
    ...     pb.real(pb.fft.ihfft(pb.asarray([4.0, 0.0, 0.0, 0.0]))).tolist()
    [1.0, 1.0, 1.0]
    """
    _checked("ihfft", x, norm)
    return conj(_to_spectrum("ihfft", x, _one(n), (axis,), OTHER_NORM[norm]))
