"""Run every example, one after the other, and make a table of how they went.

    python examples/run_all.py --device cpu_c --out build/examples

Curves, pictures, each example's output and the table, ``results.md``, are written to the folder
``--out``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
EXAMPLES = {  # name: the kind of picture it draws, or nothing
    "linear_regression": "",
    "softmax_regression": "curves",
    "train_digits": "curves",
    "resnet": "curves",
    "lstm_language_model": "curves",
    "gpt": "curves",
    "gan_gaussian": "samples",
    "dcgan": "samples",
    "sentence_encoder": "",
    "compare_devices": "",
}


def run(command: list[str], log: Path) -> tuple[int, str]:
    """Run, print the output as it comes, keep it in ``log``; the exit status and the last line."""
    last = ""
    with log.open("w") as file, subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:  # fmt: skip
        for line in process.stdout or ():
            print(line, end="", flush=True)
            file.write(line)
            last = line.strip() or last
    return process.returncode, last


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu_c")
    parser.add_argument("--out", type=Path, default=Path("build/examples"))
    parser.add_argument("--only", default="", help="part of a name")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rows, failed = [("example", "result", "seconds", "what it says at the end"), ("---",) * 4], 0
    for name, picture in EXAMPLES.items():
        if options.only not in name:
            continue
        command = [sys.executable, str(HERE / f"{name}.py"), "--device", options.device]
        if picture:
            command += ["--plot", str(options.out / f"{name}_{picture}.png")]
        print(f"--- {name}", flush=True)
        start = time.perf_counter()
        status, last = run(command, options.out / f"{name}.log")
        seconds = f"{time.perf_counter() - start:.0f}"
        rows.append((name, "FAILED" if status else "ok", seconds, last))
        failed += status != 0
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    (options.out / "results.md").write_text(table + "\n")
    print(f"\n{table}\n\nwritten to {options.out}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
