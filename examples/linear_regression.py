"""Fit a straight line with gradient descent: the smallest complete training loop.

python examples/linear_regression.py --device cpu_c
"""

from __future__ import annotations

from common import arguments

import polyback as pb


def train(device: str, dtype: str, steps: int) -> tuple[pb.nn.Linear, list[float]]:
    generator = pb.random.Generator(0, device=device)
    x = generator.uniform((200, 1), -1.0, 1.0, dtype=dtype)
    y = 3.0 * x - 1.0 + generator.normal((200, 1), std=0.05, dtype=dtype)  # the line, and noise

    model = pb.nn.Linear(1, 1, generator=generator, device=device, dtype=dtype)
    optimizer = pb.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(steps):
        loss = pb.nn.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model, losses


def first_losses(device: str, dtype: str, steps: int, small: bool) -> list[float]:
    """For compare_devices.py."""
    return train(device, dtype, steps)[1]


def main(argv: list[str] | None = None) -> None:
    options = arguments(__doc__).parse_args(argv)
    model, losses = train(options.device, options.dtype, 101)
    for step in range(0, 101, 25):
        print(f"step {step:3}  loss {losses[step]:.4f}")
    print(f"y = {model.weight.item():.2f} x + {model.bias.item():.2f}, on {options.device}")


if __name__ == "__main__":
    main()
