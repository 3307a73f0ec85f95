"""Sorting on every device: stable, NaN last, along any axis."""

from __future__ import annotations

import numpy as np
import pytest
from against_numpy import REAL, same, sample

import polyback as pb
from polyback.dtype import DType


def order_of(x: np.ndarray, axis: int, descending: bool) -> np.ndarray:
    """The stable order, NaN last in both directions, by sorting Python tuples."""

    def along(row: np.ndarray) -> np.ndarray:
        def key(k: int) -> tuple[bool, float]:
            value = row[k].item()
            return (value != value, 0 if value != value else -value if descending else value)

        return np.array(sorted(range(len(row)), key=key), np.int64)

    return np.apply_along_axis(along, axis, x).astype(np.int64) if x.size else x.astype(np.int64)


@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_the_order_is_stable(device: str, dtype: DType, descending: bool, axis: int) -> None:
    x = sample((6, 7), dtype)
    if dtype.is_floating:
        x = np.round(x)  # ties
        x[1, 2:5], x[3] = np.nan, np.inf
    t = pb.asarray(x, device=device)
    wide = x.astype(np.float32) if dtype.compute is not dtype else x
    want = order_of(wide, axis, descending)
    same(pb.argsort(t, axis=axis, descending=descending), want, pb.int64)
    got = pb.sort(t, axis=axis, descending=descending)
    same(got, np.take_along_axis(x, want, axis), dtype)


def test_zeros_of_either_sign_are_equal_and_infinities_come_before_nan(device: str) -> None:
    x = pb.asarray([0.0, -0.0, np.nan, -np.inf, np.inf, 1.0], device=device)
    assert pb.argsort(x).tolist() == [3, 0, 1, 5, 4, 2]
    assert pb.argsort(x, descending=True).tolist() == [4, 5, 0, 1, 3, 2]


def test_what_is_equal_stays_as_it_came(device: str) -> None:
    """Bits tell zeros of either sign, and NaN, from each other."""
    bits = np.array([0x7FC00001, 0, 1 << 31, 0xFFC00002, 0x3F800000, 0, 0xBF800000], np.uint32)
    x = np.concatenate([bits, bits[::-1]]).view(np.float32)
    for down in (False, True):
        got = pb.sort(pb.asarray(x, device=device), descending=down).numpy()
        want = x[order_of(x, 0, down)]
        np.testing.assert_array_equal(got.view(np.uint32), want.view(np.uint32))


@pytest.mark.parametrize("shape", [(1,), (0,), (3, 0), (0, 3), (2, 1)])
def test_short_and_empty_axes(device: str, shape: tuple[int, ...]) -> None:
    x = pb.zeros(shape, device=device)
    assert pb.sort(x).shape == shape
    assert (pb.argsort(x).shape, pb.argsort(x).dtype) == (shape, pb.int64)


def test_large_integers_keep_every_bit(device: str) -> None:
    x = pb.asarray([2**63 - 1, 2**63 - 2, -(2**63), 2**53 + 1, 2**53], device=device)
    assert pb.sort(x).tolist() == sorted(x.tolist())
    u = pb.asarray([2**64 - 1, 2**64 - 2, 0], dtype=pb.uint64, device=device)
    assert pb.argsort(u).tolist() == [2, 1, 0]


def test_gradients_follow_the_elements(device: str) -> None:
    x = pb.asarray([[3.0, 1.0, 2.0], [0.5, 9.0, -4.0]], dtype=pb.float64, device=device)
    pb.testing.check_grad(lambda x: pb.sort(x, axis=1, descending=True) ** 2, x)
    pb.testing.check_grad(lambda x: pb.sort(x, axis=0) ** 2, x)


def test_what_cannot_be_sorted_is_an_error(device: str) -> None:
    with pytest.raises(pb.IndexOutOfBounds, match=r"\[sort\] axis -1 is outside"):
        pb.sort(pb.ones((), device=device))
    if "complex64" in pb.get_device(device).caps.storage:
        with pytest.raises(pb.PolybackError, match="complex numbers have no order"):
            pb.sort(pb.asarray([1j], device=device))
