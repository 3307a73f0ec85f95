"""Every kernel that the device would make compiles with nvcc, without a warning. Needs no GPU."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cuda_sources import batch, kernel_count, sources

from polyback.errors import CompileError
from polyback_cuda.compiler import OPTIONS, Nvcc, find_nvcc
from polyback_cuda.nvrtc import Nvrtc, best_compiler, find_nvrtc

ARCHITECTURES = ("sm_80", "sm_90")
PIECES = 4  # sources of one run of nvcc: bounds its memory, and a failure names its piece
WARNINGS = ("-Werror", "all-warnings")

needs_nvcc = pytest.mark.skipif(find_nvcc() is None, reason="NOT RUN: no nvcc on the path")


@pytest.fixture
def say(capfd: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Print past pytest's capture: what was compiled is a result."""

    def out(text: str) -> None:
        with capfd.disabled():
            print(f"\n{text}", file=sys.stderr, flush=True)

    return out


def compile_all(texts: list[str], architecture: str, folder: Path) -> None:
    """As the driver would, as errors what it would ignore."""
    nvcc = find_nvcc()
    assert nvcc is not None
    given, made = folder / "all.cu", folder / "all.cubin"
    given.write_text(batch(texts))
    command = [nvcc, *OPTIONS, *WARNINGS, f"-arch={architecture}", str(given), "-o", str(made)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[:4000]
    assert made.stat().st_size > 1000


def report(texts: list[str], architecture: str, since: float) -> str:
    """One line."""
    kernels = sum(map(kernel_count, texts))
    taken = time.perf_counter() - since
    return (
        f"nvcc {architecture}: {len(texts)} sources with {kernels} kernels compiled, no warnings, "
        f"{taken:.0f} s (compiled, not run: that needs a GPU)"
    )


@needs_nvcc
@pytest.mark.timeout(1300)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_part_compiles(architecture: str, tmp_path: Path, say: Callable[[str], None]) -> None:
    """Some of every family."""
    texts, since = sources(full=False), time.perf_counter()
    compile_all(texts, architecture, tmp_path)
    say(report(texts, architecture, since))


@needs_nvcc
@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_everything_compiles(architecture: str, tmp_path: Path, say: Callable[[str], None]) -> None:
    """All rows, types, layouts and index widths."""
    texts, since = sources(full=True), time.perf_counter()
    for k in range(PIECES):
        compile_all(texts[k::PIECES], architecture, tmp_path)
    say(report(texts, architecture, since))


@needs_nvcc
def test_a_batch_is_its_sources(tmp_path: Path) -> None:
    """The harness does see errors, and leaves nothing out."""
    texts = sources(full=False)[:3]
    assert kernel_count(batch(texts)) == sum(map(kernel_count, texts))
    broken = texts[0].replace("blockIdx", "blockIdy")
    with pytest.raises(AssertionError, match="blockIdy"):
        compile_all([*texts, broken], "sm_80", tmp_path)


@needs_nvcc
def test_the_compiler_of_the_driver(tmp_path: Path) -> None:
    """A cubin is made once, appears whole, and errors carry log and source."""
    compiler = Nvcc("sm_80", tmp_path)
    text = sources(full=False)[0]
    first = compiler.compile(text)
    assert first[:4] == b"\x7fELF"
    files = sorted(tmp_path.iterdir())
    assert len(files) == 1
    assert files[0].stat().st_mode & 0o077 == 0
    stamp = files[0].stat().st_mtime_ns
    assert compiler.compile(text) == first
    assert files[0].stat().st_mtime_ns == stamp
    with pytest.raises(CompileError) as caught:
        compiler.compile("this is no C")
    assert caught.value.source == "this is no C"
    assert "this is no C" in caught.value.log
    assert sorted(tmp_path.iterdir()) == files


@pytest.mark.skipif(find_nvrtc() is None, reason="NOT RUN: no NVRTC")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nvrtc(architecture: str, tmp_path: Path, say: Callable[[str], None]) -> None:
    """It knows no system headers, so that it may lack what nvcc has."""
    compiler, since = Nvrtc(find_nvrtc(), architecture, tmp_path), time.perf_counter()
    texts = sources(full=False)[::6]
    assert all(compiler.compile(text)[:4] == b"\x7fELF" for text in texts)
    say(report(texts, architecture, since).replace("nvcc", "NVRTC").replace(" no warnings,", ""))
    with pytest.raises(CompileError) as caught:
        compiler.compile("this is no C")
    assert "error" in caught.value.log
    assert len(list(tmp_path.iterdir())) == len(texts)


def test_the_compiler_that_is_used() -> None:
    assert isinstance(best_compiler("sm_80"), Nvcc if find_nvrtc() is None else Nvrtc)


def test_other_architectures_have_other_entries(tmp_path: Path, monkeypatch) -> None:
    """The cache's key holds source, options, architecture and the compiler's version."""
    from polyback_cuda import compiler as module

    fake = tmp_path / "nvcc"
    fake.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo fake 1 && exit\n'
        'while [ "$1" != -o ]; do shift; done; echo made > "$2"\n'
    )
    os.chmod(fake, 0o700)
    monkeypatch.setattr(module, "find_nvcc", lambda: str(fake))
    folder = tmp_path / "cache"
    for architecture in (*ARCHITECTURES, "sm_80"):
        for source in ("a", "b"):
            assert Nvcc(architecture, folder).compile(source) == b"made\n"
    assert len(list(folder.iterdir())) == 4
    os.chmod(folder, 0o777)  # others may write there: not to be trusted
    assert Nvcc("sm_80", folder).compile("c") == b"made\n"
    assert len(list(folder.iterdir())) == 4
