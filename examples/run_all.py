"""Run every example, one after the other, and print a table of how they went.

    python examples/run_all.py --device cpu_c --out build/examples

Curves, pictures and each example's output are written to the folder ``--out``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
EXAMPLES = {  # name: the kind of picture it draws, or nothing
    "softmax_regression": "",
    "train_digits": "",
    "resnet": "curves.png",
    "lstm_language_model": "curves.png",
    "gpt": "curves.png",
    "gan_gaussian": "samples.png",
    "dcgan": "samples.png",
    "sentence_encoder": "",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu_c")
    parser.add_argument("--out", type=Path, default=Path("build/examples"))
    parser.add_argument("--only", default="", help="part of a name")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rows, failed = [], 0
    for name, picture in EXAMPLES.items():
        if options.only not in name:
            continue
        command = [sys.executable, str(HERE / f"{name}.py"), "--device", options.device]
        if picture:
            command += ["--plot", str(options.out / f"{name}_{picture}")]
        print(f"--- {name}", flush=True)
        start = time.perf_counter()
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        seconds = time.perf_counter() - start
        (options.out / f"{name}.log").write_text(done.stdout + done.stderr)
        print(done.stdout + done.stderr, flush=True)
        lines = [line for line in done.stdout.splitlines() if line.strip()]
        rows.append((name, "ok" if done.returncode == 0 else "FAILED", seconds,
                     lines[-1] if lines else ""))  # fmt: skip
        failed += done.returncode != 0
    print(f"{'example':22}  {'result':6}  seconds  last line")
    for name, result, seconds, line in rows:
        print(f"{name:22}  {result:6}  {seconds:7.0f}  {line}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
