"""Renders polyback's scalar table as C: one loop per (row, operand type), in ``csrc/generated``.

``setup.py`` runs this where the core's source is at hand; an sdist carries the result. The text of
a kernel is the row's ``c`` with ``$name(`` spelled ``pb_name_<type>(`` (the math headers), so a new
row needs nothing here unless it needs a new function there.

    ops_<group>.inc      the kernels, one file per group so that they compile in parallel
    ops_list.inc         PB_OP(name, function): every name the device claims, and what runs it
    reduce_<group>.inc   what reduction.inc needs to make the kernels of one (reduction, type)
    reduce_list.inc      PB_REDUCE(name, function, scans, places)

Names that mean the same bits share one function: signed and unsigned addition, ``where`` of any
type of one size, and so on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from polyback import scalar
from polyback.dtype import DTYPES, DType, bool_, dtype_of, float32
from polyback.scalar import REDUCTIONS, TABLE, Reduction, Scalar

C_TYPES = {d.code: f"{'u' if d.kind != 'int' else ''}int{8 * d.itemsize}_t" for d in DTYPES}
C_TYPES |= {"f32": "float", "f64": "double", "c64": "float _Complex", "c128": "double _Complex"}
BANNER = "/* Written by generate.py from polyback's scalar table. */\n"
Kernel = tuple[str, str]  # (group, C text)


def unsigned(dtype: DType) -> DType:
    """The unsigned integer of the same size, if there is one: it moves the same bits."""
    return dtype if dtype.itemsize == 16 else dtype_of(f"uint{8 * dtype.itemsize}")


def row_text(row: Scalar, names: list[str], dtype: DType) -> str:
    """A row's C for operands called ``names``. Complex ``*`` and ``/`` are functions of ours, since
    C's own repair NaNs as NumPy's do not."""
    if dtype.kind == "complex" and re.search(r"[*/]", row.c):
        return f"pb_{row.name}_{dtype.code}({', '.join(names)})"
    return re.sub(r"\$(\w+)\(", rf"pb_\1_{dtype.code}(", row.c).format(*names)


def group_of(dtype: DType) -> str:
    """The file a kernel goes to."""
    if dtype.kind == "complex":
        return "complex"
    return dtype.code if dtype.kind == "float" else "int"


def canonical(row: Scalar, dtype: DType) -> DType:
    """The type whose kernel serves ``row`` on ``dtype``."""
    if not re.search(r"[^\s(){}?:\d]", row.c):  # only moves values: where, positive
        return unsigned(dtype)
    if dtype.is_integer and not re.search(r"[$<>/]", row.c):  # two's complement: sign is moot
        return unsigned(dtype)
    return dtype


def loop(name: str, result: DType, operands: list[DType], text: str) -> str:
    """One kernel. Operands may be the output itself, so no pointer is ``restrict``."""
    lines = [f"void OP({name})(int64_t n, void *out, const void *const *in)", "{"]
    lines += [f"    const {C_TYPES[d.code]} *x{k} = in[{k}];" for k, d in enumerate(operands)]
    lines += [
        f"    {C_TYPES[result.code]} *y = out;",
        "    EACH_ALONE",
        "    for (int64_t i = 0; i < n; i++)",
        f"        y[i] = {text};",
        "}",
    ]
    return "\n".join(lines) + "\n"


def patched_loop(name: str, dtype: DType, function: str) -> str:
    """A function whose fast form leaves few elements to another one (see the math headers). A block
    that has some goes through ``part``, because the output may be the input."""
    return f"""\
