"""The host's C++ compiler in nvcc's place: the same kernel source becomes a shared library."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Final, final

from polyback.errors import CompileError
from polyback.simt.cache import BinaryCache, key
from polyback_cuda.cache import default_folder
from polyback_cuda.compiler import build, version_of
from polyback_cuda.ptx import PTX

HEADER: Final = Path(__file__).with_name("cuda_on_cpu.h")
PTX_HEADER: Final = Path(__file__).with_name("ptx_on_cpu.h")  # for the few kernels that need it
# As strict as the options for nvcc: one rounding per operation, no fast math. A misaligned access
# ends the process, as it ends a context on a GPU.
OPTIONS: Final = (
    "-std=c++17", "-O2", "-ffp-contract=off", "-fPIC", "-w", "-fsanitize=alignment",
    "-fsanitize-undefined-trap-on-error", "-x", "c++",
)  # fmt: skip
_ENTRY: Final = re.compile(r'extern "C" __global__ void (?:__launch_bounds__\([\d, ]+\) )?(\w+)\(')
_WAITS: Final = re.compile(r"__syncthreads|__shfl_|__syncwarp")
PREFIX: Final = "pb_run_"


def entries(source: str) -> dict[str, bool]:
    """The kernels of a source, and whether threads of each wait for one another."""
    found = list(_ENTRY.finditer(source))
    ends = [m.start() for m in found[1:]] + [len(source)]
    helpers = bool(_WAITS.search(source[: found[0].start()])) if found else False
    return {
        m[1]: helpers or bool(_WAITS.search(source[m.start() : end]))
        for m, end in zip(found, ends, strict=True)
    }


def with_entries(source: str) -> str:
    """The source with a function per kernel that runs a whole grid."""
    lines = ["// the kernels, as they are given to nvcc", source]
    if PTX in source:
        lines.insert(0, PTX_HEADER.read_text())
    for name, waits in entries(source).items():
        lines.append(
            f'extern "C" const char *{PREFIX}{name}(const unsigned *grid, unsigned threads,\n'
            f"    const char *given, size_t size)\n"
            f"{{ return pb_launch({name}, grid, threads, {str(waits).lower()}, given, size); }}"
        )
    return "\n".join(lines)


@final
class HostCompiler:
    """g++ or clang++, 0.15 s for a source with a precompiled header, 0.3 s without."""

    def __init__(self, folder: Path | None = None) -> None:
        self._cache = BinaryCache(folder or default_folder().with_name("cuda-simulated"))
        found = shutil.which("g++") or shutil.which("clang++")
        if found is None:
            raise CompileError("[cuda, simulated] needs g++ or clang++ on the path")
        self._command = [found, *OPTIONS, "-shared", "-include", str(self._header(found))]

    def _header(self, compiler: str) -> Path:
        """A copy of the header in the cache, under a name that says what is in it, beside its
        precompiled form, which a compiler takes if it fits."""
        text = HEADER.read_text()
        name = "header-" + key([text, version_of(compiler), *OPTIONS])
        copy = self._cache.folder / f"{name}.h"
        if not self._cache.usable:
            return HEADER
        if not copy.exists():
            command = [compiler, *OPTIONS[:-1], "c++-header"]
            ready = build(command, text, ".gch", self._cache, "for the host")
            self._cache.write(f"{copy.name}.gch", ready)
            self._cache.write(copy.name, text.encode())
        return copy

    def compile(self, source: str) -> bytes:
        """A shared library for the process that runs now."""
        return build(self._command, with_entries(source), ".so", self._cache, "for the host")
