"""Tensors as Python objects: numbers, iteration, copies, pickles, text, and NumPy around them."""

from __future__ import annotations

import copy
import math
import operator
import pickle

import pytest
from against_numpy import same, sample, stored

import polyback as pb
from polyback.dtype import DTYPES, DType


def test_a_tensor_of_one_element_is_a_number(device: str) -> None:
    for shape in ((), (1,), (1, 1)):
        x = pb.full(shape, 3, device=device)
        assert (int(x), float(x), complex(x), bool(x), x.item()) == (3, 3.0, 3 + 0j, True, 3)
    assert not pb.zeros((), device=device)
    assert bool(pb.asarray(math.nan, device=device))
    assert type(pb.ones((), dtype=pb.bool, device=device).item()) is bool
    assert type(pb.ones((), dtype=pb.bfloat16, device=device).item()) is float
    assert int(pb.asarray(-2.9, device=device)) == -2


@pytest.mark.parametrize("shape", [(2,), (0,), (1, 2)])
def test_a_tensor_of_several_elements_is_no_number(device: str, shape: tuple[int, ...]) -> None:
    x = pb.ones(shape, device=device)
    for f in (bool, int, float, complex, lambda x: x.item()):
        with pytest.raises(pb.InvalidArgument, match=r"\[item\] got shape .*; want exactly one"):
            f(x)


def test_only_0d_integers_are_indexes(device: str) -> None:
    assert operator.index(pb.asarray(3, device=device)) == 3
    assert [10, 20, 30][pb.asarray(1, dtype=pb.uint8, device=device)] == 20
    assert list(range(pb.asarray(2, device=device))) == [0, 1]
    for bad in (1.0, True, [1], [1, 2]):
        with pytest.raises(TypeError, match=r"\[index\] got .*; want a 0-d integer tensor"):
            operator.index(pb.asarray(bad, device=device))


def test_iteration_goes_over_the_first_axis(device: str) -> None:
    x = pb.reshape(pb.arange(6, device=device), (3, 2))
    assert [row.tolist() for row in x] == [[0, 1], [2, 3], [4, 5]]
    assert len(x) == 3
    first, *others = x
    assert first.shape == others[1].shape == (2,)
    assert list(pb.zeros((0, 2), device=device)) == []
    assert [int(k) for k in reversed(pb.arange(3, device=device))] == [2, 1, 0]
    with pytest.raises(pb.ShapeError, match="0-d tensor has no length"):
        iter(pb.ones((), device=device)).__next__()


def test_numbers_come_back_as_lists(device: str) -> None:
    assert pb.ones((), device=device).tolist() == 1.0
    assert pb.zeros((2, 0), device=device).tolist() == [[], []]
    assert pb.asarray([[True]], device=device).tolist() == [[True]]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_pickling_keeps_numbers_type_device_and_leafhood(device: str, dtype: DType) -> None:
    x = pb.asarray(sample((2, 3), stored(device, dtype)), device=device)
    got = pickle.loads(pickle.dumps(x.T[::-1]))
    same(got, x.numpy().T[::-1], dtype)
    assert got.device is x.device
    if dtype.is_floating:
        x.requires_grad = True
        assert pickle.loads(pickle.dumps(x)).requires_grad
        assert not pickle.loads(pickle.dumps(x * 2)).requires_grad


def test_copies_have_a_buffer_of_their_own(device: str) -> None:
    x = pb.ones(3, device=device, requires_grad=True)
    for again in (copy.copy(x), copy.deepcopy(x), copy.deepcopy([x, x])[1]):
        with pb.no_grad():
            again += 1
        assert again.requires_grad
    assert x.tolist() == [1.0] * 3
    shared = copy.deepcopy({"a": x, "b": x})
    assert shared["a"] is shared["b"]


def test_the_text_of_a_tensor(device: str) -> None:
    x = pb.asarray([[1.0, 2.5]], device=device)
    assert repr(x) == f"tensor([[1. , 2.5]], dtype=float32, device={device})"
    x.requires_grad = True
    assert repr(x).endswith(", requires_grad=True)")
    assert repr(pb.asarray(True, device=device)) == f"tensor(True, dtype=bool, device={device})"
    assert (
        repr(pb.zeros(0, dtype=pb.int8, device=device))
        == f"tensor([], dtype=int8, device={device})"
    )
    half = pb.ones(2, dtype=pb.bfloat16, device=device)
    assert repr(half) == f"tensor([1, 1], dtype=bfloat16, device={device})"
    assert "..." in repr(pb.zeros(1000, device=device))
    assert str(x) == repr(x)


def test_methods_are_the_functions(device: str) -> None:
    x = pb.asarray(sample((3, 4)), device=device)
    for name in ("sum", "mean", "max", "min", "argmax"):
        got = getattr(x, name)(1, keepdims=True)
        same(got, getattr(pb, name)(x, axis=1, keepdims=True).numpy())
    assert x.reshape(4, 3).shape == x.reshape((4, -1)).shape == (4, 3)
    assert x.astype(pb.float64).dtype is pb.float64
    assert (x.ndim, x.size, x.shape) == (2, 12, (3, 4))


def test_a_device_equals_its_names(device: str) -> None:
    x = pb.ones(1, device=device)
    assert x.device == device
    assert x.device == f"{device}:0"
    assert x.device != "nothing"
    assert repr(x.device) == f"device('{device}')"
    assert pickle.loads(pickle.dumps(x.device)) is x.device
    assert pb.get_device(x.device) is x.device
    x.device.synchronize()
    assert hash(x.device) == hash(pb.get_device(device))


def test_the_gradient_flag_belongs_to_leaves(device: str) -> None:
    x = pb.ones(2, device=device, requires_grad=True)
    y = x * 2
    assert y.requires_grad
    assert not y.detach().requires_grad
    with pytest.raises(pb.GradientError, match="only leaves have this flag"):
        y.requires_grad = False
    x.requires_grad = False
    assert not (x * 2).requires_grad
