"""One call of every function of the array API standard, for any type, on any device."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import polyback as pb
from polyback.dtype import DType

STANDARD = json.loads((Path(__file__).parent / "2025_12.json").read_text())
FILES = [key for key in STANDARD if key.endswith("_functions")]
EXTENSIONS = ["linalg", "fft"]
NO_ARRAYS = {"can_cast", "finfo", "iinfo", "isdtype", "result_type", "broadcast_shapes"}


class Maker:
    """Makes operands of one type on one device: small numbers above 0, the same every time."""

    def __init__(self, dtype: DType, device: str) -> None:
        self.dtype, self.where = dtype, {"device": device}
        self.like = {"dtype": dtype, **self.where}

    def __call__(self, *shape: int, seed: int = 0) -> pb.Tensor:
        values = np.random.default_rng(seed).integers(1, 6, shape).astype(np.float64)
        if self.dtype.kind in ("float", "complex"):
            values = values / 4
        if self.dtype.kind == "complex":
            values = values + 0.5j
        return pb.asarray(values.astype(self.dtype.numpy), **self.where)

    def matrix(self) -> pb.Tensor:
        """Symmetric and positive definite, where there are such matrices."""
        values = (
            np.array([[4, 1, 0], [1, 3, 1], [0, 1, 2]]) if self.dtype is not pb.bool else np.eye(3)
        )
        return pb.asarray(values.astype(self.dtype.numpy), **self.where)

    def index(self, *values: Any) -> pb.Tensor:
        """An index tensor."""
        return pb.asarray(values, dtype=pb.int64, **self.where)


Recipe = Callable[[Maker], Any]
NEW: dict[str, Recipe] = {  # functions that make arrays out of numbers
    "arange": lambda t: pb.arange(1, 5, **t.like),
    "asarray": lambda t: pb.asarray([0, 1, 1], **t.like),
    "empty": lambda t: pb.empty((2, 0), **t.like),
    "eye": lambda t: pb.eye(3, 4, k=1, **t.like),
    "full": lambda t: pb.full((2, 3), True, **t.like),
    "linspace": lambda t: pb.linspace(0, 4, 5, **t.like),
    "ones": lambda t: pb.ones((2, 3), **t.like),
    "zeros": lambda t: pb.zeros((2, 3), **t.like),
    "fftfreq": lambda t: pb.fft.fftfreq(5, **t.like),
    "rfftfreq": lambda t: pb.fft.rfftfreq(5, **t.like),
}
GIVEN: dict[str, Callable[[Maker], tuple[Any, ...]]] = {  # arguments, where x or x1, x2 do not do
    "empty_like": lambda t: (t(2, 0),),
    "full_like": lambda t: (t(2, 3), True),
    "clip": lambda t: (t(3, 4), t(4, seed=1), t(3, 1)),
    "meshgrid": lambda t: (t(2), t(3)),
    "astype": lambda t: (t(3, 4), pb.complex128 if t.dtype.kind == "complex" else pb.float64),
    "broadcast_arrays": lambda t: (t(3, 1), t(4)),
    "broadcast_to": lambda t: (t(3, 1), (3, 4)),
    "concat": lambda t: ([t(3, 4), t(2, 4)],),
    "expand_dims": lambda t: (t(3), 0),
    "moveaxis": lambda t: (t(2, 3, 4), 0, -1),
    "permute_dims": lambda t: (t(2, 3), (1, 0)),
    "repeat": lambda t: (t(3), 2),
    "reshape": lambda t: (t(3, 4), (4, 3)),
    "roll": lambda t: (t(3, 4), 5),
    "squeeze": lambda t: (t(3, 1), 1),
    "stack": lambda t: ([t(3), t(3, seed=1)],),
    "tile": lambda t: (t(3), (2, 2)),
    "take": lambda t: (t(5), t.index(4, 0, -1)),
    "take_along_axis": lambda t: (t(2, 3), t.index([2, 0], [1, 1])),
    "searchsorted": lambda t: (pb.sort(t(5)), t(3, seed=1)),
    "where": lambda t: (t(3, 4) == t(3, 4, seed=1), t(3, 4), t(3, 4, seed=1)),
    "matmul": lambda t: (t(2, 3, 4), t(4, 3)),
    "tensordot": lambda t: (t(3, 4), t(3, 4, seed=1)),
    "cross": lambda t: (t(2, 3), t(2, 3, seed=1)),
    "outer": lambda t: (t(3), t(4)),
    "solve": lambda t: (t.matrix(), t(3, 2)),
    "matrix_power": lambda t: (t.matrix(), 3),
    "cumulative_sum": lambda t: (t(5),),
    "cumulative_prod": lambda t: (t(5),),
}


def names() -> Iterator[tuple[str, str]]:
    """(namespace, function) of all functions that work on arrays; "" is the main namespace."""
    for file in FILES:
        yield from (("", name) for name in STANDARD[file] if name not in NO_ARRAYS)
    for extension in EXTENSIONS:
        yield from ((extension, name) for name in STANDARD[extension])


def call(space: str, name: str, t: Maker) -> Any:
    """The result of the function for operands of one type. Raises DTypeError if it takes none."""
    if name in NEW:
        return NEW[name](t)
    function = getattr(getattr(pb, space) if space else pb, name)
    if name in GIVEN:
        return function(*GIVEN[name](t))
    if space == "linalg" and name not in ("vecdot", "vector_norm"):
        return function(t.matrix())
    signature = (STANDARD[space] if space else _signatures())[name]
    count = 2 if signature.startswith("x1, x2") else 1
    return function(*(t(3, 4, seed=k) for k in range(count)))


def _signatures() -> dict[str, str]:
    return {name: text for file in FILES for name, text in STANDARD[file].items()}


def tensors(result: Any) -> list[pb.Tensor]:
    """The tensors of a result: itself, or the members of a tuple."""
    return list(result) if isinstance(result, tuple) else [result]
