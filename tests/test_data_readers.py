"""Streams, workers, transforms, text, CIFAR files and downloads."""

from __future__ import annotations

import hashlib
import http.server
import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import polyback as pb
from polyback import data


class Noted(data.Dataset):
    """Samples that say in which process they were made."""

    def __len__(self) -> int:
        return 23

    def __getitem__(self, index: int) -> Any:
        if index == 99:
            raise KeyError("broken")
        return index, os.getpid()


class Broken(Noted):
    def __getitem__(self, index: int) -> Any:
        if index == 7:
            raise ValueError("sample 7 is broken")
        return index, 0


class Deadly(Noted):
    def __getitem__(self, index: int) -> Any:
        os._exit(1)


class Stream(data.IterableDataset):
    def __iter__(self) -> Any:
        return ((k, k * k) for k in range(7))


def noisy(batch: Any, rng: np.random.Generator) -> Any:
    return (batch[0] + rng.integers(0, 1000, len(batch[0])), *batch[1:])


def passes(**options: Any) -> list[Any]:
    loader = data.DataLoader(Noted(), 4, shuffle=True, seed=3, augment=noisy, **options)
    found = [[(x.tolist(), set(pid.tolist())) for x, pid in loader] for _ in range(2)]
    loader.close()
    return found


def test_workers_and_threads_make_the_same_batches():
    plain = passes()
    ahead = passes(prefetch=3)
    spawned = passes(num_workers=2, prefetch=2)
    assert [[x for x, _ in p] for p in plain] == [[x for x, _ in p] for p in ahead]
    assert [[x for x, _ in p] for p in plain] == [[x for x, _ in p] for p in spawned]
    makers = set().union(*(pid for p in spawned for _, pid in p))
    assert os.getpid() not in makers
    assert all(pid == {os.getpid()} for p in ahead for _, pid in p)


def test_errors_of_workers_reach_the_user():
    for options in ({}, {"prefetch": 2}, {"num_workers": 1}):
        loader = data.DataLoader(Broken(), 4, **options)
        got = []
        with pytest.raises(ValueError, match="sample 7"):
            got += [x.tolist() for x, _ in loader]
        loader.close()
    with pytest.raises(pb.DataError, match="worker process died"):
        list(data.DataLoader(Deadly(), 4, num_workers=1))


def test_a_pass_that_is_left_early_does_not_disturb_the_next():
    loader = data.DataLoader(Noted(), 4, num_workers=1, prefetch=2)
    next(iter(loader))
    assert [x.tolist() for x, _ in loader][-1] == [20, 21, 22]
    loader.close()


@pytest.mark.parametrize("prefetch", [0, 2])
def test_streams(prefetch):
    loader = data.DataLoader(Stream(), 3, prefetch=prefetch)
    assert [x.tolist() for x, _ in loader] == [[0, 1, 2], [3, 4, 5], [6]]
    loader = data.DataLoader(Stream(), 3, drop_last=True, prefetch=prefetch)
    assert [y.tolist() for _, y in loader] == [[0, 1, 4], [9, 16, 25]]
    with pytest.raises(pb.InvalidArgument, match="no length"):
        len(loader)
    with pytest.raises(pb.InvalidArgument, match="one order"):
        data.DataLoader(Stream(), 3, shuffle=True)


def test_concat_dataset():
    with pytest.raises(pb.InvalidArgument, match="want a list of datasets"):
        data.ConcatDataset([1])
    both = data.ConcatDataset([Noted(), data.ArrayDataset(np.arange(3), np.zeros(3))])
    assert [both[k][0] for k in (0, 22, 23, 25)] == [0, 22, 0, 2]
    with pytest.raises(pb.IndexOutOfBounds, match="26"):
        both[26]


# --- transforms -----------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [(), (3,)])
def test_transforms(channels):
    rng = np.random.default_rng(0)
    x = rng.random((50, *channels, 6, 8)).astype(np.float32)
    labels = np.arange(50)
    flipped, same = data.RandomHorizontalFlip()((x, labels), rng)
    assert same is labels
    turned = [np.array_equal(a, b[..., ::-1]) for a, b in zip(flipped, x, strict=True)]
    kept = [np.array_equal(a, b) for a, b in zip(flipped, x, strict=True)]
    assert all(a != b for a, b in zip(turned, kept, strict=True))
    assert 10 < sum(turned) < 40
    moved = data.RandomCrop(padding=2).images(x, rng)
    assert moved.shape == x.shape
    padded = np.pad(x, [(0, 0)] * (x.ndim - 2) + [(2, 2)] * 2)
    spots = set()
    for image, source in zip(moved, padded, strict=True):
        found = [(r, c) for r in range(5) for c in range(5)
                 if np.array_equal(image, source[..., r : r + 6, c : c + 8])]  # fmt: skip
        assert len(found) == 1
        spots.add(found[0])
    assert len(spots) > 10
    assert data.RandomCrop(4).images(x, rng).shape == (50, *channels, 4, 4)
    mean, std = (np.arange(3.0), np.ones(3) * 2) if channels else (0.5, 2.0)
    normal = data.Normalize(mean, std).images(x, rng)
    assert normal.dtype == np.float32
    shift = np.reshape(mean, (-1, 1, 1)) if channels else mean
    np.testing.assert_allclose(normal, (x - shift) / 2, rtol=1e-6)
    with pytest.raises(pb.ShapeError, match="at least"):
        data.RandomCrop(9).images(x, rng)
    with pytest.raises(pb.ShapeError, match="N, H, W"):
        data.Normalize(0.0, 1.0)((labels,), rng)


