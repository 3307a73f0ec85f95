"""Time polyback against its peers on the same cores, in one run; see bench/README.md."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from workloads import WORKLOADS, Workload

import polyback as pb


def polyback_runner(workload: Workload, inputs: list[np.ndarray], device: str) -> Callable:
    arrays = [pb.asarray(x, device=device) for x in inputs]

    def run() -> Any:
        result = workload.run(pb, *arrays)
        _ = result.array.storage  # launches what is still pending
        result.device.synchronize()
        return result

    return run


def numpy_runner(workload: Workload, inputs: list[np.ndarray]) -> Callable:
    return lambda: workload.run(np, *inputs)


def torch_runner(workload: Workload, inputs: list[np.ndarray]) -> Callable:
    torch = importlib.import_module("torch")
    arrays = [torch.from_numpy(x) for x in inputs]

    def run() -> Any:
        with torch.no_grad():
            return workload.run(torch, *arrays)

    return run


def jax_runner(workload: Workload, inputs: list[np.ndarray]) -> Callable:
    jax = importlib.import_module("jax")
    jax.config.update("jax_enable_x64", True)
    xp = importlib.import_module("jax.numpy")
    arrays = [xp.asarray(x) for x in inputs]
    compiled = jax.jit(lambda *a: workload.run(xp, *a))
    return lambda: compiled(*arrays).block_until_ready()


PEERS = {"numpy": numpy_runner, "torch": torch_runner, "jax": jax_runner}


def peer_runner(peer: str, workload: Workload, inputs: list[np.ndarray]) -> Callable:
    """A peer is a library, or another device of polyback."""
    if peer in PEERS:
        return PEERS[peer](workload, inputs)
    return polyback_runner(workload, inputs, peer)


def installed_peers(wanted: list[str]) -> dict[str, str]:
    versions = {}
    for name in wanted:
        try:
            if name in PEERS:
                versions[name] = importlib.import_module(name).__version__
            else:
                versions[str(pb.get_device(name))] = pb.__version__
        except (ImportError, pb.PolybackError) as error:
            print(f"peer {name}: not here ({error})")
    return versions


def check(workload: Workload, inputs: list[np.ndarray], result: np.ndarray) -> None:
    """No timing of wrong answers."""
    wide = (x.astype(np.float64) if x.dtype.kind == "f" else x for x in inputs)
    want = workload.run(np, *wide)
    worst = np.max(np.abs(np.asarray(result, np.float64) - want)) / np.max(np.abs(want))
    if not worst <= workload.tolerance:
        raise SystemExit(f"{workload.name}: off by {worst:.2e} of the largest value")


def once(run: Callable[[], Any], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - start) / repeats


REST = 0.05  # seconds after which the idle threads of every peer sleep (OpenBLAS: 2^26 cycles)
WAKE = 0.03  # seconds of untimed runs in which a library's own threads settle on the cores
TIMED = 0.003  # seconds of one timing, at least one run


def woken(run: Callable[[], Any]) -> float:
    """Seconds of the fastest run of those that fill WAKE; no other library's thread is awake."""
    time.sleep(REST)
    start, fastest = time.perf_counter(), float("inf")
    while time.perf_counter() - start < WAKE:
        fastest = min(fastest, once(run, 1))
    return fastest


def measure(runners: dict[str, Callable], pairs: int) -> dict[str, list[float]]:
    """Interleaved timings; fast workloads repeat inside one timing."""
    repeats = {k: max(1, int(TIMED / max(woken(run), 1e-7))) for k, run in runners.items()}
    times: dict[str, list[float]] = {k: [] for k in runners}
    for _ in range(pairs):
        for name, run in runners.items():
            woken(run)
            times[name].append(once(run, repeats[name]))
    return times


def interval(ratios: list[float]) -> tuple[float, float, float]:
    """Median and its 95% bootstrap interval."""
    rng = np.random.default_rng(0)
    draws = rng.choice(ratios, (1000, len(ratios)))
    low, high = np.quantile(np.median(draws, axis=1), [0.025, 0.975])
    return statistics.median(ratios), float(low), float(high)


def rate(workload: Workload, seconds: float) -> str:
    per_second = workload.work / seconds / 1e9
    return f"{per_second:.1f} {'GFLOP/s' if workload.unit == 'flop' else 'GB/s'}"


def processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
        return next(
            x.split(":")[1].strip() for x in text.splitlines() if x.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


_SHARED = (
    "PyTorch's products on two threads suffer from sharing a process: alone they are faster than "
    "the ratios here say, by figures in [bench/README.md](../bench/README.md)."
)


def heading(device: str, peers: dict[str, str], pairs: int) -> list[str]:
    versions = ", ".join(f"{k} {v}" for k, v in peers.items())
    return [
        f"polyback {pb.__version__} on `{device}` against {versions}; {processor()}, "
        f"{len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}; {pairs} "
        f"interleaved pairs each, median ratio [95% interval], above 1: polyback is faster.",
        "",
        *([_SHARED, ""] if "torch" in peers else []),
        "| workload | polyback | rate | " + " | ".join(f"vs {p}" for p in peers) + " |",
        "| --- " * (3 + len(peers)) + "|",
    ]


def row(
    workload: Workload, device: str, peers: dict[str, str], pairs: int, losses: list[str]
) -> str:
    """One line of the table; adds a line to ``losses`` for every peer that is faster."""
    inputs = workload.inputs(np.random.default_rng(0))
    ours = polyback_runner(workload, inputs, device)
    check(workload, inputs, ours().numpy())
    runners = {"polyback": ours}
    wanted = [p for p in peers if p in workload.peers or p not in PEERS]
    runners |= {p: peer_runner(p, workload, inputs) for p in wanted}
    times = measure(runners, pairs)
    mine = statistics.median(times["polyback"])
    cells = [workload.name, f"{mine * 1e3:.3f} ms", rate(workload, mine)]
    for peer in peers:
        if peer not in runners:
            cells.append("-")
            continue
        ratios = [b / a for a, b in zip(times["polyback"], times[peer], strict=True)]
        middle, low, high = interval(ratios)
        cells.append(f"{middle:.2f} [{low:.2f}, {high:.2f}]")
        if middle < 1:
            losses.append(f"- {workload.name}: {1 / middle:.1f} times slower than {peer}")
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu_c")
    parser.add_argument("--peers", default="numpy,torch,jax", help="libraries, or other devices")
    parser.add_argument("--only", default="", help="part of a workload's name or family")
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--write", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    peers = installed_peers(options.peers.split(","))
    lines = heading(options.device, peers, options.pairs)
    print("\n".join(lines))
    losses: list[str] = []
    for workload in WORKLOADS:
        if options.only in workload.name or options.only in workload.family:
            lines.append(row(workload, options.device, peers, options.pairs, losses))
            print(lines[-1], flush=True)
    lines += ["", "## Where polyback is behind", "", *(losses or ["Nowhere in this run."])]
    print("\n".join(lines[-len(losses or [0]) - 3 :]))
    if options.write:
        note = "Written by `bench/compare.py --write`; see [bench/README.md](../bench/README.md)."
        options.write.write_text(f"# Benchmarks\n\n{note}\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
