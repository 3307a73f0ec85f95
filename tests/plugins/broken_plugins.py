"""Plugins as real distributions in a temporary folder: good ones, and one for every way to fail.

``install(folder, name)`` writes a ``.dist-info`` folder with METADATA and entry_points.txt beside
the plugin's module; with the folder on ``sys.path``, it is an installed distribution.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
NUMPY_REF = ROOT / "plugins" / "numpy_ref" / "src"

GOOD = """
from polyback.config import Config
from polyback.device import *
from polyback.device import Backend, BackendDescriptor
from polyback.hooks import hookimpl
from polyback_numpy_ref.device import NumpyDevice

NAME, KIND, PRIORITY = "{name}", "cpu", 0
PROTOCOL_RANGE = ((1, 0), (1, 2))
FACTORY, OTHERS = __name__ + ":TheBackend", dict()


@hookimpl
def polyback_backend():
    return BackendDescriptor(NAME, FACTORY, KIND, PROTOCOL_RANGE, priority=PRIORITY, **OTHERS)


class TheBackend(Backend):
    def probe(self):
        return Available("fine")

    def devices(self):
        return [DeviceInfo(0, KIND, "a test device")]

    def open(self, index, config):
        return NumpyDevice(0)
"""

METHOD = "\n\nclass TheBackend(TheBackend):\n    def {0}:\n        {1}\n"


def method(signature: str, body: str) -> str:
    """GOOD with one method of its Backend replaced."""
    return GOOD + METHOD.format(signature, body)


def device(body: str) -> str:
    """GOOD with a device whose class has ``body``."""
    made = "class Changed(NumpyDevice):\n" + "".join(f"    {line}\n" for line in body.split("\n"))
    return method("open(self, index, config)", "return Changed(0)") + "\n\n" + made


def caps(change: str) -> str:
    """GOOD with a device whose claims are changed."""
    return device(
        "def __init__(self, limit):\n"
        "    super().__init__(limit)\n"
        "    import dataclasses\n"
        f"    self._caps = dataclasses.replace(self._caps, {change})"
    )


@dataclass(frozen=True)
class Broken:
    """A plugin, and what doctor must say about it."""

    source: str | None  # None: there is no module
    phase: str
    code: str
    reason: str  # a regular expression
    status: str = "broken"


DESCRIPTION = "\n\n@hookimpl\ndef polyback_backend():\n    "
CLAIM_ALL = "features=self._caps.features | {{'{0}'}}"

BROKEN: dict[str, Broken] = {
    # --- at import
    "import_raises": Broken("raise RuntimeError('boom')", "import", "IMPORT_ERROR", "boom"),
    "import_exits": Broken("import sys; sys.exit(3)", "import", "IMPORT_ERROR", "SystemExit: 3"),
    "import_base": Broken(
        "class Odd(BaseException): pass\nraise Odd('odd')", "import", "IMPORT_ERROR", "Odd: odd"
    ),
    "import_syntax": Broken("def (:", "import", "IMPORT_ERROR", "SyntaxError.*line 1"),
    "import_library": Broken(
        "import ctypes; ctypes.CDLL('libpolyback_absent.so.1')",
        "import", "IMPORT_ERROR", "libpolyback_absent.so.1",
    ),
    "import_dependency": Broken(
        "import a_module_that_is_absent", "import", "IMPORT_ERROR", "a_module_that_is_absent"
    ),
    "import_newer_core": Broken(
        "from polyback.device import FromTheFuture", "import", "IMPORT_ERROR", "FromTheFuture"
    ),
    "no_module": Broken(None, "import", "IMPORT_ERROR", "ModuleNotFoundError"),
    "unprintable": Broken(
        "class E(Exception):\n    def __str__(self): raise ValueError\nraise E",
        "import", "IMPORT_ERROR", "cannot be printed",
    ),
    # --- the hook
    "no_hook": Broken("x = 1", "hook", "INVALID_PLUGIN", "no hook polyback_backend"),
    "hook_raises": Broken(
        GOOD + DESCRIPTION + "raise KeyError('x')", "hook", "INVALID_PLUGIN", "KeyError"
    ),
    "hook_none": Broken(GOOD + DESCRIPTION + "return None", "hook", "INVALID_PLUGIN", "no hook"),
    "hook_arguments": Broken(
        "from polyback.hooks import hookimpl\n@hookimpl\ndef polyback_backend(extra): ...",
        "hook", "INVALID_PLUGIN", "extra",
    ),
    "hook_misspelt": Broken(
        "from polyback.hooks import hookimpl\n@hookimpl\ndef polyback_bakend(): ...",
        "hook", "INVALID_PLUGIN", "polyback_bakend",
    ),
    # --- the descriptor
    "wrong_type": Broken(
        GOOD + DESCRIPTION + "return {'name': NAME}", "descriptor", "INVALID_PLUGIN", "got dict"
    ),
    "bad_name": Broken(GOOD + "\nNAME = 'Bad Name'", "descriptor", "INVALID_PLUGIN", "'Bad Name'"),
    "alias_name": Broken(GOOD + "\nNAME = 'cpu'", "descriptor", "INVALID_PLUGIN", "'cpu'"),
    "other_name": Broken(
        GOOD + "\nNAME = 'another'", "descriptor", "INVALID_PLUGIN", "'other_name'.*'another'"
    ),
    "bad_factory": Broken(
        GOOD + "\nFACTORY = 'no_colon'", "descriptor", "INVALID_PLUGIN", "module:Class"
    ),
    "bad_kind": Broken(GOOD + "\nKIND = 'tpu'", "descriptor", "INVALID_PLUGIN", "'tpu'"),
    "bad_priority": Broken(GOOD + "\nPRIORITY = '1'", "descriptor", "INVALID_PLUGIN", "priority"),
    "bad_reference": Broken(
        GOOD + "\nOTHERS = {'reference': 1}", "descriptor", "INVALID_PLUGIN", "reference must be"
    ),
    "bad_homepage": Broken(
        GOOD + "\nOTHERS = {'homepage': None}", "descriptor", "INVALID_PLUGIN", "homepage a str"
    ),
    "bad_protocol": Broken(
        GOOD + "\nPROTOCOL_RANGE = (1, 0)", "descriptor", "INVALID_PLUGIN", "protocol is"
    ),
    # --- the protocol
    "newer_minor": Broken(
        GOOD + "\nPROTOCOL_RANGE = ((1, 90), (1, 99))",
        "protocol", "VERSION_MISMATCH", "speaks protocol 1.90 to 1.99", "incompatible",
    ),
    "newer_major": Broken(
        GOOD + "\nPROTOCOL_RANGE = ((2, 0), (2, 0))",
        "protocol", "VERSION_MISMATCH", "2.0 to 2.0", "incompatible",
    ),
    "older_major": Broken(
        GOOD + "\nPROTOCOL_RANGE = ((0, 1), (0, 9))",
        "protocol", "VERSION_MISMATCH", "0.1 to 0.9", "incompatible",
    ),
    # --- the factory
    "factory_module": Broken(
        GOOD + "\nFACTORY = 'absent_module:X'", "factory", "IMPORT_ERROR", "absent_module"
    ),
    "factory_class": Broken(
        GOOD + "\nFACTORY = __name__ + ':Absent'", "factory", "IMPORT_ERROR", "Absent"
    ),
    "factory_type": Broken(
        GOOD + "\nFACTORY = 'builtins:dict'", "factory", "INVALID_PLUGIN", "makes a dict"
    ),
    "factory_raises": Broken(
        method("__init__(self)", "raise OSError('no')"), "factory", "IMPORT_ERROR", "OSError: no"
    ),
    "factory_abstract": Broken(
        GOOD + "\nclass TheBackend(Backend): pass", "factory", "IMPORT_ERROR", "abstract"
    ),
    # --- probe and devices
    "probe_raises": Broken(
        method("probe(self)", "raise OSError('driver')"), "probe", "PROBE_FAILED", "driver"
    ),
    "probe_exits": Broken(
        method("probe(self)", "raise SystemExit"), "probe", "PROBE_FAILED", "SystemExit"
    ),
    "probe_hangs": Broken(
        method("probe(self)", "import time; time.sleep(60)"),
        "probe", "PROBE_FAILED", "took more than",
    ),
    "probe_type": Broken(
        method("probe(self)", "return True"), "probe", "PROBE_FAILED", "gave bool, want Available"
    ),
    "no_driver": Broken(
        method("probe(self)", "return Unavailable('NO_DRIVER', 'no driver', 'install it')"),
        "probe", "NO_DRIVER", "no driver", "unavailable",
    ),
    "devices_raises": Broken(
        method("devices(self)", "raise OSError('bus')"), "devices", "PROBE_FAILED", "bus"
    ),
    "devices_type": Broken(
        method("devices(self)", "return ['gpu0']"), "devices", "INVALID_PLUGIN", "DeviceInfo"
    ),
    "devices_none": Broken(
        method("devices(self)", "return None"), "devices", "PROBE_FAILED", "NoneType"
    ),
    "devices_twice": Broken(
        method("devices(self)", "return [DeviceInfo(0, 'cpu', 'a')] * 2"),
        "devices", "INVALID_PLUGIN", "index twice",
    ),
    "devices_empty": Broken(
        method("devices(self)", "return []"), "devices", "NO_DEVICE", "no device", "unavailable"
    ),
    # --- open
    "open_raises": Broken(
        method("open(self, index, config)", "raise OSError('busy')"), "open", "OPEN_FAILED", "busy"
    ),
    "open_exits": Broken(
        method("open(self, index, config)", "raise SystemExit(1)"),
        "open", "OPEN_FAILED", "SystemExit",
    ),
    "open_lost": Broken(
        method(
            "open(self, index, config)",
            "from polyback.errors import BackendUnavailable\n"
            "        raise BackendUnavailable('x', code='NO_DEVICE', reason='gone', fix='plug in')",
        ),
        "open", "NO_DEVICE", "gone", "unavailable",
    ),
    "open_type": Broken(
        method("open(self, index, config)", "return object()"),
        "open", "INVALID_PLUGIN", "want a polyback Device",
    ),
    "open_abstract": Broken(
        method("open(self, index, config)", "return Device()"), "open", "OPEN_FAILED", "abstract"
    ),
    "caps_type": Broken(
        device("caps = {'storage': []}"), "open", "INVALID_PLUGIN", "caps is dict"
    ),
    "caps_raises": Broken(
        device("@property\ndef caps(self): raise OSError('ask later')"),
        "open", "INVALID_PLUGIN", "ask later",
    ),
    "caps_changes": Broken(
        device(
            "@property\ndef caps(self):\n"
            "    import dataclasses\n    return dataclasses.replace(self._caps)"
        ),
        "open", "INVALID_PLUGIN", "new object every time",
    ),
    "caps_storage": Broken(
        caps("storage=frozenset()"), "open", "INVALID_PLUGIN", "storage is empty"
    ),
    "caps_list": Broken(caps("matmul=['float32']"), "open", "INVALID_PLUGIN", "caps.matmul"),
    "caps_scalars": Broken(
        caps("scalars={'exp': 'float32'}"), "open", "INVALID_PLUGIN", "caps.scalars"
    ),
    "caps_row": Broken(
        caps("scalars={'frobnicate': frozenset({'float32'})}"),
        "open", "INVALID_PLUGIN", "unknown scalar rows.*frobnicate",
    ),
    "caps_dtype": Broken(
        caps("matmul=frozenset({'float8'})"), "open", "INVALID_PLUGIN", "unknown dtypes.*float8"
    ),
    "caps_unstored": Broken(
        caps("storage=frozenset({'float32'})"), "open", "INVALID_PLUGIN", "not in caps.storage"
    ),
    "caps_layouts": Broken(caps("layouts='any'"), "open", "INVALID_PLUGIN", "layouts is 'any'"),
    "caps_limits": Broken(
        caps("limits=Limits(alignment=3)"), "open", "INVALID_PLUGIN", "power of two"
    ),
    "caps_axes": Broken(
        caps("limits=Limits(max_ndim=0)"), "open", "INVALID_PLUGIN", "max_ndim is 0"
    ),
    "caps_bytes": Broken(
        caps("limits=Limits(max_allocation=2.5)"), "open", "INVALID_PLUGIN", "max_allocation is 2.5"
    ),
    "feature_method": Broken(
        device("gather = None"), "open", "INVALID_PLUGIN", r"'gather'.*no method gather\(\)"
    ),
    "feature_unknown": Broken(
        caps(CLAIM_ALL.format("teleport")), "open", "INVALID_PLUGIN", "unknown feature 'teleport'"
    ),
}  # fmt: skip

# Plugins that open, and then fail at work: doctor's own try shows it.
FAILING = {
    "kernel_raises": (device("def elementwise(self, *a): raise OSError('kernel')"), "OSError"),
    "kernel_lies": (device("def elementwise(self, *a): pass"), "2 x [+] 1 gave"),
    "memory_raises": (device("def allocate(self, n): raise MemoryError"), "MemoryError"),
}


def metadata(folder: Path, distribution: str, entries: str, version: str = "1.0") -> Path:
    """An installed distribution without modules; ``entries`` is the text of its group."""
    info = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    head = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
    (info / "METADATA").write_text(head)
    (info / "entry_points.txt").write_text(f"[polyback.backends]\n{entries}\n")
    return folder


def install(folder: Path, name: str, source: str | None = GOOD, distribution: str = "") -> Path:
    """A distribution that provides device ``name`` by a module with ``source``."""
    distribution = distribution or f"polyback-test-{name.replace('_', '-')}"
    module = f"{distribution.replace('-', '_')}_module"
    metadata(folder, distribution, f"{name} = {module}")
    if source is not None:
        (folder / f"{module}.py").write_text(source.replace("{name}", name))
    return folder


def install_reference(folder: Path) -> Path:
    """The reference backend, from its source folder."""
    return metadata(folder, "polyback-numpy-ref", "numpy_ref = polyback_numpy_ref", "0.1.0")


def run(code: str, *folders: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """``code`` in a new process, with ``folders`` and the reference's source on the path."""
    path = os.pathsep.join(map(str, [ROOT, NUMPY_REF, *folders]))
    clean = {k: v for k, v in os.environ.items() if not k.startswith("POLYBACK_")}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=clean | {"PYTHONPATH": path} | environment,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def run_json(code: str, *folders: Path, **environment: str) -> Any:
    """What ``code`` prints as JSON on its last line; it must print nothing else."""
    done = run(code, *folders, **environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)
