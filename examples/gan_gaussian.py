"""A generative adversarial network that learns a Gaussian in the plane.

    python examples/gan_gaussian.py --device cpu_c --plot gan.png

Two players: a generator that turns noise into points, and a discriminator, inside the loss, that
learns to tell them from real ones. The weights of the generator are averaged over the last steps,
which damps the circling of the two. The run fails (exit code 1) unless mean and covariance of
10,000 samples come within 10 % of the data's.
"""

from __future__ import annotations

import itertools
import sys

import numpy as np
from common import arguments

import polyback as pb
from polyback import nn, optim

MEAN = np.array([2.0, 1.0])
MIX = np.array([[1.0, 2.0], [-0.2, 0.5]])
COVARIANCE = MIX.T @ MIX
WANTED = 0.10
KEEP = 0.998  # of the averaged weights, at each step


def real_points(count: int, seed: int) -> np.ndarray:
    """Samples of the Gaussian to be learnt."""
    return np.random.default_rng(seed).standard_normal((count, 2)) @ MIX + MEAN


def differences(points: np.ndarray) -> tuple[float, float]:
    """How far mean and covariance are off, relative to the data's."""
    mean = np.linalg.norm(points.mean(0) - MEAN) / np.linalg.norm(MEAN)
    covariance = np.linalg.norm(np.cov(points.T) - COVARIANCE) / np.linalg.norm(COVARIANCE)
    return float(mean), float(covariance)


class Game:
    """The generator, its average, and the loss that holds the discriminator."""

    def __init__(self, device: str, dtype: str = "float32") -> None:
        pb.random.manual_seed(0)
        self.noise, self.dtype = pb.random.Generator(1, device=device), dtype
        self.generator = nn.Linear(2, 2, device=device).to(dtype=dtype)
        self.average = [p.detach() * 1.0 for p in self.generator.parameters()]
        discriminator = nn.Sequential(
            nn.Linear(2, 32, device=device), nn.SiLU(),
            nn.Linear(32, 32, device=device), nn.SiLU(), nn.Linear(32, 1, device=device),
        ).to(dtype=dtype)  # fmt: skip
        judge = optim.Adam(discriminator.parameters(), lr=0.01, betas=(0.5, 0.999))
        self.loss = nn.GANLoss(discriminator, judge)
        self.optimizer = optim.Adam(self.generator.parameters(), lr=0.005, betas=(0.5, 0.999))

    def data(self, batch_size: int) -> pb.data.DataLoader:
        """Batches of 20,000 real points."""
        points = pb.data.ArrayDataset(real_points(20_000, seed=0).astype(self.dtype))
        return pb.data.DataLoader(
            points, batch_size, shuffle=True, seed=0, device=self.noise.device
        )

    def step(self, real: pb.Tensor) -> float:
        """One step of both players; returns the generator's loss."""
        fake = self.generator(self.noise.normal(real.shape, dtype=self.dtype))
        loss = self.loss(fake, real)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        with pb.no_grad():
            for a, p in zip(self.average, self.generator.parameters(), strict=True):
                a *= KEEP
                a += (1 - KEEP) * p
        return loss.item()

    def samples(self, count: int) -> np.ndarray:
        """Points of the averaged generator."""
        weight, bias = self.average
        with pb.no_grad():
            return nn.linear(self.noise.normal((count, 2), dtype=self.dtype), weight, bias).numpy()


def first_losses(device: str, dtype: str, steps: int, small: bool) -> list[float]:
    """For compare_devices.py."""
    game = Game(device, dtype)
    batches = itertools.islice(game.data(16 if small else 200), steps)
    return [game.step(real) for (real,) in batches]


def plot(path: str, real: np.ndarray, fake: np.ndarray) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 6.4), layout="constrained")
    axes = figure.add_subplot()
    for points, label in ((real, "data"), (fake, "generated")):
        axes.scatter(*points[:1000].T, s=4, alpha=0.5, label=label)
    axes.set(xlabel="x", ylabel="y", title="1000 points each", aspect="equal")
    axes.legend()
    figure.savefig(path)


def main(argv: list[str] | None = None) -> int:
    parser = arguments(__doc__)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--plot", default="", help="write a picture of the samples here")
    options = parser.parse_args(argv)
    game = Game(options.device, options.dtype)
    batches = game.data(200)
    done = 0
    while done < options.steps:
        for (real,) in batches:
            loss = game.step(real)
            done += 1
            if done % 1000 == 0:
                mean, covariance = differences(game.samples(10_000))
                print(f"step {done}: loss {loss:.3f}, mean off by {mean:.1%}, covariance by "
                      f"{covariance:.1%}", flush=True)  # fmt: skip
            if done == options.steps:
                break
    points = game.samples(10_000)
    mean, covariance = differences(points)
    print(f"{options.device}: mean off by {mean:.1%}, covariance by {covariance:.1%} (wanted: 10%)")
    if options.plot:
        plot(options.plot, real_points(1000, seed=1), points)
    return 0 if max(mean, covariance) < WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
