"""Differences of neighbours along an axis."""

from __future__ import annotations

import numpy as np
import pytest
from against_numpy import INTEGERS, close, same, sample, stored

import polyback as pb
from polyback.dtype import DType


@pytest.mark.parametrize("dtype", [*INTEGERS, pb.float32, pb.complex64], ids=str)
@pytest.mark.parametrize("n", range(5))
def test_diff_is_numpys(device: str, dtype: DType, n: int) -> None:
    x = sample((3, 4), stored(device, dtype))
    for axis in (0, -1):
        got = pb.diff(pb.asarray(x, device=device), axis=axis, n=n)
        close(got, np.diff(x, axis=axis, n=n), dtype)


def test_diff_between_other_numbers(device: str) -> None:
    x, before, after = (sample((2, k), pb.int32, seed=k) for k in (3, 1, 2))
    there = [pb.asarray(v, device=device) for v in (x, before, after)]
    got = pb.diff(there[0], n=2, prepend=there[1], append=there[2])
    same(got, np.diff(x, n=2, prepend=before, append=after))
    assert pb.diff(there[0], n=9).shape == (2, 0)


def test_diff_has_a_gradient_and_refuses_bool(device: str) -> None:
    x = pb.asarray([1.0, 4.0, 9.0], device=device, requires_grad=True)
    pb.sum(pb.diff(x) * pb.asarray([1.0, 10.0], device=device)).backward()
    assert x.grad.tolist() == [-1.0, -9.0, 10.0]
    with pytest.raises(pb.DTypeError, match=r"\[subtract\] does not take bool"):
        pb.diff(pb.asarray([True, False], device=device))
    with pytest.raises(pb.InvalidArgument, match=r"\[diff\] n=-1; want 0 or more"):
        pb.diff(x, n=-1)
