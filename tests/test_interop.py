"""Other libraries take tensors: einops, by registration and through the array API."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from against_numpy import sample

import polyback as pb


@pytest.fixture
def einops(device: str) -> Iterator[Any]:
    found = pytest.importorskip("einops")
    pb.interop.register_einops()
    with pb.default_device(device):
        yield found


def test_without_einops_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "einops._backends", None)
    with pytest.raises(ImportError, match=r"\[register_einops\] .*pip install polyback\[einops\]"):
        pb.interop.register_einops.__wrapped__()


REARRANGED = ["a b c -> c a b", "a (b x) c -> a x (b c)", "a b c -> (a b c)", "a b c -> a 1 b c"]


@pytest.mark.parametrize("pattern", REARRANGED)
def test_rearrange(einops: Any, pattern: str) -> None:
    x = sample((2, 4, 3), pb.float64)
    sizes = {"x": 2} if "x" in pattern else {}
    got = einops.rearrange(pb.asarray(x), pattern, **sizes)
    np.testing.assert_array_equal(got.numpy(), einops.rearrange(x, pattern, **sizes))
    pb.testing.check_grad(lambda t: einops.rearrange(t, pattern, **sizes) ** 2, pb.asarray(x))


@pytest.mark.parametrize("operation", ["sum", "mean", "max", "min", "prod"])
def test_reduce(einops: Any, operation: str) -> None:
    x = sample((2, 4, 3), pb.float64)
    got = einops.reduce(pb.asarray(x), "a (b two) c -> c b", operation, two=2)
    want = einops.reduce(x, "a (b two) c -> c b", operation, two=2)
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-12)
    pb.testing.check_grad(lambda t: einops.reduce(t, "a b c -> b", operation), pb.asarray(x))


def test_repeat_einsum_pack_and_lists(einops: Any) -> None:
    x, y = sample((2, 3), pb.float64), sample((3, 4), pb.float64, 1)
    s, t = pb.asarray(x), pb.asarray(y)
    got, want = (einops.repeat(v, "a b -> a new (b two)", new=3, two=2) for v in (s, x))
    np.testing.assert_array_equal(got.numpy(), want)
    got = einops.einsum(s, t, "row inner, inner column -> column row")
    np.testing.assert_allclose(got.numpy(), (x @ y).T, rtol=1e-12)
    packed, shapes = einops.pack([s, pb.ones((2, 2, 2), dtype=pb.float64)], "a *")
    assert packed.shape == (2, 7)
    assert [u.shape for u in einops.unpack(packed, shapes, "a *")] == [(2, 3), (2, 2, 2)]
    assert einops.rearrange([s, s], "n a b -> a b n").shape == (2, 3, 2)
    with pytest.raises(einops.EinopsError):
        einops.rearrange(s, "a b c -> a")


def test_through_the_array_api(einops: Any) -> None:
    from einops import array_api

    x = pb.asarray(sample((2, 4), pb.float64))
    assert array_api.rearrange(x, "a (b c) -> c a b", c=2).shape == (2, 2, 2)
    assert array_api.reduce(x, "a b -> b", "sum").shape == (4,)
