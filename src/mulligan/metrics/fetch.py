"""A file of known checksum from the network: whole and right at its place, or not there at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from http.client import HTTPException
from pathlib import Path
from urllib.request import Request, urlopen

from ..core.errors import UserError

PATIENCE = 10.0
"""Seconds to wait for a connection, or for the next piece."""
PIECE = 1 << 18


class _Failed(Exception):
    """Why one address didn't give the file."""


def fetch(urls: Sequence[str], path: Path, sha256: str, size: int, progress: bool = True) -> Path:
    """Download to `path` the file of this SHA-256 and size in bytes, from the first address that has it.

    Never stores more than `size` bytes. Raises UserError with the reason of each address; no piece of it is left then.
    """
    by_hand = f"Download it by hand to {path}, or name the file with --weights FILE."
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _need_room(path, size)
        failures = list[str]()
        for url in urls:
            try:
                return _fetched(url, path, sha256, size, progress)
            except _Failed as error:
                failures.append(f"  {url}: {error}")
    except OSError as error:
        raise UserError(f"{path} can't be written: {error.strerror or error}. {by_hand}") from error
    raise UserError("\n".join([f"{path.name} could not be downloaded:", *failures, by_hand]))


def _need_room(path: Path, size: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if free < size:
        raise UserError(
            f"{path.name} has {size:,} bytes, but {path.parent} has only {free:,} free. Make room there, or download "
            "the file by hand to another disk and name it with --weights FILE."
        )


def _fetched(url: str, path: Path, sha256: str, size: int, progress: bool) -> Path:
    from tqdm import tqdm

    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    # disable=None: no bar where stderr is a file
    bar = tqdm(total=size, desc=path.name, unit="B", unit_scale=True, file=sys.stderr,
               disable=None if progress else True, leave=False)  # fmt: skip
    try:
        with bar, temporary.open("wb") as file:
            for piece in _pieces(url, sha256, size):
                file.write(piece)
                bar.update(len(piece))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _pieces(url: str, sha256: str, size: int) -> Iterator[bytes]:
    """What the address sends, at most `size` bytes. Raises _Failed, at the end also for a wrong checksum."""
    digest, received = hashlib.sha256(), 0
    try:
        with urlopen(Request(url, headers={"User-Agent": "mulligan"}), timeout=PATIENCE) as answer:
            if (offered := getattr(answer, "length", None)) not in (None, size):
                raise _Failed(f"offers {offered:,} bytes instead of {size:,}")
            while piece := answer.read(PIECE):
                received += len(piece)
                if received > size:
                    raise _Failed(f"sends more than the expected {size:,} bytes")
                digest.update(piece)
                yield piece
    except (OSError, HTTPException) as error:
        raise _Failed(str(error).strip("<>").removeprefix("urlopen error ") or type(error).__name__) from error
    if received < size:
        raise _Failed(f"ended after {received:,} of {size:,} bytes")
    if digest.hexdigest() != sha256:
        raise _Failed(f"wrong content: SHA-256 {digest.hexdigest()} instead of {sha256}")
