"""The loop and its parts: the same as a loop by hand, stopped and continued, watched and drawn."""

from __future__ import annotations

import math
import os
import signal
import struct
import subprocess
import sys
import threading

import numpy as np
import pytest

import polyback as pb
from polyback import data, nn, optim, training


def problem(device: str, seed: int = 0):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 3)).astype(np.float32)
    y = (x @ [1.0, -2.0, 0.5] + 0.3 > 0).astype(np.int64)
    pb.random.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 8, device=device), nn.Tanh(), nn.Dropout(0.1),
                          nn.Linear(8, 2, device=device))  # fmt: skip
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    batches = data.DataLoader(data.ArrayDataset(x, y), 8, shuffle=True, seed=seed, device=device)
    return model, optimizer, batches


def weights(model: nn.Module) -> bytes:
    return b"".join(p.numpy().tobytes() for p in model.parameters())


def test_fit_shows_the_loss_to_a_plateau(device):
    model, optimizer, batches = problem(device)
    schedule = optim.ReduceLROnPlateau(optimizer, "max", factor=0.5, patience=0)
    training.fit(model, nn.cross_entropy, optimizer, batches, epochs=3, schedule=schedule)
    assert optimizer.param_groups[0]["lr"] == 0.05 / 4  # the loss falls, which is not wanted


def test_fit_is_the_usual_loop(device):
    model, optimizer, batches = problem(device)
    schedule = optim.ExponentialLR(optimizer, 0.99)
    history = training.fit(model, nn.cross_entropy, optimizer, batches, epochs=3, valid=batches,
                           metrics={"accuracy": training.accuracy}, schedule=schedule,
                           max_norm=0.5)  # fmt: skip
    assert model.training
    assert history.last("valid_accuracy") > 0.6
    other, optimizer, batches = problem(device)
    schedule = optim.ExponentialLR(optimizer, 0.99)
    losses = []
    for _ in range(3):
        part = []
        for x, y in batches:
            loss = nn.cross_entropy(other(x), y)
            optimizer.zero_grad()
            loss.backward()
            optim.clip_grad_norm_(other.parameters(), 0.5)
            optimizer.step()
            schedule.step()
            part.append(loss.item())
        losses.append(np.mean(part))
        next(iter(batches))  # evaluation passes over them too
    assert weights(model) == weights(other)
    np.testing.assert_allclose([v for _, v in history["loss"]], losses, rtol=1e-12)


def test_accumulated_batches_are_one_large_batch():
    model, _, batches = problem("numpy_ref")
    model.eval()
    (x, y) = next(iter(data.DataLoader(batches.dataset, 40, device="numpy_ref")))
    nn.cross_entropy(model(x), y).backward()
    want = [p.grad.numpy() for p in model.parameters()]
    model.zero_grad()

    class Frozen(nn.Module):
        def __init__(self) -> None:
            self.inner = model

        def forward(self, x: pb.Tensor) -> pb.Tensor:
            return self.inner.eval()(x)

    steps = optim.SGD(model.parameters(), lr=1.0)
    before = [p.numpy() for p in model.parameters()]
    training.fit(Frozen(), nn.cross_entropy, steps, batches, epochs=1, accumulate=5)
    for p, old, g in zip(model.parameters(), before, want, strict=True):
        np.testing.assert_allclose(p.numpy(), old - g, atol=1e-6)


