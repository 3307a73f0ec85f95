"""Fit a straight line with gradient descent: the smallest complete training loop.

Run: python examples/linear_regression.py
"""

from __future__ import annotations

import polyback as pb


def main() -> None:
    generator = pb.random.Generator(0)
    x = generator.uniform((200, 1), -1.0, 1.0)
    y = 3.0 * x - 1.0 + generator.normal((200, 1), std=0.05)  # the line, and noise

    model = pb.nn.Linear(1, 1, generator=generator)
    optimizer = pb.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for step in range(101):
        loss = pb.nn.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            print(f"step {step:3}  loss {loss.item():.4f}")
    print(f"y = {model.weight.item():.2f} x + {model.bias.item():.2f}, on {x.device}")


if __name__ == "__main__":
    main()
