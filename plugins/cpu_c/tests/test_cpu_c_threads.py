"""Threads change the time, never a bit; forks and simultaneous callers work."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cpu_c_lab import new, open_device, product, put, reduced, run

from polyback import scalar
from polyback.dtype import float32
from polyback.program import program
from polyback.scalar import MAX, SUM


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).standard_normal((1500, 700)).astype(np.float32)


def everything(threads, x):
    device = open_device(threads=threads)
    chain = program(lambda a, b: scalar.EXP(-a * a) * b + 1.5, float32, float32)
    results = run(device, chain, x, x[::-1].copy())
    results += [reduced(device, op, x, axes) for op in (SUM, MAX) for axes in ((0,), (1,), (0, 1))]
    results.append(reduced(device, SUM, x.reshape(-1, 7), (0,)))
    fused, out = program(lambda a: a * a, float32), new(device, (1, 700), "float32")
    device.reduce_fused(SUM, out, fused, (put(device, x),), (0,))
    results.append(np.frombuffer(device.host_view(out.buffer), np.float32).copy())
    results.append(product(device, x, x.T.copy()))
    return results


def test_same_bits_for_any_number_of_threads(x):
    first, *others = (everything(n, x) for n in (1, 2, 4))
    for other in others:
        for a, b in zip(first, other, strict=True):
            np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32))


def test_two_threads_at_once(x):
    device = open_device()
    chain = program(lambda a: scalar.TANH(a) * 2.0, float32)
    want = run(device, chain, x)[0], reduced(device, SUM, x, (1,))

    def work(_):
        for _ in range(5):
            np.testing.assert_array_equal(run(device, chain, x)[0], want[0])
            np.testing.assert_array_equal(reduced(device, SUM, x, (1,)), want[1])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))


FORK = """
import os
import numpy as np
from cpu_c_lab import open_device, reduced, product
from polyback.scalar import SUM

device = open_device(threads=4)
x = np.random.default_rng(0).random((1000, 800)).astype(np.float32)
want = reduced(device, SUM, x, (0,)), product(device, x, x.T.copy())
for _ in range(20):
    child = os.fork()
    if child == 0:
        got = reduced(device, SUM, x, (0,)), product(device, x, x.T.copy())
        os._exit(0 if all((a == b).all() for a, b in zip(got, want)) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert (reduced(device, SUM, x, (0,)) == want[0]).all()
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="no fork on this system")
def test_fork_after_use(request):
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK], cwd=request.path.parent, check=True,
        timeout=120,
    )  # fmt: skip