class StopAfter:
    """A criterion that sends Ctrl-C in its ``count``-th call."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __call__(self, logits: pb.Tensor, labels: pb.Tensor) -> pb.Tensor:
        self.count -= 1
        if self.count == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return nn.cross_entropy(logits, labels)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("after", [1, 5, 7, 13])
def test_ctrl_c_saves_and_the_run_goes_on_bit_by_bit(tmp_path, device, capsys, after):
    whole, optimizer, batches = problem(device)
    want = training.fit(whole, nn.cross_entropy, optimizer, batches, epochs=3)
    model, optimizer, batches = problem(device)
    path = tmp_path / "run"
    training.fit(model, StopAfter(after), optimizer, batches, epochs=3, checkpoint=path)
    assert "go on" in capsys.readouterr().err
    assert weights(model) != weights(whole)
    model, optimizer, batches = problem(device, seed=9)
    again = training.fit(model, nn.cross_entropy, optimizer, batches, epochs=3, checkpoint=path)
    assert weights(model) == weights(whole)
    assert again["loss"] == want["loss"]
    more = training.fit(model, nn.cross_entropy, optimizer, batches, epochs=3, checkpoint=path)
    assert len(more["loss"]) == 3  # finished already


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_second_ctrl_c_stops_at_once_and_the_handler_comes_back():
    before = signal.getsignal(signal.SIGINT)
    with training.Interrupt() as stop:
        assert not stop
        os.kill(os.getpid(), signal.SIGINT)
        assert stop
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    found = []
    thread = threading.Thread(target=lambda: found.append(bool(training.Interrupt().__enter__())))
    thread.start()
    thread.join()
    assert found == [False]


def test_early_stopping_ends_the_run(tmp_path):
    model, optimizer, batches = problem("numpy_ref")
    optimizer.param_groups[0]["lr"] = 0.0
    stopping = training.EarlyStopping(patience=2, min_delta=1.0)
    history = training.fit(model, nn.cross_entropy, optimizer, batches, epochs=9,
                           early_stopping=stopping, checkpoint=tmp_path / "run")  # fmt: skip
    assert len(history["loss"]) == 3
    model, optimizer, batches = problem("numpy_ref", seed=1)
    again = training.fit(model, nn.cross_entropy, optimizer, batches, epochs=9,
                         early_stopping=training.EarlyStopping(patience=2),
                         checkpoint=tmp_path / "run")  # fmt: skip
    assert again["loss"] == history["loss"]  # a run that is over stays so
    high = training.EarlyStopping(patience=1, mode="max")
    assert [high.update(v) for v in (1.0, 2.0, math.nan)] == [False, False, True]
    with pytest.raises(pb.InvalidArgument, match="patience"):
        training.EarlyStopping(patience=0)


def test_evaluate_weighs_batches_and_restores_modes():
    model = nn.Sequential(nn.Dropout(0.5), nn.Identity())
    model[1].eval()
    x = pb.ones((5, 1))
    y = pb.asarray([[0.0], [0.0], [0.0], [1.0], [1.0]])
    parts = [(x[:3], y[:3]), (x[3:], y[3:])]
    assert training.evaluate(model, {"mse": nn.mse_loss}, parts) == {"mse": pytest.approx(0.6)}
    assert model.training
    assert not model[1].training


def test_a_plot(tmp_path):
    pytest.importorskip("matplotlib")
    history = training.History()
    for k in range(5):
        history.add(k, loss=1 / (k + 1), accuracy=k / 5)
    history.plot(tmp_path / "curves.png")
    data = (tmp_path / "curves.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert struct.unpack(">II", data[16:24])[1] > 400  # two curves


def test_held_out_data_share_the_axes_of_a_plot(tmp_path):
    pytest.importorskip("matplotlib")
    history = training.History()
    for k in range(5):
        history.add(k, loss=1 / (k + 1), valid_loss=1.0, seconds=2.0)
    history.plot(tmp_path / "a.svg", "loss", "valid_loss", xlabel="epoch", wanted={"loss": 0.25})
    text = (tmp_path / "a.svg").read_text()
    for label in ("valid_loss", "wanted: 0.25", "epoch"):
        assert text.count(f"<!-- {label} -->") == 1
    assert text.count("<!-- loss -->") == 2  # of the axis and in the legend
    assert "<!-- seconds -->" not in text
    with pytest.raises(pb.InvalidArgument, match=r"\[plot\] got 'losses'; want one of \['loss', "):
        history.plot(tmp_path / "b.svg", "losses")
    assert not (tmp_path / "b.svg").exists()


def test_event_files(tmp_path):
    pytest.importorskip("tensorboardX")
    history = training.History(log_dir=tmp_path)
    history.add(1, loss=0.5)
    history.close()
    (file,) = tmp_path.iterdir()
    assert "tfevents" in file.name
    assert b"loss" in file.read_bytes()


def test_missing_packages_are_named():
    code = """
import sys
sys.modules["tensorboardX"] = sys.modules["matplotlib"] = None
sys.modules["matplotlib.figure"] = None
import polyback as pb
for f in (lambda: pb.training.History("x"), lambda: pb.training.History().plot("x.png")):
    try:
        f()
    except pb.InvalidArgument as error:
        print("pip install" in str(error))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]
