"""The idx reader: what it reads, and that anything else is a DataError, never a crash."""

from __future__ import annotations

import contextlib
import gzip
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import polyback as pb
from polyback.frontend.data import mnist, read_idx

CODES = {"u1": 8, "i1": 9, ">i2": 11, ">i4": 12, ">f4": 13, ">f8": 14}


def encoded(values: Any, kind: str = "u1") -> bytes:
    array = np.asarray(values, kind)
    head = bytes([0, 0, CODES[kind], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.tobytes()


def written(tmp_path: Path, content: bytes, name: str = "file-idx") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("kind", CODES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 1, 2, 2)])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_arrays_go_round(tmp_path, kind, shape, pack):
    values = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    got = read_idx(written(tmp_path, pack(encoded(values, kind))))
    assert np.array_equal(got, values)
    assert got.shape == shape
    assert got.dtype == np.dtype(kind).newbyteorder("=")
    assert got.flags.writeable


GOOD = encoded(np.arange(6).reshape(2, 3))
PACKED = gzip.compress(GOOD, mtime=0)
DAMAGED = [
    (b"", "got 0 bytes, want 4 of magic"),
    (GOOD[:3], "got 3 bytes, want 4"),
    (GOOD[:9], "got 5 bytes of sizes, want 8 for 2 axes"),
    (GOOD[:-1], r"got 5 bytes of elements, want 6 for \(2, 3\) of uint8; the file is truncated"),
    (GOOD + b"\0", "more data follow the 6 bytes"),
    (b"\0\0\x07\1" + GOOD[4:], "magic 00 00 07 01"),
    (b"\1" + GOOD[1:], "not an idx file"),
    (b"<html>not found</html>", "not an idx file"),
    (b"\0\0\x08\xff" + b"\0" * 1020, "255 axes"),
    (b"\0\0\x0e\3" + b"\xff" * 12, "the header promises"),
    (b"\0\0\x08\2" + b"\xff" * 8, "the header promises"),
    (struct.pack(">4BI", 0, 0, 8, 1, 2**31 - 1) + b"abc", "got 3 bytes of elements"),
    (PACKED[:-9], "end early"),
    (PACKED[:15], "end early"),
    (PACKED[:2], "end early"),
    (PACKED[:-8] + b"\0\0\0\0" + PACKED[-4:], "corrupt gzip data"),
    (PACKED[:12] + b"\xff\xff" + PACKED[14:], "corrupt gzip data|end early"),
    (PACKED + b"garbage", "corrupt gzip data"),
    (gzip.compress(GOOD + b"\0"), "more data follow"),
    (gzip.compress(GOOD[:-1]), "truncated"),
]


@pytest.mark.parametrize(("content", "text"), DAMAGED)
def test_damage_is_a_data_error(tmp_path, content, text):
    path = written(tmp_path, content)
    with pytest.raises(pb.DataError, match=text) as caught:
        read_idx(path)
    assert str(caught.value).startswith(f"[idx] {path}: ")


def test_promises_are_not_allocated(tmp_path):
    path = written(tmp_path, gzip.compress(struct.pack(">4BI", 0, 0, 8, 1, 2**31 - 1) + b"abc"))
    tracemalloc.start()
    with pytest.raises(pb.DataError, match="truncated"):
        read_idx(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20


def test_a_limit_on_size(tmp_path):
    path = written(tmp_path, gzip.compress(encoded(np.zeros(5000))))
    with pytest.raises(pb.DataError, match="want at most 4999"):
        read_idx(path, max_bytes=4999)
    assert len(read_idx(path, max_bytes=5000)) == 5000


def test_files_that_are_not_there_or_not_gzip(tmp_path):
    with pytest.raises(pb.DataError, match="cannot be read"):
        read_idx(tmp_path / "nothing")
    with pytest.raises(pb.DataError, match="cannot be read"):
        read_idx(tmp_path)
    with pytest.raises(pb.DataError, match=r"got 00 00 at the start, want the gzip magic 1f 8b"):
        read_idx(written(tmp_path, GOOD, "plain.gz"))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=64), st.integers(0, 30), st.booleans())
def test_no_bytes_crash_the_reader(tmp_path_factory, noise, spot, packed):
    whole = bytearray(PACKED if packed else GOOD)
    whole[spot : spot + len(noise)] = noise
    path = written(tmp_path_factory.mktemp("fuzz"), bytes(whole))
    with contextlib.suppress(pb.DataError):
        assert isinstance(read_idx(path), np.ndarray)


# --- mnist ----------------------------------------------------------------------------------------


def folder(tmp_path: Path, images: Any, labels: Any, part: str = "train", **options: Any) -> Path:
    kind = options.get("kind", "u1")
    written(tmp_path, gzip.compress(encoded(images, kind)), f"{part}-images-idx3-ubyte.gz")
    written(tmp_path, encoded(labels), f"{part}-labels-idx1-ubyte")
    return tmp_path


def test_mnist_reads_either_part(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (4, 28, 28))
    images, labels = mnist(folder(tmp_path, pixels, [1, 2, 9, 0])).arrays
    assert images.dtype == np.float32
    assert labels.dtype == np.int64
    np.testing.assert_allclose(images, pixels / 255, rtol=1e-6)
    assert labels.tolist() == [1, 2, 9, 0]
    with pytest.raises(pb.DataError, match="there is no t10k-images-idx3-ubyte nor"):
        mnist(tmp_path, train=False)
    folder(tmp_path, pixels[:1], [5], "t10k")
    assert mnist(tmp_path, train=False).arrays[1].tolist() == [5]


@pytest.mark.parametrize(
    ("images", "labels", "kind", "text"),
    [
        (np.zeros((3, 28, 28)), [1, 2], "u1", "3 images and 2 labels"),
        (np.zeros((2, 28, 28)), [1, 10], "u1", "label 10; want 0 to 9"),
        (np.zeros((2, 784)), [1, 2], "u1", "2 axes of uint8; want 3"),
        (np.zeros((2, 28, 28)), [1, 2], ">f4", "3 axes of float32; want 3 of uint8"),
    ],
)
def test_files_that_do_not_match(tmp_path, images, labels, kind, text):
    with pytest.raises(pb.DataError, match=text):
        mnist(folder(tmp_path, images, labels, kind=kind))
