"""Data: datasets on the host, and loaders that put batches on a device."""

from polyback.frontend.data.dataset import (
    ArrayDataset,
    Dataset,
    Subset,
    TensorDataset,
    collate,
    random_split,
    shuffled,
)
from polyback.frontend.data.datasets import (
    digits,
    mnist,
    mnist5k,
)
from polyback.frontend.data.idx import read_idx
from polyback.frontend.data.loader import DataLoader

__all__ = [
    "ArrayDataset",
    "collate",
    "DataLoader",
    "Dataset",
    "digits",
    "mnist",
    "mnist5k",
    "random_split",
    "read_idx",
    "shuffled",
    "Subset",
    "TensorDataset",
]
