"""Compiled programs on disk: one file per program, named by a hash of all that it depends on.

Files appear whole or not at all (written beside, then renamed), are read as bytes and never
unpickled, and the folder must belong to this user alone. Each begins with a hash of the rest: what
a full disk or a crash of the machine left behind would be refused by a driver, or crash it, at
every start.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, final

DIGEST: Final = 32  # bytes of a SHA-256
SUFFIX: Final = ".hashed"


def key(parts: Sequence[str]) -> str:
    """A name for what ``parts`` (source, device, compiler, options) determine."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


@final
class BinaryCache:
    """A folder of binaries. Without a safe folder it holds nothing, and nothing fails."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.usable = self._prepare()

    def _prepare(self) -> bool:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            info = self.folder.stat()
        except OSError:
            return False
        if not hasattr(os, "getuid"):
            return True
        return info.st_uid == os.getuid() and not info.st_mode & (stat.S_IWGRP | stat.S_IWOTH)

    def load(self, name: str) -> bytes | None:
        """The binary, or None where there is none, or one that is damaged."""
        if not self.usable:
            return None
        with contextlib.suppress(OSError):
            data = (self.folder / f"{name}{SUFFIX}").read_bytes()
            digest, binary = data[:DIGEST], data[DIGEST:]
            return binary if binary and hashlib.sha256(binary).digest() == digest else None
        return None

    def store(self, name: str, binary: bytes) -> None:
        """Keep a binary; a full disk is no error."""
        if binary:
            self.write(f"{name}{SUFFIX}", hashlib.sha256(binary).digest() + binary)

    def write(self, name: str, data: bytes) -> None:
        """Put a file into the folder as it is, for others to read."""
        if not self.usable:
            return
        with contextlib.suppress(OSError):
            number, path = tempfile.mkstemp(dir=self.folder)
            try:
                with os.fdopen(number, "wb") as file:
                    file.write(data)
                os.replace(path, self.folder / name)
            except OSError:
                os.unlink(path)
