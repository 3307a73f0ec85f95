"""What the device claims: read off the names of the kernels that were compiled."""

from __future__ import annotations

from collections.abc import Iterable

from polyback import scalar
from polyback.device import Caps
from polyback.dtype import DTYPES, dtype_of

FEATURES = frozenset(
    {"reduce_fused", "gather", "scatter", "scatter_minmax", "argsort", "sort", "scan"}
    | {"argreduce", "softmax", "layer_norm", "conv2d", "pool2d"}
    | {"memory_stats", "host_view", "adopt", "prepare"}
)
STORED = frozenset(d.name for d in DTYPES)


def claims(ops: Iterable[str], reduces: Iterable[str]) -> Caps:
    """Caps for kernels of these names: ``add_f32``, ``cast_f32_f64``, ``sum_i8``."""
    scalars: dict[str, set[str]] = {
        scalar.CONST.name: set(STORED),
        scalar.IOTA.name: {"int64"},
        scalar.CAST.name: set(STORED),
    }
    for name in ops:
        row, _, code = name.rpartition("_")
        if not name.startswith("cast_"):
            scalars.setdefault(row, set()).add(dtype_of(code).name)
    reductions: dict[str, set[str]] = {}
    for name in reduces:
        row, _, code = name.rpartition("_")
        reductions.setdefault(row, set()).add(dtype_of(code).name)
    return Caps(
        storage=STORED,
        scalars={row: frozenset(types) for row, types in scalars.items()},
        reductions={row: frozenset(types) for row, types in reductions.items()},
        matmul=frozenset(d.name for d in scalar.NUMERIC),
        features=FEATURES,
    )
