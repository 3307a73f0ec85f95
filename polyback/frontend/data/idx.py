"""Reader of idx files, the format of MNIST (LeCun), plain or gzip-compressed.

Layout, all numbers big-endian::

    2 bytes   0
    1 byte    type: 8 uint8, 9 int8, 11 int16, 12 int32, 13 float32, 14 float64
    1 byte    number of axes
    4 bytes   size, for each axis
    the rest  the elements, last axis fastest

A file is believed only as far as its length bears out: nothing is allocated for promised data.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import IO, Any, Final, cast

import numpy as np

from polyback.errors import DataError

GZIP_MAGIC: Final = b"\x1f\x8b"
TYPES: Final = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
CHUNK: Final = 1 << 20
MAX_BYTES: Final = 1 << 31  # 40 times the largest MNIST file


def read_idx(path: str | Path, *, max_bytes: int = MAX_BYTES) -> np.ndarray[Any, Any]:
    """The array in an idx file, in the byte order of this machine.

    Gzip is recognized by its first bytes. Raises DataError, saying what is wrong where: no such
    file, not an idx file, truncated, corrupt or trailing data, more than ``max_bytes`` of elements.

    >>> import tempfile, pathlib, polyback as pb
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "labels-idx1-ubyte"
    >>> _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    >>> pb.data.read_idx(path).tolist()
    [7, 2, 1]
    """
    name = Path(path)
    try:
        with name.open("rb") as file:
            magic = file.read(2)
            file.seek(0)
            if magic == GZIP_MAGIC:
                with gzip.GzipFile(fileobj=file) as unpacked:
                    return _read(cast(IO[bytes], unpacked), name, max_bytes)
            if name.suffix == ".gz":
                raise DataError(
                    f"[idx] {name}: got {magic.hex(' ') or 'nothing'} at the start, want the gzip "
                    f"magic 1f 8b; was it unpacked, or is it an error page saved under this name?"
                )
            return _read(file, name, max_bytes)
    except EOFError:
        raise DataError(f"[idx] {name}: the gzip data end early; download it again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"[idx] {name}: corrupt gzip data ({error}); download it again") from None
    except OSError as error:
        raise DataError(f"[idx] {name}: cannot be read ({error.strerror or error})") from None


def _read(file: IO[bytes], name: Path, max_bytes: int) -> np.ndarray[Any, Any]:
    dtype, shape = _header(file, name)
    want = math.prod(shape) * dtype.itemsize
    if want > max_bytes:
        raise DataError(
            f"[idx] {name}: the header promises {shape} of {dtype.name}, {want} bytes; want at "
            f"most {max_bytes}: is it corrupt? (see max_bytes)"
        )
    data = _take(file, want)
    if len(data) < want:
        raise DataError(
            f"[idx] {name}: got {len(data)} bytes of elements, want {want} for {shape} of "
            f"{dtype.name}; the file is truncated"
        )
    if file.read(1):
        raise DataError(
            f"[idx] {name}: more data follow the {want} bytes of {shape} of {dtype.name}; "
            f"the header or the file is wrong"
        )
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _header(file: IO[bytes], name: Path) -> tuple[np.dtype[Any], tuple[int, ...]]:
    magic = _take(file, 4)
    if len(magic) < 4:
        raise DataError(f"[idx] {name}: got {len(magic)} bytes, want 4 of magic; it is truncated")
    if magic[:2] != b"\0\0" or magic[2] not in TYPES:
        raise DataError(
            f"[idx] {name}: got magic {magic.hex(' ')}, want 00 00, a type of "
            f"{', '.join(f'{t:02x}' for t in TYPES)}, and the number of axes; not an idx file"
        )
    sizes = _take(file, 4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise DataError(
            f"[idx] {name}: got {len(sizes)} bytes of sizes, want {4 * magic[3]} for {magic[3]} "
            f"axes; the file is truncated"
        )
    if magic[3] > 32:
        raise DataError(f"[idx] {name}: got {magic[3]} axes; want at most 32")
    return np.dtype(TYPES[magic[2]]), struct.unpack(f">{magic[3]}I", sizes)


def _take(file: IO[bytes], count: int) -> bytearray:
    """At most ``count`` bytes, read in chunks so that memory grows only with what is there."""
    data = bytearray()
    while len(data) < count:
        chunk = file.read(min(CHUNK, count - len(data)))
        if not chunk:
            break
        data += chunk
    return data
