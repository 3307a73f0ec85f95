"""The shape of the code itself: what may import what, how long things are, what importing does."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = sorted((ROOT / "polyback").rglob("*.py"))
PLUGINS = sorted((ROOT / "plugins").glob("*/src/**/*.py"))
SOURCES = [*CORE, *PLUGINS, *sorted((ROOT / "conformance" / "src").rglob("*.py"))]

FILE_LINES, FUNCTION_LINES = 500, 70
PLUGIN_NAMES = ("numpy_ref", "cpu_c", "opencl", "cuda", "pyopencl", "pycuda", "cffi")
ENVIRONMENT = {"polyback/config.py"}
ENTRY_POINT = {"polyback/__main__.py"}  # runs on import, that is what it is for

# Layers from the bottom; a module imports its own layer and those below.
PROTOCOL = {
    "errors", "config", "dtype", "meaning", "scalar", "program", "view", "hooks", "device",
    "features", "simt", "operand_check", "feature_check", "adapters",
}  # fmt: skip
REGISTRY = {"device_check", "discovery", "plugin", "registry"}
RUNTIME = {
    "runtime", "fallback", "host", "composite", "fusion", "array", "decompose", "structured",
    "lookup", "philox", "unroll",
}  # fmt: skip
FRONTEND = {"frontend", "interop", "testing"}
TOOLS = {"cli", "doctor", "__main__", "__init__"}
LAYERS = [PROTOCOL, REGISTRY, RUNTIME, FRONTEND, TOOLS]
FOR_PLUGINS = PROTOCOL  # all that a backend may import of the core


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def top(module: str) -> str:
    """``polyback.frontend.tensor`` belongs to ``frontend``."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, module of polyback) of the imports of a file, those for typing left out."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, a.name) for a in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module
            if node.module == "polyback":
                yield from ((node.lineno, f"polyback.{a.name}") for a in node.names)


def of_polyback(path: Path) -> Iterator[tuple[int, str]]:
    for line, module in imports(path):
        if module.startswith("polyback.") and module != "polyback.__version__":
            yield line, top(module)


# --- imports ------------------------------------------------------------------------------------


def test_every_module_of_the_core_belongs_to_one_layer() -> None:
    found = {top(".".join(p.relative_to(ROOT).with_suffix("").parts)) for p in CORE}
    known = [m for layer in LAYERS for m in layer]
    assert len(known) == len(set(known))
    assert found == set(known)


@pytest.mark.parametrize("path", CORE, ids=name)
def test_imports_run_one_way(path: Path) -> None:
    mine = top(".".join(path.relative_to(ROOT).with_suffix("").parts))
    height = next(k for k, layer in enumerate(LAYERS) if mine in layer)
    allowed = set().union(*LAYERS[: height + 1])
    wrong = [f"line {n}: {m}" for n, m in of_polyback(path) if m not in allowed]
    assert not wrong


@pytest.mark.parametrize("path", PLUGINS, ids=name)
def test_a_plugin_imports_only_the_protocol_side_of_the_core(path: Path) -> None:
    wrong = [f"line {n}: {m}" for n, m in of_polyback(path) if m not in FOR_PLUGINS]
    assert not wrong
    plain = (n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Import))
    assert "polyback" not in [a.name for n in plain for a in n.names]


@pytest.mark.parametrize("path", CORE, ids=name)
def test_no_plugin_is_named_in_the_core(path: Path) -> None:
    words = re.compile(rf"\b(polyback_)?({'|'.join(PLUGIN_NAMES)})\b")
    lines = enumerate(path.read_text().splitlines(), 1)
    assert not [f"line {n}: {line.strip()}" for n, line in lines if words.search(line)]


@pytest.mark.parametrize("path", CORE, ids=name)
def test_only_one_file_reads_the_environment(path: Path) -> None:
    reads = re.search(r"\b(os\.environ|getenv|from os import environ)\b", path.read_text())
    assert bool(reads) == (name(path) in ENVIRONMENT)


# --- sizes and words ----------------------------------------------------------------------------


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= FILE_LINES
    defs = (ast.FunctionDef, ast.AsyncFunctionDef)
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, defs) and node.end_lineno - node.lineno >= FUNCTION_LINES
    ]
    assert not long


