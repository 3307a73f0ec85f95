"""Every kernel source that the device would make, and many of them as one source.

The kit writes them; nothing here knows what is in them beyond where a kernel begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from polyback import scalar
from polyback.device import Caps, full_claims
from polyback.dtype import (
    DTYPES,
    DType,
    bfloat16,
    bool_,
    complex64,
    complex128,
    float16,
    float32,
    float64,
    int64,
)
from polyback.program import Builder, Input, Program, Value, copy_program, fill_program, program
from polyback.simt import convolution_gpu, normalize_gpu, reduce_gpu
from polyback.simt.argreduce import argreduce_kernel
from polyback.simt.driver import Kernel
from polyback.simt.elementwise import PACK_BYTES, Spec, kernels
from polyback.simt.epilogue import Epilogue, plain
from polyback.simt.geometry import DENSE, SPLAT, STRIDED
from polyback.simt.indexing import MODES, gather_kernel, runs_kernel, scatter_kernel
from polyback.simt.matmul import element, gpu_kernel
from polyback.simt.pooling import pool_kernel
from polyback.simt.reduce import Frame
from polyback.simt.reduce import Spec as ReduceSpec
from polyback.simt.scan import scan_kernel
from polyback.simt.sorting import key_type, keys_kernel, merge_kernel
from polyback_cuda.async_matmul import Float32
from polyback_cuda.dialect import dialect
from polyback_cuda.double_matmul import Float64
from polyback_cuda.driver import GROUP
from polyback_cuda.tensor_cores import BFLOAT16, FLOAT16, TF32
from polyback_cuda.tiles import ACROSS, ALONG, ANY

WORDS: Final = dialect()
CLAIMS: Final[Caps] = full_claims(frozenset(d.name for d in DTYPES))
FEW: Final = (float32, int64, bool_, complex64)
_ENTRY: Final = re.compile(r'(extern "C" __global__ void (?:__launch_bounds__\([\d, ]+\) )?\w+)\(')


# --- programs -------------------------------------------------------------------------------------


def row_programs() -> Iterator[Program]:
    """Every row that is claimed, on arrays of every type it is claimed for."""
    for row in scalar.TABLE:
        if row.arity == 0 or row is scalar.CAST:
            continue
        for name in sorted(CLAIMS.scalars.get(row.name, ())):
            dtype = next(d for d in DTYPES if d.name == name)
            yield program(lambda *v, row=row: row(*v), *operand_dtypes(row, dtype))


def operand_dtypes(row: scalar.Scalar, dtype: DType) -> tuple[DType, ...]:
    """Of the arrays that ``row`` on ``dtype`` is given."""
    return (bool_, dtype, dtype) if row is scalar.WHERE else (dtype,) * row.arity


def moving_programs() -> Iterator[Program]:
    """Copies, casts between all types, fills and the index."""
    for source in DTYPES:
        yield fill_program(source)
        for target in DTYPES:
            yield copy_program(source, target)
    builder = Builder()
    yield builder.finish(builder.iota())


def fused_programs() -> Iterator[Program]:
    """Chains as the runtime makes them: several outputs, numbers, constants that are hard to
    write."""
    exp, sin = scalar.EXP, scalar.SIN
    yield program(lambda x, y: exp(x * 0.25) * y + sin(x) / (y * y + 1.0), float32, float32)
    yield program(lambda x: (x + 1.0, x * float("inf"), x - float("nan")), float32)
    yield program(lambda x: scalar.WHERE(x > 0, x, -0.0), float32)
    yield program(lambda k: (k * -(2**63) + 7).cast(float32), int64)
    power = scalar.POW
    yield program(lambda z, w: (z * w + (1 - 2j), power(z, w), scalar.ABS(z)), *[complex64] * 2)
    yield program(lambda z: scalar.ATAN(scalar.SQRT(z)) / complex("nan+infj"), complex128)


# --- kernels --------------------------------------------------------------------------------------


def elementwise(made: Program) -> dict[str, Kernel]:
    """Dense in packs, one element at a time, broadcast, strided, and strided with 64-bit
    indexes."""
    count = len(made.inputs) + len(made.outputs)
    arrays = count - sum(i.scalar for i in made.inputs)
    alias = (-1,) * len(made.outputs)
    pack = max(1, PACK_BYTES // max(made.dtypes[o].itemsize for o in made.outputs))
    inputs = arrays - len(made.outputs)
    splat = (SPLAT,) * inputs + (DENSE,) * len(made.outputs)
    specs = {
        "packed": Spec(alias, (DENSE,) * arrays, True, False, pack),
        "dense": Spec(alias, (DENSE,) * arrays, True),
        "splat": Spec(alias, splat, True, False, pack),
        "strided": Spec(alias, (STRIDED,) * arrays, False),
        "far": Spec(alias, (STRIDED,) * arrays, False, True),
    }
    return kernels(made, specs, WORDS, GROUP)


def reductions(full: bool) -> Iterator[Kernel]:
    """Every reduction of every type by rows and columns, and some of programs."""
    terms = program(lambda a, b: a * b, float32, float32)
    shifted = program(lambda x: scalar.EXP(x - 1.0), float32)
    fused = [(scalar.SUM, terms), (scalar.SUM, shifted), (scalar.MAX, shifted)]
    plain = [
        (op, copy_program(d, d))
        for op in scalar.REDUCTIONS
        for d in DTYPES
        if d.name in CLAIMS.reductions[op.name] and (full or d in FEW)
    ]
    for op, made in plain + fused:
        for columns in (False, True):
            for wide in (False, True):
                for mode, flat in ((STRIDED, False), (STRIDED, True), (DENSE, True)):
                    spec = ReduceSpec(columns, (mode,) * len(made.inputs), wide, flat)
                    frame = Frame(op, made, spec, WORDS, GROUP)
                    yield reduce_gpu.columns(frame) if columns else reduce_gpu.rows(frame)


def others(full: bool) -> Iterator[Kernel]:
    """Matrix products, gather, scatter, sorting, operations along one axis, convolution."""
    for dtype in scalar.REAL_FLOAT:
        yield normalize_gpu.softmax_kernel(dtype, WORDS, GROUP)
        yield normalize_gpu.layer_norm_kernel(dtype, WORDS, GROUP)
        for op in (scalar.SUM, scalar.MAX):
            yield pool_kernel(op, dtype, WORDS, GROUP)
        for wide in (False, True):
            for along in ((False, False), (False, True), (True, False), (True, True)):
                yield convolution_gpu.tile_kernel(dtype, wide, along, WORDS)
            yield convolution_gpu.direct_kernel(dtype, wide, WORDS, GROUP)
    for dtype in DTYPES if full else FEW:
        if dtype.name in CLAIMS.matmul:
            yield gpu_kernel(element(dtype), WORDS)
            for epilogue in list(epilogues(dtype))[0 if full else 2 :]:
                yield gpu_kernel(dtype, WORDS, epilogue)
        for mode, row in MODES.items():
            if row is None or dtype.name in CLAIMS.scalars[row.name]:
                yield scatter_kernel(mode, dtype, WORDS, GROUP)
                yield runs_kernel(mode, dtype, WORDS, GROUP)
        if dtype.kind != "complex":
            yield keys_kernel(dtype, WORDS, GROUP)
        if dtype.name in CLAIMS.reductions["max"]:
            yield argreduce_kernel(dtype, WORDS, GROUP)
        for op in (scalar.SUM, scalar.PROD, scalar.MIN, scalar.MAX):
            if dtype.name in CLAIMS.reductions[op.name]:
                yield scan_kernel(op, dtype, WORDS, GROUP)
    for size in sorted({d.itemsize for d in DTYPES}):
        yield gather_kernel(size, WORDS, GROUP)
    for code in sorted({key_type(d) for d in DTYPES if d.kind != "complex"}):
        yield merge_kernel(code, WORDS, GROUP)


def epilogues(dtype: DType) -> Iterator[Epilogue]:
    """On products of a type: none, a layer's bias and activation, and all that may be read."""
    yield plain(dtype)
    wide = dtype.compute

    def layer(x: Value, bias: Value) -> Value:
        y = x.cast(wide) + bias.cast(wide)
        return (y if wide.kind == "complex" else scalar.RELU(y)).cast(dtype)

    yield Epilogue(program(layer, dtype, dtype), 0, ((False, True),))
    if wide.kind == "complex":
        return

    def gated(gate: Value, s: Value, x: Value, shift: Value) -> Value:
        grown = scalar.EXP(x.cast(wide) * s) if wide.kind == "float" else x * s
        return scalar.WHERE(gate, grown, shift.cast(wide)) > 0

    yield Epilogue(
        program(gated, bool_, Input(wide, scalar=True), dtype, dtype), 2,
        ((True, True), (True, False)),
    )  # fmt: skip


