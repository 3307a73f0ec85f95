"""Lazy elementwise work: when it runs, how often, and that writes in place never disturb it."""

from __future__ import annotations

import functools
import gc
import operator
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest

import polyback as pb
from polyback import fusion, runtime


@contextmanager
def noted(device: str, note: Callable[[str], None]) -> Iterator[None]:
    """Inside, ``note`` gets each program that runs on the device, printed."""
    found, original = pb.get_device(device), runtime.Device.prepare

    def prepare(self, key, program, outs, ins):
        made = original(self, key, program, outs, ins)

        def run(outs, ins):
            note(str(program))
            made.run(outs, ins)

        self.prepared[key] = runtime.Prepared(program, run)
        return self.prepared[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime.Device, "prepare", prepare)
        found.prepared.clear()
        yield
        found.prepared.clear()


@pytest.fixture
def launches(device: str) -> Iterator[list[str]]:
    """The programs that run on the device, printed, in order."""
    seen: list[str] = []
    with noted(device, seen.append):
        yield seen


def vector(device: str, *values: float) -> pb.Tensor:
    return pb.asarray(values, dtype=pb.float32, device=device)


def test_a_chain_is_one_program(device, launches):
    x = vector(device, 1, 2, 3)
    y = pb.exp(-(x * 2.0 + 1.0)) * 0.5
    assert launches == []
    np.testing.assert_allclose(y.numpy(), np.exp(-(x.numpy() * 2 + 1)) * 0.5, rtol=1e-6)
    assert len(launches) == 1
    assert launches[0].count("=") == 5


def test_without_fusion_each_operation_is_a_program(device, launches):
    with pb.configure(fuse=False):
        y = pb.exp(vector(device, 1, 2) * 2.0) + 1.0
    assert len(launches) == 3
    np.testing.assert_allclose(y.numpy(), np.exp([2, 4]) + 1, rtol=1e-6)


def test_numbers_are_inputs_so_that_a_new_rate_is_the_same_program(device, launches):
    x = vector(device, 1, 2)
    results = [(x * rate + 1.0).numpy() for rate in (0.1, 0.2, 0.3)]
    assert len(set(launches)) == 1
    np.testing.assert_allclose(results[2], x.numpy() * np.float32(0.3) + 1)


def test_an_intermediate_in_use_is_computed_once(device, launches):
    x = vector(device, 1, 2, 3)
    middle = pb.exp(x)
    top = middle * 2.0
    top.numpy(), middle.numpy()
    assert len(launches) == 1
    assert launches[0].splitlines()[-1] == "return t2 t3"


def test_an_intermediate_out_of_use_is_not_stored(device, launches):
    top = pb.exp(vector(device, 1, 2, 3)) * 2.0
    top.numpy()
    assert launches[0].splitlines()[-1] == "return t3"


def test_long_chains_are_cut(device, launches):
    x = vector(device, 1.0)
    y = x
    for _ in range(100):
        y = y + 1.0
    assert y.item() == 101.0
    assert 4 <= len(launches) <= 10


def test_an_operand_of_another_shape_is_evaluated_before_it_is_broadcast(device, launches):
    row = pb.exp(vector(device, 0, 0, 0))
    table = pb.zeros((4, 3), device=device) + row
    launches.clear()
    np.testing.assert_array_equal(table.numpy(), np.ones((4, 3)))
    assert all("exp" not in text for text in launches)


def test_a_write_in_place_comes_after_pending_reads(device):
    x = vector(device, 1, 2, 3)
    doubled = x * 2.0
    x += 10.0
    np.testing.assert_array_equal(doubled.numpy(), [2, 4, 6])
    np.testing.assert_array_equal(x.numpy(), [11, 12, 13])


def test_a_write_through_a_view_comes_after_pending_reads(device):
    x = vector(device, 1, 2, 3, 4)
    doubled, reversed_ = x * 2.0, pb.flip(x) + 0.0
    x[1:3] = 0.0
    np.testing.assert_array_equal(doubled.numpy(), [2, 4, 6, 8])
    np.testing.assert_array_equal(reversed_.numpy(), [4, 3, 2, 1])
    np.testing.assert_array_equal(x.numpy(), [1, 0, 0, 4])


def test_a_shared_unnamed_intermediate_keeps_its_value_after_a_write(device):
    x = vector(device, 1, 2)
    shared = x + 1.0
    first, second = shared * 2.0, shared * 3.0
    del shared
    x[...] = first
    np.testing.assert_array_equal(second.numpy(), [6, 9])
    np.testing.assert_array_equal(x.numpy(), [4, 6])


