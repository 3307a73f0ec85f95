# ruff: noqa: E501  (one case a line)
"""polyback.fft against NumPy: sizes, axes, norms and types; gradients; errors; the ledger."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from against_numpy import close, sample
from hypothesis import given, settings
from hypothesis import strategies as st

import polyback as pb
from polyback import fft

ONE = ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"]
MANY = ["fftn", "ifftn", "rfftn", "irfftn"]
OF_REAL = {"rfft", "rfftn", "ihfft"}
NORMS = ["backward", "ortho", "forward"]


@pytest.fixture(autouse=True)
def _on(device: str) -> Iterator[None]:
    pb.clear_ledger()
    with pb.default_device(device):
        yield
    pb.clear_ledger()


def draw(name: str, shape: tuple[int, ...], double: bool = True, seed: int = 0) -> Any:
    kinds = (pb.float32, pb.float64) if name in OF_REAL else (pb.complex64, pb.complex128)
    return sample(shape, kinds[double], seed)


def agrees(name: str, x: Any, **options: Any) -> None:
    got = getattr(fft, name)(pb.asarray(x), **options)
    want = getattr(np.fft, name)(x, **options)
    close(got, want, pb.asarray(want).dtype, ulp=64)


# --- values -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ONE)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("double", [False, True])
def test_one_axis(name: str, norm: str, double: bool) -> None:
    x = draw(name, (3, 5, 4), double)
    for axis in (-1, 0, 1):
        for n in (None, 1, 2, 4, 5, 7):
            agrees(name, x, n=n, axis=axis, norm=norm)
    agrees(name, x[::-1, 1:, ::2], n=3, norm=norm)


@pytest.mark.parametrize("name", MANY)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_several_axes(name: str, data: Any) -> None:
    shape = data.draw(st.lists(st.integers(2, 5), min_size=1, max_size=3))
    axes = data.draw(st.none() | st.lists(st.integers(0, len(shape) - 1), min_size=1, unique=True))
    options: dict[str, Any] = {"axes": axes, "norm": data.draw(st.sampled_from(NORMS))}
    if axes is not None:
        sizes = st.lists(st.integers(1, 6), min_size=len(axes), max_size=len(axes))
        options["s"] = data.draw(st.none() | sizes)
    agrees(name, draw(name, tuple(shape), data.draw(st.booleans())), **options)


def test_a_size_of_minus_1_leaves_the_axis_and_stacks_may_be_empty() -> None:
    x = pb.asarray(sample((2, 3, 4), pb.complex64))
    assert fft.fftn(x, s=(-1, 6), axes=(1, 2)).shape == (2, 3, 6)
    assert fft.irfftn(x, s=(5, -1), axes=(0, 2)).shape == (5, 3, 6)
    assert fft.fft(pb.zeros((0, 4))).shape == (0, 4)
    assert fft.rfft(pb.zeros((0, 4))).shape == (0, 3)
    assert fft.fft(pb.zeros((2, 0)), n=3).tolist() == [[0, 0, 0]] * 2
    assert fft.fftn(x, axes=()).tolist() == x.tolist()


def test_types() -> None:
    for dtype, wide in (
        (pb.int8, pb.complex64),
        (pb.float16, pb.complex64),
        (pb.float32, pb.complex64),
        (pb.float64, pb.complex128),
    ):
        x = pb.asarray([1, 2, 3], dtype=dtype)
        close(fft.fft(x), np.fft.fft([1, 2, 3]), wide)
        close(fft.rfft(x), np.fft.rfft([1, 2, 3]), wide)
        close(fft.irfft(x), np.fft.irfft([1, 2, 3]), pb.real(pb.zeros(1, dtype=wide)).dtype)


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_frequencies(n: int) -> None:
    for name in ("fftfreq", "rfftfreq"):
        for d in (1.0, 0.1):
            want = getattr(np.fft, name)(n, d)
            close(getattr(fft, name)(n, d=d), want, pb.float32, ulp=1)
            close(getattr(fft, name)(n, d=d, dtype=pb.float64), want, pb.float64, ulp=1)
    assert fft.fftfreq(n, device="numpy_ref").device == "numpy_ref"


@pytest.mark.parametrize("axes", [None, 0, -1, (0, 2), (1,)])
def test_shifts(axes: Any) -> None:
    x = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    got = fft.fftshift(pb.asarray(x), axes=axes)
    np.testing.assert_array_equal(got.numpy(), np.fft.fftshift(x, axes))
    np.testing.assert_array_equal(fft.ifftshift(got, axes=axes).numpy(), x)
    assert fft.fftshift(pb.zeros((0, 2))).shape == (0, 2)


# --- gradients ----------------------------------------------------------------------------------

GRADIENTS: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    ("fft", (3,), {}), ("fft", (2, 3), {"n": 5, "axis": 0, "norm": "ortho"}), ("fft", (5,), {"n": 2}),
    ("ifft", (3,), {"norm": "forward"}), ("ifft", (4,), {}),
    ("rfft", (5,), {}), ("rfft", (4,), {"norm": "forward"}), ("rfft", (2, 3), {"n": 4, "axis": 0}),
    ("rfft", (1,), {}), ("irfft", (3,), {}), ("irfft", (3,), {"n": 5, "norm": "ortho"}),
    ("irfft", (2,), {"n": 6}), ("irfft", (1,), {"n": 1}), ("hfft", (3,), {}), ("hfft", (3,), {"n": 5}),
    ("ihfft", (4,), {}), ("ihfft", (3,), {"norm": "ortho"}),
    ("fftn", (2, 3), {}), ("ifftn", (2, 3), {"s": (3, 2), "axes": (1, 0)}),
    ("rfftn", (2, 3, 2), {"axes": (2, 1)}), ("rfftn", (3, 4), {"norm": "ortho"}),
    ("irfftn", (3, 2), {}), ("irfftn", (2, 3), {"s": (3, 5), "axes": (0, 1), "norm": "forward"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "shape", "options"), GRADIENTS)
def test_gradients_are_adjoints(name: str, shape: tuple[int, ...], options: dict[str, Any]) -> None:
    def f(x: pb.Tensor) -> pb.Tensor:
        return getattr(fft, name)(x, **options)

    x = pb.asarray(draw(name, shape))
    pb.testing.check_grad(f, x)
    pb.testing.check_grad(
        lambda x: pb.vjp(lambda x: f(x) ** 3, x)[1](f(x.detach()) * 0.0 + 1.0)[0], x, atol=1e-3
    )


def test_a_real_signal_has_a_real_gradient() -> None:
    x = pb.asarray([1.0, -2.0, 0.5])
    power = pb.grad(lambda x: pb.sum(pb.abs(fft.fft(x)) ** 2))(x)
    assert power.dtype is pb.float32
    np.testing.assert_allclose(power.numpy(), 6 * x.numpy(), rtol=1e-6)  # Parseval
    pb.testing.check_grad(lambda x: pb.fft.fftshift(x) ** 2, x.astype(pb.float64))


# --- errors and the ledger ----------------------------------------------------------------------

SIGNAL = np.ones((2, 3), np.float32)
ERRORS: dict[str, tuple[Callable[[pb.Tensor], Any], type, str]] = {
    "norm": (
        lambda x: fft.fft(x, norm="half"),
        pb.InvalidArgument,
        r"\[fft\] norm='half'; want 'back",
    ),
    "n": (
        lambda x: fft.fft(x, n=0),
        pb.InvalidArgument,
        r"\[fft\] got sizes \(0,\); want at least one",
    ),
    "n of half": (
        lambda x: fft.rfft(x, n=2.5),
        pb.InvalidArgument,
        r"\[rfft\] got sizes \(2.5,\); want int",
    ),
    "axis": (lambda x: fft.ifft(x, axis=2), pb.IndexOutOfBounds, r"\[ifft\] axis 2 is outside"),
    "complex": (
        lambda x: fft.rfft(x * 1j),
        pb.DTypeError,
        r"\[rfft\] got complex64; want a real type",
    ),
    "s": (
        lambda x: fft.fftn(x, s=(2, 2)),
        pb.InvalidArgument,
        r"\[fftn\] got s=\(2, 2\), axes=None",
    ),
    "s and axes": (
        lambda x: fft.fftn(x, s=(2,), axes=(0, 1)),
        pb.InvalidArgument,
        r"one axis for each",
    ),
    "axes twice": (
        lambda x: fft.rfftn(x, axes=(1, -1)),
        pb.InvalidArgument,
        r"an axis is named twice",
    ),
    "no axes": (lambda x: fft.rfftn(x, axes=()), pb.InvalidArgument, r"\[rfftn\] got no axes"),
    "nothing": (
        lambda x: fft.fft(x[:, :0]),
        pb.InvalidArgument,
        r"\[fft\] axis 1 .* has no points",
    ),
    "one point": (
        lambda x: fft.irfft(x[:, :1]),
        pb.InvalidArgument,
        r"\[irfft\] axis 1 .* gives 0 points",
    ),
    "0-d": (lambda x: fft.fft(x[0, 0]), pb.IndexOutOfBounds, r"\[fft\] axis -1 is outside"),
    "freq": (lambda x: fft.fftfreq(0), pb.InvalidArgument, r"\[fftfreq\] got n=0"),
    "freq type": (
        lambda x: fft.rfftfreq(4, dtype=pb.int32),
        pb.DTypeError,
        r"\[rfftfreq\] got int32",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_mistakes_are_typed_errors(name: str) -> None:
    call, error, says = ERRORS[name]
    with pytest.raises(error, match=says):
        call(pb.asarray(SIGNAL))


@pytest.mark.parametrize(
    "name", [n for n, f in vars(fft).items() if inspect.isfunction(f) and "freq" not in n]
)
def test_lists_are_no_tensors(name: str) -> None:
    with pytest.raises(pb.DTypeError, match=rf"\[{name}\] got list; want a tensor"):
        getattr(fft, name)([1.0])


def test_the_host_work_is_counted_and_shifts_are_not_host_work(device: str) -> None:
    with pb.configure(fallback="forbid"):
        fft.fftshift(fft.rfft(pb.asarray(SIGNAL), n=4))
    (entry,) = pb.fallback_ledger()
    assert (entry.device, entry.op, entry.by_design) == (device, "rfft float32", True)
    assert (entry.count, entry.nbytes) == (1, 2 * 4 * 4 + 2 * 3 * 8)