def tiles(full: bool) -> Iterator[Kernel]:
    """Products fed by asynchronous copies: every type, pair of layouts, size and result."""
    modes = (ALONG, ACROSS, ANY)
    kinds = (
        (Float32(), float32), (Float64(), float64), (FLOAT16, float16), (BFLOAT16, bfloat16),
        (TF32, float32),
    )  # fmt: skip
    for kind, dtype in kinds:
        for a_mode in modes:
            for b_mode in modes if full else (a_mode,):
                for size in kind.sizes if full else kind.sizes[:1]:
                    yield kind.kernel(a_mode, b_mode, size.side, plain(dtype))
                    if full and dtype.compute is not dtype:
                        yield kind.kernel(a_mode, b_mode, size.side, plain(float32))
        for size in kind.sizes if full else kind.sizes[1:]:
            for epilogue in epilogues(dtype):
                yield kind.kernel(ALONG, ACROSS, size.side, epilogue)


def sources(full: bool) -> list[str]:
    """All different sources; without ``full`` a tenth of them, of every family."""
    programs = [*row_programs(), *moving_programs()]
    made = [*(programs if full else programs[::12]), *fused_programs()]
    found = [next(iter(elementwise(p).values())).source for p in made]
    found += [k.source for k in (*reductions(full), *others(full), *tiles(full))]
    return list(dict.fromkeys(found))


# --- one source of many ---------------------------------------------------------------------------


def kernel_count(text: str) -> int:
    """How many kernels a source has."""
    return len(_ENTRY.findall(text))


def batch(texts: Iterable[str]) -> str:
    """Sources side by side: each in a namespace for its helpers, its kernels numbered, because
    ``extern "C"`` takes no notice of namespaces."""
    parts = []
    for k, text in enumerate(texts):
        numbered = _ENTRY.sub(rf"\1_{k}(", text)
        parts.append(f"namespace source_{k} {{\n{numbered}\n}}")
    return "\n".join(parts)
