"""How products are cut: the estimate by its own arithmetic, and what follows from it. Needs no
GPU."""

from __future__ import annotations

import itertools

import pytest

from polyback.simt.geometry import blocks
from polyback_cuda.async_matmul import Float32
from polyback_cuda.double_matmul import Float64
from polyback_cuda.tensor_cores import BFLOAT16, FLOAT16, TF32
from polyback_cuda.tiling import GRAIN, LAUNCH, LEAST, Product, Size, Work, clocks, cut

UNITS = 132  # of an H100
KINDS = ((Float32(), 4), (Float64(), 8), (FLOAT16, 2), (BFLOAT16, 2), (TF32, 4))
TRAINING = [(64, 784, 256), (128, 512, 512), (32, 512, 2048), (32, 2048, 512), (256, 784, 64)]


def chosen(kind, itemsize, m, k, n, count=1, units=UNITS):
    made = Product(m, n, k, count, itemsize)
    side, share = cut(made, kind.work, kind.sizes, units)
    return made, next(s for s in kind.sizes if s.side == side), share


def test_the_estimate_by_hand():
    """Three multiprocessors, seven tiles of 64 x 64: the busiest has three, two at a time."""
    work, size = Work(per_clock=100, warps=8), Size(64, warps=4, resident=2)
    made = Product(64 * 7, 64, 320, 1, 4)
    compute, load = 64 * 64 * 320 / 100, 2 * 64 * 320 * 4 / 24
    assert compute > load
    want = 3 * (compute + load / 4) + 2 * 2000
    assert clocks(made, work, size, 320, 3) == pytest.approx(want)
    alone = clocks(Product(64, 64, 320, 1, 4), work, size, 320, 3)  # half of the warps it takes
    assert alone == pytest.approx(2 * compute + load / 4 + 2000)
    shared = clocks(Product(64, 64, 320, 1, 4), work, size, 160, 3)  # two shares, on two units
    moved = 2 * 4 * 2 * 64 * 64 / (15 * 3)
    assert shared == pytest.approx(compute + load / 8 + 2000 + LAUNCH + moved)


@pytest.mark.parametrize(("kind", "itemsize"), KINDS, ids=lambda x: getattr(x, "name", ""))
def test_large_products_take_large_tiles_and_are_not_shared_out(kind, itemsize):
    for side in (2048, 4096, 8192):
        made, size, share = chosen(kind, itemsize, side, side, side)
        assert (size.side, share) == (128, side)
        tiles = made.tiles(128)
        assert tiles / (blocks(tiles, UNITS) * UNITS) > 0.95 or side == 2048  # of the last wave


@pytest.mark.parametrize("shape", TRAINING, ids=str)
def test_products_of_training_keep_float32_units_busy(shape):
    """Tiles alone would leave at least three quarters of them idle."""
    made, size, share = chosen(Float32(), 4, *shape)
    assert size.side == 64
    assert made.tiles(64) <= UNITS // 4
    work = made.tiles(64) * blocks(made.k, share)
    assert work > made.tiles(64)
    longest = made.k == 784  # its share is at the least already
    assert work >= 0.9 * UNITS or (longest and share <= 2 * LEAST)


@pytest.mark.parametrize(("kind", "itemsize"), KINDS, ids=lambda x: getattr(x, "name", ""))
def test_no_other_way_is_estimated_faster(kind, itemsize):
    shapes = [*TRAINING, (1024, 1024, 1024), (64, 65536, 64), (2, 40, 3), (4096, 64, 4096)]
    for m, k, n in shapes:
        for count in (1, 96):
            made, size, share = chosen(kind, itemsize, m, k, n, count)
            assert share == k or (share % GRAIN == 0 and share >= LEAST)
            best = clocks(made, kind.work, size, share, UNITS)
            for other, length in itertools.product(kind.sizes, {k, max(LEAST, k // 64 * 32)}):
                assert best <= clocks(made, kind.work, other, min(k, length), UNITS)


def test_a_stack_fills_the_gpu_by_itself():
    """Scores of attention, 96 heads of 128 x 64 x 128: nothing is shared out."""
    for kind, itemsize in KINDS:
        _, _, share = chosen(kind, itemsize, 128, 64, 128, 96)
        assert share == 64


def test_a_small_gpu_is_full_earlier():
    _, size, share = chosen(Float32(), 4, 256, 512, 256, units=2)
    assert (size.side, share) == (128, 512)
    _, size, share = chosen(Float32(), 4, 256, 512, 256)
    assert size.side == 64
    assert share < 512