def test_a_shared_intermediate_keeps_its_value_after_an_update_in_place(device):
    x = vector(device, 1, 2)
    shared = x * 2.0
    other = shared + 0.5
    x -= shared * 0.25
    np.testing.assert_array_equal(other.numpy(), [2.5, 4.5])
    np.testing.assert_array_equal(x.numpy(), [0.5, 1.0])
    np.testing.assert_array_equal(shared.numpy(), [2, 4])


def test_an_update_is_one_program_in_place(device, launches):
    p, g = vector(device, 1, 2), vector(device, 10, 20)
    storage = p.array.storage
    launches.clear()
    p -= g * 0.1
    assert len(launches) == 1
    assert p.array.storage is storage
    np.testing.assert_allclose(p.numpy(), [0, 0], atol=1e-6)


def test_assigning_from_an_overlapping_view(device):
    x = vector(device, 1, 2, 3, 4)
    x[1:] = x[:-1]
    np.testing.assert_array_equal(x.numpy(), [1, 1, 2, 3])
    y = vector(device, 1, 2, 3)
    y[...] = pb.flip(y) * 2.0
    np.testing.assert_array_equal(y.numpy(), [6, 4, 2])


def test_an_assigned_tensor_stays_independent(device):
    x, y = vector(device, 0, 0), vector(device, 1, 2) + 1.0
    x[...] = y
    x += 5.0
    np.testing.assert_array_equal(y.numpy(), [2, 3])


def test_a_reduction_reads_the_expression_without_storing_it(device, launches):
    x = vector(device, 1, 2, 3)
    total = pb.sum(x * x)
    assert total.item() == 14.0
    if pb.get_device(device).has("reduce_fused"):
        assert launches == []


def test_memory_of_a_finished_expression_is_given_back(device):
    x = vector(device, *range(1000))
    y = x * 2.0 + 1.0
    y.numpy()
    storage = weakref.ref(y.array.storage)
    del y
    gc.disable()
    try:
        assert storage() is None
    finally:
        gc.enable()


def test_results_do_not_depend_on_fusion(device):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 37, 5)).astype(np.float32)

    def work() -> np.ndarray:
        x, y = pb.asarray(a, device=device), pb.asarray(b, device=device)
        z = pb.tanh(x * y + 0.5) - pb.sigmoid(x)
        return pb.where(z > 0, z * 2.0, pb.exp(z)).numpy()

    fused = work()
    with pb.configure(fuse=False):
        assert np.array_equal(fused, work())


def test_the_program_cache_is_bounded(device, monkeypatch):
    monkeypatch.setattr(fusion, "_PROGRAMS", dict.fromkeys(range(4096)))
    assert (vector(device, 1) + 1.0).item() == 2.0
    assert len(fusion._PROGRAMS) == 1


def test_out_of_memory_is_retried_after_garbage_collection(monkeypatch):
    device = pb.get_device("numpy_ref")
    real, calls = device.protocol.allocate, []

    def allocate(nbytes):
        calls.append(nbytes)
        if len(calls) == 1:
            raise pb.OutOfMemory("[test] full", requested=nbytes)
        return real(nbytes)

    monkeypatch.setattr(device.protocol, "allocate", allocate)
    storage = runtime.Storage(device, 64)
    assert calls == [64, 64]
    assert storage.buffer.nbytes == 64


@pytest.mark.parametrize("write", ["whole", "part"])
def test_a_write_waits_for_readers_of_a_result_made_earlier(device, write):
    x = vector(device, 1, 2)
    made = x + 1.0
    waiting = made * 2.0
    assert made.tolist() == [2, 3]  # has run; `waiting` still has to read it
    if write == "whole":
        made += 5.0
    else:
        made[0] = 100.0
    assert waiting.tolist() == [4, 6]


def test_a_write_waits_for_readers_of_a_side_output(device):
    x = vector(device, 1, 2)
    inner = x + 1.0
    outer = inner * 3.0
    other = inner - 1.0
    assert outer.tolist() == [6, 9]  # ran with `inner` as its second output
    inner -= 7.0
    assert other.tolist() == [1, 2]
    assert inner.tolist() == [-5, -4]


