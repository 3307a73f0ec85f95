"""Level 2: copy, cast, fill and iota over the product of layouts, shapes and types."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from polyback import scalar
from polyback.dtype import DTYPES, DType, bool_, float32, int64
from polyback.program import Builder, Input, Instr, Program, copy_program, fill_program, program
from polyback.view import Shape
from polyback_conformance import values
from polyback_conformance.compare import Array, Mismatch, check_exact
from polyback_conformance.lab import Given, Lab, number
from polyback_conformance.layouts import (
    BROADCAST,
    CONTIGUOUS,
    EMPTY_SHAPES,
    OFFSET,
    STEPPED,
    TAILS,
    TRANSPOSED,
    Layout,
    inputs_for,
    outputs_for,
    shapes_for,
)
from polyback_conformance.reference import convert

pytestmark = pytest.mark.conformance_level(2)
BY_DTYPE = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def filled(lab: Lab, dtype: DType, shape: Shape, *key: Any) -> Array:
    """Random bit patterns, special values among them."""
    n = int(np.prod(shape))
    rng = lab.rng("filled", dtype.name, shape, *key)
    if dtype is bool_:
        return rng.integers(0, 2, shape).astype(bool)
    raw = rng.integers(0, 256, n * dtype.itemsize, np.uint8).view(dtype.numpy)
    some = values.special(dtype)
    mixed = np.where(rng.random(n) < 0.3, rng.choice(some, n), raw)
    return mixed.astype(dtype.numpy).reshape(shape)


def check_bytes(got: Array, want: Array, note: str) -> None:
    """Movement keeps every bit, also of NaN."""
    raw = f"V{want.dtype.itemsize}" if want.dtype.itemsize == 16 else f"u{want.dtype.itemsize}"
    check_exact(got, want, (want,), note=note)
    same = np.ascontiguousarray(got).view(raw) == np.ascontiguousarray(want).view(raw)
    if not np.all(same):
        raise Mismatch(f"a copy changed the bits of a NaN\n{note}")


def stored(lab: Lab, op: str, dtype: DType) -> bool:
    """Is ``dtype`` stored? If not, the device must refuse to copy it."""
    known = dtype.name in lab.caps.storage
    lab.score.claim(2, op, dtype.name, known, known)
    if not known:
        copy = copy_program(dtype, dtype)
        data = values.special(dtype)
        lab.refuses(
            lambda outs, ins: lab.device.elementwise(copy, outs, ins), [(data.shape, dtype)], [data]
        )
    return known


@BY_DTYPE
def test_copy_layouts(lab: Lab, dtype: DType) -> None:
    """Every input layout to every output layout, for shapes from 0-d to the most axes allowed."""
    if not stored(lab, "copy", dtype):
        return
    copy = copy_program(dtype, dtype)
    outputs = outputs_for(lab.caps)
    for k, shape in enumerate((*shapes_for(lab.caps), *EMPTY_SHAPES)):
        data = filled(lab, dtype, shape)
        for i, source in enumerate(inputs_for(lab.caps)):
            # The full product for two shapes; each input layout with a few outputs for the rest.
            full = shape in ((3, 4, 5), (4, 5))
            chosen = outputs if full else (outputs[(i + k) % len(outputs)], CONTIGUOUS)
            for target in chosen:
                done = lab.elementwise(copy, [Given(data, source)], shape, target)
                check_bytes(done.outs[0], done.ins[0], done.note)


@BY_DTYPE
def test_copy_tails(lab: Lab, dtype: DType) -> None:
    """Every length up to 33, aligned and not: vector bodies and their tails."""
    if not stored(lab, "copy", dtype):
        return
    copy = copy_program(dtype, dtype)
    sources: Sequence[Layout] = (CONTIGUOUS, OFFSET, STEPPED)
    if lab.caps.layouts == "contiguous":
        sources = (CONTIGUOUS, OFFSET)
    for k, shape in enumerate(TAILS):
        data = filled(lab, dtype, shape)
        for i, source in enumerate(sources):
            done = lab.elementwise(copy, [Given(data, source)], shape, sources[(i + k) % 2])
            check_bytes(done.outs[0], done.ins[0], done.note)


@BY_DTYPE
def test_copy_large(lab: Lab, dtype: DType) -> None:
    """Sizes that take several blocks, threads or tiles."""
    if not stored(lab, "copy", dtype):
        return
    copy = copy_program(dtype, dtype)
    for shape in ((100_003,), (257, 129), (63, 65, 17)):
        data = filled(lab, dtype, shape)
        for source in inputs_for(lab.caps)[:: 3 if lab.caps.layouts == "strided" else 1]:
            done = lab.elementwise(copy, [Given(data, source)], shape)
            check_bytes(done.outs[0], done.ins[0], done.note)


def _cast(source: DType, target: DType) -> Program:
    if source is target:
        return copy_program(source, target)
    instr = Instr(scalar.CAST, (0,), target)
    return Program((Input(source),), (instr,), (1,)).check()


def castable(data: Array, source: DType, target: DType) -> Array:
    """The values whose conversion is defined: a float that truncates into an integer's range."""
    if target.is_integer and source.kind in ("float", "complex"):
        info = np.iinfo(target.numpy)
        wide = np.asarray(data.real if source.kind == "complex" else data).astype(np.longdouble)
        with np.errstate(all="ignore"):
            whole = np.trunc(wide)
            fits = (whole >= info.min) & (whole <= info.max)
        return data[fits]
    return data


