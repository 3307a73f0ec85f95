"""How each function of the standard runs on each device, for each type: docs/array-api.md.

    python tests/array_api/support.py DEVICE...

Every function is called once for every type on a device with the claims of the one named, whose
kernels are the reference's: what is asked is only which way the core takes.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script

from array_api.calls import EXTENSIONS, FILES, NO_ARRAYS, STANDARD, Maker, call
from extra_devices import extra_device

import polyback as pb
from polyback import structured
from polyback.dtype import DTYPES, KINDS

WAYS = ("native", "decomposed", "host", "fallback")
Ways = dict[str, str]  # type -> way

HEAD = """\
# The array API standard

`import polyback` is the namespace of the
[array API standard](https://data-apis.org/array-api/2025.12/) 2025.12 with both extensions, on
every device: `x.__array_namespace__()` is the package itself, and
`polyback.__array_namespace_info__()` tells what a device stores.

How a function runs depends on the device and on the type:

- **native**: in kernels of the device;
- **decomposed**: the device lacks an optional feature; the core does it with required methods;
- **host**: on the host for every device, by design: decompositions of matrices (LAPACK) and
  Fourier transforms (pocketfft);
- **fallback**: on the host because the device lacks it, as `fallback` in the configuration allows.

Where a cell says nothing of types it is so for all in the second column. Types by kind: `int` and
`uint` of 8 to 64 bits, `float` of 32 and 64 and, beyond the standard, float16 and bfloat16,
`complex` of 64 and 128. Functions that need no device are left out: {left_out}.

This page is made by `python tests/array_api/support.py {devices}`.
"""


@contextmanager
def refusals() -> Iterator[list[str]]:
    """The questions for a feature that are answered with no, so that a decomposition runs."""
    found: list[str] = []

    def asked(question: Callable[..., bool], feature: str, *rest: Any) -> bool:
        if not (answer := question(feature, *rest)):
            found.append(feature)
        return answer

    with ExitStack() as stack:
        for name in ("_native", "_reduces", "_floating"):
            question = partial(asked, getattr(structured, name))
            stack.enter_context(mock.patch.object(structured, name, question))
        yield found


def way(space: str, name: str, maker: Maker) -> str | None:
    """How the call runs; None if the function does not take the type."""
    pb.clear_ledger()
    with refusals() as refused:
        try:
            result = call(space, name, maker)
        except pb.DTypeError:
            return None
        for x in result if isinstance(result, tuple) else [result]:
            x.array.storage  # noqa: B018  (pending work runs now)
        entries = pb.fallback_ledger()
        if any(not entry.by_design for entry in entries):
            return "fallback"
        return "host" if entries else "decomposed" if refused else "native"


def ways(device: str) -> dict[tuple[str, str], Ways]:
    """(file of the standard, function) -> type -> way."""
    found = {}
    with extra_device(pb.get_device(device).caps) as name, pb.configure(fallback="allow"):
        for file in [*FILES, *EXTENSIONS]:
            space = file if file in EXTENSIONS else ""
            for function in STANDARD[file]:
                if space or function not in NO_ARRAYS:
                    each = {d.name: way(space, function, Maker(d, name)) for d in DTYPES}
                    found[file, function] = {k: v for k, v in each.items() if v}
    return found


def kinds(types: Any) -> str:
    """Types by name, or by kind where they are all there."""
    words = []
    for kind in KINDS:
        members = [d.name for d in DTYPES if d.kind == kind]
        here = [m for m in members if m in types]
        words += [kind] if here == members else here
    return " ".join(words)


def cell(found: Ways) -> str:
    """What a table says of one function on one device."""
    used = [w for w in WAYS if w in found.values()]
    if len(used) == 1:
        return used[0]
    return ", ".join(f"{w}: {kinds([t for t in found if found[t] == w])}" for w in used)


def markdown(devices: list[str]) -> str:
    """The page."""
    table = {device: ways(device) for device in devices}
    lines = [
        HEAD.format(
            devices=" ".join(devices), left_out=", ".join(f"`{n}`" for n in sorted(NO_ARRAYS))
        )
    ]
    lines += ["## Functions and types, counted\n", f"| device | {' | '.join(WAYS)} | in all |"]
    lines += ["| --- |" + " --- |" * (len(WAYS) + 1)]
    for device, rows in table.items():
        counts = Counter(way for row in rows.values() for way in row.values())
        numbers = [counts[way] for way in WAYS]
        lines.append(f"| `{device}` | {' | '.join(map(str, [*numbers, sum(numbers)]))} |")
    for file in [*FILES, *EXTENSIONS]:
        title = file.replace("_", " ").removesuffix(" functions")
        lines += [
            f"\n## {title}\n",
            f"| function | types | {' | '.join(f'`{d}`' for d in devices)} |",
        ]
        lines.append("| --- | --- |" + " --- |" * len(devices))
        for name in (n for where, n in table[devices[0]] if where == file):
            types = kinds({t for device in devices for t in table[device][file, name]})
            cells = [cell(table[device][file, name]) for device in devices]
            lines.append(f"| `{name}` | {types} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (Path(__file__).parents[2] / "docs/array-api.md").write_text(markdown(sys.argv[1:]))
