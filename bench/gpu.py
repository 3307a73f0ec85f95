"""The figures of docs/gpu-results.md, on a GPU, as lines to paste there; see bench/README.md.

    python bench/gpu.py                   # device cuda
    python bench/gpu.py --device opencl --only product

It refuses to run without a GPU. On a simulated one it runs everything and prints no figure.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import functions
import numpy as np
import overhead
from workloads import chain

import polyback as pb
from polyback import registry
from polyback.config import config
from polyback.device import DeviceInfo, Operand
from polyback.dtype import float32
from polyback.view import View

SIMULATED = "SIMULATED"


@dataclass(frozen=True)
class Sizes:
    """How large the workloads are, and how often they are timed."""

    elements: int = 1 << 26  # 256 MiB of float32: five times the L2 cache of an H100
    rows: tuple[int, int] = (1 << 16, 1024)
    side: int = 4096
    launches: int = 2000
    rounds: int = 20
    demo: str = "digits step, Adam"


TINY = Sizes(1 << 10, (8, 64), 48, 3, 1, "MLP forward")


@dataclass(frozen=True)
class Line:
    """One result. ``share`` is of the peer's speed."""

    what: str
    figure: str
    share: str = ""
    target: str = ""


def gpu(name: str) -> DeviceInfo:
    """The device's description. Exits where there is no GPU: nothing is measured then."""
    try:
        info = registry.device_info(name, 0)
    except pb.PolybackError as error:
        raise SystemExit(f"NOT RUN: no GPU: {error}") from None
    if info.kind != "gpu":
        raise SystemExit(f"NOT RUN: {name} is {info.description}, which is no GPU")
    return info


def seconds(run: Callable[[], Any], wait: Callable[[], None], rounds: int) -> float:
    """Median time of one run. As many are queued at once as take some 20 ms, so that neither
    launches nor the waiting show; the first ones only warm up."""
    for _ in range(3):
        run()
    wait()
    start = time.perf_counter()
    run()
    wait()
    repeats = max(1, min(200, int(0.02 / (time.perf_counter() - start))))
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(repeats):
            run()
        wait()
        times.append((time.perf_counter() - start) / repeats)
    return statistics.median(times)