# --- text -----------------------------------------------------------------------------------------


def test_a_corpus_and_its_windows(tmp_path):
    (tmp_path / "train.txt").write_text(" a b a c \n b\n", encoding="utf-8")
    (tmp_path / "valid.txt").write_text("d ü\n", encoding="utf-8")
    (tmp_path / "test.txt").write_text("a\n" * 3, encoding="utf-8")
    corpus = data.Corpus(tmp_path)
    assert corpus.dictionary.decode(corpus.train) == ["a", "b", "a", "c", "<eos>", "b", "<eos>"]
    assert corpus.dictionary.decode(corpus.valid) == ["d", "ü", "<eos>"]
    assert data.Corpus(tmp_path, max_lines=1).test.tolist() == [0, 3]
    batched = data.batchify(corpus.train, 3)
    assert batched.tolist() == [[0, 0, 3], [1, 2, 1]]
    pieces = list(data.windows(data.batchify(np.arange(20), 2), 4))
    joined = np.concatenate([x for x, _ in pieces])
    assert joined[:, 0].tolist() == list(range(9))
    assert all(np.array_equal(y, x + 1) for x, y in pieces)
    (tmp_path / "valid.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(pb.DataError, match=r"valid\.txt"):
        data.Corpus(tmp_path)
    with pytest.raises(pb.DataError, match="'z' is not among"):
        corpus.dictionary.encode(["z"])
    assert corpus.dictionary.encode(["z", "b"], unknown="a").tolist() == [0, 1]
    assert len(data.python_topics()) > 100_000


# --- CIFAR-10 -------------------------------------------------------------------------------------


def test_cifar10_binary_files(tmp_path):
    rng = np.random.default_rng(0)
    for k in range(1, 6):
        records = rng.integers(0, 256, (2, 3073), dtype=np.uint8)
        records[:, 0] = k
        (tmp_path / f"data_batch_{k}.bin").write_bytes(records.tobytes())
    found = data.cifar10(tmp_path)
    images, labels = found.arrays
    assert images.shape == (10, 3, 32, 32)
    assert images.dtype == np.float32
    assert labels.tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    want = records[1, 1:].reshape(3, 32, 32)[2, 5, 7] / np.float32(255)
    assert images[9, 2, 5, 7] == want
    with pytest.raises(pb.DataError, match="binary version"):
        data.cifar10(tmp_path, train=False)
    (tmp_path / "test_batch.bin").write_bytes(b"x" * 3072)
    with pytest.raises(pb.DataError, match="3073"):
        data.cifar10(tmp_path, train=False)


# --- downloads ------------------------------------------------------------------------------------

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT; ``cut`` transfers end early, with ``ranges`` they can be continued."""

    cut, ranges, asked = 0, True, list[str]()

    def do_GET(self) -> None:
        start = 0
        wanted = self.headers.get("Range")
        type(self).asked.append(wanted or "")
        if wanted and self.ranges:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        body = CONTENT[start:]
        if self.cut:
            type(self).cut -= 1
            body = body[:100_000]
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def url():
    Server.cut, Server.ranges, Server.asked = 0, True, []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/file.bin"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_goes_on_where_it_stopped(tmp_path, url, ranges):
    Server.cut, Server.ranges = 1, ranges
    path = tmp_path / "deep" / "file.bin"
    with pytest.raises(pb.DataError, match="yourself"):
        data.download(url, path, sha256=SHA256)
    assert not path.exists()
    assert data.download(url, path, sha256=SHA256.upper()).read_bytes() == CONTENT
    assert Server.asked == ["", "bytes=100000-"]
    data.download(url, path, sha256=SHA256)
    assert len(Server.asked) == 2  # it was there
    assert [p.name for p in path.parent.iterdir()] == ["file.bin"]


def test_other_contents_and_no_connection(tmp_path, url):
    path = tmp_path / "file.bin"
    with pytest.raises(pb.DataError, match="nothing was kept"):
        data.download(url, path, sha256="0" * 64)
    with pytest.raises(pb.DataError, match="without a connection"):
        data.download("http://127.0.0.1:9/none", path, sha256=SHA256)
    with pytest.raises(pb.InvalidArgument, match="hexadecimal"):
        data.download(url, path, sha256="abc")
    assert list(Path(tmp_path).iterdir()) == []


class Interrupted(data.Dataset):
    """What a worker is told when somebody presses Ctrl-C in the terminal."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> int:
        signal.raise_signal(signal.SIGINT)
        return index


def test_ctrl_c_is_not_for_the_workers():
    loader = data.DataLoader(Interrupted(), 2, num_workers=1)
    assert [x.tolist() for x in loader] == [[0, 1], [2, 3]]
    loader.close()
