"""Checkpoints that survive a kill, a full disk and a flipped bit.

Order of a save: write `*.tmp`, fsync, read back and compare, note name and SHA-256 in `index.jsonl` (fsync), rename
over the final name, fsync the folder, and only then remove what is older. So a file with a final name is always whole,
and its digest is always known before the file can be seen.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch

from .errors import UserError

NAME = re.compile(r"round-(\d+)\.pt")
KEEP = 2


class _Hashing:
    """A file that knows the SHA-256 of what went through it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.sha256, self.error = file, hashlib.sha256(), None

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        try:
            return self.file.write(data)
        except OSError as error:  # torch's writer would hide it behind "unexpected pos"
            self.error = error
            raise

    def flush(self) -> None:
        self.file.flush()


class Checkpoints:
    """The folder `checkpoints/` of a run: `round-000001200.pt` and `index.jsonl`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.index_file = folder, folder / "index.jsonl"

    def clean(self) -> None:
        """Remove what a killed process left half written."""
        for left in self.folder.glob("*.tmp"):
            left.unlink(missing_ok=True)

    def newest_first(self) -> list[Path]:
        found = [p for p in self.folder.glob("round-*.pt") if NAME.fullmatch(p.name)] if self.folder.is_dir() else []
        return sorted(found, key=_round, reverse=True)

    def index(self) -> dict[str, dict[str, Any]]:
        """The last line of each file name; torn or foreign lines are passed over."""
        lines: dict[str, dict[str, Any]] = {}
        for row in read_lines(self.index_file):
            if isinstance(row.get("file"), str):
                lines[row["file"]] = row
        return lines

    def digests(self) -> dict[str, set[str]]:
        """Every SHA-256 noted for each name: a kill between note and rename leaves an older file of that name there."""
        found: dict[str, set[str]] = {}
        for row in read_lines(self.index_file):
            if isinstance(row.get("file"), str) and isinstance(row.get("sha256"), str):
                found.setdefault(row["file"], set()).add(row["sha256"])
        return found

    def save(self, state: dict[str, Any], number: int, **facts: Any) -> Path:
        """Write the state of round `number`; `facts` (images, score) go to the index.

        Raises OSError when the disk refuses; the checkpoints that were there stay as they are.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        final = self.folder / f"round-{number:09d}.pt"
        temporary = final.with_suffix(".pt.tmp")
        try:
            size, digest = _write(state, temporary)
            line = {"file": final.name, "round": number, "bytes": size, "sha256": digest, **facts}
            append_line(self.index_file, line, sync=True)
            os.replace(temporary, final)
            _sync_folder(self.folder)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        self._prune()
        return final

    def load(self) -> tuple[dict[str, Any] | None, list[str]]:
        """The newest whole state and what had to be passed over; None where there is no checkpoint.

        Raises UserError, with nothing touched, where checkpoints exist and all are damaged.
        """
        digests, damaged = self.digests(), list[tuple[Path, str]]()
        for path in self.newest_first():
            try:
                state = read_state(path, digests.get(path.name, set()))
            except Exception as error:  # every reader fails with a class of its own
                damaged.append((path, str(error).splitlines()[0] if str(error) else type(error).__name__))
                continue
            return state, list(self._set_aside(damaged, path))
        if damaged:
            what = "; ".join(f"{path.name}: {why}" for path, why in damaged)
            raise UserError(
                f"all {len(damaged)} checkpoints in {self.folder} are damaged ({what}). Nothing was changed. "
                "Put a good copy back, or start anew with another --out."
            )
        return None, []

    def _set_aside(self, damaged: list[tuple[Path, str]], good: Path) -> Iterator[str]:
        for path, why in damaged:
            aside = path.with_name(path.name + ".damaged")
            try:
                os.replace(path, aside)
            except OSError:
                aside = path
            yield f"checkpoint {path.name} is damaged ({why}): kept as {aside.name}, going on from {good.name}"

    def best(self, by: str = "score") -> str | None:
        """Name of the checkpoint with the lowest score, or other fact, where any has one."""
        present = {
            name: row[by]
            for name, row in self.index().items()
            if isinstance(row.get(by), (int, float)) and (self.folder / name).exists()
        }
        return min(present, key=present.__getitem__) if present else None

    def healthy(self) -> str | None:
        """Name of the newest checkpoint that a doctor called healthy when it was made, where there is one."""
        index = self.index()
        return next((p.name for p in self.newest_first() if index.get(p.name, {}).get("healthy")), None)

    def forget(self, number: int) -> None:
        """Remove what was saved after round `number`: it belongs to a branch that isn't played on."""
        for path in self.newest_first():
            if _round(path) > number:
                path.unlink(missing_ok=True)

    def _prune(self) -> None:
        kept = {self.best(), self.best("distance"), self.healthy()}
        for path in self.newest_first()[KEEP:]:
            if path.name not in kept:
                path.unlink(missing_ok=True)


