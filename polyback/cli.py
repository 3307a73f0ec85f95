"""The command ``polyback``: devices, doctor, conformance. Also ``python -m polyback``."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from polyback import __version__, doctor, registry
from polyback.errors import PolybackError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (default: that of the process) and return the exit status."""
    given = sys.argv[1:] if argv is None else list(argv)
    try:
        if given[:1] == ["conformance"]:  # it has options of its own, which come first or last
            return _conformance(given[1:])
        options = _parser().parse_args(given)
        status: int = options.run(options)
    except PolybackError as error:
        print(f"polyback: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, such as `head`, has gone
        sys.stderr.close()
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="polyback", description="Arrays on pluggable devices.")
    version = f"polyback {__version__}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    devices = commands.add_parser("devices", help="list the devices that can be used")
    devices.add_argument("--json", action="store_true", help="as JSON")
    devices.set_defaults(run=_devices)

    check = commands.add_parser("doctor", help="show every plugin, and what is wrong with it")
    check.add_argument("--json", action="store_true", help="as JSON")
    check.set_defaults(run=_doctor)

    commands.add_parser("conformance", help="test a backend against the protocol")
    return parser


def _devices(options: argparse.Namespace) -> int:
    found = registry.available_devices()
    if options.json:
        print(json.dumps([{"name": f"{n}:{d.index}", **asdict(d)} for n, d in found], indent=2))
        return 0 if found else 1
    rows = [["DEVICE", "KIND", "MEMORY", "DESCRIPTION"]]
    for name, d in found:
        memory = f"{d.memory / 2**30:.1f} GiB" if d.memory else "-"
        rows.append([f"{name}:{d.index}", d.kind, memory, d.description])
    print(doctor.table(rows))
    others = sum(r.status != "available" for r in registry.list_plugins())
    if others or not found:
        print(f"\n{others} installed plugin(s) not usable; see: polyback doctor")
    return 0 if found else 1


def _doctor(options: argparse.Namespace) -> int:
    found = doctor.report()
    print(json.dumps(found, indent=2) if options.json else doctor.render(found))
    return 0 if found["ok"] else 1


def _conformance(arguments: list[str]) -> int:
    """Everything after the word is for the suite."""
    try:
        suite, *_ = map(importlib.import_module, ("polyback_conformance", "pytest", "hypothesis"))
    except ModuleNotFoundError as error:
        what = "the conformance suite" if error.name == "polyback_conformance" else error.name
        print(
            f"polyback: {what} is not installed; fix: pip install polyback-conformance",
            file=sys.stderr,
        )
        return 2
    return int(suite.main(arguments) or 0)
