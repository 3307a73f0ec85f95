"""Differentiation: reverse, forward, nested; memory; misuse."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import polyback as pb
from polyback.frontend.autograd import Node


def scalar(value: float, device: str) -> pb.Tensor:
    return pb.asarray(value, dtype=pb.float64, device=device)


def test_backward_adds_to_grad_of_every_leaf(device):
    x = pb.asarray([1.0, 2.0], device=device, requires_grad=True)
    w = pb.asarray([3.0, 4.0], device=device, requires_grad=True)
    for _ in range(2):
        pb.sum(x * w + w).backward()
    np.testing.assert_array_equal(x.grad.numpy(), [6, 8])
    np.testing.assert_array_equal(w.grad.numpy(), [4, 6])


def test_broadcast_operands_get_summed_gradients(device):
    a = pb.ones((3, 1), device=device, requires_grad=True)
    b = pb.ones((2,), device=device, requires_grad=True)
    pb.sum((a + b) * 2.0).backward()
    np.testing.assert_array_equal(a.grad.numpy(), [[4], [4], [4]])
    np.testing.assert_array_equal(b.grad.numpy(), [6, 6])


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_nested_grad_of_a_power_is_its_closed_form(device, order):
    def f(x):
        return x**5

    want = 1.0
    for k in range(order):
        f, want = pb.grad(f), want * (5 - k)
    assert f(scalar(1.5, device)).item() == pytest.approx(want * 1.5 ** (5 - order), rel=1e-12)


def test_nested_grad_of_sine_cycles(device):
    f, x = pb.sin, scalar(0.7, device)
    for want in (np.cos, lambda v: -np.sin(v), lambda v: -np.cos(v), np.sin):
        f = pb.grad(f)
        assert f(x).item() == pytest.approx(want(0.7), rel=1e-12)


def test_grad_of_a_closure_over_an_outer_variable(device):
    # d/dy of d/dx (x y)**2 = 2 x y**2 -> 4 x y
    def inner(y):
        return pb.grad(lambda x: (x * y) ** 2)(scalar(3.0, device))

    assert pb.grad(inner)(scalar(2.0, device)).item() == pytest.approx(24.0)


def test_mixed_modes_agree_on_a_hessian_vector_product(device):
    x, v = (pb.asarray(a, dtype=pb.float64, device=device) for a in ([0.5, 1.5], [1.0, -2.0]))

    def f(t):
        return pb.sum(pb.exp(t) * t[0])

    forward_over_reverse = pb.jvp(pb.grad(f), (x,), (v,))[1]
    reverse_over_reverse = pb.grad(lambda t: pb.sum(pb.grad(f)(t) * v))(x)
    reverse_over_forward = pb.grad(lambda t: pb.jvp(f, (t,), (v,))[1])(x)
    np.testing.assert_allclose(forward_over_reverse.numpy(), reverse_over_reverse.numpy())
    np.testing.assert_allclose(reverse_over_forward.numpy(), reverse_over_reverse.numpy())


def test_perturbations_are_not_confused(device):
    # d/dx [x * d/dy (x + y)] = 1, not 2
    def f(x):
        return x * pb.jvp(lambda y: x + y, (scalar(1, device),), (scalar(1, device),))[1]

    assert pb.jvp(f, (scalar(1, device),), (scalar(1, device),))[1].item() == 1.0
    assert pb.grad(f)(scalar(1, device)).item() == 1.0


def test_grad_with_several_arguments_and_aux(device):
    def f(x, y):
        return (x * y, "extra")

    (value, aux), (gx, gy) = pb.value_and_grad(f, argnums=(0, 1), has_aux=True)(
        scalar(2, device), scalar(3, device)
    )
    assert (value.item(), aux, gx.item(), gy.item()) == (6, "extra", 3, 2)
    assert pb.grad(lambda x, y: x)(scalar(1, device), scalar(1, device)).item() == 1
    assert pb.grad(lambda x, y: x, argnums=1)(scalar(1, device), scalar(1, device)).item() == 0


def test_functional_results_carry_no_graph_of_their_own(device):
    x = scalar(2, device)
    value, gradient = pb.value_and_grad(lambda t: t * t)(x)
    assert not value.requires_grad
    assert not gradient.requires_grad
    assert x.grad is None


def test_functional_grad_inside_a_recorded_computation_is_part_of_it(device):
    w = pb.asarray(2.0, device=device, requires_grad=True)
    pb.grad(lambda x: w * x * x)(pb.asarray(3.0, device=device)).backward()
    assert w.grad.item() == 6.0


def test_vjp_pulls_any_cotangent_back_twice(device):
    x = pb.asarray([1.0, 2.0], device=device)
    _, pull = pb.vjp(lambda t: t * t, x)
    for weight in (1.0, 3.0):
        got = pull(pb.full((2,), weight, dtype=pb.float32, device=device))[0]
        np.testing.assert_array_equal(got.numpy(), 2 * weight * x.numpy())
    with pytest.raises(pb.ShapeError, match="cotangent"):
        pull(pb.ones(3, device=device))


def test_no_grad_and_detach_stop_recording(device):
    x = pb.ones(2, device=device, requires_grad=True)
    with pb.no_grad():
        assert not (x * 2).requires_grad
    y = pb.sum(x * x.detach())
    y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), [1, 1])


def test_a_chain_of_50000_operations(device):
    x = pb.asarray(1.0, device=device, requires_grad=True)
    y = x
    for _ in range(50_000):
        y = y + 1.0
    y.backward()
    assert x.grad.item() == 1.0
    z = x
    for _ in range(50_000):
        z = z * 1.0
    del z  # frees a graph of this depth without recursion


def test_graphs_are_freed_by_reference_counting(device):
    x = pb.ones(2, device=device, requires_grad=True)
    gc.disable()
    try:
        y = pb.sum(pb.exp(x) * x)
        node = weakref.ref(y.node)
        del y
        assert node() is None
        y = pb.sum(pb.exp(x) * x)
        node = weakref.ref(y.node)
        y.backward(create_graph=True)
        x.grad = None
        del y
        assert node() is None
    finally:
        gc.enable()


def test_updates_in_place_do_not_grow_the_graph(device):
    w = pb.ones(4, device=device, requires_grad=True)
    for step in range(60):
        pb.sum(w * w).backward()
        with pb.no_grad():
            w -= 0.01 * w.grad
        w.grad = None
        if step % 20 == 0:
            gc.collect()
            assert sum(type(o) is Node for o in gc.get_objects()) == 0
    assert w.requires_grad
    assert w.is_leaf
    np.testing.assert_allclose(w.numpy(), 0.98**60, rtol=1e-5)


def test_only_what_a_gradient_reads_is_kept(device):
    x = pb.ones(3, device=device, requires_grad=True)
    y = x + 1.0
    assert y.node.saved == [None, None]
    assert y.node.output is None
    z = pb.exp(x)
    assert z.node.output is not None
    assert z.node.saved == [None]


def test_second_backward_needs_retain_graph(device):
    x = pb.asarray(2.0, device=device, requires_grad=True)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 8.0
    with pytest.raises(pb.GradientError, match="retain_graph"):
        y.backward()


def test_a_saved_value_changed_in_place_is_noticed(device):
    w = pb.ones(2, device=device, requires_grad=True)
    data = pb.ones(2, device=device)
    y = pb.sum(w * data)
    data += 1.0
    with pytest.raises(pb.GradientError, match="modified in place"):
        y.backward()


def test_assignment_inside_the_graph_routes_gradients(device):
    x = pb.asarray([1.0, 2.0, 3.0], device=device, requires_grad=True)
    v = pb.asarray(5.0, device=device, requires_grad=True)
    y = x * 2.0
    y[1] = v * 3.0
    pb.sum(y * y).backward()
    np.testing.assert_array_equal(x.grad.numpy(), [8, 0, 24])
    assert v.grad.item() == 2 * 15 * 3


def test_gradients_cross_devices(device):
    x = pb.ones(3, device="numpy_ref", requires_grad=True)
    y = x.to_device(device) * 2.0
    pb.sum(y.to_device("numpy_ref") * x).backward()
    assert x.grad.device == "numpy_ref"
    np.testing.assert_array_equal(x.grad.numpy(), [4, 4, 4])


def test_half_types_have_half_gradients(device):
    x = pb.asarray([1.0, 2.0], dtype=pb.bfloat16, device=device, requires_grad=True)
    pb.sum(pb.astype(x * x, pb.float32)).backward()
    assert x.grad.dtype is pb.bfloat16
    np.testing.assert_array_equal(x.grad.numpy().astype(np.float32), [2, 4])


def test_check_grad_notices_a_wrong_gradient(device):
    def wrong(x: pb.Tensor) -> pb.Tensor:
        return x * x.detach()  # the gradient of x * x is twice this one's

    with pytest.raises(pb.GradientError, match="got"):
        pb.testing.check_grad(wrong, pb.asarray([1.0, 2.0], dtype=pb.float64, device=device))


def test_transforms_inside_no_grad_differentiate_tensors_of_a_graph(device):
    x = pb.asarray([1.0, 2.0], device=device, requires_grad=True) * 1.0
    with pb.no_grad():
        _, pull = pb.vjp(lambda x: x * x, x)
        (g,) = pull(pb.ones_like(x))
        slope = pb.grad(lambda x: pb.sum(x * x * x))(x)
        _, t = pb.jvp(lambda x: x * x, (x,), (pb.ones_like(x),))
    assert g.tolist() == [2.0, 4.0]
    assert slope.tolist() == [3.0, 12.0]
    assert t.tolist() == [2.0, 4.0]


def test_a_tangent_is_repeated_where_its_operand_was(device):
    x, b = pb.ones((5, 2), device=device), pb.ones(2, device=device)
    assert pb.jvp(lambda b: x + b, (b,), (b,))[1].shape == (5, 2)
    assert pb.jvp(lambda b: pb.sum(x * b), (b,), (b,))[1].item() == 10.0
