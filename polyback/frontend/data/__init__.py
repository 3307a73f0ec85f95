"""Data: datasets on the host, and loaders that put batches on a device."""
# ruff: noqa: I001  (one block a file, in the order in which the files build on each other)

from polyback.frontend.data.dataset import (
    ArrayDataset as ArrayDataset,
    Batch as Batch,
    ConcatDataset as ConcatDataset,
    Dataset as Dataset,
    IterableDataset as IterableDataset,
    Subset as Subset,
    TensorDataset as TensorDataset,
    collate as collate,
    random_split as random_split,
    shuffled as shuffled,
)
from polyback.frontend.data.sampler import WeightedRandomSampler as WeightedRandomSampler
from polyback.frontend.data.idx import read_idx as read_idx
from polyback.frontend.data.datasets import (
    cifar10 as cifar10,
    digits as digits,
    mnist as mnist,
    mnist5k as mnist5k,
)
from polyback.frontend.data.text import (
    Corpus as Corpus,
    Dictionary as Dictionary,
    batchify as batchify,
    python_topics as python_topics,
    windows as windows,
)
from polyback.frontend.data.download import download as download
from polyback.frontend.data.transforms import (
    Compose as Compose,
    Normalize as Normalize,
    RandomCrop as RandomCrop,
    RandomHorizontalFlip as RandomHorizontalFlip,
    Transform as Transform,
)
from polyback.frontend.data.loader import DataLoader as DataLoader
