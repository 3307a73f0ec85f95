"""Random numbers: known answers, the same on every device, and distributed as they should be."""

from __future__ import annotations

import math

import numpy as np
import pytest

import polyback as pb
from polyback.philox import random_words

KNOWN = [  # Philox4x32-10 known answers published with Random123: counter, key, words
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_known_answers(device, counter, key, words):
    block, lane = counter[0] | counter[1] << 32, counter[2] | counter[3] << 32
    got = random_words(pb.get_device(device), 4, key[0] | key[1] << 32, block, lane).numpy()
    assert tuple(int(w) for w in got) == words


DRAWS = {
    "uniform": lambda g, n: g.uniform(n),
    "uniform in a range": lambda g, n: g.uniform((n,), -3.0, 5.0),
    "uniform float64": lambda g, n: g.uniform(n, dtype=pb.float64),
    "uniform bfloat16": lambda g, n: g.uniform(n, dtype=pb.bfloat16),
    "integers": lambda g, n: g.integers(-5, 1000, (n,)),
    "permutation": lambda g, n: g.permutation(n),
    "bernoulli": lambda g, n: g.bernoulli(0.3, (n,)),
}


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("n", [0, 1, 2, 3, 5, 64, 1001])
def test_draws_are_bit_identical_on_every_device(device, name, n):
    got = DRAWS[name](pb.random.Generator(11, device=device), n).numpy()
    want = DRAWS[name](pb.random.Generator(11, device="numpy_ref"), n).numpy()
    assert got.shape == (n,)
    assert got.tobytes() == want.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normals_agree_within_2_ulp(device, dtype):
    got = pb.random.Generator(3, device=device).normal(5001, dtype=dtype).numpy()
    want = pb.random.Generator(3, device="numpy_ref").normal(5001, dtype=dtype).numpy()
    assert np.max(np.abs(got - want) / np.spacing(np.abs(want))) <= 2


def test_element_i_depends_only_on_seed_and_position(device):
    whole = pb.random.Generator(5, device=device).uniform(1000).numpy()
    part = pb.random.Generator(5, device=device).uniform(100).numpy()
    np.testing.assert_array_equal(whole[:100], part)


def test_draws_move_the_stream_on_and_the_state_restores_it(device):
    g = pb.random.Generator(1, device=device)
    first = g.uniform(10).numpy()
    state = g.state_dict()
    second = g.uniform(10).numpy()
    assert not np.array_equal(first, second)
    g.load_state_dict(state)
    np.testing.assert_array_equal(g.uniform(10).numpy(), second)


def test_moments(device):
    g, n = pb.random.Generator(2, device=device), 200_000
    u = g.uniform(n, dtype=pb.float64).numpy()
    z = g.normal(n).numpy().astype(np.float64)
    slack = 5 / math.sqrt(n)
    assert u.min() >= 0
    assert u.max() < 1
    assert abs(u.mean() - 0.5) < slack
    assert abs(u.var() - 1 / 12) < slack
    assert abs(z.mean()) < slack
    assert abs(z.var() - 1) < 2 * slack
    assert abs((z**4).mean() - 3) < 10 * slack
    counts = np.bincount(g.integers(0, 10, (n,)).numpy(), minlength=10)
    assert counts.size == 10
    assert np.abs(counts / n - 0.1).max() < slack
    assert abs(g.bernoulli(0.25, (n,)).numpy().mean() - 0.25) < slack


def test_permutations_hold_every_integer_once(device):
    order = pb.random.Generator(9, device=device).permutation(1000).numpy()
    np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    assert not np.array_equal(order, np.arange(1000))


def test_integers_reach_both_ends_of_a_full_range(device):
    g = pb.random.Generator(0, device=device)
    drawn = g.integers(0, 2**32, (10_000,)).numpy()
    assert drawn.min() < 2**24
    assert drawn.max() > 2**32 - 2**24
    assert set(g.integers(3, shape=(200,)).tolist()) == {0, 1, 2}


def test_the_default_generator_is_seeded_for_everybody(device):
    pb.random.manual_seed(4)
    first = pb.random.default_generator().uniform(3, device=device).tolist()
    pb.random.manual_seed(4)
    assert pb.random.default_generator().uniform(3, device=device).tolist() == first
    assert pb.random.Generator().seed != pb.random.Generator().seed


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda g: g.uniform(3, dtype=pb.int32), pb.DTypeError, "floating"),
        (lambda g: g.integers(5, 5), pb.InvalidArgument, "2\\*\\*32"),
        (lambda g: g.integers(0, 2**33), pb.InvalidArgument, "2\\*\\*32"),
        (lambda g: g.bernoulli(1.5, (2,)), pb.InvalidArgument, "0 to 1"),
        (lambda g: g.uniform((-1,)), pb.ShapeError, "negative"),
    ],
)
def test_bad_requests_are_typed_errors(device, call, error, words):
    g = pb.random.Generator(0, device=device)
    with pytest.raises(error, match=words):
        call(g)
