"""Builds the C library: every file of csrc/ once, those of csrc/simd/ and of an instruction set's
folder once per instruction set with its flags. See README.md."""

import os
import platform
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext

HERE = Path(__file__).resolve().parent
CORE = HERE.parent.parent
AVX2 = ["-mavx2", "-mfma", "-mf16c"]
AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mprefer-vector-width=512"]
ISAS = {"portable": []}
if platform.machine().lower() in ("x86_64", "amd64"):
    ISAS |= {"avx2": AVX2, "avx512": AVX2 + AVX512}

sys.path.insert(0, str(HERE))
if (CORE / "polyback" / "scalar.py").exists():
    sys.path.insert(0, str(CORE))
if not (HERE / "PKG-INFO").exists():  # an sdist carries what was generated
    from generate import generate

    generate(HERE / "csrc")


class BuildPerIsa(build_ext):
    """Compiles all objects on all cores, then lets setuptools link them."""

    def build_extension(self, ext):
        folder = Path(self.build_temp)
        jobs = [(p, [], folder / p.stem) for p in sorted(HERE.glob("csrc/*.c"))]
        for isa, flags in ISAS.items():
            flags = [*flags, f"-DPB_ISA={isa}"]
            sources = [*HERE.glob("csrc/simd/*.c"), *HERE.glob(f"csrc/{isa}/*.c")]
            jobs += [(p, flags, folder / isa / p.stem) for p in sorted(sources)]
        shared = [HERE / "setup.py", *HERE.glob("csrc/**/*.h"), *HERE.glob("csrc/**/*.inc")]
        self.newest = max(path.stat().st_mtime for path in shared)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            ext.extra_objects = list(pool.map(lambda job: self._compile(ext, *job), jobs))
        ext.depends = [*ext.depends, *ext.extra_objects]  # link again when one is newer
        super().build_extension(ext)

    def _compile(self, ext, source, flags, target):
        """One object file, without setuptools' compiler object: it keeps state between calls."""
        output = target.with_suffix(".o")
        output.parent.mkdir(parents=True, exist_ok=True)
        if output.exists() and output.stat().st_mtime > max(self.newest, source.stat().st_mtime):
            return str(output)
        command = [*self.compiler.compiler_so, *ext.extra_compile_args, *flags]
        self.spawn([*command, f"-I{HERE / 'csrc'}", "-c", str(source), "-o", str(output)])
        return str(output)


setup(cffi_modules=["build_native.py:ffi"], cmdclass={"build_ext": BuildPerIsa})