@pytest.mark.parametrize("path", CORE, ids=name)
def test_everything_public_has_a_docstring(path: Path) -> None:
    dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    if name(path) in ENTRY_POINT:
        assert ast.get_docstring(ast.parse(path.read_text()))
        return
    module = importlib.import_module(dotted)
    assert module.__doc__
    missing: list[str] = []

    def look(owner: Any, prefix: str) -> None:
        for key, value in vars(owner).items():
            plain = getattr(value, "__wrapped__", getattr(value, "__func__", value))
            if key.startswith("_") or getattr(plain, "__module__", dotted) != dotted:
                continue
            if inspect.isclass(value):
                look(value, f"{prefix}{key}.")
            elif not (inspect.isroutine(plain) or isinstance(value, (property, cached_property))):
                continue
            # A method may leave it to the one that it overrides.
            if not inspect.getdoc(getattr(owner, key)):
                missing.append(prefix + key)

    look(module, "")
    assert not missing


# --- importing ----------------------------------------------------------------------------------


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    known = {k: v for k, v in os.environ.items() if not k.startswith("POLYBACK_")}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True,
        cwd=ROOT, env={**known, **environment}, timeout=60,
    )  # fmt: skip


def test_importing_prints_nothing_and_loads_no_plugin_and_nothing_heavy() -> None:
    done = run(
        "import sys, threading, polyback\n"
        "heavy = {'pytest', 'tqdm', 'sklearn', 'scipy', 'hypothesis', 'cffi', 'torch', 'jax'}\n"
        "bad = [m for m in sys.modules if m.startswith('polyback_') or m.split('.')[0] in heavy]\n"
        "assert not bad, bad\n"
        "assert threading.active_count() == 1\n"
        "from polyback import registry\n"
        "assert not registry._LISTED, 'entry points were listed'\n"
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_importing_reads_no_environment() -> None:
    bad = {"POLYBACK_FALLBACK": "nonsense", "POLYBACK_THREADS": "many"}
    assert run("import polyback", **bad).stderr == ""
    code = "from polyback.config import config\ntry: config()\nexcept ValueError as e: print(e)"
    assert re.search(r"\[config\].*(nonsense|many)", run(code, **bad).stdout)


def test_every_public_name_of_the_functions_is_in_the_package() -> None:
    import polyback as pb
    from polyback.frontend import functions

    assert all(getattr(pb, n) is getattr(functions, n) for n in functions.__all__)
    leaked = [
        n
        for n, v in vars(pb).items()
        if getattr(v, "__name__", "").startswith(f"{functions.__name__}.")
    ]
    assert not leaked, "the files are not part of the package's names"


DISTRIBUTIONS = sorted(
    p.parent
    for p in [
        ROOT / "pyproject.toml",
        *ROOT.glob("*/pyproject.toml"),
        *ROOT.glob("plugins/*/pyproject.toml"),
    ]
)


@pytest.mark.parametrize("folder", DISTRIBUTIONS, ids=lambda path: path.name)
def test_a_distribution_has_its_licence_its_types_and_no_tests(folder: Path) -> None:
    described = tomllib.loads((folder / "pyproject.toml").read_text())
    project = described["project"]
    assert (folder / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert (folder / project["readme"]).exists()
    assert project["license-files"] == ["LICENSE"]
    package = project["name"].replace("-", "_")
    assert "py.typed" in described["tool"]["setuptools"]["package-data"][package]
    (typed,) = [*folder.glob(f"src/{package}/py.typed"), *folder.glob(f"{package}/py.typed")]
    assert typed.parent.joinpath("__init__.py").exists()
    if (folder / "tests").exists():  # setuptools would take some of them
        assert "prune tests" in (folder / "MANIFEST.in").read_text().splitlines()


def test_what_renders_the_table_when_it_is_built_can_import_the_core() -> None:
    """A wheel is built with what ``build-system.requires`` names, and nothing else."""
    core = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    built = tomllib.loads((ROOT / "plugins/cpu_c/pyproject.toml").read_text())
    assert set(core) <= set(built["build-system"]["requires"])
