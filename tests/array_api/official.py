"""Runs the official test suite of the array API standard on one device.

    ARRAY_API_TESTS=CHECKOUT python tests/array_api/official.py DEVICE EXAMPLES [pytest options]

Nothing is skipped that the suite itself does not skip, and no failure is expected.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HOW = """\
[array-api] the official suite is not on PyPI; want ARRAY_API_TESTS to be the path of a checkout:
    git clone --recurse-submodules https://github.com/data-apis/array-api-tests
    ARRAY_API_TESTS=$PWD/array-api-tests tox -e array-api-cpu_c"""


def main(device: str, examples: str, *options: str) -> int:
    """The exit code of the suite."""
    checkout = Path(os.environ.get("ARRAY_API_TESTS", ""))
    if not (checkout / "array_api_tests").is_dir():
        sys.exit(HOW)
    environment = {
        **os.environ,
        "ARRAY_API_TESTS_MODULE": "polyback",
        "ARRAY_API_TESTS_VERSION": "2025.12",
        "POLYBACK_DEVICE": device,
        "POLYBACK_FALLBACK": "forbid",
    }
    suite = [sys.executable, "-m", "pytest", "array_api_tests", "-p", "no:cacheprovider"]
    settings = ["--disable-deadline", f"--max-examples={examples}", *options]
    return subprocess.run([*suite, *settings], cwd=checkout, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