void OP({name})(int64_t n, void *out, const void *const *in)
{{
    const {C_TYPES[dtype.code]} *x = in[0];
    {C_TYPES[dtype.code]} *y = out, part[PATCH_BLOCK];
    for (int64_t start = 0; start < n; start += PATCH_BLOCK, x += PATCH_BLOCK, y += PATCH_BLOCK) {{
        int64_t length = n - start < PATCH_BLOCK ? n - start : PATCH_BLOCK;
        uint8_t any = 0;
        for (int64_t i = 0; i < length; i++)
            any |= {function}_needs_patch(x[i]);
        if (!any) {{
            EACH_ALONE
            for (int64_t i = 0; i < length; i++)
                y[i] = {function}_fast(x[i]);
            continue;
        }}
        for (int64_t i = 0; i < length; i++)
            part[i] = {function}_fast(x[i]);
        for (int64_t i = 0; i < length; i++)
            if ({function}_needs_patch(x[i]))
                part[i] = {function}_patch(x[i]);
        memcpy(y, part, (size_t)length * sizeof *y);
    }}
}}
"""


def scalar_kernel(row: Scalar, dtype: DType, patched: set[str]) -> str:
    """The kernel of ``row`` on operands of ``dtype``."""
    name = f"{row.name}_{dtype.code}"
    if f"pb_{name}" in patched:
        return patched_loop(name, dtype, f"pb_{name}")
    operands = [dtype] * row.arity
    if row is scalar.WHERE:
        operands[0] = bool_
    text = row_text(row, [f"x{k}[i]" for k in range(row.arity)], dtype)
    return loop(name, row.result_dtype(dtype), operands, text)


def cast_kernel(source: DType, target: DType) -> str:
    """``(target)x``; half types go through the functions of convert.h."""
    if target is bool_:
        text = "x0[i] != 0"
    elif source.compute is not source or target.compute is not target:
        text = f"pb_{source.code}_to_{target.code}(x0[i])"
    else:
        text = f"({C_TYPES[target.code]})x0[i]"
    return loop(f"cast_{source.code}_{target.code}", target, [source], text)


def canonical_cast(source: DType, target: DType) -> tuple[DType, DType]:
    """The pair whose kernel serves: an integer target's sign is moot, the source's when narrowing
    too, and bool widens like uint8."""
    if target is bool_:
        return (source, target)
    if target.is_integer and source.kind not in ("float", "complex"):
        narrows = target.itemsize <= source.itemsize
        return (unsigned(source) if narrows or source is bool_ else source, unsigned(target))
    return (unsigned(source) if source is bool_ else source, target)


def kernels(patched: set[str]) -> Iterator[tuple[str, str, Kernel]]:
    """(name, function, (group, text)) for everything the device can run."""
    for row in TABLE:
        if row in (scalar.CONST, scalar.IOTA, scalar.CAST):
            continue
        for dtype in DTYPES:
            if dtype in row.takes:
                serves = canonical(row, dtype)
                text = scalar_kernel(row, serves, patched)
                function = f"{row.name}_{serves.code}"
                yield f"{row.name}_{dtype.code}", function, (group_of(serves), text)
    for source in DTYPES:
        for target in DTYPES:
            halves = source.compute is not source or target.compute is not target
            if source is target or (halves and float32 not in (source, target)):
                continue
            pair = canonical_cast(source, target)
            function = f"cast_{pair[0].code}_{pair[1].code}"
            name = f"cast_{source.code}_{target.code}"
            if pair[0] is pair[1]:  # the same bits: a plain copy
                function, text = f"positive_{pair[0].code}", ""
            else:
                text = cast_kernel(*pair)
            yield name, function, ("cast", text)


def accumulator(op: Reduction, dtype: DType) -> str:
    """What scan.inc needs besides: how ``op`` runs along a lane (see there)."""
    floating, real = dtype.kind in ("float", "complex"), dtype.kind == "float"
    adds = op is scalar.SUM and floating
    wider = {"f32": "double", "c64": "double _Complex"}.get(dtype.code) if adds else None
    identity = "(first)" if op.identity is None else f"{'-0.0' if adds else int(op.identity)}"
    combine = row_text(op.combine, ["(a)", "(b)"], dtype)
    if op.identity is None and real:  # the sign of zero is open: fewer instructions
        combine = "(BEATS(b, a) | ((b) != (b)) ? (b) : (a))"
    facts = {
        "RUN(a, b)": combine,
        "ACC": wider or C_TYPES[dtype.code],
        "IDENTITY(first)": identity,
        "COMPENSATED": (1 if real else 2) if adds and wider is None else 0,
        "CHAINED": int(real and (wider is not None or op.identity is None)),
        "SPLITS": int(op is not scalar.PROD or not floating),
    }
    return "".join(f"#define {name} {value}\n" for name, value in facts.items())


def reduction_part(op: Reduction, dtype: DType, function: str) -> str:
    """The macros that reduction.inc turns into the kernels of ``op`` on ``dtype``."""
    start = "(first)" if op.identity is None else int(op.identity)
    combine = row_text(op.combine, ["(a)", "(b)"], dtype)
    text = (
        f"#define NAME(part) OP({function}_##part)\n#define TYPE {C_TYPES[dtype.code]}\n"
        f"#define COMBINE(a, b) {combine}\n#define START(first) {start}\n"
    )
    if scans(op):
        text += accumulator(op, dtype)
    if places(op):
        sign = ">" if op is scalar.MAX else "<"
        text += f"#define BEATS(a, b) ((a) {sign} (b))\n#define AT int{8 * dtype.itemsize}_t\n"
    return text + '#include "../simd/reduction.inc"\n'


def scans(op: Reduction) -> bool:
    """Is there a running ``op``?"""
    return op not in (scalar.ANY, scalar.ALL_OF)


def places(op: Reduction) -> bool:
    """Is one of the elements the result, so that it has a place?"""
    return op in (scalar.MIN, scalar.MAX)


def reductions() -> Iterator[tuple[str, str, Kernel]]:
    """Like :func:`kernels`, for reductions."""
    for op in REDUCTIONS:
        for dtype in DTYPES:
            if dtype in op.takes:
                serves = canonical(op.combine, dtype)
                function = f"{op.name}_{serves.code}"
                part = reduction_part(op, serves, function)
                kinds = f"{function}, {int(scans(op))}, {int(places(op))}"
                yield f"{op.name}_{dtype.code}", kinds, (group_of(serves), part)


def write(
    folder: Path, prefix: str, macro: str, entries: Iterator[tuple[str, str, Kernel]]
) -> None:
    """The group files and the list of one family."""
    texts: dict[str, dict[str, str]] = {}
    names: list[str] = []
    for name, function, (group, text) in entries:
        names.append(f"{macro}({name}, {function})\n")
        if text:
            texts.setdefault(group, {})[function] = text
    for group, functions in texts.items():
        _update(folder / f"{prefix}_{group}.inc", BANNER + "\n" + "\n".join(functions.values()))
    _update(folder / f"{prefix}_list.inc", BANNER + "".join(names))


def _update(path: Path, text: str) -> None:
    """Write only what changed, so that an unchanged table rebuilds nothing."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def generate(csrc: Path) -> None:
    """Write ``csrc/generated``."""
    folder = csrc / "generated"
    folder.mkdir(exist_ok=True)
    headers = "".join(p.read_text() for p in sorted(csrc.glob("*.h")))
    patched = set(re.findall(r"(pb_\w+)_needs_patch\(", headers))
    write(folder, "ops", "PB_OP", kernels(patched))
    write(folder, "reduce", "PB_REDUCE", reductions())
