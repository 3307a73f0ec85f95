"""Level 7: maxima with their places, and sums, under windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from polyback import scalar
from polyback.dtype import DTYPES, DType, float32, int32, int64
from polyback.errors import InvalidArgument
from polyback.features import Window
from polyback.view import Shape
from polyback_conformance import values
from polyback_conformance.cases import FLOATS
from polyback_conformance.compare import check_exact, check_sum, widen
from polyback_conformance.lab import Given, Lab
from polyback_conformance.layouts import (
    CHANNELS_LAST,
    CONTIGUOUS,
    Layout,
    inputs_for,
    outputs_for,
)
from polyback_conformance.offers import offered
from polyback_conformance.windows import Geometry, Pair, random_geometry

pytestmark = pytest.mark.conformance_level(7)


def pooling(
    images: int, channels: int, size: Pair, kernel: Pair, window: Window | None = None,
    result: Pair | None = None,
) -> Geometry:  # fmt: skip
    """A geometry without weights; the stride is the window's size by default."""
    window = window or Window(kernel)
    return Geometry(images, channels, size, channels, kernel, window, 1, result)


CHOSEN = (
    pooling(1, 1, (1, 1), (1, 1)),
    pooling(2, 3, (8, 8), (2, 2)),
    pooling(1, 2, (9, 7), (2, 2)),  # a row and a column left over
    pooling(1, 2, (9, 7), (2, 2), Window((2, 2)), (5, 4)),  # windows that hang over the end
    pooling(2, 3, (11, 12), (3, 3), Window((2, 2), (1, 1))),
    pooling(1, 4, (6, 6), (3, 3), Window((1, 1), (1, 1))),
    pooling(1, 2, (12, 10), (3, 2), Window((1, 2), (1, 0), (3, 4))),
    pooling(2, 2, (7, 9), (7, 9)),  # all of the image
    pooling(1, 3, (1, 64), (1, 5), Window((1, 3), (0, 2))),
    pooling(0, 3, (8, 8), (2, 2)),
    pooling(1, 2, (9, 9), (1, 1), Window((2, 3))),
)
LARGE = (
    pooling(2, 33, (28, 30), (2, 2)),
    pooling(1, 16, (56, 50), (3, 3), Window((2, 2), (1, 1))),
    pooling(1, 2, (70, 75), (64, 61), Window((3, 5), (8, 0))),
)


def pool(lab: Lab, op: Any, geometry: Geometry, x: Any, *, places: bool = True,
         outs: tuple[Layout, Layout] = (CONTIGUOUS, CONTIGUOUS)) -> None:  # fmt: skip
    """One call on an array or a Given, judged."""
    device: Any = lab.device
    kind = (x.values if isinstance(x, Given) else x).dtype
    dtype = next(d for d in DTYPES if d.numpy == kind)
    result = geometry.shapes[2]
    wants_places = places and op is scalar.MAX
    done = lab.call(
        f"pool2d {op} of {geometry}",
        lambda o, i: device.pool2d(op, *o, *i, geometry.kernel, geometry.window),
        [(result, dtype, outs[0]), (result, int64, outs[1]) if wants_places else None],
        [x],
    )
    given = done.ins[0]
    cells = geometry.kernel[0] * geometry.kernel[1]
    under = geometry.under(given, given.dtype.type(0)).reshape(*result, cells)
    here = geometry.inside(0)[:, None, :, None] & geometry.inside(1)[None, :, None, :]
    here = here.reshape(*result[2:], cells)
    if op is scalar.SUM:
        wide = widen(under, dtype)
        with np.errstate(all="ignore"):
            want, size = wide.sum(-1), np.abs(wide).sum(-1)
        check_sum(done.outs[0], want, size, cells, dtype, done.note)
        return
    # NaN before numbers, numbers by size, places that are outside last; the first of equals.
    with np.errstate(all="ignore"):
        rank = np.where(np.isnan(under), np.inf, np.clip(under, *_ends(dtype)))
    first = np.argmax(np.where(here, rank, -np.inf), -1)
    want = np.take_along_axis(under, first[..., None], -1)[..., 0]
    other = np.where(want == 0, -want, want)  # the sign of a zero is left open
    check_exact(done.outs[0], want, alternatives=[other], note=done.note)
    if wants_places:
        columns = geometry.places(1)[None, :, None, :]
        spots = geometry.places(0)[:, None, :, None] * geometry.size[1] + columns
        spots = np.broadcast_to(spots.reshape(*result[2:], cells), under.shape)
        place = np.take_along_axis(spots, first[..., None], -1)[..., 0]
        check_exact(done.outs[1], place.astype(np.int64), note=done.note)


def _ends(dtype: DType) -> tuple[Any, Any]:
    """-inf and inf drawn in to the ends of the range, to leave room for absence and NaN."""
    most = np.finfo(dtype.numpy).max
    return -most, most


BY_OP = pytest.mark.parametrize("op", [scalar.SUM, scalar.MAX], ids=str)


