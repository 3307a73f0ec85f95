"""Files of tensors and checkpoints: exact, atomic, safe against damage."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

import polyback as pb
from polyback import nn
from polyback.dtype import DTYPES


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_type_comes_back_exactly(tmp_path, device, dtype):
    path = tmp_path / "x.safetensors"
    values = np.random.default_rng(0).integers(0, 2**31, 60).astype(np.uint8).tobytes()
    host = np.frombuffer(values[: 6 * dtype.itemsize] * 2, np.uint8)[: 6 * dtype.itemsize]
    if dtype is pb.bool:
        host = host % 2
    array = np.frombuffer(np.ascontiguousarray(host).tobytes(), dtype.numpy).reshape(2, 3)
    x = pb.asarray(array, device=device)
    pb.save(path, {"x": x, "t": x.T, "empty": x[:0], "one": x[0, 0]}, {"note": "ü"})
    found = pb.load(path, device=device)
    assert found["x"].dtype is dtype
    assert str(found["x"].device) == device
    assert found["x"].numpy().tobytes() == array.tobytes()
    assert found["t"].numpy().tobytes() == array.T.tobytes()
    assert found["empty"].shape == (0, 3)
    assert found["one"].shape == ()


def test_other_readers_read_it(tmp_path):
    model = nn.Linear(3, 2)
    pb.save(tmp_path / "model.safetensors", model.state_dict())
    found = safetensors.numpy.load_file(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(found["weight"], model.weight.numpy())
    pb.save_checkpoint(tmp_path / "run.safetensors", model=model)
    found = safetensors.numpy.load_file(tmp_path / "run.safetensors")
    np.testing.assert_array_equal(found["model.bias"], model.bias.numpy())


def test_what_cannot_be_saved_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.safetensors"
    pb.save(path, {"x": pb.ones(2)})
    with pytest.raises(pb.DTypeError, match="save_checkpoint"):
        pb.save(path, {"x": 1.0})
    with pytest.raises(pb.InvalidArgument, match="metadata"):
        pb.save(path, {"x": pb.zeros(2)}, {"a": 1})
    with pytest.raises(pb.InvalidArgument, match=r"extra.f: got function"):
        pb.save_checkpoint(path, extra={"f": lambda: 0})
    assert pb.load(path)["x"].tolist() == [1, 1]
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]


class Run:
    """A small training run with every kind of state."""

    def __init__(self, device: str, seed: int) -> None:
        pb.random.manual_seed(seed)
        self.model = nn.Sequential(
            nn.Linear(4, 8, device=device), nn.BatchNorm1d(8, device=device), nn.Dropout(0.3),
            nn.Linear(8, 2, device=device),
        )  # fmt: skip
        self.optimizer = pb.optim.AdamW(self.model.parameters(), lr=0.01)
        self.schedule = pb.optim.CosineAnnealingLR(self.optimizer, 50)
        rng = np.random.default_rng(0)
        data = pb.data.ArrayDataset(rng.standard_normal((12, 4)).astype(np.float32),
                                    rng.integers(0, 2, 12))  # fmt: skip
        self.loader = pb.data.DataLoader(data, 4, shuffle=True, seed=seed, device=device)
        self.parts = {"model": self.model, "optimizer": self.optimizer,
                      "schedule": self.schedule, "loader": self.loader}  # fmt: skip

    def epochs(self, n: int) -> list[float]:
        losses = []
        for _ in range(n):
            for x, y in self.loader:
                loss = nn.cross_entropy(self.model(x), y)
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                self.schedule.step()
                losses.append(loss.item())
        return losses


def test_a_run_continues_bit_by_bit(tmp_path, device):
    first = Run(device, 1)
    first.epochs(2)
    pb.save_checkpoint(tmp_path / "run", step=6, **first.parts)
    wanted = first.epochs(3)
    second = Run(device, 2)
    second.epochs(1)
    assert pb.load_checkpoint(tmp_path / "run", **second.parts) == 6
    assert second.epochs(3) == wanted


def test_plain_dictionaries_keep_their_types(tmp_path):
    notes = {"best": 0.1, 3: [1, None, True, "x"], "inner": {"t": pb.asarray([1, 2])},
             "odd": float("inf")}  # fmt: skip
    pb.save_checkpoint(tmp_path / "run", notes=notes)
    found: dict = {"old": 1}
    pb.load_checkpoint(tmp_path / "run", notes=found)
    assert found.pop("inner")["t"].tolist() == [1, 2]
    assert found == {k: v for k, v in notes.items() if k != "inner"}


def snapshot(run: Run) -> list:
    state = run.model.state_dict()
    return [(k, v.numpy().tobytes()) for k, v in state.items()] + [
        run.schedule.state_dict(), run.loader.state_dict(),
        pb.random.default_generator().state_dict(), run.optimizer.param_groups[0]["lr"],
        [v["exp_avg"].numpy().tobytes() for v in run.optimizer.state.values()],
    ]  # fmt: skip


def test_an_object_that_does_not_fit_changes_nothing(tmp_path):
    run = Run("numpy_ref", 1)
    run.epochs(1)
    pb.save_checkpoint(tmp_path / "run", **run.parts)
    run.epochs(1)
    before = snapshot(run)
    with pytest.raises(pb.InvalidArgument, match="lacks"):
        pb.load_checkpoint(tmp_path / "run", **run.parts, other=run.model)
    with pytest.raises(pb.InvalidArgument):  # the last one fails, after the model was written
        pb.load_checkpoint(tmp_path / "run", model=run.model, loader=run.loader,
                           schedule=run.optimizer)  # fmt: skip
    assert snapshot(run) == before


def test_damaged_and_hostile_files_are_typed_errors(tmp_path):
    run = Run("numpy_ref", 1)
    run.epochs(1)
    path = tmp_path / "run"
    pb.save_checkpoint(path, **run.parts)
    good = path.read_bytes()
    run.epochs(1)
    before = snapshot(run)
    header = int.from_bytes(good[:8], "little")
    tree = json.loads(good[8 : 8 + header])
    deep = {"__metadata__": {"polyback.checkpoint": "[" * 100_000}}
    loop = {"__metadata__": {"polyback.checkpoint": '{"version": 1, "step": 0, "states": '
                             '{"model": {"tensor": "nowhere"}}}'}}  # fmt: skip
    future = {**tree, "__metadata__": {"polyback.checkpoint": '{"version": 9, "step": 0, '
                                       '"states": {}}'}}  # fmt: skip

    def with_header(new: dict) -> bytes:
        text = json.dumps(new).encode()
        return len(text).to_bytes(8, "little") + text + good[8 + header :]

    rng = random.Random(0)
    flipped = []
    for _ in range(40):
        bad = bytearray(good)
        bad[rng.randrange(8 + header)] ^= 1 << rng.randrange(8)
        flipped.append(bytes(bad))
    cut = [good[:n] for n in (0, 1, 7, 8, 9, 100, header, 8 + header, len(good) - 1)]
    crafted = [with_header(x) for x in (deep, loop, future, {"__metadata__": {}})]
    for data in [*cut, *crafted, b"\xff" * 100, good + b"x", *flipped]:
        path.write_bytes(data)
        try:
            pb.load_checkpoint(path, **run.parts)
        except pb.PolybackError:
            assert snapshot(run) == before
        else:  # a flipped bit in a name's spelling of something optional, say
            path.write_bytes(good)
            assert data in flipped
            pb.load_checkpoint(path, **run.parts)
            before = snapshot(run)
    with pytest.raises(pb.DataError, match="nowhere"):
        pb.load(tmp_path / "nowhere")


SAVER = """
import sys, polyback as pb, itertools
path = sys.argv[1]
for k in itertools.count(1):
    pb.save_checkpoint(path, step=k, notes={"x": pb.full((40000,), float(k), device="numpy_ref")})
    print(k, flush=True)