def test_threads_that_need_one_expression_and_change_what_it_reads(device):
    """Whoever comes first runs it, once, with the numbers as they were when it was written down."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            for _ in range(100):
                x = vector(device, 1, 2, 3)
                once, gate = x * 2.0, threading.Barrier(4)
                square = once * once - x

                def work(task, gate=gate):
                    gate.wait()
                    return task()

                tasks = [
                    once.tolist,
                    square.tolist,
                    lambda y=square: float(pb.sum(y)),
                    functools.partial(operator.iadd, x, 100.0),
                ]
                got = list(pool.map(work, tasks))
                assert got[:3] == [[2, 4, 6], [3, 14, 33], 50]
                assert x.tolist() == [101, 102, 103]
    finally:
        sys.setswitchinterval(interval)


def test_an_operand_twice(device):
    x = vector(device, 1, 2)
    assert (x == x).tolist() == [True, True]
    assert pb.less(x * 2.0, x * 2.0).tolist() == [False, False]
    y = x * 2.0
    assert pb.less_equal(y, y).tolist() == [True, True]
    assert pb.where(x == x, x, x).tolist() == [1, 2]


# --- products -----------------------------------------------------------------------------------


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, device) -> Iterator[list[str]]:
    """The methods of the device that the core called, in order; skips where products do not
    wait."""
    if not pb.get_device(device).has("gemm_epilogue"):
        pytest.skip("the device goes on with no product")
    seen: list[str] = []
    protocol = pb.get_device(device).protocol
    matmul, fused = protocol.matmul, protocol.matmul_fused

    def product(*args):
        seen.append("matmul")
        matmul(*args)

    def product_and_more(*args):
        with monkeypatch.context() as patch:
            patch.setattr(protocol, "matmul", matmul)  # which it may call
            seen.append("matmul_fused")
            fused(*args)

    monkeypatch.setattr(protocol, "matmul", product)
    monkeypatch.setattr(protocol, "matmul_fused", product_and_more)
    with noted(device, lambda program: seen.append("elementwise")):
        yield seen


def matrices(device: str) -> tuple[pb.Tensor, pb.Tensor, pb.Tensor]:
    rng = np.random.default_rng(5)
    made = [rng.standard_normal(shape, np.float32) for shape in ((4, 3), (3, 5), (5,))]
    a, b, c = (pb.asarray(x, device=device) for x in made)
    return a, b, c


def test_a_layer_is_one_launch(device, calls):
    x, w, bias = matrices(device)
    y = pb.relu(pb.nn.linear(x, w.mT, bias))
    assert calls == []
    want = np.maximum(x.numpy() @ w.numpy() + bias.numpy(), 0)
    np.testing.assert_allclose(y.numpy(), want, rtol=1e-5)
    assert calls == ["matmul_fused"]


def test_a_product_that_is_needed_is_stored(device, calls):
    """By a name, by two expressions, or beside another product: each is multiplied once."""
    x, w, bias = matrices(device)
    y = x @ w
    z = y + bias
    np.testing.assert_array_equal(z.numpy(), y.numpy() + bias.numpy())
    assert calls == ["matmul", "elementwise"]
    calls.clear()
    first, second = (lambda p: (p + 1.0, p * 2.0))(x @ w)
    np.testing.assert_array_equal(first.numpy(), y.numpy() + 1)
    np.testing.assert_array_equal(second.numpy(), y.numpy() * 2)
    assert calls == ["matmul", "elementwise", "elementwise"]
    calls.clear()
    both = (x @ w) + (x * 2.0) @ w
    np.testing.assert_allclose(both.numpy(), 3 * y.numpy(), rtol=1e-5)
    assert calls == ["elementwise", "matmul", "matmul_fused"]


def test_writes_wait_for_products(device, calls):
    """To a factor, to what is added, and of a product to a factor of its own."""
    x, w, bias = matrices(device)
    want = x.numpy() @ w.numpy()
    y, z = x @ w, (x @ w) + bias
    shift = bias.numpy()
    x[...] = 0.0
    bias[...] = 7.0
    np.testing.assert_allclose(y.numpy(), want, rtol=1e-5)
    np.testing.assert_allclose(z.numpy(), want + shift, rtol=1e-5)
    square = pb.asarray(np.float32([[1, 2], [3, 4]]), device=device)
    square -= (square @ square) * 0.5
    assert square.tolist() == [[-2.5, -3], [-4.5, -7]]
    square[...] = square @ square
    assert square.tolist() == [[19.75, 28.5], [42.75, 62.5]]


def test_products_do_not_depend_on_fusion(device):
    x, w, bias = matrices(device)

    def run():
        y = pb.tanh(x @ w + bias)
        return pb.sum(y * y, axis=0) + pb.max(x @ w, axis=0)

    with pb.configure(fuse=False):
        want = run().numpy()
    np.testing.assert_array_equal(run().numpy(), want)
