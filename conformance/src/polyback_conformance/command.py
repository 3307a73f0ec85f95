"""The command line: translate to pytest options and run."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from polyback_conformance.journal import MOST_DEATHS, Journal


def parser() -> argparse.ArgumentParser:
    """The options of ``polyback conformance`` and ``python -m polyback_conformance``."""
    p = argparse.ArgumentParser(
        prog="polyback conformance", description="Check that a backend keeps the device protocol."
    )
    p.add_argument("device", nargs="*", help="device names, such as cpu_c or cuda:1")
    p.add_argument("--device-factory", action="append", default=[], metavar="MODULE:CALLABLE")
    p.add_argument("--level", type=int, metavar="N", help="run levels 0 to N")
    p.add_argument("--json", metavar="FILE", help="write the certificate")
    p.add_argument("--seed", metavar="N", help='a number, or "random"')
    p.add_argument("--slow", action="store_true", help="also the long sweeps")
    p.add_argument("--allow-not-run", action="store_true", help="accept devices that are absent")
    p.add_argument("-x", action="store_true", help="stop at the first failure")
    p.add_argument("-k", metavar="EXPRESSION", help="only tests whose name matches")
    p.add_argument("--first", metavar="TEXT", help="run tests whose id holds TEXT first")
    p.add_argument("-v", action="store_true", help="name every test")
    return p


def pytest_arguments(options: argparse.Namespace) -> list[str]:
    """The same request as arguments of pytest."""
    here = Path(__file__).parent
    args = ["-c", str(here / "pytest.ini"), "-p", "polyback_conformance.plugin"]
    args += ["-p", "no:cacheprovider", "--pyargs", "polyback_conformance"]
    args += [f"--conformance-device={name}" for name in options.device]
    args += [f"--conformance-device-factory={spec}" for spec in options.device_factory]
    for name in ("level", "seed", "json", "first"):
        value = getattr(options, name)
        if value is not None:
            args.append(f"--conformance-{name}={value}")
    args += ["--conformance-slow"] * options.slow + [
        "--conformance-allow-not-run"
    ] * options.allow_not_run
    args += ["-x"] * options.x + (["-k", options.k] if options.k else [])
    return args + (["-v"] if options.v else ["-q"])


def run(argv: Sequence[str] | None = None) -> int:
    """Run pytest in a process of its own, because a wrong backend may take the process with it."""
    options = parser().parse_args(argv)
    if not options.device and not options.device_factory:
        parser().error("name a device, or give --device-factory")
    sys.stdout.flush()
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "journal")
        command = [sys.executable, "-m", "pytest", f"--conformance-journal={journal.path}"]
        # Nothing is left behind in the caller's folder.
        env = {"HYPOTHESIS_STORAGE_DIRECTORY": folder, **os.environ}
        command += pytest_arguments(options)
        while True:
            status = subprocess.run(command, check=False, env=env).returncode
            journal = Journal(journal.path)
            if status >= 0 and (journal.finished or not journal.entries):
                return status
            how = signal.Signals(-status).name if status < 0 else f"exit {status}"
            where = "when the process ended, after its report" if journal.finished else journal.last
            print(f"\nDIED {where} - {how}: the device took the process with it", flush=True)
            if journal.finished or options.x or "::" not in where or journal.deaths == MOST_DEATHS:
                break
            journal.write(died=where, how=how)
            print(f"going on after it ({len(journal.ended)} tests have run)", flush=True)
    names = ", ".join([*options.device, *options.device_factory])
    print(f"conformance {names}: NOT FINISHED: died of {how}: {where}", flush=True)
    return 3