"""


def kill_while_saving(path: Path, times: int, seed: int) -> int:
    """How many of ``times`` kills at random moments came while a file was being written."""
    rng, hits, last = random.Random(seed), 0, 0
    for _ in range(times):
        command = [sys.executable, "-c", SAVER, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as saver:
            assert saver.stdout is not None
            saver.stdout.readline()  # it has begun
            time.sleep(rng.uniform(0, 0.02))
            saver.send_signal(signal.SIGKILL)
        found: dict = {}
        last = pb.load_checkpoint(path, notes=found)
        assert set(found["x"].tolist()) == {float(last)}
        hits += any(path.parent.glob(".*.tmp"))
    return hits


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("times", [8, pytest.param(200, marks=pytest.mark.slow)])
def test_a_killed_save_leaves_a_whole_file(tmp_path, times):
    path = tmp_path / "run"
    assert kill_while_saving(path, times, times) > 0
    pb.save_checkpoint(path, notes={})
    assert [p.name for p in tmp_path.iterdir()] == ["run"]  # what was abandoned is gone


def test_only_files_of_processes_that_are_gone_are_removed(tmp_path):
    path = tmp_path / "x.safetensors"
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    names = {who: f".{path.name}.{who}.tmp" for who in (gone.pid, os.getppid(), "notes")}
    for name in names.values():
        (tmp_path / name).write_bytes(b"begun")
    pb.save(path, {"w": pb.ones(1)})
    left = {p.name for p in tmp_path.iterdir()} - {path.name}
    assert left == {names[os.getppid()], names["notes"]}


def test_what_cannot_be_saved_or_loaded_is_named(tmp_path):
    path = tmp_path / "run.safetensors"
    with pytest.raises(pb.InvalidArgument, match="want a path, then"):
        pb.save({"w": pb.ones(1)}, path)  # PyTorch's order
    with pytest.raises(pb.InvalidArgument, match=r"\[save_checkpoint\] model is a float"):
        pb.save_checkpoint(path, model=3.0)
    pb.save_checkpoint(path, scaler={"scale": 1.0}, best=pb.training.EarlyStopping().state_dict())
    with pytest.raises(pb.InvalidArgument, match=r"\[load_checkpoint\] scaler is a float"):
        pb.load_checkpoint(path, scaler=3.0)
    scaler = pb.optim.GradScaler()
    with pytest.raises(pb.DataError, match="the state of 'scaler' does not fit a GradScaler"):
        pb.load_checkpoint(path, scaler=scaler)
    assert scaler.get_scale() == 2.0**16
