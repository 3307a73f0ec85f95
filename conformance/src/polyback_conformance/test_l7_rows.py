"""Level 7: softmax and layer normalization, within the bounds of the protocol's page."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from polyback.device import Caps
from polyback.dtype import DTYPES, DType, float32, int32
from polyback.errors import InvalidArgument
from polyback.view import Shape
from polyback_conformance import values
from polyback_conformance.cases import FLOATS
from polyback_conformance.compare import FORMATS, Array, check_units, k_limit, widen
from polyback_conformance.lab import Given, Lab
from polyback_conformance.layouts import CONTIGUOUS, ONE_ROW, Layout, inputs_for, outputs_for
from polyback_conformance.offers import offered

pytestmark = pytest.mark.conformance_level(7)

LOG = pytest.mark.parametrize("log", [False, True], ids=["plain", "log"])
SHAPES: tuple[Shape, ...] = (
    (1,), (7,), (33,), (4, 5), (17, 31), (3, 1, 6), (2, 3, 4, 2), (0, 4), (3, 0, 2), (130, 9),
)  # fmt: skip
LONG: tuple[tuple[Shape, int], ...] = (
    ((1000,), 0), ((3, 5000), 1), ((1000, 3), 0), ((2, 1025, 2), 1), ((70_001,), 0),
)  # fmt: skip


def tiny(caps: Caps, dtype: DType) -> float:
    """What underflow may cost: steps of the smallest number, or all of a subnormal one."""
    form = FORMATS[dtype.name]
    steps = 4.0 * 2.0 ** (form.lowest - form.digits + 1)
    return steps if caps.numerics.denormals else 2.0**form.lowest


# --- softmax -------------------------------------------------------------------------------------


def softmax(lab: Lab, x: Any, axis: int, log: bool, source: Layout = CONTIGUOUS,
            out: Layout = CONTIGUOUS) -> None:  # fmt: skip
    """One call, judged against the same of wider numbers."""
    device: Any = lab.device
    dtype = next(d for d in DTYPES if d.numpy == x.dtype)
    done = lab.call(
        f"softmax along {axis}, log={log}",
        lambda outs, ins: device.softmax(*outs, *ins, axis, log),
        [(x.shape, dtype, out)],
        [Given(x, source)],
    )
    wide, n = widen(done.ins[0], dtype), x.shape[axis]
    with np.errstate(all="ignore"):
        below = wide - np.max(wide, axis, keepdims=True)
        total = np.sum(np.exp(below), axis, keepdims=True)
        want = below - np.log(total) if log else np.exp(below) / total
        if log:
            limit = k_limit(n) + 7 * np.log(n) + 2 * np.abs(want) + 8
        else:
            limit = k_limit(n) + np.log(n) - below + 20
        limit = np.where(np.isfinite(limit), limit, 0)
    scale = 1.0 if log else np.abs(want)
    check_units(done.outs[0], want, scale, limit, dtype, done.note, floor=tiny(lab.caps, dtype))


@LOG
@FLOATS
def test_softmax(lab: Lab, dtype: DType, log: bool) -> None:
    """Every axis, layouts in rotation, lanes of many lengths."""
    offered(lab, "softmax", dtype)
    sources, targets = inputs_for(lab.caps), outputs_for(lab.caps)
    turn = 0
    for shape in SHAPES:
        data = (3 * lab.rng("softmax", shape).normal(0, 1, shape)).astype(dtype.numpy)
        for axis in range(len(shape)):
            if shape[axis] == 0:
                continue  # the axis is not empty
            softmax(lab, data, axis, log)
            for _ in range(3):
                turn += 1
                source = sources[turn % len(sources)]
                softmax(lab, data, axis, log, source, targets[(turn * 5) % len(targets)])
    for k, (shape, axis) in enumerate(LONG):
        for size in (1, 30):
            data = (size * lab.rng("long", shape).normal(0, 1, shape)).astype(dtype.numpy)
            softmax(lab, data, axis, log)
        if np.prod(shape) < 20_000:
            softmax(lab, data, axis, log, sources[(3 * k + 2) % len(sources)], targets[k])


@LOG
@FLOATS
def test_softmax_special_values(lab: Lab, dtype: DType, log: bool) -> None:
    """No overflow; -inf weighs nothing; NaN, +inf, or -inf alone give NaN all along the axis."""
    offered(lab, "softmax", dtype)
    for n in (1, 5, 37, 1030):
        plain = values.smooth(dtype, lab.rng("odd", n), (12, n))
        some = plain.copy()
        odd = [np.nan, np.inf, -np.inf, 1e30]
        for k, row in enumerate(some):
            row[(k * n) // 12] = odd[k % 4]
        rows = [
            some, plain * 1e4, plain + 1e5, np.zeros_like(plain),
            np.where(np.arange(n) % 2 == 0, plain, -np.inf), np.full_like(plain, -np.inf),
            np.where(np.arange(n) == n - 1, 0, -1e30) + 0 * plain,
            np.full_like(plain, np.finfo(dtype.numpy).max), -np.abs(plain) * 20,
        ]  # fmt: skip
        for data in rows:
            data = data.astype(dtype.numpy)
            softmax(lab, data, 1, log)
            softmax(lab, np.ascontiguousarray(data.T), 0, log)


# --- layer_norm ----------------------------------------------------------------------------------


def layer_norm(lab: Lab, x: Any, weight: Any, bias: Any, eps: float = 1e-5,
               outs: tuple[Layout, ...] = (CONTIGUOUS,) * 3) -> None:  # fmt: skip
    """One call on arrays or Givens, judged against the same of wider numbers."""
    device: Any = lab.device
    shape = np.shape(x.values if isinstance(x, Given) else x)
    kind = (x.values if isinstance(x, Given) else x).dtype
    dtype = next(d for d in DTYPES if d.numpy == kind)
    shapes = (shape, (*shape[:-1], 1), (*shape[:-1], 1))
    done = lab.call(
        f"layer_norm, eps={eps}",
        lambda o, i: device.layer_norm(*o, *i, eps),
        [(s, dtype, layout) for s, layout in zip(shapes, outs, strict=True)],
        [x, weight, bias],
    )
    wide, factor, shift = (None if a is None else widen(a, dtype) for a in done.ins)
    assert wide is not None
    _judge_layer_norm(lab, dtype, done.outs, wide, factor, shift, eps, done.note)


def _judge_layer_norm(
    lab: Lab, dtype: DType, got: list[Array], x: Array, weight: Any, bias: Any, eps: float,
    note: str,
) -> None:  # fmt: skip
    n, u = x.shape[-1], FORMATS[dtype.name].u
    with np.errstate(all="ignore"):
        mean = np.mean(x, -1, keepdims=True)
        size = np.mean(np.abs(x), -1, keepdims=True)
        scale = 1 / np.sqrt(np.mean((x - mean) ** 2, -1, keepdims=True) + eps)
        z = (x - mean) * scale
        r = (k_limit(n) + 8) * size * scale  # in units
        square = r * (u * r)
        factor, shift = (0 if a is None else a for a in (weight, bias))
        factor = 1 if weight is None else factor
        want = z * factor + shift
        room = (k_limit(n) + 32 + square) * np.abs(z) + r
        room = np.abs(factor) * room + 2 * (np.abs(z * factor) + np.abs(shift))
        limits = (room, (k_limit(n) + 8) * size, (k_limit(n) + 24 + square) * scale)
    for k, (what, reference) in enumerate((("out", want), ("mean", mean), ("scale", scale))):
        limit = np.where(np.isfinite(limits[k]), limits[k], 0)
        floor = tiny(lab.caps, dtype)
        check_units(
            got[k], reference, 1.0, limit, dtype, f"{what} of layer_norm\n{note}", floor=floor
        )


@FLOATS
def test_layer_norm(lab: Lab, dtype: DType) -> None:
    """With and without weight and bias, in every layout, of many lengths."""
    offered(lab, "layer_norm", dtype)
    sources, targets = inputs_for(lab.caps), outputs_for(lab.caps)
    rows = (*sources, ONE_ROW) if lab.caps.layouts == "strided" else sources
    turn = 0
    for shape in (*SHAPES, (2, 1000), (3, 5000), (1, 70_001), (300, 64)):
        if shape[-1] == 0:
            continue  # the axis is not empty
        rng = lab.rng("layer_norm", shape)
        x, weight, bias = (
            (rng.normal(0, 2, shape) + k).astype(dtype.numpy) for k in (0.5, 1.0, 0.0)
        )
        layer_norm(lab, x, None, None)
        layer_norm(lab, x, weight, bias)
        for given in ((weight, bias), (weight, None), (None, bias), (None, None)):
            turn += 1
            layouts = [rows[(turn * k) % len(rows)] for k in (1, 5, 7)]
            ins = [a if a is None else Given(a, way) for a, way in zip((x, *given), layouts)]
            outs = tuple(targets[(turn * k) % len(targets)] for k in (1, 5, 7))
            if np.prod(shape) < 10_000:
                layer_norm(lab, ins[0], ins[1], ins[2], 1e-5, outs)
            else:
                last = rows[-1]
                w, b = (a if a is None else Given(a, last) for a in given)
                layer_norm(lab, x, w, b)


@FLOATS
def test_layer_norm_numbers(lab: Lab, dtype: DType) -> None:
    """A mean far from zero, rows of one value, every eps; NaN and infinities spoil their row."""
    offered(lab, "layer_norm", dtype)
    for n in (1, 2, 5, 64, 1030):
        rng = lab.rng("numbers", n)
        plain = rng.normal(0, 1, (9, n))
        cases = {
            "offset": plain + 1000, "far": plain + 1e5, "one value": np.full((9, n), 0.1),
            "large": plain * 1e12, "small": plain * 1e-4, "zeros": np.zeros((9, n)),
        }  # fmt: skip
        for x in cases.values():
            for eps in (1e-5, 1e-12, 1.0):
                layer_norm(lab, x.astype(dtype.numpy), None, None, eps)
        odd = plain.astype(dtype.numpy)
        for k, value in enumerate((np.nan, np.inf, -np.inf)):
            odd[2 * k + 1, (k * n) // 3] = value
        weight = rng.normal(1, 1, (9, n)).astype(dtype.numpy)
        layer_norm(lab, odd, weight, weight)


def test_refusals(lab: Lab) -> None:
    """Operands that contradict the contract, and what is not claimed, leave the outputs alone."""
    x, bad = np.ones((3, 4), np.float32), np.ones((4, 3), np.float32)
    if "softmax" in lab.caps.features:
        device = offered(lab, "softmax", float32)
        cases: list[tuple[Any, Shape, DType, int]] = [
            (x, (3, 4), float32, 2), (x, (4, 3), float32, 1), (x, (3, 4), int32, 1),
            (np.ones((3, 0), np.float32), (3, 0), float32, 1),
        ]  # fmt: skip
        for given, shape, dtype, axis in cases:
            lab.refuses(
                lambda outs, ins, a=axis: device.softmax(outs[0], ins[0], a, False),
                [(shape, dtype)], [given], InvalidArgument,
            )  # fmt: skip
        lab.refuses(
            lambda outs, ins: device.softmax(outs[0], ins[0], 1, True),
            [((3, 4), int32)], [np.ones((3, 4), np.int32)],
        )  # fmt: skip
    device = offered(lab, "layer_norm", float32)
    row: Shape = (3, 1)
    wrong: list[tuple[tuple[Shape, ...], list[Any]]] = [
        (((3, 4), row, (3, 4)), [x, x, x]), (((3, 4), (1, 1), row), [x, x, x]),
        (((4, 3), row, row), [x, x, x]), (((3, 4), row, row), [x, bad, x]),
        (((3, 4), row, row), [x, x, x[:1]]), (((3, 4), row, row), [x, x.astype(np.float64), x]),
    ]  # fmt: skip
    for shapes, ins in wrong:
        if any(a.dtype == np.float64 for a in ins) and "float64" not in lab.caps.storage:
            continue
        lab.refuses(
            lambda outs, given: device.layer_norm(*outs, *given, 1e-5),
            [(s, float32) for s in shapes], ins, InvalidArgument,
        )  # fmt: skip
    lab.refuses(
        lambda outs, given: device.layer_norm(*outs, *given, None, None, 1e-5),
        [((3, 4), int32), (row, int32), (row, int32)], [np.ones((3, 4), np.int32)],
    )  # fmt: skip
