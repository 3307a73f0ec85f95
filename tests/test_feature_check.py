"""The shared checks of the optional features: what contradicts a contract is refused, by type."""

from __future__ import annotations

from typing import Any

import pytest

from polyback import feature_check as check
from polyback.device import Caps, Operand, required_claims
from polyback.dtype import DType, bool_, complex64, float16, float32, float64, int64
from polyback.errors import InvalidArgument, UnsupportedOp
from polyback.features import Window
from polyback.scalar import ANY, MAX, MIN, PROD, SUM
from polyback.view import View

CAPS = required_claims(frozenset({"bool", "float16", "float32", "int64", "complex64"}))
ONES = Window()


def op(*shape: int, dtype: DType = float32) -> Operand:
    return Operand(None, dtype, View.contiguous(shape))


X, PLACES = op(2, 3), op(2, 1, dtype=int64)
IMAGE, WEIGHT, RESULT = op(2, 6, 8, 9), op(4, 3, 3, 2), op(2, 4, 6, 8)
POOLED = op(2, 6, 4, 4)


def pool(out: Operand, window: Window, kernel: tuple[int, int] = (2, 2), how: Any = MAX,
         index: Operand | None = None) -> Any:  # fmt: skip
    return lambda: check.check_pool2d(CAPS, how, out, index, IMAGE, kernel, window)


def test_what_fits_passes() -> None:
    for how in (SUM, PROD, MIN, MAX):
        check.check_scan(CAPS, how, X, X, 1)
    check.check_scan(CAPS, SUM, op(0, 3), op(0, 3), 0)
    check.check_argreduce(CAPS, MIN, PLACES, X, 1)
    check.check_argreduce(CAPS, MAX, op(1, 3, dtype=int64), op(2, 3, dtype=int64), 0)
    check.check_softmax(CAPS, X, X, 0)
    check.check_sort(CAPS, X, X, 1)
    check.check_layer_norm(CAPS, X, op(2, 1), op(2, 1), X, X, None)
    check.check_conv2d(CAPS, RESULT, IMAGE, WEIGHT, ONES, 2)
    pool(op(2, 6, 7, 8), ONES)()
    pool(POOLED, Window((2, 2), (0, 0)), how=SUM)()
    pool(POOLED, Window((2, 2)), index=op(2, 6, 4, 4, dtype=int64))()
    pool(op(2, 6, 8, 9), Window((1, 1), (2, 2), (2, 2)), (3, 3))()


UNSUPPORTED = {
    "scan any": lambda: check.check_scan(CAPS, ANY, *[op(3, dtype=bool_)] * 2, 0),
    "scan half": lambda: check.check_scan(CAPS, SUM, *[op(3, dtype=float16)] * 2, 0),
    "argreduce sum": lambda: check.check_argreduce(CAPS, SUM, PLACES, X, 1),
    "argreduce complex": lambda: check.check_argreduce(
        Caps(CAPS.storage, {}, {"max": frozenset({"complex64"})}, frozenset()),
        MAX, PLACES, op(2, 3, dtype=complex64), 1,
    ),
    "sort complex": lambda: check.check_sort(CAPS, *[op(3, dtype=complex64)] * 2, 0),
    "sort not stored": lambda: check.check_sort(CAPS, *[op(3, dtype=float64)] * 2, 0),
    "softmax int": lambda: check.check_softmax(CAPS, *[op(3, dtype=int64)] * 2, 0),
    "softmax not stored": lambda: check.check_softmax(CAPS, *[op(3, dtype=float64)] * 2, 0),
    "layer_norm half": lambda: check.check_layer_norm(
        CAPS, *[op(2, 3, dtype=float16)] * 4, None, None
    ),
    "conv2d int": lambda: check.check_conv2d(CAPS, *[op(1, 1, 1, 1, dtype=int64)] * 3, ONES, 1),
    "pool2d min": pool(POOLED, Window((2, 2)), how=MIN),
}  # fmt: skip

INVALID = {
    "scan shape": lambda: check.check_scan(CAPS, SUM, op(3, 2), X, 0),
    "scan type": lambda: check.check_scan(CAPS, SUM, op(2, 3, dtype=int64), X, 0),
    "scan axis": lambda: check.check_scan(CAPS, SUM, X, X, 2),
    "argreduce shape": lambda: check.check_argreduce(CAPS, MIN, PLACES, X, 0),
    "argreduce type": lambda: check.check_argreduce(CAPS, MIN, op(2, 1), X, 1),
    "argreduce empty": lambda: check.check_argreduce(CAPS, MIN, PLACES, op(2, 0), 1),
    "sort type": lambda: check.check_sort(CAPS, PLACES, op(2, 1), 0),
    "sort axis": lambda: check.check_sort(CAPS, X, X, 2),
    "softmax type": lambda: check.check_softmax(CAPS, op(2, 3, dtype=float64), X, 0),
    "softmax empty": lambda: check.check_softmax(CAPS, op(2, 0), op(2, 0), 1),
    "layer_norm scalar": lambda: check.check_layer_norm(CAPS, op(), op(), op(), op(), None, None),
    "layer_norm mean": lambda: check.check_layer_norm(CAPS, X, X, op(2, 1), X, None, None),
    "layer_norm bias": lambda: check.check_layer_norm(
        CAPS, X, op(2, 1), op(2, 1), X, None, op(3)
    ),
    "conv2d axes": lambda: check.check_conv2d(CAPS, RESULT, op(6, 8, 9), WEIGHT, ONES, 2),
    "conv2d groups": lambda: check.check_conv2d(CAPS, RESULT, IMAGE, WEIGHT, ONES, 3),
    "conv2d none": lambda: check.check_conv2d(CAPS, RESULT, IMAGE, WEIGHT, ONES, 0),
    "conv2d result": lambda: check.check_conv2d(CAPS, op(2, 5, 6, 8), IMAGE, WEIGHT, ONES, 2),
    "conv2d type": lambda: check.check_conv2d(
        CAPS, RESULT, IMAGE, op(4, 3, 3, 2, dtype=int64), ONES, 2
    ),
    "window stride": lambda: check.check_conv2d(
        CAPS, RESULT, IMAGE, WEIGHT, Window((0, 1)), 2
    ),
    "window dilation": pool(POOLED, Window((2, 2), dilation=(1, 0))),
    "window padding": pool(POOLED, Window((2, 2), (-1, 0))),
    "pool2d channels": pool(op(2, 5, 4, 4), Window((2, 2))),
    "pool2d index of a sum": pool(
        POOLED, Window((2, 2)), how=SUM, index=op(2, 6, 4, 4, dtype=int64)
    ),
    "pool2d index": pool(POOLED, Window((2, 2)), index=POOLED),
    "pool2d after the end": pool(op(2, 6, 9, 4), ONES),
    "pool2d before the start": pool(POOLED, Window((1, 1), (2, 2))),
    "pool2d between": pool(op(2, 6, 4, 4), Window((1, 1), (1, 1), (20, 20)), (2, 2)),
}  # fmt: skip


@pytest.mark.parametrize("call", UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_what_is_not_claimed_is_unsupported(call: Any) -> None:
    with pytest.raises(UnsupportedOp):
        call()


@pytest.mark.parametrize("call", INVALID.values(), ids=INVALID)
def test_what_does_not_fit_is_invalid(call: Any) -> None:
    with pytest.raises(InvalidArgument, match="want"):
        call()
