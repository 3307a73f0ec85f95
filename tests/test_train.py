"""Whole training runs: they learn, repeat exactly, and are the same on every installed device."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import polyback as pb
from polyback import data, nn, optim

ROOT = Path(__file__).resolve().parents[1]


def spirals(count: int = 300) -> data.ArrayDataset:
    """Two arms, wound around each other: no straight line tells them apart."""
    rng = np.random.default_rng(0)
    label = np.arange(count) % 2
    turn = np.sqrt(rng.random(count)) * 2 * np.pi
    angle = turn + np.pi * label
    points = np.stack([np.cos(angle), np.sin(angle)], 1) * turn[:, None] / 4
    points += rng.normal(0, 0.02, points.shape)
    return data.ArrayDataset(points.astype(np.float32), label)


def network(device: str, norm: type[nn.Module]) -> nn.Module:
    return nn.Sequential(
        nn.Linear(2, 32, device=device),
        nn.SiLU(),
        nn.Residual(
            nn.Sequential(
                nn.Linear(32, 32, device=device),
                norm(32, device=device),
                nn.GELU(),
                nn.Dropout(0.05),
                nn.Linear(32, 32, device=device),
            )
        ),
        nn.Linear(32, 2, device=device),
    )


def losses(device: str, make: str = "adam", steps: int = 100) -> list[float]:
    pb.random.manual_seed(1)
    model = network(device, nn.LayerNorm if make == "adam" else nn.BatchNorm1d)
    optimizer: optim.Optimizer
    if make == "adam":
        optimizer = optim.Adam(model.parameters(), lr=0.01, weight_decay=1e-4)
    else:
        optimizer = optim.SGD(model.parameters(), lr=0.03, momentum=0.9, nesterov=True)
    loader = data.DataLoader(spirals(), 30, shuffle=True, seed=3, device=device)
    found: list[float] = []
    while len(found) < steps:
        for points, labels in loader:
            loss = nn.cross_entropy(model(points), labels, label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optim.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            found.append(loss.item())
    return found[:steps]


@pytest.mark.parametrize("make", ["adam", "sgd"])
def test_training_learns_and_is_the_same_on_every_device(device, make):
    found = losses(device, make)
    assert found[0] > 0.6
    assert np.mean(found[-10:]) < 0.35
    if device != pb.devices()[0]:
        np.testing.assert_allclose(found, losses(pb.devices()[0], make), rtol=1e-4)


def test_training_repeats_bit_for_bit(device):
    assert losses(device, steps=30) == losses(device, steps=30)


def test_fusing_changes_speed_only(device):
    with pb.configure(fuse=False):
        plain = losses(device, steps=30)
    np.testing.assert_allclose(losses(device, steps=30), plain, rtol=1e-5)


def test_training_goes_on_from_a_checkpoint(device):
    def start() -> tuple[nn.Module, optim.Adam]:
        model = nn.Sequential(
            nn.Linear(2, 8, device=device), nn.Tanh(), nn.Linear(8, 2, device=device)
        )
        return model, optim.Adam(model.parameters(), lr=0.02)

    def steps(model: nn.Module, optimizer: optim.Adam, loader: data.DataLoader) -> None:
        for points, labels in loader:
            optimizer.zero_grad()
            nn.cross_entropy(model(points), labels).backward()
            optimizer.step()

    def make():
        return data.DataLoader(spirals(), 50, shuffle=True, device=device)

    model, optimizer = start()
    loader = make()
    steps(model, optimizer, loader)
    saved = {k: v.numpy() for k, v in model.state_dict().items()}
    again, optimizer_again = start()
    again.load_state_dict({k: pb.asarray(v, device=device) for k, v in saved.items()})
    optimizer_again.load_state_dict(optimizer.state_dict())
    loader_again = make()
    loader_again.set_epoch(1)
    steps(model, optimizer, loader)
    steps(again, optimizer_again, loader_again)
    for name, tensor in model.state_dict().items():
        assert np.array_equal(tensor.numpy(), again.state_dict()[name].numpy()), name


def test_the_smallest_example_finds_its_line():
    script = ROOT / "examples" / "linear_regression.py"
    done = subprocess.run(
        [sys.executable, str(script)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "y = 3.0" in done.stdout
    assert "x + -1.0" in done.stdout
