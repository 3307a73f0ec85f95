"""Writing in place: what shares the buffer, what is refused, what differentiation makes of it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from against_numpy import sample
from extra_devices import extra_device

import polyback as pb

OPERATORS = {
    "iadd": 2.0, "isub": 2.0, "imul": 2.0, "itruediv": 4.0, "ifloordiv": 2.0, "imod": 2.0,
    "ipow": 2.0,
}  # fmt: skip
BITS = {"iand": 6, "ior": 6, "ixor": 6, "ilshift": 1, "irshift": 1}


@pytest.mark.parametrize("name", [*OPERATORS, *BITS])
def test_operators_write_into_the_buffer_that_views_share(device: str, name: str) -> None:
    op = getattr(operator, name)
    number = OPERATORS.get(name) or BITS[name]
    x = np.abs(sample((3, 4), pb.float32 if name in OPERATORS else pb.int32)) + 1
    t = pb.asarray(x, device=device)
    view, storage = t[:, ::2], t.array.storage
    got = op(t, number)
    assert got is t
    assert t.array.storage is storage
    want = op(x.copy(), type(number)(number))
    np.testing.assert_allclose(t.numpy(), want, rtol=1e-6)
    np.testing.assert_array_equal(view.numpy(), t.numpy()[:, ::2])
    op(view, number)
    np.testing.assert_array_equal(view.numpy(), t.numpy()[:, ::2])


def test_matmul_in_place(device: str) -> None:
    t = pb.asarray([[1.0, 2.0], [3.0, 4.0]], device=device)
    view = t[0]
    t @= pb.asarray([[0.0, 1.0], [1.0, 0.0]], device=device)
    assert t.tolist() == [[2.0, 1.0], [4.0, 3.0]]
    assert view.tolist() == [2.0, 1.0]


def test_lazy_results_are_what_they_were_when_they_were_written(device: str) -> None:
    x = pb.ones(4, device=device)
    doubled, first, half = x * 2, x[:2] * 3, pb.astype(x, pb.float16)
    x += 1
    later = x * 2
    x[0] = 100
    assert doubled.tolist() == [2.0] * 4
    assert first.tolist() == [3.0] * 2
    assert half.tolist() == [1.0] * 4
    assert later.tolist() == [4.0] * 4


def test_a_shared_subexpression_survives_an_update_of_its_operand(device: str) -> None:
    x = pb.ones(3, device=device)
    t = x * 2
    u = t + 1
    x += t  # t and u are still needed
    assert (x.tolist(), t.tolist(), u.tolist()) == ([3.0] * 3, [2.0] * 3, [3.0] * 3)


def test_an_operand_that_is_still_lazy_is_kept_for_its_owner(device: str) -> None:
    x = pb.ones(3, device=device)
    t = x * 2
    x += t
    assert t.tolist() == [2.0] * 3
    y = pb.ones(3, device=device)
    u = y * 2
    y[1:] = u[1:] + y[1:]
    assert u.tolist() == [2.0] * 3


@pytest.fixture(scope="module")
def strict() -> Iterator[str]:
    """A device that refuses outputs that overlap inputs in another way than the contract allows."""
    with extra_device() as name:
        yield name


@pytest.mark.parametrize(
    "update",
    [
        lambda x: operator.iadd(x, x.T),
        lambda x: operator.iadd(x, x[::-1] * x.T),
        lambda x: operator.imul(x[1:], x[:-1]),
        lambda x: x.__setitem__(..., x.T + x),
        lambda x: x.__setitem__(0, x[1]),
        lambda x: x.__setitem__(slice(1, 3), x[:2]),
        lambda x: operator.iadd(x, x),
        lambda x: operator.iadd(x[:, :2], x[:, 1:]),
    ],
)
def test_no_kernel_writes_what_it_still_has_to_read(
    strict: str, update: Callable[[pb.Tensor], object]
) -> None:
    values = np.arange(9.0).reshape(3, 3)
    x = pb.asarray(values, device=strict)
    update(x)
    update(values)
    assert x.tolist() == values.tolist()


def test_an_update_may_read_another_view_of_its_own_buffer(device: str) -> None:
    x = pb.reshape(pb.arange(4, dtype=pb.float32, device=device), (2, 2))
    x += x.T
    assert x.tolist() == [[0.0, 3.0], [3.0, 6.0]]
    y = pb.arange(5, device=device)
    y[1:] += y[:-1]
    assert y.tolist() == [0, 1, 3, 5, 7]
    y -= y
    assert y.tolist() == [0] * 5


def test_a_broadcast_tensor_cannot_be_written(device: str) -> None:
    x = pb.broadcast_to(pb.ones(1, device=device), (3,))
    with pytest.raises(pb.InvalidArgument, match="cannot write to a broadcast array"):
        x += 1
    for key in (1, slice(2), slice(0), ...):  # even one element would change the others
        with pytest.raises(pb.InvalidArgument, match="cannot write to a broadcast array"):
            x[key] = 5
    assert x.tolist() == [1.0] * 3


@pytest.mark.parametrize("dtype", [pb.float16, pb.bfloat16, pb.int8, pb.uint8], ids=str)
def test_narrow_types_stay_narrow(device: str, dtype: object) -> None:
    x = pb.ones(3, dtype=dtype, device=device)
    x += 1
    x *= 3
    assert x.dtype is dtype
    assert x.tolist() == [6] * 3


@pytest.mark.parametrize(
    ("dtype", "other", "error", "says"),
    [
        (pb.int32, 1.5, pb.DTypeError, "the result is float32; the target is int32: use x = x"),
        (pb.int8, pb.int16, pb.DTypeError, "the result is int16; the target is int8"),
        (pb.float16, pb.float32, pb.DTypeError, "the result is float32; the target is float16"),
        (pb.float32, (2, 2), pb.ShapeError, r"the result is \(2, 2\); the target is \(2,\)"),
        (pb.float32, (3,), pb.ShapeError, "do not broadcast"),
        (pb.float32, "x", TypeError, "unsupported operand"),
        (pb.float32, np.ones(2), pb.DTypeError, "NumPy array beside a tensor"),
    ],
)
def test_a_result_that_does_not_fit_the_target_is_refused(
    device: str, dtype: object, other: object, error: type, says: str
) -> None:
    x = pb.ones(2, dtype=dtype, device=device)
    if isinstance(other, tuple):
        other = pb.ones(other, device=device)
    elif isinstance(other, pb.DType):
        other = pb.ones(2, dtype=other, device=device)
    with pytest.raises(error, match=says):
        x += other
    assert x.tolist() == [1, 1]


# --- with differentiation -----------------------------------------------------------------------


def test_a_leaf_cannot_be_changed_while_recording(device: str) -> None:
    w = pb.ones(2, device=device, requires_grad=True)
    with pytest.raises(pb.GradientError, match=r"\[in place\] a leaf.*no_grad"):
        w += 1
    with pytest.raises(pb.GradientError, match=r"\[index\] a leaf.*no_grad"):
        w[0] = 1.0
    with pb.no_grad():
        w -= 0.5
        w[0] = 7.0
    assert w.tolist() == [7.0, 0.5]
    assert w.requires_grad


def test_inside_a_graph_an_update_makes_a_new_node(device: str) -> None:
    w = pb.asarray([1.0, 2.0], device=device, requires_grad=True)
    y = w * 2
    old = y
    y += w * w
    assert old.tolist() == [2.0, 4.0]
    pb.sum(y).backward()
    assert w.grad is not None
    assert w.grad.tolist() == [4.0, 6.0]


@pytest.mark.parametrize(
    "change",
    [
        lambda x: operator.iadd(x, 1),
        lambda x: x.__setitem__(0, 5.0),
        lambda x: operator.imul(x[1:], 2),
    ],
)
def test_a_saved_value_that_was_modified_is_found_out(device: str, change: object) -> None:
    w = pb.ones(3, device=device, requires_grad=True)
    x = pb.asarray([1.0, 2.0, 3.0], device=device)
    y = pb.sum(w * x)
    change(x)
    with pytest.raises(pb.GradientError, match="of multiply needs was modified in place"):
        y.backward()


def test_a_result_that_its_own_gradient_needs_may_not_be_modified(device: str) -> None:
    w = pb.ones(2, device=device, requires_grad=True)
    y = pb.exp(w)
    alias = y.detach()
    alias *= 2
    with pytest.raises(pb.GradientError, match="of exp needs was modified in place"):
        pb.sum(y).backward()


def test_modifying_what_no_gradient_needs_is_fine(device: str) -> None:
    w = pb.ones(2, device=device, requires_grad=True)
    x = pb.ones(2, device=device)
    y = pb.sum(w + x)
    x += 5
    y.backward()
    assert w.grad is not None
    assert w.grad.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    "f",
    [
        lambda x: pb.sum(x, axis=()),
        lambda x: pb.max(x, axis=(), keepdims=True),
        lambda x: pb.all(x > 0, axis=()) | (x > 0),
        lambda x: pb.sum(x[0, 0]),
        lambda x: pb.roll(x, 0, axis=0),
        lambda x: pb.roll(x[:0], 3),
        lambda x: pb.repeat(x, 1, axis=0),
        lambda x: pb.repeat(x[:1, :1], 3, axis=0),
        lambda x: pb.tile(x, (1, 1)),
        lambda x: pb.diff(x, n=0),
        lambda x: pb.fft.fftshift(x, axes=()),
        lambda x: pb.linalg.matrix_power(x, 1),
        lambda x: pb.linalg.matrix_power(x, 0),
    ],
)
def test_what_is_computed_has_memory_of_its_own(
    device: str, f: Callable[[pb.Tensor], pb.Tensor]
) -> None:
    x = pb.asarray([[1.0, 2.0], [3.0, 4.0]], device=device)
    y = f(x)
    y[...] = pb.zeros_like(y)
    assert x.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert not pb.any(y)


def test_each_gradient_has_memory_of_its_own(device: str) -> None:
    a, b = (pb.ones(2, device=device, requires_grad=True) for _ in range(2))
    given = pb.ones(2, device=device)
    (a + b).backward(given)
    assert a.grad is not None
    assert b.grad is not None
    a.grad *= 3.0
    assert (a.grad.tolist(), b.grad.tolist(), given.tolist()) == ([3.0] * 2, [1.0] * 2, [1.0] * 2)
    both = pb.grad(lambda p, q: pb.sum(p + q), argnums=(0, 1))(a.detach(), b.detach())
    both[0][0] = 5.0
    assert both[1].tolist() == [1.0, 1.0]
