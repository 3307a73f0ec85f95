"""Peak memory and time of one training step, with and without activation checkpointing.

    python bench/checkpointing.py --device cpu_c

Each figure is of a process of its own, because a device's peak never falls. Memory is what the
device itself counts (`Device.memory_stats().peak`), less what the parameters and the batch held
before the first step; gradients are in it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable

import polyback as pb
from polyback import nn, optim
from polyback.features import MemoryStats

Case = tuple[nn.Sequential, tuple[int, ...]]


def deep_mlp(device: pb.Device) -> Case:
    """64 blocks of Linear and Tanh, 512 wide, on a batch of 1024."""
    blocks = [
        nn.Sequential(
            nn.Linear(512, 512, device=device), nn.LayerNorm(512, device=device), nn.Tanh()
        )
        for _ in range(64)
    ]
    return nn.Sequential(*blocks), (1024, 512)


def residual_convolutions(device: pb.Device) -> Case:
    """16 residual convolution blocks of 32 channels on 16 images of 32 x 32."""
    blocks = [
        nn.Residual(
            nn.Sequential(
                nn.Conv2d(32, 32, 3, padding=1, bias=False, device=device),
                nn.BatchNorm2d(32, device=device),
                nn.ReLU(),
            )
        )
        for _ in range(16)
    ]
    return nn.Sequential(*blocks), (16, 32, 32, 32)


def transformer(device: pb.Device) -> Case:
    """12 encoder layers of width 128 on 8 sequences of 128."""
    layers = [
        nn.TransformerEncoderLayer(128, 4, 512, dropout=0.1, batch_first=True, device=device)
        for _ in range(12)
    ]
    return nn.Sequential(*layers), (8, 128, 128)


CASES: dict[str, Callable[[pb.Device], Case]] = {
    "deep_mlp": deep_mlp,
    "residual_convolutions": residual_convolutions,
    "transformer": transformer,
}


def measure(name: str, device_name: str, checkpoint: bool) -> str:
    """Bytes that a training step adds at its peak, and seconds of the third step, as text."""
    device = pb.get_device(device_name)
    generator = pb.random.manual_seed(0)
    net, shape = CASES[name](device)
    optimizer = optim.SGD(net.parameters(), lr=1e-3)
    x = generator.normal(shape, device=device)
    for p in [x, *net.parameters()]:
        p.numpy()
    before = stats(device).live
    seconds = 0.0
    for _ in range(3):
        start = time.perf_counter()
        optimizer.zero_grad()
        y = nn.checkpoint_sequential(net, None, x) if checkpoint else net(x)
        loss = pb.mean(y**2)
        loss.backward()
        optimizer.step()
        loss.item()
        device.synchronize()
        seconds = time.perf_counter() - start
    return f"{stats(device).peak - before} {seconds}"


def stats(device: pb.Device) -> MemoryStats:
    found = device.memory_stats()
    if found is None:
        raise SystemExit(f"{device} keeps no memory statistics")
    return found


def run(name: str, device: str, checkpoint: bool) -> tuple[float, float]:
    """``measure`` in a process of its own."""
    command = [sys.executable, __file__, "--device", device, "--measure", name]
    text = subprocess.run(
        command + ["--checkpoint"] * checkpoint, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    size, seconds = text.split()
    return int(size) / 2**20, float(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu_c")
    parser.add_argument("--measure", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--checkpoint", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(measure(options.measure, options.device, options.checkpoint))
        return
    print("| network | plain MiB | checkpointed MiB | memory | time |")
    print("| --- | --- | --- | --- | --- |")
    for name in CASES:
        plain, plain_time = run(name, options.device, False)
        saved, saved_time = run(name, options.device, True)
        print(
            f"| {name} | {plain:.1f} | {saved:.1f} | {saved / plain:.2f}x "
            f"| {saved_time / plain_time:.2f}x |"
        )


if __name__ == "__main__":
    main()
