"""Convolution, its gradients and pooling on a device without features."""

from __future__ import annotations

import numpy as np
import pytest
from bare_device import on, same_on_both

from polyback import structured
from polyback.features import Window
from polyback.scalar import MAX, SUM
from polyback_conformance.windows import Geometry, random_geometry

RNG = np.random.default_rng(0)
CHOSEN = [
    Geometry(2, 3, (7, 8), 4, (3, 3), Window((1, 1), (1, 1))),
    Geometry(1, 2, (5, 5), 2, (2, 2), Window((3, 3)), 1, (1, 1)),
    Geometry(1, 1, (2, 2), 1, (2, 3), Window((1, 1), (4, 5)), 1, (9, 9)),
    Geometry(2, 4, (6, 6), 6, (1, 1), Window((2, 3)), 2),
    Geometry(0, 2, (5, 5), 3, (3, 3)),
    Geometry(2, 0, (5, 5), 3, (3, 3)),
    Geometry(1, 2, (5, 5), 3, (3, 3), Window(), 1, (0, 3)),
]
GEOMETRIES = [*CHOSEN, *(random_geometry(RNG) for _ in range(40))]
POOLS = [g for g in GEOMETRIES[:2] if g.inside(0).any(1).all()]
POOLS += [random_geometry(RNG, pooling=True) for _ in range(40)]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_convolution(bare: str, kind: type) -> None:
    rng = np.random.default_rng(1)
    for g in GEOMETRIES:
        image, weights, result = g.shapes
        calls = (
            (structured.conv2d, image, weights, result),
            (structured.conv2d_input, result, weights, image),
            (structured.conv2d_weight, image, result, weights),
        )
        for call, first, second, target in calls:
            # Small integers: every order of sums gives the same.
            a, b = (rng.integers(-3, 4, s).astype(kind) for s in (first, second))
            wide = np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1)
            for x in (a, wide):
                got, want = (
                    call(*on(d, x, b), g.window, g.groups, target[2:]).numpy()
                    for d in (bare, "numpy_ref")
                )
                assert got.shape == target
                np.testing.assert_array_equal(got, want, str(g))


@pytest.mark.parametrize("op", [SUM, MAX], ids=str)
def test_pooling(bare: str, op: object) -> None:
    rng = np.random.default_rng(2)
    pool = [np.nan, np.inf, -np.inf, 1.0, 2.0, 2.0, -3.0] if op is MAX else [1.0, 2.0, -3.0]
    for g in POOLS:
        for values in (pool, [-np.inf] if op is MAX else [0.5]):
            x = rng.choice(values, g.shapes[0]).astype(np.float32)

            def run(a: object, which: int, g: Geometry = g) -> object:
                places = which == 1
                found = structured.pool2d(op, a, g.kernel, g.window, g.count, places)
                return found[which]

            same_on_both(bare, lambda a: run(a, 0), x)
            if op is MAX:
                same_on_both(bare, lambda a: run(a, 1), x)


def test_half_types_are_computed_wide(bare: str) -> None:
    x, w = (np.ones(s, np.float16) for s in ((1, 300, 2, 2), (1, 300, 2, 2)))
    for d in (bare, "numpy_ref"):
        y = structured.conv2d(*on(d, x, w), Window(), 1, (1, 1))
        assert y.numpy().tolist() == [[[[1200.0]]]]
        assert y.dtype.name == "float16"
        value, place = structured.pool2d(MAX, *on(d, x), (2, 2), Window(), (1, 1), True)
        assert value.dtype.name == "float16"
        assert place is not None
        assert not place.numpy().any()