def refuse_cast(lab: Lab, dtype: DType) -> None:
    """A cast that is not claimed, from ``dtype`` and to it, writes nothing."""
    for source, target in ((dtype, float32), (float32, dtype)):
        if source is not target:
            cast, data = _cast(source, target), values.smooth(source, lab.rng("cast"), (9,))
            lab.refuses(
                lambda o, i, c=cast: lab.device.elementwise(c, o, i), [((9,), target)], [data]
            )


@BY_DTYPE
def test_cast(lab: Lab, dtype: DType) -> None:
    """From ``dtype`` to every stored type: nearest for floats, towards zero to integers, wrapping
    between integers, real part of complex, ``!= 0`` to bool."""
    if not lab.claims(2, "scalars", "cast", dtype):
        refuse_cast(lab, dtype)
        return
    rng = lab.rng("cast", dtype.name)
    data = np.concatenate([values.special(dtype), values.random(dtype, rng, 600)])
    if dtype.kind in ("float", "complex"):
        with np.errstate(all="ignore"):
            more = np.concatenate([values.random(float32, rng, 300), near_ties(rng, 300)])
            data = np.concatenate([data, more.astype(dtype.numpy)])
    if dtype.is_integer and dtype.itemsize == 8:
        data = np.concatenate([data, integer_ties(dtype, rng, 300)])
    claimed = lab.caps.scalars.get("cast", frozenset())
    for target in lab.stored():
        halves = any(d.compute is not d for d in (dtype, target))
        if target is dtype or target.name not in claimed:
            continue
        if halves and float32 not in (dtype, target):
            continue  # not a legal instruction: half types are cast from and to float32 only
        given = castable(data, dtype, target)
        cast = _cast(dtype, target)
        for layout, out in _few_layouts(lab):
            done = lab.elementwise(cast, [Given(given, layout)], given.shape, out)
            want = convert(done.ins[0], target)
            check_exact(done.outs[0], want, (done.ins[0],), note=done.note)


def near_ties(rng: np.random.Generator, n: int) -> Array:
    """Numbers halfway between two neighbours in float32, float16 or bfloat16, and just beside."""
    digits = rng.choice([24, 11, 8], n)
    odd = 2 * rng.integers(2**6, 2**7, n) + 1
    tie = np.ldexp(odd.astype(np.float64) * 2.0 ** (digits - 8) + rng.integers(-1, 2, n), -digits)
    return np.asarray(tie * rng.choice([-1, 1, 8, -1024, 0.001], n))


def integer_ties(dtype: DType, rng: np.random.Generator, n: int) -> Array:
    """64-bit integers just beside the middle between two neighbours in float32: rounding to
    float64 on the way would make ties of them."""
    middle = (2 * rng.integers(2**23, 2**24, n) + 1) << 37
    return np.asarray((middle + rng.choice([-1, 1], n)).astype(dtype.numpy))


def _few_layouts(lab: Lab) -> Iterator[tuple[Layout, Layout]]:
    yield CONTIGUOUS, CONTIGUOUS
    if lab.caps.layouts == "strided":
        yield STEPPED, OFFSET
        yield OFFSET, STEPPED


