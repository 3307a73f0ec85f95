"""Time what small work costs: single operations and training steps of a small network, against
PyTorch, in one process, in turn; see bench/README.md.

    python bench/overhead.py --device cpu_c --only add
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import polyback as pb

Job = Callable[[], Any]
RNG = np.random.default_rng(0)
VALUES = [RNG.standard_normal(100).astype("f4") for _ in range(2)]
SQUARES = [RNG.standard_normal((32, 32)).astype("f4") for _ in range(2)]
IMAGES = RNG.standard_normal((50, 784)).astype("f4")
LABELS = RNG.integers(0, 10, 50)


def evaluated(tensor: Any) -> Any:
    """The tensor, with what is pending launched."""
    _ = tensor.array.storage
    return tensor


def plain(tensor: Any) -> Any:
    """PyTorch has computed it already."""
    return tensor


def operations(xp: Any, wrap: Callable[..., Any], done: Callable[[Any], Any]) -> dict[str, Job]:
    """Single operations, for one library."""
    x, y = (wrap(v) for v in VALUES)
    a, b = (wrap(v) for v in SQUARES)
    tracked, scalar = wrap(VALUES[0]), xp.sum(x)
    tracked.requires_grad = True

    def chain() -> Any:
        return done(xp.exp(-(x * y + 0.5)) * 2.0)

    def backward() -> None:
        xp.sum(tracked * y).backward()
        tracked.grad = None

    return {
        "a + b": lambda: done(x + y),
        "a + b, recorded": lambda: done(tracked + y),
        "a * 2.0": lambda: done(x * 2.0),
        "exp": lambda: done(xp.exp(x)),
        "chain of 5": chain,
        "sum": lambda: done(xp.sum(x)),
        "sum of an axis": lambda: done(xp.sum(a, axis=1)),
        "matmul 32x32": lambda: done(a @ b),
        "x[3:50]": lambda: done(x[3:50]),
        "x[5] item": lambda: x[5].item(),
        "item": lambda: scalar.item(),
        "reshape": lambda: done(xp.reshape(a, (16, 64))),
        "from NumPy": lambda: done(wrap(VALUES[0])),
        "a += b": lambda: x.__iadd__(y),
        "sum(a * b) backward": backward,
    }


def layers(nn: Any, **options: Any) -> Any:
    """A perceptron of three layers."""
    sizes = (784, 128, 64, 10)
    parts = []
    for n, m in itertools.pairwise(sizes):
        parts += [nn.Linear(n, m, **options), nn.ReLU()]
    return nn.Sequential(*parts[:-1])


def demo(nn: Any, **options: Any) -> Any:
    """The network of examples/train_digits.py."""

    class Residual(nn.Module):
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Any) -> Any:
            return x + self.inner(x)

    def block() -> Any:
        return Residual(
            nn.Sequential(
                nn.Linear(256, 128, **options), nn.BatchNorm1d(128, **options), nn.SiLU(),
                nn.Dropout(0.1), nn.Linear(128, 256, **options), nn.BatchNorm1d(256, **options),
            )
        )  # fmt: skip

    first, last = nn.Linear(784, 256, **options), nn.Linear(256, 10, **options)
    return nn.Sequential(first, nn.SiLU(), block(), nn.SiLU(), block(), nn.SiLU(), last)


def steps(xp: Any, wrap: Callable[..., Any], **options: Any) -> dict[str, Job]:
    """Parts of a training step, and whole ones, for one library."""
    images, labels = wrap(IMAGES), wrap(LABELS)
    small, large = layers(xp.nn, **options), demo(xp.nn, **options)
    criterion = xp.nn.CrossEntropyLoss()

    def step(model: Any, optimizer: Any) -> float:
        loss = criterion(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    def whole(model: Any, optimizer: Any) -> Job:
        return lambda: step(model, optimizer)

    def update(model: Any, optimizer: Any) -> Job:
        criterion(model(images), labels).backward()
        return optimizer.step

    def forward() -> float:
        return criterion(small(images), labels).item()

    def both() -> float:
        loss = criterion(small(images), labels)
        loss.backward()
        return loss.item()

    sgd = xp.optim.SGD(small.parameters(), lr=1e-4, momentum=0.9)
    adam = xp.optim.Adam(small.parameters(), lr=1e-5)
    demo_adam = xp.optim.Adam(large.parameters(), lr=1e-5)
    return {
        "MLP forward": forward,
        "MLP forward, backward": both,
        "MLP SGD update": update(small, sgd),
        "MLP Adam update": update(small, adam),
        "MLP step, SGD": whole(small, sgd),
        "MLP step, Adam": whole(small, adam),
        "digits step, Adam": whole(large, demo_adam),
    }


def ours(device: str) -> dict[str, Job]:
    """All jobs of polyback."""

    def wrap(values: Any) -> Any:
        return pb.asarray(values, device=device)

    return operations(pb, wrap, evaluated) | steps(pb, wrap, device=device)


def theirs(threads: int) -> dict[str, Job]:
    """All jobs of PyTorch."""
    torch = importlib.import_module("torch")
    torch.set_num_threads(threads)
    return operations(torch, torch.tensor, plain) | steps(torch, torch.tensor)


def once(job: Job, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        job()
    return (time.perf_counter() - start) / repeats


def compare(a: Job, b: Job, rounds: int) -> tuple[float, float, float]:
    """Best seconds of each, and the median of the paired ratios."""
    for job in (a, b) * 5:
        job()
    counts = [max(1, int(0.002 / max(once(job, 3), 1e-7))) for job in (a, b)]
    pairs = [(once(a, counts[0]), once(b, counts[1])) for _ in range(rounds)]
    ratio = statistics.median(x / y for x, y in pairs)
    return min(p[0] for p in pairs), min(p[1] for p in pairs), ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu_c")
    parser.add_argument("--only", default="", help="part of a job's name")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1, help="of both sides")
    options = parser.parse_args()
    with pb.configure(threads=options.threads):
        mine = ours(options.device)  # opens the device
    peer = theirs(options.threads)
    print(
        f"| job | {options.device}, us | torch, us | median of the ratios |\n" + "| --- " * 4 + "|"
    )
    for name, job in mine.items():
        if options.only in name:
            a, b, ratio = compare(job, peer[name], options.rounds)
            print(f"| {name} | {a * 1e6:.2f} | {b * 1e6:.2f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
