"""Downloads: resumed where they stopped, checked, and put in place whole."""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

from polyback.errors import DataError, InvalidArgument

CHUNK: Final = 1 << 20
TIMEOUT: Final = 30.0  # seconds without an answer


def download(url: str, path: str | Path, *, sha256: str) -> Path:
    """The file at ``url``, as ``path``; nothing is fetched if it is there and whole.

    A transfer that was interrupted goes on where it stopped (from ``path`` + ``.part``). The file
    appears under its name only when its SHA-256 is right. Raises DataError without a connection or
    for other contents, with what can be done by hand.
    """
    target = Path(path)
    wanted = sha256.lower()
    if len(wanted) != 64 or set(wanted) - set("0123456789abcdef"):
        raise InvalidArgument(f"[download] got sha256={sha256!r}; want 64 hexadecimal digits")
    if target.is_file() and _sha256(target) == wanted:
        return target
    part = target.with_name(target.name + ".part")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        _fetch(url, part)
    except (OSError, ValueError) as error:  # URLError is an OSError
        raise DataError(
            f"[download] {url}: {error}; without a connection, put the file at {target} yourself "
            f"(SHA-256 {wanted}); what has arrived is kept and will be continued"
        ) from None
    found = _sha256(part)
    if found != wanted:
        part.unlink()
        raise DataError(f"[download] {url}: got SHA-256 {found}; want {wanted}: nothing was kept")
    os.replace(part, target)
    return target


def _fetch(url: str, part: Path) -> None:
    """Append what is missing; from the start where the server cannot go on in the middle."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        reply = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is missing, or the file is another now
            return
        raise
    with reply, part.open("ab" if reply.status == 206 else "wb") as file:
        expected = reply.headers.get("Content-Length")
        arrived = 0
        while chunk := reply.read(CHUNK):
            file.write(chunk)
            arrived += len(chunk)
        if expected is not None and arrived != int(expected):
            raise OSError(f"the connection ended after {arrived} of {expected} bytes")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
