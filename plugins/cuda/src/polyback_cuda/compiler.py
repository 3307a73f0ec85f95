"""nvcc: from a source to a cubin for one architecture, kept on disk.

nvcc takes most of a second for a source of one kernel and hardly more for five, so kernels that
belong together come in one source, and a cubin is never made twice.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Final, Protocol, final

from polyback.errors import CompileError
from polyback.simt.cache import BinaryCache, key
from polyback_cuda.cache import default_folder

# Strict IEEE: no contraction of a * b + c, divisions and square roots correctly rounded, subnormals
# kept.
STRICT: Final = ("-fmad=false", "-prec-div=true", "-prec-sqrt=true", "-ftz=false")
OPTIONS: Final = ("-cubin", "-std=c++17", *STRICT)
PLACES: Final = ("/usr/local/cuda/bin/nvcc", "/opt/cuda/bin/nvcc")
LONGEST: Final = 300  # seconds that one source may take


class Compiler(Protocol):
    """Makes what ``module_from_buffer`` loads."""

    def compile(self, source: str) -> bytes:
        """Raises CompileError."""
        ...


@lru_cache(maxsize=1)
def find_nvcc() -> str | None:
    """On the path, else where the toolkit installs itself."""
    return shutil.which("nvcc") or next((p for p in PLACES if Path(p).exists()), None)


@lru_cache(maxsize=8)
def version_of(command: str) -> str:
    """What a compiler says about itself; part of the cache's key. Raises OSError and
    TimeoutExpired."""
    done = subprocess.run(
        [command, "--version"], capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout


def build(command: list[str], source: str, suffix: str, kept: BinaryCache, label: str) -> bytes:
    """The file that ``command SOURCE -o RESULT`` makes, from the cache if it is there. Raises
    CompileError."""
    try:
        name = key([source, suffix, version_of(command[0]), *command])
        binary = kept.load(name)
        if binary is None:
            binary = _made(command, source, suffix, label)
            kept.store(name, binary)
    except (OSError, subprocess.TimeoutExpired) as error:  # no compiler, a full disk, or too slow
        raise CompileError(f"[cuda] {error}", log=str(error), source=source) from error
    return binary


def _made(command: list[str], source: str, suffix: str, label: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="polyback-") as folder:
        given, result = Path(folder, "kernel.cu"), Path(folder, f"kernel{suffix}")
        given.write_text(source)
        done = subprocess.run(
            [*command, str(given), "-o", str(result)],
            capture_output=True, text=True, errors="replace", timeout=LONGEST, check=False,
        )  # fmt: skip
        log = done.stdout + done.stderr
        if done.returncode or not result.exists():
            raise CompileError(
                f"[cuda] a kernel does not compile {label}: {log[:2000]}", log=log, source=source
            )
        return result.read_bytes()


@final
class Nvcc:
    """The toolkit's compiler for one architecture, ``"sm_90"``."""

    def __init__(self, architecture: str, folder: Path | None = None) -> None:
        self.architecture = architecture
        self._cache = BinaryCache(folder or default_folder())

    def compile(self, source: str) -> bytes:
        """A cubin."""
        nvcc = find_nvcc()
        if nvcc is None:
            raise CompileError(
                "[cuda] nvcc is not on the path; install the CUDA toolkit", source=source
            )
        command = [nvcc, *OPTIONS, f"-arch={self.architecture}"]
        return build(command, source, ".cubin", self._cache, f"for {self.architecture}")
