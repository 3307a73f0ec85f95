"""DLPack: numbers go to NumPy and come back, shared where the device shares its memory."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from against_numpy import sample, stored
from extra_devices import extra_device

import polyback as pb
from polyback.dtype import DTYPES, DType

EXPORTED = [d for d in DTYPES if d is not pb.bfloat16]  # NumPy has no name for bfloat16 in DLPack


@pytest.mark.parametrize("dtype", EXPORTED, ids=str)
def test_numpy_reads_views_of_every_type_in_place(device: str, dtype: DType) -> None:
    values = sample((4, 6), stored(device, dtype))
    x = pb.asarray(values, device=device)
    for view, want in (
        (x, values), (x.T, values.T), (x[1:, ::-2], values[1:, ::-2]), (x[:0], values[:0]),
        (pb.broadcast_to(x[0], (3, 6)), np.broadcast_to(values[0], (3, 6))),
        (x[2, 3], values[2, 3]),
    ):  # fmt: skip
        got = np.from_dlpack(view)
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)


def test_memory_is_shared_and_outlives_the_tensor() -> None:
    x = pb.zeros(1000, device="cpu")
    seen = np.from_dlpack(x)
    x += 1.0
    assert seen[7] == 1.0
    kept = np.from_dlpack(x, copy=True)
    x += 1.0
    del x
    others = [pb.full((1000,), 9.0, device="cpu") + 0.0 for _ in range(4)]
    assert others[0].tolist()[0] == 9.0
    assert (seen[7], kept[7]) == (2.0, 1.0)


def test_pending_work_is_done_before_memory_is_seen(device: str) -> None:
    x = pb.ones(3, device=device) * 2.0
    np.testing.assert_array_equal(np.from_dlpack(x), [2.0, 2.0, 2.0])


def test_a_device_without_shared_memory_exports_a_copy() -> None:
    with extra_device() as name:
        x = pb.asarray([1.0, 2.0], device=name)
        np.testing.assert_array_equal(np.from_dlpack(x), [1.0, 2.0])
        with pytest.raises(pb.InterchangeError, match="does not share its memory"):
            np.from_dlpack(x, copy=False)


def test_capsules_are_of_the_version_asked_for(device: str) -> None:
    x = pb.ones(3, device=device)
    for options, name in (
        ({}, '"dltensor"'), ({"max_version": (0, 8)}, '"dltensor"'),
        ({"max_version": (1, 0)}, '"dltensor_versioned"'),
        ({"max_version": (1, 1), "dl_device": (1, 0), "copy": True}, '"dltensor_versioned"'),
    ):  # fmt: skip
        assert name in repr(x.__dlpack__(**options))
    kept = np.from_dlpack(x, copy=True)
    kept += 1.0
    assert x.tolist() == [1.0, 1.0, 1.0]


def test_what_cannot_be_exported_is_a_buffer_error() -> None:
    x = pb.zeros(2)
    assert x.__dlpack_device__() == (1, 0)
    for options in ({"stream": 1}, {"dl_device": (2, 0)}):
        with pytest.raises(BufferError, match=r"\[__dlpack__\] got stream=.*want None"):
            x.__dlpack__(**options)
    x.requires_grad = True
    with pytest.raises(pb.InterchangeError, match=r"want x\.detach"):
        x.__dlpack__()
    with pytest.raises(pb.InterchangeError, match=r"want x\.detach"):
        pb.from_dlpack(x)


@pytest.mark.parametrize("dtype", EXPORTED, ids=str)
def test_from_dlpack_takes_numpy_arrays(device: str, dtype: DType) -> None:
    values = sample((3, 4), stored(device, dtype))[:, ::-1]
    got = pb.from_dlpack(values, device=device)
    assert (got.dtype, got.device) == (dtype, device)
    np.testing.assert_array_equal(got.numpy(), values)
    values.flags.writeable = False
    assert pb.from_dlpack(values, device=device, copy=True).shape == (3, 4)
    with pytest.raises(pb.InterchangeError, match="copy=False"):
        pb.from_dlpack(values, copy=False)


def test_from_dlpack_of_a_tensor_keeps_its_device(device: str) -> None:
    x = pb.asarray([1, 2], device=device)
    same, copy = pb.from_dlpack(x, copy=False), pb.from_dlpack(x, copy=True)
    assert same.device == copy.device == device
    x[0] = 5
    assert (same.tolist(), copy.tolist()) == ([5, 2], [1, 2])
    with pytest.raises(AttributeError):
        pb.from_dlpack([1, 2])


def test_from_dlpack_shares_the_memory_both_ways(device: str) -> None:
    if not pb.get_device(device).has("adopt"):
        values = np.arange(3.0)
        with pytest.raises(pb.InterchangeError, match="does not take over the memory"):
            pb.from_dlpack(values, device=device, copy=False)
        copy = pb.from_dlpack(values, device=device)
        values[0] = 7.0
        assert copy.tolist() == [0.0, 1.0, 2.0]
        return
    for turn in (lambda a: a, lambda a: a[:, ::-1], lambda a: a[1:, 1::2].T):
        values = turn(np.arange(24.0).reshape(4, 6))
        x = pb.from_dlpack(values, device=device, copy=False)
        assert x.tolist() == values.tolist()
        waiting = x + 1.0  # computed before the write below, whenever it is read
        values[0, 1] = 100.0
        assert x[0, 1].item() == 100.0
        assert waiting[0, 1].item() != 101.0
        x[1, 0] = -5.0
        x *= 2.0
        assert values[0, 1] == 200.0
        assert values[1, 0] == -10.0
        assert pb.sum(x).item() == values.sum()
    kept = pb.from_dlpack(np.arange(1000.0), device=device)
    gc.collect()
    assert pb.sum(kept).item() == 499_500.0  # the memory lives as long as the tensor
    odd = np.zeros(9, np.uint8)[1:].view(np.float64)
    if not odd.flags.aligned:
        assert pb.from_dlpack(odd, device=device).shape == (1,)