@BY_DTYPE
def test_cast_layouts(lab: Lab, dtype: DType) -> None:
    """A cast over all layouts: source and target elements differ in size."""
    claimed = lab.caps.scalars.get("cast", frozenset())
    partner = float32 if dtype is not float32 else int64
    if dtype.name not in claimed or partner.name not in claimed:
        pytest.skip(f"L2: cast of {dtype} is not claimed")
    for k, shape in enumerate((*shapes_for(lab.caps), *EMPTY_SHAPES)):
        for i, source in enumerate(inputs_for(lab.caps)):
            outputs = outputs_for(lab.caps)
            out = outputs[(i * 5 + k) % len(outputs)]
            for a, b in ((dtype, partner), (partner, dtype)):
                low = 0 if "uint" in (a.kind, b.kind) else -9
                data = lab.rng("small", shape).integers(low, 10, shape).astype(a.numpy)
                done = lab.elementwise(_cast(a, b), [Given(data, source)], shape, out)
                check_exact(done.outs[0], convert(done.ins[0], b), (done.ins[0],), note=done.note)


@BY_DTYPE
def test_fill(lab: Lab, dtype: DType) -> None:
    """One number everywhere, special values too, on every output layout."""
    if not stored(lab, "fill", dtype):
        return
    fill = fill_program(dtype)
    given = values.special(dtype.compute)
    shapes = (*shapes_for(lab.caps), *EMPTY_SHAPES)
    for k, value in enumerate(given):
        shape = shapes[k % len(shapes)]
        layouts = outputs_for(lab.caps)
        for layout in (layouts[k % len(layouts)], CONTIGUOUS):
            done = lab.elementwise(fill, [number(value)], shape, layout)
            want = np.full(shape, convert(value, dtype))
            check_exact(done.outs[0], want, (value,), note=done.note)


@BY_DTYPE
def test_constant(lab: Lab, dtype: DType) -> None:
    """A number written into the program."""
    claimed = lab.claims(2, "scalars", "const", dtype)
    if dtype.compute is not dtype:
        return  # a constant always has a type to compute in
    # 0.0 and -0.0 one after the other: they are equal, but they are not the same program.
    zeros = np.zeros(2, dtype.numpy) * np.array([1, -1], dtype.numpy) if dtype.is_floating else []
    for value in (*zeros, *values.special(dtype)[::3]):
        builder = Builder()
        const = builder.finish(builder.constant(number(value), dtype))
        if not claimed:
            lab.refuses(lambda o, i, c=const: lab.device.elementwise(c, o, i), [((4,), dtype)], [])
            return
        done = lab.elementwise(const, [], (3, 5), OFFSET)
        check_exact(done.outs[0], np.full((3, 5), value, dtype.numpy), note=done.note)


def test_iota(lab: Lab) -> None:
    """The row-major index, whatever the output's layout; alone and beside an input."""
    assert lab.claims(2, "scalars", "iota", int64)
    builder = Builder()
    iota = builder.finish(builder.iota())
    for shape in (*shapes_for(lab.caps), *EMPTY_SHAPES, (70_001,), (130, 257)):
        want = np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape)
        for layout in outputs_for(lab.caps):
            done = lab.elementwise(iota, [], shape, layout)
            check_exact(done.outs[0], want, note=done.note)
    beside = program(lambda x: x + x.builder.iota(), int64)
    for source in inputs_for(lab.caps):
        for shape in ((3, 4, 5), (17, 31)):
            given = filled(lab, int64, shape)
            done = lab.elementwise(beside, [Given(given, source)], shape, TRANSPOSED
                                   if lab.caps.layouts == "strided" else OFFSET)  # fmt: skip
            want = done.ins[0] + np.arange(given.size).reshape(shape)
            check_exact(done.outs[0], want, (done.ins[0],), note=done.note)


def test_broadcast_materialises(lab: Lab) -> None:
    """A single element read with stride 0 everywhere fills any shape."""
    if lab.caps.layouts == "contiguous":
        pytest.skip("L2: the device takes contiguous operands only")
    for shape in ((1000,), (33, 65), (2, 3, 4, 5)):
        data = filled(lab, float32, shape)
        copy = copy_program(float32, float32)
        for out in outputs_for(lab.caps):
            done = lab.elementwise(copy, [Given(data, BROADCAST)], shape, out)
            check_bytes(done.outs[0], done.ins[0], done.note)
