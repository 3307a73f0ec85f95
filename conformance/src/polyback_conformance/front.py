"""The frontend on the device under test, for level 6."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from polyback.dtype import DType, float32
from polyback_conformance.compare import Mismatch, check_sum
from polyback_conformance.lab import Lab


@dataclass
class Front:
    """The frontend, the name of the device under test, and that of the reference."""

    pb: Any
    device: str
    reference: str
    lab: Lab

    def tensor(self, values: Any, dtype: DType | None = None, device: str | None = None) -> Any:
        """A tensor on the device, or another."""
        array = np.asarray(values)
        if dtype is not None and array.dtype.kind == dtype.numpy.kind:
            array = array.astype(dtype.numpy)
        return self.pb.asarray(array, device=device or self.device)

    def need(self, dtype: DType) -> None:
        """Skip where the device has no arithmetic of this type."""
        if dtype.name not in self.lab.caps.scalars.get("add", frozenset()):
            pytest.skip(f"L6: the device has no {dtype}")

    def check_gradients(self, body: Callable[[Any, Any], Any], x: Any, name: str) -> None:
        """Values and gradients of ``body(pb, x)``, ``x`` (4, 6): float32 on the device against
        float64 on the reference, and differences in float64 on the device."""
        pb = self.pb

        def loss(t: Any) -> Any:
            y = body(pb, t)
            weights = np.linspace(-1, 1, y.size).reshape(y.shape)
            return pb.sum(y * pb.asarray(weights.astype(y.dtype.numpy), device=y.device))

        mine = self.tensor(x.astype(np.float32))
        exact = self.tensor(x.astype(np.float32).astype(np.float64), device=self.reference)
        for what, run in (("value", lambda t: body(pb, t)), ("gradient", pb.grad(loss))):
            got, want = run(mine).numpy(), run(exact).numpy()
            magnitude = np.abs(want) + np.abs(want).max() + 1
            check_sum(got, want, magnitude, 24, float32, f"{what} of {name}", relaxed=4)
        if "float64" in self.lab.caps.matmul:
            small = self.tensor(x[:4, :4].astype(np.float64))
            pb.testing.check_grad(lambda t: body(pb, t), small)

    def train(
        self, model: Any, optimizer: Any, x: Any, labels: Any, device: str, dtype: DType, steps: int
    ) -> list[float]:
        """The losses of so many steps of a classifier over one batch."""
        inputs = self.pb.asarray(x.astype(dtype.numpy), device=device)
        targets = self.pb.asarray(labels, device=device)
        criterion, losses = self.pb.nn.CrossEntropyLoss(), []
        for _ in range(steps):
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            losses.append(float(loss))
        return losses


def check_losses(got: Sequence[float], want: Sequence[float], limit: float, fall: float) -> None:
    """Every loss within a relative ``limit`` of the reference's, the last below ``fall`` times the
    first."""
    error = np.abs(np.subtract(got, want)) / np.abs(want)
    if not bool(np.all(error <= limit)):
        step = int(np.argmax(~(error <= limit)))
        raise Mismatch(
            f"step {step}: loss {got[step]!r}, reference {want[step]!r}: relative error "
            f"{error[step]:.3g}, limit {limit}\nlosses    {got}\nreference {want}"
        )
    assert got[-1] < fall * got[0], f"the loss does not fall: {got}"