@BY_OP
@FLOATS
def test_geometry(lab: Lab, dtype: DType, op: Any) -> None:
    """Chosen and random windows over distinct and over equal numbers; layouts in rotation."""
    offered(lab, "pool2d", dtype)
    sources, targets = inputs_for(lab.caps), outputs_for(lab.caps)
    rng = lab.rng("pools")
    some = (*CHOSEN, *(random_geometry(rng, pooling=True) for _ in range(30)))
    for turn, geometry in enumerate(some):
        shape = geometry.shapes[0]
        plain = values.smooth(dtype, lab.rng("pool", turn), shape)
        few = rng.integers(-2, 2, shape).astype(dtype.numpy)
        outs = targets[turn % len(targets)], targets[(turn * 5) % len(targets)]
        pool(lab, op, geometry, plain)
        pool(lab, op, geometry, few, places=turn % 2 == 0)
        pool(lab, op, geometry, Given(few, sources[turn % len(sources)]), outs=outs)


@BY_OP
@FLOATS
def test_layouts_and_sizes(lab: Lab, dtype: DType, op: Any) -> None:
    """Every layout; sizes of several blocks and threads; channels last."""
    offered(lab, "pool2d", dtype)
    sources, targets = inputs_for(lab.caps), outputs_for(lab.caps)
    geometry = pooling(2, 3, (7, 8), (3, 2), Window((2, 1), (1, 1)))
    data = values.smooth(dtype, lab.rng("pool"), geometry.shapes[0])
    for k, source in enumerate(sources):
        outs = targets[k % len(targets)], targets[(5 * k + 1) % len(targets)]
        pool(lab, op, geometry, Given(data, source), outs=outs)
    for large in (geometry, *LARGE):
        data = values.smooth(dtype, lab.rng("large"), large.shapes[0])
        pool(lab, op, large, data)
        if lab.caps.layouts == "strided":
            pool(lab, op, large, Given(data, CHANNELS_LAST), outs=(CHANNELS_LAST,) * 2)


@BY_OP
@FLOATS
def test_special_values(lab: Lab, dtype: DType, op: Any) -> None:
    """NaN wins, the first one; padding is no number: windows of -inf, of negatives, of zeros."""
    offered(lab, "pool2d", dtype)
    pools = [
        np.array([np.nan, np.inf, -np.inf, 1.0, 2.0]), np.array([-np.inf]),
        np.array([-np.inf, -1e30]), np.array([0.0, -0.0]), np.array([-3.0, -2.0]),
        np.array([np.nan, 1.0, 1.0, 1.0]), np.array([np.finfo(dtype.numpy).min]),
        np.array([np.inf, 1.0, 0.0]),
    ]  # fmt: skip
    if op is scalar.SUM:
        pools = [p for p in pools if p.size > 1 or np.isinf(p[0])]  # sums that do not overflow
    for geometry in CHOSEN[1:7]:
        for turn, some in enumerate(pools):
            rng = lab.rng("special", turn)
            data = rng.choice(some, geometry.shapes[0]).astype(dtype.numpy)
            for places in (True, False):
                pool(lab, op, geometry, data, places=places)


def test_refusals(lab: Lab) -> None:
    """Operands that contradict the contract, and what is not claimed, leave the outputs alone."""
    device = offered(lab, "pool2d", float32)
    x = np.ones((1, 2, 6, 6), np.float32)
    two = Window((2, 2))
    wrong: list[tuple[Any, Shape, DType, tuple[int, int], Window]] = [
        (x, (1, 3, 3, 3), float32, (2, 2), two), (x, (2, 2, 3, 3), float32, (2, 2), two),
        (x, (1, 2, 3, 3), int32, (2, 2), two), (x[0], (1, 2, 3, 3), float32, (2, 2), two),
        (x, (1, 2, 3, 3), float32, (2, 2), Window((0, 2))),
        (x, (1, 2, 4, 3), float32, (2, 2), two),  # a window past the end
        (x, (1, 2, 3, 3), float32, (2, 2), Window((2, 2), (2, 0))),  # one before the start
    ]  # fmt: skip
    for given, shape, dtype, kernel, window in wrong:
        for op in (scalar.MAX, scalar.SUM):
            lab.refuses(
                lambda o, i, p=op, k=kernel, w=window: device.pool2d(p, o[0], None, i[0], k, w),
                [(shape, dtype)], [given], InvalidArgument,
            )  # fmt: skip
    for op, index, kind in ((scalar.SUM, (1, 2, 3, 3), int64), (scalar.MAX, (1, 2, 3, 3), int32),
                            (scalar.MAX, (1, 2, 3, 2), int64)):  # fmt: skip
        lab.refuses(
            lambda o, i, p=op: device.pool2d(p, o[0], o[1], i[0], (2, 2), two),
            [((1, 2, 3, 3), float32), (index, kind)], [x], InvalidArgument,
        )  # fmt: skip
    lab.refuses(
        lambda o, i: device.pool2d(scalar.MIN, o[0], None, i[0], (2, 2), two),
        [((1, 2, 3, 3), float32)], [x],
    )  # fmt: skip
    lab.refuses(
        lambda o, i: device.pool2d(scalar.SUM, o[0], None, i[0], (2, 2), two),
        [((1, 2, 3, 3), int32)], [x.astype(np.int32)],
    )  # fmt: skip
