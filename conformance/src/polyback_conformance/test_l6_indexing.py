"""Level 6: index expressions, searching, sorting and sets on the device, exact to the bit.

Each case runs on the device and on the reference, under every kind of layout of the tensor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from polyback.dtype import DTYPES, DType, float32, int64
from polyback_conformance.compare import check_exact
from polyback_conformance.front import Front

pytestmark = pytest.mark.conformance_level(6)

Case = Callable[[Any, Any], Any]
SHAPE = (4, 3, 5)
BY_DTYPE = pytest.mark.parametrize("dtype", DTYPES, ids=str)
MASK = np.arange(60).reshape(SHAPE) % 7 % 2 == 0

KEYS: dict[str, Any] = {
    "integers": (2, -1, 0),
    "slices": (slice(None, None, -2), slice(1, 3), slice(3, None, -1)),
    "new axes": (None, ..., None, 1),
    "rows": np.array([3, 0, 3, -1]),
    "columns": (..., np.array([[4, 0], [-1, 4]])),
    "pairs": (np.array([0, 3, 3]), np.array([2, -1, 0])),
    "pairs apart": (np.array([0, 3, 3]), slice(None), np.array([4, 4, -5])),
    "an integer apart": (1, slice(None, None, -1), np.array([2, 2])),
    "broadcast": (np.array([[0], [2]]), np.array([1, 0]), np.array(3)),
    "nothing": (slice(None), np.zeros(0, np.int64)),
    "mask": MASK,
    "mask of rows": MASK[:, 1, 1],
    "mask inside": (slice(None), MASK[1]),
    "mask and integers": (MASK[:, 0, 0], 1, np.array([1, 4])[:1]),
    "mask beside a slice": (MASK[:, :, 2], slice(None, None, 2)),
    "empty mask": np.zeros(SHAPE, bool),
    "bools": (True, slice(1, 3), np.array(True)),
}


def numbers(dtype: DType, shape: tuple[int, ...] = SHAPE, shift: int = 0) -> Any:
    """Small integers of mixed sign with repetitions, in any type."""
    count = int(np.prod(shape))
    plain = (np.arange(shift, shift + count) * 11 % 9).reshape(shape)
    if dtype.kind == "bool":
        return plain % 2 == 0
    signed = plain if dtype.kind == "uint" else plain - 4
    return (signed * (1 - 2j) if dtype.kind == "complex" else signed).astype(dtype.numpy)


def layouts(front: Front, values: Any, device: str) -> list[Any]:
    """Tensors with these values: dense, transposed, reversed, and every other element of more."""
    pb = front.pb
    tensor = front.tensor
    turned = pb.permute_dims(tensor(values.transpose(2, 0, 1).copy(), device=device), (1, 2, 0))
    wide = np.repeat(values, 2, axis=1)
    return [
        tensor(values, device=device),
        turned,
        pb.flip(tensor(np.flip(values).copy(), device=device)),
        tensor(wide, device=device)[:, ::2],
    ]


def keyed(front: Front, key: Any, device: str) -> Any:
    """``key`` with tensors in place of its arrays."""
    if isinstance(key, tuple):
        return tuple(keyed(front, part, device) for part in key)
    return front.tensor(key, device=device) if isinstance(key, np.ndarray) else key


def stored(front: Front, dtype: DType) -> None:
    """Skip where the device does not store this type."""
    if dtype.name not in front.lab.caps.storage:
        pytest.skip(f"L6: {dtype} is not stored")


@BY_DTYPE
def test_keys(front: Front, dtype: DType) -> None:
    """Reading and writing through keys of every kind, in every layout."""
    stored(front, dtype)
    values = numbers(dtype)
    for name, key in KEYS.items():
        want = values[key]
        new = numbers(dtype, want.shape, 5)
        changed = values.copy()
        changed[key] = new
        for x in layouts(front, values, front.device):
            spot = keyed(front, key, front.device)
            check_exact(x[spot].numpy(), want, note=f"x[{name}]")
            x[spot] = front.tensor(new)
            check_exact(x.numpy(), changed, note=f"x[{name}] = values")


@pytest.mark.parametrize("name", sorted(KEYS))
def test_key_gradients(front: Front, name: str) -> None:
    """What a key reads several times adds up; what it writes goes to the last value."""
    pb, key = front.pb, KEYS[name]
    values, found = numbers(float32), []
    part = values[key].shape

    def loss(x: Any, v: Any) -> Any:
        device = str(x.device)
        spot = keyed(front, key, device)
        y = x * 2.0
        y[spot] = v * x[spot]
        return pb.sum(y * front.tensor(numbers(float32, shift=3), device=device))

    for device in (front.device, front.reference):
        x = front.tensor(values, device=device)
        v = front.tensor(numbers(float32, part, 1), device=device)
        found.append([g.numpy() for g in pb.grad(loss, argnums=(0, 1))(x, v)])
    for got, want in zip(*found, strict=True):
        check_exact(got, want, note=f"gradient through x[{name}]")


def duplicates(front: Front, device: str) -> Any:
    """Index numbers along axis 1, each several times."""
    return front.tensor((np.arange(72).reshape(4, 6, 3) * 5 % 7 % 5) % 3, device=device)


ORDERED: dict[str, Case] = {
    "sort": lambda pb, x: pb.sort(x, axis=1),
    "sort down": lambda pb, x: pb.sort(x, axis=0, descending=True),
    "argsort": lambda pb, x: pb.argsort(x, axis=-1),
    "searchsorted": lambda pb, x: pb.searchsorted(pb.sort(x[0, 0]), x),
    "searchsorted right": lambda pb, x: pb.searchsorted(pb.sort(x[0, 0]), x, side="right"),
}
FOR_ALL: dict[str, Case] = {
    "nonzero": lambda pb, x: pb.stack(pb.nonzero(x)),
    "unique values": lambda pb, x: pb.unique_values(x),
    "unique indices": lambda pb, x: pb.unique_all(x).indices,
    "unique inverse": lambda pb, x: pb.unique_inverse(x).inverse_indices,
    "unique counts": lambda pb, x: pb.unique_counts(x).counts,
    "isin": lambda pb, x: pb.isin(x, x[0, 0, :2]),
    "repeat": lambda pb, x: pb.repeat(x, pb.asarray([2, 0, 3], device=x.device), axis=1),
    "tile and roll": lambda pb, x: pb.roll(pb.tile(x, (2, 1, 3)), (1, -2), axis=(0, 2)),
}


@BY_DTYPE
def test_searching_and_sets(front: Front, dtype: DType) -> None:
    """As the reference has it, for numbers with many repetitions and special ones."""
    stored(front, dtype)
    values = numbers(dtype)
    if dtype.is_floating:
        values.ravel()[3:8] = np.array([np.nan, -0.0, np.inf, -np.inf, np.nan], dtype.numpy)
    cases = FOR_ALL if dtype.kind == "complex" else FOR_ALL | ORDERED
    for name, case in cases.items():
        want = case(front.pb, front.tensor(values, device=front.reference)).numpy()
        for x in layouts(front, values, front.device):
            check_exact(case(front.pb, x).numpy(), want, note=name)


@BY_DTYPE
def test_scatter(front: Front, dtype: DType) -> None:
    """All modes, with several values for one element."""
    stored(front, dtype)
    modes = {"bool": ["set"], "complex": ["set", "add"]}.get(
        dtype.kind, ["set", "add", "min", "max"]
    )
    new = numbers(dtype, (4, 6, 3), 2)
    for mode in modes:
        found = []
        for device in (front.device, front.reference):
            x = front.tensor(numbers(dtype, (4, 3, 3)), device=device)
            v, index = front.tensor(new, device=device), duplicates(front, device)
            found.append(front.pb.scatter(x, index, v, axis=1, mode=mode).numpy())
        check_exact(*found, note=f"scatter {mode}")


def test_index_errors(front: Front) -> None:
    """What lies outside is an error, and nothing is written."""
    pb = front.pb
    x = front.tensor(numbers(int64))
    outside = front.tensor(np.array([0, 4]))
    calls: list[Callable[[], Any]] = [
        lambda: x[outside],
        lambda: x.__setitem__(outside, 0),
        lambda: x.__setitem__((0, outside, outside), 0),
        lambda: pb.take(x, outside, axis=1),
        lambda: x[front.tensor(np.zeros(5, bool))],
    ]
    for call in calls:
        with pytest.raises(pb.IndexOutOfBounds):
            call()
    check_exact(x.numpy(), numbers(int64), note="after errors")