class Bench:
    """All lines of one device."""

    def __init__(self, name: str, sizes: Sizes, simulated: bool) -> None:
        self.name, self.sizes, self.simulated = name, sizes, simulated
        self.device = pb.get_device(name)
        self.rng = np.random.default_rng(0)

    def array(self, *shape: int) -> pb.Tensor:
        """Random float32 numbers."""
        return pb.asarray(self.rng.standard_normal(shape, np.float32), device=self.name)

    def time(self, run: Callable[[], Any]) -> float:
        """Of what ``run`` computes, which includes what is pending."""
        return seconds(lambda: overhead.evaluated(run()), self.device.synchronize,
                       self.sizes.rounds)  # fmt: skip

    # --- memory --------------------------------------------------------------------------------

    def bandwidth(self) -> Iterator[Line]:
        """Passes over memory, against the fastest copy of as many bytes."""
        n, shape = self.sizes.elements, self.sizes.rows
        x, y, rows = self.array(n), self.array(n), self.array(*shape)
        weight, bias = self.array(shape[1]), self.array(shape[1])
        copies = {"our copy": self.time(lambda: pb.asarray(x, copy=True))}
        vendor = self._vendor_copy(n)
        if vendor is not None:
            copies["the driver's copy"] = vendor
        best = max(8.0 * n / t for t in copies.values())
        for name, taken in copies.items():
            yield Line(name, rate(8.0 * n / taken), f"{8.0 * n / taken / best:.0%}")
        passes = {
            "fused chain of 5": (lambda: chain(pb, x, y), 12.0 * n, "90% of a copy"),
            "sum": (lambda: pb.sum(x), 4.0 * n, "90% of a copy"),
            "column sums": (lambda: pb.sum(rows, axis=0), 4.0 * rows.size, "90% of a copy"),
            "softmax": (lambda: functions.softmax(pb, rows), 8.0 * rows.size, "85% of a copy"),
            "layer norm": (lambda: functions.layer_norm(pb, rows, weight, bias), 8.0 * rows.size,
                           "85% of a copy"),
        }  # fmt: skip
        for name, (run, nbytes, target) in passes.items():
            speed = nbytes / self.time(run)
            yield Line(f"{name}, bandwidth", rate(speed), f"{speed / best:.0%}", target)

    def _vendor_copy(self, n: int) -> float | None:
        """Time of the library's own copy, for the backend that can call it."""
        driver = getattr(self.device.protocol, "driver", None)
        if driver is None:
            return None
        a, b = driver.allocate(4 * n), driver.allocate(4 * n)
        taken = seconds(lambda: driver.vendor_copy(b, a), driver.synchronize, self.sizes.rounds)
        driver.free(a)
        driver.free(b)
        return taken

    # --- products ------------------------------------------------------------------------------

    def products(self) -> Iterator[Line]:
        """Square products: float32 against cuBLAS, with a bias and an activation, others by
        themselves."""
        side = self.sizes.side
        a, b = self.array(side, side), self.array(side, side)
        work = 2.0 * side**3
        taken = self.time(lambda: a @ b)
        peer = self._cublas(side)
        share = "" if peer is None else f"{peer / taken:.0%}"
        name = f"product, {side} x {side}"
        yield Line(f"float32 {name}", flops(work / taken), share, "85% of cuBLAS")
        if peer is not None:
            yield Line(f"float32 {name}, cuBLAS", flops(work / peer))
        bias = self.array(side)
        layer = self.time(lambda: pb.relu(pb.nn.linear(a, b, bias)))
        yield Line(f"float32 {name}, bias and relu", flops(work / layer))
        for dtype in (pb.float64, pb.float16, pb.bfloat16):
            left, right = a.astype(dtype), b.astype(dtype)
            taken = self.time(lambda left=left, right=right: left @ right)
            yield Line(f"{dtype} {name}", flops(work / taken))

    def _cublas(self, side: int) -> float | None:
        """Time of cuBLAS for the same product, where it is installed."""
        if self.name != "cuda":
            return None
        backend = importlib.import_module("polyback_cuda.backend").CudaBackend()
        try:
            peer = backend.open(0, replace(config(), vendor_matmul=True))
        except pb.BackendUnavailable as error:
            print(f"cuBLAS: not here ({error})")
            return None
        view = View.contiguous((side, side))
        a, b, out = (Operand(peer.allocate(4 * side**2), float32, view) for _ in range(3))
        values = self.rng.standard_normal((side, side), np.float32)
        for x in (a, b):
            peer.upload(x.buffer, 0, values.reshape(-1).view(np.uint8).data)
        taken = seconds(lambda: peer.matmul(out, a, b), peer.synchronize, self.sizes.rounds)
        peer.close()
        return taken

    # --- small work ----------------------------------------------------------------------------

    def launches(self) -> Iterator[Line]:
        """What the host needs for one operation on ten numbers, and for one of a graph."""
        x, y, count = self.array(10), self.array(10), self.sizes.launches
        out = self.array(10)

        def many() -> None:
            for _ in range(count):
                overhead.evaluated(x + y)

        def in_place() -> None:
            for _ in range(count):
                out[...] = x + y

        taken = seconds(many, self.device.synchronize, self.sizes.rounds) / count
        yield Line("eager launch, x + y", f"{taken * 1e6:.2f} us", target="6 us per operation")
        if hasattr(self.device.protocol, "driver"):
            graphs = importlib.import_module("polyback_cuda.graphs")
            with graphs.record(self.device, in_place) as replay:
                taken = seconds(replay, self.device.synchronize, self.sizes.rounds) / count
            yield Line("the same, replayed as a graph", f"{taken * 1e6:.2f} us")

    def demo(self) -> Iterator[Line]:
        """A training step of the digits network, against PyTorch on the same GPU."""
        job = self.sizes.demo

        def wrap(values: Any) -> pb.Tensor:
            return pb.asarray(values, device=self.name)

        mine = overhead.steps(pb, wrap, device=self.name)[job]
        taken = seconds(mine, self.device.synchronize, self.sizes.rounds)
        peer = self._torch(job)
        share = "" if peer is None else f"{peer / taken:.0%}"
        yield Line(f"{job}, eager", f"{taken * 1e6:.0f} us", share, "faster than PyTorch's")
        if peer is not None:
            yield Line(f"{job}, PyTorch eager", f"{peer * 1e6:.0f} us")

    def _torch(self, job: str) -> float | None:
        try:
            torch = importlib.import_module("torch")
        except ImportError:
            return None
        if self.simulated or not torch.cuda.is_available():
            return None

        def wrap(values: Any) -> Any:
            return torch.tensor(values, device="cuda")

        theirs = overhead.steps(torch, wrap, device="cuda")[job]
        return seconds(theirs, torch.cuda.synchronize, self.sizes.rounds)

    def lines(self, only: str) -> Iterator[Line]:
        """Of the parts whose names contain ``only``."""
        for part in (self.bandwidth, self.products, self.launches, self.demo):
            if only in part.__name__:
                yield from part()


def rate(bytes_per_second: float) -> str:
    return f"{bytes_per_second / 1e9:.0f} GB/s"


def flops(per_second: float) -> str:
    return f"{per_second / 1e12:.2f} TFLOP/s"


def text(line: Line, simulated: bool) -> str:
    """A row of the table. What a simulator took says nothing of a GPU."""
    cells = (SIMULATED, SIMULATED) if simulated else (line.figure, line.share)
    return "| " + " | ".join([line.what, *cells, line.target]) + " |"


def main(given: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", default="", help="bandwidth, products, launches or demo")
    parser.add_argument("--tiny", action="store_true", help="sizes that measure nothing")
    options = parser.parse_args(given)
    info = gpu(options.device)
    simulated = "simulated" in info.description
    print(f"polyback {pb.__version__} on {info.description}\n")
    print("| what | result | share of the peer | target |\n" + "| --- " * 4 + "|", flush=True)
    bench = Bench(options.device, TINY if options.tiny else Sizes(), simulated)
    for line in bench.lines(options.only):
        print(text(line, simulated), flush=True)


if __name__ == "__main__":
    main()
