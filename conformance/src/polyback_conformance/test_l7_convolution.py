"""Level 7: convolution and its two gradients, over strides, paddings, dilations and groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from polyback.dtype import DType, float32, int32
from polyback.errors import InvalidArgument
from polyback.features import Window
from polyback.view import Shape
from polyback_conformance import values, windows
from polyback_conformance.cases import FLOATS
from polyback_conformance.compare import Array, check_sum, widen
from polyback_conformance.lab import Given, Lab
from polyback_conformance.layouts import (
    CHANNELS_LAST,
    CONTIGUOUS,
    Layout,
    inputs_for,
    outputs_for,
)
from polyback_conformance.offers import offered
from polyback_conformance.windows import Geometry, random_geometry

pytestmark = pytest.mark.conformance_level(7)

WAYS = pytest.mark.parametrize("way", ["conv2d", "conv2d_input", "conv2d_weight"])
SAME = Window(padding=(1, 1))
CHOSEN = (
    Geometry(1, 1, (1, 1), 1, (1, 1)),
    Geometry(2, 5, (4, 7), 3, (1, 1)),
    Geometry(2, 3, (8, 9), 4, (3, 3)),
    Geometry(1, 4, (9, 7), 6, (3, 3), SAME),
    Geometry(2, 3, (9, 10), 5, (3, 3), Window((2, 2), (1, 1))),
    Geometry(1, 3, (11, 12), 2, (5, 3), Window((1, 2), (2, 0), (2, 3))),
    Geometry(2, 6, (7, 6), 6, (3, 3), SAME, 6),  # each channel by itself
    Geometry(1, 4, (6, 6), 8, (3, 2), SAME, 2),
    Geometry(1, 2, (6, 5), 3, (4, 4), Window((1, 1), (1, 1)), 1, (6, 5)),  # "same", even window
    Geometry(1, 2, (5, 5), 2, (2, 2), Window((3, 3)), 1, (1, 1)),  # rows that no window reads
    Geometry(1, 1, (2, 2), 1, (2, 3), Window((1, 1), (4, 5)), 1, (9, 9)),  # windows outside
    Geometry(1, 2, (3, 3), 2, (5, 5), Window((1, 1), (2, 2))),  # larger than the image
    Geometry(1, 2, (1, 30), 3, (1, 5), Window((1, 2), (0, 2))),  # one line
    Geometry(3, 1, (28, 28), 2, (7, 7), Window((2, 2), (3, 3))),
)
LARGE = (
    Geometry(2, 16, (20, 22), 24, (3, 3), SAME),
    Geometry(1, 64, (14, 14), 70, (3, 3), SAME),
    Geometry(2, 130, (9, 8), 33, (1, 1)),
    Geometry(1, 32, (28, 28), 32, (3, 3), Window((2, 2), (1, 1)), 32),
    Geometry(4, 3, (40, 40), 16, (5, 5), Window((1, 1), (2, 2))),
)
EMPTY = (
    Geometry(0, 2, (5, 5), 3, (3, 3)),
    Geometry(2, 0, (5, 5), 3, (3, 3)),
    Geometry(2, 2, (5, 5), 0, (3, 3)),
    Geometry(1, 2, (5, 5), 3, (3, 3), Window(), 1, (0, 3)),
)


def _operands(lab: Lab, dtype: DType, way: str, geometry: Geometry) -> Any:
    """The two inputs of ``way``."""
    rng = lab.rng("conv", way, repr(geometry))
    image, weights, result = geometry.shapes
    first = result if way == "conv2d_input" else image
    second = result if way == "conv2d_weight" else weights
    return [values.smooth(dtype, rng, shape) for shape in (first, second)]


def _terms(way: str, geometry: Geometry) -> int:
    """How many products a sum has at most."""
    height, width = geometry.kernel
    if way == "conv2d_weight":
        return geometry.images * geometry.count[0] * geometry.count[1]
    each = geometry.outs if way == "conv2d_input" else geometry.channels
    return each // geometry.groups * height * width


def convolve(lab: Lab, dtype: DType, way: str, geometry: Geometry, ins: list[Any],
             out: Layout = CONTIGUOUS) -> Array:  # fmt: skip
    """One call on arrays or Givens, judged against sums of wider numbers."""
    place = {"conv2d": 2, "conv2d_input": 0, "conv2d_weight": 1}[way]
    method: Any = getattr(lab.device, way)
    done = lab.call(
        f"{way} of {geometry}",
        lambda o, i: method(*o, *i, geometry.window, geometry.groups),
        [(geometry.shapes[place], dtype, out)],
        ins,
    )
    meaning: Any = getattr(windows, way)
    given = [widen(x, dtype) for x in done.ins]
    with np.errstate(all="ignore"):
        want = meaning(geometry, *given)
        size = meaning(geometry, *(np.abs(x) for x in given))
    k = check_sum(done.outs[0], want, size, _terms(way, geometry), dtype, done.note)
    lab.score.saw_k(way, dtype.name, k)
    return done.outs[0]


@WAYS
@FLOATS
def test_geometry(lab: Lab, dtype: DType, way: str) -> None:
    """Chosen and random strides, paddings, dilations, groups and ends; layouts in rotation."""
    offered(lab, "conv2d", dtype)
    sources, targets = inputs_for(lab.caps), outputs_for(lab.caps)
    rng = lab.rng("geometries")
    for turn, geometry in enumerate((*CHOSEN, *(random_geometry(rng) for _ in range(30)))):
        ins = _operands(lab, dtype, way, geometry)
        convolve(lab, dtype, way, geometry, ins)
        layouts = [sources[(turn * k) % len(sources)] for k in (1, 7)]
        given = [Given(x, layout) for x, layout in zip(ins, layouts, strict=True)]
        convolve(lab, dtype, way, geometry, given, targets[(turn * 5) % len(targets)])


@WAYS
@FLOATS
def test_layouts(lab: Lab, dtype: DType, way: str) -> None:
    """Every layout of each operand and of the result; channels last in all of them."""
    offered(lab, "conv2d", dtype)
    strided = lab.caps.layouts == "strided"
    extra = (CHANNELS_LAST,) if strided else ()
    sources, targets = (*inputs_for(lab.caps), *extra), (*outputs_for(lab.caps), *extra)
    geometry = Geometry(2, 4, (6, 7), 6, (3, 2), Window((1, 2), (1, 0)), 2)
    first, second = _operands(lab, dtype, way, geometry)
    for k, layout in enumerate(sources):
        out = targets[k % len(targets)]
        convolve(lab, dtype, way, geometry, [Given(first, layout), second])
        convolve(lab, dtype, way, geometry, [first, Given(second, layout)], out)
    for other in (geometry, *LARGE[:2]) if strided else ():
        ins = [Given(x, CHANNELS_LAST) for x in _operands(lab, dtype, way, other)]
        convolve(lab, dtype, way, other, ins, CHANNELS_LAST)


@WAYS
@FLOATS
def test_large(lab: Lab, dtype: DType, way: str) -> None:
    """Sizes of several tiles, blocks and threads."""
    offered(lab, "conv2d", dtype)
    for geometry in LARGE:
        convolve(lab, dtype, way, geometry, _operands(lab, dtype, way, geometry))


@WAYS
@FLOATS
def test_empty(lab: Lab, dtype: DType, way: str) -> None:
    """No images, channels or windows: a sum of nothing is 0, and no result is fine."""
    offered(lab, "conv2d", dtype)
    for geometry in EMPTY:
        convolve(lab, dtype, way, geometry, _operands(lab, dtype, way, geometry))


@WAYS
@FLOATS
def test_special_values(lab: Lab, dtype: DType, way: str) -> None:
    """A NaN or an infinity spoils just the sums that it is a term of."""
    offered(lab, "conv2d", dtype)
    for geometry in (*CHOSEN[2:9], LARGE[0]):
        for value in (np.nan, np.inf, -np.inf):
            first, second = _operands(lab, dtype, way, geometry)
            first.reshape(-1)[first.size // 2] = value
            convolve(lab, dtype, way, geometry, [first, second])
    # In the weights only without padding: whether what is outside makes a term is open.
    inner = replace(CHOSEN[2], window=Window((1, 2), (0, 0), (2, 1)))
    for value in (np.nan, np.inf):
        first, second = _operands(lab, dtype, way, inner)
        second.reshape(-1)[second.size // 3] = value
        convolve(lab, dtype, way, inner, [first, second])


@WAYS
@FLOATS
def test_accuracy(lab: Lab, dtype: DType, way: str) -> None:
    """K of long sums of several kinds; narrow multiplication cannot pass."""
    offered(lab, "conv2d", dtype)
    for geometry in (Geometry(1, 256, (5, 5), 8, (3, 3), SAME), Geometry(2, 6, (33, 31), 4, (3, 3)),
                     Geometry(1, 8, (6, 6), 200, (3, 3))):  # fmt: skip
        first, second = _operands(lab, dtype, way, geometry)
        rng = lab.rng("accuracy", way)
        for a, b in _kinds(rng, first.shape, second.shape):
            convolve(lab, dtype, way, geometry, [a.astype(dtype.numpy), b.astype(dtype.numpy)])


def _kinds(rng: np.random.Generator, *shapes: Shape) -> Iterator[list[Array]]:
    yield [rng.uniform(0.5, 1.5, s) for s in shapes]
    yield [rng.normal(0, 1, s) * 2.0 ** rng.uniform(-10, 10, s) for s in shapes]
    yield [0.1 + 1e-4 * rng.uniform(0.5, 1.5, s) for s in shapes]


def test_refusals(lab: Lab) -> None:
    """Operands that contradict the contract, and what is not claimed, leave the output alone."""
    device = offered(lab, "conv2d", float32)
    good = Geometry(1, 4, (5, 5), 6, (3, 3))
    wrong: list[tuple[Shape, Shape, Shape, int, Window]] = [
        ((1, 4, 5, 5), (6, 4, 3, 3), (1, 5, 3, 3), 1, Window()),  # results
        ((1, 4, 5, 5), (6, 4, 3, 3), (2, 6, 3, 3), 1, Window()),  # images
        ((1, 4, 5, 5), (6, 3, 3, 3), (1, 6, 3, 3), 1, Window()),  # channels
        ((1, 4, 5, 5), (6, 4, 3, 3), (1, 6, 3, 3), 2, Window()),  # channels of a group
        ((1, 4, 5, 5), (6, 1, 3, 3), (1, 6, 3, 3), 4, Window()),  # 6 results of 4 groups
        ((4, 5, 5), (6, 4, 3, 3), (1, 6, 3, 3), 1, Window()),
        (*good.shapes, 1, Window((0, 1))),
        (*good.shapes, 1, Window((1, 1), (-1, 0))),
        (*good.shapes, 0, Window()),
    ]  # fmt: skip
    for image, weights, result, groups, window in wrong:
        for way, out, first, second in (
            ("conv2d", result, image, weights), ("conv2d_input", image, result, weights),
            ("conv2d_weight", weights, image, result),
        ):  # fmt: skip
            method = getattr(device, way)
            lab.refuses(
                lambda o, i, m=method, w=window, g=groups: m(o[0], *i, w, g),
                [(out, float32)],
                [np.ones(first, np.float32), np.ones(second, np.float32)],
                InvalidArgument,
            )
    image, weights, result = good.shapes
    lab.refuses(
        lambda o, i: device.conv2d(o[0], *i, Window(), 1),
        [(result, int32)], [np.ones(image, np.int32), np.ones(weights, np.int32)],
    )  # fmt: skip
