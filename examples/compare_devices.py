"""Train every example on two devices from the same seed, and compare the losses of each step.

    python examples/compare_devices.py --device opencl --reference numpy_ref

By default the networks are small ones of the same shape; ``--full`` compares those that the
examples train. The run fails (exit code 1) if a loss differs by more than 1e-4 (float32) or 1e-9
(float64).
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time

import numpy as np
from common import LIMITS, device

EXAMPLES = (
    "linear_regression", "softmax_regression", "train_digits", "resnet", "lstm_language_model",
    "gpt", "gan_gaussian", "dcgan",
)  # fmt: skip
STEPS = 50


def first_losses(example: str, device: str, dtype: str, small: bool = True) -> np.ndarray:
    """The losses of the first steps of one example."""
    losses = importlib.import_module(example).first_losses(device, dtype, STEPS, small)
    return np.array(losses, np.float64)


def differences(losses: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Of each step, relative to the reference."""
    return np.abs(losses - reference) / np.abs(reference)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", type=device, default="cpu")
    parser.add_argument("--reference", type=device, default="numpy_ref")
    parser.add_argument("--dtype", choices=LIMITS, action="append", help="default: both")
    parser.add_argument("--full", action="store_true", help="the examples' own sizes")
    parser.add_argument("--only", default="", help="part of a name")
    options = parser.parse_args(argv)
    print(f"largest relative difference of {STEPS} losses: {options.device}, {options.reference}")
    print("example              dtype    difference  at step  limit    result  seconds")
    failed, worst = 0, dict.fromkeys(options.dtype or LIMITS, 0.0)
    for name in (e for e in EXAMPLES if options.only in e):
        for dtype in worst:
            start = time.perf_counter()
            curves = [first_losses(name, d, dtype, not options.full)
                      for d in (options.device, options.reference)]  # fmt: skip
            found = differences(*curves)
            ok = bool((found <= LIMITS[dtype]).all())
            failed += not ok
            worst[dtype] = max(worst[dtype], float(found.max()))
            print(f"{name:20} {dtype}  {found.max():10.1e}  {found.argmax() % STEPS + 1:7}  "
                  f"{LIMITS[dtype]:.0e}  {'ok' if ok else 'FAILED':6}  "
                  f"{time.perf_counter() - start:7.1f}", flush=True)  # fmt: skip
    most = ", ".join(f"{x:.1e} in {k} (wanted: {LIMITS[k]:.0e})" for k, x in worst.items())
    print(f"{options.device}: losses differ from {options.reference}'s by at most {most}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
