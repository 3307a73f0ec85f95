"""NumPy and PyTorch see tensors: in place where memory is shared, by copying elsewhere."""

from __future__ import annotations

import copy
import doctest
import gc
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from against_numpy import sample, stored
from extra_devices import extra_device

import polyback as pb
from polyback import registry
from polyback.device import DeviceInfo
from polyback.dtype import DTYPES, DType


def views(x: Any) -> list[Any]:
    return [x, x.T, x[1:, ::-2], x[:0], x[2], x[None, 1, :]]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_numpy_sees_views_of_every_type_in_place(device: str, dtype: DType) -> None:
    values = sample((4, 6), stored(device, dtype))
    x = pb.asarray(values, device=device)
    for got, want in zip(views(x), views(values), strict=True):
        for seen in (np.asarray(got), np.asarray(got, copy=False), np.array(got)):
            assert seen.dtype == want.dtype
            np.testing.assert_array_equal(seen, want)


def test_writes_on_either_side_are_seen_on_the_other(device: str) -> None:
    x = pb.reshape(pb.arange(12, dtype=pb.float64, device=device), (3, 4))
    for view, key in ((x, (1, 1)), (x.T, (3, 0)), (x[::2, 1:], (1, 2))):
        seen = np.asarray(view, copy=False)
        seen[key] = 50.0
        assert view[key].item() == 50.0
        view += 1.0
        assert seen[key] == 51.0
    kept = np.array(x)
    x *= 2.0
    np.testing.assert_array_equal(kept * 2.0, x.numpy())


def test_work_that_reads_shared_memory_does_not_wait(device: str) -> None:
    x = pb.asarray([1.0, 2.0, 3.0], device=device)
    before = x * 2.0
    seen = np.asarray(x)
    after = pb.exp(x - 1.0) + x[:, None][:, 0]
    half = pb.astype(x, pb.float16) + 1.0
    seen[:] = 0.0
    assert before.tolist() == [2.0, 4.0, 6.0]
    np.testing.assert_allclose(after.numpy(), np.exp([0, 1, 2]) + np.arange(1, 4), rtol=1e-6)
    assert half.tolist() == [2.0, 3.0, 4.0]
    assert (x + 1.0).tolist() == [1.0, 1.0, 1.0]


def test_pending_work_runs_before_memory_is_seen(device: str) -> None:
    x = pb.ones(3, device=device)
    y = x * 2.0 + 1.0
    x += 5.0
    np.testing.assert_array_equal(np.asarray(y, copy=False), [3.0, 3.0, 3.0])


def test_memory_outlives_the_tensor(device: str) -> None:
    seen = np.asarray(pb.arange(1000, device=device))[10:]
    gc.collect()
    others = [pb.full((1000,), 7, device=device) + 0 for _ in range(4)]
    assert others[0].tolist()[0] == 7
    np.testing.assert_array_equal(seen, np.arange(10, 1000))


def test_elements_that_share_a_place_are_read_only(device: str) -> None:
    x = pb.broadcast_to(pb.asarray([1.0, 2.0], device=device), (3, 2))
    seen = np.asarray(x)
    assert not seen.flags.writeable
    np.testing.assert_array_equal(seen, [[1.0, 2.0]] * 3)
    assert np.array(x).flags.writeable
    np.testing.assert_array_equal(np.from_dlpack(x), seen)
    assert x.__dlpack__() is not None  # before 1.0 nothing is read-only: a copy
    with pytest.raises(BufferError, match="read-only; want copy=None"):
        x.__dlpack__(copy=False)


def test_types_asked_for_are_converted_and_gradients_protected(device: str) -> None:
    x = pb.asarray([1.5, 2.5], device=device)
    assert np.asarray(x, dtype=np.int8).tolist() == [1, 2]
    assert np.asarray(x, dtype=np.float32, copy=False).tolist() == [1.5, 2.5]
    with pytest.raises(pb.InterchangeError, match=r"\[__array__\] copy=False.*want copy=None"):
        np.asarray(x, dtype=np.float64, copy=False)
    x.requires_grad = True
    seen = np.asarray(x)
    seen[0] = 9.0
    assert x.tolist() == [1.5, 2.5]
    with pytest.raises(ValueError, match=r"want x\.detach\(\)"):
        np.asarray(x, copy=False)
    assert np.asarray(x.detach(), copy=False)[0] == 1.5


def test_a_cpu_without_shared_memory_is_copied() -> None:
    with extra_device() as name:
        x = pb.asarray([1.0, 2.0], device=name)
        seen = np.asarray(x)
        seen[0] = 9.0
        assert x.tolist() == [1.0, 2.0]
        with pytest.raises(pb.InterchangeError, match="cannot be seen as float32 in place"):
            np.asarray(x, copy=False)