def read_state(path: Path, digests: Collection[str]) -> dict[str, Any]:
    """A checkpoint as written: SHA-256 compared where known, else the CRC of every part; never runs code from it.

    Raises ValueError for a wrong digest, and whatever torch or zipfile raise for a broken file.
    """
    if not path.is_file():
        raise ValueError("not a file")
    if digests:
        found = file_digest(path)
        if found not in digests:
            raise ValueError(f"SHA-256 {found[:12]}… instead of {' or '.join(d[:12] + '…' for d in sorted(digests))}")
    return torch.load(path if digests else _checked_copy(path), map_location="cpu", weights_only=True)


def _checked_copy(path: Path) -> io.BytesIO:
    """The parts of a checkpoint whose CRC is right, in a fresh archive.

    The CRC covers the parts and not the table of contents, where one flipped bit (a part marked as a folder, say) would
    make torch return whatever lies in memory.
    """
    copy = io.BytesIO()
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(copy, "w") as fresh:
        for part in archive.infolist():
            if part.compress_type != zipfile.ZIP_STORED or part.file_size != part.compress_size:
                raise ValueError(f"{part.filename} is compressed, which torch's checkpoints never are")
            fresh.writestr(part.filename, archive.read(part))  # which compares both of its names
    copy.seek(0)
    return copy


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Objects of a JSON-lines file; a torn last line (a kill while writing) is passed over."""
    if path.is_file():
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    row = json.loads(line)
                except ValueError:
                    continue
                if isinstance(row, dict):
                    yield row


def write_whole(path: Path, text: str) -> None:
    """Replace a text file in one step: a reader sees the old or the new, never a half."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _write(state: dict[str, Any], path: Path) -> tuple[int, str]:
    with path.open("wb") as file:
        hashing = _Hashing(file)
        try:
            torch.save(state, cast(BinaryIO, hashing))
        except RuntimeError as error:
            raise hashing.error or OSError(f"torch could not write {path.name}: {error}") from error
        file.flush()
        os.fsync(file.fileno())
    digest = hashing.sha256.hexdigest()
    if file_digest(path) != digest:
        raise OSError(f"{path.name} reads back different from what was written: is the disk failing?")
    return path.stat().st_size, digest


def append_line(path: Path, row: dict[str, Any], sync: bool = False) -> None:
    """Add a line to a JSON-lines file; one that a kill or a full disk has torn does not swallow it."""
    line = json.dumps(row).encode() + b"\n"
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            line = line if file.read(1) == b"\n" else b"\n" + line
        file.write(line)
        file.flush()
        if sync:
            os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _round(path: Path) -> int:
    match = NAME.fullmatch(path.name)
    return int(match.group(1)) if match else -1


def free_space(folder: Path) -> str:
    usage = shutil.disk_usage(folder)
    return f"{usage.free / 2**20:,.1f} MiB free of {usage.total / 2**20:,.0f} MiB"
