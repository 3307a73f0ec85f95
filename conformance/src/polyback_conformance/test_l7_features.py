"""Level 7: every feature that a device names keeps its contract. None is required."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from polyback import scalar
from polyback.dtype import DTYPES, DType, float32, int64
from polyback.features import MemoryStats
from polyback.program import Input, program
from polyback.scalar import REDUCTIONS
from polyback_conformance import values
from polyback_conformance.compare import check_exact, check_sum, check_ulp
from polyback_conformance.lab import Lab, explained, notes, reduced_shape
from polyback_conformance.layouts import inputs_for, outputs_for
from polyback_conformance.memory import Placed, Sandbox
from polyback_conformance.reference import evaluate, reduce_exact, reduce_wide

pytestmark = pytest.mark.conformance_level(7)
MOVED = ("bool", "uint8", "int16", "int32", "int64", "float16", "float32", "float64", "complex64")
BY_DTYPE = pytest.mark.parametrize("dtype", [d for d in DTYPES if d.name in MOVED], ids=str)


def offered(lab: Lab, feature: str, dtype: DType | None = None) -> Any:
    """The device, seen as having ``feature``; skips where it is not claimed."""
    has = feature in lab.caps.features
    lab.score.claim(7, feature, dtype.name if dtype else "-", has, False)
    if not has:
        pytest.skip(f"L7: {feature} is not claimed")
    if dtype and dtype.name not in lab.caps.storage:
        pytest.skip(f"L7: {dtype} is not stored")
    return lab.device


# --- reduce_fused --------------------------------------------------------------------------------


@pytest.mark.parametrize("op", REDUCTIONS, ids=str)
def test_reduce_fused(lab: Lab, op: Any) -> None:
    """The same as running the program, then reducing its output."""
    device = offered(lab, "reduce_fused")
    logical = op in (scalar.ANY, scalar.ALL_OF)
    if logical:
        code = program(lambda x, y, s: scalar.LESS(x * s, y), float32, float32,
                       Input(float32, scalar=True))  # fmt: skip
    elif op is scalar.PROD:  # factors near 1, or many of them leave the range
        code = program(lambda x, y, s: (x - y) * 1e-3 + s, float32, float32,
                       Input(float32, scalar=True))  # fmt: skip
    else:
        code = program(lambda x, y, s: (x - y) * (x - y) * s, float32, float32,
                       Input(float32, scalar=True))  # fmt: skip
    sources, targets = inputs_for(lab.caps), outputs_for(lab.caps)
    turn = 0
    for shape in ((7,), (33,), (4, 5), (17, 31), (3, 4, 5), (2, 1, 3), (100, 37), (2, 3, 2, 4)):
        ndim = len(shape)
        for axes in {tuple(range(ndim)), (0,), (ndim - 1,), (0, ndim - 1) if ndim > 1 else (0,)}:
            turn += 1
            with lab.box() as box:
                rng = lab.rng("fused", shape)
                x, y = (
                    box.put(values.smooth(float32, rng, shape), sources[k % len(sources)])
                    for k in (turn, 5 * turn + 3)
                )
                s = 1.0 if op is scalar.PROD else 1.0 + turn % 3
                dtype = code.dtypes[code.outputs[0]]
                out = box.out(reduced_shape(shape, axes), dtype, targets[turn % len(targets)])
                note = notes(box, f"{op} over {axes} of\n{code}")
                with explained(note):
                    device.reduce_fused(op, out.operand, code, [x.operand, y.operand, s], axes)
                    box.check()
                (stored,), _ = evaluate(code, [x.values(), y.values(), s], shape)
                _judge_reduction(op, out, stored, axes, note)


def _judge_reduction(op: Any, out: Placed, x: Any, axes: tuple[int, ...], note: str) -> None:
    n = int(np.prod([x.shape[a] for a in axes]))
    if op is scalar.SUM:
        want, magnitude = reduce_wide(op, x, axes, float32)
        check_sum(out.result(), want, magnitude, n, float32, note)
    elif op is scalar.PROD:
        want, _ = reduce_wide(op, x, axes, float32)
        check_ulp(out.result(), want, float32, n, note=note)
    else:
        check_exact(out.result(), reduce_exact(op, x, axes), note=note)


# --- gather and scatter ---------------------------------------------------------------------------


def _places(lab: Lab, shape: tuple[int, ...], n: int) -> Any:
    """Indexes below ``n``: random, with many duplicates."""
    return lab.rng("places", shape, n).integers(0, n, shape)


@BY_DTYPE
def test_gather(lab: Lab, dtype: DType) -> None:
    """``out[i] = x[i with index[i] at axis]`` for every axis, layout and length of the axis."""
    device = offered(lab, "gather", dtype)
    sources, targets = inputs_for(lab.caps), outputs_for(lab.caps)
    turn = 0
    for shape in ((9,), (4, 5), (3, 1, 6), (2, 3, 4, 2), (40, 33)):
        for axis in range(len(shape)):
            for length in (1, 7, 0):
                turn += 1
                wanted = tuple(length if k == axis else n for k, n in enumerate(shape))
                data = values.smooth(dtype, lab.rng("gather", shape), shape)
                with lab.box() as box:
                    x = box.put(data, sources[turn % len(sources)])
                    index = box.put(
                        _places(lab, wanted, shape[axis]), sources[(turn * 7) % len(sources)]
                    )
                    out = box.out(wanted, dtype, targets[turn % len(targets)])
                    note = notes(box, f"gather along {axis}")
                    with explained(note):
                        device.gather(out.operand, x.operand, index.operand, axis)
                        box.check()
                    want = np.take_along_axis(x.values(), index.values(), axis)
                    check_exact(out.result(), want, note=note)


def _scatter(lab: Lab, box: Sandbox, target: Placed, index: Placed, x: Placed, axis: int,
             mode: Any) -> tuple[Any, str]:  # fmt: skip
    """Run one scatter on a target that has contents; (the wanted contents, the note)."""
    want = target.values()
    for place in np.ndindex(*index.values().shape):
        spot = list(place)
        spot[axis] = int(index.values()[place])
        value = x.values()[place]
        with np.errstate(all="ignore"):
            want[tuple(spot)] = value if mode == "set" else want[tuple(spot)] + value
    note = notes(box, f"scatter {mode} along {axis}")
    target.role = "inout"
    with explained(note):
        lab.device.scatter(target.operand, index.operand, x.operand, axis, mode)  # type: ignore[attr-defined]
        box.check()
    return want, note


@pytest.mark.parametrize("mode", ["set", "add"])
@BY_DTYPE
def test_scatter(lab: Lab, dtype: DType, mode: str) -> None:
    """In row-major order: the last of several writes wins, sums are made one by one."""
    offered(lab, "scatter", dtype)
    if mode == "add" and (dtype.kind == "bool" or dtype.compute is not dtype):
        pytest.skip("L7 scatter add: only for types with arithmetic")
    if mode == "add" and dtype.name not in lab.caps.scalars.get("add", frozenset()):
        pytest.skip(f"L7 scatter add: {dtype} arithmetic is not claimed")
    sources, targets = inputs_for(lab.caps), outputs_for(lab.caps)
    turn = 0
    for shape in ((9,), (30,), (4, 5), (3, 1, 6), (2, 3, 4, 2)):
        for axis in range(len(shape)):
            for length in (3, 1):  # fewer places than writes: duplicates
                turn += 1
                wanted = tuple(length if k == axis else n for k, n in enumerate(shape))
                rng = lab.rng("scatter", shape)
                with lab.box() as box:
                    x = box.put(values.smooth(dtype, rng, shape), sources[turn % len(sources)])
                    index = box.put(_places(lab, shape, length), sources[(turn * 7) % len(sources)])
                    target = box.put(
                        values.smooth(dtype, rng, wanted), targets[turn % len(targets)]
                    )
                    want, note = _scatter(lab, box, target, index, x, axis, mode)
                    check_exact(target.result(), want, note=note)


# --- argsort --------------------------------------------------------------------------------------


def _order(x: Any, axis: int, descending: bool) -> Any:
    """Stable order by definition: a key of (is NaN, value, position)."""

    def one(row: Any) -> Any:
        nans = np.zeros(row.size, bool) if row.dtype.kind in "biu" else np.isnan(row)
        keys = row.tolist()

        def before(k: int) -> Any:
            value = 0 if nans[k] else keys[k]
            return (bool(nans[k]), -value if descending else value, k)

        return np.array(sorted(range(row.size), key=before), np.int64)

    return np.apply_along_axis(one, axis, x)


@pytest.mark.parametrize("descending", [False, True], ids=["up", "down"])
@pytest.mark.parametrize("dtype", [d for d in DTYPES if d.kind != "complex"], ids=str)
def test_argsort(lab: Lab, dtype: DType, descending: bool) -> None:
    """Stable with many equal values; NaN last in both directions; -0 equals +0."""
    device = offered(lab, "argsort", dtype)
    sources, targets = inputs_for(lab.caps), outputs_for(lab.caps)
    turn = 0
    for shape in ((1,), (10,), (65,), (4, 17), (3, 5, 4), (300,), (2, 33)):
        rng = lab.rng("argsort", shape, dtype.name)
        some = values.special(dtype)
        few = rng.choice(some[rng.permutation(some.size)[:6]], shape)
        many = values.random(dtype, rng, int(np.prod(shape))).reshape(shape)
        for data in (few, many):
            for axis in range(len(shape)):
                turn += 1
                with lab.box() as box:
                    x = box.put(data, sources[turn % len(sources)])
                    out = box.out(shape, int64, targets[turn % len(targets)])
                    note = notes(box, f"argsort along {axis}, descending={descending}")
                    with explained(note):
                        device.argsort(out.operand, x.operand, axis, descending)
                        box.check()
                    want = _order(x.values(), axis, descending)
                    check_exact(out.result(), want, (x.values(),), note=note)


# --- memory_stats and host_view -------------------------------------------------------------------


def test_memory_stats(lab: Lab) -> None:
    """Live bytes and the number of allocations follow allocate and free; trim drops caches only."""
    device = offered(lab, "memory_stats")
    before = device.memory_stats()
    assert isinstance(before, MemoryStats)
    buffers = [device.allocate(n) for n in (1000, 100_000, 1 << 20)]
    during = device.memory_stats()
    asked = 1000 + 100_000 + (1 << 20)
    assert during.live >= before.live + asked, f"live: {before.live} to {during.live}"
    assert during.live <= before.live + 2 * asked, f"live: {before.live} to {during.live}"
    assert during.peak >= during.live, "peak is the most that was live"
    assert during.allocations >= before.allocations, "the number of allocations never falls"
    for buffer in buffers:
        device.free(buffer)
    after = device.memory_stats()
    assert after.live == before.live, f"live: {before.live} before, {after.live} after"
    data = np.arange(100, dtype=np.uint8)
    kept = device.allocate(100)
    device.upload(kept, 0, memoryview(data))
    device.trim()
    assert device.memory_stats().cached == 0, "trim leaves nothing cached"
    got = np.zeros(100, np.uint8)
    device.download(kept, 0, memoryview(got))
    device.free(kept)
    check_exact(got, data, note="after trim")


def test_host_view(lab: Lab) -> None:
    """The buffer's own bytes: writable both ways, as long as asked for."""
    device = offered(lab, "host_view")
    buffer = device.allocate(256)
    try:
        device.upload(buffer, 0, memoryview(bytes(range(256))))
        view = np.frombuffer(device.host_view(buffer), np.uint8)
        assert view.size >= 256
        check_exact(view[:256].copy(), np.arange(256, dtype=np.uint8))
        view[7] = 99
        got = np.zeros(256, np.uint8)
        device.download(buffer, 0, memoryview(got))
        assert got[7] == 99, "a write through the view is not in the buffer"
        device.upload(buffer, 3, memoryview(b"\x2a"))
        device.synchronize()
        assert view[3] == 42, "an upload is not seen through the view"
        del view
    finally:
        device.free(buffer)


def test_gather_scatter_round_trip(lab: Lab) -> None:
    """Scatter by a permutation undoes gather by it."""
    if not lab.caps.features >= {"gather", "scatter"}:
        pytest.skip("L7: needs gather and scatter")
    order = lab.rng("order").permutation(500)
    data = values.smooth(float32, lab.rng("trip"), (500,))
    with lab.box() as box:
        x, index = box.put(data), box.put(order)
        middle, back = box.out((500,), float32), box.out((500,), float32)
        lab.device.gather(middle.operand, x.operand, index.operand, 0)  # type: ignore[attr-defined]
        lab.device.scatter(back.operand, index.operand, middle.operand, 0, "set")  # type: ignore[attr-defined]
        box.check()
        check_exact(back.result(), data)