def test_an_accelerator_gives_its_numbers_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with extra_device() as name:
        x = pb.asarray([1.0, 2.0], device=name)
        assert x.device.kind == "cpu"
        gpu = DeviceInfo(0, "gpu", "an accelerator, by its own word")
        monkeypatch.setattr(registry, "device_info", lambda name, index: gpu)
        for call in (np.asarray, np.array, lambda t: np.asarray(t, copy=False)):
            with pytest.raises(pb.InterchangeError, match=r"a gpu; want x\.numpy\(\), or x\.to_"):
                call(x)
        assert x.numpy().tolist() == x.tolist() == [1.0, 2.0]


def test_numpy_operators_and_ufuncs_give_way(device: str) -> None:
    x = pb.asarray([1.0, 2.0], device=device)
    for call in (lambda a: a + x, lambda a: a == x, lambda a: a @ x, lambda a: x - a):
        with pytest.raises(pb.DTypeError, match="got a NumPy array beside a tensor"):
            call(np.ones(2))
    got = np.float32(2.0) * x
    assert isinstance(got, pb.Tensor)
    assert got.tolist() == [2.0, 4.0]
    with pytest.raises(TypeError, match="does not support ufuncs"):
        np.exp(x)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_views_types_and_devices(device: str, protocol: int) -> None:
    x = pb.reshape(pb.arange(12, device=device), (3, 4))
    state = {"view": x[::2, ::-1], "none": x[:0], "one": x[1, 1], "types": DTYPES, "at": x.device}
    for again in (pickle.loads(pickle.dumps(state, protocol)), copy.deepcopy(state)):
        assert all(a is b for a, b in zip(again["types"], DTYPES, strict=True))
        assert again["at"] is x.device
        for name in ("view", "none", "one"):
            assert (again[name].shape, again[name].device) == (state[name].shape, x.device)
            assert again[name].tolist() == state[name].tolist()
    copy.copy(x)[:] = 0
    assert x.tolist()[2] == [8, 9, 10, 11]


def test_text_tells_the_shape_of_what_it_does_not_show(device: str) -> None:
    tail = f"device={device})"
    text = repr(pb.zeros((500, 3), device=device))
    assert "..." in text
    assert text.endswith(f"shape=(500, 3), dtype=float32, {tail}")
    assert repr(pb.zeros((0, 3), device=device)).endswith(
        f"[], shape=(0, 3), dtype=float32, {tail}"
    )
    z = pb.asarray([1 + 2j, -0.5j], device=device)
    assert repr(z) == f"tensor([ 1.+2.j , -0.-0.5j], dtype=complex64, {tail}"
    half = pb.asarray(1.5, dtype=pb.float16, device=device, requires_grad=True)
    assert repr(half) == f"tensor(1.5, dtype=float16, device={device}, requires_grad=True)"
    assert str(pb.asarray([True, False], device=device)).startswith(
        "tensor([ True, False], dtype=b"
    )


# --- PyTorch --------------------------------------------------------------------------------------


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch")


def test_torch_shares_memory_with_tensors(device: str, torch: Any) -> None:
    x = pb.reshape(pb.arange(12, dtype=pb.float64, device=device), (3, 4)) * 1.0
    for view in (x, x.T, x[1:, ::2]):
        seen = torch.from_dlpack(view)
        np.testing.assert_array_equal(seen.numpy(), view.numpy())
        seen[1, 1] = 70.0
        assert view[1, 1].item() == 70.0
        view += 1.0
        assert seen[1, 1].item() == 71.0
    del x, view
    gc.collect()
    assert [pb.zeros((3, 4), dtype=pb.float64, device=device) + 3.0]
    assert seen[1, 1].item() == 71.0
    assert torch.asarray(pb.ones(3, device=device) * 2.0).tolist() == [2.0] * 3
    kept = torch.from_dlpack(pb.ones(3, device=device), copy=True)
    assert kept.tolist() == [1.0] * 3


def test_tensors_are_made_of_torchs(device: str, torch: Any) -> None:
    for dtype in ("int8", "uint8", "int64", "float16", "float32", "complex64", "bool"):
        given = torch.ones(2, 3, dtype=getattr(torch, dtype)).T
        got = pb.from_dlpack(given, device=device)
        assert (got.dtype, got.device, got.shape) == (getattr(pb, dtype), device, (3, 2))
        np.testing.assert_array_equal(got.numpy(), given.numpy())
    for bad in (torch.ones(2, dtype=torch.bfloat16), torch.ones(2, requires_grad=True)):
        with pytest.raises(pb.InterchangeError, match=r"\[from_dlpack\] got a Tensor: .*; want"):
            pb.from_dlpack(bad, device=device)


def test_the_page_on_other_libraries_is_right() -> None:
    page = Path(__file__).parents[1] / "docs/interop.md"
    found = doctest.testfile(str(page), module_relative=False)
    assert (found.failed, found.attempted > 5) == (0, True)
